"""Time and memory of the bookkeeping as a set grows: 1, 4, 16 and (--full) 64 times the real one.

    python benchmarks/growth.py [--full] [--photographs 2357]

Photographs are small drawn ones, each with its own pixels, three to a lesion. Each step at each
size is a process of its own: reading the index (first and remembered), the audit, dealing out five
folds, adding copies (100 a class), and metrics with intervals of a table of predictions. Told are
seconds, those of the processors, peak memory, and by how much the last two grew when the set grew
fourfold (other work on the machine changes them least; what takes a second or less is run three
times, and the best told); what grows as n log n grows 4.3 to 4.8 times.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from rows import row

CLASSES = 9
STEPS = ("index", "index again", "audit", "folds", "copies", "metrics")
QUICK = ("index again", "folds", "metrics")  # leave nothing behind: the best of three is told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photographs", type=int, default=2357)
    parser.add_argument("--full", action="store_true", help="64 times as well")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(*asked.child)
        return
    sizes = (1, 4, 16, 64) if asked.full else (1, 4, 16)
    with tempfile.TemporaryDirectory() as temporary:
        root, drawn, before = Path(temporary), 0, {}
        steps = {step: [] for step in STEPS}
        for times in sizes:
            drawn = draw(root / "set", drawn, times * asked.photographs)
            for step in STEPS:
                words = [sys.executable, __file__, "--child", step, temporary]
                turns = [
                    json.loads(subprocess.check_output(words, text=True).splitlines()[-1])
                    for _ in range(3 if step in QUICK else 1)
                ]
                now = min(turns, key=lambda turn: turn["cpu"])
                grew = ""
                if step in before:
                    of = {name: now[name] / before[step][name] for name in now}
                    grew = f"  × {of['cpu']:.1f}, × {of['megabytes']:.1f}"
                before[step] = now
                print(
                    f"{drawn:8,}  {step:12} {now['seconds']:8.2f} s {now['cpu']:8.2f} s of CPU "
                    f"{now['megabytes']:8.0f} MB"
                    f"{grew}",
                    flush=True,
                )
                if grew:
                    steps[step].append(of["cpu"])
    for step, factors in steps.items():
        told = ", ".join(f"× {factor:.1f}" for factor in factors)
        last = f"{before[step]['seconds']:.1f} s, {before[step]['megabytes']:.0f} MB in the end"
        row(f"{step}: CPU time as the set grows fourfold, to {drawn:,}", f"{told}; {last}")


def draw(root: Path, have: int, want: int) -> int:
    """Photographs number `have` to `want`, in class folders."""
    from PIL import Image

    for label in range(CLASSES):
        (root / "Train" / f"class {label}").mkdir(parents=True, exist_ok=True)

    def one(number: int) -> None:
        rng = np.random.default_rng(number)
        small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        path = root / "Train" / f"class {number % CLASSES}" / f"ISIC_{number:07d}.jpg"
        small.resize((48, 48), Image.Resampling.BICUBIC).save(path, quality=90)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(one, range(have, want)))
    return want


def child(step: str, root: str) -> None:
    """One step; prints its seconds and the process's peak, what it starts from not timed."""
    from skincnn import audit, balance, config, data, evaluate, relatives, splits

    config.project_root = lambda: Path(root)
    index = None
    if step not in ("index", "metrics"):
        index = data.usable(data.load(Path(root) / "set", progress=False))
        index["lesion_id"] = [f"L{number // 3}" for number in range(len(index))]
        index["group"] = relatives.groups(index)
    if step == "copies":
        index = splits.grouped(index, 5)
    if step == "metrics":
        n = sum(1 for _ in (Path(root) / "set").rglob("*.jpg"))
        table = answers(n)
    began, used = time.perf_counter(), spent()
    if step.startswith("index"):
        data.load(Path(root) / "set", progress=False)
    elif step == "audit":
        audit.run(index, with_shortcuts=False, progress=False)
    elif step == "folds":
        splits.grouped(index, 5)
    elif step == "copies":
        balance.add(index, 100, fold=0, seed=0, progress=False)
    else:
        evaluate.metrics(table)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "cpu": spent() - used, "megabytes": peak}))


def spent() -> float:
    """Seconds of all processors so far, those of processes that ended included."""
    own, others = (
        resource.getrusage(of) for of in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime


def answers(n: int):
    """A table of predictions of so many photographs."""
    import pandas as pd

    from skincnn import labels

    rng = np.random.default_rng(0)
    names = [f"class {label}" for label in range(CLASSES)]
    table = pd.DataFrame({"file": [f"{i}.jpg" for i in range(n)], "image_id": ""})
    table["group"] = [f"L{i // 3}" for i in range(n)]
    table["label"] = rng.choice(names, n)
    table["split"], table["fold"], table["seed"] = "train", rng.integers(0, 5, n), 0
    shares = rng.dirichlet(np.ones(CLASSES), n).round(6)
    for place, name in enumerate(names):
        table[labels.column(name)] = shares[:, place]
    return table


if __name__ == "__main__":
    main()
