"""One run's predictions as a finished part of something larger: a fold, a seed, a protocol.

| file | |
|---|---|
| `<name>.csv` | the held-out rows' predictions |
| `<name>_inner.csv` | protocol `clean`: those of the part that chose |
| `<name>.json` | the run's `config.json`, fingerprints of what it was given, the table's digest |

A part is done when its table is there and both match; nothing else of its run is needed then.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from skincnn import atomic, config, provenance, runs


def place(folder: Path, name: str) -> Path:
    """Where the run of a part is made, under `outputs/local`: by the whole path of what it is a
    part of, for two folders elsewhere may have one name."""
    local, folder = config.local_dir().resolve(), folder.resolve()
    if folder.parent == local:
        return config.local_dir() / f"{folder.name}_{name}"
    digest = hashlib.sha256(str(folder).encode()).hexdigest()[:6]
    return config.local_dir() / f"{folder.name}_{digest}_{name}"


def keep(run: runs.Run, table: Path, given: dict) -> None:
    """Keep a finished run's predictions under a name of their own; the `.json` is written last.

    Args:
        table: the CSV to write.
        given: `provenance.identity` of what the run was asked for.
    """
    inner = run.folder / "predictions_inner.csv"
    if inner.is_file():
        atomic.write_text(table.with_name(f"{table.stem}_inner.csv"), inner.read_text("utf-8"))
    _keep(run, run.folder / "predictions.csv", table, given)


def keep_inner(run: runs.Run, table: Path, given: dict) -> None:
    """As `keep`, but the inner part's predictions alone: what a choice may be made on."""
    _keep(run, run.folder / "predictions_inner.csv", table, given)


def trained(
    folder: Path, name: str, given: dict, fit: Callable[[Path], runs.Run], keep=keep
) -> Path:
    """A part's table; where it is not done, `fit` trains the run in the folder it is given, whose
    weights do not stay.

    Args:
        folder: of what it is a part of.
        name: of the part.
        given: `provenance.identity` of what the run is asked for.
        fit: takes a folder, gives the finished run.
        keep: `keep` or `keep_inner`.
    """
    table = folder / f"{name}.csv"
    if not done(table, given):
        run_folder = place(folder, name)
        keep(fit(run_folder), table, given)
        (run_folder / "model.keras").unlink()
    return table


def _keep(run: runs.Run, source: Path, table: Path, given: dict) -> None:
    atomic.write_text(table, source.read_text("utf-8"))
    history = run.history
    facts = {
        **run.info,
        "epochs": len(history),
        "minutes": round(history["seconds"].sum() / 60, 2),
        "fastest_epoch": round(history["seconds"].min() / 60, 4),  # minutes
        "given": given["data"],
        "table_sha256": _digest(table),
    }
    atomic.write_json(table.with_suffix(".json"), facts)


def folds(folder: Path) -> list[dict]:
    """`facts` of each fold that a cross-validation's folder has; none for another run's."""
    return [facts(table) for table in sorted(folder.glob("folds/*_seed*[0-9].csv"))]


def facts(table: Path) -> dict:
    """What the part's `.json` holds."""
    return json.loads(table.with_suffix(".json").read_text("utf-8"))


def minutes(facts: dict, pretraining: bool = True) -> float:
    """What a part took: its epochs, what lies beside them (see `runs.Run.minutes`) and, unless that
    is told apart, the run that pretrained it."""
    own = facts["minutes"] + facts.get("minutes_beside", 0)
    return own + facts.get("pretrained", {}).get("minutes", 0) * pretraining


def undisturbed(some: Sequence[dict]) -> float:
    """Minutes of a training, from several of the same settings on a machine that others use too:
    the fastest epoch of all for each, the least beside it, and what pretrained them.

    Where the same epoch takes up to twice as long as the one before, this is nearer to what a
    setting costs than the minutes that passed; with a few epochs it still is no close estimate.
    """
    fastest = min(facts["fastest_epoch"] for facts in some)
    beside = min(facts.get("minutes_beside", 0) for facts in some)
    before = min(facts.get("pretrained", {}).get("minutes", 0) for facts in some)
    return some[0]["epochs"] * fastest + beside + before


def done(table: Path, given: dict) -> bool:
    """Whether a part is there, whole, and of the very same settings and data. One that is not will
    be trained, perhaps for hours: that it can be kept then is made sure of.

    Raises:
        atomic.WriteError: it is not there, and its folder cannot be written to.
        runs.RunError: it is of other ones; the message lists them.
    """
    try:
        saved = facts(table)
        saved["data"], digest = saved["given"], saved["table_sha256"]
        sound = _digest(table) == digest
    except (OSError, ValueError, KeyError, TypeError):
        atomic.check(table.parent)
        return False  # not there, or damaged: made again
    if changed := provenance.differences(saved, given):
        raise runs.RunError(
            f"{table} is of another run: {'; '.join(changed)}. "
            "Choose another folder, or remove this one."
        )
    return sound


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
