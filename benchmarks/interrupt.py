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
import dataclasses
import hashlib
import importlib
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
    "balance": ["balance", "{data}", "{out}"],
    "train": ["train", "--preset", "tiny", "--data", "{data}"],
    "cv": ["cv", "--preset", "tiny", "--data", "{data}", "--folds", "3", "--epochs", "2"],
    "experiment": ["experiment", "leakage", "--data", "{data}", "--seeds", "1", "--epochs", "1"],
}
COMMANDS["experiment"] += ["--image-size", "32", "--batch-size", "8", *RUN]
COMMANDS["deploy"] = ["deploy", "vertex", "--model", "{model}", "--project", "my-project"]
COMMANDS["deploy"] += ["--region", "europe-west4", "--bucket", "rehearsal"]
COMMANDS["deploy"] += ["--image", "europe-west4-docker.pkg.dev/my-project/skincnn/serve:1"]
VOLATILE = {"seconds", "minutes", "minutes_beside", "fastest_epoch", "commit", "created"}
# of a run that goes on, and of one that was stopped
TEMPORARY = (".tmp", ".part", ".writing")
COPIES = 240  # of balance, a class
PATIENCE = 120  # seconds in which a stand-in answers, however busy the machine


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
    with STAND_INS.get(name, Nobody)() as other:
        began = time.perf_counter()
        end(start(name, place, "whole", other), name, place, "whole")
        lasts = time.perf_counter() - began
        other.note(place / name / "whole" / "out")
        whole = contents(place / name / "whole")
        assert whole, f"{name} leaves nothing"
        done, unreadable, different, left = 0, [], [], []
        turn = 0
        while done < kills:
            turn += 1
            root, alone = place / name / f"run{turn}", f"run{turn}"
            while done < kills:
                process = start(name, place, alone, other)
                began = time.perf_counter()
                try:
                    process.wait(rng.uniform(0, lasts))
                    lasts = min(lasts, time.perf_counter() - began)  # the machine is less busy now
                    break  # it ended before
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
                    done += 1
                    unreadable += damaged(root, set(whole.values()))
                if rng.random() < 2 / 3:
                    break
            end(start(name, place, alone, other), name, place, alone)
            other.note(root / "out")
            found = contents(root)
            different += sorted(
                f"run{turn}/{path}"
                for path in whole.keys() | found.keys()
                if whole.get(path) != found.get(path)
            )
            left += [str(p.relative_to(root)) for p in root.rglob("*") if _temporary(p, root)]
            shutil.rmtree(root)
    return done, unreadable, different, left


def start(name: str, place: Path, alone: str, other: "Nobody") -> subprocess.Popen:
    """The command in a process group of its own; `outputs/local` lies in the same folder."""
    root, home = place / name / alone, place / "homes" / f"{name}_{alone}"
    for folder in (root, home):
        folder.mkdir(parents=True, exist_ok=True)
    there = {"data": place / "photographs", "out": root / "out", "model": other.model}
    words = [word.format(**there) for word in COMMANDS[name]]
    if name in ("tfrecords", "train", "cv", "experiment"):
        words += ["--out", str(root / "out")]
    environment = {
        **os.environ,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "MPLBACKEND": "agg",
        "HOME": str(home),
        "KAGGLE_STAND_IN": other.kaggle,
    }
    with home.with_suffix(".txt").open("wb") as said:  # a pipe that nobody empties fills
        return subprocess.Popen(
            [sys.executable, __file__, "--child", str(root), *words],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,
        )


def end(process: subprocess.Popen, name: str, place: Path, alone: str) -> None:
    """Let it end, and end with it where it fails."""
    if process.wait() not in (0, 1):  # 1: an audit that has findings
        said = (place / "homes" / f"{name}_{alone}.txt").read_text("utf-8", "replace")
        sys.exit(said[-2000:])


def child(root: str, *words: str) -> None:
    """The command line on a checkout that is ROOT."""
    from skincnn import config, presets

    config.project_root = lambda: Path(root)
    presets.PRESETS["tiny"] = TINY  # before the command line lists them
    from skincnn import cli, gcp

    gcp.PATIENCE = gcp._CONNECT_SECONDS = PATIENCE
    if address := os.environ["KAGGLE_STAND_IN"]:
        kaggle(address)
    if words[0] == "balance":  # Augmentor's part of a training, which is no command of its own
        from skincnn import balance, data

        balance.add(data.load(words[1], progress=False), COPIES, out=words[2], jobs=2)
        return
    sys.argv = ["skincnn", *words]
    cli.main()


# --- who is asked, as the tests have them --------------------------------------------------------


