"""Every figure of the notebooks, in one style: give it a table, get the matplotlib `Axes` back.

Each function draws into `ax` where one is given and makes its own figure otherwise; the galleries
make their own figure and return an array of `Axes`. Importing this module sets the style, once.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from skincnn import atomic, data, evaluate, images

# Okabe & Ito's colours (2008): told apart with any common colour blindness. Their yellow is left
# out, it vanishes on white; blue and orange come first, the safest pair of all.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000"]
GREY = "#666666"
SPLIT_COLOURS = {"train": COLOURS[0], "test": COLOURS[1]}


def set_style() -> None:
    """One look for every figure: readable at 100 dots an inch, safe for colour-blind readers."""
    sns.set_theme(
        context="notebook",
        style="ticks",
        palette=COLOURS,
        rc={
            "figure.dpi": 100,
            "figure.constrained_layout.use": True,  # labels never run over each other
            "font.size": 10,
            "axes.labelsize": 10,
            "axes.titlesize": 11,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "xtick.labelsize": 9.5,
            "ytick.labelsize": 9.5,
            "xtick.major.size": 4,
            "ytick.major.size": 4,
            "xtick.major.width": 1,
            "ytick.major.width": 1,
            "axes.linewidth": 1,
            "legend.fontsize": 9.5,
            "legend.frameon": False,
            "grid.color": "#dddddd",
            "grid.linewidth": 0.8,
        },
    )


set_style()


def save(axes: Axes, path: Path) -> None:
    """Write the figure that `axes` are part of as a PNG, whole or not at all, and close it."""
    with atomic.writing(path) as temporary:
        axes.figure.savefig(temporary, dpi=110, bbox_inches="tight")
    plt.close(axes.figure)


# --- photographs ---------------------------------------------------------------------------------


def photographs(
    pictures: Sequence[np.ndarray | None],
    titles: Sequence[str] | None = None,
    columns: int = 5,
    side: float = 1.6,
) -> np.ndarray:
    """Show photographs side by side, each in its own proportions.

    Args:
        pictures: arrays (H, W, 3), uint8 or floats in 0…255, or one array (N, H, W, 3); None
            leaves a place empty.
        titles: one for each photograph, or None.
        columns: photographs in a row.
        side: inches given to each.

    Returns:
        Object array (N) of `Axes`, in the order of `pictures`.

    Raises:
        ValueError: no photographs, or more or fewer titles than photographs.
    """
    if not len(pictures):
        raise ValueError("there are no photographs to show")
    if titles is not None and len(titles) != len(pictures):
        raise ValueError(f"{len(titles)} titles for {len(pictures)} photographs")
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    room = 0.0 if titles is None else 0.19 * (1 + max(t.count("\n") for t in titles))
    _, axes = plt.subplots(
        rows, columns, figsize=(columns * side, rows * (side + room)), squeeze=False
    )
    axes = axes.ravel()
    for ax in axes:
        ax.set_axis_off()
    for at, picture in enumerate(pictures):
        if picture is not None:
            # Keras layers give floats, and imshow takes floats to be in 0…1.
            axes[at].imshow(np.clip(np.rint(np.asarray(picture)), 0, 255).astype(np.uint8))
        if titles is not None:
            axes[at].set_title(titles[at], fontsize=9, fontweight="normal", loc="center", pad=3)
    return axes[: len(pictures)]


def gallery(index: pd.DataFrame, per_class: int = 1, columns: int = 5, seed: int = 0) -> np.ndarray:
    """Show photographs of every class, drawn at random, with the class's name and size.

    Args:
        index: the index; rows set aside and Augmentor's copies are passed over.
        per_class: photographs of each class; from 2 on every class has a row of its own, with
            empty places where it has fewer.
        columns: photographs in a row while `per_class` is 1.
        seed: of the draw.

    Returns:
        Object array (classes × per_class) of `Axes`, class by class in alphabetical order.
    """
    rows = data.usable(index)
    rows = rows[rows["augmented_from"] == ""]
    names, pictures = [], []
    for label, of_class in rows.groupby("label"):
        drawn = of_class.sample(min(per_class, len(of_class)), random_state=seed)
        drawn.attrs = index.attrs  # where the files are; not every table operation keeps them
        shown = [images.resize(images.decode(path), 180) for path in data.paths(drawn)]
        pictures += shown + [None] * (per_class - len(shown))
        names.append(label.replace(" ", "\n", 1) + f"\n{len(of_class):,} photographs")
    if per_class == 1:
        return photographs(pictures, names, columns)
    axes = photographs(pictures, columns=per_class, side=1.3)
    axes[0].figure.set_figwidth(1.3 * per_class + 1.3)  # room for the names
    for ax, name in zip(axes[::per_class], names, strict=True):
        ax.annotate(
            name, (0, 0.5), (-6, 0), "axes fraction", "offset points",
            ha="right", va="center", fontsize=9,
        )  # fmt: skip
    return axes


def augmentations(pictures: Sequence[np.ndarray], columns: int = 3) -> np.ndarray:
    """Show one photograph and what random layers make of it.

    Args:
        pictures: the original, then its versions: arrays (H, W, 3), or one array (N, H, W, 3).
        columns: photographs in a row.

    Returns:
        Object array (N) of `Axes`.
    """
    titles = ["original", *(f"version {number}" for number in range(1, len(pictures)))]
    return photographs(pictures, titles, columns)


# --- the set -------------------------------------------------------------------------------------


def class_counts(index: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Photographs of each class as bars, by split; Augmentor's copies as the hatched part.

    Args:
        index: the index; rows set aside are not counted. Classes and splits keep its order.
        ax: where to draw.

    Returns:
        The `Axes`; its bars add up to the usable rows.
    """
    rows = data.usable(index)
    classes, splits = list(pd.unique(rows["label"])), sorted(set(rows["split"]), reverse=True)
    copied = rows["augmented_from"] != ""
    ax = ax or _new_axes(7.5, 1.1 + len(classes) * (0.17 + 0.16 * len(splits)))
    height = 0.8 / len(splits)
    for number, split in enumerate(splits):
        colour = SPLIT_COLOURS.get(split, GREY)
        centres = np.arange(len(classes)) + (number - (len(splits) - 1) / 2) * height
        own, copies = (
            rows.loc[part & (rows["split"] == split), "label"]
            .value_counts()
            .reindex(classes, fill_value=0)
            for part in (~copied, copied)
        )
        ax.barh(centres, own, height * 0.92, color=colour, label=split.capitalize())
        if copies.any():
            ax.barh(
                centres,
                copies,
                height * 0.92,
                left=own,
                facecolor=sns.light_palette(colour, 8)[2],
                edgecolor=colour,
                hatch="///",
                linewidth=0.8,
                label=f"{split.capitalize()}: Augmentor copies",
            )
        for centre, real, added in zip(centres, own, copies, strict=True):
            text = f"{real:,} + {added:,}" if added else f"{real:,}"
            ax.annotate(
                text, (real + added, centre), (4, 0), textcoords="offset points", va="center",
                fontsize=9, color=GREY,
            )  # fmt: skip
    ax.set_yticks(range(len(classes)), classes)
    ax.invert_yaxis()
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("photographs")
    ax.margins(x=0.12 if copied.any() else 0.07, y=0.02)
    if len(splits) > 1 or copied.any():
        _legend_above(ax)  # any corner inside may hold the longest bar
    return ax


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
    ax = ax or _new_axes(6.4, 4.0)
    handles = _draw_curves(histories, metric, ax)
    # Outside the axes: curves fill every corner of them sooner or later.
    if len(handles) == 3:
        _legend_above(ax, handles=handles)
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
        colour, validation = COLOURS[number % len(COLOURS)], f"val_{metric}"
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
    kinds = GREY if handles else COLOURS[0]
    handles += [
        Line2D([], [], color=kinds, linestyle="--", linewidth=1.3, label="training"),
        Line2D([], [], color=kinds, linewidth=2.4, label="validation"),
        Line2D([], [], **_ring(kinds), label=_KEPT[keep]),
    ]
    ax.set(xlabel="epoch", ylabel=metric.replace("_", " ").replace("auc", "AUC"))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if "accuracy" in metric:
        ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
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
    ax = ax or _new_axes(2.4 + 0.56 * len(counts), 1.6 + 0.56 * len(counts))
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
    ax = ax or _new_axes(7.5, 1.3 + 0.38 * len(report))
    at = np.arange(len(report))
    ax.hlines(at, report["sensitivity"], report["precision"], color="#bbbbbb", linewidth=2)
    ax.plot(report["sensitivity"], at, "o", color=COLOURS[0], markersize=8, label="sensitivity")
    ax.plot(report["precision"], at, "D", color=COLOURS[1], markersize=6.5, label="precision")
    names = zip(report.index, report["support"], strict=True)
    ax.set_yticks(at, [f"{name} (n = {n:,})" for name, n in names])
    ax.set_ylim(len(report) - 0.5, -0.5)
    ax.set_xlim(-0.03, 1.03)
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="both")
    ax.set_axisbelow(True)
    _legend_above(ax)
    return ax


# --- underneath ----------------------------------------------------------------------------------


def _new_axes(width: float, height: float) -> Axes:
    return plt.subplots(figsize=(width, height))[1]


def _legend_above(ax: Axes, **options) -> None:
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.2, **options)


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
