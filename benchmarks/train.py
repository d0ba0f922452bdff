"""Training speed and memory: `train.fit` against the published notebook's way and PyTorch, in turn.

    python benchmarks/train.py [--data FOLDER] [--rounds 3] [--epochs 3] [--torch PYTHON]
                               [--target 0.5]

All train the published network at 180×180, batch 32, from the same JPEGs on disk, with validation
after every epoch, each in a process of its own. The published way is Keras float32 over
`image_dataset_from_directory` with `cache`, `shuffle` and `prefetch`; PyTorch's is the fastest of
`train_torch.py`, for which --torch names an interpreter that has torch. "First" is from the first
file opened to the end of the first epoch, and for ours holds decoding, the choice of a precision
and the checkpoint; "later" is the median of the epochs after it. "Fed" is what the input pipeline
gives when nothing trains: where it is several times the rate of training, training waits for it
hardly ever. Memory is the process's peak; PyTorch's holds two workers' beside it, uncounted.
--target adds the minutes to the first epoch with that validation accuracy, decoding included.
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
HERE = Path(__file__).resolve().parent
OTHERS = {"published": "Keras float32, cached and shuffled `tf.data`", "torch": "PyTorch"}


def ours(folder: str, epochs: int) -> dict:
    from skincnn import data, pipeline, presets, splits, train

    index = data.load(folder, progress=False)  # part of opening the project, cached: not timed
    settings = presets.get("baseline", epochs=epochs)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        marks, scores = [], []
        run = _marking(
            marks, scores, lambda: train.fit(settings, index, Path(place) / "run", verbose=0)
        )
        found = _result(
            began, marks, scores, run.info["data"]["training"], run.info["precision_used"]
        )
    rows = splits.training(splits.published(index))
    source = pipeline.source(
        rows, pipeline.labels(rows, data.classes(index)), settings, progress=False
    )
    return found | {"fed": _fed(pipeline.stream(source))}


def published(folder: str, epochs: int) -> dict:
    asked = os.environ.get(ONEDNN)
    import skincnn  # noqa: F401

    if asked is None:
        os.environ.pop(ONEDNN)
    import keras
    import tensorflow as tf

    from skincnn import data, fitting, presets

    root = data.load(folder, progress=False).attrs["root"]
    settings = presets.get("baseline", epochs=epochs)
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
    images, classes = len(training.file_paths), len(training.class_names)
    training = training.cache().shuffle(1000).prefetch(tf.data.AUTOTUNE)
    validation = validation.cache().prefetch(tf.data.AUTOTUNE)
    model = fitting.compiled(settings, classes, "float32")
    model.compile(keras.optimizers.Adam(), model.loss, metrics=["accuracy"])  # Keras's, not ours
    marks, scores = [], []
    _marking(
        marks,
        scores,
        lambda: model.fit(training, validation_data=validation, epochs=epochs, verbose=0),
    )
    return _result(began, marks, scores, images, "float32") | {"fed": _fed(training)}


def _marking(marks: list, scores: list, work):
    """Run `work`, noting the time and the validation accuracy whenever Keras ends an epoch."""
    import keras

    original = keras.callbacks.CallbackList.on_epoch_end

    def on_epoch_end(self, epoch, logs=None):
        original(self, epoch, logs)
        marks.append(time.perf_counter())
        scores.append(float(logs["val_accuracy"]))

    keras.callbacks.CallbackList.on_epoch_end = on_epoch_end
    try:
        return work()
    finally:
        keras.callbacks.CallbackList.on_epoch_end = original


def _fed(dataset) -> float:
    """Seconds of an epoch of batches that nobody trains on."""
    for _ in range(2):  # the second is read from memory, as later epochs are
        began = time.perf_counter()
        for _ in dataset:
            pass
        seconds = time.perf_counter() - began
    return seconds


def _result(began: float, marks: list, scores: list, images: int, precision: str) -> dict:
    return {
        "images": images,
        "marks": [mark - began for mark in marks],
        "scores": scores,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "precision": precision,
    }


def _measure(way: str, asked) -> dict:
    """What a way tells of itself, as rates."""
    command = [sys.executable, __file__, "--way", way, "--epochs", str(asked.epochs)]
    command += ["--data", asked.data] if asked.data else []
    if way == "torch":
        command = [asked.torch, str(HERE / "train_torch.py"), "--root", asked.root]
        command += ["--epochs", str(asked.epochs)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    told = json.loads(done.stdout.splitlines()[-1])
    marks, scores = told["marks"], told["scores"]
    there = [m for m, s in zip(marks, scores, strict=True) if asked.target and s >= asked.target]
    return {
        "first": told["images"] / marks[0],
        "later": told["images"] / statistics.median(b - a for a, b in itertools.pairwise(marks)),
        "fed": told["images"] / told["fed"],
        "peak": told["peak"],
        "minutes": there[0] / 60 if there else None,
        "best": max(scores),
        "precision": told["precision"],
        "waited": told.get("waited"),
        "tried": told.get("tried"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="a set; default: as data.load finds it")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--torch", help="an interpreter that has torch, numpy and Pillow")
    parser.add_argument("--target", type=float, help="validation accuracy whose minutes to tell")
    parser.add_argument("--way", choices=("ours", "published"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.epochs < 2:
        parser.error("--epochs: later ones are told apart from the first, so give at least 2")
    if asked.way:
        print(json.dumps(globals()[asked.way](asked.data, asked.epochs)))
        return
    if asked.torch:
        from skincnn import data

        asked.root = str(data.load(asked.data, progress=False).attrs["root"])
    else:
        print("PyTorch is left out: --torch names an interpreter that has it")
    ways = ["ours", "published", *(["torch"] if asked.torch else [])]
    print("way        first epoch  later epochs        fed  peak memory  best accuracy")
    found = []
    for number in range(asked.rounds):
        # each goes first in turn: a machine's speed drifts
        turn = ways[number % len(ways) :] + ways[: number % len(ways)]
        found.append({way: _measure(way, asked) for way in turn})
        for way, r in found[-1].items():
            minutes = f", {r['minutes']:.1f} min to target" if r["minutes"] else ""
            waited = f", waited {r['waited']:.1f} s an epoch" if r["waited"] is not None else ""
            print(
                f"{way:10} {r['first']:9.1f}/s  {r['later']:10.1f}/s  {r['fed']:7.0f}/s  "
                f"{r['peak']:8.2f} GB  {r['best']:12.1%}  {r['precision']}{waited}{minutes}",
                flush=True,
            )
            if r["tried"]:
                steps = ", ".join(f"{name} {found}" for name, found in r["tried"].items())
                print(f"           steps alone, images/s: {steps}", flush=True)
    for other in ways[1:]:
        _rows(found, other, asked.target)
    shares = statistics.median(f["ours"]["later"] / f["ours"]["fed"] for f in found)
    fed = statistics.median(f["ours"]["fed"] for f in found)
    row("input pipeline alone, later epochs", f"{fed:,.0f} images/s", f"{shares:.1%} of its time")


def _rows(found: list[dict], other: str, target: float | None) -> None:
    units = {
        "first": ("first epoch", "{:.0f} images/s"),
        "later": ("later epochs", "{:.0f} images/s"),
        "peak": ("peak memory", "{:.2f} GB"),
        "minutes": (f"to {target or 0:.0%} validation accuracy", "{:.1f} min"),
    }
    for key, (name, unit) in units.items():
        pairs = [(f["ours"][key], f[other][key]) for f in found]
        pairs = [(a, b) for a, b in pairs if a and b]  # who never came there has no minutes
        if pairs:
            a, b = (unit.format(statistics.median(values)) for values in zip(*pairs, strict=True))
            kind = found[-1][other]["precision"] if other == "torch" else ""
            told = f"{b}: {OTHERS[other]}{' ' if kind else ''}{kind}"
            row(f"training, {name}", a, told, [x / y for x, y in pairs])


if __name__ == "__main__":
    main()
