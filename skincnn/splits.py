"""Who trains and who is held out: the column `fold` of the index.

`fold` is a nullable integer: `k` ≥ 0 is held out in fold k, −1 trains in every fold, and a missing
value takes no part (the published Test folder, files set aside).
"""

import numpy as np
import pandas as pd

from skincnn import data


def published(index: pd.DataFrame, fraction: float = 0.2, seed: int = 123) -> pd.DataFrame:
    """The 80:20 split of the published recipe, file for file; it is NOT free of leakage.

    What `keras.utils.image_dataset_from_directory(..., validation_split=0.2, seed=123)` does: the
    Train folder's files in order of class and name, shuffled, the last fifth held out. It splits
    files, so duplicates, photographs of one lesion and augmented copies present in the index
    stand on both sides (`leaks` lists them). Use it to compare with published figures only.

    Args:
        index: from `data.load`, with or without added copies.
        fraction: share of the usable Train photographs to hold out, in (0, 1).
        seed: of the shuffle.

    Returns:
        The index with `fold`: 0 held out, −1 training, missing for Test and for files set aside.

    Raises:
        ValueError: fraction out of range, or a part would be empty.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction={fraction!r}: must lie between 0 and 1")
    rows = index[(index["split"] == "train") & (index["problem"] == "")]
    order = rows.sort_values(["label", "file"]).index.to_numpy(copy=True)
    np.random.RandomState(seed).shuffle(order)  # the generator Keras uses, for the same files
    held_out = int(fraction * len(order))
    if not 0 < held_out < len(order):
        raise ValueError(f"{len(order)} usable training photographs are too few to split")
    fold = pd.Series(pd.NA, index=index.index, dtype="Int64")
    fold[order] = -1
    fold[order[len(order) - held_out :]] = 0
    return index.assign(fold=fold)


def training(index: pd.DataFrame, fold: int = 0) -> pd.DataFrame:
    """The rows that train when `fold` is held out."""
    return index[index["fold"].notna() & (index["fold"] != fold)].reset_index(drop=True)


def held_out(index: pd.DataFrame, fold: int = 0) -> pd.DataFrame:
    """The rows held out in `fold`."""
    return index[(index["fold"] == fold).fillna(False)].reset_index(drop=True)


def test(index: pd.DataFrame) -> pd.DataFrame:
    """The published Test folder's usable rows, where the split leaves it aside."""
    rows = (index["split"] == "test") & (index["problem"] == "") & index["fold"].isna()
    return index[rows].reset_index(drop=True)


def leaks(index: pd.DataFrame, fold: int = 0) -> pd.DataFrame:
    """Held-out photographs with a sibling in training: same photograph, copy, lesion or patient.

    Returns:
        One row a held-out photograph: `file`, `label`, `siblings` (training rows of its group).
    """
    siblings = training(index, fold)["group"].value_counts()
    rows = held_out(index, fold)
    counts = rows["group"].map(siblings).fillna(0).astype(int)
    return rows[["file", "label"]].assign(siblings=counts)[counts > 0].reset_index(drop=True)


def fingerprint(index: pd.DataFrame) -> str:
    """SHA-256 of who is in the index, under which name, in which fold."""
    return data.fingerprint(index, ["file", "label", "fold"])
