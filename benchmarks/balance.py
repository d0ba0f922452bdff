"""Copies a second: `skincnn.balance` against Augmentor's own threaded `sample`, in turn.

Both write the same number of copies of the same training photographs with the same operations to a
temporary folder; who goes first changes every round, and the ratio is taken within a round. On a
busy machine Augmentor's many threads get more of the cores than one process a core does: read the
processor time then, or wait. `balance` saves at JPEG quality 95, Augmentor at 75.

    python benchmarks/balance.py --data isic9 --copies 4500 --rounds 5
"""

import argparse
import contextlib
import hashlib
import os
import tempfile
import time
from functools import partial
from pathlib import Path

import Augmentor
from rows import row

from skincnn import balance, config, data

RECIPES = {
    "published (rotate)": balance.OPERATIONS,
    "six operations": (
        *balance.OPERATIONS,
        ("flip_left_right", {"probability": 0.5}),
        ("flip_top_bottom", {"probability": 0.5}),
        ("zoom_random", {"probability": 0.5, "percentage_area": 0.8}),
        ("random_brightness", {"probability": 0.5, "min_factor": 0.8, "max_factor": 1.2}),
        (
            "random_distortion",
            {"probability": 0.5, "grid_width": 4, "grid_height": 4, "magnitude": 4},
        ),
    ),
}


def link_training_photographs(index, folder: Path) -> Path:
    """A tree of class folders with links to exactly the photographs `balance` copies."""
    for path, label in zip(data.paths(index), index["label"], strict=True):
        (folder / label).mkdir(parents=True, exist_ok=True)
        (folder / label / path.name).symlink_to(path.resolve())
    return folder


def ours(index, per_class: int, operations, out: Path) -> None:
    balance.add(index, per_class, operations, out=out)


def augmentors(tree: Path, copies: int, operations, out: Path) -> None:
    pipeline = Augmentor.Pipeline(str(tree), output_directory=str(out))
    for name, arguments in operations:
        getattr(pipeline, name)(**arguments)
    pipeline.sample(copies, multi_threaded=True)


def measure(work) -> tuple[float, float]:
    """Seconds of wall clock and of processor, finished child processes included."""
    start, before = time.perf_counter(), sum(os.times()[:4])
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        work()
    return time.perf_counter() - start, sum(os.times()[:4]) - before


def digest(folder: Path) -> str:
    """SHA-256 over names and bytes of every copy in a folder."""
    files = sorted(folder.rglob("*.jpg"))
    lines = [f"{f.relative_to(folder)} {hashlib.sha256(f.read_bytes()).hexdigest()}" for f in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="a set's name or folder; default: what data.load finds")
    parser.add_argument("--copies", type=int, default=4500, help="in all, each time")
    parser.add_argument("--rounds", type=int, default=5, help="at least 2")
    arguments = parser.parse_args()
    if arguments.rounds < 2:
        parser.error("--rounds: at least 2, the bytes of two of them are compared")

    with tempfile.TemporaryDirectory() as temporary:
        config.local_dir = lambda: Path(temporary)  # nothing is kept, the index's cache neither
        index = data.load(arguments.data, progress=False)
    index = index[(index["split"] == "train") & (index["problem"] == "")].reset_index(drop=True)
    classes = data.classes(index)
    per_class = max(1, arguments.copies // len(classes))
    copies = per_class * len(classes)
    print(
        f"{index.attrs['name']}: {copies} copies of {len(index)} photographs in {len(classes)} "
        f"classes, {os.cpu_count()} cores, Augmentor {Augmentor.__version__}"
    )
    for recipe, operations in RECIPES.items():
        print(f"\n{recipe}: copies/s (ms of processor a copy)")
        print("round  balance      Augmentor    ratio")
        ratios, digests = [], set()
        with tempfile.TemporaryDirectory() as temporary:
            tree = link_training_photographs(index, Path(temporary) / "photographs")
            for k in range(arguments.rounds):
                out, their_out = Path(temporary) / f"ours{k}", Path(temporary) / f"theirs{k}"
                contenders = {
                    "ours": partial(ours, index, per_class, operations, out),
                    "theirs": partial(augmentors, tree, copies, operations, their_out),
                }
                times = {n: measure(contenders[n]) for n in sorted(contenders, reverse=k % 2 > 0)}
                ratios.append(times["theirs"][0] / times["ours"][0])
                digests.add(digest(out))
                cells = [
                    f"{copies / wall:5.0f} ({cpu / copies * 1000:4.1f})"
                    for wall, cpu in (times["ours"], times["theirs"])
                ]
                ours_ = times["ours"][0]
                print(f"{k + 1:5}  {cells[0]}  {cells[1]}  {ratios[-1]:.2f}", flush=True)
        same = "equal" if len(digests) == 1 else "DIFFERENT"
        print(f"bytes of our runs: {same}")
        row(
            f"copies/s, {recipe}",
            f"{copies / ours_:.0f}, repeatable",
            "Augmentor's threads",
            ratios,
        )


if __name__ == "__main__":
    main()
