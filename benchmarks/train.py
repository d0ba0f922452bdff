"""Training speed and memory: `train.fit` against the published notebook's way, in turn.

    python benchmarks/train.py [--data FOLDER] [--pairs 3] [--epochs 3]

Both train the published network at 180×180, batch 32, from JPEGs on disk, with validation after
every epoch, each in a process of its own. The published way is Keras float32 over
`image_dataset_from_directory` with `cache`, `shuffle` and `prefetch`. "First" is from the first
file opened to the end of the first epoch, and for ours holds decoding, the choice of a precision
and the checkpoint; "later" is the median of the epochs after it. Memory is the process's peak.
"""

import argparse
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rows import row

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ONEDNN = "TF_ENABLE_ONEDNN_OPTS"  # set by skincnn; the published way has TensorFlow's own choice


def ours(folder: str, epochs: int) -> dict:
    from skincnn import config, data, train

    index = data.load(folder, progress=False)  # part of opening the project, cached: not timed
    settings = config.preset("baseline", epochs=epochs)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        marks = []
        run = _marking(marks, lambda: train.fit(settings, index, Path(place) / "run", verbose=0))
        return _result(began, marks, run.info["data"]["training"], run.info["precision_used"])


def published(folder: str, epochs: int) -> dict:
    asked = os.environ.get(ONEDNN)
    import skincnn  # noqa: F401

    if asked is None:
        os.environ.pop(ONEDNN)
    import keras
    import tensorflow as tf

    from skincnn import config, data, train

    root = data.load(folder, progress=False).attrs["root"]
    settings = config.preset("baseline", epochs=epochs)
    began = time.perf_counter()
    training, validation = (
        keras.utils.image_dataset_from_directory(
            Path(root) / "Train",
            validation_split=0.2,
            subset=subset,
            seed=123,
            image_size=(180, 180),
            batch_size=32,
            verbose=False,
        )
        for subset in ("training", "validation")
    )
    images = len(training.file_paths)
    training = training.cache().shuffle(1000).prefetch(tf.data.AUTOTUNE)
    validation = validation.cache().prefetch(tf.data.AUTOTUNE)
    model = train.compiled(settings, 9, "float32")
    marks = []
    _marking(
        marks, lambda: model.fit(training, validation_data=validation, epochs=epochs, verbose=0)
    )
    return _result(began, marks, images, "float32")


def _marking(marks: list, work):
    """Run `work`, noting the time whenever Keras ends an epoch."""
    import keras

    original = keras.callbacks.CallbackList.on_epoch_end

    def on_epoch_end(self, *args, **kwargs):
        original(self, *args, **kwargs)
        marks.append(time.perf_counter())

    keras.callbacks.CallbackList.on_epoch_end = on_epoch_end
    try:
        return work()
    finally:
        keras.callbacks.CallbackList.on_epoch_end = original


def _result(began: float, marks: list, images: int, precision: str) -> dict:
    later = statistics.median(b - a for a, b in itertools.pairwise(marks))
    return {
        "first": images / (marks[0] - began),
        "later": images / later,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "precision": precision,
    }


def _measure(way: str, arguments) -> dict:
    command = [sys.executable, __file__, "--way", way, "--epochs", str(arguments.epochs)]
    command += ["--data", arguments.data] if arguments.data else []
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="a set; default: as data.load finds it")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--way", choices=("ours", "published"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        print(json.dumps(globals()[arguments.way](arguments.data, arguments.epochs)))
        return
    print("way        first epoch  later epochs  peak memory  precision")
    ratios, found = [], []
    for number in range(arguments.pairs):
        # each goes first in turn: a machine's speed drifts
        ways = ("ours", "published")[:: -1 if number % 2 else 1]
        pair = {way: _measure(way, arguments) for way in ways}
        for way, r in pair.items():
            print(
                f"{way:10} {r['first']:7.1f}/s   {r['later']:8.1f}/s   {r['peak']:8.2f} GB  "
                f" {r['precision']}",
                flush=True,
            )
        found.append(pair)
        a, b = pair["ours"], pair["published"]
        ratios.append({key: a[key] / b[key] for key in ("first", "later", "peak")})
        print("ratio      " + "  ".join(f"{key} {value:.2f}" for key, value in ratios[-1].items()))
    names = {"first": "first epoch", "later": "later epochs", "peak": "peak memory"}
    for key, name in names.items():
        unit = "GB" if key == "peak" else "images/s"
        ours_, theirs = (
            f"{statistics.median(f[way][key] for f in found):.{2 if key == 'peak' else 0}f} {unit}"
            for way in ("ours", "published")
        )
        other = f"{theirs}: Keras float32, cached and shuffled `tf.data`"
        row(f"training, {name}", ours_, other, [r[key] for r in ratios])


if __name__ == "__main__":
    main()
