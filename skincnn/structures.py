"""The structures dermatologists look for, drawn on a lesion, and which class has which.

A lesion is a stack of maps of what absorbs or scatters light (melanin, blood, deep melanin,
fibrosis, keratin) on a square canvas.

Sources
    Kittler et al., "Standardization of terminology in dermoscopy/dermatoscopy: results of the third
    consensus conference of the International Society of Dermoscopy", J Am Acad Dermatol 74 (2016)
    1093-1106; Argenziano et al., "Dermoscopy of pigmented skin lesions: results of a consensus
    meeting via the Internet", J Am Acad Dermatol 48 (2003) 679-693; of actinic keratosis and
    squamous cell carcinoma: Zalaudek et al., J Am Acad Dermatol 66 (2012) 589-597; of
    dermatofibroma: Zaballos et al., Arch Dermatol 144 (2008) 75-83.
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from skincnn.textures import SIDE, TURN, cellular, curve, fractal, step, strokes

SPAN = 1.6  # the canvas reaches from -SPAN to SPAN; a lesion's radius is 0.55 to 0.95
V, U = np.meshgrid(*[np.linspace(-SPAN, SPAN, SIDE, dtype=np.float32)] * 2, indexing="ij")
ANGLE = np.arctan2(V, U)
FRAME = np.clip((SPAN - np.maximum(abs(U), abs(V))) / 0.15, 0, 1)  # lesions end before the canvas
MELANIN, BLOOD, DEEP, WHITE, KERATIN = range(5)


@dataclass
class Lesion:
    """A lesion being drawn: depth inside its border (canvas units), cover 0...1, and its maps."""

    rng: np.random.Generator
    depth: np.ndarray
    area: np.ndarray
    maps: np.ndarray

    def patches(self, cover=0.6, edge=0.25):
        """A random soft mask over about `cover` of the lesion."""
        return self.area * step(fractal(self.rng, 3, 3) + 2.2 * (cover - 0.5), edge)

    def spot(self, low, high, off=0.6):
        """An irregular blob `low` to `high` large, up to `off` of the way out to the border."""
        angle = self.rng.uniform(0, TURN)
        far = off * self.rng.random() * self.depth.max()
        gap = np.hypot(U - far * np.cos(angle), V - far * np.sin(angle))
        size = self.rng.uniform(low, high)
        return step(size - gap + 0.12 * fractal(self.rng, 7, 3), 0.04) * self.area

    def vessels(self, paths):
        """Coverage of `paths`, given in canvas units with pen widths in pixels."""
        return strokes([((p / SPAN + 1) * SIDE / 2, w) for p, w in paths], SIDE, SIDE)

    def inside(self, low, high):
        """`low` to `high` random positions (n, 2) within the lesion, in canvas units."""
        rows, cols = np.nonzero(self.depth > min(0.05, self.depth.max() / 2))
        pick = self.rng.integers(len(rows), size=int(self.rng.integers(low, high)))
        return np.stack([U[0, cols[pick]], V[rows[pick], 0]], -1).astype(float)


def dots(on, k, layer, cells, radius, share, gain=1.0, patchy=False):
    """Round spots of one `layer` in a `share` of the cells; `radius` (low, high) in cell widths."""
    near, _, tone = cellular(on.rng, *cells)
    size = radius[0] + (radius[1] - radius[0]) * tone
    spots = step(size - near, 0.07) * (tone > 1 - share) * (on.patches() if patchy else on.area)
    on.maps[layer] += gain * k * spots
    if layer == WHITE:  # a cyst lies above the pigment
        on.maps[MELANIN] *= 1 - 0.6 * spots


# fmt: off
globules = partial(dots, layer=MELANIN, cells=(9, 15), radius=(0.3, 0.42), share=0.75)
irregular_globules = partial(dots, layer=MELANIN, cells=(10, 18), radius=(0.1, 0.4), share=0.5,
                             gain=1.5, patchy=True)
openings = partial(dots, layer=MELANIN, cells=(14, 24), radius=(0.06, 0.26), share=0.5, gain=1.2)
milia = partial(dots, layer=WHITE, cells=(14, 24), radius=(0.06, 0.2), share=0.4, gain=0.55)
peppering = partial(dots, layer=DEEP, cells=(5, 8), radius=(0.3, 0.3), share=0.5, gain=0.8,
                    patchy=True)
dotted_vessels = partial(dots, layer=BLOOD, cells=(7, 12), radius=(0.3, 0.3), share=0.7, gain=0.8,
                         patchy=True)
# fmt: on


def network(on, k, where=1.0):
    """Reticular pigment: brown lines around paler holes."""
    _, gap, tone = cellular(on.rng, 8, 12)
    lines = np.exp(-((gap / 0.16) ** 2)) * (0.8 + 0.2 * tone)
    on.maps[MELANIN] += 0.75 * k * (lines - 0.3) * on.patches(0.75, 0.5) * where


def ring_network(on, k):
    """A delicate network around the centre only (dermatofibroma)."""
    network(on, 0.8 * k, where=step(0.35 * on.depth.max() - on.depth, 0.08))


def atypical_network(on, k):
    """Lines of uneven width that end abruptly (melanoma)."""
    _, gap, _ = cellular(on.rng, 8, 13)
    width = 0.16 + 0.12 * step(fractal(on.rng, 4, 2), 0.4)
    on.maps[MELANIN] += 1.1 * k * (np.exp(-((gap / width) ** 2)) - 0.3) * on.patches()


def blotch(on, k):
    """A structureless dark area off the centre."""
    on.maps[MELANIN] += 1.5 * k * on.spot(0.2, 0.4, 0.8)


def streaks(on, k):
    """Radial streaks and pseudopods along part of the border."""
    rays = np.cos(ANGLE * on.rng.integers(18, 30) + 2 * fractal(on.rng, 4, 2))
    rim = np.exp(-((on.depth / 0.13) ** 2)) * step(fractal(on.rng, 2, 1), 0.3)
    on.maps[MELANIN] += 1.2 * k * step(rays - 0.2, 0.25) * rim * FRAME


def veil(on, k):
    """Blue-white veil: confluent blue pigment under a whitish haze."""
    cloud = on.spot(0.25, 0.5) * step(fractal(on.rng, 3, 3) + 0.5, 0.5)
    on.maps[MELANIN] *= 1 - 0.4 * k * cloud
    on.maps[DEEP] += 1.2 * k * cloud
    on.maps[WHITE] += 0.2 * k * cloud


def regression(on, k):
    """A white scar-like area with blue-grey peppering."""
    pale = on.spot(0.2, 0.4, 0.9)
    near, _, tone = cellular(on.rng, 6, 7)
    on.maps[MELANIN] *= 1 - 0.7 * k * pale
    on.maps[WHITE] += 0.35 * k * pale
    on.maps[DEEP] += 0.9 * k * step(0.25 - near, 0.06) * (tone > 0.6) * pale


def fissures(on, k):
    """Sulci and gyri: the brain-like surface of a seborrheic keratosis."""
    wave = abs(fractal(on.rng, int(on.rng.integers(6, 10)), 2))
    on.maps[MELANIN] += 0.7 * k * np.exp(-((wave / 0.22) ** 2)) * on.area


def waxy(on, k):
    """Dull keratin over the whole, stuck-on plaque (seborrheic keratosis)."""
    on.maps[KERATIN] += 0.45 * k * on.area * np.clip(1 + 0.4 * fractal(on.rng, 6, 4), 0, 2)


def fingerprint(on, k):
    """Fine parallel brown lines (solar lentigo)."""
    phase = U * on.rng.uniform(30, 48) + 2.5 * fractal(on.rng, 4, 3)
    on.maps[MELANIN] += 0.22 * k * np.cos(phase) * on.patches(0.7)


def moth_eaten(on, k):
    """Concave bites out of the border."""
    near, _, tone = cellular(on.rng, 22, 36)
    bites = step(0.5 - near, 0.08) * (tone > 0.45) * step(0.35 - on.depth, 0.08)
    on.maps[MELANIN] *= 1 - 0.9 * min(k, 1) * bites


def lacunae(on, k):
    """Red, maroon or blue-black lakes of blood between pale septa."""
    _, gap, tone = cellular(on.rng, 18, 44)
    septum = on.rng.uniform(0.05, 0.25)
    lakes = step(gap + 0.08 * fractal(on.rng, 20, 2) - septum, 0.12) * on.area
    clots = (tone > on.rng.uniform(0.4, 1.2)) * on.rng.uniform(0.3, 0.9)
    on.maps[BLOOD] += k * lakes * (0.5 + 0.9 * tone)
    on.maps[DEEP] += k * lakes * clots
    on.maps[WHITE] += 0.1 * k * (on.area - lakes)


def nests(on, k):
    """Blue-grey ovoid nests, some at the border like leaves (basal cell carcinoma)."""
    near, _, tone = cellular(on.rng, 20, 40)
    some = (tone > on.rng.uniform(0.4, 0.7)) * step(on.depth + 0.05, 0.05)
    blobs = step(0.45 * tone - near + 0.06 * fractal(on.rng, 16, 2), 0.08) * some
    on.maps[DEEP] += 0.9 * k * blobs
    on.maps[MELANIN] += 0.15 * k * blobs


def arborising(on, k):
    """Bright red vessels that branch like trees (basal cell carcinoma)."""
    paths = []
    for middle in on.inside(2, 6):
        angle, width = on.rng.uniform(0, TURN), on.rng.uniform(1.6, 3.0)
        start = middle - 0.4 * np.array([np.cos(angle), np.sin(angle)])
        trunk = curve(on.rng, start, angle, 0.9, 0.9)
        paths.append((trunk, width))
        for fork in trunk[on.rng.integers(2, len(trunk), size=4)]:
            turn = angle + on.rng.choice([-1, 1]) * on.rng.uniform(0.4, 1.1)
            paths.append((curve(on.rng, fork, turn, on.rng.uniform(0.2, 0.5), 1.0), 0.5 * width))
    on.maps[BLOOD] += k * on.vessels(paths) * step(on.depth + 0.25, 0.06)


def hairpins(on, k):
    """Looped vessels (keratinising tumours)."""
    paths = []
    for start in on.inside(10, 26):
        turn = np.linspace(0, 0.6 * TURN, 8) + on.rng.uniform(0, TURN)
        paths.append((start + 0.05 * np.stack([np.cos(turn), 1.7 * np.sin(turn)], -1), 1.6))
    on.maps[BLOOD] += k * on.vessels(paths)


def strawberry(on, k):
    """A red pseudonetwork around pale follicles plugged with keratin (actinic keratosis)."""
    near, gap, tone = cellular(on.rng, 12, 20)
    follicles = step(0.16 + 0.12 * tone - near, 0.08) * on.area
    on.maps[BLOOD] += 0.4 * k * (1 - follicles) * np.exp(-((gap / 0.5) ** 2)) * on.area
    on.maps[WHITE] += 0.3 * k * follicles
    on.maps[KERATIN] += 0.3 * k * step(0.12 - near, 0.05) * on.area


def white_circles(on, k):
    """White rings around follicles (squamous cell carcinoma)."""
    near, _, tone = cellular(on.rng, 16, 26)
    rings = np.exp(-(((near - 0.22) / 0.1) ** 2)) * (tone > 0.5)
    on.maps[WHITE] += 0.4 * k * rings * on.area


def scale(on, k):
    """Flakes of white to yellow scale on the surface."""
    flakes = step(fractal(on.rng, 14, 4) - 0.7, 0.15)
    on.maps[WHITE] += 0.6 * k * flakes * on.patches()
    on.maps[KERATIN] += 0.35 * k * flakes * on.patches(0.5)


def horn(on, k):
    """A mass of keratin in the middle, with blood spots (squamous cell carcinoma)."""
    mass = on.spot(0.3, 0.55, 0.3)
    near, _, tone = cellular(on.rng, 14, 15)
    on.maps[KERATIN] += 0.75 * k * mass * (0.8 + 0.2 * fractal(on.rng, 12, 3))
    on.maps[BLOOD] += 1.6 * k * step(0.25 - near, 0.06) * (tone > 0.75) * mass


def ulcer(on, k):
    """Erosion under a dark red to orange crust."""
    crust = on.spot(0.12, 0.28, 0.5)
    on.maps[BLOOD] += k * crust * (1.2 + 0.3 * fractal(on.rng, 14, 3))
    on.maps[MELANIN] += 0.5 * k * crust


def scar(on, k):
    """The white scar-like centre of a dermatofibroma."""
    gap = np.hypot(U, V) / on.depth.max() + 0.12 * fractal(on.rng, 5, 4)
    centre = step(on.rng.uniform(0.4, 0.7) - gap, 0.09) * on.area
    on.maps[MELANIN] *= 1 - 0.75 * min(k, 1) * centre
    on.maps[WHITE] += 0.65 * k * centre * (0.85 + 0.25 * fractal(on.rng, 18, 3))


def shiny_lines(on, k):
    """Short white crossing lines that polarised light shows."""
    ways = on.rng.uniform(0, np.pi) + np.array([0, np.pi / 2])
    lines = [(curve(on.rng, s, on.rng.choice(ways), 0.22, 0.2, 5), 1.6) for s in on.inside(16, 32)]
    on.maps[WHITE] += 0.45 * k * on.vessels(lines) * on.area


# --- which class has what -----------------------------------------------------------------


class Recipe(NamedTuple):
    """A class: ranges of its flat colour and its border, structures with their probabilities."""

    melanin: tuple
    blood: tuple
    ragged: tuple  # how far the border leaves an ellipse
    soft: tuple  # width of the border, canvas units
    uneven: tuple  # how patchy the colour is
    structures: dict


# fmt: off
RECIPES = {
    "actinic keratosis": Recipe(
        (0.0, 0.2), (0.25, 0.55), (0.2, 0.5), (0.08, 0.22), (0.2, 0.8),
        {strawberry: 0.9, scale: 0.8, dotted_vessels: 0.15, peppering: 0.15}),
    "basal cell carcinoma": Recipe(
        (0.0, 0.15), (0.05, 0.3), (0.1, 0.4), (0.04, 0.14), (0.2, 0.7),
        {arborising: 0.85, nests: 0.85, ulcer: 0.25, shiny_lines: 0.3}),
    "dermatofibroma": Recipe(
        (0.35, 0.75), (0.15, 0.45), (0.05, 0.2), (0.1, 0.25), (0.1, 0.4),
        {scar: 0.95, ring_network: 0.8, shiny_lines: 0.25, dotted_vessels: 0.1}),
    "melanoma": Recipe(
        (0.8, 1.6), (0.0, 0.3), (0.25, 0.6), (0.02, 0.1), (0.4, 0.9),
        {veil: 0.85, atypical_network: 0.6, blotch: 0.6, streaks: 0.45,
         irregular_globules: 0.5, regression: 0.4}),
    "nevus": Recipe(
        (0.45, 1.0), (0.0, 0.25), (0.03, 0.2), (0.04, 0.14), (0.05, 0.3),
        {network: 0.7, globules: 0.4, blotch: 0.08}),
    "pigmented benign keratosis": Recipe(
        (0.25, 0.6), (0.0, 0.15), (0.25, 0.6), (0.03, 0.1), (0.3, 0.8),
        {fingerprint: 0.5, moth_eaten: 0.8, peppering: 0.35, milia: 0.15, network: 0.15}),
    "seborrheic keratosis": Recipe(
        (0.5, 1.2), (0.0, 0.2), (0.1, 0.35), (0.015, 0.04), (0.2, 0.6),
        {waxy: 0.95, milia: 0.75, openings: 0.7, fissures: 0.55, hairpins: 0.2}),
    "squamous cell carcinoma": Recipe(
        (0.05, 0.3), (0.6, 1.1), (0.2, 0.5), (0.04, 0.15), (0.2, 0.8),
        {horn: 0.9, hairpins: 0.5, white_circles: 0.5, ulcer: 0.4, scale: 0.3,
         dotted_vessels: 0.3}),
    "vascular lesion": Recipe(
        (0.0, 0.15), (0.8, 1.5), (0.03, 0.2), (0.015, 0.06), (0.1, 0.4),
        {lacunae: 0.9, veil: 0.1, dotted_vessels: 0.1}),
}
# fmt: on


def lesion(label, rng):
    """Maps (5, SIDE, SIDE) float32 of one lesion of class `label`: MELANIN ... KERATIN."""
    recipe = RECIPES[label]
    melanin, blood, ragged, soft, uneven = (rng.uniform(*pair) for pair in recipe[:5])
    lobes = sum(rng.normal() / n * np.cos(n * ANGLE + rng.uniform(0, TURN)) for n in range(2, 7))
    outline = rng.uniform(0.55, 0.95) * (1 + 0.4 * ragged * lobes)
    stretch, tilt = rng.uniform(1, 1.35), rng.uniform(0, np.pi)
    along, across = U * np.cos(tilt) + V * np.sin(tilt), V * np.cos(tilt) - U * np.sin(tilt)
    depth = outline - np.hypot(along / stretch, across * stretch)
    depth += 0.22 * ragged * fractal(rng, 7, 5)
    area = (step(depth, soft) * FRAME).astype(np.float32)
    drawn = Lesion(rng, depth, area, np.zeros((5, SIDE, SIDE), np.float32))
    drawn.maps[MELANIN] = melanin * area * np.clip(1 + uneven * fractal(rng, 4, 5), 0.1, 3)
    drawn.maps[BLOOD] = blood * area * np.clip(1 + 0.6 * uneven * fractal(rng, 5, 4), 0.2, 2)
    for structure, chance in recipe.structures.items():
        if rng.random() < chance:
            structure(drawn, rng.uniform(0.7, 1.2))
    return drawn.maps
