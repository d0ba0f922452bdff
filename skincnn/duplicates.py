"""Find photographs that show the same picture: flipped, turned, resized, brightened, cropped.

Three sieves, each finer and each left with less to look at:

1. The low frequencies of the cosine transform, as in the "perceptual hash" (Zauner 2010), but kept
   as numbers instead of bits. A flip changes signs and a quarter turn swaps rows with columns, so
   every picture is first brought into one standard orientation: all eight become the same point.
   The strongest directions of these vectors go into a k-d tree (Bentley 1975). Each picture
   is looked up as it is and as it would be with its edges cut off.
2. Candidates whose whole vectors lie further apart are dropped.
3. One picture is shifted and scaled onto the other (Lucas & Kanade 1981), first small and then
   larger, and their correlation decides.

imagehash, CleanVision and imagededup compute the hash too, but a flipped or turned copy has
another one there, a cropped copy differs in a quarter of the bits, comparing all with all is
quadratic, and the last brings PyTorch along.
"""

import itertools

import numpy as np
from PIL import Image

from skincnn import alignment

SIDE = 32  # of the small grey pictures everything here looks at
LOW = 8  # cosine frequencies kept in each direction
STRONGEST = 10  # directions in the tree: with more, searching it slows down
MARGIN = 0.06  # how near a choice of the standard orientation must be for both ways to be tried
CROPS = (0.0, 0.06)  # shares of width and height cut off before a picture is looked up
AT_ONCE = 100_000  # lookups answered at once
RADIUS = 0.17  # how far apart two vectors of length 1 may lie; less in large sets, see `_radius`
# Least correlation of slopes after aligning. On HAM10000, copies cut by up to 5 % a side and saved
# poorly have 0.969 and more in 99 of 100; dark moles on pale skin that resemble each other reach
# 0.96, although their grey levels correlate at 0.99: it is the slopes that tell them apart.
SAME = 0.965
CHUNK = 4096  # pairs aligned at once: about 200 MB

# What turns a picture into each of the eight, by `turn`.
ORIENTATIONS = (
    "",
    "turned by 90°",
    "turned by 180°",
    "turned by 270°",
    "flipped left to right",
    "flipped and turned by 90°",
    "flipped top to bottom",
    "flipped and turned by 270°",
)


def thumbnail(image: Image.Image) -> np.ndarray:
    """A PIL image squashed to uint8 (SIDE, SIDE), or (SIDE, SIDE, 3) in colour."""
    # Bilinear, which weights pixels by their distance: a box would depend on where its edges fall.
    size, by = (SIDE, SIDE), Image.Resampling.BILINEAR
    return np.asarray(image.resize(size, by, reducing_gap=4))  # large ones are halved first


def turn(picture: np.ndarray, orientation: int) -> np.ndarray:
    """Pictures (..., S, S) in one of the eight `ORIENTATIONS`."""
    flipped = picture[..., ::-1] if orientation >= 4 else picture
    return np.rot90(flipped, orientation % 4, axes=(-2, -1))


