"""Who trains and who is held out: the columns `fold` and `inner` of the index.

`fold` is a nullable integer: `k` ≥ 0 is held out in fold k, −1 trains in every fold, and a missing
value takes no part (the published Test folder, files set aside). `inner` is true for the part of
one fold's training rows that `inner` set apart to choose with: epoch, temperature, thresholds. It
belongs to that fold alone. Augmented copies stand where their source stands.

    index, _ = audit.clean(data.load("isic9"))
    index = splits.inner(splits.grouped(index, k=5), fold=0)
    leakage.assert_none(index, fold=0)
"""

import numpy as np
import pandas as pd

from skincnn import data, relatives

# What two photographs can share, most telling first, and the column that says so. `origin` is
# worked out here: an added copy's is its `augmented_from`, a photograph's its own `file`.
SHARED = {
    "copy": "origin",
    "bytes": "sha256",
    "image": "image_id",
    "cluster": "cluster",
    "lesion": "lesion_id",
    "patient": "patient_id",
    "group": "group",
}
SIZES = (2, 5, 20)  # photographs a group from which it is of another size


def published(index: pd.DataFrame, fraction: float = 0.2, seed: int = 123) -> pd.DataFrame:
    """The 80:20 split of the published recipe, file for file; it is NOT free of leakage.

    What `keras.utils.image_dataset_from_directory(..., validation_split=0.2, seed=123)` does: the
    Train folder's files in order of class and name, shuffled, the last fifth held out. It splits
    files, so duplicates, photographs of one lesion and augmented copies present in the index
    stand on both sides (`leakage.siblings` lists them). Use it to compare with published figures
    only. A set in shards is split by whole shards, as its published pipelines do: patients
    straddle them.

    Args:
        index: from `data.load`, with or without added copies.
        fraction: share of the usable Train photographs to hold out, in (0, 1).
        seed: of the shuffle.

    Returns:
        The index with `fold`: 0 held out, −1 training, missing for Test and for files set aside.

    Raises:
        ValueError: fraction out of range, or a part would be empty.
    """
    _check_fraction(fraction)
    rows = index[(index["split"] == "train") & (index["problem"] == "")]
    if "shard" in index:
        return _by_shard(index, rows, fraction, seed)
    order = rows.sort_values(["label", "file"]).index.to_numpy(copy=True)
    np.random.RandomState(seed).shuffle(order)  # the generator Keras uses, for the same files
    held_out = int(fraction * len(order))
    if not 0 < held_out < len(order):
        raise ValueError(f"{len(order)} usable training photographs are too few to split")
    fold = pd.Series(pd.NA, index=index.index, dtype="Int64")
    fold[order] = -1
    fold[order[len(order) - held_out :]] = 0
    return index.assign(fold=fold)


def grouped(index: pd.DataFrame, k: int = 5, seed: int = 0, by_size: bool = False) -> pd.DataFrame:
    """Folds stratified by class in which nothing related stands in two: no cluster of duplicates,
    no lesion, no patient, no copy away from its source.

    Connected pieces of related photographs are dealt out whole, the largest first, each to the fold
    that keeps the classes most even: where it adds least to the sum, over classes, of the squared
    shares of that class. Every usable row takes part, whichever published folder it came from: give
    it the clean index (`audit.clean`), which has each photograph once.

    Args:
        index: with any of the columns that say what is related (see `SHARED`).
        k: folds, at least 2.
        seed: decides among equals; same rows and seed, same folds, whatever the rows' order.
        by_size: keep the folds even in how many photographs a group has, too (`SIZES`): where
            groups are patients, one fold would else get those with few.

    Returns:
        The index with `fold` 0…k−1, missing for files set aside. A copy has its source's fold, and
        would be held out with it: to score photographs only, copy after the split (`balance.add`
        with its `fold`). `fingerprint` tells whether two such splits are the same.

    Raises:
        ValueError: k < 2, a class with fewer groups than folds (named, with its groups), or one so
            entangled with others that a fold is left without it.

    Example:
        >>> folds = splits.grouped(data.load("sample"), k=5)
        >>> pd.crosstab(folds["label"], folds["fold"])
    """
    if k < 2:
        raise ValueError(f"k={k!r}: must be at least 2 folds")
    rows = data.usable(index)
    counts = _pieces(rows)
    groups = (counts > 0).sum()
    if groups.min() < k:
        raise ValueError(
            f"class {groups.idxmin()!r} has {groups.min()} groups of related photographs, fewer "
            f"than k={k} folds: use fewer folds, or leave the class out"
        )
    # scikit-learn's StratifiedGroupKFold deals as evenly (no class differs by more than one between
    # folds, either way, on the nine-class set and HAM10000), in four times the time. Ours needs no
    # scikit-learn and does not move with it: a published figure's folds must come out again.
    fold_of = dict(zip(counts.index, deal(counts.to_numpy(), k, seed, by_size), strict=True))
    held = counts.groupby(fold_of).sum().reindex(range(k), fill_value=0)
    if (held == 0).any(axis=None):
        fold, at = np.argwhere(held == 0)[0]
        label = counts.columns[at]
        raise ValueError(
            f"class {label!r}: none of its {groups[label]} groups fits into fold {fold} of {k}, "
            "they are shared with other classes; use fewer folds"
        )
    fold = _by_file(index, rows["file"], rows["piece"].map(fold_of), "Int64")
    return index.drop(columns="inner", errors="ignore").assign(fold=fold)


