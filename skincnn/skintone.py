"""Skin tone around a lesion, as the individual typology angle measured on the photograph.

The angle comes from a colorimeter pressed on skin (Chardon et al. 1991). On a dermoscopic
photograph it is a rough guide, to look at groups and never at one person:

- the lamp, polarisation and gel, the camera's white balance and the tone curve move L* and b*, so
  the same skin is another angle with another device: collections differ for that reason alone;
- vignetting and the redness or sun damage around a lesion darken the border, a photograph cropped
  to its lesion shows no skin at all, and a large lesion passes for dark skin;
- published ways of measuring it disagree widely on the same set (Kalb et al. 2023), and agree less
  with experts than these with each other (Groh et al. 2022).

A difference between tones is a question to follow up; no difference is no proof of fairness, the
less so as dark skin is hardly present in the public collections.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
from tqdm import tqdm

from skincnn import data, images

# Kinyanjui et al. 2020, their halves of light, intermediate and tan taken together.
TONES = {"very light": 55.0, "light": 41.0, "intermediate": 28.0, "tan": 10.0, "dark": -np.inf}
BORDER = 0.15  # of the shorter side: wide enough to hold skin where a round view cuts the corners
BLACK = 40  # brightest channel below this is vignette or a ruler's mark, not even dark skin
GLARE = 250  # darkest channel from here on is a reflection or paper
ENOUGH = 0.1  # of the border that must be skin
# CIE 1931, D65: linear sRGB to XYZ, and white.
_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
     [0.0193339, 0.1191920, 0.9503041]]
)  # fmt: skip
_WHITE = _XYZ.sum(axis=1)


def ita(image: np.ndarray) -> float:
    """The individual typology angle of the skin along the border of a photograph.

    `atan((L* − 50) / b*)` in degrees, of the medians over the border: hair, bubbles and a ruler
    are few of its pixels and move a median little. Black corners and reflections are left out, and
    so are the half of the pixels whose lightness lies farthest from the median: what is left of a
    lesion that reaches the border.

    Args:
        image: uint8 (H, W, 3), sRGB.

    Returns:
        Degrees, −90…90, the higher the lighter; NaN where less than a tenth of the border could be
        skin, or it is not yellowish (b* ≤ 0), as no skin is under white light.

    Raises:
        ValueError: not a uint8 array (H, W, 3).
    """
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image is {image.dtype} {image.shape}: expected uint8 (H, W, 3)")
    width = max(1, round(BORDER * min(image.shape[:2])))
    border = np.ones(image.shape[:2], bool)
    border[width:-width, width:-width] = False
    pixels = image[border]
    skin = pixels[(pixels.max(axis=1) >= BLACK) & (pixels.min(axis=1) < GLARE)]
    if len(skin) < ENOUGH * len(pixels):
        return np.nan
    lightness, _, yellow = lab(skin).T
    away = np.abs(lightness - np.median(lightness))
    near = away <= np.median(away)
    lightness, yellow = np.median(lightness[near]), np.median(yellow[near])
    return float(np.degrees(np.arctan((lightness - 50) / yellow))) if yellow > 0 else np.nan


def lab(pixels: np.ndarray) -> np.ndarray:
    """CIELAB under D65 of 8-bit sRGB (N, 3): L* 0…100, a*, b* about −128…128 (CIE 15:2004)."""
    rgb = np.arange(256) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = linear[pixels] @ _XYZ.T / _WHITE
    d = 6 / 29
    x, y, z = np.where(xyz > d**3, np.cbrt(xyz), xyz / (3 * d**2) + 4 / 29).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def tone(angle: float) -> str:
    """Its name (Kinyanjui et al. 2020): `very light` above 55°, `light` above 41°, `intermediate`
    above 28°, `tan` above 10°, `dark`; "" for NaN."""
    return next((name for name, least in TONES.items() if angle > least), "")


def measure(index: pd.DataFrame, progress: bool = True) -> pd.Series:
    """The angle of every photograph of an index, NaN where there is none or no skin.

    Example:
        >>> index["ita"] = skintone.measure(index)
        >>> index["skin_tone"] = index["ita"].map(skintone.tone)
        >>> evaluate.by(table, index, "skin_tone")
    """

    def angle(path) -> float:
        try:
            return ita(images.decode(path))
        except images.ImageProblem:
            return np.nan

    with ThreadPoolExecutor() as pool:
        angles = pool.map(angle, data.paths(index))
        bar = tqdm(angles, "measuring skin tone", len(index), disable=not progress)
        return pd.Series(list(bar), index=index.index, name="ita", dtype=np.float64)
