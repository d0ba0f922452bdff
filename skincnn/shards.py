"""TFRecord files: which there are, and their records, with every way to lose some noticed.

TensorFlow ends quietly where a file was cut inside a record's header or between two records, and a
flipped bit ends the file with all that follows. So a file is read to its end, the bytes of its
records are added up against its size, and their number is held against what a manifest or its name
promises.
"""

import hashlib
import json
import re
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import tensorflow as tf

from skincnn.data import DataError

ENDINGS = (".tfrec", ".tfrecord", ".tfrecords")
MANIFEST = "manifest.json"
WRITING = "writing.json"  # beside the shards while their writer is at work
_FRAME = 16  # bytes around a record: its length (8) and two check sums (4 each)
_COUNT = re.compile(r"-([1-9]\d*)$")  # train00-2071; train-00001 is a number of another kind
_OF = re.compile(r"-\d+-of-\d+$")  # train-00000-of-00002 ends in no count


class ShardError(DataError):
    """A shard that lost records or cannot be read; the message has its name and their number."""


def find(pattern: str | Path | Sequence[str | Path]) -> list[str]:
    """The shards that a folder, a file, a pattern or several of them name, in order.

    Args:
        pattern: of local paths or `gs://` ones; of a folder or a pattern with `*`, those files that
            end in one of `ENDINGS`.

    Raises:
        DataError: there are none, or the place cannot be asked.

    Example:
        >>> shards.find("gs://bucket/train*.tfrec")
    """
    found = []
    for one in [pattern] if isinstance(pattern, str | Path) else pattern:
        one = str(one)
        try:
            if tf.io.gfile.isdir(one):
                place = one.rstrip("/")
                some = [f"{place}/{name}" for name in tf.io.gfile.listdir(place)]
                some = [path for path in some if path.endswith(ENDINGS)]
            elif tf.io.gfile.exists(one):
                some = [one]
            else:
                some = [path for path in tf.io.gfile.glob(one) if path.endswith(ENDINGS)]
        except (tf.errors.OpError, OSError) as error:
            raise DataError(f"{one}: {_line(error)}") from None
        some = [path for path in some if not PurePosixPath(path).name.startswith(".")]
        if not some:
            raise DataError(f"{one}: no shards there ({', '.join(ENDINGS)})")
        found += sorted(some)
    return list(dict.fromkeys(found))


def folder(path: str) -> str:
    """The folder a shard lies in, on whatever file system."""
    return path.rpartition("/")[0] or "."


def unfinished(place: str) -> list[str]:
    """What a folder of shards should have and has not, in words: shards that its manifest lists,
    or the end of its writer's work."""
    if exists(f"{place}/{WRITING}"):
        return [f"{place} is not finished: run its writer again"]
    said = manifest(place).get("shards", [])
    return [
        f"{place}/{shard['name']} is in the manifest, but not there: {shard['records']:,} records "
        "are lost"
        for shard in said
        if not exists(f"{place}/{shard['name']}")
    ]


def promised(path: str, said: dict | None = None) -> int | None:
    """How many records a shard should have: what its set's manifest says, else what its name ends
    in; None where neither does.

    Args:
        path: of the shard.
        said: its set's `manifest`, where that has been read already.
    """
    name = PurePosixPath(path).name
    said = manifest(folder(path)) if said is None else said
    if known := [one["records"] for one in said.get("shards", []) if one["name"] == name]:
        return known[0]
    stem = PurePosixPath(path).stem
    count = _COUNT.search(stem)
    return int(count.group(1)) if count and not _OF.search(stem) else None


