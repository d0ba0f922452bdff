"""Thresholds and abstention: chosen where the answer is known."""

import numpy as np
import pytest
from tables import validation

from skincnn import calibrate, decisions, evaluate, predictions


@pytest.mark.parametrize(
    "fit",
    [
        calibrate.temperature,
        decisions.thresholds,
        lambda table: decisions.abstention(table, coverage=0.5),
    ],
)
def test_nothing_is_fitted_on_test(fit):
    table = validation(20)
    table.loc[[3, 4], "split"] = "test"
    fit(table)  # of folds that pool Train and Test: no test any more
    table["fold"] = table["fold"].astype("Int64")
    table.loc[[3, 4], "fold"] = None
    with pytest.raises(ValueError, match="2 of 20 rows are of the split 'test'"):
        fit(table)


# --- thresholds ----------------------------------------------------------------------------------


def test_a_threshold_reaches_its_specificity_and_no_more_than_it_must():
    table = validation()
    score, others = table["p_melanoma"], table["label"] != "melanoma"
    found = decisions.thresholds(table, specificities=[0.5, 0.9, 0.95])
    for wanted, threshold in found.items():
        below = score[score < threshold].max()
        assert (score[others] < threshold).mean() >= wanted > (score[others] < below).mean()
        got = decisions.called(table, "melanoma", threshold, replicates=100)
        assert got["specificity"]["value"] == pytest.approx((score[others] < threshold).mean())
        assert got["called"] == (score >= threshold).sum()
    # The very point of the ROC curve that `evaluate` reads off.
    sensitivity = evaluate.metrics(table, 1)["sensitivity_at_95_specificity"]["value"]
    assert got["sensitivity"]["value"] == sensitivity
    assert got["sensitivity"]["low"] < sensitivity < got["sensitivity"]["high"]


def test_a_threshold_nobody_passes():
    table = validation(50)
    table.loc[table["label"].ne("melanoma").idxmax(), "p_melanoma"] = 1.0
    assert decisions.thresholds(table, specificities=[1])[1] == np.inf
    got = decisions.called(table, "melanoma", np.inf, replicates=5)
    assert (got["called"], got["sensitivity"]["value"], got["precision"]["value"]) == (0, 0, None)


def test_thresholds_refuse_what_has_no_answer():
    table = validation(50)
    with pytest.raises(ValueError, match="positive='wolf': not among the classes: actinic"):
        decisions.thresholds(table, "wolf")
    with pytest.raises(ValueError, match="specificity 90: must lie"):
        decisions.thresholds(table, specificities=[90])
    with pytest.raises(ValueError, match="no photographs but nevus"):
        decisions.thresholds(table[table["label"] == "nevus"], "nevus")


# --- abstention ----------------------------------------------------------------------------------


def test_abstaining_reaches_what_was_asked():
    table = validation()
    everything = decisions.selective(table, 0, replicates=50)
    assert everything["answered"] == 2000 and everything["coverage"]["value"] == 1
    by_coverage = decisions.selective(table, decisions.abstention(table, coverage=0.3), 50)
    assert by_coverage["coverage"]["value"] == pytest.approx(0.3, abs=0.01)
    assert by_coverage["coverage"]["value"] >= 0.3
    wanted = everything["accuracy"]["value"] + 0.2
    confidence = decisions.abstention(table, accuracy=wanted)
    by_accuracy = decisions.selective(table, confidence, 50)
    assert by_accuracy["accuracy"]["value"] >= wanted > by_accuracy["accuracy"]["low"]
    assert by_accuracy["answered"] < 2000
    lower = decisions.risk_coverage(table).query("confidence < @confidence")
    assert (1 - lower["risk"] < wanted).all()


def test_abstention_refuses_what_cannot_be():
    table = validation(200)
    for options in ({}, {"coverage": 0.5, "accuracy": 0.5}):
        with pytest.raises(ValueError, match="a coverage or an accuracy"):
            decisions.abstention(table, **options)
    with pytest.raises(ValueError, match="coverage=50: must lie"):
        decisions.abstention(table, coverage=50)
    true, predicted, _ = predictions.answers(table)
    with pytest.raises(
        ValueError, match=r"accuracy=0\.9: the most that any confidence reaches is 0"
    ):
        decisions.abstention(table[true != predicted], accuracy=0.9)


def test_risk_coverage_ends_with_every_photograph():
    table = validation(300)
    curve = decisions.risk_coverage(table)
    assert curve["coverage"].iloc[-1] == 1
    assert curve["risk"].iloc[-1] == pytest.approx(
        1 - evaluate.metrics(table, 1)["accuracy"]["value"]
    )
    assert curve["confidence"].is_monotonic_decreasing and curve["coverage"].is_monotonic_increasing
