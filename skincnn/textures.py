"""Random fields and strokes that the synthetic photographs are drawn with; numpy and Pillow only.

Cells for networks and lacunae: Worley, "A cellular texture basis function", SIGGRAPH 1996.
"""

import numpy as np
from PIL import Image, ImageDraw

SIDE = 256  # pixels of the square lesion canvas
TURN = 2 * np.pi


def fractal(rng, cells, octaves=4, side=SIDE):
    """Smooth noise of mean 0 and deviation 1, coarsest waves `cells` to a side: (side, side)."""
    total = np.zeros((side, side), np.float32)
    for octave in range(octaves):
        grid = Image.fromarray(rng.standard_normal((cells * 2**octave + 2,) * 2, np.float32))
        total += 0.55**octave * np.asarray(grid.resize((side, side), Image.Resampling.BICUBIC))
    return (total - total.mean()) / total.std()


def cellular(rng, low, high, side=SIDE):
    """Worley's cells, `low` to `high` pixels wide: nearest, gap and tone, each (side, side).

    `nearest` is the distance to the nearest seed in cell widths (0 in the middle of a globule),
    `gap` how much further the second is (0 on a network's lines), `tone` a uniform 0...1 a cell.
    """
    size = int(rng.integers(low, high))
    count = -(-side // size)
    seeds = rng.random((3, count + 2, count + 2), dtype=np.float32)
    inside = (np.arange(size, dtype=np.float32) + 0.5) / size
    first = np.full((count, size, count, size), 9, np.float32)  # row of cells, row in it, columns
    second, tone = first.copy(), np.zeros_like(first)
    for i in range(3):
        for j in range(3):
            y, x, t = seeds[:, i : i + count, j : j + count]
            down = (0.9 * y + i - 1)[:, None, :] - inside[:, None]
            right = (0.9 * x + j - 1)[:, :, None] - inside
            far = down[..., None] ** 2 + right[:, None] ** 2
            np.copyto(tone, t[:, None, :, None], where=far < first)
            np.minimum(second, np.maximum(first, far), out=second)
            np.minimum(first, far, out=first)
    fields = np.sqrt(first), np.sqrt(second) - np.sqrt(first), tone
    return [field.reshape(count * size, count * size)[:side, :side] for field in fields]


def step(x, width):
    """A soft step from 0 to 1 where `x` crosses 0."""
    return 0.5 + 0.5 * np.tanh(x * np.float32(0.5 / width))


def curve(rng, start, angle, length, bend, points=12):
    """A line that wanders off from `start`, `length` long, turning by `bend` rad: (points, 2)."""
    angles = angle + np.cumsum(rng.normal(0, bend / points**0.5, points))
    return start + np.cumsum(np.stack([np.cos(angles), np.sin(angles)], -1), 0) * length / points


def strokes(paths, width, height):
    """Ink coverage 0...1 (height, width) of `paths`: (positions, pen width at the thick start)."""
    image = Image.new("L", (2 * width, 2 * height))  # twice the size, then halved: smooth edges
    pen = ImageDraw.Draw(image)
    for points, thick in paths:
        taper = np.linspace(2 * thick, 0.7 * thick, len(points) - 1)
        for a, b, w in zip(2 * points[:-1], 2 * points[1:], taper, strict=True):
            pen.line([*a, *b], fill=255, width=max(1, round(w)))
    return np.asarray(image.reduce(2), np.float32) / 255
