"""The command line: thin, each command a few calls of the package.

Exit code 0 is success, 1 "it ran and found problems", 2 bad input with one clear line. Imports are
inside the commands, so that `--help` does not wait for TensorFlow.
"""

import contextlib
import json
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from skincnn import __version__, config

NOTICE = "skincnn is for learning and research. It is not a medical device."
app = typer.Typer(
    help=f"Classify photographs of skin lesions, with figures that hold.\n\n{NOTICE}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]
Data = Annotated[
    str | None,
    typer.Option(
        "--data", help="A folder, isic9 or sample. Default: SKINCNN_DATA, data/raw, sample."
    ),
]
Preset = StrEnum("Preset", {name: name for name in config.PRESETS})
Protocol = StrEnum("Protocol", {n: n for n in config.PROTOCOLS})
Precision = StrEnum("Precision", {n: n for n in config.PRECISIONS})
Epochs = Annotated[int | None, typer.Option(min=1)]
ImageSize = Annotated[int | None, typer.Option(min=16, help="Pixels a side.")]
BatchSize = Annotated[int | None, typer.Option(min=1)]
HowPrecise = Annotated[Precision | None, typer.Option()]
Downloadable = StrEnum("Downloadable", {"isic9": "isic9"})


def main() -> None:
    """Run a command; bad input ends in one line and exit code 2, never in a traceback."""
    # TensorFlow's start-up lines help nobody who typed a command.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except ModuleNotFoundError as error:
        print(f"skincnn: {error.name} is missing: pip install 'skincnn[train]'", file=sys.stderr)
        sys.exit(2)
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        text = " ".join(str(error).split())
        print(f"skincnn: {text or type(error).__name__}", file=sys.stderr)
        sys.exit(2)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Say what this machine has: versions, devices, cores, memory, data.

    Example: skincnn doctor
    """
    import keras
    import psutil
    import tensorflow as tf

    from skincnn import data, runs

    problems = []
    try:
        name, folder = data.find()
        found = f"{name}: {folder}"
        if name == "sample" and not folder.is_dir():
            found += " (drawn when first used)"
    except data.DataError as error:
        found, problems = f"none: {error}", ["data"]
    memory = psutil.virtual_memory()
    facts = {
        "skincnn": __version__,
        **runs.versions(),
        "backend": keras.config.backend(),
        "devices": ", ".join(d.name.split(":", 1)[1] for d in tf.config.list_physical_devices()),
        "cores": os.cpu_count(),
        "memory": f"{memory.total / 2**30:.1f} GB, {memory.available / 2**30:.1f} GB free",
        "data": found,
    }
    if as_json:
        print(json.dumps(facts, indent=1))
    else:
        print("\n".join(f"{key:12} {value}" for key, value in facts.items()))
    raise typer.Exit(1 if problems else 0)


@app.command("sample")
def draw_sample(
    out: Annotated[Path | None, typer.Option(help="Where to; default data/sample.")] = None,
    n: Annotated[int, typer.Option(help="About how many photographs.")] = 600,
    seed: Annotated[int, typer.Option(help="The same seed draws the same bytes.")] = 2357,
) -> None:
    """Draw the synthetic sample set.

    Example: skincnn sample --out my_sample
    """
    from skincnn import sample

    print(sample.make(out or config.sample_dir(), n=n, seed=seed))


@app.command("download")
def fetch(
    name: Annotated[Downloadable, typer.Argument(help="The set.")],
    out: Annotated[Path | None, typer.Option(help="Where to; default data/raw/NAME.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Fetch again what is there.")] = False,
) -> None:
    """Fetch a real set from Kaggle; interrupted, the same command goes on.

    Example: skincnn download isic9
    """
    from skincnn import download

    print(download.fetch(name.value, out, force=force))


@app.command("audit")
def audit_set(
    name: Annotated[
        str | None, typer.Argument(metavar="FOLDER_OR_SET", help="A folder, isic9 or sample.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write report.html and the tables into this folder.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find what is wrong with a set: copies, misnamed photographs, leaks, shortcuts, bad files.

    Exit code 0: nothing found; 1: there are findings.

    Example: skincnn audit my_photographs --report outputs/local/audit
    """
    from skincnn import audit, data

    found = audit.run(data.load(name, progress=not as_json), progress=not as_json)
    if report is not None:
        from skincnn import report as page

        path = page.write(found, report)
        print(f"{path}: open it in a browser", file=sys.stderr)
    print(json.dumps(found.counts(), indent=1, ensure_ascii=False) if as_json else found)
    raise typer.Exit(0 if found.clean else 1)


@app.command("train")
def train_run(
    preset: Annotated[Preset, typer.Option(help="Which recipe.")] = Preset.baseline,
    source: Data = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; default outputs/local/….")] = None,
    epochs: Epochs = None,
    image_size: ImageSize = None,
    batch_size: BatchSize = None,
    seed: Annotated[int | None, typer.Option(help="Of split, weights and order.")] = None,
    protocol: Annotated[Protocol | None, typer.Option(help="Default: the preset's.")] = None,
    fold: Annotated[int | None, typer.Option(min=0, help="Held out by protocol clean.")] = None,
    precision: HowPrecise = None,
    tensorboard: Annotated[bool, typer.Option(help="Write logs for TensorBoard too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train a preset; interrupted, the same command goes on from the last finished epoch.

    Example: skincnn train --preset baseline --epochs 3
    """
    settings = _settings(
        preset.value,
        epochs=epochs,
        image_size=image_size,
        batch_size=batch_size,
        seed=seed,
        protocol=protocol,
        fold=fold,
        precision=precision,
    )
    from skincnn import data, evaluate, train

    index = _load(source, quiet=as_json)
    folder = out or train.default_folder(settings, index)
    if not as_json:
        print(f"{len(data.usable(index))} photographs of {index.attrs['name']} → {folder}")
    with _told_when_stopped():
        verbose = 0 if as_json else "auto"
        run = train.fit(settings, index, folder, verbose=verbose, tensorboard=tensorboard)
    if as_json:
        print(json.dumps({"run": str(folder), **run.metrics}, indent=1))
    else:
        print(f"\n{folder}: held-out photographs, protocol {settings.protocol}")
        print(evaluate.summary(run.metrics))


@app.command("cv")
def cross_validate(
    preset: Annotated[Preset, typer.Option(help="Which recipe.")] = Preset.baseline,
    source: Data = None,
    out: Annotated[Path | None, typer.Option(help="Results; default outputs/local/….")] = None,
    folds: Annotated[int, typer.Option(min=2)] = 5,
    seeds: Annotated[int, typer.Option(min=1, help="Times all folds are trained.")] = 1,
    epochs: Epochs = None,
    image_size: ImageSize = None,
    batch_size: BatchSize = None,
    precision: HowPrecise = None,
    keep_models: Annotated[bool, typer.Option(help="Leave the weights in outputs/local.")] = False,
    as_json: AsJson = False,
) -> None:
    """Cross-validate a preset on the clean index; the same command goes on where it stopped.

    Example: skincnn cv --preset baseline --folds 5 --seeds 1
    """
    settings = _settings(
        preset.value,
        protocol=Protocol.clean,
        folds=folds,
        epochs=epochs,
        image_size=image_size,
        batch_size=batch_size,
        precision=precision,
    )
    from skincnn import crossval, evaluate

    index = _load(source, quiet=as_json)
    folder = out or crossval.default_folder(settings, index)
    with _told_when_stopped():
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


experiment = typer.Typer(
    help="Experiments that a figure stands on; each goes on where it stopped.\n\n"
    "Example: skincnn experiment leakage",
    no_args_is_help=True,
)
app.add_typer(experiment, name="experiment")


@experiment.command("leakage")
def leak_on_leak_off(
    source: Data = None,
    out: Annotated[Path | None, typer.Option(help="Results; default outputs/local/….")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings a protocol.")] = 3,
    epochs: Epochs = None,
    image_size: ImageSize = None,
    batch_size: BatchSize = None,
    precision: HowPrecise = None,
    as_json: AsJson = False,
) -> None:
    """Leak on, leak off: one network under three ways to split.

    Example: skincnn experiment leakage --seeds 3 --out outputs/runs/leakage
    """
    settings = _settings(
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

    _experiment("leakage", run, shown, source, out, as_json)


@experiment.command("scoreboards")
def three_scoreboards(
    preset: Annotated[
        list[Preset] | None, typer.Option(help="May stand there several times.")
    ] = None,
    source: Data = None,
    out: Annotated[Path | None, typer.Option(help="Results; default outputs/local/….")] = None,
    epochs: Epochs = None,
    image_size: ImageSize = None,
    batch_size: BatchSize = None,
    precision: HowPrecise = None,
    as_json: AsJson = False,
) -> None:
    """Networks on three scoreboards: the Test folder, its fair part, grouped folds.

    Default: --preset baseline --preset regularised --preset final.

    Example: skincnn experiment scoreboards --image-size 64 --out outputs/runs/isic9_64px
    """
    names = [p.value for p in preset or ()] or ["baseline", "regularised", "final"]
    networks = [
        _settings(
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
        return table.drop(columns="missing").round(3).to_string(index=False)

    _experiment("scoreboards", run, shown, source, out, as_json)


@app.command("evaluate")
def score(
    table: Annotated[Path, typer.Argument(help="A predictions.csv.")],
    against: Annotated[
        Path | None, typer.Option(help="Another of the same photographs: compare the two.")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(help="A column of --index or --data: split every figure by it."),
    ] = None,
    index: Annotated[
        Path | None, typer.Option(help="Facts about the photographs: a CSV with file or image_id.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--data", help="The set instead: its metadata, and skin_tone measured on it."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score saved predictions, with 95 % intervals; needs no model.

    Example: skincnn evaluate outputs/runs/isic9_baseline/predictions.csv
    """
    if (by is not None) != ((index is None) != (source is None)):
        raise ValueError(
            "--by goes with --index or --data: a column, and the table or the set that has it"
        )
    from skincnn import evaluate, predictions, subgroups, summaries

    frame = predictions.read(table)
    answer = evaluate.metrics(frame)
    texts = [summaries.summary(answer)]
    if against:
        answer["against"] = evaluate.compare(frame, predictions.read(against))
        texts.append(f"\nagainst {against}\n" + summaries.comparison(answer["against"]))
    if by:
        facts = subgroups.read(index) if index else _facts(source, by, quiet=as_json)
        split = evaluate.by(frame, facts, by)
        answer["by"] = json.loads(
            split.reset_index().to_json(orient="records", double_precision=15)
        )
        texts.append("\n" + summaries.subgroups(split, answer["positive"]))
    print(json.dumps(answer, indent=1) if as_json else "\n".join(texts))


@app.command("predict")
def classify(
    place: Annotated[Path, typer.Argument(metavar="FILE_OR_FOLDER")],
    model: Annotated[Path, typer.Option(help="A run folder with its weights.")],
    csv: Annotated[Path | None, typer.Option(help="Write the probabilities here.")] = None,
) -> None:
    """Classify photographs with a trained run.

    Example: skincnn predict --model outputs/local/sample_baseline photo.jpg --csv answers.csv
    """
    from tqdm import tqdm

    from skincnn import predict, runs

    files = predict.find(place)
    run = runs.Run(model)
    network, classes = run.model, run.classes
    stream = predict.answers(
        files,
        lambda batch: network.predict_on_batch(batch.astype("float32")),
        run.config.image_size,
    )
    results = list(tqdm(stream, "classifying", len(files), disable=len(files) < 64))
    for result in results:
        if result.problem:
            print(f"{result.file}: {result.problem}", file=sys.stderr)
        elif csv is None or len(files) <= 10:
            best = sorted(zip(result.probabilities, classes, strict=True), reverse=True)[:3]
            print(f"{result.file}: " + ", ".join(f"{name} {p:.0%}" for p, name in best))
    if csv:
        root = place if place.is_dir() else place.parent
        predict.write(results, classes, root, csv, run.config.seed)
        print(f"{sum(not r.problem for r in results)} photographs → {csv}")
    print(NOTICE, file=sys.stderr)
    raise typer.Exit(1 if any(r.problem for r in results) else 0)


def _settings(preset: str, **changes) -> config.RunConfig:
    """A preset with what was typed on top; what was not typed is None."""
    typed = {
        name: getattr(value, "value", value) for name, value in changes.items() if value is not None
    }
    return config.preset(preset, **typed)


def _facts(name: str, column: str, quiet: bool):
    """What a set's own metadata and photographs say, the skin tone only where it is asked for."""
    from skincnn import data

    index = data.usable(_load(name, quiet))
    if column == "skin_tone" and column not in index:
        from skincnn import skintone

        index[column] = skintone.measure(index, progress=not quiet).map(skintone.tone)
    return index


def _experiment(name: str, run, shown, source, out: Path | None, as_json: bool) -> None:
    """Run an experiment on a set and tell its table: all of it for a program, in short to a reader.

    `run` takes the index and the folder and gives the table; `shown` makes text of it.
    """
    from skincnn import experiments

    index = _load(source, quiet=as_json)
    folder = out or experiments.default_folder(index, name)
    with _told_when_stopped():
        table = run(index, folder)
    if as_json:
        rows = json.loads(table.to_json(orient="records"))
        print(json.dumps({"folder": str(folder), "runs": rows}, indent=1))
    else:
        print(f"\n{folder}:\n{shown(table)}")


@contextlib.contextmanager
def _told_when_stopped():
    try:
        yield
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on from the last finished epoch.", file=sys.stderr)
        raise


def _load(name: str | None, quiet: bool = False):
    """The index, with what was set aside told on stderr."""
    from skincnn import data

    index = data.load(name, progress=not quiet)
    aside = data.set_aside(index)
    if len(aside):
        print(f"{len(aside)} set aside or passed over:", file=sys.stderr)
        for file, reason in aside.head(20).itertuples(index=False):
            print(f"  {file}: {reason}", file=sys.stderr)
        if len(aside) > 20:
            print(f"  … and {len(aside) - 20} more", file=sys.stderr)
    return index
