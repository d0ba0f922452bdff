"""What an audit found as a reader sees it: names, numbers and colours are those of the tables."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from skincnn import data, plots_audit

COUNTS = {
    "official": {
        "by_folder": {
            "nevus": {"nevus": 266, "actinic keratosis": 76, "unknown": 31},
            "actinic keratosis": {"actinic keratosis": 128, "unknown": 2},
            "seborrheic keratosis": {"pigmented benign keratosis": 3},
        }
    }
}
SHORTCUTS = pd.DataFrame(
    {
        "sees": ["file size + border colour", "border colour", "file size"],
        "balanced_accuracy": [0.48, 0.31, 0.16],
        "low": [0.45, 0.29, 0.14],
        "high": [0.50, 0.33, 0.17],
        "chance": [0.11, 0.11, 0.11],
    }
)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def words(labels):
    return [label.get_text() for label in labels]


def test_files_are_shown_in_order_under_their_folder(tiny, home):
    index = data.load(tiny, progress=False)
    names = [index["file"].iloc[-1], index["file"].iloc[0]]
    axes = plots_audit.files(index, names)
    assert [ax.get_title() for ax in axes] == [
        "Train\nred\nISIC_0000024",
        "Test\nblue\nISIC_0000025",
    ]
    shown = [ax.images[0].get_array().mean(axis=(0, 1)) for ax in axes]
    assert shown[0].argmax() == 0 and shown[1].argmax() == 2
    with pytest.raises(KeyError, match="no_such"):
        plots_audit.files(index, ["no_such.jpg"])


def test_folders_against_official_colours_what_is_contradicted():
    ax = plots_audit.folders_against_official(COUNTS)
    assert words(ax.get_yticklabels()) == ["actinic keratosis", "nevus", "seborrheic keratosis"]
    said = words(ax.get_xticklabels())
    assert said[-1] == "unknown" and said[:-1] == sorted(said[:-1])
    cells = {t.get_position(): t for t in ax.texts}
    assert {position: cell.get_text() for position, cell in cells.items()} == {
        (0, 0): "128", (0, 1): "76", (1, 1): "266", (2, 2): "3", (4, 0): "2", (4, 1): "31",
    }  # fmt: skip
    # the archive's own class holds seborrheic keratoses: no contradiction
    assert [at for at, cell in cells.items() if cell.get_weight() == "bold"] == [(0, 1)]
    red, _, blue = ax.images[0].get_array()[1, 0]
    assert red > blue
    red, _, blue = ax.images[0].get_array()[1, 1]
    assert blue > red


def test_shortcuts_are_bars_beside_the_line_of_chance():
    ax = plots_audit.shortcuts(SHORTCUTS)
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], [0.48, 0.31, 0.16])
    assert words(ax.get_yticklabels()) == ["all of these", "border colour", "file size"]
    assert ax.lines[-1].get_xdata()[0] == 0.11
    assert words(ax.texts) == ["chance 11 %", "48 %", "31 %", "16 %"]
    ends = ax.collections[0].get_segments()[0]
    np.testing.assert_allclose(ends[:, 0], [0.45, 0.50])


def test_both_draw_where_they_are_told():
    _, axes = plt.subplots(1, 2)
    assert plots_audit.folders_against_official(COUNTS, axes[0]) is axes[0]
    assert plots_audit.shortcuts(SHORTCUTS, axes[1]) is axes[1]
