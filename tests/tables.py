"""Tables for the tests: an index without photographs, random predictions."""

import numpy as np
import pandas as pd

from skincnn import labels, predictions

NAMES = list(labels.ISIC9)
COUNTS = {"nevus": 90, "melanoma": 60, "wart": 7}


def unrelated(counts=COUNTS, **columns):
    """An index without photographs; every row is related to nothing."""
    names = [label for label, n in counts.items() for _ in range(n)]
    plain = {"split": "train", "problem": "", "augmented_from": "", "lesion_id": "", "sha256": ""}
    rows = {"file": [f"{i:03d}.jpg" for i in range(len(names))], "label": names}
    return pd.DataFrame(rows | plain | columns)


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
    return predictions.frame(pd.DataFrame(rows | columns), softmax, names, seed=7)


def validation(n=2000, seed=0, **options):
    """The same of a fold of the training part: what may be fitted on."""
    return make(n, seed, split="train", fold=[0] * n, **options)


def right_or_wrong(right, groups=None):
    """A two-class table in which exactly these answers are right."""
    rows = pd.DataFrame({"file": [f"{i}.jpg" for i in range(len(right))], "label": "nevus"})
    rows["group"] = "" if groups is None else groups
    p = np.where(right, 0.1, 0.9)
    return predictions.frame(rows, np.column_stack([p, 1 - p]), ["melanoma", "nevus"], seed=0)
