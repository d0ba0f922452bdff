"""One photograph seen several times: predictions that do not depend on how the camera was held."""

from collections.abc import Callable, Iterator

import numpy as np


def turned(images: np.ndarray, n: int = 8) -> Iterator[np.ndarray]:
    """Photographs turned and mirrored: what a grid of square pixels allows without resampling.

    Args:
        images: (N, S, S, 3).
        n: how many of the eight.

    Yields:
        (N, S, S, 3), the photographs themselves first; not copied.
    """
    for at in range(n):
        view = np.rot90(images, at % 4, axes=(1, 2)) if at % 4 else images
        yield view[:, :, ::-1] if at >= 4 else view


def probabilities(
    predict: Callable[[np.ndarray], np.ndarray],
    pixels: np.ndarray,
    n: int,
    batch_size: int = 32,
    people: np.ndarray | None = None,
) -> np.ndarray:
    """What a network says of photographs: the mean over `n` views of each.

    Args:
        predict: from float32 (B, S, S, 3) in 0…255 to probabilities (B, C).
        pixels: uint8 (N, S, S, 3), N at least 1.
        n: how many of the eight views.
        batch_size: photographs a call of `predict`.
        people: float32 (N, P), a second input, the same for all views: `predict` takes a list of
            the two then; None for none.

    Returns:
        (N, C).
    """
    parts = []
    for start in range(0, len(pixels), batch_size):
        seen = turned(pixels[start : start + batch_size], n)
        answers = []
        for view in seen:
            x = np.ascontiguousarray(view, np.float32)
            known = None if people is None else people[start : start + batch_size]
            answers.append(predict(x if known is None else [x, known]))
        parts.append(np.mean(answers, axis=0))
    return np.concatenate(parts)