def pairs(thumbnails: np.ndarray) -> np.ndarray:
    """All pairs of small pictures that show the same.

    Time grows a little faster than the number of pictures, memory with it: in sets of more than
    10,000 the radius shrinks so that candidates do not grow faster than pictures; copies that
    were cropped are then the first to be missed. Of HAM10000's photographs, cut by up to 3 % a side
    all are found again, by up to 5 % 93 in 100.

    Args:
        thumbnails: uint8 (N, SIDE, SIDE), from `thumbnail`.

    Returns:
        A structured array, one row a pair: `a` < `b` (row numbers), `orientation` (of
        `ORIENTATIONS`: what turns b as a stands) and `correlation` after aligning, −1…1. Of equal
        pictures only the first is paired with others, and each of the rest with the first.
    """
    kinds = [("a", np.int64), ("b", np.int64), ("orientation", np.int8), ("correlation", float)]
    n = len(thumbnails)
    # Equal pictures are every tree's worst case, and what differs in nothing needs no search.
    flat = thumbnails.reshape(n, -1)
    _, first, which = np.unique(_bytes(flat), return_index=True, return_inverse=True)
    others = np.setdiff1d(np.arange(n), first)
    found = {(int(first[which[o]]), int(o)): (0, 1.0) for o in others}
    first = np.sort(first)
    for a, b, turn_a, turn_b, share in _candidates(thumbnails[first]):
        for start in range(0, len(a), CHUNK):
            part = slice(start, start + CHUNK)
            x = _turned(thumbnails[first[a[part]]], turn_a[part])
            y = _turned(thumbnails[first[b[part]]], turn_b[part])
            correlation = _judge(x, y, share)
            for k in np.flatnonzero(correlation >= SAME):
                i, j = first[a[part][k]], first[b[part][k]]
                orientation = _after(turn_b[part][k], turn_a[part][k])
                if i > j:
                    i, j, orientation = j, i, _after(turn_a[part][k], turn_b[part][k])
                best = found.get((int(i), int(j)), (0, -1.0))
                if correlation[k] > best[1]:
                    found[int(i), int(j)] = (orientation, float(correlation[k]))
    return np.array([(*pair, *found[pair]) for pair in sorted(found)], dtype=kinds)


# --- underneath: candidates ----------------------------------------------------------------------


def _candidates(thumbnails: np.ndarray):
    """Pairs worth aligning: row numbers a and b, their orientations, and the share cut off a."""
    from scipy.spatial import cKDTree

    if len(thumbnails) < 2:
        return
    rows, turns, known = _standard(_frequencies(thumbnails), 0)
    radius, centre, strongest = _radius(len(thumbnails)), known.mean(axis=0), _strongest(known)
    tree = cKDTree((known - centre) @ strongest, leafsize=24)
    for share in CROPS:
        q_rows, q_turns, asked = _standard(_frequencies(thumbnails, share), MARGIN)
        points = (asked - centre) @ strongest
        # Neighbours one after the other: the tree's branches are then in the cache, four times
        # as fast.
        order = cKDTree(points, leafsize=64).indices
        for start in range(0, len(order), AT_ONCE):
            some = order[start : start + AT_ONCE]
            near = tree.query_ball_point(points[some], radius, workers=-1)
            counts = np.fromiter(map(len, near), np.int64, len(near))
            query = np.repeat(some, counts)
            hit = np.fromiter(itertools.chain.from_iterable(near), np.int64, counts.sum())
            a, b = q_rows[query], rows[hit]
            # as they are, each pair is met from both sides
            keep = a < b if share == 0 else a != b
            query, hit = query[keep], hit[keep]
            close = np.zeros(len(query), bool)
            for at in range(0, len(query), AT_ONCE):
                part = slice(at, at + AT_ONCE)
                gap = asked[query[part]] - known[hit[part]]
                close[part] = (gap**2).sum(axis=1) <= (1.25 * radius) ** 2
            query, hit = query[close], hit[close]
            yield q_rows[query], rows[hit], q_turns[query], turns[hit], share


def _radius(n: int) -> float:
    """Shrinks so that chance neighbours, and the time to find them, grow little faster than n."""
    return RADIUS * min(1, 10_000 / n) ** 0.2


