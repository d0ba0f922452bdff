"""Curves of one class among many: what they show is what `evaluate` says."""

import matplotlib
import numpy as np
import pandas as pd
import pytest

matplotlib.use("agg")

from skincnn import plots_rare, plots_results


def test_both_curves_and_the_auc_of_each_network():
    one, other = _drawn(1, 1.5), _drawn(2, 0.3)
    left, right = plots_rare.roc_and_precision({"good": one, "poor": other})
    texts = [text.get_text() for text in left.get_legend().get_texts()]
    assert texts[0].startswith("good: AUC 0.8") and "poor: AUC 0." in texts[1]
    assert (left.get_xlabel(), right.get_ylabel()) == ("1 − specificity", "precision")
    base = right.get_lines()[1].get_ydata()
    assert np.allclose(base, (one["label"] == "malignant").mean())


def test_trainings_are_not_pooled():
    both = pd.concat([_drawn(1, 1.5).assign(seed=1), _drawn(2, 1.5).assign(seed=2)])
    left, _ = plots_rare.roc_and_precision(both)
    assert len(left.get_lines()) == 3 and len(left.get_legend().get_texts()) == 1


def test_tables_without_the_class_are_refused():
    with pytest.raises(ValueError, match="is looked for"):
        plots_rare.roc_and_precision(_drawn(1, 1).rename(columns={"p_malignant": "p_x"}))
    only = _drawn(1, 1)
    with pytest.raises(ValueError, match="must both be there"):
        plots_rare.roc_and_precision(only[only["label"] == "benign"])


def test_the_ring_can_mark_the_highest_auc():
    history = pd.DataFrame(
        {"epoch": [1, 2, 3], "loss": [3, 2, 1], "val_loss": [2, 1, 3],
         "auc": [0.5, 0.6, 0.7], "val_auc": [0.5, 0.9, 0.90001]}
    )  # fmt: skip
    _, ax = plots_results.learning_curves_pair(history, ("loss", "auc"), keep="highest_auc")
    assert list(ax.get_lines()[2].get_xdata()) == [2]  # of equal AUCs the lower loss
    assert ax.get_ylabel() == "AUC"


def _drawn(seed, shift, n=400):
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.1
    p = 1 / (1 + np.exp(-(rng.normal(size=n) + shift * positive - 2)))
    label = np.where(positive, "malignant", "benign")
    rows = pd.DataFrame({"file": [f"{i}.jpg" for i in range(n)], "image_id": "", "group": ""})
    return rows.assign(label=label, split="", fold=0, seed=0, p_benign=1 - p, p_malignant=p)
