"""Cross-validation: every photograph of the clean index predicted once, by a network that never saw
a relative of it.

| file | |
|---|---|
| `folds/fold<k>_seed<s>.csv` | one held-out fold's predictions, with its settings (see `parts`) |
| `predictions.csv`, `metrics.json` | all folds together, once they are all there |
| `config.json` | settings, class order, fingerprints, versions, commit |

Each fold trains in a run folder of its own under `outputs/local/`, where an interrupted one goes
on. How a fold is made is told in `protocols.prepare`, protocol `clean`.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from skincnn import (
    atomic,
    config,
    data,
    evaluate,
    parts,
    predictions,
    protocols,
    provenance,
    runs,
    splits,
    train,
)


def run(
    settings: config.RunConfig,
    index: pd.DataFrame,
    folder: str | Path | None = None,
    seeds: Sequence[int] = (),
    keep_models: bool = False,
    verbose: int | str = 0,
    progress: bool = True,
) -> runs.Run:
    """Train and score every fold, or go on where an interrupted call stopped.

    Args:
        settings: of each fold's network; protocol is `clean` and `fold` each in turn, whatever
            they say.
        index: from `data.load`; audited and dealt out here unless it has a `fold`.
        folder: where the results go; None makes `outputs/local/<set>_<preset>_cv`.
        seeds: of weights, order and augmentation; each repeats all folds, which stay the same.
            Empty means the settings' own.
        keep_models: leave each fold's weights in its run folder.
        verbose: Keras's, for each fold.
        progress: print one line a fold.

    Returns:
        The cross-validation as a run: `predictions` (a row for each photograph and seed),
        `metrics`, `info`; it has no single model and no history.

    Raises:
        runs.RunError: the folder holds folds of other settings or data.
        ValueError: a class has fewer groups than there are folds, or a seed stands twice.

    Example:
        >>> whole = crossval.run(presets.get("baseline"), data.load("isic9"))
        >>> whole.metrics["balanced_accuracy"]
    """
    seeds = list(seeds) or [settings.seed]
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds={seeds}: each may stand there once")
    settings = settings.replace(protocol="clean", fold=0, seed=seeds[0])
    folder = Path(folder or default_folder(settings, index))
    with atomic.alone_in(folder):
        if "fold" not in index:
            index = protocols.grouped(settings, index)
        index = data.against_rest(index, settings.positive)
        tasks = [
            (folder / "folds" / f"fold{k}_seed{seed}.csv", settings.replace(fold=k, seed=seed))
            for seed in seeds
            for k in range(settings.folds)
        ]
        # all of them first: a folder of another cross-validation is told before hours of training
        todo = [task for task in tasks if not parts.done(task[0], _given(task[1], index))]
        if progress:
            print(f"{len(todo)} of {len(tasks)} folds to train", flush=True)
        began = time.perf_counter()
        for number, (table, fold) in enumerate(todo, start=1):
            _one(fold, index, table, keep_models, verbose)
            if progress:
                print(_line(table, number, len(todo), time.perf_counter() - began), flush=True)
        return _together(settings, index, folder, [table for table, _ in tasks])


def default_folder(settings: config.RunConfig, index: pd.DataFrame) -> Path:
    """`outputs/local/<set>_<preset>_cv`."""
    folder = train.default_folder(settings, index)
    return folder.with_name(f"{folder.name}_cv")


def table(some: Sequence[runs.Run]) -> pd.DataFrame:
    """Cross-validations and ensembles of them side by side: a row each, percentages and minutes.

    Where the classes have melanoma and nevus: melanoma's sensitivity at 95 % specificity, and the
    AUC of these two alone, of all of them and of those with numbers alike (see `evaluate.between`,
    `evaluate.alike`).
    `minutes` are those that all folds of one seed take, what went before on another set included;
    for an ensemble those of its members, which it remembers the places of.
    """
    rows = {}
    for run in some:
        metrics = run.metrics
        balanced = metrics["balanced_accuracy"]
        melanoma = metrics.get("sensitivity_at_95_specificity", {}).get("value")
        answers, alone, near = run.predictions, {}, {}
        if {"melanoma", "nevus"} <= set(answers["label"]):
            alone = evaluate.between(answers, replicates=1)["macro_auc"]
            if (rows_alike := evaluate.alike(answers)) is not None:
                near = evaluate.between(rows_alike, replicates=1)["macro_auc"]
        rows[run.name] = {
            "photographs": metrics["n_files"],
            "balanced %": 100 * balanced["value"],
            "95 % interval": f"{100 * balanced['low']:.1f}–{100 * balanced['high']:.1f}",
            "accuracy %": 100 * metrics["accuracy"]["value"],
            "macro AUC": metrics["macro_auc"]["value"],
            "sensitivity at 95 % specificity": melanoma and 100 * melanoma,
            "AUC against nevus": alone.get("value"),
            "… numbers alike": near.get("value"),
            "minutes": _minutes(run.folder),
        }
    digits = {"macro AUC": 3, "AUC against nevus": 3, "… numbers alike": 3, "minutes": 0}
    found = pd.DataFrame.from_dict(rows, orient="index")
    return found.round({name: digits.get(name, 1) for name in found})


def _minutes(folder: Path) -> float:
    folds = parts.folds(folder)
    if not folds:
        members = json.loads((folder / "config.json").read_text())["members"]
        return sum(_minutes(folder / member["folder"]) for member in members)
    before = [facts["pretrained"] for facts in folds if "pretrained" in facts]
    once = {one["run"]: one["minutes"] for one in before}  # seeds share it
    seeds = len({facts["config"]["seed"] for facts in folds})
    own = sum(parts.minutes(facts, pretraining=False) for facts in folds)
    return own / seeds + sum(once.values())


def _given(settings: config.RunConfig, index: pd.DataFrame) -> dict:
    """Without the copies: settings and photographs decide them, and drawing them takes a while."""
    return provenance.identity(settings, _parted(settings, index))


def _parted(settings: config.RunConfig, index: pd.DataFrame) -> pd.DataFrame:
    return splits.inner(index, settings.fold, settings.inner_fraction)


def _one(settings, index, table: Path, keep_models: bool, verbose) -> None:
    """One fold: trained, scored, kept."""
    place = parts.place(table.parent.parent, table.stem)
    made = train.fit(settings, _parted(settings, index), place, verbose)
    parts.keep(made, table, _given(settings, index))
    if not keep_models:
        (place / "model.keras").unlink()


def _line(table: Path, number: int, total: int, seconds: float) -> str:
    """`fold1_seed123: accuracy 54.1 %, balanced 48.0 %; 1 of 5, about 12 min left`"""
    metrics = evaluate.metrics(predictions.read(table), replicates=1)
    accuracy, balanced = (metrics[n]["value"] for n in ("accuracy", "balanced_accuracy"))
    left = seconds / number * (total - number) / 60
    time_left = f", about {left:.0f} min left" if number < total else ""
    return (
        f"{table.stem}: accuracy {100 * accuracy:.1f} %, balanced {100 * balanced:.1f} %; "
        f"{number} of {total}{time_left}"
    )


def _together(settings, index: pd.DataFrame, folder: Path, tables: list[Path]) -> runs.Run:
    made = {table.stem: parts.facts(table) for table in tables}
    before = {facts["pretrained"]["run"] for facts in made.values() if "pretrained" in facts}
    if len(before) > 1:
        raise runs.RunError(
            f"{folder}: {settings.pretrain!r} changed between the folds, which were pretrained as "
            f"{' and '.join(sorted(before))}. Choose another folder, or remove this one."
        )
    precision = ", ".join(sorted({facts["precision_used"] for facts in made.values()}))
    whole = provenance.describe(settings, index, data.classes(index), precision)
    kept = {n: whole["data"][n] for n in ("name", *provenance.SAID) if n in whole["data"]}
    given = provenance.identity(settings, index)["data"]
    whole["data"] = {**kept, "photographs": int(index["fold"].notna().sum()), **given}
    whole["seeds"] = sorted({facts["config"]["seed"] for facts in made.values()})
    whole["folds"] = {stem: facts["table_sha256"] for stem, facts in made.items()}
    atomic.write_json(folder / "config.json", whole)
    all_folds = pd.concat([predictions.read(table) for table in tables])
    all_folds = all_folds.sort_values(["seed", "file"], ignore_index=True)
    predictions.write(all_folds, folder / "predictions.csv")
    # from the file, as anyone else would: the two can then never disagree
    saved = predictions.read(folder / "predictions.csv")
    atomic.write_json(folder / "metrics.json", evaluate.metrics(saved))
    return runs.Run(folder)
