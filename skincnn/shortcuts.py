"""How well a classifier does that never looks at the lesion.

It sees what is beside the picture: the file's size, how it was compressed, the colour of its
border, its number in the archive. Whatever it scores above chance, a network can score too without
having learnt any dermatology (shortcut learning: Geirhos et al. 2020).
"""

import numpy as np
import pandas as pd

from skincnn import evaluate, predictions

FAMILIES = {  # what a student may be told -> columns of the sketch
    "file size": ["bytes", "bytes_per_pixel"],
    "compression": ["table_luma", "table_chroma", "progressive", "subsampled", "metadata"],
    "width and height": ["width", "height"],
    "border colour": ["red", "green", "blue", "border_spread", "corner"],
    "number in the archive": ["number"],
}
FOLDS = 5
TREES = 50
ENOUGH = 3000  # photographs; more would narrow an interval of ± 2 points and take far longer


def table(
    index: pd.DataFrame, sketches: pd.DataFrame, replicates: int = 500, seed: int = 0
) -> pd.DataFrame:
    """Balanced accuracy of a classifier that sees one family of facts, and of one that sees all.

    Extremely randomised trees (Geurts, Ernst & Wehenkel 2006) under grouped cross-validation: no
    group is in training and held out at once. Scored as any run is (`evaluate.metrics`).
    Of more than `ENOUGH` photographs as many are drawn.

    Args:
        index: usable rows with `file`, `label`, `group`, `image_id`, `width`, `height`.
        sketches: of the same rows.
        replicates: bootstrap samples.
        seed: of trees, folds and draws.

    Returns:
        One row a family, most telling first: `sees`, `balanced_accuracy`, `low`, `high`, `chance`
        (1 / classes), all 0…1. Families that are constant are left out; empty with fewer than two
        classes or too few groups.
    """
    columns = ["sees", "balanced_accuracy", "low", "high", "chance"]
    if len(index) > ENOUGH:
        some = np.sort(np.random.default_rng(seed).permutation(len(index))[:ENOUGH])
        index, sketches = index.iloc[some], sketches.iloc[some]
    label, classes = pd.factorize(index["label"], sort=True)
    per_class = index.groupby("label")["group"].nunique()
    if len(classes) < 2 or per_class.min() < FOLDS:
        return pd.DataFrame(columns=columns)
    number = index["image_id"].str.extract(r"(\d+)$")[0].astype(float).fillna(-1)
    facts = sketches.assign(number=number, width=index["width"], height=index["height"])
    families = {name: [c for c in cs if facts[c].nunique() > 1] for name, cs in FAMILIES.items()}
    families = {name: cs for name, cs in families.items() if cs}
    if len(families) > 1:
        families[" + ".join(families)] = [c for cs in families.values() for c in cs]
    from sklearn.model_selection import StratifiedGroupKFold

    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    folds = list(folds.split(label, label, index["group"]))
    rows = []
    for name, some in families.items():
        answers = _answers(facts[some].to_numpy(np.float32), label, folds, seed)
        answers = predictions.frame(index, answers, classes, seed)
        figure = evaluate.metrics(answers, replicates, seed)["balanced_accuracy"]
        rows.append((name, figure["value"], figure["low"], figure["high"], 1 / len(classes)))
    result = pd.DataFrame(rows, columns=columns)
    return result.sort_values("balanced_accuracy", ascending=False, ignore_index=True)


def one_collection(index: pd.DataFrame) -> pd.DataFrame:
    """Classes whose photographs of known source all come from one collection.

    Returns:
        `label`, `source`, `photographs` (of known source); only where the index knows two
        collections or more, for else it tells nothing.
    """
    known = index[index["source"] != ""]
    if known["source"].nunique() < 2:
        return pd.DataFrame(columns=["label", "source", "photographs"])
    sources = known.groupby("label")["source"].agg(["nunique", "first", "size"])
    rows = sources[sources["nunique"] == 1].reset_index()
    names = {"first": "source", "size": "photographs"}
    return rows.rename(columns=names)[["label", "source", "photographs"]]


def _answers(facts: np.ndarray, label: np.ndarray, folds: list, seed: int) -> np.ndarray:
    """Probabilities (N, C) of each row's classes by trees grown on the other folds."""
    from sklearn.ensemble import ExtraTreesClassifier

    answers = np.zeros((len(label), label.max() + 1))
    for train, held_out in folds:
        trees = ExtraTreesClassifier(
            TREES, min_samples_leaf=3, class_weight="balanced", random_state=seed
        )
        trees.fit(facts[train], label[train])
        answers[held_out] = trees.predict_proba(facts[held_out])
    return answers
