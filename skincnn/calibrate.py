"""Is 80 % really 80 %? What a probability is worth, measured and mended.

What is fitted (a temperature, what a score is worth) is fitted on validation folds and applied to
other photographs; rows of the test split that are in no fold are refused.

    t = calibrate.temperature(validation)
    mended = calibrate.apply(test, t)
"""

from typing import TYPE_CHECKING

import numpy as np

from skincnn.predictions import SMALLEST, answers, replaced
from skincnn.scores import BINS, bins, ratio, wilson

if TYPE_CHECKING:
    import pandas as pd

COOLEST, HOTTEST = 0.05, 20.0


def temperature(frame: "pd.DataFrame") -> float:
    """The temperature T that makes the log loss of `softmax(log p / T)` smallest.

    Above 1 the network was too sure of itself. One number for all classes: the order of the
    classes, so every answer, stays as it is (Guo et al. 2017). In 1 / T the loss is convex; where
    its slope changes sign is found by halving.

    Args:
        frame: predictions of validation folds.

    Returns:
        T in 0.05…20; at an end where no T between is best (every answer right: 0.05).

    Raises:
        ValueError: no rows, or rows of the test split.
    """
    refuse_test(frame)
    true, _, probabilities = answers(frame)
    logits = _logits(probabilities)
    own = logits[np.arange(len(true)), true]

    def slope(t: float) -> float:  # of the mean log loss, by 1 / T
        return float(((_softmax(logits / t) * logits).sum(axis=1) - own).mean())

    cool, hot = np.log(COOLEST), np.log(HOTTEST)
    if slope(COOLEST) <= 0:
        return COOLEST
    if slope(HOTTEST) >= 0:
        return HOTTEST
    for _ in range(40):
        middle = (cool + hot) / 2
        cool, hot = (middle, hot) if slope(np.exp(middle)) > 0 else (cool, middle)
    return float(np.exp((cool + hot) / 2))


def apply(frame: "pd.DataFrame", temperature: float) -> "pd.DataFrame":
    """The table with its probabilities at a temperature > 0, rounded to six digits."""
    if not temperature > 0:
        raise ValueError(f"temperature={temperature!r}: must be above 0")
    return replaced(frame, softened(answers(frame)[2], temperature))


def softened(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities (N, C) at a temperature > 0: `softmax(log p / T)`."""
    return _softmax(_logits(probabilities) / temperature)


def interval(
    scores: np.ndarray, true: np.ndarray, grid: np.ndarray | None = None, z: float = 1.959964
) -> np.ndarray:
    """What a score is worth: between which probabilities the truth lies, for a grid of scores.

    Inductive Venn-Abers predictors (Vovk & Petej 2014, Venn-Abers predictors, UAI): the photograph
    with the new score is added to those of known answer, once as negative and once as positive,
    and isotonic regression is fitted each time. Of the two values the one that belongs to the
    photograph's true answer is a calibrated probability, whatever the distribution and however few
    the photographs, as long as they are like the new one.

    How sure that probability is they do not tell: of 200 photographs the two lie a few points
    apart and seldom hold the truth. So each is widened to the Wilson interval of the photographs
    that it is the share of. In simulations of 60 to 1,000 photographs and four shapes of the truth
    the interval held it 95 to 99 times in 100 (Venn-Abers alone: 4 to 83).

    Args:
        scores: (N) probabilities of the class that is looked for, of photographs that trained
            nothing.
        true: (N) whether each is of that class.
        grid: (G) scores to tell about; None is 0, 0.01, … 1. Between two of them, interpolate.
        z: of the normal distribution, 1.96 for 95 %; 0 gives Venn-Abers' own two values.

    Returns:
        (G, 3): score, low, high, with low < high.

    Raises:
        ValueError: nothing to fit, shapes that differ, or a score that is no number.

    Example:
        >>> calibrate.interval(np.array([0.1, 0.2, 0.7, 0.9]), np.array([0, 0, 1, 1]), [0.15], z=0)
        array([[0.15, 0.  , 0.5 ]])
    """
    scores, true = np.asarray(scores, np.float64), np.asarray(true, bool)
    grid = np.linspace(0, 1, 101) if grid is None else np.asarray(grid, np.float64)
    if scores.shape != true.shape or scores.ndim != 1 or not len(scores):
        raise ValueError(f"scores {scores.shape} and answers {true.shape}: give N of each, N > 0")
    if not (np.isfinite(scores).all() and np.isfinite(grid).all()):
        raise ValueError("a score is not a finite number")
    values, place = np.unique(scores, return_inverse=True)
    n, positive = np.bincount(place), np.bincount(place, weights=true)
    table = np.empty((len(grid), 3))
    for row, score in zip(table, grid, strict=True):
        at = np.searchsorted(values, score)
        known = at < len(values) and values[at] == score
        with_it = n if known else np.insert(n, at, 0)
        of_them = positive if known else np.insert(positive, at, 0)
        here = np.arange(len(with_it)) == at
        row[0] = score
        for answer in (0, 1):
            share, size = _isotonic(of_them + here * answer, with_it + here, at)
            row[1 + answer] = wilson(share, size, z)[answer]
    return table


def reliability(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Confidence and accuracy in 15 bins of equal width (Guo et al. 2017).

    Returns:
        One row a bin: `low` and `high` (its ends), `n`, `confidence` (mean) and `accuracy`, NaN
        where the bin is empty. Their gaps, weighted by `n`, are `evaluate.metrics`' `ece`.
    """
    import pandas as pd

    true, predicted, probabilities = answers(frame)
    confidence = probabilities.max(axis=1)
    place = bins(confidence)
    n = np.bincount(place, minlength=BINS)
    edges = np.arange(BINS + 1) / BINS
    return pd.DataFrame(
        {
            "low": edges[:-1],
            "high": edges[1:],
            "n": n,
            "confidence": ratio(np.bincount(place, confidence, BINS), n),
            "accuracy": ratio(np.bincount(place, true == predicted, BINS), n),
        }
    )


def refuse_test(frame: "pd.DataFrame") -> None:
    """What is fitted is fitted on validation folds.

    Raises:
        ValueError: the table has rows of the test split that are in no fold.
    """
    # Where folds pool Train and Test, what has a fold is no test any more.
    n = int(((frame["split"] == "test") & frame["fold"].isna()).sum())
    if n:
        raise ValueError(
            f"{n} of {len(frame)} rows are of the split 'test': fit on validation folds, "
            "then apply to test"
        )


# --- underneath ----------------------------------------------------------------------------------


def _isotonic(positive: np.ndarray, n: np.ndarray, at: int) -> tuple[float, int]:
    """Of the rising shares nearest to `positive / n` in least squares the one at a place, and how
    many it is the share of: neighbours that fall are pooled (Ayer et al. 1955)."""
    ones, sizes, ends = [], [], []
    for end, (one, size) in enumerate(zip(positive.tolist(), n.tolist(), strict=True)):
        while ones and ones[-1] * size >= one * sizes[-1]:
            one, size = one + ones.pop(), size + sizes.pop()
            ends.pop()
        ones.append(one)
        sizes.append(size)
        ends.append(end)
    pool = np.searchsorted(ends, at)
    return ones[pool] / sizes[pool], sizes[pool]


def _logits(probabilities: np.ndarray) -> np.ndarray:
    return np.log(probabilities.clip(SMALLEST, 1))


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
