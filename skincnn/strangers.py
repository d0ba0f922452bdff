"""Is this a photograph like those the network was trained on? Nearest neighbours among features.

A network answers whatever it is shown; a cat is a nevus to it, often a sure one. What it makes of
a photograph inside, its features, lies elsewhere though: far from those of every lesion it learnt
from (Sun et al. 2022, Out-of-distribution detection with deep nearest neighbours). How this was
chosen over energy, the largest probability and Mahalanobis: `benchmarks/strangers.py`.

Fitted at export, applied by `verdict`. numpy only.
"""

import base64
import functools

import numpy as np

AXES = 64  # principal components that are told one by one; the rest counts by its length
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
        `mean`, `axes`, `bank` and its `rest` (float16, as base64 with their shapes), `threshold` (a
        distance) and `neighbours`.

    Raises:
        ValueError: too few photographs to say what is usual.
    """
    if len(training) < 2 * NEIGHBOURS or len(lesions) < NEIGHBOURS:
        raise ValueError(
            f"{len(training)} photographs that trained and {len(lesions)} that did not are too few "
            f"to know a stranger by: at least {2 * NEIGHBOURS} and {NEIGHBOURS}"
        )
    rows = np.random.default_rng(seed).permutation(len(training))[:BANK]
    known = _unit(training[np.sort(rows)])
    mean = known.mean(axis=0)
    axes = np.linalg.svd(known - mean, full_matrices=False)[2][:AXES]
    bank, rest = _along(known, mean, axes)
    arrays = {"mean": mean, "axes": axes, "bank": bank, "rest": rest}
    found = {name: _packed(array) for name, array in arrays.items()}
    found |= {"threshold": 1.0, "neighbours": NEIGHBOURS}
    return found | {"threshold": limit(strangeness(found, lesions))}


def limit(scores: np.ndarray) -> float:
    """The score beyond which a new lesion lies with a chance of `REFUSED` at most.

    Not the plain quantile, which more lies beyond the fewer scores it is of, but the conformal one
    (Vovk, Gammerman & Shafer 2005, Algorithmic Learning in a Random World).

    Args:
        scores: (M,) of lesions that neither trained nor will be asked about.
    """
    share = np.ceil((len(scores) + 1) * (1 - REFUSED)) / len(scores)
    return float(np.quantile(scores, min(1.0, share), method="higher"))


def strangeness(known: dict, features: np.ndarray) -> np.ndarray:
    """How far photographs lie from all that trained; above 1 it is not one of the kind.

    Features count by their direction: their length says how much there is to see, and a stranger
    has lengths like any. Strangers leave the few directions in which lesions differ; so the
    distance is that along the axes, and of what is left over the two lengths at right angles.

    Args:
        known: from `fit`.
        features: float32 (N, D), of the same network.

    Returns:
        (N,) distance to the tenth nearest lesion of the bank, in units of the threshold.
    """
    mean, axes, bank, known_rest = (
        _unpacked(known[name]["float16"], *known[name]["shape"])
        for name in ("mean", "axes", "bank", "rest")
    )
    points, rest = _along(_unit(features), mean, axes)
    lengths, nth, found = (bank**2).sum(axis=1) + known_rest, known["neighbours"] - 1, []
    for start in range(0, len(points), _BLOCK):
        some = points[start : start + _BLOCK]
        own = (some**2).sum(axis=1) + rest[start : start + _BLOCK]
        squares = own[:, None] + lengths - 2 * some @ bank.T
        found.append(np.sqrt(np.partition(squares, nth, axis=1)[:, nth].clip(0)))
    return np.concatenate(found or [np.zeros(0)]) / known["threshold"]


def _unit(features: np.ndarray) -> np.ndarray:
    features = np.asarray(features, np.float64)
    return features / np.linalg.norm(features, axis=1, keepdims=True).clip(1e-12)


def _along(points: np.ndarray, mean: np.ndarray, axes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places on the axes (N, A), and the squared length (N,) of what they leave over."""
    centred = points - mean
    places = centred @ axes.T
    return places, ((centred**2).sum(axis=1) - (places**2).sum(axis=1)).clip(0)


def _packed(array: np.ndarray) -> dict:
    content = np.ascontiguousarray(array, np.float16).tobytes()
    return {"shape": list(array.shape), "float16": base64.b64encode(content).decode("ascii")}


@functools.lru_cache(32)  # of a few models: each answer would unpack them again
def _unpacked(text: str, *shape: int) -> np.ndarray:
    content = np.frombuffer(base64.b64decode(text), np.float16)
    return content.reshape(shape).astype(np.float64)
