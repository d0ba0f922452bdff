"""Ensembles: means of what the files say, and weights that no held-out photograph chose."""

import numpy as np
import pandas as pd
import pytest

from skincnn import ensembles, evaluate, predictions

NAMES = ["melanoma", "nevus", "wart"]


def fold_tables(skill, seed, folds=2, n=60):
    """Out-of-fold predictions and inner ones; `skill` 0 is noise."""
    rng, found = np.random.default_rng(seed), []
    for kind in "oi":
        files = sorted(f"{kind}{fold}/{i:02d}.jpg" for fold in range(folds) for i in range(n))
        rows = pd.DataFrame({"file": files, "label": NAMES * (folds * n // 3)})
        rows["fold"] = rows["file"].str[1].astype(int)
        logits = rng.normal(size=(len(rows), 3)) + skill * np.tile(np.eye(3), (folds * n // 3, 1))
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        found.append(predictions.frame(rows, shares, NAMES, seed))
    return found


def answers(table):
    return table.sort_values("file")[predictions.probability_columns(table)].to_numpy()


def test_the_mean_is_the_mean_of_runs_and_of_their_seeds():
    a, b, c = (fold_tables(1, seed)[0] for seed in (1, 2, 3))
    mixed, weights = ensembles.combine([pd.concat([a, b]).sample(frac=1, random_state=0), c])
    np.testing.assert_allclose(
        answers(mixed), ((answers(a) + answers(b)) / 2 + answers(c)) / 2, atol=2e-6
    )
    assert (weights == 0.5).all(axis=None)
    assert (mixed["seed"] == 1).all()
    evaluate.metrics(mixed, replicates=1)


def test_ranks_know_nothing_of_how_sure_a_network_is():
    a, b = (fold_tables(1, seed)[0] for seed in (1, 2))
    columns = predictions.probability_columns(a)
    sharp = a.copy()
    sharp[columns] = a[columns].to_numpy() ** 4  # other figures in the same order, class by class
    ranks = [ensembles._ranks(t[columns].to_numpy()[None])[0] for t in (a, sharp)]
    np.testing.assert_array_equal(*ranks)
    mixed, _ = ensembles.combine([a, b], "rank")
    first = a["fold"].to_numpy() == 0
    part = ensembles._ranks(np.stack([t[columns].to_numpy()[first] for t in (a, b)])).mean(axis=0)
    part /= part.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(mixed[columns].to_numpy()[first], part, atol=2e-6)


def test_weights_come_from_each_folds_inner_part_alone():
    (good, good_inner), (bad, bad_inner) = fold_tables(3, 1), fold_tables(0, 2)
    _, weights = ensembles.combine([good, bad], "weighted", [good_inner, bad_inner])
    assert (weights[0] > 0.8).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    # what the held-out labels are chooses nothing
    turned = [t.assign(label=np.roll(t["label"], 1)) for t in (good, bad)]
    _, same = ensembles.combine(turned, "weighted", [good_inner, bad_inner])
    pd.testing.assert_frame_equal(weights, same)
    # and neither does another fold's inner part
    other = bad_inner.copy()
    columns, late = predictions.probability_columns(other), other["fold"] == 1
    other.loc[late, columns] = np.roll(other.loc[late, columns].to_numpy(), 1, axis=1)
    _, weights_2 = ensembles.combine([good, bad], "weighted", [good_inner, other])
    assert (weights.loc[0] == weights_2.loc[0]).all()


def test_what_does_not_belong_together_is_refused():
    a, inner = fold_tables(1, 1)
    b = fold_tables(1, 2)[0]
    with pytest.raises(ValueError, match=r"how='median'.*mean, rank, weighted"):
        ensembles.combine([a, b], "median")
    with pytest.raises(ValueError, match="two tables"):
        ensembles.combine([a])
    with pytest.raises(ValueError, match="inner parts"):
        ensembles.combine([a, b], "weighted", [inner])
    with pytest.raises(ValueError, match=r"table 2 is not of the photographs.*'o1/59.jpg'"):
        ensembles.combine([a, b.iloc[:-1]])
    with pytest.raises(ValueError, match="other classes"):
        ensembles.combine([a, b.rename(columns={"p_wart": "p_scar"})])
    with pytest.raises(ValueError, match="fold 1 has no inner part"):
        ensembles.combine([a, b], "weighted", [inner[inner["fold"] == 0]] * 2)


def test_inner_parts_are_read_from_a_folder(tmp_path):
    inner = fold_tables(1, 1)[1]
    for fold, part in inner.groupby("fold"):
        predictions.write(part, tmp_path / "folds" / f"fold{fold}_seed1_inner.csv")
    found = ensembles.inner_parts(tmp_path)
    assert len(found) == len(inner) and set(found["fold"]) == {0, 1}
    with pytest.raises(ValueError, match="no predictions of inner parts"):
        ensembles.inner_parts(tmp_path / "folds" / "none")
