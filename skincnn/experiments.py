"""Experiments that a figure of the README stands on: one call, resumable, a table at the end."""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from skincnn import config, data, evaluate, parts, plots_compare, predictions, runs, train


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
    settings = settings or config.preset("published")
    if not 1 <= seeds <= settings.folds:
        raise ValueError(f"seeds={seeds!r}: choose 1…{settings.folds}, each has a clean fold")
    folder = Path(folder or default_folder(index))
    with train.alone_in(folder):
        photographs, dealt = data.usable(index), None
        rows = []
        for turn in range(seeds):  # seed by seed: interrupted, what is there can be compared
            for protocol in config.PROTOCOLS:
                fold = turn if protocol == "clean" else 0
                wanted = settings.replace(protocol=protocol, seed=settings.seed + turn, fold=fold)
                if protocol == "clean" and dealt is None:
                    dealt = train.grouped(wanted, photographs)
                given = dealt if protocol == "clean" else photographs
                rows.append(_one(wanted, given, folder, verbose))
                if progress:
                    print(_line(rows[-1], len(rows), len(config.PROTOCOLS) * seeds), flush=True)
        table = pd.DataFrame(rows)
        order = {protocol: place for place, protocol in enumerate(config.PROTOCOLS)}
        table = table.sort_values("protocol", key=lambda p: p.map(order), kind="stable")
        table = table.reset_index(drop=True)
        write = {"index": False, "float_format": "%.6f"}
        runs.write_text(folder / "leakage.csv", table.to_csv(**write))
        runs.write_text(folder / "summary.csv", summary(table).to_csv(**write))
        figure = plots_compare.leakage(table).figure
        figure.savefig(folder / "leakage.png", dpi=110, bbox_inches="tight")
        plt.close(figure)
    return table


def default_folder(index: pd.DataFrame) -> Path:
    """`outputs/local/<set>_leakage`."""
    return config.local_dir() / f"{index.attrs.get('name', 'data')}_leakage"


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
    kept, given = folder / f"{name}.csv", runs.identity(settings, index)
    if not parts.done(kept, given):
        place = config.local_dir() / f"{folder.name}_{name}"
        parts.keep(train.fit(settings, index, place, verbose), kept, given)
        (place / "model.keras").unlink()
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


def _line(row: dict, number: int, total: int) -> str:
    return (
        f"{row['protocol']}, seed {row['seed']}: accuracy {100 * row['accuracy']:.1f} %, "
        f"siblings in training {100 * row['siblings']:.0f} %; {number} of {total}"
    )
