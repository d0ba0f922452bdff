"""Which subgroup each prediction belongs to, from a table of facts about the photographs."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from skincnn.predictions import text

if TYPE_CHECKING:
    import pandas as pd

UNKNOWN = "unknown"
# What tables write for a fact they do not have, in small letters; −1 in the archive's records.
MISSING = frozenset({"", "nan", "none", "na", "n/a", "unknown", "-1", "-1.0"})
MOST = 50  # more different values than this are no subgroups but an identity, or a measurement


def of(frame: "pd.DataFrame", facts: "pd.DataFrame", column: str) -> "pd.Categorical":
    """The subgroup of each row of a table of predictions.

    Args:
        frame: a table of predictions.
        facts: one row a photograph: the column and `file`, by which it is joined; where it has no
            `file`, or not one of the table's, `image_id`.
        column: its name. `age` and `age_…` (years) fall into decades; other values stay as they
            are. Missing ones are the subgroup `unknown`.

    Returns:
        Categories in order, `unknown` last.

    Raises:
        ValueError: as `told`; or more than 50 different values.
    """
    import pandas as pd

    found = told(frame, facts, column)
    if column == "age" or column.startswith("age_"):
        return _decades(found, column)
    names = np.asarray(found.dropna().unique(), dtype=object)
    if len(names) > MOST:
        raise ValueError(f"{column} has {len(names)} different values: not a subgroup (≤ {MOST})")
    numbers = pd.to_numeric(pd.Series(names), errors="coerce").to_numpy(np.float64)
    order = np.argsort(numbers if np.isfinite(numbers).all() else names, kind="stable")
    return _categories(found, names[order])


def told(frame: "pd.DataFrame", facts: "pd.DataFrame", column: str) -> "pd.Series":
    """What the facts say of each row of a table of predictions, as text, missing where unknown.

    Arguments are those of `of`.

    Raises:
        ValueError: no such column, nothing to join by, or a photograph that the facts do not have
            or have twice with different values.
    """
    import pandas as pd

    if column not in facts:
        raise ValueError(f"no column {column!r} among the facts: {', '.join(facts.columns)}")
    key = _key(frame, facts)
    pairs = pd.DataFrame({"key": text(facts[key]), "value": text(facts[column])})
    pairs = pairs[pairs["key"] != ""].drop_duplicates()
    wanted = text(frame[key])
    pairs = pairs[pairs["key"].isin(wanted)]
    twice = pairs["key"].duplicated()
    if twice.any():
        raise ValueError(
            f"{key} {pairs['key'][twice].iloc[0]!r} has more than one {column} among the facts"
        )
    known = np.isin(wanted, pairs["key"])
    if not known.all():
        at = int(np.argmin(known))
        raise ValueError(
            f"prediction {at + 1}: {key} {wanted[at]!r} is not among the facts "
            f"({int((~known).sum())} such predictions)"
        )
    found = pd.Series(wanted).map(pairs.set_index("key")["value"]).str.strip()
    return found.mask(found.str.lower().isin(MISSING))


def read(path: str | Path) -> "pd.DataFrame":
    """A CSV of facts, all as text, empty where unknown.

    Raises:
        ValueError: no such file, or no table.
    """
    import pandas as pd

    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror or error}") from None
    except ValueError as error:  # no table, or no UTF-8
        raise ValueError(f"{path}: not a CSV file in UTF-8: {error}") from None


def _key(frame: "pd.DataFrame", facts: "pd.DataFrame") -> str:
    # An index of another copy of the set spells the files otherwise; the ids are the same.
    if "file" in facts and ("image_id" not in facts or frame["file"].isin(facts["file"]).any()):
        return "file"
    if "image_id" in facts:
        return "image_id"
    raise ValueError(f"the facts have neither file nor image_id: {', '.join(facts.columns)}")


def _decades(found: "pd.Series", column: str) -> "pd.Categorical":
    import pandas as pd

    years = pd.to_numeric(found, errors="coerce")
    wrong = (found.notna() & ~years.between(0, 150)).to_numpy()
    if wrong.any():
        raise ValueError(f"{column} is {found[wrong].iloc[0]!r}: not an age in years")
    first = (years // 10 * 10).astype("Int64")
    bands = first.map(lambda year: f"{year}–{year + 9}", na_action="ignore")
    return _categories(bands, [f"{year}–{year + 9}" for year in sorted(first.dropna().unique())])


def _categories(found: "pd.Series", order) -> "pd.Categorical":
    import pandas as pd

    return pd.Categorical(
        found.astype(object).where(found.notna(), UNKNOWN), categories=[*order, UNKNOWN]
    )
