"""One photograph seen several times: predictions that do not depend on how the camera was held."""

from collections.abc import Callable, Iterator

import numpy as np

from skincnn import config, hair


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
    predict: Callable[[np.ndarray], np.ndarray], pixels: np.ndarray, settings: config.RunConfig
) -> np.ndarray:
    """What a network says of photographs, read and averaged as its settings ask.

    Args:
        predict: from float32 (B, S, S, 3) in 0…255 to probabilities (B, C).
        pixels: uint8 (B, S, S, 3).
        settings: of the run: `hair_removal`, `views`.

    Returns:
        (B, C).
    """
    if settings.hair_removal:
        pixels = np.stack([hair.remove(image) for image in pixels])
    seen = (np.ascontiguousarray(v, np.float32) for v in turned(pixels, settings.views))
    return np.mean([predict(view) for view in seen], axis=0)
