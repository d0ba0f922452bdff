"""Two runs on the same photographs, set against each other row for row. No TensorFlow.

found = paired.compare(one.predictions, other.predictions)
print(summaries.comparison(found))
"""

from typing import TYPE_CHECKING

import numpy as np

from skincnn import evaluate
from skincnn.predictions import answers, classes, probability_columns, text
from skincnn.scores import Scores, bootstrap, figure, number
from skincnn.summaries import HEADLINES, POSITIVE_HEADLINES

if TYPE_CHECKING:
    import pandas as pd


def compare(
    a: "pd.DataFrame",
    b: "pd.DataFrame",
    replicates: int = 1000,
    seed: int = 0,
    positive: str | None = None,
) -> dict:
    """Two runs on the same photographs: is the difference more than the choice of photographs?

    Every replicate draws the same groups for both, so what makes a photograph hard for either
    cancels out: the interval of the difference is far narrower than the two intervals suggest. It
    says nothing of what another training of the two would give.

    Args:
        a, b: tables of predictions with the same files, labels and classes, in any order. With
            several seeds of a file, they are paired in order of the seed.
        replicates, seed, positive: as for `evaluate.metrics`.

    Returns:
        A dictionary that JSON can hold: `n`, `n_groups`, `replicates`, `positive`, and

        - `differences`: headline -> `{"a", "b", "value", "low", "high", "p"}`: a, b, a − b, its
          95 % interval, and twice the smaller share of replicates on one side of zero (the
          two-sided p-value that goes with a percentile interval; Efron & Tibshirani 1993), which
          is at least 2 / (replicates + 1);
        - `mcnemar`: `only_a_right`, `only_b_right`, `p`: McNemar's exact test of accuracy (1947),
          which takes photographs, not groups, to be independent.

    Raises:
        ValueError: the tables are not of the same photographs; the message has the first that
            differs. Also as `evaluate.metrics`.
    """
    a, b = pair(a, b)
    positive = evaluate.positive_class(a, positive)
    both = Scores(a, positive), Scores(b, positive)
    one, other = (table.figures() for table in both)
    drawn_one, drawn_other = bootstrap(both, replicates, seed)
    differences = {}
    for name in (*HEADLINES, *POSITIVE_HEADLINES):
        if name in one:
            samples = drawn_one[name] - drawn_other[name]
            found = figure(one[name][0] - other[name][0], samples, both[0].n_groups == 1)
            differences[name] = {
                "a": number(one[name][0]),
                "b": number(other[name][0]),
                **found,
                "p": None if found["low"] is None else _p_value(samples),
            }
    right_a, right_b = (true == predicted for true, predicted, _ in map(answers, (a, b)))
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    return {
        "n": len(a),
        "n_groups": both[0].n_groups,
        "replicates": replicates,
        "positive": positive,
        "differences": differences,
        "mcnemar": {
            "only_a_right": only_a,
            "only_b_right": only_b,
            "p": mcnemar(only_a, only_b),
        },
    }


def mcnemar(only_a: int, only_b: int) -> float:
    """Two-sided exact p-value: a fair coin thrown so often, as far from half or farther."""
    n, fewer = only_a + only_b, min(only_a, only_b)
    ways = term = 1
    for k in range(fewer):
        term = term * (n - k) // (k + 1)  # n over k + 1, exactly
        ways += term
    return min(1.0, 2 * ways / 2**n)


def pair(a: "pd.DataFrame", b: "pd.DataFrame") -> tuple["pd.DataFrame", "pd.DataFrame"]:
    """Two tables of the same photographs, row for row, classes in the same order.

    Several seeds of a file are paired in order of the seed. A group that one table leaves empty is
    taken from the other.

    Raises:
        ValueError: they differ in classes, files, labels or groups; the message has the first.
    """
    if set(probability_columns(a)) != set(probability_columns(b)):
        raise ValueError(
            f"the two tables have different classes: {', '.join(classes(a))}; "
            f"{', '.join(classes(b))}"
        )
    a, b = (table.sort_values(["file", "seed"], ignore_index=True) for table in (a, b))
    rows, others = (table["file"].value_counts() for table in (a, b))
    apart = rows.sub(others, fill_value=0)
    apart = apart[apart != 0].sort_index()
    if len(apart):
        which = "first" if apart.iloc[0] > 0 else "second"
        raise ValueError(
            f"the two tables are not of the same photographs: {apart.index[0]!r} has more rows in "
            f"the {which} ({len(apart)} such files)"
        )
    groups = [text(table["group"]) for table in (a, b)]
    groups = [np.where(own == "", other, own) for own, other in (groups, groups[::-1])]
    for name, own, other in (("label", text(a["label"]), text(b["label"])), ("group", *groups)):
        differ = own != other
        if differ.any():
            at = int(np.argmax(differ))
            raise ValueError(
                f"{a['file'][at]!r} has {name} {own[at]!r} in the first table and {other[at]!r} in "
                f"the second ({int(differ.sum())} such rows)"
            )
    order = [name for name in b.columns if not name.startswith("p_")] + probability_columns(a)
    return a.assign(group=groups[0]), b[order].assign(group=groups[1])


def _p_value(samples: np.ndarray) -> float:
    samples = samples[~np.isnan(samples)]
    fewer = min((samples <= 0).sum(), (samples >= 0).sum())
    return min(1.0, 2 * (1 + int(fewer)) / (1 + len(samples)))
