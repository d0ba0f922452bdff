"""Spoilt files for as long as asked: does the decoder, or the reader of shards, ever do other than
answer or say in a line what is wrong?

    python benchmarks/fuzz.py [--minutes 10] [--only jpeg] [--data FOLDER] [--seed 0]

Mutations know the formats, since random bytes die at the first check sum: JPEG segments are
dropped, doubled, swapped, lengthened, and have bytes changed inside; PNG chunks too, with their
check sums made right again; records of shards have their fields, lengths and check sums changed.
Each file has a second and 2 GB of its own. Told are how many there were, how many were answered,
refused, and what else came: files that did are kept in outputs/local/fuzz.
"""

import argparse
import collections
import multiprocessing
import os
import random
import resource
import struct
import sys
import time
import zlib
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
MEMORY = 2 * 2**30
LARGEST = 20_000_000  # bytes
SECONDS = 5  # a file; more than this is told as slow


# --- what is changed ---------------------------------------------------------------------------


def bytes_in(content: bytes, rng: random.Random) -> bytes:
    """A few bytes of a piece changed, to values that break limits more often than others."""
    piece = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        if piece:
            piece[rng.randrange(len(piece))] = rng.choice([0, 1, 127, 128, 255, rng.randrange(256)])
    return bytes(piece)


def pieces_changed(pieces: list[bytes], rng: random.Random) -> list[bytes]:
    """One of a file's pieces dropped, doubled, swapped, cut, lengthened or changed inside."""
    pieces = list(pieces)
    at = rng.randrange(len(pieces))
    how = rng.randrange(6)
    if how == 0 and len(pieces) > 1:
        del pieces[at]
    elif how == 1:
        pieces[at:at] = [pieces[at]] * (rng.choice([1, 2, 50]) if len(pieces[at]) < 10_000 else 1)
    elif how == 2:
        other = rng.randrange(len(pieces))
        pieces[at], pieces[other] = pieces[other], pieces[at]
    elif how == 3:
        pieces[at] = pieces[at][: rng.randrange(len(pieces[at]) + 1)]
    elif how == 4:
        pieces[at] += rng.randbytes(rng.choice([1, 4, 200]))
    else:
        pieces[at] = bytes_in(pieces[at], rng)
    return pieces


def jpeg(content: bytes, rng: random.Random) -> bytes:
    pieces, at = [], 2
    while at + 4 <= len(content) and content[at] == 0xFF and content[at + 1] != 0xDA:
        end = at + 2 + struct.unpack(">H", content[at + 2 : at + 4])[0]
        pieces.append(content[at:end])
        at = end
    pieces.append(content[at:])  # the scan
    return content[:2] + b"".join(pieces_changed(pieces, rng))


def png(content: bytes, rng: random.Random) -> bytes:
    pieces, at = [], 8
    while at + 12 <= len(content):
        length = struct.unpack(">I", content[at : at + 4])[0]
        pieces.append(content[at + 4 : at + 8 + length])  # kind and data
        at += 12 + length
    whole = content[:8]
    for piece in pieces_changed(pieces, rng):
        said = len(piece) - 4 if rng.random() < 0.95 else rng.randrange(2**31)
        whole += struct.pack(">I", max(0, said)) + piece + struct.pack(">I", zlib.crc32(piece))
    return whole


def tfrecord(content: bytes, rng: random.Random) -> bytes:
    """Records cut apart, changed, and framed again, their check sums right nine times in ten."""
    pieces, at = [], 0
    while at + 12 <= len(content):
        length = struct.unpack("<Q", content[at : at + 8])[0]
        pieces.append(content[at + 12 : at + 12 + length])
        at += 16 + length
    whole = b""
    for piece in pieces_changed(pieces, rng):
        length = struct.pack("<Q", len(piece) if rng.random() < 0.95 else rng.randrange(2**40))
        whole += length + masked(length, rng) + piece + masked(piece, rng)
    return whole


def masked(content: bytes, rng: random.Random) -> bytes:
    crc = crc32c(content) if rng.random() < 0.98 else rng.randrange(2**32)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def crc32c(content: bytes) -> int:
    import google_crc32c

    return google_crc32c.value(content)


# --- what it is shown to -----------------------------------------------------------------------


def decoded(content: bytes) -> str:
    from skincnn import images

    try:
        images.decode(content)
        return "answered"
    except images.ImageProblem as problem:
        return "refused" if "\n" not in str(problem) else f"two lines: {problem}"


def read(content: bytes) -> str:
    from skincnn import data, records, shards

    path = Path(config_place()) / "train0-4.tfrec"
    path.write_bytes(content)
    try:
        for facts in records.read(shards.records(str(path))):
            if "\n" in facts["problem"]:
                return f"two lines: {facts['problem']}"
        return "answered"
    except data.DataError as problem:
        return "refused" if "\n" not in str(problem) else f"two lines: {problem}"


