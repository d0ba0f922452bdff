"""Dark hairs painted over, after DullRazor (Lee et al. 1997): what a network should not look at.

Thin, dark and long: a closing along lines fills what is narrower than them in every direction but
its own, and what it lightens much is hair.
"""

import numpy as np
from scipy import ndimage

LENGTH = 0.05  # of the shorter side: longer than a hair is wide, shorter than a mole
DARKER = 20  # grey levels a hair is below its surroundings, at least
LONG = 0.15  # of the shorter side, at least; shorter streaks are structures of the lesion
THIN = 0.02  # of the shorter side: mean width at most; broader dark pieces are of the lesion
MOST = 0.12  # of the photograph; where more looks like hair, it is texture, and stays
THICKEN = 3  # pixels: a hair's soft edge is hair too
VERSION = 2  # raise it when other pixels are found than before


def mask(image: np.ndarray) -> np.ndarray:
    """Where hairs are.

    Args:
        image: uint8 (H, W, 3).

    Returns:
        bool (H, W).
    """
    grey = image.max(axis=2)  # a hair is dark in every channel, a vessel in two
    return _mask(grey, _closed(grey))


def remove(image: np.ndarray) -> np.ndarray:
    """A photograph with its dark hairs painted in the colours beside them.

    Args:
        image: uint8 (H, W, 3).

    Returns:
        uint8 (H, W, 3); the photograph itself where no hair is found.
    """
    hairs = mask(image)
    if not hairs.any():
        return image
    # from each hair pixel to the nearest that is none, then smoothed among themselves
    at = ndimage.distance_transform_edt(hairs, return_distances=False, return_indices=True)
    filled = image[at[0], at[1]]
    soft = ndimage.uniform_filter(filled, (THICKEN, THICKEN, 1))
    return np.where(hairs[:, :, None], soft, image)


def _closed(grey: np.ndarray) -> np.ndarray:
    """The darkest of closings along four directions: a mole is left as it is, a hair is filled."""
    length = max(5, round(LENGTH * min(grey.shape))) | 1
    lines = [np.ones((1, length), bool), np.ones((length, 1), bool)]
    lines += [np.eye(length, dtype=bool), np.eye(length, dtype=bool)[::-1]]
    return np.max([ndimage.grey_closing(grey, footprint=line) for line in lines], axis=0)


def _mask(grey: np.ndarray, closed: np.ndarray) -> np.ndarray:
    dark = closed.astype(np.int16) - grey > DARKER
    pieces, count = ndimage.label(dark, np.ones((3, 3)))
    if not count:
        return dark
    side = min(grey.shape)
    spans = [
        np.hypot(rows.stop - rows.start, columns.stop - columns.start)
        for rows, columns in ndimage.find_objects(pieces)
    ]
    spans, areas = np.array(spans), np.bincount(pieces.ravel())[1:]
    hairs = (spans >= LONG * side) & (areas <= max(2.0, THIN * side) * spans)
    kept = np.isin(pieces, 1 + np.flatnonzero(hairs))
    kept = ndimage.binary_dilation(kept, np.ones((THICKEN, THICKEN)))
    return kept if kept.mean() <= MOST else np.zeros_like(kept)
