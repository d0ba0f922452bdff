"""Figures that set results side by side: protocols, scoreboards. As in `plots`, whose style they
have: give a table, get the `Axes` back."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from skincnn import plots

# For readers who know nothing of protocols.
PROTOCOLS = {
    "published": "Copies made first,\nthen split at random\n(as published)",
    "split_first": "Split at random first,\nthen copies made",
    "clean": "Relatives kept on one\nside, wrong names mended,\nthen copies made",
}
BOARDS = {
    "official": "Test folder,\nas it is",
    "fair": "Test folder, without\nrelatives in Train\nand wrong names",
    "cross-validation": "Grouped folds,\nclean index",
}
_PROTOCOL_COLOURS = dict(
    zip(PROTOCOLS, (plots.COLOURS[1], plots.COLOURS[5], plots.COLOURS[0]), strict=True)
)


def leakage(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Accuracy of one network by protocol: a dot a training with its 95 % interval, and the mean.

    Args:
        table: `experiments.leakage`'s.
        ax: where to draw.

    Returns:
        The `Axes`; each protocol's label begins with its mean.
    """
    ax = ax or plots.new_axes(8.2, 4.4)
    most = table["classes"].max()
    shown = [name for name in PROTOCOLS if name in set(table["protocol"])]
    for at, protocol in enumerate(shown):
        rows, colour = table[table["protocol"] == protocol], _PROTOCOL_COLOURS[protocol]
        mean = rows["accuracy"].mean()
        places = at + 0.12 * (np.arange(len(rows)) - (len(rows) - 1) / 2)
        low, high = rows["accuracy_low"], rows["accuracy_high"]
        ax.hlines(places, low, high, color=colour, linewidth=1.5, alpha=0.6)
        ax.plot(rows["accuracy"], places, "o", color=colour, markersize=6)
        ax.vlines(mean, at - 0.33, at + 0.33, color=colour, linewidth=4)
        ends = np.array([*low, *high, *rows["accuracy"]], float)
        left = np.nanmax(ends) > 0.8  # no room to the right
        ax.text(
            np.nanmin(ends) - 0.02 if left else np.nanmax(ends) + 0.02,
            at,
            _share(mean),
            ha="right" if left else "left",
            va="center",
            color=colour,
            size=20,
            weight="bold",
        )
        siblings = _share(rows["siblings"].mean())
        note = f"{siblings} of the photographs asked about have a relative in training"
        if rows["classes"].max() < most:
            note += f"; {rows['classes'].max()} of {most} classes"
        ax.text(0.01, at + 0.42, note, va="center", color=plots.GREY, size=9)
    ax.set_yticks(range(len(shown)), [PROTOCOLS[name] for name in shown])
    ax.set(ylim=(len(shown) - 0.4, -0.5), xlim=(0, 1))
    ax.set_xlabel(
        "held-out photographs named rightly\n(dot: one training, with its 95 % interval; bar: mean)"
    )
    ax.set_title("One network, one set of photographs, three ways to split")
    plots.percent(ax.xaxis)
    plots.row_grid(ax)
    return ax


