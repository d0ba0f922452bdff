"""`skincnn experiment`: what a figure stands on, a command each."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from skincnn import config, options

Out = Annotated[Path | None, typer.Option(help="Results; default outputs/local/….")]
ScoredFold = Annotated[int, typer.Option(min=0, help="Whose inner part is scored.")]
experiment = typer.Typer(
    help="Experiments that a figure stands on; each goes on where it stopped.\n\n"
    "Example: skincnn experiment leakage",
    no_args_is_help=True,
)


@experiment.command("leakage")
def leak_on_leak_off(
    source: options.Data = None,
    out: Out = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings a protocol.")] = 3,
    epochs: options.Epochs = None,
    image_size: options.ImageSize = None,
    batch_size: options.BatchSize = None,
    precision: options.HowPrecise = None,
    as_json: options.AsJson = False,
) -> None:
    """Leak on, leak off: one network under three ways to split.

    Example: skincnn experiment leakage --seeds 3 --out outputs/runs/leakage
    """
    settings = options.settings_of(
        "published",
        epochs=epochs,
        image_size=image_size,
        batch_size=batch_size,
        precision=precision,
    )
    from skincnn import experiments

    def run(index, folder):
        return experiments.leakage(index, settings, folder, seeds, progress=not as_json)

    def shown(table):
        return experiments.summary(table).round(3).T.to_string(header=False)

    _carry_out("leakage", run, shown, source, out, as_json)


@experiment.command("scoreboards")
def three_scoreboards(
    preset: Annotated[
        list[options.Preset] | None, typer.Option(help="May stand there several times.")
    ] = None,
    source: options.Data = None,
    out: Out = None,
    epochs: options.Epochs = None,
    image_size: options.ImageSize = None,
    batch_size: options.BatchSize = None,
    precision: options.HowPrecise = None,
    as_json: options.AsJson = False,
) -> None:
    """Networks on three scoreboards: the Test folder, its fair part, grouped folds.

    Default: --preset baseline --preset regularised --preset final.

    Example: skincnn experiment scoreboards --image-size 64 --out outputs/runs/isic9_64px
    """
    names = [p.value for p in preset or ()] or ["baseline", "regularised", "final"]
    networks = [
        options.settings_of(
            name,
            epochs=epochs,
            image_size=image_size,
            batch_size=batch_size,
            precision=precision,
        )
        for name in names
    ]
    from skincnn import experiments

    def run(index, folder):
        return experiments.scoreboards(index, networks, folder, progress=not as_json)

    def shown(table):
        return _rounded(table.drop(columns="missing"))

    _carry_out("scoreboards", run, shown, source, out, as_json)


@experiment.command("ablation")
def one_switch_at_a_time(
    preset: Annotated[
        options.Preset, typer.Option(help="The recipe without them.")
    ] = options.Preset.transfer,
    source: options.Data = None,
    out: Out = None,
    switch: Annotated[
        list[str] | None, typer.Option(help="Part of a name, several times; default: all.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each.")] = 2,
    fold: ScoredFold = 0,
    epochs: options.Epochs = None,
    image_size: options.ImageSize = None,
    precision: options.HowPrecise = None,
    more: options.Set = None,
    as_json: options.AsJson = False,
) -> None:
    """What each switch of the recipe adds, over paired seeds, on one fold's inner part.

    Example: skincnn experiment ablation --image-size 128 --switch mixup --switch focal
    """
    from skincnn import ablations

    settings = options.settings_of(
        preset.value,
        more,
        epochs=epochs,
        image_size=image_size,
        precision=precision,
        fold=fold,
        protocol=options.Protocol.clean,
        inner_fraction=ablations.INNER,
    )
    chosen = ablations.named(switch or ())

    def run(index, folder):
        return ablations.switches(index, settings, folder, chosen, seeds, progress=not as_json)

    _carry_out("ablation", run, _rounded, source, out, as_json)


@experiment.command("backbones")
def one_recipe_on_many_networks(
    network: Annotated[
        list[str], typer.Option(help="MODEL or MODEL=WEIGHTS, several times.", metavar="MODEL")
    ],
    preset: Annotated[options.Preset, typer.Option(help="The recipe.")] = options.Preset.transfer,
    source: options.Data = None,
    out: Out = None,
    fold: ScoredFold = 0,
    epochs: options.Epochs = None,
    image_size: options.ImageSize = None,
    precision: options.HowPrecise = None,
    more: options.Set = None,
    as_json: options.AsJson = False,
) -> None:
    """Parameters, minutes and accuracy of several networks under one recipe.

    Example: skincnn experiment backbones --network MobileNetV2=imagenet --network compact
    """
    settings = options.settings_of(
        preset.value,
        more,
        epochs=epochs,
        image_size=image_size,
        precision=precision,
        fold=fold,
        protocol=options.Protocol.clean,
    )
    from skincnn import ablations

    networks = [(model, weights) for model, _, weights in (t.partition("=") for t in network)]

    def run(index, folder):
        return ablations.backbones(index, settings, networks, folder, progress=not as_json)

    _carry_out("backbones", run, _rounded, source, out, as_json)


@experiment.command("melanoma")
def pretrained_against_from_scratch(
    source: options.Data = None,
    out: Out = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each.")] = 2,
    fold: Annotated[int, typer.Option(min=0, help="Which fold is held out.")] = 0,
    epochs: options.Epochs = None,
    image_size: options.ImageSize = None,
    precision: options.HowPrecise = None,
    more: options.Set = None,
    as_json: options.AsJson = False,
) -> None:
    """Melanoma among all others, by AUC: pretrained, from scratch, with age, sex and site.

    Example: skincnn experiment melanoma --data outputs/local/ham_shards --epochs 5
    """
    from skincnn import rare

    typed = {"precision": getattr(precision, "value", None), "fold": fold}
    changes = config.parse(more or []) | {n: v for n, v in typed.items() if v is not None}
    networks = rare.networks(epochs or 0, image_size or 0, **changes)

    def run(index, folder):
        table, differences = rare.compared(index, networks, folder, seeds, progress=not as_json)
        print(_rounded(differences), file=sys.stderr)
        return table

    _carry_out("melanoma", run, _rounded, source, out, as_json)


@experiment.command("robustness")
def worse_photographs(
    model: Annotated[list[Path], typer.Option(help="A run with its weights, several times.")],
    source: options.Data = None,
    out: Out = None,
    most: Annotated[int, typer.Option(min=0, help="Photographs at most; 0: all held out.")] = 0,
    as_json: options.AsJson = False,
) -> None:
    """Accuracy and calibration under blur, noise, compression, exposure, cast, hairs, small size.

    Example: skincnn experiment robustness --model outputs/local/isic9_transfer
    """
    from skincnn import robustness, runs

    models = {path.resolve().name: runs.Run(path) for path in model}

    def run(index, folder):
        return robustness.curves(models, index, folder, most=most, progress=not as_json)

    def shown(table):
        wide = table.pivot_table("balanced_accuracy", ["model", "kind"], "strength")
        return wide.round(3).to_string()

    _carry_out("robustness", run, shown, source, out, as_json)


def _rounded(table) -> str:
    return table.round(3).to_string(index=False)


def _carry_out(name: str, run, shown, source: str | None, out: Path | None, as_json: bool) -> None:
    """Run an experiment on a set and tell its table: all of it for a program, in short to a reader.

    `run` takes the index and the folder and gives the table; `shown` makes text of it.
    """
    from skincnn import experiments

    index = options.load(source, quiet=as_json)
    folder = out or experiments.default_folder(index, name)
    with options.told_when_stopped():
        table = run(index, folder)
    if as_json:
        rows = json.loads(table.to_json(orient="records"))
        print(json.dumps({"folder": str(folder), "runs": rows}, indent=1))
    else:
        print(f"\n{folder}:\n{shown(table)}")
