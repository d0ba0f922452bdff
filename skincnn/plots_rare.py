"""Figures of one class that is looked for among many others, in the style of `plots`."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_curve, roc_curve

from skincnn import evaluate, labels, plots, predictions


def roc_and_precision(tables: pd.DataFrame | Mapping[str, pd.DataFrame]) -> np.ndarray:
    """ROC curve and precision-recall curve side by side, a colour for each network.

    Several trainings of one network are a thin line each: their scores are on scales of their own,
    and are not pooled. Where photographs in a hundred are few, the left curve looks well long
    before the right one does: the dashed lines are what guessing gives.

    Args:
        tables: predictions with melanoma or malignant among the classes, or several by name.

    Returns:
        Object array of the two `Axes`; the legend has the AUC with its 95 % interval.

    Raises:
        ValueError: neither class is there, or one of the two sides has no photograph.
    """
    tables = {"": tables} if isinstance(tables, pd.DataFrame) else dict(tables)
    _, (left, right) = plt.subplots(1, 2, figsize=(10, 4.6))
    for number, (name, table) in enumerate(tables.items()):
        colour = plots.COLOURS[number % len(plots.COLOURS)]
        classes = predictions.classes(table)
        looked_for = labels.positive(classes)
        if looked_for is None:
            raise ValueError(f"none of {', '.join(classes)} is looked for")
        if table["label"].eq(looked_for).nunique() < 2:
            raise ValueError(f"{name or 'the table'}: {looked_for} and others must both be there")
        auc = evaluate.metrics(table)["per_class_intervals"][looked_for]["auc"]
        value = evaluate.report(table).loc[looked_for, "auc"]
        text = f"{name}: " if name else ""
        text += f"AUC {value:.3f} ({auc['low']:.3f} to {auc['high']:.3f})"
        seeds = list(table.groupby("seed"))
        for turn, (_, rows) in enumerate(seeds):
            truth, score = rows["label"] == looked_for, rows[labels.column(looked_for)]
            style = {"color": colour, "linewidth": 2.2 if len(seeds) == 1 else 1.3}
            wrong, found, _ = roc_curve(truth, score)
            left.plot(wrong, found, label=text if turn == 0 else None, **style)
            precision, recall, _ = precision_recall_curve(truth, score)
            right.step(recall, precision, where="post", **style)
        right.axhline(table["label"].eq(looked_for).mean(), ls="--", lw=1.2, color=plots.GREY)
    left.plot([0, 1], [0, 1], "--", linewidth=1.2, color=plots.GREY)
    left.set(xlabel="1 − specificity", ylabel="sensitivity")
    right.set(xlabel="sensitivity (recall)", ylabel="precision")
    for ax in (left, right):
        ax.set(xlim=(-0.01, 1.01), ylim=(-0.02, 1.03))
        plots.percent(ax.xaxis, ax.yaxis)
    # below: with several names it would lie over the curves
    left.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.16))
    return np.array([left, right], dtype=object)
