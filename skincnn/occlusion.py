"""Where a classifier looks, without its gradients: cover a part and see what becomes of the answer.

Any function from pixels to probabilities will do: a network, a model of another format, a service.
"""

from collections.abc import Callable

import numpy as np

PATCHES = 5  # patches a side; half a patch is the step from one to the next
# The ends and the middle of cividis, which looks alike with and without the common colour
# blindnesses (Nuñez, Anderton & Renslow 2018, PLoS ONE 13, e0199239).
COLOURS = np.array(
    [(0, 34, 78), (67, 78, 108), (125, 124, 120), (188, 174, 108), (254, 232, 56)], np.float32
)
_WEAKEST, _STRONGEST = 0.25, 0.75  # of the colour over the photograph, from no heat to all


def heat(
    classify: Callable[[np.ndarray], np.ndarray],
    pixels: np.ndarray,
    class_index: int,
    patch: int | None = None,
    stride: int | None = None,
    batch: int = 8,
) -> np.ndarray:
    """How much of a class's probability each place of a photograph is worth (Zeiler & Fergus 2014).

    A square of the photograph's mean colour is moved over it, and over its edges; what the
    probability loses under a square is the square's, and a pixel has the mean of those that covered
    it.

    Args:
        classify: from uint8 (N, S, S, 3) to probabilities (N, C).
        pixels: uint8 (S, S, 3).
        class_index: of the class, in 0…C−1.
        patch: pixels a side of the square; None is a fifth of the photograph's side.
        stride: pixels from one square to the next, at most `patch`; None is half of it.
        batch: squares tried at a time, which bounds the memory.

    Returns:
        float32 (S, S), in −1…1: above 0 where the photograph speaks for the class, below where it
        speaks against it.

    Raises:
        ValueError: pixels of another kind or shape, or a patch, stride or batch out of range.

    Example:
        >>> at = int(np.argmax(run.classify(pixels[None])))
        >>> shown = occlusion.overlay(pixels, occlusion.heat(run.classify, pixels, at))
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"pixels are {pixels.dtype} {pixels.shape}: expected uint8 (S, S, 3)")
    height, width = pixels.shape[:2]
    patch = max(2, min(height, width) // PATCHES) if patch is None else patch
    stride = max(1, patch // 2) if stride is None else stride
    if not 1 <= patch <= min(height, width) or not 1 <= stride <= patch or batch < 1:
        raise ValueError(
            f"patch={patch}, stride={stride}, batch={batch}: needs 1 ≤ stride ≤ patch ≤ "
            f"{min(height, width)} and batch ≥ 1"
        )
    squares = [
        (slice(max(top, 0), top + patch), slice(max(left, 0), left + patch))
        for top in range(stride - patch, height, stride)
        for left in range(stride - patch, width, stride)
    ]
    # The photograph itself comes first, and again where the last batch would be smaller than the
    # others: what compiles for a number of photographs does so once.
    tries = [None, *squares, *[None] * (-(1 + len(squares)) % batch)]
    colour = np.rint(pixels.mean(axis=(0, 1))).astype(np.uint8)
    answers = []
    for start in range(0, len(tries), batch):
        covered = np.repeat(pixels[None], batch, axis=0)
        for copy, square in zip(covered, tries[start : start + batch], strict=True):
            if square:
                copy[square] = colour
        answers.append(np.asarray(classify(covered), np.float64)[:, class_index])
    whole, *left = np.concatenate(answers)[: 1 + len(squares)]
    lost, times = np.zeros((height, width)), np.zeros((height, width))
    for square, probability in zip(squares, left, strict=True):
        lost[square] += whole - probability
        times[square] += 1
    return (lost / times).astype(np.float32)


def overlay(pixels: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A photograph in grey with heat laid over it: dark blue where there is none, yellow where it
    is strongest.

    Args:
        pixels: uint8 (S, S, 3).
        heat: (S, S); counted from 0 to its own largest value, so that two pictures do not compare
            in strength. Below 0 is none.

    Returns:
        uint8 (S, S, 3).

    Raises:
        ValueError: the two are of different sizes.
    """
    if pixels.shape[:2] != heat.shape:
        raise ValueError(f"heat is {heat.shape}: expected {pixels.shape[:2]}, as the photograph")
    heat = np.clip(heat, 0, None).astype(np.float32)
    strength = heat / max(float(heat.max()), 1e-12)
    anchors = np.linspace(0, 1, len(COLOURS))
    colour = np.stack([np.interp(strength, anchors, part) for part in COLOURS.T], axis=-1)
    grey = pixels @ np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
    share = (_WEAKEST + (_STRONGEST - _WEAKEST) * strength)[..., None]
    return np.rint((1 - share) * grey[..., None] + share * colour).astype(np.uint8)
