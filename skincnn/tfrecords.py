"""Sets in TFRecord shards: the index of one, whatever wrote it.

The index has a row a record, with two columns more: `shard`, the number of its file in
`attrs["shards"]`, and `record`, its place in there. Photographs stay in the shards: an epoch reads
them in a new order, and decodes what its fold asks for. What grows with a set is the index alone,
about a kilobyte a record.

What a record says, `records` reads; what is decoded and batched comes from `stream`.
"""

import hashlib
import itertools
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import tensorflow as tf
from tqdm import tqdm

from skincnn import (
    atomic,
    config,
    data,
    images,
    labelled,
    person,
    records,
    relatives,
    shards,
    stream,
)
from skincnn.shards import find

__all__ = ["clean", "dataset", "find", "load"]

COLUMNS = [*data.COLUMNS, *person.COLUMNS, "shard", "record"]
_VERSION = 2  # of what is remembered of a shard


def load(
    pattern: str | Path | Sequence[str | Path],
    facts: Sequence[str | Path] = (),
    skip_damaged: bool = False,
    progress: bool = True,
) -> pd.DataFrame:
    """Build the index of a set in shards: every record read and decoded once, unusable ones named.

    What was found is remembered by path, size and time, so a second call is quick.

    Args:
        pattern: as `shards.find` takes it.
        facts: tables (CSV), in the shards' folder or elsewhere, that say more or better than the
            records, by the photographs' names: patients, lesions, ages, sexes, sites, labels. One
            with the columns `image_name_1` and `image_name_2` lists pairs of the same photograph.
        skip_damaged: go on without the shards that lost records, and name them in
            `attrs["without"]`, instead of raising.
        progress: show a progress bar.

    Returns:
        The index, sorted by `file` (`<shard>/<image_id>`).

    Raises:
        shards.ShardError: a shard lost records; the message has its name and their number.
        data.DataError: no shards, nothing usable in them, or a table that is not of these
            photographs.

    Example:
        >>> index = tfrecords.load("siim2020", ["siim2020/ISIC_2020_Training_GroundTruth_v2.csv"])
    """
    found = shards.find(pattern)
    said = {place: shards.manifest(place) for place in map(shards.folder, found)}
    whole, tables, without = [], [], []
    if not isinstance(pattern, str | Path) or tf.io.gfile.isdir(str(pattern)):
        without = [problem for place in said for problem in shards.unfinished(place)]
    for path in tqdm(found, "reading shards", disable=not progress):
        try:
            tables.append(_shard(path, said[shards.folder(path)]))
            whole.append(path)
        except shards.ShardError as error:
            without.append(str(error))
        if without and not skip_damaged:
            raise shards.ShardError(
                f"{without[0]}. Fetch it again, or go on without it (--skip-damaged)"
            )
    if not whole:
        raise data.DataError(
            f"None of the {len(found)} shards can be used; the first: {without[0]}"
        )
    names = _short(whole)
    for number, (table, name) in enumerate(zip(tables, names, strict=True)):
        table["shard"] = number
        unnamed = "record " + table["record"].astype(str)
        table["file"] = name + "/" + table["name"].where(table["name"] != "", unnamed)
    index = pd.concat(tables, ignore_index=True)
    # one name twice in a shard: a photograph with two labels, or names that say nothing
    twice = index.duplicated("file")
    index.loc[twice, "file"] += " again " + index["record"].astype(str)
    place, pairs = Path(shards.folder(whole[0])), []
    said_in = [Path(path) if Path(path).exists() else place / path for path in facts]
    for path in said_in:
        index, more = _joined(index, path)
        pairs += more
    index["augmented_from"] = ""
    alike = relatives.groups(index, ("sha256", "image_id"), pairs)
    index["cluster"] = pd.factorize(pd.Series(alike))[0]
    index["group"] = relatives.groups(index, (*relatives.COLUMNS, "group"))
    square = index["plain"] & (index["width"] == index["height"])
    index["direct"] = np.where(square, index["width"], 0)
    columns = [*COLUMNS, "name", "cluster", "direct", "bytes"]
    index = index[columns].sort_values("file", ignore_index=True)
    folder = shards.folder(whole[0])
    index.attrs = {
        "root": folder,
        "name": folder.rpartition("/")[2],
        "place": str(pattern) if isinstance(pattern, str | Path) else "",
        "ignored": [],
        "shards": whole,
        "records": [len(table) for table in tables],
        "without": without,
        "facts": [
            path.name if path.parent.resolve() == place.resolve() else str(path) for path in said_in
        ],
    }
    if not len(data.usable(index)):
        raise data.DataError(
            f"{folder}: none of the {len(index)} records can be used; the first, "
            f"{index['file'][0]}: {index['problem'][0]}"
        )
    return index


