"""Three scoreboards, always shown together: what one network's figures are worth.

1. `official`: the published Test folder as it is.
2. `fair`: the part of it that shares no photograph and no known lesion with Train, and whose name
   no official diagnosis contradicts. Both use a network trained on Train alone.
3. `cross-validation`: every photograph of the clean index, by grouped folds. The headline.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from skincnn import audit, config, evaluate, labels, official, relatives
from skincnn import predictions as tables
from skincnn.scores import wilson

if TYPE_CHECKING:
    import pandas as pd

BOARDS = ("official", "fair", "cross-validation")


def boards(
    test_predictions: "pd.DataFrame", audit_index: "pd.DataFrame", cv_predictions: "pd.DataFrame"
) -> "pd.DataFrame":
    """The three boards as one table.

    Args:
        test_predictions: of the published Test folder, by a network trained on Train alone
            (`predictions_test.csv`).
        audit_index: `audit.run(index).index`: every usable photograph, with `official_label` and
            `group`, clusters joined in.
        cv_predictions: out-of-fold, of a cross-validation on the clean index.

    Returns:
        A row a board (index `board`): `n` photographs; `classes`, how many have any, and `missing`,
        the names of those that have none (by comma); `accuracy` with `accuracy_low` and
        `accuracy_high`: Wilson intervals for the small Test boards (`wilson`), else the cluster
        bootstrap's; `balanced_accuracy` with `_low` and `_high`, the cluster bootstrap's. Both are
        0…1, at 95 %; None where there is no interval.

    Raises:
        ValueError: a Test prediction is of a file that the index does not have as a Test
            photograph, or no Test photograph is fair.
    """
    import pandas as pd

    test = _with_groups(test_predictions, audit_index)
    fair = test[test["file"].isin(fair_test(audit_index)["file"])]
    if not len(fair):
        raise ValueError("no photograph of Test is free of relatives in Train and rightly named")
    every = sorted({*tables.classes(test_predictions), *tables.classes(cv_predictions)})
    rows = [
        _row(test, every, of_test=True),
        _row(fair, every, of_test=True),
        _row(cv_predictions, every, of_test=False),
    ]
    return pd.DataFrame(rows, index=pd.Index(BOARDS, name="board"))


def fair_test(audit_index: "pd.DataFrame") -> "pd.DataFrame":
    """The Test photographs that have no relative in Train and no name that is officially wrong.

    A relative is anything of the same `group`: the same or nearly the same photograph, one of the
    same lesion or patient, and whatever those are related to.
    """
    in_train = set(audit_index.loc[audit_index["split"] == "train", "group"])
    test = audit_index[audit_index["split"] == "test"]
    names = zip(test["label"], test["official_label"], strict=True)
    right = np.array([not official.contradicts(label, said) for label, said in names], bool)
    return test[right & ~test["group"].isin(in_train)].reset_index(drop=True)


def saved(folder: "str | Path", name: str = "isic9") -> "dict[str, pd.DataFrame]":
    """The boards of every network that `experiments.scoreboards` left in a folder.

    No photograph is needed: who is related to whom stands in the committed audit (`audited`).

    Args:
        folder: with `<preset>/predictions_test.csv` and `<preset>_cv/predictions.csv`.
        name: of the set.

    Returns:
        Preset -> `boards`, in order of the presets' names, of those that have both files.
    """
    found = {}
    for cv in sorted(Path(folder).glob("*_cv/predictions.csv")):
        preset = cv.parent.name.removesuffix("_cv")
        test = cv.parent.with_name(preset) / "predictions_test.csv"
        if test.is_file():
            found[preset] = boards(tables.read(test), audited(name), tables.read(cv))
    return found


def audited(name: str = "isic9") -> "pd.DataFrame":
    """What the committed audit says of each photograph: the facts of the nine-class set
    (`official.facts_file`) with `cluster` from the audit's `pairs.csv`, and `group`.

    It is `audit.run(index).index` in the columns that the boards ask for, without a photograph.
    """
    import pandas as pd

    index = pd.read_csv(official.facts_file(), dtype=str, keep_default_na=False)
    pairs = pd.read_csv(config.runs_dir() / f"{name}_audit" / "pairs.csv")
    index["cluster"] = audit.clusters(index, pairs)
    return index.assign(group=relatives.groups(index))


def _with_groups(test: "pd.DataFrame", audit_index: "pd.DataFrame") -> "pd.DataFrame":
    """The table with the audit's groups, which know of duplicates."""
    rows = audit_index[audit_index["split"] == "test"]
    group = test["file"].map(dict(zip(rows["file"], rows["group"], strict=True)))
    if group.isna().any():
        unknown = test["file"][group.isna()].iloc[0]
        raise ValueError(f"{unknown!r} is predicted, but no Test photograph of the index given")
    return test.assign(group=group)


def _row(table: "pd.DataFrame", every: list[str], of_test: bool) -> dict:
    metrics = evaluate.metrics(table)
    accuracy, balanced = metrics["accuracy"], metrics["balanced_accuracy"]
    low, high = accuracy["low"], accuracy["high"]
    if of_test:
        low, high = wilson(accuracy["value"], metrics["n_files"])
    present = {labels.column(name) for name in table["label"]}
    missing = [name for name in every if labels.column(name) not in present]
    return {
        "n": metrics["n_files"],
        "classes": len(every) - len(missing),
        "missing": ", ".join(missing),
        "accuracy": accuracy["value"],
        "accuracy_low": low,
        "accuracy_high": high,
        "balanced_accuracy": balanced["value"],
        "balanced_accuracy_low": balanced["low"],
        "balanced_accuracy_high": balanced["high"],
    }
