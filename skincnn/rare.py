"""One class among many others, such as melanoma: what helps to find it, judged by its AUC.

Asked by a public project on the 2020 melanoma set, and left open there: which pretrained network,
which from scratch, and do age, sex and site of the body help?
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from skincnn import (
    ablations,
    atomic,
    config,
    evaluate,
    paired,
    parts,
    plots,
    plots_rare,
    predictions,
    presets,
)

WITH = " with metadata"


def networks(epochs: int = 0, image_size: int = 0, **changes) -> dict[str, config.RunConfig]:
    """The pretrained recipe and the one from scratch, each with and without the patient's data.

    Args:
        epochs: of the pretrained one; from scratch takes three times as many. 0: the preset's own.
        image_size: pixels a side; 0: the preset's own.
        changes: other settings, for all of them.
    """
    rare = presets.get("melanoma")
    epochs = epochs or rare.epochs
    shared = {"positive": rare.positive, "keep": rare.keep, "image_size": image_size}
    shared = {n: v for n, v in shared.items() if v} | {"inner_fraction": 0.2} | changes
    pretrained = rare.replace(epochs=epochs, **{"image_size": rare.image_size} | shared)
    scratch = {"image_size": rare.image_size, "views": rare.views} | shared
    plain = {
        "pretrained": pretrained,
        "from scratch": presets.get("compact", epochs=3 * epochs, **scratch),
    }
    with_metadata = {name + WITH: s.replace(metadata=True) for name, s in plain.items()}
    return plain | with_metadata


def compared(
    index: pd.DataFrame,
    some: Mapping[str, config.RunConfig],
    folder: str | Path,
    seeds: int = 2,
    progress: bool = True,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Networks on what one fold holds out, and what telling them the patient's data adds.

    Args:
        index: from `tfrecords.load` or `data.load`; audited and dealt out here unless it has a
            `fold`.
        some: name -> settings, of one fold; a name that ends in `WITH` is compared with the one
            without.
        folder: what is kept: `<name>_seed<s>.csv`, `networks.csv`, `differences.csv`, `roc.png`.
            An interrupted experiment goes on where it stopped.
        seeds: trainings of each, counted up from the settings' own.
        progress: print one line a training.

    Returns:
        A row a network: `network`, `n`, `positives`, `groups`, `seeds`, `auc`, `auc_low`,
        `auc_high`, `partial_auc`, `sensitivity` (at 95 % specificity), `minutes`. And a row a
        pair, on the same photographs: `a`, `b`, `gain` in AUC with `gain_low` and `gain_high`
        (paired bootstrap over groups; other seeds are not in it).
    """
    folder = Path(folder)
    wanted = {
        (name, seed): settings.replace(seed=settings.seed + seed)
        for seed in range(seeds)
        for name, settings in some.items()
    }
    tables = ablations.trained(index, wanted, folder, progress, parts.keep)
    by_name = {
        name: pd.concat([predictions.read(tables[name, seed]) for seed in range(seeds)])
        for name in some
    }
    rows = []
    for name, answers in by_name.items():
        found = evaluate.metrics(answers)
        facts = [parts.facts(tables[name, seed]) for seed in range(seeds)]
        auc, positive = found["macro_auc"], found["positive"]
        rows.append(
            {
                "network": name,
                "n": found["n_files"],
                "positives": int((answers["label"] == positive).sum()) // seeds,
                "groups": found["n_groups"],
                "seeds": seeds,
                "auc": auc["value"],
                "auc_low": auc["low"],
                "auc_high": auc["high"],
                "partial_auc": found["partial_auc"]["value"],
                "sensitivity": found["sensitivity_at_95_specificity"]["value"],
                "minutes": parts.undisturbed(facts),
            }
        )
    table = pd.DataFrame(rows)
    differences = pd.DataFrame([_pair(by_name, a, b) for a, b in _pairs(list(some))])
    for name, one in (("networks", table), ("differences", differences)):
        atomic.write_table(folder / f"{name}.csv", one)
    plots.save(plots_rare.roc_and_precision(by_name)[0], folder / "roc.png")
    return table, differences


def _pairs(names: list[str]) -> list[tuple[str, str]]:
    """Each with metadata against itself without, and those without against the first."""
    without = [name for name in names if not name.endswith(WITH)]
    pairs = [(name + WITH, name) for name in without if name + WITH in names]
    return pairs + [(without[0], other) for other in without[1:]]


def _pair(by_name: Mapping[str, pd.DataFrame], a: str, b: str) -> dict:
    found = paired.compare(by_name[a], by_name[b])["differences"]["macro_auc"]
    gain = {"gain": found["value"], "gain_low": found["low"], "gain_high": found["high"]}
    return {"a": a, "b": b, **gain}
