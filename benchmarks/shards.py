"""Shards: how fast they are read and written, and whether memory grows with their number.

python benchmarks/shards.py [--data ham10000]

Reading is compared with TensorFlow decoding the same JPEGs from memory and nothing else, in turn.
Memory is the peak of a process of its own that trains for an epoch, and of one that predicts, on
the shards and on the same ten times. What is measured goes to standard output.
"""

import argparse
import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rows import row

ROUNDS = 5
READ = 10_000  # records at least in each round: fewer take no time
TIMES = 10
SIZE = 128
ARCHIVE = 550_000  # photographs, about as many as the ISIC archive has; most are larger


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="a set of files; default: the one that data.load finds")
    parser.add_argument("--shards", type=int, default=16)
    parser.add_argument("--keep", type=Path, help="where the shards go, and stay")
    parser.add_argument("--only", choices=("write", "read", "memory"))
    parser.add_argument("--child", choices=("train", "predict"), help=argparse.SUPPRESS)
    parser.add_argument("--place", help=argparse.SUPPRESS)
    parser.add_argument("--run", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(asked.child, asked.place, Path(asked.run))
        return
    with tempfile.TemporaryDirectory() as temporary:
        keep = asked.keep or Path(temporary) / "shards"
        place = write(asked.data, keep, asked.shards, asked.only in (None, "write"))
        if asked.only in (None, "read"):
            read(place)
        if asked.only in (None, "memory"):
            memory(place, Path(temporary))


def write(name: str | None, place: Path, shards: int, tell: bool) -> Path:
    """Write the set; told are the rate, and what the whole ISIC archive would take at it."""
    from skincnn import data, sharding

    index = data.load(name)
    began = time.perf_counter()
    new = not (place / "manifest.json").is_file()
    sharding.write(index, place, SIZE, shards)
    seconds = time.perf_counter() - began
    if tell and new:
        size = sum(path.stat().st_size for path in place.glob("*.tfrec"))
        print(f"writing: {len(index) / seconds:.0f} photographs/s at {SIZE} pixels,", end=" ")
        print(
            f"{size / len(index) / 1000:.1f} kB each ({len(index):,} in {seconds:.0f} s);", end=" "
        )
        hours, gigabytes = ARCHIVE / len(index) * seconds / 3600, ARCHIVE / len(index) * size / 1e9
        print(f"{ARCHIVE:,} of the archive at this rate: {hours:.1f} h, {gigabytes:.1f} GB")
        row(f"shards at {SIZE} pixels, written", f"{len(index) / seconds:.0f}/s")
    return place


def read(place: Path) -> None:
    """Records against TensorFlow's own decoding of the same bytes, in turn."""
    import numpy as np
    import tensorflow as tf

    from skincnn import config, shards, stream, tfrecords

    index = tfrecords.load(place)
    settings = config.RunConfig(image_size=SIZE)
    source = stream.Records(index, np.zeros(len(index), np.int32), settings)
    contents = [
        shards.fields(record)["image"]
        for path in shards.find(place)
        for record in shards.records(path)
    ]

    passes, shown = -(-READ // len(index)), source.dataset(lambda: 0)

    def ours():
        for _ in range(passes):  # as many epochs
            for batch in shown:
                last = batch
        return last

    def plain():
        dataset = tf.data.Dataset.from_tensor_slices(contents)
        dataset = dataset.map(
            lambda content: tf.io.decode_jpeg(content, channels=3),
            num_parallel_calls=os.cpu_count(),
        )
        for batch in dataset.repeat(passes).batch(settings.batch_size).prefetch(2):
            last = batch
        return last

    rates = {ours: [], plain: []}
    for turn in range(ROUNDS + 1):
        for function, found in rates.items():
            began = time.perf_counter()
            function()
            if turn:  # the first is warm-up
                found.append(passes * len(index) / (time.perf_counter() - began))
    ratios = sorted(a / b for a, b in zip(rates[ours], rates[plain], strict=True))
    other = f"{np.median(rates[plain]):.0f}/s: TensorFlow's decoder alone"
    row(f"records at {SIZE}×{SIZE}, read", f"{np.median(rates[ours]):.0f}/s", other, ratios)


def memory(place: Path, temporary: Path) -> None:
    """Peak memory on the shards and on the same ten times."""
    many = temporary / "many"
    many.mkdir()
    for path in place.glob("*.tfrec"):
        for turn in range(TIMES):
            os.link(path, many / f"part{turn}_{path.name}") if path.stat().st_dev == (
                many.stat().st_dev
            ) else shutil.copy(path, many / f"part{turn}_{path.name}")
    for what in ("train", "predict"):
        peaks = []
        for number, folder in enumerate((place, many)):
            words = [
                "--child",
                what,
                "--place",
                str(folder),
                "--run",
                str(temporary / f"r{number}"),
            ]
            answer = subprocess.run(
                [sys.executable, __file__, *words], check=True, capture_output=True, text=True
            )
            peaks.append(json.loads(answer.stdout.splitlines()[-1])["megabytes"])
        what = {"train": "training", "predict": "prediction"}[what]
        row(f"peak memory of {what}, {TIMES} times the shards", f"{peaks[1]:,.0f} MB",
            f"{peaks[0]:,.0f} MB: the shards once", [peaks[1] / peaks[0]])  # fmt: skip


def child(what: str, place: str, run: Path) -> None:
    """An epoch of training, or a prediction of everything; prints the peak."""
    from skincnn import cli, config, tfrecords, train

    if what == "train":
        # Every name stands in ten shards here, where protocol `clean` would keep one: the default
        index = tfrecords.load(place, progress=False)
        settings = config.RunConfig(
            model="two_conv", image_size=SIZE, epochs=1, precision="float32", positive="melanoma"
        )
        train.fit(settings, index, run, verbose=0)
    else:
        words = ["predict", place, "--model", str(run), "--csv", str(run / "answers.csv")]
        sys.argv = ["skincnn", *words]
        with contextlib.suppress(SystemExit):
            cli.main()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"megabytes": peak}))


if __name__ == "__main__":
    main()
