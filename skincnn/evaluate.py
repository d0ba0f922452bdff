"""Metrics with intervals from a run's `predictions.csv`: no model, no photographs, no TensorFlow.

One row is one prediction: `file, image_id, group, label, split, fold, seed`, then one probability
column a class (`p_basal_cell_carcinoma`) in the model's class order, 6 digits, summing to 1.
`(file, seed)` is the key; `image_id`, `group`, `split` and `fold` may be empty. Everything here
takes that table, so a figure can be computed again, by anybody, from the file alone.

    table = evaluate.read("outputs/runs/baseline/predictions.csv")
    print(evaluate.summary(evaluate.metrics(table)))
"""

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from skincnn import labels

if TYPE_CHECKING:
    import pandas as pd

FACTS = ["file", "image_id", "group", "label", "split", "fold", "seed"]
DIGITS = 6
TOLERANCE = 1e-3  # how far from 1 a row's probabilities may sum: float16 softmax, fewer digits
HEADLINES = {  # name in the dictionary -> words for people
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "log_loss": "log loss",
}
# Six digits write anything below half a millionth as 0; its logarithm would be minus infinity.
SMALLEST = 0.5 * 10**-DIGITS
CHUNK = 1_000_000  # bootstrap draws held at once: 8 MB


class PredictionsError(ValueError):
    """What is wrong with a table of predictions: which file, which line, which value."""


# --- the table -----------------------------------------------------------------------------------


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
        table[name] = _text(index_rows[name]) if name in index_rows else ""
    table["fold"] = pd.to_numeric(table["fold"]).astype("Int64")
    table["seed"] = int(seed)
    table[columns] = probabilities
    _check(table, "predictions")
    table[columns] = _rounded(probabilities)
    return table


def read(path: str | Path) -> "pd.DataFrame":
    """Read and check a `predictions.csv`.

    Returns:
        The table: facts as text (empty where unknown), `fold` and `seed` whole numbers (`fold`
        missing for a test row), probabilities float64.

    Raises:
        PredictionsError: no such file, no rows, a missing column, a row of the wrong length, a
            probability that is no number or negative, a row that does not sum to 1 (± 0.001), a
            label without a probability column, a fold or seed that is no whole number, a repeated
            (`file`, `seed`). The message has the line as an editor numbers it, the header being
            line 1, and the value.
    """
    import pandas as pd

    path = Path(path)
    header, rows, lines = _read_rows(path)
    table = pd.DataFrame(rows, columns=header, dtype=str)
    _check_columns(table, path)
    for name in ["fold", "seed", *_columns(table)]:
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
    columns = _columns(frame)
    table = frame[[*FACTS, *columns]].copy()
    table[columns] = _rounded(table[columns].to_numpy(np.float64))
    path.parent.mkdir(parents=True, exist_ok=True)
    # A run killed here must not leave half a table under the name of a finished one.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        table.to_csv(temporary, index=False, float_format=f"%.{DIGITS}f", lineterminator="\n")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def classes(frame: "pd.DataFrame") -> list[str]:
    """Class names in the order of the probability columns.

    A column has lost its name's spaces. They come back from the table's own labels, then from the
    nine diagnoses; what neither knows has its underscores read as spaces.
    """
    names = {labels.column(name): name for name in [*labels.ISIC9, *frame["label"].unique()]}
    return [names.get(c, c.removeprefix("p_").replace("_", " ")) for c in _columns(frame)]


# --- the metrics ---------------------------------------------------------------------------------


