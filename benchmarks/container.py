"""What the service weighs and how soon it answers: an empty environment, and cold processes.

    python benchmarks/container.py MODEL PHOTOGRAPH [--processes 5]

Takes the Dockerfile's own step (`pip install …`) in a new virtual environment, adds up its files,
and checks that no TensorFlow came along. Then the time from starting `skincnn predict` to its
answer, and from starting `skincnn serve` to the first answer over HTTP; neither has run before in
its process, the files are in the system's cache from the second on. Exit code 1: 400 MB or more.
"""

import argparse
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
from pathlib import Path

from rows import row

ROOT = Path(__file__).resolve().parent.parent
MOST = 400  # MB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("photograph", type=Path)
    parser.add_argument("--processes", type=int, default=5)
    asked = parser.parse_args()
    model, photograph = asked.model.resolve(), asked.photograph.resolve()
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary) / "venv"
        venv.create(place, with_pip=True)
        bare = size(place)
        for requirements in ([".[serve]"], wanted()):
            subprocess.run(
                [place / "bin" / "pip", "install", "--quiet", "--no-compile", *requirements],
                cwd=ROOT,
                check=True,
            )
            added = size(place) - bare
            print(f"pip install {shlex.join(requirements)}: {added:.0f} MB")
            row(f"`pip install {shlex.join(requirements)}`", f"{added:.0f} MB")
        packages = [p.name for p in place.glob("lib/*/site-packages/*")]
        heavy = [p for p in packages if re.match(r"tensorflow|keras|sklearn|torch|jax", p)]
        print(f"TensorFlow and its like: {', '.join(heavy) or 'none'}")
        program = place / "bin" / "skincnn"
        predict = [cold(program, model, photograph) for _ in range(asked.processes)]
        serve = [first(program, model, photograph) for _ in range(asked.processes)]
    for what, seconds in (("predict", predict), ("serve", serve)):
        told = ", ".join(f"{s:.2f}" for s in seconds)
        print(f"{what}: first answer after {statistics.median(seconds):.2f} s (of {told})")
        row(f"first answer of `skincnn {what}`, cold", f"{statistics.median(seconds):.2f} s")
    if added >= MOST or heavy:
        sys.exit(1)


def wanted() -> list[str]:
    """What the Dockerfile installs."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    step = re.search(r"^RUN pip install (.*?) &&", text, re.M)[1]
    return shlex.split(step)


def size(folder: Path) -> float:
    """MB of files, each counted once."""
    files = {p.stat().st_ino: p.stat().st_size for p in folder.rglob("*") if p.is_file()}
    return sum(files.values()) / 1e6


def cold(program: Path, model: Path, photograph: Path) -> float:
    began = time.perf_counter()
    subprocess.run(
        [program, "predict", photograph, "--model", model, "--json"],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=program.parent,
    )
    return time.perf_counter() - began


def first(program: Path, model: Path, photograph: Path) -> float:
    body = b'--x\r\nContent-Disposition: form-data; name="a"; filename="a.jpg"\r\n\r\n'
    body += photograph.read_bytes() + b"\r\n--x--\r\n"
    began = time.perf_counter()
    process = subprocess.Popen(
        [program, "serve", model, "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=program.parent,
    )
    try:
        address = next(line for line in process.stdout if " answers at " in line).split()[-1]
        request = urllib.request.Request(
            address + "/api/classify",
            body,
            {"Content-Type": "multipart/form-data; boundary=x"},
        )
        urllib.request.urlopen(request).read()
        return time.perf_counter() - began
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
