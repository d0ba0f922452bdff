"""Figures under weights against scikit-learn's, and how often the intervals hold."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as referee
from tables import NAMES, make

from skincnn import evaluate, predictions, scores

CLASSES = range(len(NAMES))


def tied(n, seed):
    """A table with many equal probabilities, and three photographs a group."""
    shares = (predictions.answers(make(n, seed))[2] * 20).round() + 0.5
    table = predictions.replaced(make(n, seed), shares / shares.sum(axis=1, keepdims=True))
    return table.assign(group=[f"g{i // 3}" for i in range(n)])


def area_above(true, score, least, **drawn):
    """ISIC 2024's score: the plane turned by half, the curve up to a "false positive rate"."""
    x, y, _ = referee.roc_curve(~true, -score, drop_intermediate=False, **drawn)
    stop = np.searchsorted(x, 1 - least, side="right")
    x, y = np.append(x[:stop], 1 - least), np.append(y[:stop], np.interp(1 - least, x, y))
    return referee.auc(x, y)


def lesions(n, rng):
    """Predictions of n lesions, one or two photographs each that tend to agree; three classes."""
    group = np.repeat(np.arange(n), rng.integers(1, 3, n))
    label = rng.choice(3, n, p=[0.6, 0.25, 0.15])
    logits = rng.normal(size=(n, 3)) + np.eye(3)[label]
    powers = np.exp(logits[group] + rng.normal(size=(len(group), 3)) / 2)
    table = pd.DataFrame(powers / powers.sum(axis=1, keepdims=True), columns=["p_a", "p_b", "p_c"])
    return table.assign(
        file="", seed=0, group=group.astype(str), label=np.array(list("abc"))[label][group]
    )


# --- the figures ---------------------------------------------------------------------------------


@pytest.mark.parametrize("table", [make(400, 1), tied(400, 2)], ids=["distinct", "tied"])
def test_figures_under_weights_equal_scikit_learn(table):
    one = scores.Scores(table, "melanoma")
    times = next(scores.resampled(one.n_groups, one.n_rows, 3, seed=3))
    got = one.figures(times)
    true, predicted, p = predictions.answers(table)
    melanoma = true == NAMES.index("melanoma"), p[:, NAMES.index("melanoma")]
    for k, weights in enumerate(times[:, one.group]):
        drawn = {"sample_weight": weights}
        fpr, tpr, _ = referee.roc_curve(*melanoma, drop_intermediate=False, **drawn)
        auc = [referee.roc_auc_score(true == c, p[:, c], **drawn) for c in CLASSES]
        expected = {
            "accuracy": referee.accuracy_score(true, predicted, **drawn),
            "balanced_accuracy": referee.balanced_accuracy_score(true, predicted, **drawn),
            "macro_f1": referee.f1_score(true, predicted, average="macro", **drawn),
            "brier": np.average(((p - np.eye(9)[true]) ** 2).sum(axis=1), weights=weights),
            "macro_auc": np.mean(auc),
            "sensitivity_at_90_specificity": tpr[1 - fpr >= 0.9 - 1e-12].max(),
            "sensitivity_at_95_specificity": tpr[1 - fpr >= 0.95 - 1e-12].max(),
            "partial_auc": area_above(*melanoma, 0.8, **drawn),
            "auc": auc,
            "average_precision": [
                referee.average_precision_score(true == c, p[:, c], **drawn) for c in CLASSES
            ],
            "sensitivity": referee.recall_score(true, predicted, average=None, **drawn),
            "precision": referee.precision_score(
                true, predicted, average=None, zero_division=np.nan, **drawn
            ),
        }
        for name, value in expected.items():
            np.testing.assert_allclose(got[name][k], value, atol=1e-9, err_msg=name)


def test_a_specificity_is_reached_when_it_is_met_exactly():
    # One of ten others stands above the second melanoma: the specificity there is 9/10.
    score = np.array([0.9, 0.7, 0.8, *np.linspace(0.1, 0.5, 9)])
    steps = scores._Curve(score, np.arange(12) < 2).steps(np.ones((1, 12), np.int32))
    assert steps.sensitivity_at(0.9) == 1
    assert steps.sensitivity_at(0.91) == 0.5


