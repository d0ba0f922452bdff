"""Experiments that a figure of the README stands on: one call, resumable, a table at the end."""

import functools
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from skincnn import (
    atomic,
    audit,
    config,
    crossval,
    data,
    evaluate,
    parts,
    plots,
    plots_compare,
    predictions,
    presets,
    protocols,
    provenance,
    splits,
    train,
)
from skincnn.scoreboards import boards


def leakage(
    index: pd.DataFrame,
    settings: config.RunConfig | None = None,
    folder: str | Path | None = None,
    seeds: int = 3,
    verbose: int | str = 0,
    progress: bool = True,
) -> pd.DataFrame:
    """The same network under three ways to split: what leakage adds to a figure.

    `published` copies first and splits at random; `split_first` splits at random and copies what
    trains; `clean` takes the audited index, keeps relatives together and copies what trains. The
    first two choose their best epoch on the held-out photographs, as published recipes do, which
    flatters both alike; `clean` chooses on its inner part. A seed moves split, weights and order;
    under `clean` it is a fold of its own too. An interrupted experiment goes on where it stopped.

    Args:
        index: from `data.load`.
        settings: the network and its training; None takes the preset `published`.
        folder: what is kept: `<protocol>_seed<s>.csv` (see `parts`), `leakage.csv`, `summary.csv`
            and `leakage.png`; None makes `outputs/local/<set>_leakage`.
        seeds: how many, 1…`settings.folds`, counted up from the settings' own.
        verbose: Keras's, for each run.
        progress: print one line a run.

    Returns:
        One row a run: `protocol`, `seed`, `fold`, `n`, `classes`, `accuracy`, `accuracy_low`,
        `accuracy_high`, `balanced_accuracy` (0…1) and `siblings`: the share of the held-out rows
        that have a relative in training.

    Raises:
        runs.RunError: the folder holds runs of other settings or data.
        ValueError: seeds out of range, or a set that cannot be dealt out (`splits.grouped`).
    """
    settings = settings or presets.get("published")
    if not 1 <= seeds <= settings.folds:
        raise ValueError(f"seeds={seeds!r}: choose 1…{settings.folds}, each has a clean fold")
    folder = Path(folder or default_folder(index))
    with atomic.alone_in(folder):
        photographs, dealt = data.usable(index), None
        rows = []
        for turn in range(seeds):  # seed by seed: interrupted, what is there can be compared
            for protocol in config.PROTOCOLS:
                fold = turn if protocol == "clean" else 0
                wanted = settings.replace(protocol=protocol, seed=settings.seed + turn, fold=fold)
                if protocol == "clean" and dealt is None:
                    dealt = protocols.grouped(wanted, photographs)
                given = dealt if protocol == "clean" else photographs
                rows.append(_one(wanted, given, folder, verbose))
                if progress:
                    print(_line(rows[-1], len(rows), len(config.PROTOCOLS) * seeds), flush=True)
        table = pd.DataFrame(rows)
        order = {protocol: place for place, protocol in enumerate(config.PROTOCOLS)}
        table = table.sort_values("protocol", key=lambda p: p.map(order), kind="stable")
        table = table.reset_index(drop=True)
        atomic.write_table(folder / "leakage.csv", table)
        atomic.write_table(folder / "summary.csv", summary(table))
        plots.save(plots_compare.leakage(table), folder / "leakage.png")
    return table


