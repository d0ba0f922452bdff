"""Long commands killed at random moments and run again: is the end what it would have been?

    python benchmarks/interrupt.py [--kills 100] [--only train --only cv] [--seed 0]

Each command runs to its end once, undisturbed. Then it is started, killed outright (SIGKILL, with
all its processes) after a time drawn between nothing and the whole, and started again, killed again
with one chance in three, until it may end. Told is, for each command, how many kills there were,
what was not readable under a final name after one, which results differ from the undisturbed ones,
and what temporary files are left at the end: all three should be 0. Times, and what says when or
how long, are not compared.
"""

import argparse
import csv
import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np

TINY = {
    "model": "regularised",
    "augment": "flip_rotate_zoom",
    "image_size": 32,
    "batch_size": 8,
    "epochs": 4,
    "precision": "float32",
}
RUN = ["--precision", "float32"]
COMMANDS = {
    "download": ["download", "isic9", "--out", "{out}"],
    "audit": ["audit", "{data}", "--report", "{out}"],
    "tfrecords": ["tfrecords", "--from", "{data}", "--size", "300", "--shards", "6"],
    "train": ["train", "--preset", "tiny", "--data", "{data}"],
    "cv": ["cv", "--preset", "tiny", "--data", "{data}", "--folds", "3", "--epochs", "2"],
    "experiment": ["experiment", "leakage", "--data", "{data}", "--seeds", "1", "--epochs", "1"],
}
COMMANDS["experiment"] += ["--image-size", "32", "--batch-size", "8", *RUN]
VOLATILE = {"seconds", "minutes", "minutes_beside", "fastest_epoch", "commit", "created"}
# of a run that goes on, and of one that was stopped
TEMPORARY = (".tmp", ".part", ".writing")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100, help="in all")
    parser.add_argument("--only", action="append", choices=COMMANDS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(*asked.child)
        return
    names = asked.only or list(COMMANDS)
    rng = random.Random(asked.seed)
    wrong = 0
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        photographs(place / "photographs")
        print("command       kills  unreadable  different  left over", flush=True)
        for number, name in enumerate(names):
            kills = asked.kills // len(names) + (number < asked.kills % len(names))
            found = tried(name, kills, place, rng)
            wrong += sum(map(len, found[1:]))
            print(f"{name:12} {found[0]:6} {len(found[1]):11} {len(found[2]):10} ", end="")
            print(
                f"{len(found[3]):10}  {' '.join([*found[1], *found[2], *found[3]][:3])}", flush=True
            )
    sys.exit(1 if wrong else 0)


def photographs(root: Path) -> None:
    """Three classes of drawn photographs, in Train and Test."""
    from PIL import Image

    rng, number = np.random.default_rng(0), 0
    for split, count in (("Train", 14), ("Test", 4)):
        for label, colour in {"melanoma": (90, 60, 50), "nevus": (170, 120, 90)}.items():
            folder = root / split / label
            folder.mkdir(parents=True)
            for _ in range(count):
                number += 1
                coarse = rng.integers(-60, 61, (6, 6, 3)) + np.array(colour)
                small = Image.fromarray(coarse.clip(0, 255).astype(np.uint8))
                small.resize((96, 96), Image.Resampling.BICUBIC).save(
                    folder / f"ISIC_{number:07d}.jpg", quality=95
                )


def tried(name: str, kills: int, place: Path, rng: random.Random) -> tuple[int, list, list, list]:
    """Kills, then what was unreadable, what differs and what is left over."""
    with Server(name) as address:
        began = time.perf_counter()
        end(start(name, place, "whole", address))
        lasts = time.perf_counter() - began
        whole = contents(place / name / "whole")
        assert whole, f"{name} leaves nothing"
        done, unreadable, different, left = 0, [], [], []
        turn = 0
        while done < kills:
            turn += 1
            root, alone = place / name / f"run{turn}", f"run{turn}"
            while done < kills:
                process = start(name, place, alone, address)
                try:
                    process.wait(rng.uniform(0, lasts))
                    break  # it ended before
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
                    done += 1
                    unreadable += damaged(root)
                if rng.random() < 2 / 3:
                    break
            end(start(name, place, alone, address))
            found = contents(root)
            different += sorted(
                f"run{turn}/{path}"
                for path in whole.keys() | found.keys()
                if whole.get(path) != found.get(path)
            )
            left += [str(p.relative_to(root)) for p in root.rglob("*") if _temporary(p)]
            shutil.rmtree(root)
    return done, unreadable, different, left


def start(name: str, place: Path, alone: str, address: str) -> subprocess.Popen:
    """The command in a process group of its own; `outputs/local` lies in the same folder."""
    root = place / name / alone
    (root / "home").mkdir(parents=True, exist_ok=True)
    words = [word.format(data=place / "photographs", out=root / "out") for word in COMMANDS[name]]
    if "--out" not in words and "--report" not in words:
        words += ["--out", str(root / "out")]
    environment = {
        **os.environ,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "MPLBACKEND": "agg",
        "HOME": str(root / "home"),
        "KAGGLE_STAND_IN": address,
    }
    return subprocess.Popen(
        [sys.executable, __file__, "--child", str(root), *words],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def end(process: subprocess.Popen) -> None:
    said = process.communicate()[1].decode("utf-8", "replace")
    if process.returncode not in (0, 1):  # 1: an audit that has findings
        sys.exit(said[-2000:])


def child(root: str, *words: str) -> None:
    """The command line on a checkout that is ROOT."""
    from skincnn import cli, config

    config.project_root = lambda: Path(root)
    config.PRESETS["tiny"] = TINY
    if address := os.environ["KAGGLE_STAND_IN"]:
        kaggle(address)
    sys.argv = ["skincnn", *words]
    cli.main()


# --- Kaggle's stand-in, as the tests have it ---------------------------------------------------


class Server:
    """The tests' own server where a command downloads; "" where it does not."""

    def __init__(self, name: str):
        self.kaggle = None
        if name == "download":
            sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
            import threading

            import test_download

            self.kaggle = test_download.Kaggle()
            threading.Thread(target=self.kaggle.serve_forever, daemon=True).start()

    def __enter__(self) -> str:
        return self.kaggle.url if self.kaggle else ""

    def __exit__(self, *_) -> None:
        if self.kaggle:
            self.kaggle.shutdown()


def kaggle(address: str) -> None:
    """Let Kaggle's client ask the stand-in, for a set of its size."""
    import dataclasses

    from kagglesdk import kaggle_env

    from skincnn import download

    size = {"Train": 18, "Test": 9}
    small = dataclasses.replace(download.SETS["isic9"], photographs=size, megabytes=1)
    download.SETS["isic9"] = small
    kaggle_env._env_to_endpoint = {env: address for env in kaggle_env.KaggleEnv}


# --- what is compared --------------------------------------------------------------------------


def _temporary(path: Path) -> bool:
    return path.is_file() and (
        path.name.endswith(TEMPORARY) or (path.name.startswith(".") and path.suffix != ".lock")
    )


def contents(root: Path) -> dict[str, str]:
    """Path -> digest of what a file says, apart from times; of caches and locks nothing."""
    found = {}
    for path in sorted((root / "out").rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_file() and not _temporary(path):
            said = _said(path, path.read_bytes()).replace(root.name.encode(), b"")
            found[name] = hashlib.sha256(said).hexdigest()
    return found


def _said(path: Path, content: bytes) -> bytes:
    if path.suffix == ".json":
        return json.dumps(_lasting(json.loads(content)), sort_keys=True).encode()
    if path.suffix == ".csv":
        rows = list(csv.reader(io.StringIO(content.decode())))
        keep = [i for i, name in enumerate(rows[0]) if name not in VOLATILE]
        return json.dumps([[row[i] for i in keep] for row in rows]).encode()
    if path.suffix == ".keras":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return archive.read("model.weights.h5")
    return content


def _lasting(content):
    if isinstance(content, dict):
        return {k: _lasting(v) for k, v in content.items() if k not in VOLATILE}
    return [_lasting(v) for v in content] if isinstance(content, list) else content


def damaged(root: Path) -> list[str]:
    """Files under a final name that cannot be read, after a kill."""
    found = []
    for path in root.rglob("*"):
        if not path.is_file() or _temporary(path) or "home" in path.relative_to(root).parts:
            continue
        try:
            content = path.read_bytes()
            if path.suffix in (".json", ".csv", ".keras"):
                _said(path, content)
            elif path.suffix == ".tfrec":
                import tensorflow as tf

                assert sum(1 for _ in tf.data.TFRecordDataset(str(path)))
            elif path.suffix in (".png", ".jpg"):
                assert content
        except Exception as error:
            found.append(f"{path.name}: {type(error).__name__}")
    return found


if __name__ == "__main__":
    main()
