"""Several runs as one: their predictions averaged, from files alone. No model, no TensorFlow."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from skincnn import atomic, evaluate, predictions, runs

if TYPE_CHECKING:
    import pandas as pd

HOWS = ("mean", "rank", "weighted")
PULL = 0.02  # nats that a weight of one instead of equal shares must gain on the inner part


def combine(
    tables: "Sequence[pd.DataFrame]",
    how: str = "mean",
    inner: "Sequence[pd.DataFrame] | None" = None,
) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """One table of predictions from several of the same photographs.

    Args:
        tables: predictions of the same photographs, labels, folds and classes; seeds of one run are
            averaged first.
        how: `mean` of the probabilities; `rank`: mean of each class's ranks within a fold, which
            knows nothing of how sure a network is; `weighted`: means with weights chosen for each
            fold on its own inner part.
        inner: for `weighted`, each run's predictions of the inner parts (`predictions_inner.csv`,
            or those of all folds, `fold` saying whose), in the order of `tables`.

    Returns:
        The table, with the lowest seed, and the weights: a row a fold, a column a run.

    Raises:
        ValueError: fewer than two tables, an unknown `how`, tables that do not belong together.
    """
    import pandas as pd

    if how not in HOWS:
        raise ValueError(f"how={how!r}: choose one of {', '.join(HOWS)}")
    if len(tables) < 2:
        raise ValueError("an ensemble needs two tables of predictions or more")
    if how == "weighted" and (inner is None or len(inner) != len(tables)):
        raise ValueError("weights are chosen on inner parts: give their table for each run")
    stacked, first = _stacked(tables)
    folds = first["fold"].fillna(-1).to_numpy(int)
    weights = pd.DataFrame(1 / len(tables), index=sorted(set(folds)), columns=range(len(tables)))
    if how == "weighted":
        chosen_on, rows = _stacked(inner)
        for fold in weights.index:
            here = (rows["fold"] == fold).fillna(False).to_numpy(bool)
            if not here.any():
                raise ValueError(f"fold {fold} has no inner part to choose weights on")
            weights.loc[fold] = _choose(chosen_on[:, here], predictions.answers(rows[here])[0])
    if how == "rank":
        for fold in weights.index:
            stacked[:, folds == fold] = _ranks(stacked[:, folds == fold])
    share = weights.loc[folds].to_numpy().T  # (runs, N)
    mixed = (share[:, :, None] * stacked).sum(axis=0)
    return predictions.replaced(first, mixed / mixed.sum(axis=1, keepdims=True)), weights


def save(folders: "Sequence[Path]", out: Path, how: str = "mean") -> "pd.DataFrame":
    """Combine runs or cross-validations and keep the result as a run: `predictions.csv`,
    `metrics.json`, and `config.json` with the members.

    Args:
        folders: of the members.
        out: where the files go.
        how: as for `combine`; `weighted` needs the members' inner parts.

    Returns:
        The weights: a row a fold, a column a member.

    Raises:
        ValueError: see `combine`; a member's file is missing or damaged, stands twice, or is an
            ensemble.
    """
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise ValueError("a member stands there twice")
    members = [runs.Run(folder) for folder in folders]
    if nested := next((m.folder for m in members if "members" in m.info), None):
        raise ValueError(f"{nested} is an ensemble itself: give its members in its place")
    inner = [inner_parts(folder) for folder in folders] if how == "weighted" else None
    table, weights = combine([member.predictions for member in members], how, inner)
    first = members[0].info
    where = [os.path.relpath(folder, out) for folder in folders]
    weights.columns = [Path(place).name for place in where]
    about = {
        "members": [
            {
                "folder": Path(place).as_posix(),
                "weights": {str(fold): round(w, 4) for fold, w in weights.iloc[:, at].items()},
                "config": member.info["config"],
            }
            for at, (place, member) in enumerate(zip(where, members, strict=True))
        ],
        "how": how,
        "classes": first["classes"],
        "data": first["data"],
        "versions": first.get("versions", {}),
    }
    atomic.write_json(out / "config.json", about)
    predictions.write(table, out / "predictions.csv")
    # from the file, as anyone else would
    atomic.write_json(
        out / "metrics.json", evaluate.metrics(predictions.read(out / "predictions.csv"))
    )
    return weights


def inner_parts(folder: str | Path) -> "pd.DataFrame":
    """The inner predictions of a run or of a cross-validation's folds, `fold` saying whose.

    Raises:
        ValueError: there are none in the folder.
    """
    import pandas as pd

    folder = Path(folder)
    files = sorted(folder.glob("folds/*_inner.csv")) or sorted(folder.glob("*_inner.csv"))
    if not files:
        raise ValueError(f"{folder}: no predictions of inner parts (…_inner.csv)")
    return pd.concat([predictions.read(file) for file in files], ignore_index=True)


# --- underneath ----------------------------------------------------------------------------------


def _stacked(tables) -> "tuple[np.ndarray, pd.DataFrame]":
    """Probabilities (runs, N, C) and the facts of the rows, in one order."""
    columns = predictions.probability_columns(tables[0])
    key, means = ["file", "label", "fold"], []
    for number, table in enumerate(tables):
        if predictions.probability_columns(table) != columns:
            raise ValueError(f"table {number + 1} is of other classes than the first")
        table = table.assign(fold=table["fold"].fillna(-1).astype(int))
        means.append(table.groupby(key)[columns].mean())
    for number, mean in enumerate(means[1:], start=2):
        if not mean.index.equals(means[0].index):
            apart = mean.index.symmetric_difference(means[0].index)[0]
            raise ValueError(
                f"table {number} is not of the photographs, labels and folds of the first: "
                f"{apart[0]!r} differs"
            )
    first = tables[0].assign(sort=tables[0]["fold"].fillna(-1).astype(int))
    first = first.sort_values(["file", "label", "sort", "seed"])
    first = first.drop_duplicates(["file", "label", "sort"]).drop(columns="sort")
    return np.stack([mean.to_numpy() for mean in means]), first.reset_index(drop=True)


def _choose(stacked: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Shares with the lowest mean logarithmic loss, drawn a little to equal ones."""
    from scipy.optimize import minimize

    right = stacked[:, np.arange(len(truth)), truth]  # (runs, N)
    n = len(right)

    def cost(x: np.ndarray) -> float:
        share = np.exp(x - x.max())
        share /= share.sum()
        loss = -np.log(np.maximum(share @ right, predictions.SMALLEST)).mean()
        return loss + PULL * ((share - 1 / n) ** 2).sum()

    best = minimize(cost, np.zeros(n), method="L-BFGS-B").x
    share = np.exp(best - best.max())
    return share / share.sum()


def _ranks(stacked: np.ndarray) -> np.ndarray:
    """Each run's and class's probabilities as their ranks, in (0, 1]."""
    from scipy.stats import rankdata

    return rankdata(stacked, axis=1) / stacked.shape[1]