def metrics(frame: "pd.DataFrame", replicates: int = 1000, seed: int = 0) -> dict:
    """Headline figures with 95 % intervals, figures per class, and the confusion matrix.

    The intervals are percentile bootstrap intervals (Efron & Tibshirani 1993, chapter 13) that draw
    whole groups with replacement, not photographs: photographs of one lesion or one patient are
    not independent (the cluster bootstrap; Field & Welsh 2007). A row with an empty `group` is
    its own group by `file`, so several seeds of one photograph stay together too. They say how far
    another sample of such groups could differ, not another training; and where every answer is
    right (or wrong) a bootstrap cannot see beyond it.

    Args:
        frame: a table of predictions.
        replicates: bootstrap samples drawn.
        seed: of the draws; same table and seed, same intervals.

    Returns:
        A dictionary that JSON can hold; what is undefined (0/0) is None:

        - `n` rows, `n_files` distinct photographs, `n_groups`, `replicates`, `classes` (names);
        - `accuracy`, `balanced_accuracy` (mean sensitivity of the classes with photographs),
          `macro_f1` (mean over classes that occur as label or prediction), all 0…1, and `log_loss`
          (natural logarithm, ≥ 0), each `{"value", "low", "high"}`; no interval from one group;
        - `per_class`: label -> `report`'s row; `confusion`: rows true, columns predicted.

    Raises:
        ValueError: the table has no rows, or replicates < 1.
    """
    if replicates < 1:
        raise ValueError(f"replicates={replicates!r}: must be at least 1")
    counts, losses = _per_group(frame)
    n_groups = len(counts)
    values = _headlines(counts.sum(axis=0), losses.sum())
    draws = [_headlines(*sums) for sums in _resampled(counts, losses, replicates, seed)]
    figures = {}
    for name, value in values.items():
        low = high = np.nan
        if n_groups > 1:
            low, high = np.percentile(np.concatenate([d[name] for d in draws]), [2.5, 97.5])
        figures[name] = {"value": _number(value), "low": _number(low), "high": _number(high)}
    table = report(frame)
    return {
        "n": len(frame),
        "n_files": int(frame["file"].nunique()),
        "n_groups": n_groups,
        "replicates": replicates,
        "classes": list(table.index),
        **figures,
        "per_class": {
            label: {"support": int(row.pop("support"))} | {k: _number(v) for k, v in row.items()}
            for label, row in table.to_dict("index").items()
        },
        "confusion": counts.sum(axis=0).astype(int).tolist(),
    }


