"""Metrics against scikit-learn, intervals against what is known of them."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as referee
from tables import NAMES, make, right_or_wrong

from skincnn import calibrate, decisions, evaluate, scores

# scikit-learn wants rows that sum to 1; the file's six digits do so only to a few millionths.
LOOSER = {"log_loss": 1e-6, "macro_auc": 1e-5}


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
        "macro_auc": referee.roc_auc_score(
            true, p / p.sum(axis=1, keepdims=True), multi_class="ovr", labels=NAMES
        ),
        "brier": ((p - (true.to_numpy()[:, None] == NAMES)) ** 2).sum(axis=1).mean(),
    }
    for name, value in expected.items():
        assert got[name]["value"] == pytest.approx(value, abs=LOOSER.get(name, 1e-9))
    np.testing.assert_array_equal(
        got["confusion"], referee.confusion_matrix(true, predicted, labels=NAMES)
    )
    confusion = evaluate.confusion(table)
    np.testing.assert_array_equal(confusion, got["confusion"])
    assert list(confusion.index) == list(confusion.columns) == NAMES
    assert (confusion.index.name, confusion.columns.name) == ("true", "predicted")

    precision, sensitivity, f1, support = referee.precision_recall_fscore_support(
        true, predicted, labels=NAMES
    )
    report = evaluate.report(table)
    assert list(report.index) == NAMES and report.index.name == "label"
    assert list(report) == ["support", *evaluate.PER_CLASS]
    for column, values in {
        "precision": precision,
        "sensitivity": sensitivity,
        "f1": f1,
        "support": support,
        "auc": [referee.roc_auc_score(true == c, p[:, i]) for i, c in enumerate(NAMES)],
        "average_precision": [
            referee.average_precision_score(true == c, p[:, i]) for i, c in enumerate(NAMES)
        ],
        "specificity": [
            referee.recall_score(true != c, predicted != c, zero_division=0) for c in NAMES
        ],
    }.items():
        np.testing.assert_allclose(report[column], values, atol=1e-9, err_msg=column)
        assert got["per_class"]["nevus"][column] == pytest.approx(report.loc["nevus", column])


def test_an_answer_has_the_keys_it_says():
    got = evaluate.metrics(make(40), replicates=5)
    assert set(got) == {
        *("n", "n_files", "n_groups", "replicates", "classes", "positive", "confusion"),
        *("per_class", "per_class_intervals", *evaluate.HEADLINES, *evaluate.POSITIVE_HEADLINES),
    }
    assert (got["n"], got["n_groups"], got["replicates"]) == (40, 40, 5)
    assert set(got["accuracy"]) == {"value", "low", "high"}


def test_a_thousand_replicates_of_one_seed_unless_asked_otherwise():
    table = make(30)
    assert evaluate.metrics(table) == evaluate.metrics(table, 1000, 0)
    table_of_two = make(60, names=["melanoma", "nevus"])
    two = evaluate.between(table_of_two)
    assert two == evaluate.between(table_of_two, "melanoma", "nevus", 1000, 0)
    assert two != evaluate.between(table_of_two, seed=1)
    facts = table[["file"]].assign(site="back")
    plain, said = (evaluate.by(table, facts, "site", *more) for more in ((), (1000, 0)))
    pd.testing.assert_frame_equal(plain, said)


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
        "auc": None, "average_precision": None,
    }  # fmt: skip
    assert got["per_class_intervals"]["nevus"]["auc"] == {"low": None, "high": None}
    present = [v["sensitivity"] for k, v in got["per_class"].items() if k != "nevus"]
    assert got["balanced_accuracy"]["value"] == pytest.approx(np.mean(present))


def test_calibration_error_is_the_gap_of_confidence_and_accuracy():
    table = right_or_wrong(np.arange(1000) < 700)  # always 90 % sure
    assert evaluate.metrics(table, 10)["ece"]["value"] == pytest.approx(0.2)
    rows = calibrate.reliability(make(500))
    gaps = (rows["n"] * (rows["confidence"] - rows["accuracy"]).abs()).sum() / 500
    assert evaluate.metrics(make(500), 10)["ece"]["value"] == pytest.approx(gaps)


def test_interval_of_the_calibration_error_allows_for_what_chance_adds():
    p, chance = np.random.default_rng(0).uniform(0.5, 1, 400), np.random.default_rng(1).random(400)
    table = right_or_wrong(np.ones(400, bool)).assign(p_nevus=p, p_melanoma=1 - p)
    table["label"] = np.where(chance < p, "nevus", "melanoma")  # as sure as it is right: truly 0
    got = evaluate.metrics(table, 200)["ece"]
    assert got["low"] < 0.02 < 0.03 < got["value"] <= got["high"] < 0.1


@pytest.mark.parametrize(
    ("names", "asked", "positive"),
    [
        (NAMES, None, "melanoma"),
        (["benign", "malignant"], None, "malignant"),
        (NAMES, "basal cell carcinoma", "basal cell carcinoma"),
        (["cat", "dog"], None, None),
    ],
)
def test_one_class_stands_against_the_rest(names, asked, positive):
    got = evaluate.metrics(make(200, names=names), 10, positive=asked)
    assert got["positive"] == positive
    assert ("partial_auc" in got) == (positive is not None)
    if positive:
        assert 0 < got["partial_auc"]["low"] <= got["partial_auc"]["value"] < 0.2
        assert f"{positive}: sensitivity at 95 % specificity" in evaluate.summary(got)
    with pytest.raises(ValueError, match=r"positive='wolf': not among the classes: "):
        evaluate.metrics(make(20, names=names), positive="wolf")


def test_figures_per_class_have_intervals():
    got = evaluate.metrics(make(600), 200)
    for label, figures in got["per_class_intervals"].items():
        assert list(figures) == list(evaluate.PER_CLASS)
        for name, ends in figures.items():
            assert ends["low"] < got["per_class"][label][name] < ends["high"]


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
    monkeypatch.setattr(scores, "CHUNK", 7 * 40)
    assert evaluate.metrics(table, replicates=30, seed=1) == one
    assert evaluate.metrics(table, replicates=30, seed=2)["accuracy"] != one["accuracy"]


def test_a_class_that_some_replicates_lack_has_an_interval_from_the_rest():
    table = make(40, names=["melanoma", "nevus"])
    table = pd.concat([table[table["label"] == "nevus"], table[table["label"] == "melanoma"][:1]])
    got = evaluate.metrics(table, 100)
    for figures in (got["per_class_intervals"]["melanoma"]["auc"], got["macro_auc"]):
        assert 0 <= figures["low"] <= figures["high"] <= 1


def test_one_group_has_no_interval():
    got = evaluate.metrics(make(10, group="all"), replicates=5)
    assert got["accuracy"]["low"] is None
    assert got["per_class_intervals"]["nevus"]["sensitivity"] == {"low": None, "high": None}
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
    with pytest.raises(ValueError, match="replicates=0"):
        decisions.selective(make(5), 0.5, replicates=0)


# --- subgroups -----------------------------------------------------------------------------------


def test_subgroups_are_the_metrics_of_their_rows():
    table = make(200, group=[f"g{i // 2}" for i in range(200)])
    facts = pd.DataFrame(
        {"file": table["file"], "sex": ["female"] * 150 + ["male"] * 20 + [""] * 30}
    )
    got = evaluate.by(table, facts.sample(frac=1, random_state=0), "sex", replicates=50)
    assert got.index.name == "sex" and list(got.index) == ["female", "male", "unknown"]
    assert list(got["n"]) == [150, 20, 30] and list(got["n_groups"]) == [75, 10, 15]
    assert list(got["small"]) == [False, True, False]
    alone = evaluate.metrics(table[:150], 50)
    for name in (*evaluate.HEADLINES, *evaluate.POSITIVE_HEADLINES):
        found = got.loc["female", [name, f"{name}_low", f"{name}_high"]]
        assert list(found) == [alone[name][key] for key in ("value", "low", "high")]


def test_subgroups_stand_the_class_asked_for_against_the_rest():
    table = make(120)
    facts = table[["file"]].assign(site="back")
    got = evaluate.by(table, facts, "site", 20, 3, "nevus").loc["back"]
    alone = evaluate.metrics(table, 20, 3, "nevus")
    assert alone["partial_auc"] != evaluate.metrics(table, 20, 3)["partial_auc"]
    assert {"value": got["partial_auc"], "low": got["partial_auc_low"]} == {
        key: alone["partial_auc"][key] for key in ("value", "low")
    }
    with pytest.raises(ValueError, match="positive='wolf'"):
        evaluate.by(table, facts, "site", positive="wolf")
    one_each = pd.concat([table[table["label"] == name][:1] for name in NAMES])
    assert list(evaluate.by(one_each, facts, "site", 5)["classes"]) == [len(NAMES)]


def test_a_subgroup_says_which_classes_it_lacks():
    table = make(300)
    facts = table[["file"]].assign(site=np.where(table["label"] == "nevus", "back", "face"))
    got = evaluate.by(table, facts, "site", replicates=5)
    assert list(got["classes"]) == [1, 8]
    assert got.loc["back", "balanced_accuracy"] == got.loc["back", "accuracy"]
    assert np.isnan(got.loc["back", "partial_auc"])


def test_two_classes_alone_are_scored_as_a_table_of_two():
    frame = make(400, skill=1.5)
    found = evaluate.between(frame, "melanoma", "nevus", replicates=50)
    rows = frame[frame["label"].isin(["melanoma", "nevus"])]
    share = rows["p_melanoma"] / (rows["p_melanoma"] + rows["p_nevus"])
    truth = rows["label"] == "melanoma"
    assert found["n"] == len(rows) and found["positive"] == "melanoma"
    assert found["macro_auc"]["value"] == pytest.approx(
        referee.roc_auc_score(truth, share), abs=1e-9
    )
    with pytest.raises(ValueError, match="no photographs of 'wart'"):
        evaluate.between(frame, "melanoma", "wart")
    without = frame[frame["label"] != "nevus"]
    with pytest.raises(ValueError, match="no photographs of 'nevus'"):
        evaluate.between(without)


def test_a_row_that_gives_neither_of_two_classes_anything_is_undecided():
    frame = make(60, names=["melanoma", "nevus", "wart"])
    rows = frame["label"].isin(["melanoma", "nevus"])
    frame.loc[rows, ["p_melanoma", "p_nevus", "p_wart"]] = [0.0, 0.0, 1.0]
    got = evaluate.between(frame, replicates=5)
    assert got["macro_auc"]["value"] == 0.5 and got["brier"]["value"] == pytest.approx(0.5)
    assert got["log_loss"]["value"] == pytest.approx(np.log(2))


def test_numbers_that_both_classes_have():
    frame = make(60)
    frame["image_id"] = [f"ISIC_{n:07d}" for n in range(60)]
    frame["label"] = ["nevus"] * 20 + ["melanoma", "nevus"] * 10 + ["melanoma"] * 20
    near = evaluate.alike(frame)
    assert list(near["image_id"]) == [f"ISIC_{n:07d}" for n in range(20, 40)]
    assert list(near.index) == list(range(20)) and set(near) == set(frame)
    assert evaluate.alike(frame[frame["label"] == "nevus"]) is None
    third = pd.concat([frame, frame[:1].assign(image_id="ISIC_0000030", label="wart")])
    assert len(evaluate.alike(third)) == 20, "of two classes alone"
    others = frame.assign(label=frame["label"].map({"nevus": "a", "melanoma": "b"}))
    pd.testing.assert_frame_equal(
        evaluate.alike(others, "b", "a").drop(columns="label"), near.drop(columns="label")
    )
    assert evaluate.alike(frame.assign(image_id="")) is None
    assert evaluate.alike(frame.assign(image_id=["", *frame["image_id"][1:]])) is None
    assert evaluate.alike(frame.drop(index=range(20, 40))) is None, "no number is of both"
