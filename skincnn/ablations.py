"""Which choice pays: one switch of the recipe at a time, and one backbone after the other.

All is scored on the inner part of one fold's training photographs: what is chosen here has not seen
those that this fold holds out. The other folds hold out some of them; where a recipe was chosen
here, this fold's own figure belongs beside that of all.
"""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from skincnn import (
    atomic,
    config,
    data,
    evaluate,
    models,
    paired,
    parts,
    plots,
    plots_compare,
    predictions,
    protocols,
    provenance,
    splits,
    train,
)

# What a student may be told -> the settings that differ. Each is compared with the recipe without.
# A recipe of random layers that begins with + comes after those that are there.
SWITCHES = {
    "augmentation for dermoscopy": {"augment": "dermoscopy"},
    "label smoothing 0.1": {"label_smoothing": 0.1},
    "class weights": {"class_weights": True},
    "balanced sampling": {"sampling": "balanced"},
    "focal loss": {"loss": "focal"},
    "Augmentor to 400 a class": {"fill_to": 400},
    "MixUp": {"mixup": 0.4},
    "CutMix": {"cutmix": 1.0},
    "random erasing": {"augment": "+erasing"},
    "hair removal": {"hair_removal": True},
    "average of weights": {"ema": 0.98},
    "eight views": {"views": 8},
    "192 pixels": {"image_size": 192},
    "layer-wise rates": {"layer_decay": 0.8, "optimizer": "adamw"},
}
# These need another set in place, so they are asked for by name.
MORE = {"pretraining on HAM10000": {"pretrain": "ham10000"}}
# What a network from scratch does not heed.
OF_A_BACKBONE = {"dropout", "tuned", "head_epochs", "layer_decay"}
INNER = 0.25  # of the training rows: a larger part chooses more surely than the usual 12 %


def named(parts: Sequence[str]) -> dict[str, dict]:
    """The switches whose names contain one of some texts, or those that need no other set.

    Raises:
        ValueError: a text is in no name (the message lists them).
    """
    if not parts:
        return dict(SWITCHES)
    every = SWITCHES | MORE
    found = {part: [name for name in every if part.lower() in name.lower()] for part in parts}
    if strange := [part for part, names in found.items() if not names]:
        raise ValueError(f"no switch is named {strange[0]!r}: choose of {', '.join(every)}")
    wanted = {name for names in found.values() for name in names}
    return {name: changes for name, changes in every.items() if name in wanted}


def switches(
    index: pd.DataFrame,
    settings: config.RunConfig,
    folder: str | Path,
    chosen: Mapping[str, Mapping] | None = None,
    seeds: int = 2,
    progress: bool = True,
) -> pd.DataFrame:
    """Each switch on and off over the same seeds, on the same photographs.

    Args:
        index: from `data.load`; audited and dealt out here unless it has a `fold`.
        settings: the recipe without any of them; its fold's inner part is what is scored.
        folder: what is kept: `<switch>_seed<s>.csv`, `ablation.csv`, `ablation.png`. An interrupted
            experiment goes on where it stopped.
        chosen: name -> settings that differ; None takes `SWITCHES`.
        seeds: trainings of each, counted up from the settings' own.
        progress: print one line a training.

    Returns:
        A row a switch, the most gain first: `switch`, `n`, `seeds`, `off`, `on` (balanced accuracy
        0…1, mean of the seeds), `gain` with `gain_low` and `gain_high` (paired bootstrap over
        groups; it says what other photographs would change, not other seeds), `auc_gain`,
        `minutes_off`, `minutes_on` (of a training with what pretrained it; see
        `parts.undisturbed`).

    Raises:
        ValueError: a switch changes nothing: the recipe has it already, or a network from scratch
            does not heed it.
    """
    chosen = dict(SWITCHES if chosen is None else chosen)
    wanted = {
        (name, seed): _on(settings, name, changes).replace(seed=settings.seed + seed)
        for seed in range(seeds)
        for name, changes in {"": {}, **chosen}.items()
    }
    tables = trained(index, wanted, Path(folder), progress)

    def of(name: str) -> pd.DataFrame:
        return pd.concat([predictions.read(tables[name, seed]) for seed in range(seeds)])

    def cost(name: str) -> float:
        return parts.undisturbed([parts.facts(tables[name, seed]) for seed in range(seeds)])

    base, rows = of(""), []
    for name in chosen:
        found = paired.compare(of(name), base)["differences"]
        gain, auc = found["balanced_accuracy"], found["macro_auc"]
        rows.append(
            {
                "switch": name,
                "n": len(base) // seeds,
                "seeds": seeds,
                "off": gain["b"],
                "on": gain["a"],
                "gain": gain["value"],
                "gain_low": gain["low"],
                "gain_high": gain["high"],
                "auc_gain": auc["value"],
                "minutes_off": cost(""),
                "minutes_on": cost(name),
            }
        )
    table = pd.DataFrame(rows).sort_values("gain", ascending=False, ignore_index=True)
    _keep(table, Path(folder), "ablation", plots_compare.gains)
    return table


