"""Whether shards have lost anything: each read whole, against its manifest or its own name."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pandas as pd
from tqdm import tqdm

from skincnn import records, shards

COLUMNS = ["shard", "records", "expected", "lost", "unreadable", "problem"]


def check(pattern: str | Path | Sequence[str | Path], progress: bool = True) -> pd.DataFrame:
    """Read every shard to its end and decode every photograph in it.

    Found are: files cut anywhere, flipped bits, empty files, a number in the name that is not that
    of the records, shards that a manifest lists and that are not there, that it does not list, or
    that hold other bytes than it says; a set whose writer was stopped; photographs that cannot be
    read. Nothing that was remembered is trusted.

    Args:
        pattern: as `shards.find` takes it.
        progress: show a progress bar.

    Returns:
        A row a shard, `COLUMNS`: `records` that can be read, how many there should be (missing
        where nobody says), how many of them are `lost`, how many photographs are `unreadable`, and
        the `problem` in words, "" for none. `attrs["unreadable"]` lists those photographs: (shard
        and name, reason).

    Raises:
        data.DataError: no shards there.
    """
    paths = shards.find(pattern)
    said = {place: shards.manifest(place) for place in map(shards.folder, paths)}
    rows, unreadable = [], []
    for path in tqdm(paths, "checking shards", disable=not progress):
        row, bad = _one(path, said[shards.folder(path)])
        rows.append(row)
        unreadable += bad
    for place, manifest in said.items():
        if shards.exists(f"{place}/{shards.WRITING}"):
            rows.append(
                _absent(shards.WRITING, None, "the set is not finished: run its writer again")
            )
        for shard in manifest.get("shards", []):
            if not shards.exists(f"{place}/{shard['name']}"):
                problem = "is in the manifest, but not there"
                rows.append(_absent(shard["name"], shard["records"], problem))
    table = pd.DataFrame(rows, columns=COLUMNS).astype({"expected": "Int64", "lost": "Int64"})
    table.attrs["unreadable"] = unreadable
    return table


def _one(path: str, said: dict) -> tuple[dict, list[tuple[str, str]]]:
    """What one shard holds."""
    problem, count, bad, name = "", 0, [], PurePosixPath(path).name
    try:
        for row in records.read(shards.records(path, said)):
            count += 1
            if row["problem"]:
                called = row["image_id"] or f"record {row['record']}"
                bad.append((f"{name}/{called}", row["problem"]))
    except shards.ShardError as error:
        problem = str(error).removeprefix(path).lstrip(": ")
    expected = shards.promised(path, said)
    listed = {shard["name"]: shard.get("sha256") for shard in said.get("shards", [])}
    if said and not problem:
        if name not in listed:
            problem = "is not in the manifest"
        elif listed[name] and shards.digest(path) != listed[name]:
            problem = "holds other bytes than the manifest says"
    lost = None if expected is None else max(0, expected - count)
    return dict(zip(COLUMNS, (name, count, expected, lost, len(bad), problem), strict=True)), bad


def _absent(name: str, expected: int | None, problem: str) -> dict:
    return dict(zip(COLUMNS, (name, 0, expected, expected, 0, problem), strict=True))
