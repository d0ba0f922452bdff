"""Every benchmark in turn, and one table of what they found: what `make bench` runs.

    python benchmarks/bench.py [--full] [--only train --only reading] [--torch PYTHON] [--write]

Each script prints what it does and ends with rows of the table. --full adds what takes longer than
half an hour; --write keeps the rows in BENCHMARKS.md as they come, in place of those that the same
script left there, with the machine and the versions. The photographs are those that `data.load`
finds: set SKINCNN_DATA for the real ones; what is served is a small network of the sample set, or
--run RUN.
"""

import argparse
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from skincnn import data, provenance, runs, serve_cli

HERE = Path(__file__).resolve().parent
KEPT = HERE.parent / "BENCHMARKS.md"
COLUMNS = ("script", "", "this package", "compared with", "ratio, median (range)")
HEAD = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
RUN, MODEL, PHOTOGRAPH = "RUN", "MODEL", "PHOTOGRAPH"  # stand for what `given` says
USUAL = {  # name -> its words; in all about half an hour on two cores
    "startup": ["startup.py", "--rounds", "3"],
    "train": ["train.py", "--rounds", "3"],
    "convolutions": ["convolutions.py", "--rounds", "3"],
    "reading": ["reading.py"],
    "balance": ["balance.py", "--rounds", "3", "--copies", "1800"],
    "audit": ["audit.py", "--largest", "100000"],
    "evaluate": ["evaluate.py"],
    "shards": ["shards.py", "--shards", "8"],
    "processes": ["processes.py", "--pairs", "2"],
    "service": ["service.py", RUN, "--requests", "200"],
    "answer": ["answer.py", RUN, "--rounds", "3"],
    "growth": ["growth.py"],
}
FULL = USUAL | {
    "train": ["train.py", "--rounds", "5"],
    "audit": ["audit.py"],
    "growth": ["growth.py", "--full"],
    "hostile": ["hostile.py", MODEL, "--slow", "40", "--fuzz", "30"],
    "container": ["container.py", MODEL, PHOTOGRAPH],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--only", action="append", choices=FULL)
    parser.add_argument("--torch", help="an interpreter that has torch, to train beside")
    parser.add_argument("--run", type=Path, help="what is served; default: a small one, trained")
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    chosen = asked.only or list(FULL if asked.full else USUAL)
    some = FULL if asked.full else FULL | USUAL
    if asked.torch:
        some = some | {"train": [*some["train"], "--torch", asked.torch]}
    table, failed = [], []
    for name in chosen:
        if {RUN, MODEL} & set(some[name]) and asked.run is None:
            asked.run = serve_cli.small().parent
        script, *more = [given(word, asked.run) for word in some[name]]
        words = [sys.executable, "-u", str(HERE / script), *more]
        print(f"\n--- python benchmarks/{shlex.join([script, *more])}", flush=True)
        rows, began = [], time.perf_counter()
        with tempfile.TemporaryFile("w+") as aside:  # TensorFlow's talk, and why one failed
            process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=aside, text=True)
            for line in process.stdout:
                if line.startswith("| "):
                    rows.append(f"| {name} {line.strip()}")
                else:
                    print(line, end="", flush=True)
            if process.wait():
                aside.seek(0)
                print("".join(aside.readlines()[-20:]), end="", flush=True)
                failed.append(name)
        print(f"({(time.perf_counter() - began) / 60:.1f} min)", flush=True)
        table += rows
        if asked.write and rows:
            KEPT.write_text(page(merged(name, rows)), "utf-8")
    print("\n" + "\n".join([*HEAD, *table]))
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def given(word: str, run: Path | None) -> str:
    """What a word of a script's stands for: the run, its export, the sample set's first one."""
    if word == PHOTOGRAPH:
        return str(data.paths(data.usable(data.load("sample", progress=False)))[0])
    if word == MODEL:
        model = run / f"{run.name}.onnx"
        if not model.is_file():
            from skincnn import export

            export.write(runs.Run(run), "onnx", model)
        return str(model)
    return str(run) if word == RUN else word


def merged(name: str, rows: list[str]) -> list[str]:
    """What BENCHMARKS.md keeps, with a script's rows in place of those it left before."""
    kept = KEPT.read_text("utf-8").splitlines() if KEPT.is_file() else []
    found = {script: [line for line in kept if line.startswith(f"| {script} |")] for script in FULL}
    return [line for lines in (found | {name: rows}).values() for line in lines]


def page(rows: list[str]) -> str:
    """BENCHMARKS.md."""
    index = data.load(progress=False)
    versions = ", ".join(f"{name} {version}" for name, version in provenance.versions().items())
    return (
        "# Benchmarks\n\nTwo things at a time, in turn, in one run on one machine; the ratio is "
        "ours to the other's. `make bench` prints this table, "
        "`python benchmarks/bench.py --only SCRIPT --write` replaces the rows of one script; "
        "PyTorch is compared with where `--torch` names an interpreter that has it.\n\n"
        f"{processor()}, {os.cpu_count()} cores, "
        f"{platform.system()}; {versions}. Photographs: {index.attrs['name']}, {len(index):,}.\n\n"
        + "\n".join([*HEAD, *rows])
        + "\n"
    )


def processor() -> str:
    """The processor's name, and what it brings for networks."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    said = dict(
        (part.strip() for part in line.split(":", 1)) for line in text.splitlines() if ":" in line
    )
    flags = said.get("flags", "").split()
    kinds = [kind for kind in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if kind in flags]
    return f"{said.get('model name', platform.machine())} ({', '.join(kinds)})"


if __name__ == "__main__":
    main()