def backbones(
    index: pd.DataFrame,
    settings: config.RunConfig,
    networks: Sequence[tuple[str, str]],
    folder: str | Path,
    progress: bool = True,
) -> pd.DataFrame:
    """One recipe on several networks.

    Args:
        index: as for `switches`.
        settings: the recipe.
        networks: (name of the model, its weights; see `backbones.build`).
        folder: what is kept: `<model>.csv`, `backbones.csv`, `backbones.png`.
        progress: print one line a training.

    Returns:
        A row a network, the best first: `model`, `weights`, `parameters`, `minutes_an_epoch`,
        `minutes`, `n`, `balanced_accuracy` and `macro_auc` with `_low` and `_high`.
    """
    wanted = {
        (f"{model}_{'pretrained' if weights else 'random'}", 0): settings.replace(
            model=model, weights=weights
        )
        for model, weights in networks
    }
    if len(wanted) < len(networks):
        raise ValueError("a network stands twice, with weights or without: give each once")
    tables = trained(index, wanted, Path(folder), progress)
    rows = []
    for key, path in tables.items():
        facts, metrics = parts.facts(path), evaluate.metrics(predictions.read(path))
        row = {
            "model": wanted[key].model,
            "weights": wanted[key].weights or "random",
            "parameters": facts["parameters"],
            "minutes_an_epoch": facts["fastest_epoch"],
            "minutes": parts.undisturbed([facts]),
            "n": metrics["n"],
        }
        for name in ("balanced_accuracy", "macro_auc"):
            figure = metrics[name]
            row |= {name: figure["value"], f"{name}_low": figure["low"]}
            row[f"{name}_high"] = figure["high"]
        rows.append(row)
    table = pd.DataFrame(rows)
    table = table.sort_values("balanced_accuracy", ascending=False, ignore_index=True)
    _keep(table, Path(folder), "backbones", plots_compare.backbones)
    return table


def trained(
    index: pd.DataFrame,
    wanted: Mapping[tuple[str, int], config.RunConfig],
    folder: Path,
    progress: bool,
    keep=parts.keep_inner,
) -> dict[tuple[str, int], Path]:
    """Several trainings on one fold, made unless they are there.

    Args:
        index: as for `switches`.
        wanted: (name, seed) -> settings; all of one fold and one deal.
        folder: where `<name>_seed<s>.csv` of each goes.
        progress: print one line a training.
        keep: `parts.keep_inner` for a choice, `parts.keep` for what the fold holds out.

    Returns:
        (name, seed) -> its table of predictions.
    """
    with atomic.alone_in(folder):
        first = next(iter(wanted.values())).replace(protocol="clean")
        photographs = data.usable(index)
        if "fold" not in photographs:
            photographs = protocols.grouped(first, photographs)
        photographs = data.against_rest(photographs, first.positive)
        ready = splits.inner(photographs, first.fold, first.inner_fraction)
        tables = {}
        for number, ((name, seed), settings) in enumerate(wanted.items(), start=1):
            settings = settings.replace(protocol="clean")
            stem = f"{name or 'plain'}_seed{settings.seed}".replace(" ", "_")
            fit = functools.partial(train.fit, settings, ready, verbose=0)
            path = parts.trained(folder, stem, provenance.identity(settings, ready), fit, keep)
            tables[name, seed] = path
            if progress:
                metrics = evaluate.metrics(predictions.read(path), replicates=1)
                balanced, auc = (metrics[n]["value"] for n in ("balanced_accuracy", "macro_auc"))
                found = f"balanced {balanced:.1%}, AUC {auc or 0:.3f}"
                print(f"{stem}: {found}; {number} of {len(wanted)}", flush=True)
        return tables


# --- underneath ----------------------------------------------------------------------------------


def _on(settings: config.RunConfig, name: str, changes: Mapping) -> config.RunConfig:
    """The recipe with a switch on."""
    changes = dict(changes)
    if settings.model in models.MODELS and (idle := OF_A_BACKBONE & set(changes)):
        names = ", ".join(sorted(idle))
        raise ValueError(f"switch {name!r}: {settings.model} has no backbone that heeds {names}")
    if changes.get("augment", "").startswith("+"):
        changes["augment"] = (settings.augment + changes["augment"]).removeprefix("none+")
    changed = settings.replace(**changes)
    if name and changed == settings:
        raise ValueError(f"switch {name!r}: preset {settings.preset!r} has it already")
    return changed


def _keep(table: pd.DataFrame, folder: Path, name: str, draw) -> None:
    atomic.write_table(folder / f"{name}.csv", table)
    plots.save(draw(table), folder / f"{name}.png")