def clean(index: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One row a photograph: without second ones of a cluster, and without those whose labels
    contradict each other or that have none.

    Returns:
        The rows that stay, and one row for each that went: `file`, `reason`.
    """
    rows = data.usable(index)
    names = rows[rows["label"] != ""].groupby("cluster")["label"].nunique()
    count = rows["cluster"].map(names).fillna(0).astype(int)
    # a labelled one stays before one without
    order = rows.assign(blank=rows["label"] == "").sort_values(["blank", "file"]).index
    second = rows.loc[order].duplicated("cluster").reindex(rows.index)
    reasons = np.select(
        [count == 0, count > 1, second],
        ["no label", "labels of the same photograph contradict each other", "same photograph"],
        "",
    )
    gone = pd.DataFrame({"file": rows["file"], "reason": reasons})[reasons != ""]
    return rows[reasons == ""].reset_index(drop=True), gone.reset_index(drop=True)


def dataset(place: str | Path | Sequence[str | Path] | pd.DataFrame, **changes) -> tf.data.Dataset:
    """A set in shards as batches for `fit`: read, decoded, scaled, shuffled, drawn anew each epoch.

    Args:
        place: as `load` takes it, or rows of its index.
        changes: settings that differ from the plain ones: `image_size`, `batch_size`, `seed`,
            `sampling`, `mixup` and others of `config.RunConfig`. What turns and colours
            photographs lies in the model (`augment`).

    Returns:
        Batches of float32 (B, S, S, 3) in 0…255 and int32 (B,): the place of the label among the
        sorted ones. Rows without a label are left out.

    Raises:
        shards.ShardError, data.DataError: as `load`; no row has a label.

    Example:
        >>> model.fit(tfrecords.dataset("gs://bucket/train*.tfrec", image_size=256), epochs=3)
    """
    index = place if isinstance(place, pd.DataFrame) else load(place)
    rows = data.usable(index)
    rows = rows[rows["label"] != ""].reset_index(drop=True)
    if rows.empty:
        raise data.DataError("no record has a label")
    rows.attrs = index.attrs
    numbers = pd.Categorical(rows["label"]).codes.astype(np.int32)
    epochs = itertools.count()
    source = stream.Records(rows, numbers, config.RunConfig(**changes))
    return source.dataset(lambda: next(epochs))


# --- what a shard holds -----------------------------------------------------------------------


def _shard(path: str, said: dict) -> pd.DataFrame:
    """A row for each of a shard's records; remembered."""
    size, time = shards.stamp(path)
    wanted = shards.promised(path, said)
    key = f"{_VERSION} {images.DECODER} {path} {size} {time} {wanted}"
    name = f"shard_{hashlib.sha256(key.encode()).hexdigest()[:16]}.csv"
    store = config.local_dir() / "cache" / name
    if store.is_file():
        kinds = dict.fromkeys(records.COLUMNS, str)
        kinds |= {"record": int, "width": int, "height": int, "bytes": int, "plain": bool}
        return pd.read_csv(store, keep_default_na=False, dtype=kinds)
    table = pd.DataFrame(records.read(shards.records(path, said)), columns=records.COLUMNS)
    table[person.COLUMNS] = person.read(table)
    atomic.remember(table, store)
    return table


def _short(paths: list[str]) -> list[str]:
    """A name for each shard: that of its file, with folders where files of one name are in two."""
    names = [PurePosixPath(path).name for path in paths]
    if len(set(names)) == len(names):
        return names
    common = os.path.commonpath(paths) if "://" not in paths[0] else ""
    return [path.removeprefix(common).lstrip("/") for path in paths]


def _joined(index: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, list[tuple[int, int]]]:
    """An index with what a table says of its photographs, and the rows it calls the same."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise data.DataError(f"{path}: {error}") from None
    rows = dict(zip(index["name"], index.index, strict=True))
    if {"image_name_1", "image_name_2"} <= set(table):
        names = table[["image_name_1", "image_name_2"]].itertuples(index=False)
        return index, [(rows[a], rows[b]) for a, b in names if a in rows and b in rows]
    keys = labelled.keys(table)
    if keys is None or not keys.isin(rows).any():
        raise data.DataError(
            f"{path}: none of the records is named in it (columns {', '.join(labelled.IDS)})"
        )
    table = table.assign(key=keys)[keys != ""].drop_duplicates("key").set_index("key")
    said = table.reindex(index["name"]).fillna("").set_index(index.index)
    found = person.read(said)
    for name in ("lesion_id", "source"):
        if name in said:
            found[name] = said[name]
    found["label"] = said.apply(records.label, axis=1)
    if "patient_id" in said:
        found["patient_id"] = _patients(index["patient_id"], said["patient_id"])
    for name in found:
        index[name] = index[name].where(found[name] == "", found[name])
    return index, []


def _patients(codes: pd.Series, names: pd.Series) -> pd.Series:
    """A table's patients, and for photographs that it does not name the one it calls others of the
    same code: a person who is named in part stays one. A code that stands for two says nothing."""
    known = pd.DataFrame({"code": codes, "name": names})
    known = known[(codes != "") & (names != "")].groupby("code")["name"]
    one = known.first()[known.nunique() == 1]
    return names.where(names != "", codes.map(one).fillna(""))
