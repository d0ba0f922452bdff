"""The table of predictions, `predictions.csv`: build, check, read and write it. No TensorFlow.

One row is one prediction: `file, image_id, group, label, split, fold, seed`, then one probability
column a class (`p_basal_cell_carcinoma`) in the model's class order, 6 digits, summing to 1.
`(file, seed)` is the key; `image_id`, `group`, `split` and `fold` may be empty.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from skincnn import atomic, labels

if TYPE_CHECKING:
    import pandas as pd

FACTS = ["file", "image_id", "group", "label", "split", "fold", "seed"]
DIGITS = 6
# Six digits write anything below half a millionth as 0; its logarithm would be minus infinity.
SMALLEST = 0.5 * 10**-DIGITS
TOLERANCE = 1e-3  # how far from 1 a row's probabilities may sum: float16 softmax, fewer digits


class PredictionsError(ValueError):
    """What is wrong with a table of predictions: which file, which line, which value."""


def frame(
    index_rows: "pd.DataFrame", probabilities: np.ndarray, classes: Sequence[str], seed: int
) -> "pd.DataFrame":
    """Build the table of predictions of one model.

    Probabilities are rounded here, not only on writing, so metrics of the table and metrics of the
    file it becomes are the same to the last digit.

    Args:
        index_rows: (N) rows of the index; `file` and `label` are needed, the other facts are left
            empty where the index has no such column.
        probabilities: (N, C) in 0…1, rows summing to 1, in the order of `index_rows`.
        classes: C class names in the order of the model's outputs.
        seed: of the run that made the model.

    Returns:
        The table, numbered from 0.

    Raises:
        ValueError: the shapes do not fit each other, or two classes would share a column.
        PredictionsError: a value that `read` would refuse.
    """
    import pandas as pd

    probabilities = np.asarray(probabilities, dtype=np.float64)
    if probabilities.shape != (len(index_rows), len(classes)):
        raise ValueError(
            f"probabilities have shape {probabilities.shape}: expected "
            f"({len(index_rows)}, {len(classes)}), index rows by classes"
        )
    columns = [labels.column(name) for name in classes]
    if len(set(columns)) < len(columns):
        raise ValueError(f"two classes share a probability column: {', '.join(classes)}")
    table = pd.DataFrame(index=range(len(index_rows)))
    for name in FACTS:
        table[name] = text(index_rows[name]) if name in index_rows else ""
    table["fold"] = pd.to_numeric(table["fold"]).astype("Int64")
    table["seed"] = int(seed)
    table[columns] = probabilities
    _check(table, "predictions")
    table[columns] = rounded(probabilities)
    return table


def read(path: str | Path, mapping: dict[str, str] | None = None) -> "pd.DataFrame":
    """Read and check a `predictions.csv`.

    Args:
        mapping: from the labels of an outside set to the classes of the model, as
            `class_maps.read` gives it; rows of a label that it maps to nothing are left out.

    Returns:
        The table: facts as text (empty where unknown), `fold` and `seed` whole numbers (`fold`
        missing for a test row), probabilities float64.

    Raises:
        PredictionsError: no such file, no rows, a missing column, a row of the wrong length, a
            probability that is no number or negative, a row that does not sum to 1 (± 0.001), a
            label without a probability column or, with a mapping, one that it does not have, a
            fold or seed that is no whole number, a repeated (`file`, `seed`). The message has the
            line as an editor numbers it, the header being line 1, and the value.
    """
    import pandas as pd

    path = Path(path)
    header, rows, lines = csv_rows(path)
    table = pd.DataFrame(rows, columns=header, dtype=str)
    _check_columns(table, path)
    if mapping is not None:
        said = table["label"].map(labels.name)
        if not said.isin(mapping).all():
            at = int(np.argmin(said.isin(mapping)))
            raise PredictionsError(
                f"{path}, line {lines[at]}: {table['label'][at]!r} is not in the map; give it a "
                "row with an empty `to` to leave it out"
            )
        table["label"] = said.map(mapping)
        keep = table["label"] != ""
        lines = [line for line, stays in zip(lines, keep, strict=True) if stays]
        table = table[keep].reset_index(drop=True)
        if not len(table):
            raise PredictionsError(f"{path}: the map leaves every row out")
    for name in ["fold", "seed", *probability_columns(table)]:
        numbers = pd.to_numeric(table[name], errors="coerce").astype(np.float64)
        wrong = numbers % 1 != 0 if name in FACTS else numbers.isna()
        if name == "fold":
            wrong &= table[name].str.strip() != ""
        if wrong.any():
            at = int(np.argmax(wrong))
            kind = "whole number" if name in FACTS else "number"
            raise PredictionsError(
                f"{path}, line {lines[at]}: {name} is {table[name][at]!r}, not a {kind}"
            )
        table[name] = numbers
    _check(table, path, lines)
    return table.astype({"fold": "Int64", "seed": np.int64})


def write(frame: "pd.DataFrame", path: str | Path) -> None:
    """Write the table as `predictions.csv`, whole or not at all.

    Raises:
        PredictionsError: the table holds something `read` would refuse.
    """
    path = Path(path)
    _check_columns(frame, path)
    _check(frame, path)
    columns = probability_columns(frame)
    table = frame[[*FACTS, *columns]].copy()
    table[columns] = rounded(table[columns].to_numpy(np.float64))
    with atomic.writing(path) as temporary:
        table.to_csv(temporary, index=False, float_format=f"%.{DIGITS}f", lineterminator="\n")


def classes(frame: "pd.DataFrame") -> list[str]:
    """Class names in the order of the probability columns.

    A column has lost its name's spaces. They come back from the table's own labels, then from the
    nine diagnoses; what neither knows has its underscores read as spaces.
    """
    names = {labels.column(name): name for name in [*labels.ISIC9, *frame["label"].unique()]}
    columns = probability_columns(frame)
    return [names.get(c, c.removeprefix("p_").replace("_", " ")) for c in columns]


def answers(frame: "pd.DataFrame") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True class (N), predicted class (N), probabilities (N, C); classes by their number.

    Raises:
        ValueError: the table has no rows.
    """
    import pandas as pd

    if not len(frame):
        raise ValueError("the table of predictions has no rows")
    columns = probability_columns(frame)
    code, names = pd.factorize(frame["label"])
    true = np.array([columns.index(labels.column(name)) for name in names])[code]
    probabilities = frame[columns].to_numpy(np.float64)
    return true, probabilities.argmax(axis=1), probabilities


