"""Metrics with intervals from a table of predictions: no model, no photographs, no TensorFlow.

Everything here takes the table that `predictions.read` gives, so a figure can be computed again, by
anybody, from the file alone.

    table = predictions.read("outputs/runs/isic9_baseline/predictions.csv")
    print(evaluate.summary(evaluate.metrics(table)))
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from skincnn import labels
from skincnn.predictions import DIGITS, classes, probability_columns, text

if TYPE_CHECKING:
    import pandas as pd

HEADLINES = {  # name in the dictionary -> words for people
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "log_loss": "log loss",
}
# Six digits write anything below half a millionth as 0; its logarithm would be minus infinity.
SMALLEST = 0.5 * 10**-DIGITS
CHUNK = 1_000_000  # bootstrap draws held at once: 8 MB


def metrics(frame: "pd.DataFrame", replicates: int = 1000, seed: int = 0) -> dict:
    """Headline figures with 95 % intervals, figures per class, and the confusion matrix.

    The intervals are percentile bootstrap intervals (Efron & Tibshirani 1993, chapter 13) that draw
    whole groups with replacement, not photographs: photographs of one lesion or one patient are
    not independent (the cluster bootstrap; Field & Welsh 2007). A row with an empty `group` is
    its own group by `file`, so several seeds of one photograph stay together too. They say how far
    another sample of such groups could differ, not another training; and where every answer is
    right (or wrong) a bootstrap cannot see beyond it.

    Args:
        frame: a table of predictions.
        replicates: bootstrap samples drawn.
        seed: of the draws; same table and seed, same intervals.

    Returns:
        A dictionary that JSON can hold; what is undefined (0/0) is None:

        - `n` rows, `n_files` distinct photographs, `n_groups`, `replicates`, `classes` (names);
        - `accuracy`, `balanced_accuracy` (mean sensitivity of the classes with photographs),
          `macro_f1` (mean over classes that occur as label or prediction), all 0…1, and `log_loss`
          (natural logarithm, ≥ 0), each `{"value", "low", "high"}`; no interval from one group;
        - `per_class`: label -> `report`'s row; `confusion`: rows true, columns predicted.

    Raises:
        ValueError: the table has no rows, or replicates < 1.
    """
    if replicates < 1:
        raise ValueError(f"replicates={replicates!r}: must be at least 1")
    counts, losses = _per_group(frame)
    n_groups = len(counts)
    values = _headlines(counts.sum(axis=0), losses.sum())
    draws = [_headlines(*sums) for sums in _resampled(counts, losses, replicates, seed)]
    figures = {}
    for name, value in values.items():
        low = high = np.nan
        if n_groups > 1:
            low, high = np.percentile(np.concatenate([d[name] for d in draws]), [2.5, 97.5])
        figures[name] = {"value": _number(value), "low": _number(low), "high": _number(high)}
    table = report(frame)
    return {
        "n": len(frame),
        "n_files": int(frame["file"].nunique()),
        "n_groups": n_groups,
        "replicates": replicates,
        "classes": list(table.index),
        **figures,
        "per_class": {
            label: {"support": int(row.pop("support"))} | {k: _number(v) for k, v in row.items()}
            for label, row in table.to_dict("index").items()
        },
        "confusion": counts.sum(axis=0).astype(int).tolist(),
    }


def confusion(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Counts (C, C) by class name: rows are true classes, columns predicted ones."""
    import pandas as pd

    names = classes(frame)
    true, predicted, _ = _answers(frame)
    counts = np.bincount(true * len(names) + predicted, minlength=len(names) ** 2)
    return pd.DataFrame(
        counts.reshape(len(names), len(names)),
        index=pd.Index(names, name="true"),
        columns=pd.Index(names, name="predicted"),
    )


