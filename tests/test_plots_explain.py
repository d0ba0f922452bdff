"""Figures of where a network looks: every picture in its place, and the surest mistake first."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from tables import make

from skincnn import data, occlusion, plots_explain, predictions


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def test_each_photograph_has_a_row_and_each_method_a_column():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (3, 16, 16, 3), np.uint8)
    heats = {"a": rng.random((3, 16, 16)), "b": rng.random((3, 16, 16))}
    axes = plots_explain.overlays(pixels, heats, ["one", "two", "three"])
    assert axes.shape == (3, 3) and axes[0, 2].get_title("center") == "b"
    np.testing.assert_array_equal(axes[1, 0].images[0].get_array(), pixels[1])
    shown = axes[2, 2].images[0].get_array()
    np.testing.assert_array_equal(shown, occlusion.overlay(pixels[2], heats["b"][2]))
    with pytest.raises(ValueError, match="1 titles for 3"):
        plots_explain.overlays(pixels, heats, ["one"])


def test_the_surest_mistakes_come_first(index):
    table = make(30, names=["blue", "green", "red"], file=index["file"], label=index["label"])
    table[["p_blue", "p_green", "p_red"]] = 0.0, 1.0, 0.0
    rows = table.index[table["label"] == "red"]
    table.loc[rows[1], ["p_green", "p_red"]] = 0.6, 0.4
    table.loc[table["label"] == "blue", ["p_blue", "p_green"]] = 0.7, 0.3
    found = plots_explain.mistakes(table)
    assert set(found["label"]) == {"red"} and set(found["called"]) == {"green"}
    assert (found["file"].iloc[-1], found["own"].iloc[-1]) == (table["file"][rows[1]], 0.4)
    assert found["confidence"].is_monotonic_decreasing and len(found) == len(rows)
    axes = plots_explain.surest_mistakes(table, index, n=3, size=32)
    assert len(axes) == 3 and axes[0].get_title("center") == "red, called green\n100 % sure"
    with pytest.raises(ValueError, match="no wrong answer"):
        plots_explain.surest_mistakes(table[table["label"] == "green"], index)
    with pytest.raises(ValueError, match="the index has no"):
        plots_explain.surest_mistakes(table, data.usable(index).head(1))
    assert predictions.classes(table) == ["blue", "green", "red"]
