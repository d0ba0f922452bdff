"""Draw one synthetic dermoscopy photograph of a given class.

A photograph is drawn in two steps. The *lesion* is a stack of chromophore maps (melanin, blood, deep melanin, scattering
fibrosis, keratin) on a square canvas, built from the structures dermatologists look for. The *view* places that canvas
on skin, turns it into colour with the Beer-Lambert law, and adds what the camera and the room add: hairs, ruler, gel
bubbles, light, vignette, blur, noise. Two views of one lesion are two photographs of it.

Only the lesion depends on the class. Size, skin tone, hairs and everything else of the view are drawn alike for all nine,
so that no camera gives the class away.

Sources
    Structures and their names: Kittler et al., "Standardization of terminology in dermoscopy/dermatoscopy: results of
    the third consensus conference of the International Society of Dermoscopy", J Am Acad Dermatol 74 (2016) 1093-1106;
    Argenziano et al., "Dermoscopy of pigmented skin lesions: results of a consensus meeting via the Internet", J Am
    Acad Dermatol 48 (2003) 679-693; Zalaudek et al., "Dermatoscopy of facial actinic keratosis, intraepidermal
    carcinoma, and invasive squamous cell carcinoma: a progression model", J Am Acad Dermatol 66 (2012) 589-597;
    Zaballos et al., "Dermoscopy of dermatofibromas", Arch Dermatol 144 (2008) 75-83.
    Colour from melanin and haemoglobin: Tsumura et al., "Image-based skin color and texture analysis/synthesis by
    extracting hemoglobin and melanin information in the skin", ACM Trans Graph 22 (2003) 770-779.
    Cells for networks, globules and lacunae: Worley, "A cellular texture basis function", SIGGRAPH 1996, 291-294.

These are drawings for exercising code. They teach nobody, human or network, what a lesion looks like.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIDE = 256  # pixels of the square lesion canvas
SPAN = 1.6  # the canvas reaches from -SPAN to SPAN; a lesion's radius is about 0.4 to 0.95
V, U = np.meshgrid(*[np.linspace(-SPAN, SPAN, SIDE, dtype=np.float32)] * 2, indexing="ij")
RADIUS, ANGLE = np.hypot(U, V), np.arctan2(V, U)
FRAME = np.clip((SPAN - np.maximum(abs(U), abs(V))) / 0.15, 0, 1)  # lesions fade before the canvas ends

MELANIN, BLOOD, DEEP, WHITE, KERATIN = range(5)
# Optical density a unit of each absorber adds to red, green and blue. Deep melanin looks blue-grey (Tyndall effect).
ABSORB = np.array([[0.50, 0.82, 1.15], [0.14, 0.85, 0.72], [1.00, 0.78, 0.45]], np.float32)
PAPER = np.array([236, 208, 192], np.float32)  # skin without pigment or blood
PALE = np.array([238, 220, 222], np.float32)  # fibrosis and scale
HORN = np.array([205, 170, 112], np.float32)  # keratin


# --- fields to draw with -----------------------------------------------------------------------------------------


def fractal(rng, cells, octaves=4, side=SIDE):
    """Smooth noise of mean 0 and deviation 1, its coarsest waves `cells` to a side; (side, side) float32."""
    total = np.zeros((side, side), np.float32)
    for octave in range(octaves):
        grid = rng.standard_normal((cells * 2**octave + 2,) * 2, dtype=np.float32)
        total += 0.55**octave * np.asarray(Image.fromarray(grid).resize((side, side), Image.Resampling.BICUBIC))
    return (total - total.mean()) / total.std()


def cellular(rng, size, side=SIDE):
    """Worley's cells, `size` pixels wide: distance to the nearest seed, gap to the second, a tone per cell.

    Returns three (side, side) float32 fields; distances in cell widths, tones uniform in 0...1. The gap is 0 on the
    borders between cells (a network's lines) and the distance 0 at their centres (globules).
    """
    count = -(-side // size)
    seeds = rng.random((3, count + 2, count + 2), dtype=np.float32)
    inside = (np.arange(size, dtype=np.float32) + 0.5) / size
    first = np.full((count, size, count, size), 9, np.float32)
    second, tone = first.copy(), np.zeros_like(first)
    for i in range(3):
        for j in range(3):
            x, y, t = seeds[:, i : i + count, j : j + count]
            down = x[:, None, :] * 0.9 + (i - 1) - inside[:, None]  # (count, size, count)
            right = (y * 0.9 + (j - 1))[:, :, None] - inside  # (count, count, size)
            gap = down[..., None] ** 2 + right[:, None] ** 2
            np.copyto(tone, t[:, None, :, None], where=gap < first)
            np.minimum(second, np.maximum(first, gap), out=second)
            np.minimum(first, gap, out=first)
    shape = (count * size,) * 2
    first, second = (np.sqrt(f).reshape(shape)[:side, :side] for f in (first, second))
    return first, second - first, tone.reshape(shape)[:side, :side]


def step(x, width):
    """A soft step from 0 to 1 where `x` crosses 0."""
    return 0.5 + 0.5 * np.tanh(x * np.float32(0.5 / width))


def curve(rng, start, angle, length, bend, points=12):
    """A wandering line: (points, 2) positions from `start`, `length` long, turning by about `bend` radians."""
    angles = angle + np.cumsum(rng.normal(0, bend / points**0.5, points))
    return start + np.cumsum(np.stack([np.cos(angles), np.sin(angles)], -1) * length / points, axis=0)


def strokes(paths, width, height):
    """Ink coverage (height, width) in 0...1 of `paths`, each (positions in pixels, pen width at its thick start)."""
    image = Image.new("L", (2 * width, 2 * height))  # twice the size, then halved: smooth edges
    pen = ImageDraw.Draw(image)
    for points, thick in paths:
        taper = np.linspace(thick, 0.35 * thick, len(points) - 1)
        for a, b, w in zip(points[:-1], points[1:], taper, strict=True):
            pen.line([*(2 * a), *(2 * b)], fill=255, width=max(1, round(2 * w)))
    return np.asarray(image.reduce(2), np.float32) / 255


# --- the structures -------------------------------------------------------------------------------------------------


@dataclass
class Lesion:
    """A lesion being drawn: its generator, signed depth inside the border, coverage 0...1 and chromophore maps."""

    rng: np.random.Generator
    depth: np.ndarray
    area: np.ndarray
    maps: np.ndarray

    def patches(self, cells=3, cover=0.5, edge=0.25):
        """A random soft mask over about `cover` of the lesion."""
        return self.area * step(fractal(self.rng, cells, 3) + 2.2 * (cover - 0.5), edge)

    def spot(self, size, off=0.6):
        """A soft irregular blob of about `size` canvas units, `off` of the way from centre to border at most."""
        angle, far = self.rng.uniform(0, 2 * np.pi), off * self.rng.random() * self.depth.max()
        gap = np.hypot(U - far * np.cos(angle), V - far * np.sin(angle))
        return step(size - gap + 0.12 * fractal(self.rng, 7, 3), 0.04)

    def vessels(self, paths):
        """Coverage of `paths`, given in canvas units with pen widths in pixels."""
        return strokes([((p / SPAN + 1) * SIDE / 2, w) for p, w in paths], SIDE, SIDE)

    def inside(self, count):
        """`count` random positions (count, 2) within the lesion, in canvas units."""
        rows, cols = np.nonzero(self.depth > 0.05)
        pick = self.rng.integers(len(rows), size=count) if len(rows) else np.zeros(0, int)
        return np.stack([U[0, cols[pick]], V[rows[pick], 0]], -1).astype(float)


def network(on, k, regular=True, where=1.0):
    """Reticular pigment: brown lines around pale holes, regular in nevi, broad and patchy when atypical."""
    _, gap, tone = cellular(on.rng, int(on.rng.integers(8, 12)))
    width = 0.16 if regular else 0.16 + 0.12 * step(fractal(on.rng, 4, 2), 0.4)
    lines = np.exp(-((gap / width) ** 2)) * (0.8 + 0.2 * tone)
    fade = on.patches(3, 0.75, 0.5) if regular else on.patches(3, 0.6)
    on.maps[MELANIN] += k * 0.75 * (lines - 0.3) * fade * where


def atypical_network(on, k):
    """Network of uneven line width that stops abruptly (melanoma)."""
    network(on, 1.5 * k, regular=False)


def ring_network(on, k):
    """Delicate network around the centre (dermatofibroma)."""
    network(on, 0.8 * k, where=step(0.35 * on.depth.max() - on.depth, 0.08))


def globules(on, k):
    """Round brown aggregates: many and alike (nevus) ..."""
    near, _, tone = cellular(on.rng, int(on.rng.integers(9, 15)))
    on.maps[MELANIN] += k * 0.9 * step(0.30 + 0.12 * tone - near, 0.07) * (tone > 0.25) * on.area


def irregular_globules(on, k):
    """... or of many sizes and scattered, down to black dots (melanoma)."""
    near, _, tone = cellular(on.rng, int(on.rng.integers(10, 18)))
    on.maps[MELANIN] += k * 1.5 * step(0.1 + 0.3 * tone - near, 0.06) * (tone > 0.5) * on.patches(3, 0.5)


def blotch(on, k):
    """An off-centre structureless dark area."""
    on.maps[MELANIN] += k * 1.5 * on.spot(on.rng.uniform(0.2, 0.4), 0.8) * on.area


def veil(on, k):
    """Blue-white veil: confluent blue pigment under a whitish haze."""
    cloud = on.spot(on.rng.uniform(0.25, 0.5)) * on.patches(3, 0.7, 0.5)
    on.maps[DEEP] += k * 1.2 * cloud
    on.maps[MELANIN] *= 1 - 0.4 * k * cloud
    on.maps[WHITE] += k * 0.2 * cloud


def streaks(on, k):
    """Radial streaks and pseudopods at part of the border."""
    rays = np.cos(ANGLE * int(on.rng.integers(18, 30)) + 2 * fractal(on.rng, 4, 2))
    rim = np.exp(-((on.depth / 0.13) ** 2)) * step(fractal(on.rng, 2, 1), 0.3)
    on.maps[MELANIN] += k * 1.2 * step(rays - 0.2, 0.25) * rim * FRAME


def regression(on, k):
    """White scar-like area with blue-grey peppering."""
    scar = on.spot(on.rng.uniform(0.2, 0.4), 0.9) * on.area
    on.maps[MELANIN] *= 1 - 0.7 * k * scar
    on.maps[WHITE] += 0.4 * k * scar
    near, _, tone = cellular(on.rng, 6)
    on.maps[DEEP] += k * 0.9 * step(0.25 - near, 0.06) * (tone > 0.6) * scar


def peppering(on, k):
    """Grey-blue granules (regressing lichen-planus-like keratosis)."""
    near, _, tone = cellular(on.rng, int(on.rng.integers(5, 8)))
    on.maps[DEEP] += k * 0.8 * step(0.3 - near, 0.06) * (tone > 0.5) * on.patches(3, 0.6)


def milia(on, k):
    """Milia-like cysts: round white to yellow dots."""
    near, _, tone = cellular(on.rng, int(on.rng.integers(14, 24)))
    dots = step(0.06 + 0.14 * tone - near, 0.06) * (tone > 0.6) * on.area
    on.maps[WHITE] += k * 0.5 * dots
    on.maps[MELANIN] *= 1 - 0.6 * dots * min(k, 1)


def openings(on, k):
    """Comedo-like openings: dark brown craters plugged with keratin."""
    near, _, tone = cellular(on.rng, int(on.rng.integers(14, 24)))
    on.maps[MELANIN] += k * 1.2 * step(0.06 + 0.2 * tone - near, 0.06) * (tone > 0.5) * on.area
    on.maps[KERATIN] += k * 0.3 * step(0.1 - near, 0.05) * (tone > 0.45) * on.area


def fissures(on, k):
    """Sulci and gyri: the brain-like surface of a seborrheic keratosis."""
    wave = abs(fractal(on.rng, int(on.rng.integers(6, 10)), 2))
    furrows = np.exp(-((wave / 0.22) ** 2)) * on.area
    on.maps[MELANIN] += k * 0.7 * furrows
    on.maps[KERATIN] += k * 0.18 * step(wave - 0.6, 0.2) * on.area


def waxy(on, k):
    """Dull, stuck-on keratin over the whole plaque (seborrheic keratosis)."""
    on.maps[KERATIN] += k * 0.55 * on.area * np.clip(1 + 0.4 * fractal(on.rng, 6, 4), 0, 2)


def fingerprint(on, k):
    """Fine parallel brown lines (solar lentigo)."""
    phase = U * on.rng.uniform(30, 48) + 2.5 * fractal(on.rng, 4, 3)
    on.maps[MELANIN] += k * 0.22 * np.cos(phase) * on.patches(4, 0.7)


def moth_eaten(on, k):
    """Concave bites out of the border."""
    near, _, tone = cellular(on.rng, int(on.rng.integers(22, 36)))
    bites = step(0.5 - near, 0.08) * (tone > 0.45) * step(0.35 - on.depth, 0.08)
    on.maps[MELANIN] *= 1 - 0.9 * min(k, 1) * bites


def lacunae(on, k):
    """Red, maroon or blue-black lakes of blood between pale septa."""
    _, gap, tone = cellular(on.rng, int(on.rng.integers(18, 44)))
    lake = step(gap - on.rng.uniform(0.05, 0.2), 0.1) * on.area
    on.maps[BLOOD] += k * lake * (0.5 + 0.9 * tone)
    on.maps[DEEP] += k * lake * (tone > on.rng.uniform(0.3, 1.1)) * on.rng.uniform(0.4, 1.2)
    on.maps[WHITE] += k * 0.1 * (1 - lake) * on.area


def nests(on, k):
    """Blue-grey ovoid nests and leaf-like areas of basal cell carcinoma."""
    near, _, tone = cellular(on.rng, int(on.rng.integers(20, 40)))
    near = near + 0.06 * fractal(on.rng, 16, 2)
    some = tone > on.rng.uniform(0.4, 0.7)
    blobs = step(0.45 * tone - near, 0.08) * some * step(on.depth + 0.05, 0.05)
    on.maps[DEEP] += k * 0.9 * blobs
    on.maps[MELANIN] += k * 0.35 * blobs


def arborising(on, k):
    """Bright red vessels that branch like trees."""
    paths = []
    for start in on.inside(int(on.rng.integers(2, 6))):
        angle, width = on.rng.uniform(0, 2 * np.pi), on.rng.uniform(1.6, 3.0)
        trunk = curve(on.rng, start - 0.4 * np.array([np.cos(angle), np.sin(angle)]), angle, 0.9, 0.9)
        paths.append((trunk, width))
        for at in on.rng.integers(2, len(trunk), size=4):
            turn = angle + on.rng.choice([-1, 1]) * on.rng.uniform(0.4, 1.1)
            paths.append((curve(on.rng, trunk[at], turn, on.rng.uniform(0.2, 0.5), 1.0), 0.5 * width))
    on.maps[BLOOD] += k * 1.0 * on.vessels(paths) * step(on.depth + 0.25, 0.06)


def hairpins(on, k):
    """Looped vessels, each in a pale halo (keratinising tumours)."""
    paths = []
    for start in on.inside(int(on.rng.integers(10, 26))):
        turn = np.linspace(0, 1.2 * np.pi, 8) + on.rng.uniform(0, 2 * np.pi)
        paths.append((start + 0.05 * np.stack([np.cos(turn), 1.7 * np.sin(turn)], -1), 1.6))
    ink = on.vessels(paths)
    halo = Image.fromarray(ink).resize((32, 32), Image.Resampling.BOX).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    on.maps[WHITE] += k * 0.5 * np.clip(np.asarray(halo), 0, 1) * on.area
    on.maps[BLOOD] += k * 1.0 * ink


def dotted_vessels(on, k):
    """Clustered dots and coiled (glomerular) vessels."""
    near, _, tone = cellular(on.rng, int(on.rng.integers(7, 12)))
    on.maps[BLOOD] += k * 0.8 * step(0.32 - near, 0.08) * (tone > 0.3) * on.patches(3, 0.55)


def strawberry(on, k):
    """Red pseudonetwork around pale, keratin-filled follicles (actinic keratosis)."""
    near, gap, tone = cellular(on.rng, int(on.rng.integers(12, 20)))
    follicle = step(0.16 + 0.12 * tone - near, 0.08) * on.area
    on.maps[BLOOD] += k * 0.4 * (1 - follicle) * np.exp(-((gap / 0.5) ** 2)) * on.area
    on.maps[WHITE] += k * 0.3 * follicle
    on.maps[KERATIN] += k * 0.3 * step(0.12 - near, 0.05) * on.area


def white_circles(on, k):
    """Bright white rings around follicles (squamous cell carcinoma)."""
    near, _, tone = cellular(on.rng, int(on.rng.integers(16, 26)))
    on.maps[WHITE] += k * 0.4 * np.exp(-(((near - 0.22) / 0.1) ** 2)) * (tone > 0.5) * on.area


def scale(on, k):
    """Flakes of white to yellow scale on the surface."""
    flakes = step(fractal(on.rng, 14, 4) - 0.7, 0.15) * on.patches(3, 0.6)
    on.maps[WHITE] += k * 0.6 * flakes
    on.maps[KERATIN] += k * 0.35 * step(fractal(on.rng, 9, 3) - 0.8, 0.15) * on.patches(3, 0.5)


def horn(on, k):
    """A central mass of keratin with blood spots."""
    mass = on.spot(on.rng.uniform(0.3, 0.55), 0.3) * on.area
    on.maps[KERATIN] += k * 0.75 * mass * (0.8 + 0.2 * fractal(on.rng, 12, 3))
    near, _, tone = cellular(on.rng, 14)
    on.maps[BLOOD] += k * 1.6 * step(0.25 - near, 0.06) * (tone > 0.75) * mass


def ulcer(on, k):
    """Erosion: a dark red to orange crust."""
    crust = on.spot(on.rng.uniform(0.12, 0.28), 0.5) * on.area
    on.maps[BLOOD] += k * crust * (1.2 + 0.3 * fractal(on.rng, 14, 3))
    on.maps[MELANIN] += k * 0.5 * crust


def scar(on, k):
    """White scar-like centre of a dermatofibroma."""
    gap = RADIUS / on.depth.max() + 0.12 * fractal(on.rng, 5, 4)
    centre = step(on.rng.uniform(0.4, 0.7) - gap, 0.09) * on.area
    on.maps[MELANIN] *= 1 - 0.75 * min(k, 1) * centre
    on.maps[WHITE] += k * 0.65 * centre * (0.85 + 0.25 * fractal(on.rng, 18, 3))


def shiny_lines(on, k):
    """Short white crossing lines that polarised light shows."""
    ways = on.rng.uniform(0, np.pi) + np.array([0, np.pi / 2])
    paths = [(curve(on.rng, s, on.rng.choice(ways), 0.22, 0.2, 5), 1.6) for s in on.inside(24)]
    on.maps[WHITE] += k * 0.45 * on.vessels(paths) * on.area


# --- which class has what -----------------------------------------------------------------------------------------


class Recipe(NamedTuple):
    """A class: ranges its flat colour and border are drawn from, and its structures with their probabilities."""

    melanin: tuple
    blood: tuple
    ragged: tuple  # how far the border leaves an ellipse
    soft: tuple  # width of the border, canvas units
    uneven: tuple  # how patchy the pigment is
    structures: dict


RECIPES = {
    "actinic keratosis": Recipe(
        (0.0, 0.25), (0.3, 0.65), (0.2, 0.5), (0.08, 0.22), (0.2, 0.8),
        {strawberry: 0.9, scale: 0.8, dotted_vessels: 0.15, peppering: 0.15}),
    "basal cell carcinoma": Recipe(
        (0.0, 0.2), (0.1, 0.4), (0.1, 0.4), (0.04, 0.14), (0.2, 0.7),
        {arborising: 0.85, nests: 0.8, ulcer: 0.3, shiny_lines: 0.3}),
    "dermatofibroma": Recipe(
        (0.35, 0.75), (0.15, 0.45), (0.05, 0.2), (0.1, 0.25), (0.1, 0.4),
        {scar: 0.95, ring_network: 0.8, shiny_lines: 0.25, dotted_vessels: 0.15}),
    "melanoma": Recipe(
        (0.8, 1.6), (0.0, 0.3), (0.25, 0.6), (0.02, 0.10), (0.4, 0.9),
        {veil: 0.8, atypical_network: 0.6, blotch: 0.6, streaks: 0.45, irregular_globules: 0.5,
         regression: 0.4}),
    "nevus": Recipe(
        (0.5, 1.1), (0.0, 0.25), (0.03, 0.2), (0.04, 0.14), (0.05, 0.3),
        {network: 0.7, globules: 0.4, blotch: 0.08}),
    "pigmented benign keratosis": Recipe(
        (0.2, 0.55), (0.0, 0.2), (0.25, 0.6), (0.03, 0.10), (0.3, 0.8),
        {fingerprint: 0.5, moth_eaten: 0.8, peppering: 0.4, milia: 0.2, network: 0.15}),
    "seborrheic keratosis": Recipe(
        (0.5, 1.2), (0.0, 0.2), (0.1, 0.35), (0.015, 0.04), (0.2, 0.6),
        {waxy: 0.9, milia: 0.75, openings: 0.7, fissures: 0.55, hairpins: 0.2}),
    "squamous cell carcinoma": Recipe(
        (0.0, 0.25), (0.5, 1.0), (0.2, 0.5), (0.04, 0.15), (0.2, 0.8),
        {horn: 0.85, hairpins: 0.5, white_circles: 0.5, ulcer: 0.4, scale: 0.3, dotted_vessels: 0.3}),
    "vascular lesion": Recipe(
        (0.0, 0.15), (0.8, 1.5), (0.03, 0.2), (0.015, 0.06), (0.1, 0.4),
        {lacunae: 0.85, veil: 0.1, dotted_vessels: 0.1}),
}  # fmt: skip


def lesion(label, rng):
    """Chromophore maps (5, SIDE, SIDE) float32 of one lesion of class `label`."""
    recipe = RECIPES[label]
    melanin, blood, ragged, soft, uneven = (rng.uniform(*pair) for pair in recipe[:5])
    waves = sum(rng.normal() / n * np.cos(n * ANGLE + rng.uniform(0, 2 * np.pi)) for n in range(2, 7))
    outline = rng.uniform(0.5, 0.95) * (1 + 0.4 * ragged * waves)
    stretch, tilt = rng.uniform(1, 1.35), rng.uniform(0, np.pi)
    long = U * np.cos(tilt) + V * np.sin(tilt)
    short = V * np.cos(tilt) - U * np.sin(tilt)
    depth = outline - np.hypot(long / stretch, short * stretch) + 0.22 * ragged * fractal(rng, 7, 5)
    area = step(depth, soft) * FRAME
    patchy = np.clip(1 + uneven * fractal(rng, 4, 5), 0.1, 3)
    drawn = Lesion(rng, depth, area, np.zeros((5, SIDE, SIDE), np.float32))
    drawn.maps[MELANIN] = melanin * area * patchy
    drawn.maps[BLOOD] = blood * area * np.clip(1 + 0.6 * uneven * fractal(rng, 5, 4), 0.2, 2)
    for structure, chance in recipe.structures.items():
        if rng.random() < chance:
            structure(drawn, rng.uniform(0.7, 1.2))
    return drawn.maps


# --- the view -----------------------------------------------------------------------------------------------------


def place(maps, bend, rng, width, height):
    """The lesion canvas turned, zoomed, shifted and warped into a photograph: (5, height, width).

    `bend` (n, 4) are the lesion's own waves: they make its cells and borders grow crooked.
    """
    turn, pixel = rng.uniform(0, 2 * np.pi), SIDE / min(width, height) * rng.uniform(0.6, 0.9)
    rows, cols = (np.linspace(0, n, 9).astype(int) for n in (height, width))
    y, x = np.meshgrid(rows - height / 2, cols - width / 2, indexing="ij")
    x, y = pixel * (x * np.cos(turn) + y * np.sin(turn)), pixel * (y * np.cos(turn) - x * np.sin(turn))
    for phase, way, long, high in bend:
        wave = high * np.sin(phase + (x * np.cos(way) + y * np.sin(way)) / long)
        x, y = x - wave * np.sin(way), y + wave * np.cos(way)
    nodes = np.stack([x, y], -1) + SIDE / 2 + rng.normal(0, 9, 2)
    mesh = [((cols[j], rows[i], cols[j + 1], rows[i + 1]),
             (*nodes[i, j], *nodes[i + 1, j], *nodes[i + 1, j + 1], *nodes[i, j + 1]))
            for i in range(8) for j in range(8)]  # fmt: skip
    return np.stack([np.asarray(Image.fromarray(layer).transform(
        (width, height), Image.Transform.MESH, mesh, Image.Resampling.BILINEAR)) for layer in maps])


def skin(tone, rng, width, height):
    """Melanin and blood of bare skin: blotches, fine creases and a follicle here and there; (2, height, width)."""
    side = max(width, height)
    _, gap, _ = cellular(rng, int(rng.integers(9, 16)), side)
    crease = np.exp(-((gap / 0.2) ** 2)) - 0.35 * fractal(rng, 40, 2, side)
    melanin = tone[0] * (1 + 0.12 * fractal(rng, 4, 5, side)) - 0.05 * rng.random() * crease
    blood = tone[1] + rng.uniform(0.01, 0.07) * fractal(rng, 4, 6, side)
    if rng.random() < 0.3:  # freckles and sun damage
        melanin += rng.uniform(0.05, 0.3) * step(fractal(rng, 9, 4, side) - 1.3, 0.2)
    return np.stack([melanin, blood])[:, :height, :width]


def hairs(rng, width, height):
    """Coverage of dark, thin, curved hairs: none in half the photographs, dozens in a few."""
    count = 0 if rng.random() < 0.5 else int(rng.exponential(9)) + 1
    along, size = rng.uniform(0, 2 * np.pi), np.array([width, height])
    starts = rng.uniform(-0.1, 1.1, (count, 2)) * size
    lengths = rng.uniform(0.25, 0.9, count) * width
    thick = rng.uniform(0.7, 1.8)
    return strokes([(curve(rng, s, along + rng.normal(0, 0.6), n, 0.5, 14), thick)
                    for s, n in zip(starts, lengths, strict=True)], width, height)  # fmt: skip


def ruler(rng, width, height):
    """Coverage of millimetre marks along an edge, in one photograph of seven."""
    if rng.random() > 0.15:
        return np.zeros((height, width), np.float32)
    gap, edge, slope = rng.uniform(7, 16), rng.uniform(0.0, 0.12), rng.uniform(-0.15, 0.15)
    ticks = []
    for i in range(int(1.2 * width / gap)):
        foot = np.array([i * gap, edge * height + slope * i * gap])
        ticks.append((np.stack([foot, foot + (8 if i % 5 else 14) * np.array([-slope, 1])]), 1.3))
    ink = strokes(ticks, width, height)
    return ink[::-1] if rng.random() < 0.5 else ink


def bubbles(rng, width, height):
    """Coverage of the bright rims of gel bubbles, in one photograph of six."""
    image = Image.new("L", (2 * width, 2 * height))
    pen = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(2, 14)) if rng.random() < 0.17 else 0):
        x, y, r = rng.uniform(0, 2 * width), rng.uniform(0, 2 * height), rng.uniform(4, 22)
        pen.ellipse([x - r, y - r, x + r, y + r], outline=120, width=2)
        pen.ellipse([x - 0.5 * r - 2, y - 0.5 * r - 2, x - 0.5 * r + 2, y - 0.5 * r + 2], fill=230)
    return np.asarray(image.reduce(2), np.float32)[..., None] / 255


def camera(rgb, rng):
    """Light, white balance, vignette, blur and sensor noise on (H, W, 3) float32 in 0...255; returns uint8."""
    height, width, _ = rgb.shape
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None] * height / max(width, height)
    x = np.linspace(-1, 1, width, dtype=np.float32) * width / max(width, height)
    angle, slope = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.1)
    light = 1 + slope * (x * np.cos(angle) + y * np.sin(angle)) - rng.uniform(0, 0.22) * (x * x + y * y)
    if rng.random() < 0.1:  # the round field of a contact dermatoscope
        light = light * step(rng.uniform(0.95, 1.25) - np.hypot(x, y), 0.02)
    cast = rng.uniform(0.88, 1.06) * np.exp(rng.normal([0, 0, 0.03], [0.03, 0.04, 0.06]))
    rgb = rgb * light[..., None] * cast.astype(np.float32)
    rgb += rng.normal(0, rng.uniform(1, 3.5)) + rng.uniform(1, 3.5) * rng.standard_normal(rgb.shape, np.float32)
    image = Image.fromarray(np.clip(rgb, 0, 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.0))))


def draw(label, lesion_rng, photo_rng, size=(224, 224)):
    """One photograph of one lesion.

    Args:
        label: class name as the folders spell it, a key of `RECIPES`.
        lesion_rng: `numpy.random.Generator` that decides the lesion and the patient's skin tone. The same state gives
            the same lesion again.
        photo_rng: the generator that decides the view: turn, zoom, hairs, light, camera.
        size: (width, height) in pixels.

    Returns:
        (height, width, 3) uint8 array, RGB.

    Raises:
        ValueError: if there is no recipe for `label`.
    """
    if label not in RECIPES:
        raise ValueError(f"no recipe for class {label!r}; there are {', '.join(RECIPES)}")
    width, height = size
    # Fitzpatrick I to VI as melanin density, mostly light; redness by itself.
    tone = min(lesion_rng.lognormal(-2.2, 0.75), 1.3), lesion_rng.uniform(0.04, 0.16)
    bend = lesion_rng.uniform([0, 0, 12, 1], [2 * np.pi, 2 * np.pi, 30, 6], (5, 4))
    maps = place(lesion(label, lesion_rng), bend, photo_rng, width, height)
    maps[:2] = np.maximum(maps[:2] + skin(tone, photo_rng, width, height), 0)
    rgb = PAPER * np.exp(-np.tensordot(np.maximum(maps[:3], 0), ABSORB, (0, 0)))
    for layer, colour in ((KERATIN, HORN), (WHITE, PALE)):
        rgb += np.clip(maps[layer], 0, 0.85)[..., None] * (colour - rgb)
    ink = np.maximum(hairs(photo_rng, width, height), ruler(photo_rng, width, height))[..., None]
    rgb = rgb * (1 - 0.8 * ink) + 255 * 0.5 * bubbles(photo_rng, width, height)
    return camera(rgb, photo_rng)
