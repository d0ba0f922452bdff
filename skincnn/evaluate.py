"""Metrics with intervals from a table of predictions: no model, no photographs, no TensorFlow.

Everything here takes the table that `predictions.read` gives, so a figure can be computed again, by
anybody, from the file alone.

    table = predictions.read("outputs/runs/isic9_baseline/predictions.csv")
    print(evaluate.summary(evaluate.metrics(table)))
"""

from typing import TYPE_CHECKING

import numpy as np

from skincnn import labels, subgroups
from skincnn.predictions import answers, classes, probability_columns
from skincnn.scores import REFLECTED, Scores, bootstrap, figure, number
from skincnn.summaries import HEADLINES, POSITIVE_HEADLINES, summary

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["alike", "between", "by", "confusion", "metrics", "positive_class", "report", "summary"]

PER_CLASS = ("sensitivity", "precision", "specificity", "f1", "auc", "average_precision")
SMALL = 30  # photographs below which a subgroup's figures say little


def metrics(
    frame: "pd.DataFrame", replicates: int = 1000, seed: int = 0, positive: str | None = None
) -> dict:
    """Headline figures with 95 % intervals, figures per class, and the confusion matrix.

    The intervals are percentile bootstrap intervals (Efron & Tibshirani 1993, chapter 13) that draw
    whole groups with replacement, not photographs: photographs of one lesion or one patient are
    not independent (the cluster bootstrap; Field & Welsh 2007). A row with an empty `group` is
    its own group by `file`, so several seeds of one photograph stay together too. They say how far
    another sample of such groups could differ, not another training; and where every answer is
    right (or wrong) a bootstrap cannot see beyond it. A replicate in which a figure is undefined
    (its class was not drawn) is left out of that figure's interval.

    Of several seeds the areas, and what else needs the order of the scores, are means over the
    trainings, whose scores are on scales of their own; all other figures count every row.

    In simulations of 500 lesions, 75 of them melanomas, the intervals hold the truth 93 to 96 % of
    the time, but for two: that of the partial area (about 91 %), which rests on the few melanomas
    that are hardest to find, and of the calibration error (86 %), which chance can only raise. The
    latter is reflected at the value; plain percentiles would hold the truth 68 % of the time
    (`benchmarks/evaluate.py --coverage 1000`).

    Args:
        frame: a table of predictions.
        replicates: bootstrap samples drawn.
        seed: of the draws; same table and seed, same intervals.
        positive: the class that is set against the rest; default `melanoma`, else `malignant`,
            else none.

    Returns:
        A dictionary that JSON can hold; what is undefined (0/0) is None:

        - `n` rows, `n_files` distinct photographs, `n_groups`, `replicates`, `classes` (names);
        - each `{"value", "low", "high"}`, no interval from one group: `accuracy`,
          `balanced_accuracy` (mean sensitivity of the classes with photographs), `macro_f1` (mean
          over classes that occur as label or prediction), `macro_auc` (mean one-vs-rest AUC of
          the classes with photographs), all 0…1; `log_loss` (natural logarithm, ≥ 0); `brier`
          (squared distance summed over classes, 0…2: Brier 1950); `ece` (expected calibration
          error of the top class, 15 bins of equal width, 0…1: Guo et al. 2017);
        - `positive` (a class or None) and where there is one, in the same form:
          `sensitivity_at_90_specificity`, `…_95_…` (highest at any threshold that reaches the
          specificity) and `partial_auc`: the area under the ROC curve above a sensitivity of 0.8,
          0…0.2, as the ISIC 2024 challenge scored (Kurtansky et al. 2024);
        - `per_class`: label -> `report`'s row; `per_class_intervals`: label -> figure ->
          `{"low", "high"}`; `confusion`: rows true, columns predicted.

    Raises:
        ValueError: the table has no rows, replicates < 1, or `positive` is not among the classes.
    """
    positive = positive_class(frame, positive)
    scores = Scores(frame, positive)
    values = scores.figures()
    samples = bootstrap([scores], replicates, seed)[0]
    alone = scores.n_groups == 1
    table = _report(frame, values)
    intervals = {
        name: [figure(values[name][0, c], samples[name][:, c], alone) for c in range(len(table))]
        for name in PER_CLASS
    }
    return {
        "n": len(frame),
        "n_files": int(frame["file"].nunique()),
        "n_groups": scores.n_groups,
        "replicates": replicates,
        "classes": list(table.index),
        **{
            name: figure(values[name][0], samples[name], alone, name in REFLECTED)
            for name in (*HEADLINES, *POSITIVE_HEADLINES)
            if name in values
        },
        "positive": positive,
        "per_class": {
            label: {"support": int(row.pop("support"))} | {k: number(v) for k, v in row.items()}
            for label, row in table.to_dict("index").items()
        },
        "per_class_intervals": {
            label: {
                name: {end: of_class[c][end] for end in ("low", "high")}
                for name, of_class in intervals.items()
            }
            for c, label in enumerate(table.index)
        },
        "confusion": confusion(frame).to_numpy().tolist(),
    }


