"""`skincnn predict`: photographs in, answers out; by a sealed model, or by a run with its Keras."""

import contextlib
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from skincnn import artefact, options

predicting = typer.Typer()


class _Model(NamedTuple):
    """What answers, whatever it is made of."""

    classes: list[str]
    image_size: int
    seed: int
    # uint8 (N, S, S, 3), and what is known of the persons -> probabilities, or verdicts, of each
    classify: Callable
    metadata: bool  # whether it takes what is known of the persons
    about: dict  # for a program
    learnt: str  # the name of the set it was trained on, "" where nobody knows


@predicting.command("predict")
def classify(
    place: Annotated[
        str,
        typer.Argument(metavar="FILE_OR_FOLDER_OR_SET", help="What to classify; shards too."),
    ],
    model: Annotated[
        Path | None,
        typer.Option(help="What `skincnn export` wrote, or a run folder with its weights."),
    ] = None,
    endpoint: Annotated[
        str, typer.Option(help="Of Vertex AI instead: as `skincnn deploy` prints it.")
    ] = "",
    csv: Annotated[Path | None, typer.Option(help="Write the probabilities here.")] = None,
    submission: Annotated[
        Path | None, typer.Option(help="Write image_name,target here: the competition's form.")
    ] = None,
    strangers_to: Annotated[
        str | None,
        typer.Option(
            metavar="SET", help="Only what shares no photograph, lesion, patient with it."
        ),
    ] = None,
    facts: options.Facts = None,
    skip_damaged: options.SkipDamaged = False,
    as_json: options.AsJson = False,
) -> None:
    """Classify photographs with an exported model, which needs no TensorFlow, or with a run.

    A model answers with calibrated probabilities, malignant or benign, "not sure", "not a lesion".
    A run answers with the probabilities its network gives, as they stand in its predictions.csv.

    A set (its name, or a table of labels) is written with its own labels, whatever the run's
    classes are: `skincnn evaluate --map` says which of them mean the same. An outside set may hold
    what the run was trained on: --strangers-to leaves that out. Answers go to a file as they come:
    memory does not grow with their number.

    Example: skincnn predict photo.jpg --model mole.onnx

    Example: skincnn predict --model outputs/local/sample_baseline photos --csv answers.csv
    """
    from tqdm import tqdm

    from skincnn import predict

    answering = _opened(model, endpoint)
    classes, failed, sent, told = answering.classes, 0, Counter(), []
    if submission:
        predict.submission("a", [0.0] * len(classes), classes)  # refused before hours of work
    total, name, stream = _answers(answering, place, strangers_to, facts, skip_damaged)
    with contextlib.ExitStack() as stack:
        tables = []
        for path, header in ((csv, predict.header(classes)), (submission, predict.SUBMISSION)):
            tables.append(stack.enter_context(predict.table(path, header)) if path else None)
        for file, shown, said, problem, known in tqdm(
            stream, "classifying", total, disable=total < 64
        ):
            if problem:
                print(f"{shown}: {problem}", file=sys.stderr)
                told.append({"file": str(shown), "problem": problem})
                failed += 1
                continue
            probabilities = getattr(said, "probabilities", said)
            sent[predict.short(shown)] += 1
            if csv:
                tables[0](predict.row(file, probabilities, classes, answering.seed, known))
            if submission:
                tables[1](predict.submission(shown, probabilities, classes))
            if as_json:
                told.append({"file": str(shown), **_told(said, classes)})
            elif not (csv or submission) or total <= 10:
                print(f"{shown}: {_line(said, classes)}")
    if as_json:
        content = {"model": answering.about, "photographs": told, "notice": options.NOTICE}
        print(json.dumps(content, indent=1, ensure_ascii=False))
    else:
        for path in filter(None, (csv, submission)):
            print(f"{sent.total()} photographs → {path}")
    if submission and (again := [name for name, times in sent.items() if times > 1]):
        print(f"{len(again)} names stand there twice, {again[0]!r} first", file=sys.stderr)
    if answering.learnt and answering.learnt == name:
        print(
            f"The model learnt from {name}: its answers to photographs it has seen measure nothing "
            "(its run's predictions.csv has those of what was held out).",
            file=sys.stderr,
        )
    print(options.NOTICE, file=sys.stderr)
    raise typer.Exit(1 if failed else 0)


