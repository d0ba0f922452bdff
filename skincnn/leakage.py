"""Related photographs on both sides of a split: how many there are, and a guard that refuses them.

index = splits.grouped(index, k=5)
leakage.assert_none(index, fold=0)
"""

from collections.abc import Sequence

import pandas as pd

from skincnn import splits
from skincnn.splits import SHARED

NAMED = 3  # pairs an error names; its `pairs` has all of them


class LeakageError(ValueError):
    """Photographs that should be apart are not; `pairs` lists them (see `assert_none`)."""

    def __init__(self, message: str, pairs: pd.DataFrame):
        super().__init__(message)
        self.pairs = pairs


def siblings(index: pd.DataFrame, fold: int = 0) -> pd.DataFrame:
    """Held-out photographs with a sibling in training: same photograph, copy, lesion or patient.

    Returns:
        One row a held-out photograph: `file`, `label`, `siblings` (training rows of its group).
    """
    trained = splits.training(index, fold)["group"].value_counts()
    rows = splits.held_out(index, fold)
    counts = rows["group"].map(trained).fillna(0).astype(int)
    return rows[["file", "label"]].assign(siblings=counts)[counts > 0].reset_index(drop=True)


def assert_none(index: pd.DataFrame, fold: int = 0, shared: Sequence[str] = (*SHARED,)):
    """Refuse a split in which a held-out photograph has a relative among those that train.

    The held-out fold is compared with everything else that takes part, the inner part with what
    trains. A column the index does not have is not compared.

    Args:
        index: with `fold`, and `inner` where there is one.
        fold: the one that is held out.
        shared: what counts, keys of `splits.SHARED`; by default all of it.

    Raises:
        LeakageError: there are such pairs. The message has their number and names the first; its
            `pairs` has a row each: `held_out`, `training` (files), `shares` (keys, by comma).
        ValueError: no such fold, or a key that is not in `splits.SHARED`.
    """
    splits.check_fold(index, fold)
    if unknown := [name for name in shared if name not in SHARED]:
        raise ValueError(f"shared={unknown[0]!r}: choose of {', '.join(SHARED)}")
    rows = splits.with_origin(index)
    trained, outer = splits.trains(rows, fold), (rows["fold"] == fold).fillna(False).astype(bool)
    chooses = rows["inner"].astype(bool) if "inner" in rows else outer & False
    pairs = pd.concat(
        [
            _pairs(rows[outer], rows[trained | chooses], shared),
            _pairs(rows[chooses], rows[trained], shared),
        ],
        ignore_index=True,
    )
    if not len(pairs):
        return
    named = [f"{a} ← {b} ({what})" for a, b, what in pairs.head(NAMED).itertuples(index=False)]
    more = f" … and {len(pairs) - NAMED:,} more" if len(pairs) > NAMED else ""
    raise LeakageError(
        f"fold {fold}: {len(pairs):,} pairs of held-out ← training rows are related: "
        f"{'; '.join(named)}{more}. Split with `splits.grouped`, on the index of `audit.clean`, "
        "and make copies after it",
        pairs,
    )


# --- underneath ----------------------------------------------------------------------------------


def _pairs(held: pd.DataFrame, others: pd.DataFrame, shared: Sequence[str]) -> pd.DataFrame:
    """Every related pair of a row of `held` and one of `others`, with what they share."""
    found = []
    for name in shared:
        column = SHARED[name]
        if column in held:
            sides = [
                rows.loc[rows[column].notna() & (rows[column] != ""), ["file", column]]
                for rows in (held, others)
            ]
            found.append(sides[0].merge(sides[1], on=column)[["file_x", "file_y"]].assign(by=name))
    table = pd.concat(found, ignore_index=True).rename(
        columns={"file_x": "held_out", "file_y": "training", "by": "shares"}
    )
    return table.groupby(["held_out", "training"], sort=False, as_index=False).agg(", ".join)
