"""What is done with finished runs: scored, combined, described."""

import json
from pathlib import Path
from typing import Annotated

import typer

from skincnn import atomic, options

results = typer.Typer()


@results.command("card")
def model_card(
    run: Annotated[Path, typer.Argument(help="A run or a cross-validation.")],
    out: Annotated[
        Path | None, typer.Option(help="Where the card goes; default: MODEL_CARD.md beside it.")
    ] = None,
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
    out = out or run / "MODEL_CARD.md"
    atomic.write_text(out, cards.card(run, facts, elsewhere))
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
    from skincnn import class_maps, evaluate, paired, predictions, subgroups, summaries

    mapping = class_maps.read(names) if names else None
    frame = predictions.read(table, mapping)
    answer = evaluate.metrics(frame)
    texts = [summaries.summary(answer)]
    if against:
        answer["against"] = paired.compare(frame, predictions.read(against, mapping))
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
