"""From a probability to an answer: when to call a photograph positive, when to say "not sure".

Thresholds, and the confidence below which nothing is answered, are chosen on validation folds and
tried on other photographs; rows of the test split that are in no fold choose nothing.

    confidence = decisions.abstention(calibrate.apply(validation, t), accuracy=0.9)
    decisions.selective(calibrate.apply(test, t), confidence)
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from skincnn import calibrate, evaluate
from skincnn.predictions import answers, classes, groups
from skincnn.scores import proportion

if TYPE_CHECKING:
    import pandas as pd


def thresholds(
    frame: "pd.DataFrame", positive: str = "melanoma", specificities: Sequence[float] = (0.9, 0.95)
) -> dict[float, float]:
    """From which probability to call a photograph positive, to reach a specificity.

    Args:
        frame: predictions of validation folds.
        positive: the class that is called.
        specificities: shares of the other photographs not to be called, in (0, 1].

    Returns:
        Specificity -> the lowest probability in the table that reaches it when everything at or
        above it is called; infinity where none does (call nothing).

    Raises:
        ValueError: no such class, a specificity out of range, no rows, rows of the test split, or
            no photograph of another class.
    """
    calibrate.refuse_test(frame)
    scores, true = _against_rest(frame, positive)
    if true.all():
        raise ValueError(f"no photographs but {positive}: specificity is undefined")
    candidates, rest = np.unique(scores), np.sort(scores[~true])
    reached = np.searchsorted(rest, candidates, side="left") / len(rest)  # not called
    found = {}
    for wanted in specificities:
        if not 0 < wanted <= 1:
            raise ValueError(f"specificity {wanted!r}: must lie in (0, 1]")
        enough = candidates[reached >= wanted]
        found[wanted] = float(enough[0]) if len(enough) else np.inf
    return found


def called(
    frame: "pd.DataFrame",
    positive: str,
    threshold: float,
    replicates: int = 1000,
    seed: int = 0,
) -> dict:
    """What a threshold does on other photographs.

    Returns:
        `positive`, `threshold`, `n`, `called` (rows), and `sensitivity`, `specificity`,
        `precision`, each `{"value", "low", "high"}` with the bootstrap of `evaluate.metrics`.

    Raises:
        ValueError: no such class, or no rows.
    """
    scores, true = _against_rest(frame, positive)
    yes, group = scores >= threshold, groups(frame)
    pairs = {"sensitivity": (yes, true), "specificity": (~yes, ~true), "precision": (true, yes)}
    return {
        "positive": positive,
        "threshold": threshold,
        "n": len(frame),
        "called": int(yes.sum()),
        **{
            name: proportion(part, whole, group, replicates, seed)
            for name, (part, whole) in pairs.items()
        },
    }


def abstention(
    frame: "pd.DataFrame", coverage: float | None = None, accuracy: float | None = None
) -> float:
    """From which confidence (probability of the top class) to answer; below it, "not sure".

    Args:
        frame: predictions of validation folds, at the temperature that will be used.
        coverage: share of photographs to answer at least, in (0, 1]: gives the highest such
            confidence.
        accuracy: share of the answers to be right at least, in (0, 1]: gives the lowest such
            confidence. Give one of the two.

    Returns:
        The confidence, one that stands in the table.

    Raises:
        ValueError: both or neither given, out of range, an accuracy that no confidence reaches, no
            rows, or rows of the test split.
    """
    calibrate.refuse_test(frame)
    if (coverage is None) == (accuracy is None):
        raise ValueError("give a coverage or an accuracy, and not both")
    name, wanted = ("coverage", coverage) if accuracy is None else ("accuracy", accuracy)
    if not 0 < wanted <= 1:
        raise ValueError(f"{name}={wanted!r}: must lie in (0, 1]")
    curve = risk_coverage(frame)
    reached = curve["coverage"] if accuracy is None else 1 - curve["risk"]
    enough = curve["confidence"][reached >= wanted - 1e-12]
    if not len(enough):
        best = 1 - curve["risk"].min()
        raise ValueError(
            f"accuracy={accuracy!r}: the most that any confidence reaches is {best:.3f}"
        )
    return float(enough.iloc[0] if accuracy is None else enough.iloc[-1])


def selective(
    frame: "pd.DataFrame", confidence: float, replicates: int = 1000, seed: int = 0
) -> dict:
    """What abstaining below a confidence does on other photographs.

    Returns:
        `confidence`, `n`, `answered` (rows), and `coverage` (share answered) and `accuracy` (of
        the answers), each `{"value", "low", "high"}` with the bootstrap of `evaluate.metrics`.

    Raises:
        ValueError: no rows.
    """
    true, predicted, probabilities = answers(frame)
    answered, group = probabilities.max(axis=1) >= confidence, groups(frame)
    everything = np.ones(len(true), bool)
    return {
        "confidence": confidence,
        "n": len(true),
        "answered": int(answered.sum()),
        "coverage": proportion(answered, everything, group, replicates, seed),
        "accuracy": proportion(true == predicted, answered, group, replicates, seed),
    }


def risk_coverage(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Share of wrong answers against share answered, from the surest down (El-Yaniv & Wiener 2010).

    Returns:
        One row a distinct confidence, highest first: `confidence` (answer from here on),
        `coverage` in (0, 1], `risk` in 0…1.
    """
    import pandas as pd

    true, predicted, probabilities = answers(frame)
    values, row = np.unique(-probabilities.max(axis=1), return_inverse=True)
    answered = np.cumsum(np.bincount(row))
    wrong = np.cumsum(np.bincount(row, weights=true != predicted))
    return pd.DataFrame(
        {"confidence": -values, "coverage": answered / len(true), "risk": wrong / answered}
    )


# --- underneath ----------------------------------------------------------------------------------


def _against_rest(frame: "pd.DataFrame", positive: str) -> tuple[np.ndarray, np.ndarray]:
    """Probability of a class (N), and whether the row is of it (N)."""
    place = classes(frame).index(evaluate.positive_class(frame, positive))
    true, _, probabilities = answers(frame)
    return probabilities[:, place], true == place
