"""Figures of confidence, in the style of `plots`: how far to believe it, what abstaining buys."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from skincnn import calibrate, evaluate, plots


def reliability(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Accuracy against confidence of the top class, in 15 bins; on the diagonal 80 % is 80 %.

    The dots' area is the share of photographs in the bin; the title has the calibration error.

    Args:
        table: predictions.
        ax: where to draw.

    Returns:
        The `Axes`.
    """
    rows = calibrate.reliability(table)
    rows = rows[rows["n"] > 0]
    share = rows["n"] / rows["n"].sum()
    ax = ax or plt.subplots(figsize=(4.6, 4.6))[1]
    ax.plot([0, 1], [0, 1], "--", color=plots.GREY, linewidth=1.3)
    ax.vlines(
        rows["confidence"], rows[["confidence", "accuracy"]].min(axis=1),
        rows[["confidence", "accuracy"]].max(axis=1), color="#bbbbbb", linewidth=2,
    )  # fmt: skip
    ax.plot("confidence", "accuracy", data=rows, color=plots.COLOURS[0], linewidth=1.3)
    ax.scatter(
        rows["confidence"], rows["accuracy"], s=20 + 600 * share, color=plots.COLOURS[0], zorder=3
    )
    error = float((share * (rows["confidence"] - rows["accuracy"]).abs()).sum())
    ax.set_title(f"calibration error {error:.3f}")
    ax.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1.02), ylim=(-0.02, 1.02))
    _percent(ax)
    return ax


def risk_coverage(
    tables: pd.DataFrame | Mapping[str, pd.DataFrame], ax: Axes | None = None
) -> Axes:
    """Share of wrong answers against the share of photographs answered, the surest first.

    Args:
        tables: predictions, or several by name, a line each.
        ax: where to draw.

    Returns:
        The `Axes`.
    """
    if isinstance(tables, pd.DataFrame):
        tables = {"": tables}
    ax = ax or plt.subplots(figsize=(6.4, 4.0))[1]
    for number, (name, table) in enumerate(tables.items()):
        colour = plots.COLOURS[number % len(plots.COLOURS)]
        # The first few answers are right or wrong by luck: a curve of 1 in 1, 1 in 2, 2 in 3.
        rows = calibrate.risk_coverage(table)
        rows = rows[rows["coverage"] * len(table) >= evaluate.SMALL]
        ax.plot("coverage", "risk", data=rows, color=colour, linewidth=2.4, label=name)
    ax.set(xlabel="photographs answered", ylabel="wrong, of the answers", xlim=(0, 1.02))
    ax.set_ylim(bottom=0)
    _percent(ax)
    if any(tables):
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.2)
    return ax


def _percent(ax: Axes) -> None:
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    ax.grid()
    ax.set_axisbelow(True)
