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
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any other setting, several times."),
]
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
    more: Set = None,
    tensorboard: Annotated[bool, typer.Option(help="Write logs for TensorBoard too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train a preset; interrupted, the same command goes on from the last finished epoch.

    Example: skincnn train --preset baseline --epochs 3
    """
    settings = _settings(
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
    more: Set = None,
    keep_models: Annotated[bool, typer.Option(help="Leave the weights in outputs/local.")] = False,
    as_json: AsJson = False,
) -> None:
    """Cross-validate a preset on the clean index; the same command goes on where it stopped.

    Example: skincnn cv --preset baseline --folds 5 --seeds 1
    """
    settings = _settings(
        preset.value,
        more,
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

    index = _load(source, quiet=as_json)
    folder = out or experiments.default_folder(index)
    with _told_when_stopped():
        table = experiments.leakage(index, settings, folder, seeds, progress=not as_json)
    shown = experiments.summary(table).round(3).T.to_string(header=False)
    _tell(table, folder, shown, as_json)


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

    index = _load(source, quiet=as_json)
    folder = out or experiments.default_folder(index, "scoreboards")
    with _told_when_stopped():
        table = experiments.scoreboards(index, networks, folder, progress=not as_json)
    shown = table.drop(columns="missing").round(3).to_string(index=False)
    _tell(table, folder, shown, as_json)


@experiment.command("ablation")
def one_switch_at_a_time(
    preset: Annotated[Preset, typer.Option(help="The recipe without them.")] = Preset.transfer,
    source: Data = None,
    out: Annotated[Path | None, typer.Option(help="Results; default outputs/local/….")] = None,
    switch: Annotated[
        list[str] | None, typer.Option(help="Part of a switch's name; default: all of them.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each.")] = 2,
    fold: Annotated[int, typer.Option(min=0, help="Whose inner part is scored.")] = 0,
    epochs: Epochs = None,
    image_size: ImageSize = None,
    precision: HowPrecise = None,
    more: Set = None,
    as_json: AsJson = False,
) -> None:
    """What each switch of the recipe adds, over paired seeds, on one fold's inner part.

    Example: skincnn experiment ablation --image-size 128 --switch mixup --switch focal
    """
    from skincnn import ablations, experiments

    settings = _settings(
        preset.value,
        more,
        epochs=epochs,
        image_size=image_size,
        precision=precision,
        fold=fold,
        protocol=Protocol.clean,
        inner_fraction=ablations.INNER,
    )
    chosen = {
        name: changes
        for name, changes in ablations.SWITCHES.items()
        if not switch or any(part.lower() in name.lower() for part in switch)
    }
    if not chosen:
        raise ValueError(f"no switch is named so: choose of {', '.join(ablations.SWITCHES)}")
    index = _load(source, quiet=as_json)
    folder = out or experiments.default_folder(index, "ablation")
    with _told_when_stopped():
        table = ablations.switches(index, settings, folder, chosen, seeds, progress=not as_json)
    _tell(table, folder, table.round(3).to_string(index=False), as_json)


@experiment.command("backbones")
def one_recipe_on_many_networks(
    network: Annotated[
        list[str], typer.Option(help="MODEL or MODEL=WEIGHTS, several times.", metavar="MODEL")
    ],
    preset: Annotated[Preset, typer.Option(help="The recipe.")] = Preset.transfer,
    source: Data = None,
    out: Annotated[Path | None, typer.Option(help="Results; default outputs/local/….")] = None,
    fold: Annotated[int, typer.Option(min=0, help="Whose inner part is scored.")] = 0,
    epochs: Epochs = None,
    image_size: ImageSize = None,
    precision: HowPrecise = None,
    more: Set = None,
    as_json: AsJson = False,
) -> None:
    """Parameters, minutes and accuracy of several networks under one recipe.

    Example: skincnn experiment backbones --network MobileNetV2=imagenet --network compact
    """
    settings = _settings(
        preset.value,
        more,
        epochs=epochs,
        image_size=image_size,
        precision=precision,
        fold=fold,
        protocol=Protocol.clean,
    )
    from skincnn import ablations, experiments

    networks = {}
    for text in network:
        model, _, weights = text.partition("=")
        networks[model] = weights
    index = _load(source, quiet=as_json)
    folder = out or experiments.default_folder(index, "backbones")
    with _told_when_stopped():
        table = ablations.backbones(index, settings, networks, folder, progress=not as_json)
    _tell(table, folder, table.round(3).to_string(index=False), as_json)


@experiment.command("robustness")
def worse_photographs(
    model: Annotated[list[Path], typer.Option(help="A run with its weights, several times.")],
    source: Data = None,
    out: Annotated[Path | None, typer.Option(help="Results; default outputs/local/….")] = None,
    most: Annotated[int, typer.Option(min=0, help="Photographs at most; 0: all held out.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Accuracy and calibration under blur, noise, compression, exposure, cast, hairs, small size.

    Example: skincnn experiment robustness --model outputs/local/isic9_transfer
    """
    from skincnn import experiments, robustness, runs

    index = _load(source, quiet=as_json)
    folder = out or experiments.default_folder(index, "robustness")
    models = {path.resolve().name: runs.Run(path) for path in model}
    with _told_when_stopped():
        table = robustness.curves(models, index, folder, most=most, progress=not as_json)
    shown = table.pivot_table("balanced_accuracy", ["model", "kind"], "strength")
    _tell(table, folder, shown.round(3).to_string(), as_json)


@app.command("card")
def model_card(
    run: Annotated[Path, typer.Argument(help="A run or a cross-validation.")],
    out: Annotated[Path, typer.Option(help="Where the card goes.")] = Path("MODEL_CARD.md"),
    source: Annotated[
        str | None, typer.Option("--data", help="The set: figures by skin tone, age, … too.")
    ] = None,
    command: Annotated[str, typer.Option(help="That made the run; stands on the card.")] = "",
) -> None:
    """Write a model card from a run's own files.

    Example: skincnn card outputs/runs/isic9_transfer_cv --data isic9
    """
    from skincnn import cards, runs

    facts = _facts(source, "skin_tone", quiet=False) if source else None
    runs.write_text(out, cards.card(run, facts, command))
    print(out)


@app.command("ensemble")
def several_as_one(
    folders: Annotated[list[Path], typer.Argument(help="Runs or cross-validations.")],
    out: Annotated[Path, typer.Option(help="Where predictions.csv and metrics.json go.")],
    how: Annotated[
        str, typer.Option(help="mean, rank, or weighted (chosen on the inner parts).")
    ] = "mean",
    as_json: AsJson = False,
) -> None:
    """Average the predictions of several runs of the same photographs, from their files.

    Example: skincnn ensemble outputs/runs/a_cv outputs/runs/b_cv --out outputs/local/both
    """
    from skincnn import ensembles, evaluate, predictions, runs

    tables = [predictions.read(folder / "predictions.csv") for folder in folders]
    inner = [ensembles.inner_parts(folder) for folder in folders] if how == "weighted" else None
    table, weights = ensembles.combine(tables, how, inner)
    predictions.write(table, out / "predictions.csv")
    metrics = evaluate.metrics(predictions.read(out / "predictions.csv"))
    runs.write_json(out / "metrics.json", metrics)
    named = weights.set_axis([folder.name for folder in folders], axis=1).round(4)
    members = {
        "members": [folder.name for folder in folders],
        "how": how,
        "weights": {str(fold): row for fold, row in named.to_dict("index").items()},
    }
    runs.write_json(out / "config.json", members)
    if as_json:
        print(json.dumps({"run": str(out), **members, **metrics}, indent=1))
    else:
        print(f"{named.to_string()}\n\n{evaluate.summary(metrics)}")


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
    names: Annotated[
        Path | None,
        typer.Option("--map", help="A CSV from,to: labels of an outside set, and our classes."),
    ] = None,
    between: Annotated[
        str | None, typer.Option(help="Two classes alone too: melanoma,nevus.")
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

    mapping = predictions.read_map(names) if names else None
    frame = predictions.read(table, mapping)
    answer = evaluate.metrics(frame)
    texts = [summaries.summary(answer)]
    if against:
        answer["against"] = evaluate.compare(frame, predictions.read(against))
        texts.append(f"\nagainst {against}\n" + summaries.comparison(answer["against"]))
    if between:
        pair = [name.strip() for name in between.split(",")]
        if len(pair) != 2:
            raise ValueError(f"--between {between!r}: give two classes, melanoma,nevus")
        answer["between"] = evaluate.between(frame, *pair)
        texts.append(f"\n{pair[0]} against {pair[1]} alone\n{summaries.summary(answer['between'])}")
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
    place: Annotated[
        str, typer.Argument(metavar="FILE_OR_FOLDER_OR_SET", help="What to classify.")
    ],
    model: Annotated[Path, typer.Option(help="A run folder with its weights.")],
    csv: Annotated[Path | None, typer.Option(help="Write the probabilities here.")] = None,
) -> None:
    """Classify photographs with a trained run.

    A set (its name, or a table of labels) is written with its own labels, whatever the run's
    classes are: `skincnn evaluate --map` says which of them mean the same.

    Example: skincnn predict --model outputs/local/sample_baseline photo.jpg --csv answers.csv
    """
    from tqdm import tqdm

    from skincnn import predict, runs

    run = runs.Run(model)
    root, files, facts = _to_classify(place)
    stream = predict.answers(files, run.classify, run.config.image_size)
    results = list(tqdm(stream, "classifying", len(files), disable=len(files) < 64))
    for result in results:
        if result.problem:
            print(f"{result.file}: {result.problem}", file=sys.stderr)
        elif csv is None or len(files) <= 10:
            best = sorted(zip(result.probabilities, run.classes, strict=True), reverse=True)[:3]
            print(f"{result.file}: " + ", ".join(f"{name} {p:.0%}" for p, name in best))
    if csv:
        predict.write(results, run.classes, root, csv, run.config.seed, facts)
        print(f"{sum(not r.problem for r in results)} photographs → {csv}")
    print(NOTICE, file=sys.stderr)
    raise typer.Exit(1 if any(r.problem for r in results) else 0)


def _to_classify(place: str) -> tuple[Path, list[Path], dict | None]:
    """What to classify: the folder paths are told from, the files, and what a set says of them."""
    from skincnn import predict

    path = Path(place)
    if path.suffix != ".csv" and path.exists():
        return path if path.is_dir() else path.parent, predict.find(path), None
    from skincnn import data

    index = data.usable(_load(place))
    facts = index.set_index("file")[["label", "group", "split"]].to_dict("index")
    return Path(index.attrs["root"]), data.paths(index), facts


def _settings(preset: str, more: list[str] | None = None, **changes) -> config.RunConfig:
    """A preset with what was typed on top; what was not typed is None."""
    typed = {
        name: getattr(value, "value", value) for name, value in changes.items() if value is not None
    }
    return config.preset(preset, **config.parse(more or []), **typed)


def _facts(name: str, column: str, quiet: bool):
    """What a set's own metadata and photographs say, the skin tone only where it is asked for."""
    from skincnn import data, official

    index = data.usable(_load(name, quiet))
    known = official.facts()
    for person in set(official.PERSON) - set(index):
        index[person] = index["image_id"].map(known[person].to_dict()).fillna("")
    if column == "skin_tone":
        from skincnn import skintone

        index[column] = skintone.measure(index, progress=not quiet).map(skintone.tone)
    return index


def _tell(table, folder: Path, shown: str, as_json: bool) -> None:
    """An experiment's table: all of it for a program, in short for a reader."""
    if as_json:
        rows = json.loads(table.to_json(orient="records"))
        print(json.dumps({"folder": str(folder), "runs": rows}, indent=1))
    else:
        print(f"\n{folder}:\n{shown}")


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
