"""Metrics against scikit-learn, intervals against what is known of them, and bad files by line."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as referee

from skincnn import evaluate, labels

NAMES = list(labels.ISIC9)


def make(n=300, seed=0, names=NAMES, skill=1.0, **columns):
    """A table of random predictions that are right more often than chance."""
    rng = np.random.default_rng(seed)
    true = rng.integers(len(names), size=n)
    logits = rng.normal(size=(n, len(names)))
    logits[np.arange(n), true] += skill
    rows = {
        "file": [f"Test/{i}.jpg" for i in range(n)],
        "image_id": [f"ISIC_{i:07}" for i in range(n)],
        "group": [f"g{i}" for i in range(n)],
        "label": np.array(names)[true],
        "split": "test",
        "fold": pd.array([pd.NA] * n, dtype="Int64"),
    }
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return evaluate.frame(pd.DataFrame(rows | columns), softmax, names, seed=7)


def right_or_wrong(right, groups=None):
    """A two-class table in which exactly these answers are right."""
    rows = pd.DataFrame({"file": [f"{i}.jpg" for i in range(len(right))], "label": "nevus"})
    rows["group"] = "" if groups is None else groups
    p = np.where(right, 0.1, 0.9)
    return evaluate.frame(rows, np.column_stack([p, 1 - p]), ["melanoma", "nevus"], seed=0)


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


# --- the file ------------------------------------------------------------------------------------


def test_what_is_written_is_read_back(tmp_path):
    table = make(300, group=["", *["a, b"] * 299], fold=[pd.NA, *range(299)])
    path = tmp_path / "new" / "predictions.csv"
    evaluate.write(table, path)
    pd.testing.assert_frame_equal(evaluate.read(path), table, check_exact=True)
    first = path.read_text().splitlines()[1].split(",")
    assert all(len(value) == len("0.123456") for value in first[-9:])
    sums = table.filter(like="p_").sum(axis=1)
    np.testing.assert_allclose(sums, 1, atol=1e-5)
    assert [p.name for p in path.parent.iterdir()] == ["predictions.csv"]


def test_a_table_made_by_hand_is_written_summing_to_one(tmp_path):
    table = make(30)
    table[[c for c in table if c.startswith("p_")]] *= 1.0009
    evaluate.write(table, tmp_path / "p.csv")
    sums = evaluate.read(tmp_path / "p.csv").filter(like="p_").sum(axis=1)
    np.testing.assert_allclose(sums, 1, atol=1e-5)


def test_a_refused_table_leaves_the_old_file(tmp_path):
    path = tmp_path / "predictions.csv"
    evaluate.write(make(3), path)
    before = path.read_bytes()
    with pytest.raises(evaluate.PredictionsError, match=r"line 5.*twice"):
        evaluate.write(pd.concat([make(3), make(1)]), path)
    assert path.read_bytes() == before


def test_class_names_get_their_spaces_back():
    assert evaluate.classes(make(5).iloc[:0]) == NAMES
    own = ["tinea_pedis", "wart", "lichen planus"]
    table = make(1, names=own)
    table["label"] = "tinea_pedis"
    assert evaluate.classes(table) == own
    assert evaluate.classes(table.assign(label="wart"))[0] == "tinea pedis"


def test_columns_keep_the_order_of_the_model():
    order = ["nevus", "melanoma"]
    assert evaluate.classes(make(9, names=order)) == order


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.replace("Test/1.jpg", "Test/0.jpg"), "line 3: file 'Test/0.jpg' with seed 7"),
        (lambda t: t.replace("0.500000", "half", 1), "line 2: p_melanoma is 'half', not a number"),
        (lambda t: t.replace("0.500000", "", 1), "line 2: p_melanoma is '', not a number"),
        (lambda t: t.replace("0.500000", "nan", 1), "line 2: p_melanoma is 'nan'"),
        (lambda t: t.replace("0.500000", "inf", 1), "line 2: p_melanoma is inf"),
        (lambda t: t.replace("0.500000", "-0.5", 1), "line 2: p_melanoma is -0.5, not a prob"),
        (lambda t: t.replace("0.500000", "0.6", 1), "line 2: probabilities sum to 1.1, not to 1"),
        (lambda t: t.replace(",wart,", ",tinea,"), "line 4: label 'tinea' is not among"),
        (lambda t: t.replace(",7,", ",7.5,", 1), "line 2: seed is '7.5', not a whole number"),
        (lambda t: t.replace(",7,", ",inf,", 1), "line 2: seed is 'inf', not a whole number"),
        (lambda t: t.replace(",,7,", ",x,7,", 1), "line 2: fold is 'x', not a whole number"),
        (lambda t: t.replace(",7,", ",", 1), "line 2: 8 values for 9 columns"),
        (lambda t: t.replace("Test/2", "\nTest/2").replace(",wart,", ",x,"), "line 5: label"),
        (lambda t: t.replace("group", "lesion"), "line 1: no column group"),
        (lambda t: t.replace("p_", "q_"), "line 1: no column p_<class>"),
        (lambda t: t.replace("p_wart", "p_melanoma"), "line 1: column p_melanoma stands there"),
        (lambda t: t.splitlines()[0], "no predictions"),
        (lambda t: "", "line 1: no column file"),
        (lambda t: t.replace("wart", "\udcff"), "not a CSV file in UTF-8"),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path, change, message):
    rows = pd.DataFrame(
        {"file": [f"Test/{i}.jpg" for i in range(3)], "label": ["melanoma", "melanoma", "wart"]}
    )
    path = tmp_path / "predictions.csv"
    evaluate.write(evaluate.frame(rows, np.full((3, 2), 0.5), ["melanoma", "wart"], 7), path)
    evaluate.read(path)
    path.write_bytes(change(path.read_text()).encode("utf-8", "surrogateescape"))
    with pytest.raises(evaluate.PredictionsError) as error:
        evaluate.read(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_a_missing_file_is_one_clear_line(tmp_path):
    with pytest.raises(evaluate.PredictionsError, match=r"no\.csv: cannot be read"):
        evaluate.read(tmp_path / "no.csv")


def test_frame_refuses_what_does_not_fit():
    rows = pd.DataFrame({"file": ["a.jpg"], "label": ["nevus"]})
    with pytest.raises(ValueError, match=r"shape \(1, 3\): expected \(1, 2\)"):
        evaluate.frame(rows, np.ones((1, 3)), ["melanoma", "nevus"], 0)
    with pytest.raises(evaluate.PredictionsError, match="sum to 2"):
        evaluate.frame(rows, np.ones((1, 2)), ["melanoma", "nevus"], 0)
    with pytest.raises(ValueError, match="share a probability column"):
        evaluate.frame(rows, np.full((1, 2), 0.5), ["a b", "a_b"], 0)