def report(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Figures per class, one row a class in class order; NaN where a figure is 0/0.

    Columns: `support` (photographs of the class), `sensitivity` (found, of them), `precision`
    (right, of those called so), `specificity` (of all others, not called so), `f1`, and `auc`: the
    chance that a photograph of the class has a higher probability of it than one of another class.
    """
    import pandas as pd

    true, _, probabilities = _answers(frame)
    table = confusion(frame)
    counts = table.to_numpy()
    hits, support, called = np.diagonal(counts), counts.sum(axis=1), counts.sum(axis=0)
    others = len(frame) - support
    return pd.DataFrame(
        {
            "support": support,
            "sensitivity": _ratio(hits, support),
            "precision": _ratio(hits, called),
            "specificity": _ratio(others - (called - hits), others),
            "f1": _ratio(2 * hits, support + called),
            "auc": [_auc(true == c, probabilities[:, c]) for c in range(len(table))],
        },
        index=table.index.rename("label"),
    )


def summary(metrics: dict) -> str:
    """`metrics` in a few lines for the terminal."""
    of = "photographs"
    if metrics["n"] != metrics["n_files"]:
        of = f"predictions of {metrics['n_files']:,} photographs"
    lines = []
    for name, words in HEADLINES.items():
        percent = "accuracy" in name
        scale, digits, sign = (100, 1, " %") if percent else (1, 3, "")
        value, low, high = (metrics[name][key] for key in ("value", "low", "high"))
        line = f"{words} {value * scale:.{digits}f}{sign}"
        if low is not None:
            line += f" (95 % interval {low * scale:.{digits}f}–{high * scale:.{digits}f})"
        lines.append(line)
    lines[0] += f", n = {metrics['n']:,} {of} in {metrics['n_groups']:,} groups"
    return "\n".join(lines)


# --- underneath: counts --------------------------------------------------------------------------


def _answers(frame: "pd.DataFrame") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True class (N), predicted class (N), probabilities (N, C)."""
    if not len(frame):
        raise ValueError("the table of predictions has no rows")
    columns = probability_columns(frame)
    position = {column: at for at, column in enumerate(columns)}
    true = frame["label"].map(lambda label: position[labels.column(label)]).to_numpy(np.int64)
    probabilities = frame[columns].to_numpy(np.float64)
    return true, probabilities.argmax(axis=1), probabilities


def _per_group(frame: "pd.DataFrame") -> tuple[np.ndarray, np.ndarray]:
    """What a group adds to every headline: its confusion counts (G, C, C) and summed losses (G)."""
    import pandas as pd

    true, predicted, probabilities = _answers(frame)
    n_classes = probabilities.shape[1]
    names = text(frame["group"])
    group, unique = pd.factorize(np.where(names == "", text(frame["file"]), names))
    counts = np.zeros((len(unique), n_classes, n_classes))
    np.add.at(counts, (group, true, predicted), 1)
    likelihood = probabilities[np.arange(len(true)), true]
    return counts, np.bincount(group, weights=-np.log(likelihood.clip(SMALLEST, 1)))


def _headlines(counts: np.ndarray, loss: np.ndarray) -> dict[str, np.ndarray]:
    """The headline figures of confusion counts (…, C, C) and summed losses (…), each (…)."""
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    support, called = counts.sum(axis=-1), counts.sum(axis=-2)
    n = support.sum(axis=-1)
    return {
        "accuracy": hits.sum(axis=-1) / n,
        "balanced_accuracy": np.nanmean(_ratio(hits, support), axis=-1),
        "macro_f1": np.nanmean(_ratio(2 * hits, support + called), axis=-1),
        "log_loss": loss / n,
    }


def _resampled(
    counts: np.ndarray, losses: np.ndarray, replicates: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Draw G of G groups with replacement, many times; yield the sums of some replicates at once.

    Most groups are one photograph, so few kinds of group differ in their counts: how often each
    kind was drawn, times what it adds, is one small matrix product. In chunks, for the draws of a
    thousand replicates of 33,000 groups would be 264 MB.
    """
    n_groups, n_classes = counts.shape[:2]
    kinds, kind = np.unique(counts.reshape(n_groups, -1), axis=0, return_inverse=True)
    rng = np.random.default_rng(seed)
    chunk = max(1, CHUNK // n_groups)
    for start in range(0, replicates, chunk):
        rows = min(chunk, replicates - start)
        drawn = rng.integers(n_groups, size=(rows, n_groups))
        times = np.stack([np.bincount(kind[row], minlength=len(kinds)) for row in drawn])
        sums = times.astype(np.float64) @ kinds
        yield sums.reshape(rows, n_classes, n_classes), losses[drawn].sum(axis=1)


def _auc(positive: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve: the Mann–Whitney statistic over ranks (Hanley & McNeil 1982)."""
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if not n_positive or not n_negative:
        return np.nan
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]  # equal scores share their mean rank
    above = ranks[positive].sum() - n_positive * (n_positive + 1) / 2
    return above / (n_positive * n_negative)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
