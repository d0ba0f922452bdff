"""What an audit costs: against only decoding every photograph once, and as sets grow.

    python benchmarks/audit.py [--photographs SET] [--rounds 3] [--largest 400000]

First the whole of `audit.run` (shortcut classifier included) against decoding the same files with
as many threads, in turn in one run. Then the search for copies alone, among 10,000, 100,000 and
400,000 small pictures mixed from its photographs, with
its peak memory: each size in a process of its own.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from rows import row

SIZES = (10_000, 100_000, 400_000)


def cost(folder: str | None, rounds: int) -> None:
    from skincnn import audit, data, images

    index = data.usable(data.load(folder, progress=False))
    places = data.paths(index)
    ratios = []
    for number in range(rounds):
        seconds = {}
        for way in ("decode", "audit")[:: -1 if number % 2 else 1]:
            began = time.perf_counter()
            if way == "audit":
                audit.run(index, progress=False)
            else:
                with ThreadPoolExecutor(os.cpu_count()) as pool:
                    for _ in pool.map(images.decode, places):
                        pass
            seconds[way] = time.perf_counter() - began
        ratios.append(seconds["audit"] / seconds["decode"])
        print(
            f"{len(index):,} photographs: decoding {seconds['decode']:.1f} s, audit "
            f"{seconds['audit']:.1f} s, ratio {ratios[-1]:.2f}",
            flush=True,
        )
    other = f"{seconds['decode']:.1f} s: decoding each once on all cores"
    row(f"audit of {len(index):,} photographs", f"{seconds['audit']:.1f} s", other, ratios)


def mixed(base: np.ndarray, n: int, seed: int = 0) -> np.ndarray:
    """`n` small pictures (n, S, S) uint8, each a blend of three turned ones of `base`."""
    from skincnn import duplicates

    rng = np.random.default_rng(seed)
    turned = np.concatenate([[duplicates.turn(p, o) for p in base] for o in range(8)])
    made = np.empty((n, *base.shape[1:]), np.uint8)
    for start in range(0, n, 10_000):
        rows = min(10_000, n - start)
        weights = rng.dirichlet([6, 6, 6], rows).astype(np.float32)
        some = turned[rng.integers(len(turned), size=(rows, 3))]
        made[start : start + rows] = np.einsum("nk,nkij->nij", weights, some)
    return made


def search(folder: str | None, n: int) -> None:
    from PIL import Image

    from skincnn import data, duplicates, images

    places = data.paths(data.usable(data.load(folder, progress=False)))[:3000]
    pictures = (Image.fromarray(images.decode(place)).convert("L") for place in places)
    base = np.stack([duplicates.thumbnail(picture) for picture in pictures])
    small = mixed(base, n)
    small[-100:] = small[:100, :, ::-1]  # a hundred flipped copies, to be found
    began = time.perf_counter()
    pairs = duplicates.pairs(small)
    seconds = time.perf_counter() - began
    wanted = {(i, n - 100 + i) for i in range(100)}
    found = len(wanted & {(int(p["a"]), int(p["b"])) for p in pairs})
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"seconds": seconds, "peak": peak, "pairs": len(pairs), "found": found}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photographs", help="a set; default: as data.load finds it")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--largest", type=int, default=SIZES[-1])
    parser.add_argument("--search", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.search:
        search(arguments.photographs, arguments.search)
        return
    cost(arguments.photographs, arguments.rounds)
    for n in (size for size in SIZES if size <= arguments.largest):
        command = [sys.executable, __file__, "--search", str(n)]
        command += ["--photographs", arguments.photographs] if arguments.photographs else []
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr[-2000:])
        r = json.loads(done.stdout.splitlines()[-1])
        print(
            f"copies among {n:,}: {r['seconds']:.1f} s ({r['seconds'] / n * 1e6:.0f} µs each), "
            f"peak {r['peak']:.2f} GB, {r['found']} of 100 planted found",
            flush=True,
        )
        row(f"copies among {n:,} small pictures", f"{r['seconds']:.1f} s, {r['peak']:.2f} GB")


if __name__ == "__main__":
    main()
