"""Photographs as worse cameras and hands would have made them, in five strengths each.

After Hendrycks & Dietterich (2019), with what happens to dermoscopy: hairs, a lamp of another
colour, a photograph of few pixels. The library of that paper was last released in 2021 and others
that are kept up are under the AGPL, so these are a few lines each of Pillow and SciPy.
"""

import io

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

STRENGTHS = (1, 2, 3, 4, 5)


def blur(image: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Out of focus: Gaussian, sigma 0.5 to 3 % of the side."""
    sigma = (0.005, 0.008, 0.012, 0.019, 0.03)[strength - 1] * min(image.shape[:2])
    return _pixels(ndimage.gaussian_filter(image.astype(np.float32), (sigma, sigma, 0)))


def noise(image: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Little light: Gaussian, standard deviation 6 to 60 levels."""
    level = (6, 12, 22, 38, 60)[strength - 1]
    return _pixels(image + rng.normal(0, level, image.shape))


def jpeg(image: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Compressed: JPEG quality 50 to 5."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=(50, 30, 18, 10, 5)[strength - 1])
    return np.asarray(Image.open(file).convert("RGB"))


def exposure(image: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Too dark or too bright, either as often: a third of a stop to two stops."""
    stops = (0.33, 0.67, 1.0, 1.5, 2.0)[strength - 1] * rng.choice([-1, 1])
    # light adds up in linear values; 2.2 is near enough to sRGB's curve
    return _pixels(255 * ((image / 255.0) ** 2.2 * 2**stops).clip(0, 1) ** (1 / 2.2))


def colour_cast(image: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Another white balance: warmer or colder by 5 to 40 %."""
    share = (0.05, 0.1, 0.17, 0.27, 0.4)[strength - 1] * rng.choice([-1, 1])
    return _pixels(image * np.array([1 + share, 1.0, 1 - share]))


def hairs(image: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Dark hairs across it: 3 to 60, curved."""
    height, width = image.shape[:2]
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    for _ in range((3, 8, 16, 32, 60)[strength - 1]):
        start, middle, end = rng.uniform(-0.1, 1.1, (3, 2)) * (width, height)
        t = np.linspace(0, 1, 24)[:, None]
        curve = (1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * end
        shade = tuple(int(v) for v in rng.integers(15, 60) * np.array([1.0, 0.8, 0.7]))
        draw.line([tuple(p) for p in curve], fill=shade, width=max(1, round(width / 150)))
    return np.asarray(picture)


def small(image: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Of few pixels: 60 to 12 % of the side, and back."""
    height, width = image.shape[:2]
    share = (0.6, 0.4, 0.28, 0.18, 0.12)[strength - 1]
    size = (max(1, round(share * width)), max(1, round(share * height)))
    little = Image.fromarray(image).resize(size, Image.Resampling.BOX)
    return np.asarray(little.resize((width, height), Image.Resampling.BICUBIC))


CORRUPTIONS = {
    "blur": blur,
    "noise": noise,
    "JPEG compression": jpeg,
    "exposure": exposure,
    "colour cast": colour_cast,
    "hairs": hairs,
    "small size": small,
}


def corrupt(pixels: np.ndarray, kind: str, strength: int, seed: int = 0) -> np.ndarray:
    """Corrupt photographs, each in its own way, the same for a seed.

    Args:
        pixels: uint8 (N, H, W, 3).
        kind: one of `CORRUPTIONS`.
        strength: 1…5; 0 leaves them as they are.

    Returns:
        uint8 (N, H, W, 3).

    Raises:
        ValueError: no such kind or strength.
    """
    if kind not in CORRUPTIONS:
        raise ValueError(f"kind={kind!r}: choose one of {', '.join(CORRUPTIONS)}")
    if strength not in (0, *STRENGTHS):
        raise ValueError(f"strength={strength!r}: choose 0…5")
    if strength == 0:
        return pixels
    change = CORRUPTIONS[kind]
    return np.stack(
        [
            change(image, strength, np.random.default_rng([seed, strength, at]))
            for at, image in enumerate(pixels)
        ]
    )


def _pixels(values: np.ndarray) -> np.ndarray:
    return values.round().clip(0, 255).astype(np.uint8)