def _opened(model: Path | None, endpoint: str) -> _Model:
    if (model is None) == (not endpoint):
        raise ValueError("give --model FILE, or --endpoint of a model in the cloud")
    if endpoint or artefact.sealed(model):
        if endpoint:
            from skincnn import remote

            answers = remote.Remote(endpoint)
        else:
            from skincnn import predictor

            answers = predictor.load(model)
        facts = answers.facts
        about = {"name": facts.name, "version": facts.version, "licence": facts.licence}
        return _Model(
            facts.classes,
            facts.image_size,
            int(facts.source.get("seed", 0)),
            answers.verdicts,
            False,
            {"file": endpoint or str(model), **about},
            facts.source.get("data", ""),
        )
    from skincnn import runs

    run = runs.Run(model)
    settings = run.config
    about = {"file": str(model), "name": run.name}
    return _Model(
        run.classes,
        settings.image_size,
        settings.seed,
        run.classify,
        settings.metadata,
        about,
        run.info.get("data", {}).get("name", ""),
    )


def _told(said, classes: Sequence[str]) -> dict:
    """An answer for a program."""
    if hasattr(said, "told"):
        return said.told(classes)
    best = int(said.argmax())
    probabilities = {c: round(float(p), 6) for c, p in zip(classes, said, strict=True)}
    return {
        "label": classes[best],
        "confidence": probabilities[classes[best]],
        "probabilities": probabilities,
    }


def _line(said, classes: Sequence[str]) -> str:
    """An answer for a person."""
    if hasattr(said, "sentence"):
        return said.sentence
    best = sorted(zip(said, classes, strict=True), reverse=True)[:3]
    return ", ".join(f"{label} {p:.0%}" for p, label in best)


def _answers(model: _Model, place: str, strangers_to: str | None, tables, skip_damaged: bool):
    """How many photographs there are, their set's name ("" of those strange to a model's), and of
    each: its name in the set, the one to show a person, what is said, problem, what is known."""
    from skincnn import images, predict

    path = Path(place)
    local = path.exists() or path.suffix.lower() in images.EXTENSIONS
    alone = strangers_to is None and not (tables or skip_damaged)
    if local and alone and (files := _files(path)):
        root = path if path.is_dir() else path.parent
        known = _outside_labels(path, files, model.classes)
        answers = predict.answers(files, model.classify, model.image_size)
        stream = (
            (file := answer.file.relative_to(root).as_posix(), *answer, known.get(file, {}))
            for answer in answers
        )
        return len(files), root.resolve().name, stream
    return _answers_of_set(model, place, strangers_to, tables, skip_damaged)


def _files(path: Path) -> list[Path]:
    """The photographs of a path that is no set with facts of its own; none of one that is."""
    from skincnn import images, predict

    if not path.is_dir():
        return predict.find(path) if path.suffix.lower() in images.EXTENSIONS else []
    if any(p.suffix.lower() in (".csv", *options.SHARDS) for p in path.iterdir()):
        from skincnn import data  # pandas, which plain photographs do without

        if data.labels_table(path) or options.shards_in(str(path)):
            return []
    return predict.find(path)


def _outside_labels(path: Path, files: list[Path], classes: list[str]) -> dict:
    """The labels of an outside set's class folders, whatever the model's classes are."""
    from skincnn import folders

    names = folders.class_names(path) if path.is_dir() and folders.set_root(path) else set()
    if len(names) < 2 or not names - set(classes):
        return {}
    return {f.relative_to(path).as_posix(): {"label": f.parent.name} for f in files}


def _answers_of_set(model: _Model, place: str, strangers_to: str | None, tables, skip_damaged):
    from skincnn import config, data, person, predict

    index = options.load(place, facts=tables, skip_damaged=skip_damaged)
    index, name = data.usable(index), index.attrs["name"] if strangers_to is None else ""
    if strangers_to is not None:
        from skincnn import transfer

        index = transfer.without_relatives(index, options.load(strangers_to))
        if index.empty:
            raise ValueError(f"{place} has nothing that is not related to {strangers_to}")
    columns = ["image_id", "label", "group", "split"]

    def known(row: int) -> dict:
        return {name: index[name].iat[row] for name in columns}

    people = person.vectors(person.of(index)) if model.metadata else None
    if "shard" in index:
        from skincnn import stream

        settings = config.RunConfig(image_size=model.image_size)  # hair is removed by `classify`
        source = stream.Records(index, [], settings, shuffle=False, people=people)
        batches = (
            (at, model.classify(pixels) if people is None else model.classify(pixels, told))
            for at, pixels, told in source.in_order()
        )
        answered = (
            (index["file"].iat[row], index["name"].iat[row], answer, "", known(row))
            for at, answers in batches
            for row, answer in zip(at, answers, strict=True)
        )
        return len(index), name, answered
    answers = predict.answers(data.paths(index), model.classify, model.image_size, people=people)
    files = index["file"]
    answered = ((files[row], *answer, known(row)) for row, answer in enumerate(answers))
    return len(index), name, answered