def deal(counts: np.ndarray, k: int, seed: int = 0, by_size: bool = False) -> np.ndarray:
    """Deal groups out to `k` parts so that each class is spread evenly over them.

    Args:
        counts: (groups, classes), photographs of each.
        k: parts.
        seed: decides among equals.
        by_size: as for `grouped`.

    Returns:
        The part of each group, int (groups,).
    """
    sizes = counts.sum(axis=1)
    if by_size:
        kind = np.searchsorted(SIZES, sizes, side="right")
        counts = np.hstack([counts, np.eye(len(SIZES) + 1, dtype=int)[kind] * sizes[:, None]])
        counts = counts[:, counts.any(axis=0)]
    order = _shuffled(len(counts), seed)
    order = order[np.argsort(-sizes[order], kind="stable")]
    per_class = counts.sum(axis=0)
    held, total = np.zeros((k, counts.shape[1])), np.zeros(k)
    part = np.zeros(len(counts), int)
    for at in order:
        adds = counts[at]
        cost = ((2 * held + adds) * adds / per_class**2).sum(axis=1)
        best = np.lexsort((np.arange(k), total, cost.round(12)))[0]
        held[best] += adds
        total[best] += sizes[at]
        part[at] = best
    return part


def inner(index: pd.DataFrame, fold: int, fraction: float = 0.12, seed: int = 0) -> pd.DataFrame:
    """Set apart a share of one fold's training rows, by class and by whole groups, to choose with.

    Early stopping, temperature, thresholds and every other choice use these rows (`validation`), so
    the held-out fold is predicted once and chooses nothing. Groups are drawn at random; a rare
    class gives at least one where it has two, and always keeps one to train on.

    Args:
        index: with `fold`, from `grouped`.
        fold: the one that is held out.
        fraction: of each class's training rows, in (0, 1).
        seed: of the draw, together with the fold.

    Returns:
        The index with `inner`, true for the rows set apart. `training` leaves them out.

    Raises:
        ValueError: fraction out of range, no such fold, or no class has two groups to part.
    """
    _check_fraction(fraction)
    check_fold(index, fold)
    rows = index[index["fold"].notna() & index["fold"].ne(fold).fillna(True)].copy()
    table = _pieces(rows)
    counts, per_class = table.to_numpy(), table.to_numpy().sum(axis=0)
    several = (counts > 0).sum(axis=0) > 1
    goal = np.where(several, np.clip(np.rint(fraction * per_class), 1, per_class - 1), 0)
    held, taken = np.zeros(len(per_class)), np.zeros(len(counts), bool)
    order = _shuffled(len(counts), seed, fold)
    for at in order:
        if np.all((held + counts[at] <= goal) | (counts[at] == 0)):
            held, taken[at] = held + counts[at], True
    # a class whose every group is larger than its share: the smallest that leaves one to train
    for c in np.flatnonzero((goal > 0) & (held == 0)):
        of_class = [at for at in order if counts[at, c]]
        for at in sorted(of_class, key=lambda at: counts[at].sum()):
            if np.all((held + counts[at] < per_class) | (counts[at] == 0)):
                held, taken[at] = held + counts[at], True
                break
    if not taken.any():
        raise ValueError(f"fold {fold}: no class has two groups in training, nothing to set apart")
    chosen = rows["piece"].map(dict(zip(table.index, taken, strict=True)))
    return index.assign(inner=_by_file(index, rows["file"], chosen, "boolean").fillna(False))


