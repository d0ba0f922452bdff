"""Images a second of one process and of two on one machine, on JAX, in turn.

    python benchmarks/processes.py [--data sample] [--pairs 3]

The same training of `compact` at 64×64 on shards, its batches made by two readers; told is the
median of its later epochs. Two processes on two cores share what one would have alone: the figure
says what taking part costs, not what a second machine would bring.
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from rows import row

EPOCHS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="sample", help="a set of files")
    parser.add_argument("--pairs", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary) / "shards"
        words = ["tfrecords", "--from", asked.data, "--size", "64", "--shards", "8"]
        subprocess.run(
            [*skincnn(), *words, "--out", str(place), "--json"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        rates = {1: [], 2: []}
        for pair in range(asked.pairs):
            for processes, found in rates.items():
                found.append(rate(place, Path(temporary) / f"run{pair}_{processes}", processes))
    ratios = [two / one for one, two in zip(rates[1], rates[2], strict=True)]
    one, two = (f"{statistics.median(rates[n]):.0f} images/s" for n in (1, 2))
    row("training by two processes on these cores", two, f"{one}: one process", ratios)


def skincnn() -> list[str]:
    return [sys.executable, "-c", "from skincnn.cli import main; main()"]


def rate(place: Path, folder: Path, processes: int) -> float:
    """Images a second of a training by so many processes."""
    words = ["train", "--preset", "compact", "--data", str(place), "--out", str(folder), "--json"]
    words += ["--image-size", "64", "--epochs", str(EPOCHS), "--precision", "float32"]
    words += ["--set", "readers=2", "--set", "augment=none", "--set", "views=1"]
    words += ["--set", "sampling=plain"]  # a shard of so few photographs lacks a class
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    several = ["--coordinator", address, "--processes", str(processes)]
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    started = [
        subprocess.Popen(
            [*skincnn(), *words, *([*several, "--process", str(p)] if processes > 1 else [])],
            stdout=subprocess.DEVNULL,
            env=environment,
        )
        for p in range(processes)
    ]
    if any(process.wait() for process in started):
        sys.exit("a training failed")
    from skincnn import runs

    run = runs.Run(folder)
    seconds = statistics.median(run.history["seconds"][1:])
    return run.info["data"]["training"] / seconds


if __name__ == "__main__":
    main()
