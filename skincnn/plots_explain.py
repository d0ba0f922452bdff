"""Figures of where a network looks and of what it gets wrong, in the style of `plots`."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap

from skincnn import data, images, labels, occlusion, plots, predictions


def overlays(
    pixels: np.ndarray,
    heats: Mapping[str, np.ndarray],
    titles: Sequence[str] | None = None,
    side: float = 1.6,
) -> np.ndarray:
    """Photographs and, beside each, what several methods make of it: a row a photograph.

    Args:
        pixels: uint8 (N, S, S, 3).
        heats: method -> (N, S, S), as `explain.grad_cam` and `occlusion.heat` give them.
        titles: one for each photograph, written beside it, or None.
        side: inches given to each picture.

    Returns:
        Object array (N, 1 + methods) of `Axes`, with a bar of the colours to the right.

    Raises:
        ValueError: more or fewer titles than photographs.
    """
    if titles is not None and len(titles) != len(pixels):
        raise ValueError(f"{len(titles)} titles for {len(pixels)} photographs")
    rows, columns = len(pixels), 1 + len(heats)
    room = 0.0 if titles is None else 1.4
    size = (columns * side + room + 0.9, rows * side + 0.3)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
    for row, photograph in enumerate(pixels):
        pictures = [photograph, *(occlusion.overlay(photograph, h[row]) for h in heats.values())]
        for ax, picture in zip(axes[row], pictures, strict=True):
            ax.imshow(picture)
            ax.set_axis_off()
        if titles is not None:
            axes[row, 0].annotate(
                titles[row], (0, 0.5), (-6, 0), "axes fraction", "offset points",
                ha="right", va="center", fontsize=9,
            )  # fmt: skip
    for ax, name in zip(axes[0], ["photograph", *heats], strict=True):
        ax.set_title(name, fontsize=9, fontweight="normal", loc="center", pad=3)
    colours = LinearSegmentedColormap.from_list("heat", occlusion.COLOURS / 255)
    bar = figure.colorbar(ScalarMappable(cmap=colours), ax=axes, fraction=0.03, ticks=[0, 1])
    bar.ax.set_yticklabels(["nothing", "most"], fontsize=9)
    bar.outline.set_visible(False)
    return axes


def surest_mistakes(
    table: pd.DataFrame, index: pd.DataFrame, n: int = 10, columns: int = 5, size: int = 180
) -> np.ndarray:
    """The wrong answers a network was surest of: what it called them, and what they are.

    Args:
        table: predictions.
        index: that they were made of; it says where the files are.
        n: photographs, at most.
        columns: photographs in a row.
        size: pixels a side they are shown at.

    Returns:
        Object array (n or fewer) of `Axes`, the surest first.

    Raises:
        ValueError: there is no wrong answer, or a file that the index does not have.
    """
    rows = mistakes(table).head(n)
    if not len(rows):
        raise ValueError("there is no wrong answer in the table")
    if missing := sorted(set(rows["file"]) - set(index["file"])):
        raise ValueError(f"the index has no {missing[0]!r} ({len(missing)} such files)")
    shown = index.set_index("file", drop=False).loc[rows["file"]]
    shown.attrs = index.attrs  # where the files are; not every table operation keeps them
    pictures = [images.read(path, size) for path in data.paths(shown)]
    titles = [
        f"{labels.code(row.label)}, called {labels.code(row.called)}\n"
        f"{100 * row.confidence:.0f} % sure"
        for row in rows.itertuples()
    ]
    return plots.photographs(pictures, titles, columns)


def mistakes(table: pd.DataFrame) -> pd.DataFrame:
    """The rows that are answered wrongly, the surest first.

    Returns:
        `file`, `label`, `called` (the most probable class), `confidence` (its probability) and
        `own` (that of the photograph's class).
    """
    true, predicted, probabilities = predictions.answers(table)
    names, at = np.array(predictions.classes(table)), np.arange(len(true))
    found = table[["file", "label"]].assign(
        called=names[predicted],
        confidence=probabilities[at, predicted],
        own=probabilities[at, true],
    )
    wrong = found[true != predicted]
    return wrong.sort_values(["confidence", "file"], ascending=[False, True], ignore_index=True)
