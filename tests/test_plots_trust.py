"""The figures of confidence show what `calibrate` computes."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from tables import make

from skincnn import calibrate, plots_trust


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_reliability_draws_the_filled_bins():
    table = make(400)
    ax = plots_trust.reliability(table)
    rows = calibrate.reliability(table)
    np.testing.assert_allclose(
        ax.collections[-1].get_offsets(), rows.loc[rows["n"] > 0, ["confidence", "accuracy"]]
    )
    assert ax.get_title(loc="left").startswith("calibration error 0.")


def test_risk_coverage_draws_a_line_a_table():
    ax = plots_trust.risk_coverage({"one": make(200), "two": make(200, 1, skill=3)})
    lines = ax.get_lines()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["one", "two"]
    for line, seed, skill in ((lines[0], 0, 1), (lines[1], 1, 3)):
        x, y = line.get_data()
        assert x[0] == 30 / 200 and x[-1] == 1
        curve = calibrate.risk_coverage(make(200, seed, skill=skill))
        assert y[-1] == curve["risk"].iloc[-1]
    assert plots_trust.risk_coverage(make(50)).get_legend() is None


def test_both_draw_where_they_are_told():
    _, axes = plt.subplots(1, 2)
    assert plots_trust.reliability(make(60), axes[0]) is axes[0]
    assert plots_trust.risk_coverage(make(60), axes[1]) is axes[1]
