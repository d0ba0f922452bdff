"""Classes under other names: an outside set's labels as ours, several classes counted as one."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from skincnn import labels
from skincnn.predictions import (
    FACTS,
    PredictionsError,
    classes,
    csv_rows,
    probability_columns,
    rounded,
)

if TYPE_CHECKING:
    import pandas as pd


def read(path: str | Path) -> dict[str, str]:
    """Read a table of `from,to`: labels of an outside set, and the classes they mean here.

    Several labels may mean one class; one with an empty `to` is left out of the table. Codes
    (`nv`) and names (`nevus`) of the nine diagnoses are the same.

    Returns:
        Label of theirs -> class of ours, or "".

    Raises:
        PredictionsError: no such file, no such columns, or a label that stands there twice.
    """
    path = Path(path)
    header, rows, lines = csv_rows(path)
    if not {"from", "to"} <= set(header):
        raise PredictionsError(f"{path}, line 1: needs columns from and to (has {header})")
    source, target = header.index("from"), header.index("to")
    mapping = {}
    for row, line in zip(rows, lines, strict=True):
        name = labels.name(row[source])
        if name in mapping:
            raise PredictionsError(f"{path}, line {line}: {row[source]!r} stands there twice")
        mapping[name] = labels.name(row[target])
    return mapping


def merged(frame: "pd.DataFrame", mapping: Mapping[str, str]) -> "pd.DataFrame":
    """The table with several classes counted as one: labels by their new names, probabilities
    added up.

    Args:
        mapping: every class of the table -> what it becomes, as `labels.as_two` gives it.

    Raises:
        ValueError: a class is not in the mapping, or all become one.

    Example:
        >>> two = class_maps.merged(nine, labels.as_two(predictions.classes(nine)))
    """
    own = classes(frame)
    if missing := [name for name in own if name not in mapping]:
        raise ValueError(f"the mapping says nothing of {', '.join(missing)}")
    names = sorted({mapping[name] for name in own})
    if len(names) < 2:
        raise ValueError(f"every class becomes {names[0]!r}: nothing is left to tell apart")
    probabilities = frame[probability_columns(frame)].to_numpy(np.float64)
    adds = np.array([[mapping[name] == new for new in names] for name in own], float)
    table = frame[FACTS].assign(label=frame["label"].map(mapping))
    table[[labels.column(name) for name in names]] = rounded(probabilities @ adds)
    return table
