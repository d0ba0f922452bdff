"""Comparisons as a reader sees them: labels, points and intervals are those of the table."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from skincnn import plots_compare


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def leakage(**columns):
    rows = {
        "protocol": ["published", "published", "split_first", "clean"],
        "seed": [1, 2, 1, 1],
        "accuracy": [0.80, 0.84, 0.46, 0.52],
        "classes": [9, 9, 9, 8],
        "siblings": [0.92, 0.94, 0.09, 0.0],
    }
    table = pd.DataFrame(rows | columns)
    return table.assign(
        accuracy_low=table["accuracy"] - 0.03, accuracy_high=table["accuracy"] + 0.03
    )


def boards():
    rows = {
        "n": [118, 60, 2100],
        "classes": [9, 8, 8],
        "missing": ["", "wart", "wart"],
        "accuracy": [0.36, 0.4, 0.52],
        "balanced_accuracy": [0.3, 0.35, 0.5],
    }
    table = pd.DataFrame(rows, index=["official", "fair", "cross-validation"])
    for name in ("accuracy", "balanced_accuracy"):
        table[f"{name}_low"], table[f"{name}_high"] = table[name] - 0.05, table[name] + 0.05
    return table


def words(ax):
    return [text.get_text().replace("\n", " ") for text in ax.texts]


def test_leakage_labels_means_and_draws_every_seed():
    ax = plots_compare.leakage(leakage())
    said = words(ax)
    assert [text for text in said if text.endswith("%")] == ["82 %", "46 %", "52 %"]
    assert "93 % of the photographs asked about have a relative in training" in said
    assert "8 of 9 classes" in said[-1]
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [0.80, 0.84])
    assert len(ax.get_yticks()) == 3
    assert ax.get_ylim()[0] > ax.get_ylim()[1], "the published figure on top"


def test_leakage_takes_one_seed_and_two_protocols_without_intervals():
    table = leakage().iloc[[0, 3]].assign(accuracy_low=None, accuracy_high=None)
    ax = plots_compare.leakage(table.astype({"accuracy_low": float, "accuracy_high": float}))
    assert [text for text in words(ax) if text.endswith("%")] == ["80 %", "52 %"]


def test_boards_show_both_figures_and_what_is_missing():
    ax = plots_compare.scoreboards(boards())
    assert words(ax) == ["36 %", "40 %", "52 %", "30 %", "35 %", "50 %", *["without wart"] * 2]
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names[0].endswith("(n = 118)") and names[2].endswith("(n = 2,100)")
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [0.36, 0.4, 0.52])


@pytest.mark.parametrize(
    ("draw", "table"), [(plots_compare.leakage, leakage()), (plots_compare.scoreboards, boards())]
)
def test_every_figure_draws_where_it_is_told_and_keeps_its_text_apart(draw, table):
    figure, ax = plt.subplots(figsize=(8.2, 4.4))
    assert draw(table, ax=ax) is ax
    assert plt.get_fignums() == [figure.number]
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in ax.texts]
    width, height = figure.canvas.get_width_height()
    assert all(b.x0 >= 0 and b.x1 <= width and b.y0 >= 0 and b.y1 <= height for b in boxes)
    assert not [1 for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]


def test_networks_stand_beside_each_other_on_each_board():
    table = pd.concat({name: boards() for name in ("baseline", "final")}, names=["preset"])
    table = table.rename_axis(["preset", "board"]).reset_index()
    accuracy, balanced = plots_compare.networks(table)
    assert words(accuracy) == ["36 %", "40 %", "52 %"] * 2
    assert words(balanced) == ["30 %", "35 %", "50 %"] * 2
    names = [label.get_text() for label in accuracy.get_yticklabels()]
    assert names[1].endswith("(n = 60, 8 classes)")
    assert [t.get_text() for t in accuracy.figure.legends[0].get_texts()] == ["baseline", "final"]
    figure = accuracy.figure
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for ax in (accuracy, balanced) for text in ax.texts]
    assert not [1 for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]
