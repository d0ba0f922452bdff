"""How long each command takes to say anything: `--help`, and the shortest real call.

    python benchmarks/startup.py [--rounds 5]

Told are the median of several processes, and that of `python -c pass` and of importing numpy with
Pillow beside it, in turn.
"""

import argparse
import statistics
import subprocess
import sys
import time

from rows import row

CLI = "from skincnn.cli import main; main()"


def calls() -> dict[str, list[str]]:
    """Name -> arguments of the interpreter."""
    import typer

    from skincnn.cli import app

    found = {"python": ["-c", "pass"], "numpy, Pillow": ["-c", "import numpy, PIL.Image"]}
    names = sorted(typer.main.get_command(app).commands)
    found |= {f"{name} --help": ["-c", CLI, name, "--help"] for name in names}
    return found


def seconds(words: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    some = calls()
    found = {name: [] for name in some}
    for _ in range(rounds):  # in turn: a machine's speed drifts
        for name, words in some.items():
            found[name].append(seconds(words))
    for name, values in found.items():
        print(f"{name:24} {statistics.median(values):6.2f} s  {min(values):.2f} to ", end="")
        print(f"{max(values):.2f}", flush=True)
    helps = {name: values for name, values in found.items() if name.endswith("--help")}
    slowest = max(helps, key=lambda name: statistics.median(helps[name]))
    bare = "numpy, Pillow"
    ratios = [a / b for a, b in zip(helps[slowest], found[bare], strict=True)]
    other = f"{statistics.median(found[bare]):.2f} s: importing {bare}"
    row(f"start-up, `skincnn {slowest}`, the slowest of {len(helps)}",
        f"{statistics.median(helps[slowest]):.2f} s", other, ratios)  # fmt: skip


if __name__ == "__main__":
    main()
