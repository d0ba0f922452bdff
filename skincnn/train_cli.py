"""Networks trained: once, or once for each fold of a cross-validation."""

import json
from pathlib import Path
from typing import Annotated

import typer

from skincnn import options

training = typer.Typer()


@training.command("train")
def train_run(
    preset: Annotated[options.Preset, typer.Option(help="Which recipe.")] = options.Preset.baseline,
    source: options.Data = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; default outputs/local/….")] = None,
    epochs: options.Epochs = None,
    image_size: options.ImageSize = None,
    batch_size: options.BatchSize = None,
    seed: Annotated[int | None, typer.Option(help="Of split, weights and order.")] = None,
    protocol: Annotated[
        options.Protocol | None, typer.Option(help="Default: the preset's.")
    ] = None,
    fold: Annotated[int | None, typer.Option(min=0, help="Held out by protocol clean.")] = None,
    precision: options.HowPrecise = None,
    more: options.Set = None,
    facts: options.Facts = None,
    skip_damaged: options.SkipDamaged = False,
    coordinator: options.Coordinator = "",
    processes: options.Processes = 1,
    process: options.Process = 0,
    tensorboard: Annotated[bool, typer.Option(help="Write logs for TensorBoard too.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Train a preset; interrupted, the same command goes on from the last finished epoch.

    Example: skincnn train --preset baseline --epochs 3
    """
    settings = options.settings_of(
        preset.value,
        more,
        epochs=epochs,
        image_size=image_size,
        batch_size=batch_size,
        seed=seed,
        protocol=protocol,
        fold=fold,
        precision=precision,
    )
    from skincnn import data, distribute, evaluate, train

    if coordinator or processes > 1:
        distribute.join(coordinator, processes, process)
        as_json = as_json and distribute.first()
    index = options.load(source, as_json, facts, skip_damaged)
    folder = out or train.default_folder(settings, index)
    if not as_json:
        print(f"{len(data.usable(index))} photographs of {index.attrs['name']} → {folder}")
    with options.told_when_stopped():
        verbose = 0 if as_json else "auto"
        run = train.fit(settings, index, folder, verbose=verbose, tensorboard=tensorboard)
    if not distribute.first():
        return
    if as_json:
        print(json.dumps({"run": str(folder), **run.metrics}, indent=1))
    else:
        print(f"\n{folder}: held-out photographs, protocol {settings.protocol}")
        print(evaluate.summary(run.metrics))


@training.command("cv")
def cross_validate(
    preset: Annotated[options.Preset, typer.Option(help="Which recipe.")] = options.Preset.baseline,
    source: options.Data = None,
    out: Annotated[Path | None, typer.Option(help="Results; default outputs/local/….")] = None,
    folds: Annotated[int, typer.Option(min=2)] = 5,
    seeds: Annotated[int, typer.Option(min=1, help="Times all folds are trained.")] = 1,
    epochs: options.Epochs = None,
    image_size: options.ImageSize = None,
    batch_size: options.BatchSize = None,
    precision: options.HowPrecise = None,
    more: options.Set = None,
    facts: options.Facts = None,
    skip_damaged: options.SkipDamaged = False,
    keep_models: Annotated[bool, typer.Option(help="Leave the weights in outputs/local.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Cross-validate a preset on the clean index; the same command goes on where it stopped.

    Example: skincnn cv --preset baseline --folds 5 --seeds 1
    """
    settings = options.settings_of(
        preset.value,
        more,
        protocol=options.Protocol.clean,
        folds=folds,
        epochs=epochs,
        image_size=image_size,
        batch_size=batch_size,
        precision=precision,
    )
    from skincnn import crossval, evaluate

    index = options.load(source, as_json, facts, skip_damaged)
    folder = out or crossval.default_folder(settings, index)
    with options.told_when_stopped():
        run = crossval.run(
            settings,
            index,
            folder,
            seeds=[settings.seed + turn for turn in range(seeds)],
            keep_models=keep_models,
            progress=not as_json,
        )
    if as_json:
        print(json.dumps({"run": str(folder), **run.metrics}, indent=1))
    else:
        print(f"\n{folder}: every photograph held out once a seed, protocol clean")
        print(evaluate.summary(run.metrics))
