"""Temperature and intervals: fitted where the answer is known."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from tables import validation

from skincnn import calibrate, evaluate, predictions


def log_loss(table):
    return evaluate.metrics(table, 1)["log_loss"]["value"]


# --- temperature ---------------------------------------------------------------------------------


def test_temperature_undoes_what_was_done():
    table = calibrate.apply(validation(), calibrate.temperature(validation()))
    assert calibrate.temperature(table) == pytest.approx(1, abs=1e-4)
    for done in (0.5, 2.0):
        assert calibrate.temperature(calibrate.apply(table, done)) == pytest.approx(
            1 / done, rel=1e-3
        )


def test_temperature_has_the_smallest_log_loss():
    table = validation(400, skill=0.5)
    found = minimize_scalar(
        lambda t: log_loss(calibrate.apply(table, np.exp(t))), bounds=(-2, 3), method="bounded"
    )
    assert calibrate.temperature(table) == pytest.approx(np.exp(found.x), rel=1e-3)


def test_temperature_changes_no_answer_and_makes_a_sound_table(tmp_path):
    table = validation(300)
    cooler = calibrate.apply(table, 0.7)
    np.testing.assert_array_equal(predictions.answers(cooler)[1], predictions.answers(table)[1])
    predictions.write(cooler, tmp_path / "cooler.csv")
    assert evaluate.metrics(predictions.read(tmp_path / "cooler.csv"), 5) == evaluate.metrics(
        cooler, 5
    )


def test_temperature_stays_in_its_range():
    table = validation(100)
    true, predicted, _ = predictions.answers(table)
    assert calibrate.temperature(table[true == predicted]) == calibrate.COOLEST
    last = predictions.answers(table)[2].argmin(axis=1)
    hopeless = table.assign(label=np.array(predictions.classes(table))[last])
    assert calibrate.temperature(hopeless) == calibrate.HOTTEST


@pytest.mark.parametrize("temperature", [0, -1, float("nan")])
def test_a_temperature_is_above_zero(temperature):
    with pytest.raises(ValueError, match="must be above 0"):
        calibrate.apply(validation(5), temperature)


def test_reliability_bins_are_open_below():
    table = validation(2, names=["a", "b"])
    table[["p_a", "p_b"]] = [[0.6, 0.4], [1.0, 0.0]]
    rows = calibrate.reliability(table)
    assert rows["n"].sum() == 2 and len(rows) == 15
    filled = rows[rows["n"] > 0]
    np.testing.assert_allclose(filled["high"], [0.6, 1])
    np.testing.assert_allclose(filled["confidence"], [0.6, 1])


# --- intervals -----------------------------------------------------------------------------------


def test_the_pools_are_those_of_isotonic_regression():
    from sklearn.isotonic import IsotonicRegression

    rng = np.random.default_rng(0)
    scores, true = rng.random(80).round(2), rng.random(80) < 0.4
    for score, low, high in calibrate.interval(scores, true, rng.random(20).round(2), z=0):
        for end, added in ((low, 0), (high, 1)):
            fitted = IsotonicRegression().fit(np.append(scores, score), np.append(true, added))
            assert end == pytest.approx(fitted.predict([score])[0])


def test_the_end_that_came_true_is_a_probability():
    """Drawn 2,000 times, with 30 known answers each: whatever the score, of all photographs whose
    own end lies near p, a share of p is positive (Vovk & Petej 2014, theorem 1)."""
    rng = np.random.default_rng(1)
    ends, truth, lows, highs = [], [], [], []
    for _ in range(2000):
        scores = rng.random(31)
        true = rng.random(31) < 0.15 + 0.7 * scores**3  # what the score says is far from it
        ((_, low, high),) = calibrate.interval(scores[1:], true[1:], scores[:1], z=0)
        ends.append(high if true[0] else low)
        truth.append(true[0])
        lows.append(low)
        highs.append(high)
    ends, truth = np.array(ends), np.array(truth)
    assert np.mean(lows) < truth.mean() < np.mean(highs)
    for low in (0.0, 0.2, 0.4, 0.6):
        near = (ends >= low) & (ends < low + 0.2)
        error = 4 * np.sqrt(0.25 / near.sum())
        assert near.sum() > 50 and abs(truth[near].mean() - ends[near].mean()) < error


@pytest.mark.parametrize(
    "truth", [lambda s: s, lambda s: 0.15 + 0.7 * s**3, lambda s: 1 / (1 + np.exp(12 * (0.5 - s)))]
)
def test_the_interval_holds_the_truth(truth):
    rng, held = np.random.default_rng(3), 0
    for _ in range(200):
        scores = rng.beta(0.6, 0.6, 100)
        new = rng.beta(0.6, 0.6, 1)
        ((_, low, high),) = calibrate.interval(scores, rng.random(100) < truth(scores), new)
        held += low <= truth(new)[0] <= high
    assert held >= 0.95 * 200


def test_an_interval_narrows_with_what_is_known():
    rng = np.random.default_rng(2)
    widths = []
    for n in (20, 200, 2000):
        scores = rng.random(n)
        true = rng.random(n) < scores
        table, bare = calibrate.interval(scores, true), calibrate.interval(scores, true, z=0)
        assert table.shape == (101, 3) and (table[:, 1] < table[:, 2]).all()
        assert (np.diff(bare[:, 1:], axis=0) >= -1e-12).all(), "rises with the score"
        assert (table[:, 1] <= bare[:, 1]).all() and (table[:, 2] >= bare[:, 2]).all()
        widths.append((table[:, 2] - table[:, 1]).mean())
    assert widths[0] > widths[1] > widths[2] and widths[0] > 2 * widths[2]
    assert abs(table[:, 1:].mean(axis=1) - table[:, 0]).max() < 0.15


@pytest.mark.parametrize("scores", [[], [0.5, 0.6], [float("nan")]])
def test_an_interval_needs_scores_and_as_many_answers(scores):
    with pytest.raises(ValueError, match=r"N of each|finite"):
        calibrate.interval(np.array(scores), np.ones(1 if scores else 0, bool))
