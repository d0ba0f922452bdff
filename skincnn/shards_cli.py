"""Sets in TFRecord shards, on the command line: written and checked."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from skincnn import options

shards = typer.Typer()


@shards.command("tfrecords")
def write_or_check(
    source: Annotated[
        str | None, typer.Option("--from", metavar="FOLDER_OR_SET", help="What to write.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the shards.")] = None,
    size: Annotated[int, typer.Option(min=16, help="Pixels a side.")] = 256,
    count: Annotated[int, typer.Option("--shards", min=1)] = 32,
    seed: Annotated[int, typer.Option(help="Of what goes where.")] = 0,
    licence: Annotated[
        str, typer.Option(help="For the manifest; default what is known of the set.")
    ] = "",
    place: Annotated[
        str | None, typer.Option("--check", metavar="PLACE", help="A folder or pattern to check.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Write photographs into TFRecord shards, or check that shards have lost nothing.

    Exit code of --check: 0 all is there; 1: something is lost, or photographs are unreadable.

    Example: skincnn tfrecords --from isic9 --size 256 --shards 32 --out outputs/local/shards
    """
    if (source is None) == (place is None) or (source is None) != (out is None):
        raise ValueError("give --from and --out to write shards, or --check to check some")
    if source is not None:
        from skincnn import sharding

        index = options.load(source, as_json)
        with options.told_when_stopped("shard"):
            sharding.write(index, out, size, count, seed, licence, progress=not as_json)
        manifest = json.loads((out / "manifest.json").read_text("utf-8"))
        if as_json:
            print(json.dumps(manifest, indent=1, ensure_ascii=False))
        else:
            megabytes = sum(shard["bytes"] for shard in manifest["shards"]) / 1e6
            print(
                f"{manifest['records']:,} photographs in {count} shards, {megabytes:,.1f} MB: {out}"
            )
        return
    from skincnn import shardcheck

    table = shardcheck.check(place, progress=not as_json)
    unreadable = table.attrs["unreadable"]
    bad = table[table["problem"] != ""]
    if as_json:
        rows = json.loads(table.to_json(orient="records"))
        print(json.dumps({"shards": rows, "unreadable": unreadable}, indent=1, ensure_ascii=False))
    else:
        print(f"{len(table)} shards, {table['records'].sum():,} records")
        for row in bad.to_dict("records"):
            print(f"{row['shard']} {row['problem']}")
        for name, reason in unreadable[:20]:
            print(f"{name}: {reason}")
        if len(unreadable) > 20:
            print(f"… and {len(unreadable) - 20} more photographs that cannot be read")
        if bad.empty and not unreadable:
            print("nothing is lost", file=sys.stderr)
    raise typer.Exit(1 if len(bad) or unreadable else 0)