def confusion(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Counts (C, C) by class name: rows are true classes, columns predicted ones."""
    import pandas as pd

    names = classes(frame)
    true, predicted, _ = _answers(frame)
    counts = np.bincount(true * len(names) + predicted, minlength=len(names) ** 2)
    return pd.DataFrame(
        counts.reshape(len(names), len(names)),
        index=pd.Index(names, name="true"),
        columns=pd.Index(names, name="predicted"),
    )


def report(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Figures per class, one row a class in class order; NaN where a figure is 0/0.

    Columns: `support` (photographs of the class), `sensitivity` (found, of them), `precision`
    (right, of those called so), `specificity` (of all others, not called so), `f1`, and `auc`: the
    chance that a photograph of the class has a higher probability of it than one of another class.
    """
    import pandas as pd

    true, _, probabilities = _answers(frame)
    table = confusion(frame)
    counts = table.to_numpy()
    hits, support, called = np.diagonal(counts), counts.sum(axis=1), counts.sum(axis=0)
    others = len(frame) - support
    return pd.DataFrame(
        {
            "support": support,
            "sensitivity": _ratio(hits, support),
            "precision": _ratio(hits, called),
            "specificity": _ratio(others - (called - hits), others),
            "f1": _ratio(2 * hits, support + called),
            "auc": [_auc(true == c, probabilities[:, c]) for c in range(len(table))],
        },
        index=table.index.rename("label"),
    )


def summary(metrics: dict) -> str:
    """`metrics` in a few lines for the terminal."""
    of = "photographs"
    if metrics["n"] != metrics["n_files"]:
        of = f"predictions of {metrics['n_files']:,} photographs"
    lines = []
    for name, words in HEADLINES.items():
        percent = "accuracy" in name
        scale, digits, sign = (100, 1, " %") if percent else (1, 3, "")
        value, low, high = (metrics[name][key] for key in ("value", "low", "high"))
        line = f"{words} {value * scale:.{digits}f}{sign}"
        if low is not None:
            line += f" (95 % interval {low * scale:.{digits}f}–{high * scale:.{digits}f})"
        lines.append(line)
    lines[0] += f", n = {metrics['n']:,} {of} in {metrics['n_groups']:,} groups"
    return "\n".join(lines)


# --- underneath: counts --------------------------------------------------------------------------


def _answers(frame: "pd.DataFrame") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True class (N), predicted class (N), probabilities (N, C)."""
    if not len(frame):
        raise ValueError("the table of predictions has no rows")
    columns = _columns(frame)
    position = {column: at for at, column in enumerate(columns)}
    true = frame["label"].map(lambda label: position[labels.column(label)]).to_numpy(np.int64)
    probabilities = frame[columns].to_numpy(np.float64)
    return true, probabilities.argmax(axis=1), probabilities


def _per_group(frame: "pd.DataFrame") -> tuple[np.ndarray, np.ndarray]:
    """What a group adds to every headline: its confusion counts (G, C, C) and summed losses (G)."""
    import pandas as pd

    true, predicted, probabilities = _answers(frame)
    n_classes = probabilities.shape[1]
    names = _text(frame["group"])
    group, unique = pd.factorize(np.where(names == "", _text(frame["file"]), names))
    counts = np.zeros((len(unique), n_classes, n_classes))
    np.add.at(counts, (group, true, predicted), 1)
    likelihood = probabilities[np.arange(len(true)), true]
    return counts, np.bincount(group, weights=-np.log(likelihood.clip(SMALLEST, 1)))


def _headlines(counts: np.ndarray, loss: np.ndarray) -> dict[str, np.ndarray]:
    """The headline figures of confusion counts (…, C, C) and summed losses (…), each (…)."""
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    support, called = counts.sum(axis=-1), counts.sum(axis=-2)
    n = support.sum(axis=-1)
    return {
        "accuracy": hits.sum(axis=-1) / n,
        "balanced_accuracy": np.nanmean(_ratio(hits, support), axis=-1),
        "macro_f1": np.nanmean(_ratio(2 * hits, support + called), axis=-1),
        "log_loss": loss / n,
    }


def _resampled(
    counts: np.ndarray, losses: np.ndarray, replicates: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Draw G of G groups with replacement, many times; yield the sums of some replicates at once.

    Most groups are one photograph, so few kinds of group differ in their counts: how often each
    kind was drawn, times what it adds, is one small matrix product. In chunks, for the draws of a
    thousand replicates of 33,000 groups would be 264 MB.
    """
    n_groups, n_classes = counts.shape[:2]
    kinds, kind = np.unique(counts.reshape(n_groups, -1), axis=0, return_inverse=True)
    rng = np.random.default_rng(seed)
    chunk = max(1, CHUNK // n_groups)
    for start in range(0, replicates, chunk):
        rows = min(chunk, replicates - start)
        drawn = rng.integers(n_groups, size=(rows, n_groups))
        times = np.stack([np.bincount(kind[row], minlength=len(kinds)) for row in drawn])
        sums = times.astype(np.float64) @ kinds
        yield sums.reshape(rows, n_classes, n_classes), losses[drawn].sum(axis=1)


def _auc(positive: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve: the Mann–Whitney statistic over ranks (Hanley & McNeil 1982)."""
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if not n_positive or not n_negative:
        return np.nan
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]  # equal scores share their mean rank
    above = ranks[positive].sum() - n_positive * (n_positive + 1) / 2
    return above / (n_positive * n_negative)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


# --- underneath: the table -----------------------------------------------------------------------


def _columns(frame: "pd.DataFrame") -> list[str]:
    return [name for name in frame.columns if name.startswith("p_")]


def _text(column: "pd.Series") -> np.ndarray:
    """A column as text, with "" for unknown."""
    return column.astype(object).where(column.notna(), "").map(str).to_numpy()


def _rounded(probabilities: np.ndarray) -> np.ndarray:
    """Six digits, rows summing to 1 within 1e-5; a table rounded once comes back as it is."""
    sums = probabilities.sum(axis=1, keepdims=True)
    return (probabilities / np.where(np.abs(sums - 1) > 1e-5, sums, 1)).round(DIGITS)


def _read_rows(path: Path) -> tuple[list[str], list[list[str]], list[int]]:
    """Header, rows, and the line each row stands on (pandas does not tell it)."""
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


def _check_columns(frame: "pd.DataFrame", where: str | Path) -> None:
    missing = [name for name in FACTS if name not in frame.columns]
    if not _columns(frame):
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
    columns = _columns(frame)
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
    known = set(columns)
    refuse(
        np.array([labels.column(label) not in known for label in frame["label"]]),
        lambda at: (
            f"label {frame['label'].iloc[at]!r} is not among the classes: "
            f"{', '.join(classes(frame.iloc[:0]))}"
        ),
    )
    refuse(
        frame.duplicated(["file", "seed"]).to_numpy(),
        lambda at: (
            f"file {frame['file'].iloc[at]!r} with seed {int(frame['seed'].iloc[at])} "
            "stands there twice"
        ),
    )