def between(
    frame: "pd.DataFrame",
    one: str = "melanoma",
    other: str = "nevus",
    replicates: int = 1000,
    seed: int = 0,
) -> dict:
    """`metrics` of two classes alone: their photographs, and how the network divides between them.

    On the nine-class set melanomas and nevi come from other collections than most of the rest, so
    that a network can tell the rest by the camera. It can tell part of these two by it too: see
    `alike`.

    Args:
        frame: a table of predictions.
        one: the class that is looked for.
        other: the class it is told from.

    Raises:
        ValueError: a class the table does not have, or has no photograph of.
    """
    import pandas as pd

    names = classes(frame)
    columns = probability_columns(frame)
    for name in (one, other):
        if name not in names or not (frame["label"] == name).any():
            raise ValueError(f"no photographs of {name!r} in the table: {', '.join(names)}")
    pair_ = [columns[names.index(name)] for name in (one, other)]
    rows = frame[frame["label"].isin((one, other))].reset_index(drop=True)
    shares = rows[pair_].to_numpy(np.float64)
    sums = shares.sum(axis=1, keepdims=True)
    shares = np.where(sums > 0, shares / np.where(sums > 0, sums, 1), 0.5)
    facts = rows.drop(columns=columns)
    two = pd.concat([facts, pd.DataFrame(shares, columns=pair_)], axis=1)
    return metrics(two, replicates, seed, positive=one)


def alike(
    frame: "pd.DataFrame", one: str = "melanoma", other: str = "nevus"
) -> "pd.DataFrame | None":
    """The photographs of two classes whose numbers in the archive lie where both classes have some.

    Numbers were given collection by collection. Of the nine-class set's 399 melanomas 258 have one
    above every nevus's, and are told apart better than the rest are; so `between` of these rows
    stands beside that of all. It is no proof: collections lie in that range too.

    Args:
        frame: a table of predictions, or any with `label` and `image_id`.

    Returns:
        Rows of the two classes; None where a photograph has no number, or no range has both.
    """
    rows = frame[frame["label"].isin((one, other))].reset_index(drop=True)
    number = rows["image_id"].astype(str).str.extract(r"(\d+)$")[0].astype(float)
    ends = number.groupby(rows["label"]).agg(["min", "max"])
    if number.isna().any() or len(ends) < 2:
        return None
    rows = rows[number.between(ends["min"].max(), ends["max"].min())].reset_index(drop=True)
    return rows if rows["label"].nunique() == 2 else None


def confusion(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Counts (C, C) by class name: rows are true classes, columns predicted ones."""
    import pandas as pd

    names = classes(frame)
    true, predicted, _ = answers(frame)
    counts = np.bincount(true * len(names) + predicted, minlength=len(names) ** 2)
    return pd.DataFrame(
        counts.reshape(len(names), len(names)),
        index=pd.Index(names, name="true"),
        columns=pd.Index(names, name="predicted"),
    )


def report(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Figures per class, one row a class in class order; NaN where a figure is 0/0.

    Columns: `support` (photographs of the class), `sensitivity` (found, of them), `precision`
    (right, of those called so), `specificity` (of all others, not called so), `f1`, `auc`: the
    chance that a photograph of the class has a higher probability of it than one of another class
    (equal ones count half; Hanley & McNeil 1982), and `average_precision`: precision at each
    threshold, weighted by the sensitivity it adds, without interpolation.
    """
    return _report(frame, Scores(frame).figures())


def positive_class(frame: "pd.DataFrame", name: str | None = None) -> str | None:
    """The class that is set against the rest: the one asked for; else melanoma, malignant, or none.

    Raises:
        ValueError: the table has no such class.
    """
    own = classes(frame)
    by_column = {labels.column(one): one for one in own}
    wanted = ("melanoma", "malignant") if name is None else (name,)
    found = [by_column[labels.column(one)] for one in wanted if labels.column(one) in by_column]
    if name is not None and not found:
        raise ValueError(f"positive={name!r}: not among the classes: {', '.join(own)}")
    return found[0] if found else None


def by(
    frame: "pd.DataFrame",
    facts: "pd.DataFrame",
    column: str,
    replicates: int = 1000,
    seed: int = 0,
    positive: str | None = None,
) -> "pd.DataFrame":
    """Every headline for each subgroup, with its size and interval.

    Args:
        frame: a table of predictions.
        facts: a table with `file` or `image_id`, and the column (see `subgroups.of`).
        column: `sex`, `age`, `skin_tone`, … : ages fall into decades, a missing value is the
            subgroup `unknown`.
        replicates, seed, positive: as for `metrics`.

    Returns:
        One row a subgroup: `n` predictions, `n_groups`, `small` (fewer than 30 predictions),
        `classes` (how many have photographs here: the balanced figures are means over these
        alone, so subgroups that lack different classes are not to be compared), then each
        headline as three columns, `accuracy`, `accuracy_low`, `accuracy_high`; NaN where
        undefined.

    Raises:
        ValueError: as `subgroups.of` and `metrics`.
    """
    import pandas as pd

    positive = positive_class(frame, positive)  # of the whole, whichever classes a part has
    rows = {}
    for subgroup, part in frame.groupby(subgroups.of(frame, facts, column), observed=True):
        figures = metrics(part, replicates, seed, positive)
        support = [row["support"] for row in figures["per_class"].values()]
        rows[subgroup] = {
            "n": figures["n"],
            "n_groups": figures["n_groups"],
            "small": figures["n"] < SMALL,
            "classes": sum(n > 0 for n in support),
        }
        for headline in (*HEADLINES, *POSITIVE_HEADLINES):
            for key, end in (("value", ""), ("low", "_low"), ("high", "_high")):
                if headline in figures:
                    value = figures[headline][key]
                    rows[subgroup][headline + end] = np.nan if value is None else value
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(column)


# --- underneath ----------------------------------------------------------------------------------


def _report(frame: "pd.DataFrame", values: dict[str, np.ndarray]) -> "pd.DataFrame":
    import pandas as pd

    table = pd.DataFrame(
        {name: values[name][0] for name in PER_CLASS}, index=pd.Index(classes(frame), name="label")
    )
    table.insert(0, "support", confusion(frame).sum(axis=1))
    return table
