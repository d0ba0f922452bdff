"""Metrics against scikit-learn, intervals against what is known of them."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as referee
from tables import NAMES, make

from skincnn import evaluate, predictions


def right_or_wrong(right, groups=None):
    """A two-class table in which exactly these answers are right."""
    rows = pd.DataFrame({"file": [f"{i}.jpg" for i in range(len(right))], "label": "nevus"})
    rows["group"] = "" if groups is None else groups
    p = np.where(right, 0.1, 0.9)
    return predictions.frame(rows, np.column_stack([p, 1 - p]), ["melanoma", "nevus"], seed=0)


def width(figure):
    return figure["high"] - figure["low"]


# --- the figures ---------------------------------------------------------------------------------


def test_figures_equal_scikit_learn():
    table = make()
    p = table.filter(like="p_").to_numpy()
    true, predicted = table["label"], np.array(NAMES)[p.argmax(axis=1)]
    got = evaluate.metrics(table, replicates=10)
    expected = {
        "accuracy": referee.accuracy_score(true, predicted),
        "balanced_accuracy": referee.balanced_accuracy_score(true, predicted),
        "macro_f1": referee.f1_score(true, predicted, average="macro"),
        "log_loss": referee.log_loss(true, p / p.sum(axis=1, keepdims=True), labels=NAMES),
    }
    for name, value in expected.items():
        # The file's six digits sum to 1 only to within a few millionths.
        assert got[name]["value"] == pytest.approx(value, abs=1e-6 if name == "log_loss" else 1e-9)
    np.testing.assert_array_equal(
        got["confusion"], referee.confusion_matrix(true, predicted, labels=NAMES)
    )
    np.testing.assert_array_equal(evaluate.confusion(table), got["confusion"])

    precision, sensitivity, f1, support = referee.precision_recall_fscore_support(
        true, predicted, labels=NAMES
    )
    report = evaluate.report(table)
    assert list(report.index) == NAMES
    for column, values in {
        "precision": precision,
        "sensitivity": sensitivity,
        "f1": f1,
        "support": support,
        "auc": [referee.roc_auc_score(true == c, p[:, i]) for i, c in enumerate(NAMES)],
        "specificity": [
            referee.recall_score(true != c, predicted != c, zero_division=0) for c in NAMES
        ],
    }.items():
        np.testing.assert_allclose(report[column], values, atol=1e-9, err_msg=column)
        assert got["per_class"]["nevus"][column] == pytest.approx(report.loc["nevus", column])


def test_auc_shares_ranks_between_equal_scores():
    positive = np.array([True, False, True, False, False])
    score = np.array([0.5, 0.5, 0.9, 0.1, 0.5])
    assert evaluate._auc(positive, score) == pytest.approx(referee.roc_auc_score(positive, score))


def test_a_probability_of_zero_costs_much_but_not_everything():
    table = make(20)
    columns = table.columns[table.columns.str.startswith("p_")]
    table.loc[0, columns] = 0.0
    table.loc[0, "p_nevus" if table["label"][0] != "nevus" else "p_melanoma"] = 1.0
    assert 0 < evaluate.metrics(table, replicates=2)["log_loss"]["value"] < 10


def test_what_is_undefined_is_none_and_the_rest_is_json():
    table = make(60)
    table = table[table["label"] != "nevus"]
    columns = [c for c in table if c.startswith("p_")]
    table = table[table[columns].to_numpy().argmax(axis=1) != NAMES.index("nevus")]
    got = json.loads(json.dumps(evaluate.metrics(table, replicates=5), allow_nan=False))
    assert got["classes"] == NAMES
    assert got["per_class"]["nevus"] == {
        "support": 0, "sensitivity": None, "precision": None, "specificity": 1.0, "f1": None,
        "auc": None,
    }  # fmt: skip
    present = [v["sensitivity"] for k, v in got["per_class"].items() if k != "nevus"]
    assert got["balanced_accuracy"]["value"] == pytest.approx(np.mean(present))


# --- the intervals -------------------------------------------------------------------------------


def test_interval_of_a_proportion_is_about_wilsons():
    n, right = 400, 240
    got = evaluate.metrics(right_or_wrong(np.arange(n) < right), replicates=2000)["accuracy"]
    p, z = right / n, 1.96
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert got["value"] == pytest.approx(p)
    assert (got["low"], got["high"]) == pytest.approx((centre - half, centre + half), abs=0.01)


def test_copies_in_a_group_add_no_certainty():
    right = np.arange(100) < 60
    once = evaluate.metrics(right_or_wrong(right))
    groups = [f"g{i}" for i in np.repeat(range(100), 10)]
    together = evaluate.metrics(right_or_wrong(np.repeat(right, 10), groups))
    apart = evaluate.metrics(right_or_wrong(np.repeat(right, 10)))
    assert (together["n"], together["n_groups"], apart["n_groups"]) == (1000, 100, 1000)
    assert width(together["accuracy"]) == pytest.approx(width(once["accuracy"]))
    assert width(apart["accuracy"]) < width(once["accuracy"]) / 2.5


def test_seeds_of_one_photograph_are_one_group():
    table = make(50, group="")
    got = evaluate.metrics(pd.concat([table, table.assign(seed=8)]), replicates=50)
    assert (got["n"], got["n_files"], got["n_groups"]) == (100, 50, 50)
    assert got["accuracy"] == evaluate.metrics(table, replicates=50)["accuracy"]
    assert "100 predictions of 50 photographs in 50 groups" in evaluate.summary(got)


def test_intervals_do_not_depend_on_chunks_and_repeat_with_their_seed(monkeypatch):
    table = make(40)
    one = evaluate.metrics(table, replicates=30, seed=1)
    monkeypatch.setattr(evaluate, "CHUNK", 7 * 40)
    assert evaluate.metrics(table, replicates=30, seed=1) == one
    assert evaluate.metrics(table, replicates=30, seed=2)["accuracy"] != one["accuracy"]


def test_one_group_has_no_interval():
    got = evaluate.metrics(make(10, group="all"), replicates=5)
    assert got["accuracy"]["low"] is None
    assert "interval" not in evaluate.summary(got)


def test_summary_reads_as_a_sentence():
    text = evaluate.summary(evaluate.metrics(right_or_wrong(np.arange(1000) < 603)))
    assert text.startswith("accuracy 60.3 % (95 % interval 5")
    assert "), n = 1,000 photographs in 1,000 groups\nbalanced accuracy 60.3 %" in text


def test_metrics_refuses_nothing_to_measure():
    with pytest.raises(ValueError, match="no rows"):
        evaluate.metrics(make(5).iloc[:0])
    with pytest.raises(ValueError, match="replicates=0"):
        evaluate.metrics(make(5), replicates=0)
