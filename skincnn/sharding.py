"""Write a set of photographs into TFRecord shards: scaled once, on all cores, the same bytes again.

    DIR/train00-312.tfrec …   names end in their count
    DIR/manifest.json         written last: sizes, digests, counts by class, licence
    DIR/writing.json          while it goes on: what is finished

A shard never shares a patient, a lesion or a photograph with another, and every class is spread
evenly over them. Interrupted, the same call goes on after the last finished shard.
"""

import contextlib
import functools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf
from tqdm import tqdm

from skincnn import (
    atomic,
    data,
    download,
    images,
    labels,
    person,
    relatives,
    shards,
    splits,
    workers,
)

FEW = 64  # photographs a process; for fewer it is not worth starting


def write(
    index: pd.DataFrame,
    out: str | Path,
    size: int = 256,
    count: int = 32,
    seed: int = 0,
    licence: str = "",
    jobs: int | None = None,
    progress: bool = True,
) -> Path:
    """Write the usable photographs of an index into shards, or go on where a call was interrupted.

    Args:
        index: from `data.load`; rows set aside are named in the manifest.
        out: the folder; only a set of the same request may be in it.
        size: pixels a side that photographs are scaled to.
        count: shards.
        seed: of which group goes where, and of the order in a shard.
        licence: what the manifest says of it; "" for what is known of the set.
        jobs: processes; None takes one a core.
        progress: show a progress bar.

    Returns:
        The folder.

    Raises:
        ValueError: more shards than groups of related photographs, a set in shards already, or a
            folder that holds something else.
        images.ImageProblem: a photograph changed since the index was made.

    Example:
        >>> sharding.write(data.load("ham10000"), "outputs/local/ham_shards", size=128, count=16)
    """
    if "shard" in index:
        raise ValueError(f"{index.attrs['root']} is in shards already: give the files' folder")
    out = Path(out).expanduser()
    rows = data.usable(index)
    rows = rows[rows["augmented_from"] == ""].reset_index(drop=True)
    if count < 1:
        raise ValueError(f"count={count!r}: must be at least 1")
    if size < images.MIN_SIDE:
        raise ValueError(f"size={size!r}: must be at least {images.MIN_SIDE}")
    request = {
        "size": size,
        "count": count,
        "seed": seed,
        "rows": data.fingerprint(rows, ["file", "label", "group", "split", "sha256"]),
        "jpeg": images.JPEG,
        "decoder": images.DECODER,
    }
    with atomic.alone_in(out):
        done = _finished(out, request)
        if done is None:  # whole
            (out / shards.WRITING).unlink(missing_ok=True)
            return out
        rows[person.COLUMNS] = person.of(rows)
        digits = len(str(count - 1))
        parts = {
            f"train{number:0{digits}}-{len(part)}.tfrec": part
            for number, part in enumerate(_planned(rows, count, seed))
        }
        todo = {name: part for name, part in parts.items() if name not in done}
        places = [
            one
            for part in todo.values()
            for one in zip(data.paths(part), part["sha256"], strict=True)
        ]
        left = len(places)
        # before the first shard: one that is not noted yet must not read as a stranger's
        atomic.write_json(out / shards.WRITING, {"request": request, "shards": done})
        with contextlib.ExitStack() as stack:
            bar = stack.enter_context(_bar(len(rows), len(rows) - left, progress))
            encoded = iter(
                stack.enter_context(
                    workers.results(
                        functools.partial(images.encode, size=size),
                        places,
                        workers.count(jobs, left // FEW),
                        chunk=16,
                    )
                )
            )
            for name, part in todo.items():
                done[name] = _shard(part, out / name, size, encoded, bar)
                atomic.write_json(out / shards.WRITING, {"request": request, "shards": done})
        aside = data.set_aside(index)
        atomic.write_json(
            out / shards.MANIFEST,
            {
                "set": index.attrs.get("name", ""),
                "size": size,
                "records": len(rows),
                "classes": rows["label"].value_counts().sort_index().to_dict(),
                "licence": licence or download.licence(index.attrs.get("name", "")),
                "shards": [{"name": name, **done[name]} for name in parts],
                "set_aside": aside.to_dict("records"),
                "request": request,
            },
        )
        (out / shards.WRITING).unlink()
    return out


def _finished(out: Path, request: dict) -> dict | None:
    """The shards that are written, by name; None where all are, and the manifest too."""
    for name in (shards.MANIFEST, shards.WRITING):
        path = out / name
        if not path.is_file():
            continue
        try:
            state = json.loads(path.read_text("utf-8"))
            listed = state["shards"]
            if name == shards.MANIFEST:
                listed = {shard.pop("name"): shard for shard in listed}
            said = state["request"]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}: damaged ({error}): remove the folder") from None
        if changed := [key for key in request if said.get(key) != request[key]]:
            raise ValueError(
                f"{out} holds shards of another request ({', '.join(changed)} differ): choose "
                "another folder, or remove this one"
            )
        sound = {n: facts for n, facts in listed.items() if _is(out / n, facts)}
        if name == shards.MANIFEST and len(sound) == len(listed):
            return None
        return sound
    if out.is_dir() and (other := [p.name for p in out.iterdir() if p.name[0] != "."]):
        raise ValueError(f"{out} is not empty ({sorted(other)[0]}): choose another folder")
    out.mkdir(parents=True, exist_ok=True)
    return {}


