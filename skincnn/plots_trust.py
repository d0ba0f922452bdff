"""Figures of confidence, in the style of `plots`: how far to believe it, what a threshold and what
abstaining buys, and whom a figure holds for."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from skincnn import calibrate, decisions, evaluate, labels, plots


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
    ax = ax or plots.new_axes(4.6, 4.6)
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
    ax = ax or plots.new_axes(6.4, 4.0)
    for number, (name, table) in enumerate(tables.items()):
        colour = plots.COLOURS[number % len(plots.COLOURS)]
        # The first few answers are right or wrong by luck: a curve of 1 in 1, 1 in 2, 2 in 3.
        rows = decisions.risk_coverage(table)
        rows = rows[rows["coverage"] * len(table) >= evaluate.SMALL]
        ax.plot("coverage", "risk", data=rows, color=colour, linewidth=2.4, label=name)
    ax.set(xlabel="photographs answered", ylabel="wrong, of the answers", xlim=(0, 1.02))
    ax.set_ylim(bottom=0)
    _percent(ax)
    if any(tables):
        plots.legend_above(ax)
    return ax


def thresholds(
    table: pd.DataFrame, positive: str, chosen: Mapping[float, float], ax: Axes | None = None
) -> Axes:
    """Who is called from which probability of a class on: its own photographs, and all others.

    Args:
        table: predictions.
        positive: the class.
        chosen: specificity -> threshold, as `decisions.thresholds` gives them; infinite ones call
            nothing and have no line.
        ax: where to draw.

    Returns:
        The `Axes`, with the others' curve (1 − specificity), the class's own (sensitivity), and a
        line a threshold; probabilities below 0.1 % are not shown.
    """
    ax = ax or plots.new_axes(7.0, 4.0)
    own = (table["label"] == positive).to_numpy()
    scores, at = table[labels.column(positive)].to_numpy(), np.geomspace(1e-3, 1, 500)
    for rows, name, colour in (
        (~own, "all others", plots.COLOURS[0]),
        (own, positive, plots.COLOURS[1]),
    ):
        called = (scores[rows, None] >= at).mean(axis=0)
        ax.plot(at, called, color=colour, linewidth=2.4, label=f"{name} (n = {rows.sum():,})")
    for specificity, threshold in chosen.items():
        if np.isfinite(threshold):
            ax.axvline(threshold, color=plots.GREY, linestyle="--", linewidth=1.3)
            ax.text(
                threshold * 0.97, 0.55, f"{100 * specificity:.0f} % specificity", rotation=90,
                ha="right", va="center", size=9.5, color=plots.GREY,
            )  # fmt: skip
    ax.set_xscale("log")
    ax.set(xlabel=f"called {positive} from this probability on", ylabel="photographs called")
    ax.set(xlim=(1e-3, 1), ylim=(0, 1.02))
    _percent(ax)
    ax.xaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
    plots.legend_above(ax)
    return ax


def subgroups(table: pd.DataFrame, figure: str = "accuracy", ax: Axes | None = None) -> Axes:
    """A figure with its 95 % interval for each subgroup; small ones are hollow.

    Args:
        table: `evaluate.by`'s.
        figure: one of its headlines in 0…1.
        ax: where to draw.

    Returns:
        The `Axes`, the first subgroup on top.
    """
    ax = ax or plots.new_axes(7.0, 1.2 + 0.42 * len(table))
    colour, at = plots.COLOURS[0], np.arange(len(table))
    ax.hlines(at, table[f"{figure}_low"], table[f"{figure}_high"], color=colour, linewidth=2)
    faces = ["white" if small else colour for small in table["small"]]
    ax.scatter(table[figure], at, s=70, c=faces, edgecolors=colour, linewidths=1.8, zorder=3)
    ax.set_yticks(at, [f"{name} (n = {n:,})" for name, n in table["n"].items()])
    ax.set(ylim=(len(table) - 0.5, -0.5), xlim=(0, 1.02), xlabel=figure.replace("_", " "))
    plots.percent(ax.xaxis)
    plots.row_grid(ax)
    return ax


def _percent(ax: Axes) -> None:
    plots.percent(ax.xaxis, ax.yaxis)
    ax.grid()
    ax.set_axisbelow(True)