def scoreboards(
    index: pd.DataFrame,
    networks: Sequence[config.RunConfig],
    folder: str | Path | None = None,
    verbose: int | str = 0,
    progress: bool = True,
) -> pd.DataFrame:
    """Several networks on the three scoreboards (see the module `scoreboards`).

    Each network is trained twice over: on Train alone, by its own protocol, for the two boards of
    the Test folder; and in grouped folds of the clean index for the third. An interrupted
    experiment goes on where it stopped.

    Args:
        index: from `data.load`, with a Test folder.
        networks: their settings, one a preset.
        folder: what is kept: a run `<preset>/`, a cross-validation `<preset>_cv/`,
            `scoreboards.csv` and `scoreboards.png`; None makes `outputs/local/<set>_scoreboards`.
        verbose: Keras's, for each training.
        progress: print one line a network and a fold.

    Returns:
        `scoreboards.boards` of each network, one below the other, with `preset` and `board` as its
        first columns.

    Raises:
        runs.RunError: the folder holds runs of other settings or data.
        ValueError: a preset stands there twice, trains by protocol `clean`, which has no Test
            folder, or the set has none.
    """
    names = [settings.preset for settings in networks]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"preset {min(twice)!r} stands there twice")
    if wrong := [s.preset for s in networks if s.protocol == "clean"]:
        raise ValueError(f"{wrong[0]}: protocol clean keeps no Test folder")
    if not (data.usable(index)["split"] == "test").any():
        raise ValueError("the set has no Test folder: two of the three boards need one")
    folder = Path(folder or default_folder(index, "scoreboards"))
    found = audit.run(index, with_shortcuts=False, progress=progress)
    clean = audit.clean(found.index)[0]
    with atomic.alone_in(folder):
        several = {}
        for settings in networks:
            name = settings.preset
            train.fit(settings, index, folder / name, verbose)
            dealt = splits.grouped(clean, settings.folds)
            cv = crossval.run(settings, dealt, folder / f"{name}_cv", (), False, verbose, progress)
            test = predictions.read(folder / name / "predictions_test.csv")
            several[name] = boards(test, found.index, cv.predictions)
            if progress:
                print(f"{name}:\n{_shares(several[name])}", flush=True)
        table = pd.concat(several, names=["preset", "board"]).reset_index()
        atomic.write_table(folder / "scoreboards.csv", table)
        plots.save(plots_compare.networks(table)[0], folder / "scoreboards.png")
    return table


def default_folder(index: pd.DataFrame, name: str = "leakage") -> Path:
    """`outputs/local/<set>_<name>`."""
    return config.local_dir() / f"{index.attrs.get('name', 'data')}_{name}"


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """`leakage`'s table by protocol: mean, standard deviation (of a sample; missing for one seed),
    lowest and highest of accuracy and balanced accuracy, and the mean share with siblings."""
    rows = []
    for protocol, some in table.groupby("protocol", sort=False):
        row = {"protocol": protocol, "seeds": len(some), "classes": some["classes"].max()}
        for name in ("accuracy", "balanced_accuracy"):
            spread = some[name].agg(["mean", "std", "min", "max"])
            row |= {f"{name}_{what}": value for what, value in spread.items()}
        rows.append({**row, "siblings": some["siblings"].mean()})
    return pd.DataFrame(rows)


def _one(settings: config.RunConfig, index: pd.DataFrame, folder: Path, verbose) -> dict:
    """One run, trained unless it is kept already, as a row of the table."""
    name = f"{settings.protocol}_seed{settings.seed}"
    fit = functools.partial(train.fit, settings, index, verbose=verbose)
    kept = parts.trained(folder, name, provenance.identity(settings, index), fit)
    metrics, facts = evaluate.metrics(predictions.read(kept)), parts.facts(kept)["data"]
    accuracy = metrics["accuracy"]
    return {
        "protocol": settings.protocol,
        "seed": settings.seed,
        "fold": settings.fold,
        "n": metrics["n"],
        "classes": len(metrics["classes"]),
        "accuracy": accuracy["value"],
        "accuracy_low": accuracy["low"],
        "accuracy_high": accuracy["high"],
        "balanced_accuracy": metrics["balanced_accuracy"]["value"],
        "siblings": facts["held_out_with_sibling_in_training"] / facts["held_out"],
    }


def _shares(table: pd.DataFrame) -> str:
    return (100 * table[["accuracy", "balanced_accuracy"]]).round(1).to_string()


def _line(row: dict, number: int, total: int) -> str:
    return (
        f"{row['protocol']}, seed {row['seed']}: accuracy {100 * row['accuracy']:.1f} %, "
        f"siblings in training {100 * row['siblings']:.0f} %; {number} of {total}"
    )
