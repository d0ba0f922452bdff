"""`skincnn export`: a run as a model that answers without TensorFlow."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from skincnn import artefact, options

exports = typer.Typer()
Format = StrEnum("Format", {name: name for name in artefact.FORMATS})
Weights = StrEnum("Weights", {"float32": "float32", "int8": "int8"})


@exports.command("export")
def write(
    run: Annotated[Path, typer.Argument(help="A run folder with its weights.")],
    to: Annotated[Format, typer.Option(help="The runtime that will open it.")] = Format.onnx,
    out: Annotated[
        Path | None, typer.Option(help="File or folder; default in the run folder.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--data", help="The set it was trained on: it then knows what is no lesion."),
    ] = None,
    weights: Annotated[
        Weights, typer.Option(help="int8: a quarter of the size; see the README for its price.")
    ] = Weights.float32,
    facts: options.Facts = None,
    skip_damaged: options.SkipDamaged = False,
    as_json: options.AsJson = False,
) -> None:
    """Write a run as one file that carries class names, thresholds, checksum and licence.

    Example: skincnn export outputs/local/sample_final --data sample --out mole.onnx

    Example: skincnn export outputs/local/isic9_transfer --to litert --weights int8
    """
    from skincnn import runs

    run = runs.Run(run)
    _ = run.info, run.weights  # what is missing is told before TensorFlow and the set are loaded
    index = options.load(source, as_json, facts, skip_damaged) if source else None
    from skincnn import export

    path = export.write(run, to.value, out, index, weights.value, progress=not as_json)
    said = artefact.read(path)
    size = _size(path)
    if as_json:
        told = {"model": str(path), "version": said.version, "bytes": size}
        told |= {"classes": said.classes, "image_size": said.image_size, "licence": said.licence}
        told |= {"temperature": said.temperature, "abstain_below": said.abstain_below}
        told |= {"threshold": said.malignant.get("threshold"), "strangers": bool(said.strangers)}
        print(json.dumps(told, indent=1))
        return
    print(f"{path}: {size / 1e6:.1f} MB, version {said.version}")
    print(f"data licence: {said.licence}")
    if not said.strangers:
        print("It takes every photograph for one of a lesion: --data SET teaches it otherwise.")
    print(options.NOTICE)


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
