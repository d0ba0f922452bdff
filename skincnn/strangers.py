"""Is this a photograph like those the network was trained on? Nearest neighbours among features.

A network answers whatever it is shown; a cat is a nevus to it, often a sure one. What it makes of
a photograph inside, its features, lies elsewhere though: far from those of every lesion it learnt
from (Sun et al. 2022, Out-of-distribution detection with deep nearest neighbours). How this was
chosen over energy, the largest probability and Mahalanobis: `benchmarks/strangers.py`.

Fitted at export, applied by `verdict`. numpy only.
"""

import base64

import numpy as np

AXES = 64  # of the principal components: few enough for a small file
BANK = 1000  # lesions at most that a photograph is compared with
NEIGHBOURS = 10  # the distance to the tenth nearest counts: one odd lesion is no neighbourhood
REFUSED = 0.05  # share of lesions that may be taken for strangers
_BLOCK = 256  # photographs compared at once


def fit(training: np.ndarray, lesions: np.ndarray, seed: int = 0) -> dict:
    """What `strangeness` needs of a network, small enough to travel with it (about 0.4 MB).

    Args:
        training: float32 (N, D) features of photographs that trained.
        lesions: float32 (M, D) of lesions that did not: a twentieth of them may lie beyond the
            threshold. Those that trained lie nearer to the bank than any new photograph.
        seed: of the choice of `BANK` photographs.

    Returns:
        `mean`, `axes` and `bank` (float16, as base64 with their shapes), `threshold` (a distance)
        and `neighbours`.

    Raises:
        ValueError: too few photographs to say what is usual.
    """
    if len(training) < 2 * NEIGHBOURS or len(lesions) < NEIGHBOURS:
        raise ValueError(
            f"{len(training)} photographs that trained and {len(lesions)} that did not are too few "
            f"to know a stranger by: at least {2 * NEIGHBOURS} and {NEIGHBOURS}"
        )
    training = training.astype(np.float64)
    mean = training.mean(axis=0)
    _, _, axes = np.linalg.svd(training - mean, full_matrices=False)
    axes = axes[:AXES]
    rows = np.random.default_rng(seed).permutation(len(training))[:BANK]
    known = {
        "mean": _packed(mean),
        "axes": _packed(axes),
        "bank": _packed((training[np.sort(rows)] - mean) @ axes.T),
        "threshold": 1.0,
        "neighbours": NEIGHBOURS,
    }
    return known | {"threshold": float(np.quantile(strangeness(known, lesions), 1 - REFUSED))}


def strangeness(known: dict, features: np.ndarray) -> np.ndarray:
    """How far photographs lie from all that trained; above 1 it is not one of the kind.

    Args:
        known: from `fit`.
        features: float32 (N, D), of the same network.

    Returns:
        (N,) distance to the tenth nearest lesion of the bank, in units of the threshold.
    """
    mean, axes, bank = (_unpacked(known[name]) for name in ("mean", "axes", "bank"))
    points = (np.asarray(features, np.float64) - mean) @ axes.T
    lengths, found = (bank**2).sum(axis=1), []
    for start in range(0, len(points), _BLOCK):
        some = points[start : start + _BLOCK]
        squares = (some**2).sum(axis=1)[:, None] + lengths - 2 * some @ bank.T
        nth = np.partition(squares, known["neighbours"] - 1, axis=1)[:, known["neighbours"] - 1]
        found.append(np.sqrt(nth.clip(0)))
    return np.concatenate(found or [np.zeros(0)]) / known["threshold"]


def _packed(array: np.ndarray) -> dict:
    content = np.ascontiguousarray(array, np.float16).tobytes()
    return {"shape": list(array.shape), "float16": base64.b64encode(content).decode("ascii")}


def _unpacked(packed: dict) -> np.ndarray:
    content = np.frombuffer(base64.b64decode(packed["float16"]), np.float16)
    return content.reshape(packed["shape"]).astype(np.float64)