def manifest(place: str) -> dict:
    """What the writer of a set says of it; empty where there is no manifest.

    Raises:
        DataError: it cannot be read as one.
    """
    path = f"{place}/{MANIFEST}"
    if not exists(path):
        return {}
    try:
        with tf.io.gfile.GFile(path) as file:
            content = json.loads(file.read())
        [(shard["name"], shard["records"]) for shard in content["shards"]]
        return content
    except (tf.errors.OpError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: no manifest of shards: {_line(error)}") from None


def records(path: str, said: dict | None = None) -> Iterator[bytes]:
    """The records of a shard, in order.

    Args:
        path: of the shard.
        said: as for `promised`.

    Raises:
        ShardError: after the last one that can be read: there were more, or there should be.
    """
    size, read, count, fault = 0, 0, 0, ""
    try:
        size = tf.io.gfile.stat(path).length
        sound = _before_impossible(path)
        for record in tf.data.TFRecordDataset(path).take(sound).as_numpy_iterator():
            yield record
            read, count = read + len(record) + _FRAME, count + 1
        if count == sound:
            fault = f"is damaged in record {count + 1}"
        elif read != size:
            fault = f"ends {size - read:,} bytes into a record"
        if not size:
            fault = "is empty"
    except tf.errors.DataLossError as error:
        cut = "truncated" in str(error)
        fault = f"{'ends inside' if cut else 'is damaged in'} record {count + 1}"
    except tf.errors.OpError as error:
        raise DataError(f"{path}: {_line(error)}") from None
    wanted = promised(path, said)
    if wanted is None and fault:
        raise ShardError(f"{path} {fault}: the records from there on are lost, how many is unknown")
    if wanted is not None and (fault or wanted != count):
        reason = fault or "is whole"
        lost = f"{wanted - count:,} of {wanted:,} records are lost"
        if wanted < count:
            lost = f"{count:,} records instead of {wanted:,} (rename it if that is no count)"
        raise ShardError(f"{path} {reason}: {lost}")


def fields(record: bytes) -> dict:
    """What a record says: name -> bytes, or a list's first number; without empty fields.

    Raises:
        ShardError: it is no `tf.train.Example`.
    """
    try:
        features = tf.train.Example.FromString(record).features.feature
    except Exception as error:  # protobuf's DecodeError, of whichever implementation is installed
        raise ShardError(f"no tf.train.Example: {_line(error)}") from None
    found = {}
    for name, feature in features.items():
        values = getattr(feature, feature.WhichOneof("kind") or "bytes_list").value
        if len(values):
            found[name] = values[0]
    return found


def exists(path: str) -> bool:
    """Whether a file is there, on whatever file system."""
    return tf.io.gfile.exists(path)


def digest(path: str) -> str:
    """SHA-256 of a file, on whatever file system."""
    found = hashlib.sha256()
    with tf.io.gfile.GFile(path, "rb") as file:
        while piece := file.read(2**20):
            found.update(piece)
    return found.hexdigest()


def stamp(path: str) -> tuple[int, int]:
    """Size in bytes and time of change: what tells that a shard is another one now."""
    local = Path(path)
    if local.is_file():  # gfile knows whole seconds only
        return local.stat().st_size, local.stat().st_mtime_ns
    stat = tf.io.gfile.stat(path)
    return stat.length, stat.mtime_nsec


def _before_impossible(path: str) -> int:
    """How many records of a local file come before one that says it has 2 GB or more; -1 for all.

    TensorFlow believes a length whose check sum is right, asks for that much memory and dies of it.
    Damage does not look like this, only a file made to; no `tf.train.Example` can be so long.
    Elsewhere than on a local disk the lengths alone cost as much as the file: taken as they are.
    """
    if not Path(path).is_file():
        return -1
    size, at, count = Path(path).stat().st_size, 0, 0
    with Path(path).open("rb") as file:
        while at + 12 <= size:
            file.seek(at)
            (length,) = struct.unpack("<Q", file.read(8))
            if length >= 2**31:
                return count
            at, count = at + _FRAME + length, count + 1
    return -1


def _line(error: Exception) -> str:
    return " ".join(str(getattr(error, "message", error)).split()) or type(error).__name__