class Nobody:
    """What a command talks to, where it talks to nobody."""

    kaggle, model = "", ""

    def __enter__(self) -> "Nobody":
        return self

    def __exit__(self, *_) -> None:
        pass

    def note(self, out: Path) -> None:
        """Write what the other side now has into a file of the results, and let it forget that."""


class Kaggle(Nobody):
    """The tests' own server."""

    def __enter__(self) -> "Kaggle":
        import threading

        self._server = _of_tests("kaggle_server").Kaggle()
        self.kaggle = self._server.url
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self._server.shutdown()


class Google(Nobody):
    """Storage and Vertex AI on this machine, whose operations take a while, and a model."""

    def __enter__(self) -> "Google":
        from skincnn import rehearsal

        self._folder = tempfile.TemporaryDirectory()
        self.model = _of_tests("artefacts").write(Path(self._folder.name) / "by_colour.onnx")
        self._new = lambda: rehearsal.Cloud(answer=self._answer, seconds=0.3).start()
        self._cloud = self._new()
        return self

    def __exit__(self, *_) -> None:
        self._cloud.stop()
        self._folder.cleanup()

    def _answer(self, instances: list) -> list:
        import base64

        from skincnn import predictor, service

        local = predictor.load(self.model)
        told = [local.photograph(base64.b64decode(one["b64"])) for one in instances]
        return [service.prediction(one, local.facts.classes) for one in told]

    def note(self, out: Path) -> None:
        cloud = self._cloud
        (endpoint,) = cloud.endpoints.values()
        there = {
            "objects": cloud.objects(),
            "models": sorted(cloud.models),
            "endpoints": sorted(cloud.endpoints),
            "deployed": sorted(one["id"] for one in cloud.deployed()),
            "traffic": endpoint["trafficSplit"],
        }
        out.mkdir(exist_ok=True)
        (out / "cloud.json").write_text(json.dumps(there))
        cloud.stop()
        self._cloud = self._new()


STAND_INS = {"download": Kaggle, "deploy": Google}


def _of_tests(name: str):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
    return importlib.import_module(name)


def kaggle(address: str) -> None:
    """Let Kaggle's client ask the stand-in, for a set of its size."""
    from kagglesdk import kaggle_env

    from skincnn import connection, download

    size = {"Train": 18, "Test": 9}
    small = dataclasses.replace(download.SETS["isic9"], photographs=size, megabytes=1)
    download.SETS["isic9"] = small
    connection.PROBE_SECONDS = PATIENCE
    kaggle_env._env_to_endpoint = {env: address for env in kaggle_env.KaggleEnv}


# --- what is compared --------------------------------------------------------------------------


def _temporary(path: Path, root: Path) -> bool:
    """Whether a file is one that was being written, or lies in such a folder."""
    parts = path.relative_to(root).parts
    return path.is_file() and any(
        part.endswith(TEMPORARY)
        or (part.startswith("writing") and part != "writing.json")  # what shards are finished
        or (part.startswith(".") and not part.endswith(".lock"))
        for part in parts
    )


def contents(root: Path) -> dict[str, str]:
    """Path -> digest of what a file says, apart from times; of caches and locks nothing."""
    found = {}
    for path in sorted((root / "out").rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_file() and not _temporary(path, root):
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
        return _weights(content)
    return content


def _weights(content: bytes) -> bytes:
    """What the network's numbers are; layers are counted through, and called otherwise, where a
    process has loaded another network before."""
    import h5py

    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        file = io.BytesIO(archive.read("model.weights.h5"))
    said = []
    with h5py.File(file) as weights:
        weights.visititems(
            lambda _, one: said.append(one[()].tobytes()) if isinstance(one, h5py.Dataset) else None
        )
    return b"".join(said)


def _lasting(content):
    if isinstance(content, dict):
        return {k: _lasting(v) for k, v in content.items() if k not in VOLATILE}
    return [_lasting(v) for v in content] if isinstance(content, list) else content


def damaged(root: Path, sound: set[str]) -> list[str]:
    """Files under a final name that cannot be read, after a kill; of `sound` digests none is: what
    the stand-in for Kaggle sends are no pictures."""
    from PIL import Image

    found = []
    for path in root.rglob("*"):
        if not path.is_file() or _temporary(path, root):
            continue
        try:
            content = path.read_bytes()
            if path.suffix in (".json", ".csv", ".keras"):
                _said(path, content)
            elif path.suffix == ".tfrec":
                import tensorflow as tf

                assert sum(1 for _ in tf.data.TFRecordDataset(str(path)))
            elif (
                path.suffix in (".png", ".jpg") and hashlib.sha256(content).hexdigest() not in sound
            ):
                Image.open(path).load()
            elif path.suffix == ".html":
                assert content.endswith(b"</html>\n")
        except Exception as error:
            found.append(f"{path.name}: {type(error).__name__}")
    return found


if __name__ == "__main__":
    main()
