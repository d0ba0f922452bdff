"""Draw one synthetic dermoscopy photograph of a given class.

A photograph is drawn in two steps. The *lesion* is a stack of maps of what absorbs or scatters
light (melanin, blood, deep melanin, fibrosis, keratin) on a square canvas, built from the
structures dermatologists look for. The *view* places that canvas on skin, turns it into colour
with the Beer-Lambert law and adds what camera and room add: hairs, ruler, gel bubbles, light,
blur, noise. Two views of one lesion are two photographs of it.

Only the lesion depends on the class. Image size, skin tone, hairs and the rest of the view are
drawn alike for all nine, so no camera gives a class away. These are drawings to exercise code
with: they teach nobody, human or network, what a lesion looks like.

Skin colour from melanin and haemoglobin: Tsumura et al., ACM Trans Graph 22 (2003) 770-779. The
sources of the structures stand in `structures`.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from skincnn.structures import KERATIN, RECIPES, WHITE, lesion
from skincnn.textures import SIDE, TURN, cellular, curve, fractal, step, strokes

# Optical density a unit of each absorber adds to red, green, blue. Deep melanin looks blue-grey, as
# short waves are scattered back before they reach it (Tyndall effect).
ABSORB = np.array([[0.50, 0.82, 1.15], [0.14, 0.85, 0.72], [1.00, 0.78, 0.45]], np.float32)
BARE = np.array([236, 208, 192], np.float32)  # skin without pigment or blood
PALE = np.array([238, 220, 222], np.float32)  # fibrosis and scale
HORN = np.array([200, 164, 112], np.float32)  # keratin


def place(maps, waves, rng, width, height):
    """The canvas turned, zoomed, shifted and warped into a photograph: (5, height, width) float32.

    `waves`, rows of phase, direction, length and height, are the lesion's own: they bend it.
    """
    turn, pixel = rng.uniform(0, TURN), SIDE / min(width, height) * rng.uniform(0.48, 0.8)
    rows, cols = (np.linspace(0, n, 9).astype(int) for n in (height, width))
    y, x = np.meshgrid(pixel * (rows - height / 2), pixel * (cols - width / 2), indexing="ij")
    x, y = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    for phase, way, length, size in waves:
        shift = size * np.sin(phase + (x * np.cos(way) + y * np.sin(way)) / length)
        x, y = x - shift * np.sin(way), y + shift * np.cos(way)
    nodes = np.stack([x, y], -1) + SIDE / 2 + rng.normal(0, 9, 2)
    mesh = []
    for i, j in np.ndindex(8, 8):
        corners = nodes[i, j], nodes[i + 1, j], nodes[i + 1, j + 1], nodes[i, j + 1]
        mesh.append(((cols[j], rows[i], cols[j + 1], rows[i + 1]), np.ravel(corners)))
    placed = np.zeros((len(maps), height, width), np.float32)
    how = (width, height), Image.Transform.MESH, mesh, Image.Resampling.BILINEAR
    for layer, empty in zip(maps, placed, strict=True):
        if layer.any():
            empty[:] = Image.fromarray(layer).transform(*how)
    return placed


def skin(tone, rng, width, height):
    """Melanin and blood of bare skin, with creases, blotches and freckles: (2, height, width)."""
    side = max(width, height)
    _, gap, _ = cellular(rng, 9, 16, side)
    crease = np.exp(-((gap / 0.2) ** 2)) - 0.35 * fractal(rng, 40, 2, side)
    melanin = tone[0] * (1 + 0.12 * fractal(rng, 4, 5, side)) - 0.05 * rng.random() * crease
    if rng.random() < 0.3:  # freckles and sun damage
        melanin += rng.uniform(0.05, 0.3) * step(fractal(rng, 9, 4, side) - 1.3, 0.2)
    blood = tone[1] + rng.uniform(0.01, 0.07) * fractal(rng, 4, 6, side)
    return np.stack([melanin, blood])[:, :height, :width]


def hairs(rng, width, height):
    """Paths of thin, dark, curved hairs: none in half the photographs, dozens in a few."""
    count = 0 if rng.random() < 0.5 else int(rng.exponential(9)) + 1
    along, thick, size = rng.uniform(0, TURN), rng.uniform(0.7, 1.8), np.array([width, height])
    for start in rng.uniform(-0.1, 1.1, (count, 2)) * size:
        length = rng.uniform(0.25, 0.9) * width
        yield curve(rng, start, along + rng.normal(0, 0.6), length, 0.5, 14), thick


def ruler(rng, width, height):
    """Paths of the marks of a ruler along an edge, in one photograph of seven."""
    if rng.random() > 0.15:
        return
    gap, slope, away = rng.uniform(7, 16), rng.uniform(-0.15, 0.15), rng.choice([-1, 1])
    edge = rng.uniform(0, 0.12) * height
    for i in range(int(width / gap) + 1):
        foot = np.array([i * gap, edge + slope * i * gap])
        mark = np.stack([foot, foot + (8 if i % 5 else 14) * np.array([-slope, 1])])
        yield mark if away > 0 else np.array([0, height]) + mark * [1, -1], 1.3


def bubbles(rng, width, height):
    """Brightness 0...1 of the rims of gel bubbles, in one photograph of six: (height, width)."""
    image = Image.new("L", (2 * width, 2 * height))
    pen = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(2, 14)) if rng.random() < 0.17 else 0):
        x, y, r = rng.uniform(0, 2 * width), rng.uniform(0, 2 * height), rng.uniform(4, 22)
        pen.ellipse([x - r, y - r, x + r, y + r], outline=60, width=2)
        pen.ellipse([x - r / 2 - 2, y - r / 2 - 2, x - r / 2 + 2, y - r / 2 + 2], fill=115)
    return np.asarray(image.reduce(2), np.float32) / 255


def camera(rgb, rng):
    """Light, white balance, vignette, noise, blur on (H, W, 3) float32 in 0...255; uint8."""
    height, width, _ = rgb.shape
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None] * height / max(width, height)
    x = np.linspace(-1, 1, width, dtype=np.float32) * width / max(width, height)
    angle, slope, dim = rng.uniform(0, TURN), rng.uniform(0, 0.1), rng.uniform(0, 0.18)
    light = 1 + slope * (x * np.cos(angle) + y * np.sin(angle)) - dim * (x * x + y * y)
    if rng.random() < 0.06:  # the round field of a contact dermatoscope
        light *= step(rng.uniform(0.95, 1.25) - np.hypot(x, y), 0.02)
    balance = rng.uniform(0.92, 1.05) * np.exp(rng.normal([0, 0, 0.02], [0.02, 0.03, 0.045]))
    noise = rng.uniform(1, 3.5) * rng.standard_normal(rgb.shape, np.float32)
    rgb = np.clip(rgb * light[..., None] * balance.astype(np.float32) + noise, 0, 255)
    image = Image.fromarray(rgb.astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.0))))


def draw(label, lesion_rng, photo_rng, size=(224, 224)):
    """One photograph of one lesion.

    Args:
        label: class name as the folders spell it, a key of `RECIPES`.
        lesion_rng: `numpy.random.Generator` that decides the lesion and the patient's skin tone:
            the same state gives the same lesion again.
        photo_rng: the generator that decides the view: turn, zoom, hairs, light, camera.
        size: (width, height) in pixels.

    Returns:
        (height, width, 3) uint8 array, RGB.

    Raises:
        ValueError: if there is no recipe for `label`.
    """
    if label not in RECIPES:
        raise ValueError(f"no recipe for class {label!r}; there are {', '.join(RECIPES)}")
    # Fitzpatrick I to III as melanin density, IV to VI in one patient of eight; redness by itself.
    fair = lesion_rng.random() > 0.12
    tone = (
        lesion_rng.uniform(*((0.03, 0.25) if fair else (0.3, 1.2))),
        lesion_rng.uniform(0.04, 0.15),
    )
    waves = lesion_rng.uniform([0, 0, 16, 1], [TURN, TURN, 40, 6], (5, 4))
    maps = place(lesion(label, lesion_rng), waves, photo_rng, *size)
    maps[:2] += skin(tone, photo_rng, *size)
    rgb = BARE * np.exp(-np.tensordot(np.maximum(maps[:3], 0), ABSORB, (0, 0)))
    for layer, colour in ((KERATIN, HORN), (WHITE, PALE)):
        rgb += np.clip(maps[layer], 0, 0.85)[..., None] * (colour - rgb)
    ink = strokes([*hairs(photo_rng, *size), *ruler(photo_rng, *size)], *size)[..., None]
    rgb = rgb * (1 - 0.8 * ink) + 255 * bubbles(photo_rng, *size)[..., None]
    return camera(rgb, photo_rng)
