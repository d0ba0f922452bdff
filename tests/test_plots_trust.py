"""The figures of confidence show what `calibrate` and `decisions` compute."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from tables import make

from skincnn import calibrate, decisions, evaluate, plots_trust


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
        curve = decisions.risk_coverage(make(200, seed, skill=skill))
        assert y[-1] == curve["risk"].iloc[-1]
    assert plots_trust.risk_coverage(make(50)).get_legend() is None


def test_thresholds_show_who_is_called_from_where_on():
    table = make(300, skill=3)
    ax = plots_trust.thresholds(table, "melanoma", {0.9: 0.2, 0.95: 0.4, 1.0: np.inf})
    rest, own, *thresholds = ax.lines
    assert [line.get_xdata()[0] for line in thresholds] == [0.2, 0.4]
    assert [text.get_text() for text in ax.texts] == ["90 % specificity", "95 % specificity"]
    at = rest.get_xdata()[300]
    called = decisions.called(table, "melanoma", at)
    assert own.get_ydata()[300] == called["sensitivity"]["value"]
    assert rest.get_ydata()[300] == pytest.approx(1 - called["specificity"]["value"])
    n = (table["label"] == "melanoma").sum()
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == [f"all others (n = {300 - n})", f"melanoma (n = {n})"]


def test_subgroups_show_intervals_and_mark_the_small():
    table = make(100)
    facts = table[["file"]].assign(sex=["female"] * 80 + ["male"] * 20)
    rows = evaluate.by(table, facts, "sex")
    ax = plots_trust.subgroups(rows)
    points = ax.collections[-1]
    np.testing.assert_allclose(points.get_offsets()[:, 0], rows["accuracy"])
    np.testing.assert_array_equal(points.get_facecolor()[1], [1, 1, 1, 1])
    assert points.get_facecolor()[0][0] < 1
    segments = ax.collections[0].get_segments()
    np.testing.assert_allclose([s[0, 0] for s in segments], rows["accuracy_low"])
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["female (n = 80)", "male (n = 20)"]


def test_each_draws_where_it_is_told():
    _, axes = plt.subplots(1, 4)
    table = make(60)
    rows = evaluate.by(table, table.assign(sex="male")[["file", "sex"]], "sex", replicates=5)
    assert plots_trust.reliability(table, axes[0]) is axes[0]
    assert plots_trust.risk_coverage(table, axes[1]) is axes[1]
    assert plots_trust.thresholds(table, "nevus", {}, axes[2]) is axes[2]
    assert plots_trust.subgroups(rows, ax=axes[3]) is axes[3]