def _frequencies(thumbnails: np.ndarray, share: float = 0) -> np.ndarray:
    """Low cosine coefficients (N, LOW, LOW), as vectors of length 1 without the mean: brightness
    and contrast fall out. With a share, those of the picture with its edges cut off."""
    k, x = np.arange(LOW)[:, None], np.arange(SIDE)
    cosines = np.cos(np.pi * (x + 0.5) * k / SIDE) * np.sqrt(2 / SIDE)
    cosines[0] /= np.sqrt(2)
    # the middle, enlarged: where each pixel of it comes from, between which two
    at = (x + 0.5 - SIDE / 2) * (1 - share) + SIDE / 2 - 0.5
    low = np.floor(at).astype(int).clip(0, SIDE - 2)
    enlarge = np.zeros((SIDE, SIDE))
    enlarge[x, low], enlarge[x, low + 1] = 1 - (at - low), at - low
    cosines = (cosines @ enlarge).astype(np.float32)
    found = np.empty((len(thumbnails), LOW, LOW), np.float32)
    for start in range(0, len(thumbnails), CHUNK):
        part = thumbnails[start : start + CHUNK].astype(np.float32)
        found[start : start + CHUNK] = cosines @ part @ cosines.T
    found[:, 0, 0] = 0
    norm = np.sqrt((found**2).sum(axis=(1, 2), keepdims=True))
    return found / np.maximum(norm, SIDE)  # a picture of one colour stays near zero


def _standard(frequencies: np.ndarray, margin: float):
    """Bring pictures into the standard orientation; all those that come within `margin` of it.

    Standard is: the strongest slope falls to the left or right and both slopes are positive. With
    a margin a picture near the border of two orientations appears in both.

    Returns:
        Row numbers, orientations, and vectors (M, LOW²).
    """
    sign = (-1.0) ** np.arange(LOW, dtype=np.float32)
    rows, turns, vectors = [], [], []
    for orientation in range(8):
        turned = frequencies * sign if orientation >= 4 else frequencies
        for _ in range(orientation % 4):  # numpy.rot90: transposed, then upside down
            turned = turned.transpose(0, 2, 1) * sign[:, None]
        across, down = turned[:, 0, 1], turned[:, 1, 0]
        some = np.flatnonzero((across >= down - margin) & (down >= -margin) & (across >= -margin))
        rows.append(some)
        turns.append(np.full(len(some), orientation, np.int8))
        vectors.append(turned[some].reshape(len(some), LOW * LOW))
    return np.concatenate(rows), np.concatenate(turns), np.concatenate(vectors)


def _strongest(vectors: np.ndarray) -> np.ndarray:
    """The principal directions (LOW², STRONGEST) of a sample of vectors."""
    sample = vectors[:: max(1, len(vectors) // 20_000)].astype(np.float64)
    _, directions = np.linalg.eigh(np.cov(sample.T))
    return directions[:, : -STRONGEST - 1 : -1].astype(np.float32)


# --- underneath: alignment -----------------------------------------------------------------------


def _turned(pictures: np.ndarray, orientations: np.ndarray) -> np.ndarray:
    result = np.empty(pictures.shape, np.float32)
    for orientation in range(8):
        some = orientations == orientation
        result[some] = turn(pictures[some], orientation)
    return result


def _after(first: int, then: int) -> int:
    """The orientation that is `first`, then the undoing of `then`."""
    probe = np.arange(4).reshape(2, 2)
    wanted = turn(probe, int(first))
    return next(o for o in range(8) if np.array_equal(turn(turn(probe, o), int(then)), wanted))


def _judge(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    """Correlation of a and b (P, SIDE, SIDE) after aligning; 0 for those dropped on the way."""
    result = np.zeros(len(a))
    half = SIDE // 2
    start = np.tile(np.array([1 / (1 - share)] * 2 + [0, 0], np.float32), (len(a), 1))
    small = [x.reshape(-1, half, 2, half, 2).mean(axis=(2, 4)) for x in (a, b)]
    rough, warp = alignment.aligned(*small, start, steps=4)
    keep = np.flatnonzero(rough >= SAME - 0.1)
    result[keep], _ = alignment.aligned(a[keep], b[keep], warp[keep], steps=4)
    return result


def _bytes(rows: np.ndarray) -> np.ndarray:
    """Rows of uint8 as single values that sort and compare."""
    return np.ascontiguousarray(rows).view(f"V{rows.shape[1]}").ravel()
