"""Figures of one table under any weighting of its groups: what the bootstrap asks for, many times.

Drawing groups with replacement only changes how often each row counts. So every class's scores are
sorted once, and a replicate costs a few cumulative sums over them instead of a sort a class. All
replicates of a chunk are done together, in numpy; a chunk is small enough to stay in the cache.
"""

import functools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from skincnn import labels
from skincnn.predictions import SMALLEST, answers, groups, probability_columns

if TYPE_CHECKING:
    import pandas as pd

BINS = 15  # of confidence, for the calibration error: Guo et al. 2017
REFLECTED = frozenset({"ece"})  # noise makes gaps, never closes them: of samples even more so
SENSITIVITY = 0.8  # above which the partial area is taken: ISIC 2024
SENSITIVITIES_AT = {"sensitivity_at_90_specificity": 0.9, "sensitivity_at_95_specificity": 0.95}
CHUNK = 500_000  # rows × replicates weighed at once: 2 MB a copy


class Scores:
    """A table of predictions, sorted and summed so that any weighting of it is scored quickly.

    Args:
        frame: a table of predictions.
        positive: the class for the figures of one against the rest, or None.
    """

    def __init__(self, frame: "pd.DataFrame", positive: str | None = None):
        true, predicted, probabilities = answers(frame)
        self.group = groups(frame)
        self.n_rows, self.n_groups = len(true), int(self.group.max()) + 1
        self.n_classes = probabilities.shape[1]
        columns = probability_columns(frame)
        self.positive = None if positive is None else columns.index(labels.column(positive))
        right = np.eye(self.n_classes)[true]
        called = np.eye(self.n_classes)[predicted]
        confidence = probabilities.max(axis=1)
        gap = np.eye(BINS)[bins(confidence)] * (confidence - (true == predicted))[:, None]
        loss = -np.log((probabilities * right).sum(axis=1).clip(SMALLEST, 1))
        brier = ((probabilities - right) ** 2).sum(axis=1)
        # What a group adds to each sum, (G, 3 C + 2 + BINS).
        self._sums = group_sums(
            np.column_stack([right, called, right * called, loss, brier, gap]), self.group
        )
        self._true, self._probabilities = true, probabilities
        seeds = frame["seed"].to_numpy()
        self._trainings = [np.flatnonzero(seeds == seed) for seed in np.unique(seeds)]

    @functools.cached_property
    def _curves(self) -> list[list["_Curve"]]:
        """Of each training one a class: two trainings' scores are on scales of their own."""
        return [
            [
                _Curve(self._probabilities[rows, c], self._true[rows] == c)
                for c in range(self.n_classes)
            ]
            for rows in self._trainings
        ]

    def figures(self, times: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Every figure, for B ways of counting the groups; NaN where one is 0/0.

        Args:
            times: whole numbers (B, G), how often each group counts; default: each once.

        Returns:
            Name -> (B) for the headlines, (B, C) for the figures per class.
        """
        if times is None:
            times = np.ones((1, self.n_groups), np.int32)
        return self.counted(times) | self.ranked(times)

    def counted(self, times: np.ndarray) -> dict[str, np.ndarray]:
        """Those that are made of sums over the rows."""
        sums = weighted(times, self._sums)
        support, called, hits = (
            sums[:, k * self.n_classes : (k + 1) * self.n_classes] for k in range(3)
        )
        loss, brier, gaps = sums[:, -BINS - 2], sums[:, -BINS - 1], sums[:, -BINS:]
        n = support.sum(axis=1)
        others = n[:, None] - support
        sensitivity, f1 = ratio(hits, support), ratio(2 * hits, support + called)
        return {
            "accuracy": hits.sum(axis=1) / n,
            "balanced_accuracy": _mean(sensitivity),
            "macro_f1": _mean(f1),
            "log_loss": loss / n,
            "brier": brier / n,
            "ece": np.abs(gaps).sum(axis=1) / n,
            "sensitivity": sensitivity,
            "precision": ratio(hits, called),
            "specificity": ratio(others - (called - hits), others),
            "f1": f1,
        }

    def ranked(self, times: np.ndarray) -> dict[str, np.ndarray]:
        """Those that need the order of the scores: the areas, and what is read off a curve; of
        several trainings the mean."""
        times = times.astype(np.int32)
        several = [
            self._ranked(np.take(times, self.group[rows], axis=1), curves)
            for rows, curves in zip(self._trainings, self._curves, strict=True)
        ]
        figures = {
            name: _mean(np.stack([one[name] for one in several], axis=-1)) for name in several[0]
        }
        return {"macro_auc": _mean(figures["auc"]), **figures}

    def _ranked(self, weights: np.ndarray, curves: list["_Curve"]) -> dict[str, np.ndarray]:
        steps = [curve.steps(weights) for curve in curves]
        figures = {
            "auc": np.stack([s.area() for s in steps], axis=1),
            "average_precision": np.stack([s.average_precision() for s in steps], axis=1),
        }
        if self.positive is not None:
            one = steps[self.positive]
            for name, specificity in SENSITIVITIES_AT.items():
                figures[name] = one.sensitivity_at(specificity)
            figures["partial_auc"] = one.area(above=SENSITIVITY)
        return figures


class _Curve:
    """The ROC curve of one class: its rows from the highest score down; equal scores are one step.

    Only steps with a positive in them are kept. Between them the curve runs level, which no figure
    here needs, and over all classes there are no more of them than there are rows.
    """

    def __init__(self, score: np.ndarray, positive: np.ndarray):
        self.order = np.argsort(-score, kind="stable")
        changes = np.flatnonzero(np.diff(score[self.order]))
        starts, ends = np.append(0, changes + 1), np.append(changes + 1, len(score))
        places = np.flatnonzero(positive[self.order])
        self.rows = self.order[places]
        step, self.first = np.unique(np.searchsorted(ends, places, side="right"), return_index=True)
        self.starts, self.ends = starts[step], ends[step]

    def steps(self, weights: np.ndarray) -> "_Steps":
        """The steps under weights (B, N) of the table's rows."""
        passed = np.zeros((len(weights), weights.shape[1] + 1), np.int32)
        np.cumsum(np.take(weights, self.order, axis=1), axis=1, out=passed[:, 1:])
        found = np.take(weights, self.rows, axis=1)
        if len(self.first) < len(self.rows):
            found = np.add.reduceat(found, self.first, axis=1)
        return _Steps(
            found.astype(np.float64),
            np.take(passed, self.starts, axis=1),
            np.take(passed, self.ends, axis=1),
            passed[:, -1],
        )


class _Steps:
    """Weighted counts along a curve, a column a step: positives found, rows passed."""

    def __init__(self, found, before, after, n):
        self.found, self.after = found, after  # in the step; rows passed with it
        self.true = np.cumsum(found, axis=1)  # positives found with it
        self.positives = self.true[:, -1] if found.shape[1] else np.zeros(len(n))
        self.negatives = n - self.positives
        # Negatives passed before a step, and with it: the curve climbs straight between them.
        self.false_before = before - (self.true - found)
        self.false_after = after - self.true

    def area(self, above: float = 0.0) -> np.ndarray:
        """Area (B) between the curve, the line of this sensitivity and that of specificity 0."""
        specificity = self.negatives[:, None] - (self.false_before + self.false_after) / 2
        if above == 0:
            areas = (self.found * specificity).sum(axis=1)
            return ratio(areas, self.positives * self.negatives)
        # The part of each step above the line, and the specificity half-way up that part.
        line = above * self.positives[:, None]
        part = np.clip(self.true - line, 0, self.found)
        climb = ratio(self.found - part, self.found) / 2
        specificity -= np.nan_to_num(climb) * (self.false_after - self.false_before)
        return ratio((part * specificity).sum(axis=1), self.positives * self.negatives)

    def average_precision(self) -> np.ndarray:
        precision = self.true / np.maximum(self.after, 1)  # nothing passed, nothing found
        return ratio((self.found * precision).sum(axis=1), self.positives)

    def sensitivity_at(self, specificity: float) -> np.ndarray:
        """Highest sensitivity (B) at a threshold with at least this specificity."""
        left = ratio(self.negatives[:, None] - self.false_after, self.negatives[:, None])
        found = (self.found * (left >= specificity)).sum(axis=1)
        return np.where(self.negatives > 0, ratio(found, self.positives), np.nan)


def bootstrap(tables: Sequence[Scores], replicates: int, seed: int) -> list[dict[str, np.ndarray]]:
    """Every figure of B replicates, for tables with the same groups: the draws are shared.

    Returns:
        For each table, name -> (B) or (B, C).
    """
    drawn = [
        [table.figures(times) for table in tables]
        for times in resampled(tables[0].n_groups, tables[0].n_rows, replicates, seed)
    ]
    return [
        {name: np.concatenate([chunk[k][name] for chunk in drawn]) for name in drawn[0][k]}
        for k in range(len(tables))
    ]


def proportion(
    part: np.ndarray, whole: np.ndarray, group: np.ndarray, replicates: int, seed: int
) -> dict[str, float | None]:
    """Share of the rows in `whole` (N booleans) that are in `part` too, with its interval.

    Returns:
        `{"value", "low", "high"}`, as everywhere; None where it is 0/0.
    """
    sums = group_sums(np.column_stack([part & whole, whole]).astype(np.float64), group)
    draws = [weighted(times, sums) for times in resampled(len(sums), len(part), replicates, seed)]
    samples = np.concatenate(draws).T
    value = ratio(*sums.sum(axis=0)[:, None])[0]
    return figure(value, ratio(*samples), one_group=len(sums) == 1)


def wilson(share: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    """A share's confidence interval, 95 % unless `z` says otherwise (Wilson 1927).

    Unlike the bootstrap's it does not shrink to nothing where everything, or nothing, is right.

    Args:
        share: 0…1, of `n` ≥ 1 independent trials.
    """
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def resampled(n_groups: int, n_rows: int, replicates: int, seed: int) -> Iterator[np.ndarray]:
    """Draw G of G groups with replacement, many times; yield how often, (some replicates, G).

    Raises:
        ValueError: fewer than one replicate.
    """
    if replicates < 1:
        raise ValueError(f"replicates={replicates!r}: must be at least 1")
    rng = np.random.default_rng(seed)
    chunk = max(1, CHUNK // n_rows)
    for start in range(0, replicates, chunk):
        drawn = rng.integers(n_groups, size=(min(chunk, replicates - start), n_groups))
        yield np.stack([np.bincount(row, minlength=n_groups) for row in drawn]).astype(np.int32)


def figure(
    value: float, samples: np.ndarray, one_group: bool = False, reflected: bool = False
) -> dict[str, float | None]:
    """A figure with its 95 % interval over samples (B), those undefined left out.

    The percentiles themselves, or for a figure ≥ 0 that chance can only raise, reflected at the
    value (the basic bootstrap; Davison & Hinkley 1997, section 5.2) but not below 0, and not
    without the value.
    """
    low = high = np.nan
    samples = samples[~np.isnan(samples)]
    if len(samples) and not one_group and not np.isnan(value):
        low, high = np.percentile(samples, [2.5, 97.5])
        if reflected:
            low, high = max(0.0, 2 * value - high), max(value, 2 * value - low)
    return {"value": number(value), "low": number(low), "high": number(high)}


def bins(confidence: np.ndarray) -> np.ndarray:
    """Which of 15 bins of equal width, each open below and closed above, as Guo et al. have it."""
    return np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)


def group_sums(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Sums (G, K) over the rows of each group, of values (N, K)."""
    return np.stack([np.bincount(group, weights=column) for column in values.T], axis=1)


def weighted(times: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """Sums (B, K) over groups that count so often (B, G), of what each adds (G, K)."""
    # Not `@`: its threads wait for each other, a hundred times slower on a machine that is busy,
    # and how many there are shows in the last digit.
    return np.einsum("bg,gk->bk", times.astype(np.float64), sums)


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """`part / whole`, NaN where nothing is divided by nothing."""
    part, whole = np.broadcast_arrays(part, whole)
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def number(value: float) -> float | None:
    """A plain float, or None for NaN: what JSON can hold."""
    return None if np.isnan(value) else float(value)


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis, of those that have a figure."""
    known = ~np.isnan(values)
    return ratio(np.where(known, values, 0).sum(axis=-1), known.sum(axis=-1))
