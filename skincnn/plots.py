"""Figures of photographs and of the set, and the style of every figure: give it a table, get the
matplotlib `Axes` back.

Each function draws into `ax` where one is given and makes its own figure otherwise; the galleries
make their own figure and return an array of `Axes`. Importing this module sets the style, once.
The figures of what came of a training are in `plots_results`, others in `plots_…`.
"""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import MaxNLocator, PercentFormatter

from skincnn import atomic, data, images

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


def new_axes(width: float, height: float) -> Axes:
    """The one `Axes` of a new figure, so many inches wide and high."""
    return plt.subplots(figsize=(width, height))[1]


def legend_above(ax: Axes, **options) -> None:
    """The legend over the top left corner, where nothing is drawn; options as `Axes.legend`'s."""
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.2, **options)


def percent(*axes: Axis) -> None:
    """Write the shares 0…1 along each axis (`ax.xaxis`, `ax.yaxis`) as whole per cents."""
    for axis in axes:
        if axis.get_scale() == "linear":
            axis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10]))  # no 2.5, no 7.5
        axis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))


def row_grid(ax: Axes) -> None:
    """The look of a figure with a row a name: a grid to read values off, no ticks at the names."""
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    ax.set_axisbelow(True)


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
    if titles is not None:  # a little under 0.08 inches a letter
        titles = ["\n".join(_wrapped(title, int(side / 0.075))) for title in titles]
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


def _wrapped(title: str, letters: int) -> list[str]:
    return [part for line in title.split("\n") for part in textwrap.wrap(line, letters) or [""]]


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
    ax = ax or new_axes(7.5, 1.1 + len(classes) * (0.17 + 0.16 * len(splits)))
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
        legend_above(ax)  # any corner inside may hold the longest bar
    return ax