def groups(frame: "pd.DataFrame") -> np.ndarray:
    """The number (N) of each row's group, from 0; a row without one is its own, by `file`."""
    import pandas as pd

    names = text(frame["group"])
    if (names == "").any():
        names = np.where(names == "", text(frame["file"]), names)
    return pd.factorize(names)[0]


def replaced(frame: "pd.DataFrame", probabilities: np.ndarray) -> "pd.DataFrame":
    """The same table with other probabilities (N, C), rounded as `frame` and `write` do."""
    columns = probability_columns(frame)
    return frame.assign(**dict(zip(columns, rounded(probabilities).T, strict=True)))


def probability_columns(frame: "pd.DataFrame") -> list[str]:
    """Names of the probability columns, in the model's class order."""
    return [name for name in frame.columns if name.startswith("p_")]


def text(column: "pd.Series") -> np.ndarray:
    """A column as text, with "" for unknown."""
    return column.astype(object).where(column.notna(), "").map(str).to_numpy()


def rounded(probabilities: np.ndarray) -> np.ndarray:
    """Six digits, rows summing to 1 within 1e-5; a table rounded once comes back as it is."""
    sums = probabilities.sum(axis=1, keepdims=True)
    return (probabilities / np.where(np.abs(sums - 1) > 1e-5, sums, 1)).round(DIGITS)


def csv_rows(path: Path) -> tuple[list[str], list[list[str]], list[int]]:
    """Header, rows, and the line each row stands on (pandas does not tell it).

    Raises:
        PredictionsError: no such file, no CSV in UTF-8, or a row of another length.
    """
    rows, lines = [], []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # -sig: Excel begins with a BOM
            reader = csv.reader(file)
            header = next(reader, [])
            for row in reader:
                if not row:  # a blank line
                    continue
                if len(row) != len(header):
                    sizes = f"{len(row)} values for {len(header)} columns"
                    raise PredictionsError(f"{path}, line {reader.line_num}: {sizes}")
                rows.append(row)
                lines.append(reader.line_num)
    except OSError as error:
        raise PredictionsError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise PredictionsError(f"{path}: not a CSV file in UTF-8: {error}") from None
    return header, rows, lines


# --- underneath ----------------------------------------------------------------------------------


def _check_columns(frame: "pd.DataFrame", where: str | Path) -> None:
    missing = [name for name in FACTS if name not in frame.columns]
    if not probability_columns(frame):
        missing.append("p_<class>")
    if missing:
        raise PredictionsError(
            f"{where}, line 1: no column {', '.join(missing)} (has {', '.join(frame.columns)})"
        )
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise PredictionsError(f"{where}, line 1: column {twice} stands there twice")


def _check(frame: "pd.DataFrame", where: str | Path, lines: Sequence[int] = ()) -> None:
    """Raise at the first row that does not hold; `lines` defaults to those `write` would use."""
    if not len(frame):
        raise PredictionsError(f"{where}: no predictions")
    columns = probability_columns(frame)
    values = frame[columns].to_numpy(np.float64)
    sums = values.sum(axis=1)

    def refuse(bad: np.ndarray, reason) -> None:
        if np.any(bad):
            at = int(np.argmax(bad))
            raise PredictionsError(f"{where}, line {lines[at] if lines else at + 2}: {reason(at)}")

    wrong = ~(np.isfinite(values) & (values >= 0))
    worst = wrong.argmax(axis=1)
    refuse(
        wrong.any(axis=1),
        lambda at: f"{columns[worst[at]]} is {values[at, worst[at]]}, not a probability",
    )
    refuse(
        np.abs(sums - 1) > TOLERANCE, lambda at: f"probabilities sum to {sums[at]:.6g}, not to 1"
    )
    refuse(text(frame["file"]) == "", lambda at: "file is empty: which photograph is it?")
    known = set(columns)
    refuse(
        np.array([labels.column(label) not in known for label in frame["label"]]),
        lambda at: (
            f"label {label!r} is not among the classes: {', '.join(classes(frame.iloc[:0]))}; "
            "--map FILE says what it means (from,to; an empty `to` leaves it out)"
            if (label := frame["label"].iloc[at])
            else "no true label: only what is labelled can be scored"
        ),
    )
    refuse(
        frame.duplicated(["file", "seed"]).to_numpy(),
        lambda at: (
            f"file {frame['file'].iloc[at]!r} with seed {int(frame['seed'].iloc[at])} "
            "stands there twice"
        ),
    )