def trains(index: pd.DataFrame, fold: int = 0) -> pd.Series:
    """Which rows train when `fold` is held out, as booleans."""
    rows = index["fold"].notna() & index["fold"].ne(fold).fillna(False).astype(bool)
    return rows & ~index["inner"].astype(bool) if "inner" in index else rows


def training(index: pd.DataFrame, fold: int = 0) -> pd.DataFrame:
    """The rows that train when `fold` is held out."""
    return index[trains(index, fold)].reset_index(drop=True)


def validation(index: pd.DataFrame, fold: int = 0) -> pd.DataFrame:
    """The rows that choose the epoch: the inner part, or, where none was set apart, the held-out
    rows, as in the published recipes."""
    if "inner" not in index:
        return held_out(index, fold)
    return index[index["inner"].astype(bool)].reset_index(drop=True)


def held_out(index: pd.DataFrame, fold: int = 0) -> pd.DataFrame:
    """The rows held out in `fold`."""
    return index[(index["fold"] == fold).fillna(False)].reset_index(drop=True)


def test(index: pd.DataFrame) -> pd.DataFrame:
    """The published Test folder's usable rows, where the split leaves it aside."""
    rows = (index["split"] == "test") & (index["problem"] == "") & index["fold"].isna()
    return index[rows].reset_index(drop=True)


def fingerprint(index: pd.DataFrame) -> str:
    """SHA-256 of who is in the index, under which name, in which fold and which part of it."""
    columns = ["file", "label", "fold", "inner"]
    return data.fingerprint(index, [name for name in columns if name in index])


def with_origin(index: pd.DataFrame) -> pd.DataFrame:
    """The index with the column `origin` of `SHARED`."""
    origin = index["file"]
    if "augmented_from" in index:
        origin = index["augmented_from"].where(index["augmented_from"] != "", origin)
    return index.assign(origin=origin)


def check_fold(index: pd.DataFrame, fold: int) -> None:
    """Raise a ValueError that lists the folds there are, where `fold` is none of them."""
    folds = sorted(int(k) for k in index["fold"].dropna().unique() if k >= 0)
    if fold not in folds:
        raise ValueError(f"fold={fold!r}: this index has {folds}")


# --- underneath ----------------------------------------------------------------------------------


def _pieces(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows by piece and class, (pieces, classes), in order of name; sets `piece` in `rows`.

    A piece is named after its first file in order, so the order of the rows does not matter.
    """
    ordered = with_origin(rows).sort_values("file")
    rows["piece"] = pd.Series(relatives.groups(ordered, (*SHARED.values(),)), ordered.index)
    return pd.crosstab(rows["piece"], rows["label"]).sort_index()


def _by_shard(index, rows: pd.DataFrame, fraction: float, seed: int) -> pd.DataFrame:
    """Whole shards held out, as many as come nearest to the share, but at least one."""
    numbers = np.unique(rows["shard"])
    held_out = max(1, round(fraction * len(numbers)))
    if held_out == len(numbers):
        raise ValueError(f"{len(numbers)} shards are too few to hold {fraction:.0%} of them out")
    np.random.RandomState(seed).shuffle(numbers)
    fold = pd.Series(pd.NA, index=index.index, dtype="Int64")
    fold[rows.index] = np.where(rows["shard"].isin(numbers[-held_out:]), 0, -1)
    return index.assign(fold=fold)


def _shuffled(n: int, *seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(n)


def _by_file(index: pd.DataFrame, files: pd.Series, values: pd.Series, dtype: str) -> pd.Series:
    """Values known for some files, as a column of the index; missing elsewhere."""
    return index["file"].map(dict(zip(files, values, strict=True))).astype(dtype)


def _check_fraction(fraction: float) -> None:
    if not 0 < fraction < 1:
        raise ValueError(f"fraction={fraction!r}: must lie between 0 and 1")