def test_a_class_that_is_not_drawn_has_no_figure():
    table = make(50, names=["melanoma", "nevus"])
    one = scores.Scores(table, "melanoma")
    got = one.figures((table["label"] == "nevus").to_numpy()[None].astype(int))
    assert got["accuracy"] == got["balanced_accuracy"]
    for name in ("macro_auc", "partial_auc", "sensitivity_at_90_specificity"):
        assert np.isnan(got[name]).all(), name
    assert np.isnan(got["average_precision"]).tolist() == [[True, False]]


# --- the bootstrap -------------------------------------------------------------------------------


def test_draws_keep_their_sum_whatever_the_chunks(monkeypatch):
    whole = np.concatenate(list(scores.resampled(40, 50, 30, seed=1)))
    assert whole.shape == (30, 40) and (whole.sum(axis=1) == 40).all()
    monkeypatch.setattr(scores, "CHUNK", 7 * 50)
    parts = list(scores.resampled(40, 50, 30, seed=1))
    assert [len(part) for part in parts] == [7, 7, 7, 7, 2]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_intervals_hold_as_often_as_they_say():
    """500 lesions, 3 classes, 1,000 times over; `benchmarks/evaluate.py` tries every figure."""
    rng = np.random.default_rng(5)
    names = ["accuracy", "balanced_accuracy", "brier"]
    large = scores.Scores(lesions(100_000, rng))
    truth = large.counted(np.ones((1, large.n_groups)))
    held = dict.fromkeys(names, 0)
    draws = [next(scores.resampled(500, 500, 200, seed)) for seed in range(20)]
    for seed in range(1000):
        one = scores.Scores(lesions(500, rng))
        samples = one.counted(draws[seed % 20])
        for name in names:
            found = scores.figure(0.0, samples[name])
            held[name] += found["low"] <= truth[name][0] <= found["high"]
    assert all(930 <= n <= 970 for n in held.values()), held


def test_proportion_counts_groups_not_photographs():
    part = np.arange(100) < 60
    once = scores.proportion(part, np.ones(100, bool), np.arange(100), 500, 0)
    ten = scores.proportion(
        np.repeat(part, 10), np.ones(1000, bool), np.repeat(np.arange(100), 10), 500, 0
    )
    assert once == ten
    assert once["value"] == 0.6 and 0.45 < once["low"] < 0.55 < 0.65 < once["high"] < 0.75
    nothing = scores.proportion(part, np.zeros(100, bool), np.arange(100), 5, 0)
    assert set(nothing.values()) == {None}


def test_trainings_are_averaged_not_pooled():
    """Each of the two ranks without a fault; their scores lie on different scales."""
    rows = []
    for seed, scale in ((1, 0.9), (2, 0.1)):
        for i in range(20):
            positive = i % 2 == 0
            p = scale * (0.9 if positive else 0.5)
            rows.append(
                (f"{i}.jpg", "", "", "malignant" if positive else "benign", "", 0, seed, 1 - p, p)
            )
    columns = [*predictions.FACTS, "p_benign", "p_malignant"]
    table = pd.DataFrame(rows, columns=columns)
    answer = evaluate.metrics(table, replicates=20)
    assert answer["macro_auc"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert answer["sensitivity_at_95_specificity"]["value"] == 1.0
    assert answer["per_class"]["malignant"]["average_precision"] == 1.0


def test_wilson_is_that_of_the_paper_and_knows_its_bounds():
    # Newcombe 1998, table I: 81 of 263 and 15 of 148; none of 20
    assert np.round(scores.wilson(81 / 263, 263), 4) == pytest.approx([0.2553, 0.3662])
    assert np.round(scores.wilson(15 / 148, 148), 4) == pytest.approx([0.0624, 0.1605])
    assert np.round(scores.wilson(0, 20), 4) == pytest.approx([0, 0.1611])
    assert scores.wilson(1, 3)[1] == 1.0