def scoreboards(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """The three boards: accuracy and balanced accuracy with their 95 % intervals.

    Args:
        table: `scoreboards.boards`'s.
        ax: where to draw.

    Returns:
        The `Axes`, the first board on top.
    """
    ax = ax or plots.new_axes(8.2, 4.0)
    places = np.arange(len(table))
    for name, shape, shift, colour in (
        ("accuracy", "o", -0.13, plots.COLOURS[0]),
        ("balanced_accuracy", "D", 0.13, plots.COLOURS[1]),
    ):
        _with_intervals(ax, table, name, places + shift, colour, shape, _words(name))
    names = [f"{BOARDS[board]}\n(n = {n:,})" for board, n in table["n"].items()]
    ax.set_yticks(places, names)
    for at, missing in zip(places, table["missing"], strict=True):
        if missing:
            ax.text(0.01, at + 0.4, f"without {missing}", va="center", color=plots.GREY, size=9)
    ax.set(ylim=(len(table) - 0.45, -0.45), xlim=(0, 1))
    plots.legend_above(ax)
    plots.percent(ax.xaxis)
    plots.row_grid(ax)
    return ax


def networks(table: pd.DataFrame) -> np.ndarray:
    """Several networks on the three boards, accuracy and balanced accuracy side by side.

    Args:
        table: `experiments.scoreboards`'s.

    Returns:
        The two `Axes`, with a group of rows a board, the first on top, and a colour a network.
    """
    presets = list(dict.fromkeys(table["preset"]))
    shown = [board for board in BOARDS if board in set(table["board"])]
    size = (10.5, 1.2 + 0.36 * len(shown) * (len(presets) + 1))
    axes = plots.plt.subplots(1, 2, figsize=size, sharey=True, layout="constrained")[1]
    for ax, name in zip(axes, ("accuracy", "balanced_accuracy"), strict=True):
        for turn, preset in enumerate(presets):
            rows = table[table["preset"] == preset].set_index("board").loc[shown]
            places = np.arange(len(shown)) + 0.24 * (turn - (len(presets) - 1) / 2)
            colour = plots.COLOURS[turn % len(plots.COLOURS)]
            _with_intervals(ax, rows, name, places, colour, "o", preset)
        ax.set(xlim=(0, 1), title=_words(name))
        plots.percent(ax.xaxis)
        plots.row_grid(ax)
    first = table.drop_duplicates("board").set_index("board").loc[shown]
    names = [
        f"{BOARDS[row.Index]}\n(n = {row.n:,}, {row.classes} classes)" for row in first.itertuples()
    ]
    axes[0].set_yticks(range(len(shown)), names)
    axes[0].set_ylim(len(shown) - 0.45, -0.55)
    handles = axes[0].get_legend_handles_labels()
    axes[0].figure.get_layout_engine().set(wspace=0.08)  # or 100 % and 0 % run together
    axes[0].figure.legend(*handles, loc="outside upper center", ncols=len(presets))
    return axes


def gains(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """What each switch adds: points of balanced accuracy with their 95 % intervals, and its cost.

    Args:
        table: `ablations.switches`'.
        ax: where to draw.

    Returns:
        The `Axes`, the most gain on top.
    """
    ax = ax or plots.new_axes(8.2, 1.2 + 0.42 * len(table))
    places = np.arange(len(table))
    sure = (table["gain_low"] > 0) | (table["gain_high"] < 0)
    colours = np.where(sure, plots.COLOURS[0], plots.GREY)
    ax.axvline(0, color="black", linewidth=1)
    ax.hlines(places, 100 * table["gain_low"], 100 * table["gain_high"], colours, linewidth=2)
    ax.scatter(100 * table["gain"], places, c=colours, s=45, zorder=3)
    right = 100 * max(table["gain_high"].max(), 0) + 1
    for at, row in zip(places, table.itertuples(), strict=True):
        cost = row.minutes_on / row.minutes_off if row.minutes_off else np.nan
        ax.text(right, at, f"{100 * row.gain:+.1f}   ×{cost:.1f} time", va="center", size=10)
    ax.set_yticks(places, table["switch"])
    ax.set(ylim=(len(table) - 0.4, -0.6), xlabel="gain in balanced accuracy, points")
    ax.set_xlim(right=right + 0.28 * (right - ax.get_xlim()[0]))
    plots.row_grid(ax)
    return ax


def backbones(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """What a network costs and what it reaches: minutes an epoch against balanced accuracy.

    Args:
        table: `ablations.backbones`'.
        ax: where to draw.

    Returns:
        The `Axes`, minutes on a logarithmic scale.
    """
    ax = ax or plots.new_axes(8.2, 5.0)
    for at, row in enumerate(table.itertuples()):
        pretrained = row.weights != "random"
        colour = plots.COLOURS[0] if pretrained else plots.COLOURS[1]
        ax.vlines(
            row.minutes_an_epoch,
            row.balanced_accuracy_low,
            row.balanced_accuracy_high,
            color=colour,
            linewidth=1.5,
            alpha=0.5,
        )
        ax.plot(row.minutes_an_epoch, row.balanced_accuracy, "o", color=colour, markersize=8)
        away = table["minutes_an_epoch"] / row.minutes_an_epoch
        near = (table["balanced_accuracy"] - row.balanced_accuracy).abs() < 0.12
        left = (away.between(1, 2, inclusive="right") & near).any()  # another stands on the right
        ax.annotate(
            f"{row.model}\n{row.parameters / 1e6:.1f} M",
            (row.minutes_an_epoch, row.balanced_accuracy),
            (-8 if left else 8, 4 if at % 2 else -18),
            textcoords="offset points",
            ha="right" if left else "left",
            size=9,
        )
    ax.plot([], [], "o", color=plots.COLOURS[0], label="ImageNet weights")
    ax.plot([], [], "o", color=plots.COLOURS[1], label="from scratch")
    ax.legend(loc="lower right")
    ax.set(xscale="log", xlabel="minutes an epoch", ylabel="balanced accuracy", ylim=(0, 1))
    ax.margins(x=0.2)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    plots.percent(ax.yaxis)
    return ax


def robustness(table: pd.DataFrame) -> np.ndarray:
    """Accuracy and calibration by strength of corruption, a column a kind, a line a network.

    Args:
        table: `robustness.curves`'.

    Returns:
        The `Axes` (2, kinds): balanced accuracy above, with its 95 % interval, and the calibration
        error below: where it rises, the network does not know that it does not know.
    """
    kinds, models = list(dict.fromkeys(table["kind"])), list(dict.fromkeys(table["model"]))
    figure, axes = plots.plt.subplots(
        2,
        len(kinds),
        figsize=(1.5 * len(kinds) + 1, 5),
        sharex=True,
        sharey="row",
        squeeze=False,
        layout="constrained",
    )
    for (top, bottom), kind in zip(axes.T, kinds, strict=True):
        for at, model in enumerate(models):
            some = table[(table["kind"] == kind) & (table["model"] == model)]
            colour = plots.COLOURS[at % len(plots.COLOURS)]
            line = {"color": colour, "markersize": 3.5, "label": model}
            low, high = some["balanced_accuracy_low"], some["balanced_accuracy_high"]
            top.fill_between(some["strength"], low, high, color=colour, alpha=0.15, linewidth=0)
            top.plot(some["strength"], some["balanced_accuracy"], "o-", **line)
            bottom.plot(some["strength"], some["calibration_error"], "o-", **line)
        top.set_title(kind.replace(" ", "\n"), fontsize=10)
        bottom.set_xticks(range(6))
        for ax in (top, bottom):
            plots.percent(ax.yaxis)
    for ax in axes[:, 0]:  # of all that is drawn in the row
        ax.set_ylim(bottom=0)
    axes[0, 0].set_ylabel("balanced accuracy")
    axes[1, 0].set_ylabel("calibration error")
    figure.supxlabel("strength (0: the photograph as it is)")
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=min(3, len(handles[0])))
    return axes


def _with_intervals(
    ax: Axes, table: pd.DataFrame, name: str, places: np.ndarray, colour: str, shape: str, key: str
) -> None:
    """A figure of each row: a mark at its place, its interval a line, its per cents beside it."""
    value, low, high = (
        table[column].to_numpy(float) for column in (name, f"{name}_low", f"{name}_high")
    )
    ax.hlines(places, low, high, color=colour, linewidth=2)
    ax.plot(value, places, shape, color=colour, markersize=7, label=key)
    for at, x, right in zip(places, value, np.fmax(value, high), strict=True):
        ax.text(right + 0.015, at, _share(x), va="center", color=colour, size=10)


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"


def _words(name: str) -> str:
    return name.replace("_", " ")