def config_place() -> str:
    from skincnn import config

    place = config.local_dir() / "fuzz" / f"process{os.getpid()}"
    place.mkdir(parents=True, exist_ok=True)
    return str(place)


KINDS = {"jpeg": (jpeg, decoded), "png": (png, decoded), "tfrecord": (tfrecord, read)}


def seeds(kind: str, folder: str | None) -> list[bytes]:
    """Files to start from: photographs of a set, and shards of some of them."""
    import io

    from PIL import Image

    from skincnn import data

    index = data.usable(data.load(folder, progress=False))
    contents = [path.read_bytes() for path in data.paths(index)[:: max(1, len(index) // 12)]]
    if kind == "jpeg":
        return contents
    if kind == "png":
        found = []
        for number, content in enumerate(contents):
            buffer, mode = io.BytesIO(), ("RGB", "L", "P", "RGBA", "I;16")[number % 5]
            with Image.open(io.BytesIO(content)) as picture:
                small = picture.resize((64, 48))
                grey = small.convert("I").point(lambda value: value * 200)
                (grey if mode == "I;16" else small).convert(mode).save(buffer, "PNG")
            found.append(buffer.getvalue())
        return found
    import tensorflow as tf

    path = Path(config_place()) / "seed.tfrec"
    with tf.io.TFRecordWriter(str(path)) as file:
        for number, content in enumerate(contents[:4]):
            values = {
                "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[content])),
                "image_name": tf.train.Feature(
                    bytes_list=tf.train.BytesList(value=[f"ISIC_{number:07d}".encode()])
                ),
                "target": tf.train.Feature(int64_list=tf.train.Int64List(value=[number % 2])),
            }
            features = tf.train.Features(feature=values)
            file.write(tf.train.Example(features=features).SerializeToString())
    return [path.read_bytes()]


def work(kind: str, some: list[bytes], seed: int, until: float, told) -> None:
    """One process: mutate and show, until the time is over."""
    change, show = KINDS[kind]
    if kind != "tfrecord":  # TensorFlow reserves more than it uses
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    rng = random.Random(seed)
    while time.time() < until:
        content = rng.choice(some)
        for _ in range(rng.choice([1, 1, 2, 5])):
            try:
                content = change(content, rng)
            except (IndexError, struct.error, ValueError):
                break
        content = content[:LARGEST]
        told.put(("shown", seed, content))
        began = time.perf_counter()
        try:
            answer = show(content)
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
        if (seconds := time.perf_counter() - began) > SECONDS:
            answer = f"slow: {seconds:.0f} s"
        told.put(("said", seed, answer))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--only", action="append", choices=KINDS)
    parser.add_argument("--data", help="a set; default: as data.load finds it")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    from skincnn import config

    context = multiprocessing.get_context("spawn")
    wrong = 0
    for kind in asked.only or KINDS:
        some, told = seeds(kind, asked.data), context.Queue(1000)
        until = time.time() + 60 * asked.minutes
        count, last = collections.Counter(), {}
        processes = {}
        next_seed = asked.seed
        while time.time() < until + SECONDS:
            for seed, process in list(processes.items()):
                if not process.is_alive():
                    del processes[seed]
                    if process.exitcode:  # the process died of the last file it was shown
                        keep(kind, f"exit code {process.exitcode}", last.get(seed, b""), count)
            while len(processes) < (os.cpu_count() or 1) and time.time() < until - 1:
                arguments = (kind, some, next_seed, until, told)
                processes[next_seed] = context.Process(target=work, args=arguments, daemon=True)
                processes[next_seed].start()
                next_seed += 1
            try:
                what, seed, value = told.get(timeout=0.2)
            except Exception:  # nothing for a while
                continue
            if what == "shown":
                last[seed] = value
            elif value in ("answered", "refused"):
                count[value] += 1
            else:
                keep(kind, value, last[seed], count)
        other = {name: n for name, n in count.items() if name not in ("answered", "refused")}
        wrong += sum(other.values())
        print(
            f"{kind}: {sum(count.values()):,} files in {asked.minutes:g} min, "
            f"{count['answered']:,} answered, {count['refused']:,} refused, other: {other or 0}",
            flush=True,
        )
        for process in processes.values():
            process.kill()
    print(f"files are kept in {config.local_dir() / 'fuzz'}" if wrong else "nothing else came")
    sys.exit(1 if wrong else 0)


def keep(kind: str, what: str, content: bytes, count: collections.Counter) -> None:
    """Count something that should not be, and keep the first file of each."""
    from skincnn import config

    name = what.split("\n")[0][:80]
    if not count[name]:
        place = config.local_dir() / "fuzz"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{kind}_{zlib.crc32(name.encode()):08x}.bin").write_bytes(content)
        print(f"{kind}: {name}", flush=True)
    count[name] += 1


if __name__ == "__main__":
    main()
