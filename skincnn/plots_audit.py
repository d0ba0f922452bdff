"""Figures of what an audit found, in the style of `plots`: the photographs themselves, names that
the referee contradicts, what a classifier knows that never sees the lesion."""

from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from skincnn import data, images, official, plots

UNKNOWN = "unknown"
AGREES, WRONG, SILENT = plots.COLOURS[0], plots.COLOURS[1], "#999999"


def files(index: pd.DataFrame, names: Sequence[str], columns: int = 4) -> np.ndarray:
    """Show photographs by their file, under the folder each is filed in.

    Args:
        index: with these files; its `attrs["root"]` says where they are.
        names: values of `file`, one or more, in the order to show them.
        columns: photographs in a row.

    Returns:
        Object array (N) of `Axes`, titled with split, class and file name.

    Raises:
        KeyError: a file that the index does not have.
    """
    rows = index.set_index("file", drop=False).loc[list(names)]
    rows.attrs = index.attrs
    titles = [
        f"{row.split.capitalize()}\n{row.label}\n{PurePosixPath(row.file).stem}"
        for row in rows.itertuples()
    ]
    pictures = [images.decode(path) for path in data.paths(rows)]
    return plots.photographs(pictures, titles, columns, side=2.0)


def folders_against_official(counts: dict, ax: Axes | None = None) -> Axes:
    """Folder names down, official diagnoses across: blue where they agree, orange where not.

    The deeper the colour, the larger the share of the folder; grey where nothing is known.

    Args:
        counts: `audit.Audit.counts`', or a committed `audit.json`.
        ax: where to draw.

    Returns:
        The `Axes`; each cell has its number of photographs.
    """
    table = pd.DataFrame.from_dict(counts["official"]["by_folder"], orient="index").fillna(0)
    names = sorted((set(table.index) | set(table)) - {UNKNOWN})
    shown = [*names, *({UNKNOWN} & set(table))]
    table = table.reindex(index=sorted(table.index), columns=shown, fill_value=0).astype(int)
    ax = ax or plots.new_axes(2.4 + 0.56 * len(shown), 1.6 + 0.5 * len(table))
    colours = np.ones((*table.shape, 3))
    for at, n in np.ndenumerate(table.to_numpy()):
        if not n:
            continue
        folder, said = table.index[at[0]], shown[at[1]]
        wrong = said != UNKNOWN and official.contradicts(folder, said)
        colour = SILENT if said == UNKNOWN else WRONG if wrong else AGREES
        # no single wrong name is overlooked, and black text stands well on the darkest
        depth = (0.45 if wrong else 0.2) + 0.4 * n / table.loc[folder].sum()
        colours[at] = 1 - depth * (1 - np.array(to_rgb(colour)))
        ax.text(
            at[1], at[0], f"{n:,}", ha="center", va="center", fontsize=9,
            fontweight="bold" if wrong else "normal",
        )  # fmt: skip
    ax.imshow(colours)
    ax.set_xticks(range(len(shown)), shown, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(table)), table.index)
    ax.set(xlabel="official diagnosis", ylabel="folder")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_xticks(np.arange(1, len(shown)) - 0.5, minor=True)
    ax.set_yticks(np.arange(1, len(table)) - 0.5, minor=True)
    ax.grid(which="minor", linewidth=0.8)
    ax.tick_params(which="minor", length=0)
    return ax


def shortcuts(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """How often a classifier that never sees the lesion names the class, and what chance would.

    Args:
        table: `shortcuts.table`'s, with at least one row.
        ax: where to draw.

    Returns:
        The `Axes`: a bar a family of facts with its 95 % interval, and the dashed line of chance.
    """
    ax = ax or plots.new_axes(7.5, 1.2 + 0.45 * len(table))
    value, at = table["balanced_accuracy"], np.arange(len(table))
    ends = [value - table["low"], table["high"] - value]
    chance = table["chance"].iloc[0]
    ax.barh(at, value, 0.7, color=plots.COLOURS[4], xerr=ends, error_kw={"linewidth": 1.8})
    ax.axvline(chance, color=plots.COLOURS[1], linestyle="--", linewidth=1.8)
    ax.text(chance, -0.62, f"chance {100 * chance:.0f} %", color=plots.COLOURS[1], va="bottom")
    for place, share, right in zip(at, value, table["high"], strict=True):
        ax.text(right + 0.008, place, f"{100 * share:.0f} %", va="center", color=plots.GREY)
    several = table["sees"].str.contains(" + ", regex=False)
    ax.set_yticks(at, table["sees"].mask(several, "all of these"))
    ax.set_ylim(len(table) - 0.4, -0.6)
    ax.set_xlim(0, max(0.5, table["high"].max() + 0.08))
    ax.set_xlabel("balanced accuracy (with 95 % interval)")
    plots.percent(ax.xaxis)
    plots.row_grid(ax)
    return ax
