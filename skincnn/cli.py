"""The command line: thin, each command a few calls of the package.

Exit code 0 is success, 1 "it ran and found problems", 2 bad input with one clear line. Imports are
inside the commands, so that `--help` does not wait for TensorFlow.
"""

import json
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from skincnn import __version__, config, experiment_cli, options

NOTICE = "skincnn is for learning and research. It is not a medical device."
app = typer.Typer(
    help=f"Classify photographs of skin lesions, with figures that hold.\n\n{NOTICE}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(experiment_cli.experiment, name="experiment")
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
def doctor(as_json: options.AsJson = False) -> None:
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
    table: Annotated[
        Path | None,
        typer.Option(
            "--predictions", help="A cross-validation's predictions.csv: the names it doubts too."
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Find what is wrong with a set: copies, misnamed photographs, leaks, shortcuts, bad files.

    Exit code 0: nothing found; 1: there are findings.

    Example: skincnn audit my_photographs --report outputs/local/audit
    """
    from skincnn import audit, data, predictions

    doubted = None if table is None else audit.suspicious(predictions.read(table))
    found = audit.run(data.load(name, progress=not as_json), progress=not as_json)
    if report is not None:
        from skincnn import report as page

        path = page.write(found, report, doubted)
        print(f"{path}: open it in a browser", file=sys.stderr)
    more = {} if doubted is None else {"suspicious": doubted.round(4).to_dict("records")}
    if as_json:
        print(json.dumps({**found.counts(), **more}, indent=1, ensure_ascii=False))
    else:
        print(found)
        if doubted is not None:
            print(f"- {len(doubted):,} names that the predictions doubt, the most doubted first:")
            print(doubted.head(10).round(2).to_string(index=False))
    raise typer.Exit(0 if found.clean and (doubted is None or doubted.empty) else 1)


@app.command("train")
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
    from skincnn import data, evaluate, train

    index = options.load(source, quiet=as_json)
    folder = out or train.default_folder(settings, index)
    if not as_json:
        print(f"{len(data.usable(index))} photographs of {index.attrs['name']} → {folder}")
    with options.told_when_stopped():
        verbose = 0 if as_json else "auto"
        run = train.fit(settings, index, folder, verbose=verbose, tensorboard=tensorboard)
    if as_json:
        print(json.dumps({"run": str(folder), **run.metrics}, indent=1))
    else:
        print(f"\n{folder}: held-out photographs, protocol {settings.protocol}")
        print(evaluate.summary(run.metrics))


@app.command("cv")
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

    index = options.load(source, quiet=as_json)
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


@app.command("card")
def model_card(
    run: Annotated[Path, typer.Argument(help="A run or a cross-validation.")],
    out: Annotated[Path, typer.Option(help="Where the card goes.")] = Path("MODEL_CARD.md"),
    source: Annotated[
        str | None, typer.Option("--data", help="The set: figures by skin tone, age, … too.")
    ] = None,
) -> None:
    """Write a model card from a run's own files.

    Example: skincnn card outputs/runs/isic9_transfer_cv --data isic9
    """
    from skincnn import cards, runs

    facts = options.facts_of(source, "skin_tone", quiet=False) if source else None
    runs.write_text(out, cards.card(run, facts))
    print(out)


@app.command("ensemble")
def several_as_one(
    folders: Annotated[list[Path], typer.Argument(help="Runs or cross-validations.")],
    out: Annotated[Path, typer.Option(help="Where predictions.csv and metrics.json go.")],
    how: Annotated[
        str, typer.Option(help="mean, rank, or weighted (chosen on the inner parts).")
    ] = "mean",
    as_json: options.AsJson = False,
) -> None:
    """Average the predictions of several runs of the same photographs, from their files.

    Example: skincnn ensemble outputs/runs/a_cv outputs/runs/b_cv --out outputs/local/both
    """
    from skincnn import ensembles, evaluate, runs

    weights = ensembles.save(folders, out, how)
    run = runs.Run(out)
    if as_json:
        about = {key: run.info[key] for key in ("members", "how")}
        print(json.dumps({"run": str(out), **about, **run.metrics}, indent=1))
    else:
        print(f"{weights.round(4).to_string()}\n\n{evaluate.summary(run.metrics)}")


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
    as_json: options.AsJson = False,
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
        answer["against"] = evaluate.compare(frame, predictions.read(against, mapping))
        texts.append(f"\nagainst {against}\n" + summaries.comparison(answer["against"]))
    if between:
        pair = [name.strip() for name in between.split(",")]
        if len(pair) != 2:
            raise ValueError(f"--between {between!r}: give two classes, melanoma,nevus")
        answer["between"] = evaluate.between(frame, *pair)
        texts.append(f"\n{pair[0]} against {pair[1]} alone\n{summaries.summary(answer['between'])}")
    if by:
        facts = subgroups.read(index) if index else options.facts_of(source, by, quiet=as_json)
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
    root, files, facts = _to_classify(place, run.classes)
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


def _to_classify(place: str, classes: list[str]) -> tuple[Path, list[Path], dict | None]:
    """What to classify: the folder paths are told from, the files, and what a set says of them."""
    from skincnn import data, folders, images, predict

    path = Path(place)
    if path.suffix.lower() in images.EXTENSIONS:
        return path.parent, predict.find(path), None
    if path.is_dir() and data.labels_table(path) is None:
        files = predict.find(path)
        names = folders.class_names(path) if folders.set_root(path) else set()
        strange = len(names) > 1 and not names & set(classes)  # an outside set's own classes
        facts = {f.relative_to(path).as_posix(): {"label": f.parent.name} for f in files}
        return path, files, facts if strange else None
    index = data.usable(options.load(place))
    facts = index.set_index("file")[["label", "group", "split"]].to_dict("index")
    return Path(index.attrs["root"]), data.paths(index), facts
