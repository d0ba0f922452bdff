"""Two runs on the same photographs: paired row for row, and what they differ in."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from tables import make, right_or_wrong

from skincnn import evaluate, paired, predictions


def test_an_answer_has_the_keys_it_says():
    for positive in (None, "nevus"):
        pair = paired.compare(make(40), make(40, skill=2), 5, positive=positive)
        keys = {"n", "n_groups", "replicates", "positive", "differences", "mcnemar"}
        assert set(pair) == keys and (pair["n"], pair["replicates"]) == (40, 5)
        assert pair["positive"] == (positive or "melanoma") and pair["n_groups"] == 40
        expected = [*evaluate.HEADLINES, *evaluate.POSITIVE_HEADLINES]
        assert list(pair["differences"]) == expected
    none = [make(40, names=["cat", "dog"], seed=seed) for seed in (0, 0)]
    got = paired.compare(*none, 5)
    assert got["positive"] is None and list(got["differences"]) == list(evaluate.HEADLINES)


def test_a_thousand_replicates_of_one_seed_unless_asked_otherwise():
    table = make(30)
    other = make(30, skill=2)
    assert paired.compare(table, other) == paired.compare(table, other, 1000, 0)


def test_one_group_has_no_interval():
    pair = paired.compare(make(10, group="all"), make(10, group="all", skill=3), 5)
    found = pair["differences"]["accuracy"]
    assert found["low"] is found["high"] is found["p"] is None and found["value"] is not None


def test_a_run_against_itself_differs_in_nothing():
    table = make(100)
    got = paired.compare(table, table.sample(frac=1, random_state=0), replicates=20)
    assert got["differences"]["accuracy"] == {
        "a": evaluate.metrics(table, 5)["accuracy"]["value"],
        "b": evaluate.metrics(table, 5)["accuracy"]["value"],
        "value": 0.0, "low": 0.0, "high": 0.0, "p": 1.0,
    }  # fmt: skip
    assert got["mcnemar"] == {"only_a_right": 0, "only_b_right": 0, "p": 1.0}


def test_what_makes_a_photograph_hard_for_both_cancels_out():
    right = np.arange(400) < 200
    better = right | (np.arange(400) < 220)
    got = paired.compare(right_or_wrong(better), right_or_wrong(right))
    difference = got["differences"]["accuracy"]
    assert difference["value"] == pytest.approx(0.05)
    assert 0.02 < difference["low"] < 0.04 < 0.06 < difference["high"] < 0.08
    assert difference["p"] == pytest.approx(2 / 1001)  # no replicate on the other side of zero
    assert got["mcnemar"]["only_a_right"] == 20 and got["mcnemar"]["only_b_right"] == 0
    back = paired.compare(right_or_wrong(right), right_or_wrong(better))
    assert back["differences"]["accuracy"]["low"] == pytest.approx(-difference["high"])
    assert json.loads(json.dumps(got, allow_nan=False)) == got


@pytest.mark.parametrize(("one", "other"), [(0, 0), (7, 2), (3, 3), (0, 12), (400, 330)])
def test_mcnemar_is_a_fair_coin(one, other):
    expected = binomtest(one, one + other).pvalue if one + other else 1
    assert paired.mcnemar(one, other) == pytest.approx(expected, rel=1e-9)
    assert paired.mcnemar(20_000, 13_000) < 1e-300


# --- row for row ---------------------------------------------------------------------------------


def test_two_tables_are_paired_row_for_row():
    a = pd.concat([make(20), make(20, 1).assign(seed=8, label=make(20)["label"])])
    b = a.assign(seed=a["seed"] + 10)[[*predictions.FACTS, *reversed(a.columns[7:])]]
    one, other = paired.pair(a, b.sample(frac=1, random_state=0))
    assert list(one["seed"] + 10) == list(other["seed"])
    pd.testing.assert_frame_equal(one.drop(columns="seed"), other.drop(columns="seed"))


def test_a_group_that_one_table_lacks_is_the_others():
    one, other = paired.pair(make(3, group=""), make(3))
    assert list(one["group"]) == list(other["group"]) == ["g0", "g1", "g2"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t[2:], "'Test/0.jpg' has more rows in the first (2 such files)"),
        (lambda t: t.replace("Test/1.jpg", "Test/0.jpg"), "'Test/0.jpg' has more rows in the sec"),
        (lambda t: t.assign(label="nevus"), "has label '"),
        (lambda t: t.assign(group="g1"), "'Test/0.jpg' has group 'g0' in the first table and 'g1'"),
        (lambda t: t.drop(columns="p_nevus"), "different classes: actinic keratosis, basal"),
    ],
)
def test_tables_of_other_photographs_are_not_compared(change, message):
    with pytest.raises(ValueError) as error:
        paired.pair(make(10), change(make(10)))
    assert message in str(error.value)