def _is(path: Path, facts: dict) -> bool:
    return (
        path.is_file()
        and path.stat().st_size == facts["bytes"]
        and shards.digest(str(path)) == facts["sha256"]
    )


def _planned(rows: pd.DataFrame, count: int, seed: int) -> list[pd.DataFrame]:
    """The rows of each shard, in the order they are written."""
    rows = rows.sort_values("file", ignore_index=True)
    together = pd.Series(relatives.groups(rows, ("group", "sha256")), rows.index)
    counts = pd.crosstab(together, rows["label"]).sort_index()
    if count > len(counts):
        raise ValueError(
            f"count={count}: there are {len(counts)} groups of related photographs, which stay "
            "together; use fewer shards"
        )
    part = dict(zip(counts.index, splits.deal(counts.to_numpy(), count, seed), strict=True))
    of = together.map(part)
    parts = [rows[of == number] for number in range(count)]
    if empty := sum(some.empty for some in parts):
        raise ValueError(f"count={count}: {empty} shards would be empty; use fewer")
    return [
        some.iloc[np.random.default_rng([seed, number]).permutation(len(some))]
        for number, some in enumerate(parts)
    ]


def _shard(rows: pd.DataFrame, path: Path, size: int, encoded: Iterator[bytes], bar) -> dict:
    """Write one shard under a temporary name, then rename it."""
    with atomic.writing(path) as temporary:
        with tf.io.TFRecordWriter(str(temporary)) as file:
            for row in rows.to_dict("records"):
                file.write(_example(row, next(encoded), size))
                bar.update()
        return {
            "records": len(rows),
            "bytes": temporary.stat().st_size,
            "sha256": shards.digest(str(temporary)),
            "classes": rows["label"].value_counts().sort_index().to_dict(),
        }


def _example(row: dict, content: bytes, size: int) -> bytes:
    """A record in the fields of Kaggle's competition, with names for what it has numbers for."""
    target = {labels.POSITIVE[0]: 1, labels.POSITIVE[1]: 1}.get(row["label"], 0)
    texts = {
        "image_name": row["image_id"] or row["file"],
        "label": row["label"],
        "split": row["split"],
        "group": row["group"],
        "sex": row["sex"],
        "anatom_site_general": row["site"],
        **{name: row[name] for name in ("patient_id", "lesion_id", "source")},
    }
    numbers = {"target": target, "width": size, "height": size, "age_approx": int(row["age"] or -1)}
    feature = {"image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[content]))}
    for name, text in texts.items():
        value = tf.train.BytesList(value=[str(text).encode()])
        feature[name] = tf.train.Feature(bytes_list=value)
    for name, number in numbers.items():
        feature[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=[number]))
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    return example.SerializeToString(deterministic=True)


def _bar(total: int, done: int, progress: bool) -> tqdm:
    return tqdm(total=total, initial=done, desc="writing shards", disable=not progress)
