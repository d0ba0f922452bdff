"""Shift and scale one small picture onto another, many pairs at once (Lucas & Kanade 1981)."""

import numpy as np

OVERLAP = 0.7  # least share of the picture that both show: "cropped a little" is less than this


def aligned(
    a: np.ndarray, b: np.ndarray, warp: np.ndarray, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Shift and scale each picture of b onto that of a by Gauss and Newton's steps.

    Args:
        a, b: float32 (P, S, S), grey levels.
        warp: float32 (P, 4), where to begin: scale in x and y, shift in x and y (half widths).
        steps: how many.

    Returns:
        Correlations (P) of slopes (differences of neighbours), −1…1, the best met on the way, 0
        where the two overlap in less than `OVERLAP`; and the warps they were met at.
    """
    if not len(a):
        return np.zeros(0), warp
    side = a.shape[1]
    grid = ((np.arange(side) - (side - 1) / 2) / (side / 2)).astype(np.float32)
    y, x = np.meshgrid(grid, grid, indexing="ij")
    best, at = np.full(len(a), -1.0), warp
    slopes = _slopes(a)
    for step in range(steps + 1):
        moved, inside = _sample(b, warp, x, y)
        correlation = _correlation(slopes, _slopes(moved), inside)
        better = correlation > best
        best = np.where(better, correlation, best)
        at = np.where(better[:, None], warp, at)
        if step == steps:
            return best, at
        dy, dx = np.gradient(moved, 2 / side, axis=(1, 2))
        # gain and offset are solved for with the warp: brightness is not likeness
        columns = [x * dx, y * dy, dx, dy, moved, np.ones_like(moved)]
        design = np.stack([(c * inside).reshape(len(a), -1) for c in columns], axis=1)
        normal = (design @ design.transpose(0, 2, 1)).astype(np.float64)
        right = design @ (a * inside).reshape(len(a), -1, 1)
        normal += np.eye(6) * (1e-6 * np.trace(normal, axis1=1, axis2=2) + 1e-9)[:, None, None]
        solved = np.linalg.solve(normal, right)[..., 0]
        gain = np.where(np.abs(solved[:, 4]) < 0.3, 1, solved[:, 4])
        change = (solved[:, :4] / gain[:, None]).clip(-0.1, 0.1).astype(np.float32)
        warp = warp + change
        warp = np.concatenate([warp[:, :2].clip(0.75, 1.33), warp[:, 2:].clip(-0.3, 0.3)], axis=1)


def _sample(b, warp, x, y):
    """b (P, S, S) at the warped places, and which of those lie inside it."""
    side = b.shape[1]
    middle = np.float32((side - 1) / 2)
    column = (warp[:, 0, None, None] * x + warp[:, 2, None, None]) * (side / 2) + middle
    row = (warp[:, 1, None, None] * y + warp[:, 3, None, None]) * (side / 2) + middle
    edge = side - 1 + 1e-3
    inside = (row >= -1e-3) & (row <= edge) & (column >= -1e-3) & (column <= edge)
    row, column = row.clip(0, side - 1.001), column.clip(0, side - 1.001)
    r, c = row.astype(np.int64), column.astype(np.int64)
    down, right = row - r, column - c
    n = np.arange(len(b))[:, None, None]
    top = b[n, r, c] * (1 - right) + b[n, r, c + 1] * right
    bottom = b[n, r + 1, c] * (1 - right) + b[n, r + 1, c + 1] * right
    return top * (1 - down) + bottom * down, inside


def _slopes(picture: np.ndarray) -> np.ndarray:
    """Differences across and down, (P, 2, (S − 2)²)."""
    across = picture[:, 1:-1, 2:] - picture[:, 1:-1, :-2]
    down = picture[:, 2:, 1:-1] - picture[:, :-2, 1:-1]
    return np.stack([across, down], axis=1).reshape(len(picture), 2, -1)


def _correlation(a: np.ndarray, b: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Of slopes, where they lie inside with all their neighbours."""
    enough = inside.mean(axis=(1, 2)) >= OVERLAP
    # what lies inside is a rectangle: a place whose four neighbours do, does too
    whole = inside[:, 1:-1, 2:] & inside[:, 1:-1, :-2] & inside[:, 2:, 1:-1] & inside[:, :-2, 1:-1]
    whole = whole.reshape(len(a), 1, -1)
    a, b = a * whole, b * whole

    def dot(x, y):
        return np.einsum("nkp,nkp->n", x, y)

    sizes = np.sqrt(dot(a, a) * dot(b, b))
    return np.where(enough, dot(a, b) / np.maximum(sizes, 1e-6), 0)
