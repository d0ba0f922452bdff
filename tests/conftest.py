"""What the tests share: drawn photographs, odd files, and a home in which nothing is lost."""

import dataclasses
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import stand_ins
from PIL import Image

from skincnn import config, presets

REAL = os.environ.get(config.DATA_VARIABLE, "")
COLOURS = {  # class -> colour: easy to learn, easy to tell apart
    "blue": (60, 70, 190),
    "green": (60, 160, 80),
    "red": (200, 70, 60),
}

DIAGNOSES = {  # these too, and they say something of malignancy
    "melanoma": (110, 60, 60),
    "nevus": (150, 110, 80),
    "squamous cell carcinoma": (190, 120, 130),
}


# --- a place of its own ---------------------------------------------------------------------


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A checkout's root in a temporary folder, with no data on it or around it."""
    root = tmp_path / "home"
    root.mkdir()
    monkeypatch.setattr(config, "project_root", lambda: root)
    monkeypatch.delenv(config.DATA_VARIABLE, raising=False)
    return root


@pytest.fixture
def plain_audit(monkeypatch):
    """An audit that finds nothing: drawn photographs resemble each other more than real ones."""
    stand_ins.plain_audit(monkeypatch)


@pytest.fixture
def kaggle(monkeypatch, tmp_path):
    """Kaggle on this machine, where the nine-class set is a small one."""
    pytest.importorskip("kagglehub")
    import kaggle_server
    from kagglesdk import kaggle_env

    from skincnn import download

    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path / "home"))
    photographs = kaggle_server.PHOTOGRAPHS
    small = dataclasses.replace(download.SETS["isic9"], photographs=photographs, megabytes=1)
    monkeypatch.setitem(download.SETS, "isic9", small)
    with kaggle_server.Kaggle() as server:
        endpoints = {env: server.url for env in kaggle_env.KaggleEnv}
        monkeypatch.setattr(kaggle_env, "_env_to_endpoint", endpoints)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield server
        server.shutdown()


@pytest.fixture
def put(tmp_path, home):
    """`put({"a/1.jpg": bytes, ...})` writes a set, its name being "set"."""

    def write(files):
        root = tmp_path / "set"
        root.mkdir(exist_ok=True)
        for name, content in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        return root

    return write


@pytest.fixture(scope="session")
def real():
    """The folder of the real nine-class photographs."""
    if not REAL:
        pytest.skip("SKINCNN_DATA is not set: needs the real nine-class photographs")
    place = Path(REAL).expanduser()
    return place / "isic9" if (place / "isic9").is_dir() else place


@pytest.fixture(scope="session")
def real_index(real, tmp_path_factory):
    """The index of the real photographs, made once."""
    from skincnn import data, official

    facts = official.facts_file()
    root = tmp_path_factory.mktemp("real")
    (root / "data").mkdir()
    shutil.copy(facts, root / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config, "project_root", lambda: root)
        yield data.load(real, progress=False)


@pytest.fixture(scope="session")
def ham(real):
    """The folder of HAM10000, where it lies beside the nine-class set."""
    place = real.resolve().parent / "ham10000"
    if not place.is_dir():
        pytest.skip("needs HAM10000 (ham10000/) beside the nine-class set")
    return place


# --- drawn photographs ----------------------------------------------------------------------


def _draw(root, counts, size=32, seed=0):
    """`counts`: class folder below `root` -> number of photographs; each has other pixels."""
    rng = np.random.default_rng(seed)
    names = sorted({Path(folder).name for folder in counts})
    known = COLOURS | DIAGNOSES
    number = 0
    for folder, count in counts.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        name = Path(folder).name
        colour = known.get(name, tuple(40 + 180 * names.index(name) // len(names) for _ in "rgb"))
        for _ in range(count):
            number += 1
            noisy = np.array(colour) + rng.integers(-25, 26, (size, size, 3))
            picture = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
            picture.save(root / folder / f"ISIC_{number:07d}.jpg", quality=95)
    return root


@pytest.fixture
def draw():
    """`draw(root, {"Train/red": 4, ...})` writes photographs in a class's colour."""
    return _draw


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Three classes anyone can tell apart: 24 photographs in Train, 6 in Test, 32 × 32."""
    counts = {f"Train/{c}": 8 for c in COLOURS} | {f"Test/{c}": 2 for c in COLOURS}
    return _draw(tmp_path_factory.mktemp("tiny") / "tiny", counts)


# --- experiments without their training -----------------------------------------------------


@pytest.fixture
def index(tiny, home, plain_audit):
    """Of `tiny`, in which no photograph resembles another."""
    from skincnn import data

    return data.load(tiny, progress=False)


@pytest.fixture
def asked(monkeypatch):
    """The settings that were trained, in order; without training."""
    return stand_ins.fit(monkeypatch)


# --- trained and exported once --------------------------------------------------------------


@pytest.fixture(scope="session")
def moles(tmp_path_factory):
    """The index of 135 drawn photographs of three diagnoses, in which none resembles another."""
    from skincnn import data

    root = tmp_path_factory.mktemp("moles")
    _draw(root / "moles", {f"Train/{name}": 45 for name in DIAGNOSES}, seed=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config, "project_root", lambda: root)
        return data.load(root / "moles", progress=False)


@pytest.fixture(scope="session")
def small_run(moles, tmp_path_factory):
    """A finished run of protocol `clean` on `moles`, which sees photographs from eight sides."""
    from skincnn import runs, train

    root = tmp_path_factory.mktemp("small_run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config, "project_root", lambda: root)
        stand_ins.plain_audit(patch)
        settings = presets.get(
            "two_conv",
            image_size=32,
            batch_size=16,
            epochs=10,
            precision="float32",
            protocol="clean",
            folds=3,
            views=8,
        )
        train.fit(settings, moles, root / "mole", verbose=0)
    return runs.Run(root / "mole")


@pytest.fixture(scope="session")
def exported(small_run, moles, tmp_path_factory):
    """That run as a sealed ONNX model that knows strangers and the interval of a probability;
    `artefacts.write` is quicker where any model will do."""
    from skincnn import export

    out = tmp_path_factory.mktemp("exported") / "mole.onnx"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config, "project_root", lambda: out.parent)
        stand_ins.plain_audit(patch)
        return export.write(small_run, out=out, data=moles, progress=False)
