"""Figures of what a training gave: learning curves, confusion matrix, a row a class. As in `plots`,
whose style they have: give a table, get the `Axes` back."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from skincnn import evaluate, plots

# --- training ------------------------------------------------------------------------------------


def learning_curves(
    histories: pd.DataFrame | Mapping[str, pd.DataFrame],
    metric: str = "accuracy",
    ax: Axes | None = None,
) -> Axes:
    """A metric over the epochs: training dashed, validation solid, a colour for each run.

    The ring marks the epoch with the lowest validation loss, the one early stopping would keep.

    Args:
        histories: one run's history, or several by name: columns `epoch` (from 1), the metric, and
            the metric and the loss with `val_` before them; without, only training is drawn.
        metric: `accuracy` (shown in %) or `loss`.
        ax: where to draw.

    Returns:
        The `Axes`; its lines are each run's training, validation and ring, run by run.

    Raises:
        ValueError: a history has no such column.
    """
    ax = ax or plots.new_axes(6.4, 4.0)
    handles = _draw_curves(histories, metric, ax)
    # Outside the axes: curves fill every corner of them sooner or later.
    if len(handles) == 3:
        plots.legend_above(ax, handles=handles)
    else:
        ax.legend(handles=handles, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return ax


def learning_curves_pair(
    histories: pd.DataFrame | Mapping[str, pd.DataFrame],
    metrics: tuple[str, str] = ("loss", "accuracy"),
    keep: str = "lowest_loss",
) -> np.ndarray:
    """Two metrics side by side under one legend, as `learning_curves` draws them.

    Args:
        histories: as `learning_curves` takes them.
        metrics: `loss`, `accuracy`, `auc`.
        keep: `lowest_loss` or `highest_auc`: the epoch that the ring marks.

    Returns:
        Object array of the two `Axes`.
    """
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.8))
    for ax, metric in zip(axes, metrics, strict=True):
        handles = _draw_curves(histories, metric, ax, keep)
    if len(handles) == 3:
        figure.legend(handles=handles, loc="outside upper left", ncols=3)
    else:
        figure.set_figwidth(11)
        figure.legend(handles=handles, loc="outside right center")
    return axes


_KEPT = {"lowest_loss": "lowest validation loss", "highest_auc": "highest validation AUC"}


def _draw_curves(histories, metric: str, ax: Axes, keep: str = "lowest_loss") -> list[Line2D]:
    """Everything but the legend, whose handles come back: one a named run, then three of kinds."""
    if isinstance(histories, pd.DataFrame):
        histories = {"": histories}
    handles = []
    for number, (name, history) in enumerate(histories.items()):
        if metric not in history:
            raise ValueError(
                f"history {name!r} has no column {metric!r}: it has {', '.join(history.columns)}"
            )
        colour, validation = plots.COLOURS[number % len(plots.COLOURS)], f"val_{metric}"
        ax.plot("epoch", metric, "--", data=history, color=colour, linewidth=1.3)
        if validation in history:
            ax.plot("epoch", validation, "-", data=history, color=colour, linewidth=2.4)
            auc = history["val_auc"].round(4) if keep == "highest_auc" else 0.0
            ranked = history.assign(auc_=auc).sort_values(
                ["auc_", "val_loss"], ascending=[True, False]
            )
            best = ranked.tail(1)
            ax.plot("epoch", validation, data=best, **_ring(colour))
        if name:
            handles.append(Line2D([], [], color=colour, linewidth=2.4, label=name))
    kinds = plots.GREY if handles else plots.COLOURS[0]
    handles += [
        Line2D([], [], color=kinds, linestyle="--", linewidth=1.3, label="training"),
        Line2D([], [], color=kinds, linewidth=2.4, label="validation"),
        Line2D([], [], **_ring(kinds), label=_KEPT[keep]),
    ]
    ax.set(xlabel="epoch", ylabel=metric.replace("_", " ").replace("auc", "AUC"))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if "accuracy" in metric:
        plots.percent(ax.yaxis)
    ax.grid(axis="y")
    return handles


# --- predictions ---------------------------------------------------------------------------------


def confusion_matrix(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """True classes down, predicted ones across: counts, and their share of the true class.

    The colour is the share too, so a rare class reads as well as a large one; on the diagonal it is
    the sensitivity. Cells nobody fell into stay empty.

    Args:
        table: predictions, or `evaluate.confusion`'s counts (C, C).
        ax: where to draw; two lines of text need half an inch a class.

    Returns:
        The `Axes`.
    """
    counts = evaluate.confusion(table) if "label" in table else table
    values, places = counts.to_numpy(), np.arange(len(counts))
    support = values.sum(axis=1)
    share = values / np.maximum(support, 1)[:, None]
    ax = ax or plots.new_axes(2.4 + 0.56 * len(counts), 1.6 + 0.56 * len(counts))
    # The darkest blues are left out: text stands badly on them.
    colours, darkest = plt.get_cmap("Blues"), 1.25
    ax.imshow(np.where(values, share, np.nan), cmap=colours, vmin=0, vmax=darkest)
    for row, column in zip(*np.nonzero(values), strict=True):
        part = share[row, column]
        percent = f"{part * 100:.0f} %" if part >= 0.005 else "<1 %"
        ax.text(
            column,
            row,
            f"{values[row, column]:,}\n{percent}",
            ha="center",
            va="center",
            fontsize=9,
            fontweight="bold" if row == column else "normal",
            color="black" if _is_light(colours(part / darkest)) else "white",
        )
    names = [f"{name}\n(n = {n:,})" for name, n in zip(counts.index, support, strict=True)]
    ax.set_yticks(places, names)
    ax.set_xticks(places, counts.columns)
    if len(counts) > 3:
        ax.tick_params(axis="x", rotation=45)
        plt.setp(ax.get_xticklabels(), ha="right", rotation_mode="anchor")
    ax.set(xlabel="predicted", ylabel="true", facecolor="#f4f4f4")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_xticks(places[1:] - 0.5, minor=True)
    ax.set_yticks(places[1:] - 0.5, minor=True)
    ax.grid(which="minor", color="white", linewidth=1.5)
    ax.tick_params(which="minor", length=0)
    return ax


def per_class(report: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Sensitivity and precision of each class as two dots on a line.

    A class that was never predicted has no precision and shows one dot.

    Args:
        report: `evaluate.report`'s table.
        ax: where to draw.

    Returns:
        The `Axes`.
    """
    ax = ax or plots.new_axes(7.5, 1.3 + 0.38 * len(report))
    at = np.arange(len(report))
    ax.hlines(at, report["sensitivity"], report["precision"], color="#bbbbbb", linewidth=2)
    ax.plot(
        report["sensitivity"], at, "o", color=plots.COLOURS[0], markersize=8, label="sensitivity"
    )
    ax.plot(report["precision"], at, "D", color=plots.COLOURS[1], markersize=6.5, label="precision")
    names = zip(report.index, report["support"], strict=True)
    ax.set_yticks(at, [f"{name} (n = {n:,})" for name, n in names])
    ax.set_ylim(len(report) - 0.5, -0.5)
    ax.set_xlim(-0.03, 1.03)
    plots.percent(ax.xaxis)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="both")
    ax.set_axisbelow(True)
    plots.legend_above(ax)
    return ax


# --- underneath ----------------------------------------------------------------------------------


def _is_light(colour: Sequence[float]) -> bool:
    """Whether black text on this colour has more contrast than white (relative luminance, WCAG)."""
    rgb = np.array(colour[:3])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return bool(linear @ [0.2126, 0.7152, 0.0722] > 0.179)


def _ring(colour: str) -> dict:
    return {
        "marker": "o",
        "markersize": 9,
        "markerfacecolor": "white",
        "markeredgecolor": colour,
        "markeredgewidth": 2,
        "linestyle": "none",
    }
