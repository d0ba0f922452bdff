"""What the commands share: options as they are typed, and what is done with them."""

import contextlib
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from skincnn import config, presets

NOTICE = config.NOTICE


def _there(name: str | None) -> str | None:
    """Refuses a set that is nowhere while the line is read: before TensorFlow, in no time."""
    shards_in(name)
    return name


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]
Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="A folder, isic9 or sample. Default: SKINCNN_DATA, data/raw, sample.",
        callback=_there,
    ),
]
Facts = Annotated[
    list[Path] | None,
    typer.Option("--facts", help="Of shards: a table by the photographs' names; several times."),
]
Coordinator = Annotated[
    str, typer.Option(metavar="HOST:PORT", help="Of several processes the first; auto on a TPU VM.")
]
Processes = Annotated[int, typer.Option(min=1, help="How many train together, on JAX.")]
Process = Annotated[int, typer.Option(min=0, help="The number of this one.")]
SkipDamaged = Annotated[
    bool, typer.Option("--skip-damaged", help="Go on without shards that lost records.")
]
SHARDS = (".tfrec", ".tfrecord", ".tfrecords")  # as shards.ENDINGS, which needs TensorFlow
Preset = StrEnum("Preset", {name: name for name in presets.PRESETS})
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


def settings_of(preset: str, more: list[str] | None = None, **changes) -> config.RunConfig:
    """A preset with what was typed on top; what was not typed is None."""
    typed = {
        name: getattr(value, "value", value) for name, value in changes.items() if value is not None
    }
    set_by_name = config.parse(more or [])
    if twice := sorted(set(typed) & set(set_by_name)):
        option = twice[0].replace("_", "-")
        raise ValueError(f"--set {twice[0]}: the command sets it itself, or has --{option} for it")
    return presets.get(preset, **set_by_name, **typed)


def facts_of(name: str, column: str, quiet: bool):
    """What a set's own metadata and photographs say, the skin tone only where it is asked for."""
    from skincnn import data, official

    index = data.usable(load(name, quiet))
    known = official.facts()
    for person in set(official.PERSON) - set(index):
        index[person] = index["image_id"].map(known[person].to_dict()).astype(object).fillna("")
    if column == "skin_tone":
        from skincnn import skintone

        index[column] = skintone.measure(index, progress=not quiet).map(skintone.tone)
    return index


@contextlib.contextmanager
def told_when_stopped(what: str = "epoch"):
    try:
        yield
    except KeyboardInterrupt:
        print(
            f"\nStopped. The same command goes on from the last finished {what}.", file=sys.stderr
        )
        raise


def shards_in(name: str | None) -> str | None:
    """The place of a set in shards that a name, folder or pattern means; None for other sets."""
    from skincnn import data

    if name is not None and ("://" in name or name.endswith(SHARDS) or "*" in name):
        return name
    place = data.find(name)[1]
    some = place.iterdir() if place.is_dir() else ()
    return str(place) if any(p.suffix in SHARDS and p.name[0] != "." for p in some) else None


def load(
    name: str | None,
    quiet: bool = False,
    facts: list[Path] | None = None,
    skip_damaged: bool = False,
):
    """The index of a set of files or of shards, with what was set aside told on stderr."""
    from skincnn import data

    if place := shards_in(name):
        from skincnn import tfrecords

        index = tfrecords.load(place, facts or [], skip_damaged, progress=not quiet)
        index.attrs["place"] = name or place  # as it was typed: a name is good elsewhere too
        for problem in index.attrs["without"]:
            print(f"without {problem}", file=sys.stderr)
    elif facts or skip_damaged:
        raise ValueError("--facts and --skip-damaged are for sets in TFRecord shards")
    else:
        index = data.load(name, progress=not quiet)
    aside = data.set_aside(index)
    if len(aside):
        print(f"{len(aside)} set aside or passed over:", file=sys.stderr)
        for file, reason in aside.head(20).itertuples(index=False):
            print(f"  {file}: {reason}", file=sys.stderr)
        if len(aside) > 20:
            print(f"  … and {len(aside) - 20} more", file=sys.stderr)
    return index
