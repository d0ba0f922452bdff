"""What is done with finished runs: scored, combined, described, asked about photographs."""

import contextlib
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from skincnn import options

results = typer.Typer()


@results.command("card")
def model_card(
    run: Annotated[Path, typer.Argument(help="A run or a cross-validation.")],
    out: Annotated[Path, typer.Option(help="Where the card goes.")] = Path("MODEL_CARD.md"),
    source: Annotated[
        str | None, typer.Option("--data", help="The set: figures by skin tone, age, … too.")
    ] = None,
    outside: Annotated[
        Path | None,
        typer.Option(help="Folder with metrics.json: a network of this set alone, on another."),
    ] = None,
) -> None:
    """Write a model card from a run's own files.

    Example: skincnn card outputs/runs/isic9_transfer_cv --data isic9
    """
    from skincnn import cards, runs

    facts = options.facts_of(source, "skin_tone", quiet=False) if source else None
    elsewhere = runs.Run(outside).metrics if outside else None
    runs.write_text(out, cards.card(run, facts, elsewhere))
    print(out)


@results.command("ensemble")
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


@results.command("evaluate")
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
        if (near := evaluate.alike(frame, *pair)) is not None:
            answer["between_alike"] = evaluate.between(near, *pair)
            told = summaries.summary(answer["between_alike"])
            texts.append(f"\n… where their numbers in the archive are alike\n{told}")
    if by:
        facts = subgroups.read(index) if index else options.facts_of(source, by, quiet=as_json)
        split = evaluate.by(frame, facts, by)
        answer["by"] = json.loads(
            split.reset_index().to_json(orient="records", double_precision=15)
        )
        texts.append("\n" + summaries.subgroups(split, answer["positive"]))
    print(json.dumps(answer, indent=1) if as_json else "\n".join(texts))


@results.command("predict")
def classify(
    place: Annotated[
        str,
        typer.Argument(metavar="FILE_OR_FOLDER_OR_SET", help="What to classify; shards too."),
    ],
    model: Annotated[Path, typer.Option(help="A run folder with its weights.")],
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
) -> None:
    """Classify photographs with a trained run.

    A set (its name, or a table of labels) is written with its own labels, whatever the run's
    classes are: `skincnn evaluate --map` says which of them mean the same. An outside set may hold
    what the run was trained on: --strangers-to leaves that out. Answers are written as they come:
    memory does not grow with their number.

    Example: skincnn predict --model outputs/local/sample_baseline photo.jpg --csv answers.csv
    """
    from tqdm import tqdm

    from skincnn import predict, runs

    run = runs.Run(model)
    classes, seed, failed, sent = run.classes, run.config.seed, 0, Counter()
    if submission:
        predict.submission("a", [0.0] * len(classes), classes)  # refused before hours of work
    total, stream = _answers(run, place, strangers_to, facts, skip_damaged)
    with contextlib.ExitStack() as stack:
        tables = []
        for path, header in ((csv, predict.header(classes)), (submission, predict.SUBMISSION)):
            tables.append(stack.enter_context(predict.table(path, header)) if path else None)
        for name, shown, probabilities, problem, known in tqdm(
            stream, "classifying", total, disable=total < 64
        ):
            if problem:
                print(f"{shown}: {problem}", file=sys.stderr)
                failed += 1
                continue
            sent[predict.short(shown)] += 1
            if csv:
                tables[0](predict.row(name, probabilities, classes, seed, known))
            if submission:
                tables[1](predict.submission(shown, probabilities, classes))
            if not (csv or submission) or total <= 10:
                best = sorted(zip(probabilities, classes, strict=True), reverse=True)[:3]
                print(f"{shown}: " + ", ".join(f"{label} {p:.0%}" for p, label in best))
    for path in filter(None, (csv, submission)):
        print(f"{sent.total()} photographs → {path}")
    if submission and (again := [name for name, times in sent.items() if times > 1]):
        print(f"{len(again)} names stand there twice, {again[0]!r} first", file=sys.stderr)
    print(options.NOTICE, file=sys.stderr)
    raise typer.Exit(1 if failed else 0)


def _answers(run, place: str, strangers_to: str | None, tables, skip_damaged: bool):
    """How many photographs there are, and of each: its name in the set, the one to show a person,
    probabilities, problem, what is known."""
    from skincnn import images, predict

    size = run.config.image_size
    path = Path(place)
    local = path.exists() or path.suffix.lower() in images.EXTENSIONS
    alone = strangers_to is None and not (tables or skip_damaged)
    if local and alone and (files := _files(path)):
        root = path if path.is_dir() else path.parent
        known = _outside_labels(path, files, run.classes)
        answers = predict.answers(files, run.classify, size)
        return len(files), (
            (name := answer.file.relative_to(root).as_posix(), *answer, known.get(name, {}))
            for answer in answers
        )
    return _answers_of_set(run, place, strangers_to, tables, skip_damaged)


def _files(path: Path) -> list[Path]:
    """The photographs of a path that is no set with facts of its own; none of one that is."""
    from skincnn import data, images, options, predict

    if not path.is_dir():
        return predict.find(path) if path.suffix.lower() in images.EXTENSIONS else []
    own = data.labels_table(path) or options.shards_in(str(path))
    return [] if own else predict.find(path)


def _outside_labels(path: Path, files: list[Path], classes: list[str]) -> dict:
    """The labels of an outside set's class folders, whatever the run's classes are."""
    from skincnn import folders

    names = folders.class_names(path) if path.is_dir() and folders.set_root(path) else set()
    if len(names) < 2 or not names - set(classes):
        return {}
    return {f.relative_to(path).as_posix(): {"label": f.parent.name} for f in files}


def _answers_of_set(run, place: str, strangers_to: str | None, tables, skip_damaged: bool):
    from skincnn import data, person, predict

    index = options.load(place, facts=tables, skip_damaged=skip_damaged)
    index = data.usable(index)
    if strangers_to is not None:
        from skincnn import transfer

        index = transfer.without_relatives(index, options.load(strangers_to))
        if index.empty:
            raise ValueError(f"{place} has nothing that is not related to {strangers_to}")
    columns = ["image_id", "label", "group", "split"]

    def known(row: int) -> dict:
        return {name: index[name].iat[row] for name in columns}

    people = person.vectors(person.of(index)) if run.config.metadata else None
    if "shard" in index:
        from skincnn import stream

        settings = run.config.replace(hair_removal=False)  # `classify` does it
        source = stream.Records(index, [], settings, shuffle=False, people=people)
        batches = ((at, run.classify(pixels, told)) for at, pixels, told in source.in_order())
        stream = (
            (index["file"].iat[row], index["name"].iat[row], answer, "", known(row))
            for at, answers in batches
            for row, answer in zip(at, answers, strict=True)
        )
        return len(index), stream
    answers = predict.answers(data.paths(index), run.classify, run.config.image_size, people=people)
    files = index["file"]
    return len(index), ((files[row], *answer, known(row)) for row, answer in enumerate(answers))
