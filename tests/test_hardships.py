"""Full and read-only disks, photographs that vanish or change, two at once: what a person is told,
and that the same command works afterwards."""

import os
import resource
import shutil
import subprocess
import sys

import artefacts
import numpy as np
import pytest
from PIL import Image

from skincnn import audit, balance, config, data, images, predict, report, sharding

# On a checkout of its own; the last word before the command is its root.
CODE = (
    "import pathlib, sys; from skincnn import config; root = pathlib.Path(sys.argv.pop(1));"
    "config.project_root = lambda: root; from skincnn import cli; cli.main()"
)


def command(root, *words):
    return [sys.executable, "-c", CODE, str(root), *map(str, words)]


def run(words, **how):
    """Exit code, and what stands in the last line of standard error."""
    done = subprocess.run(words, capture_output=True, text=True, **how)
    assert "Traceback" not in done.stderr, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return done.returncode, lines[-1] if lines else ""


def files(folder):
    """What lies in a folder, with what is hidden."""
    return sorted(path.name for path in folder.rglob("*")) if folder.exists() else []


# --- no room ----------------------------------------------------------------------------------


def small_files():
    """In the process that is started: no file above 8 kB, which is a disk that fills half-way."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, resource.RLIM_INFINITY))


@pytest.fixture(scope="module")
def some(tmp_path_factory):
    """Two classes in Train and Test, 150 photographs of which no two show the same."""
    root, rng = tmp_path_factory.mktemp("some") / "some", np.random.default_rng(0)
    for number in range(150):
        label = ("benign", "malignant")[number % 2]
        folder = root / ("Test" if number < 20 else "Train") / label
        folder.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), np.uint8))
        coarse.resize((48, 48), Image.Resampling.BICUBIC).save(folder / f"photograph_{number}.jpg")
    return root


@pytest.mark.parametrize("name", ["predict", "tfrecords", "train"])
def test_where_a_file_does_not_fit_nothing_is_half_there_and_again_it_works(name, some, tmp_path):
    out = tmp_path / "out"
    words = {
        "predict": ["predict", some, "--csv", out / "answers.csv"],
        "tfrecords": ["tfrecords", "--from", some, "--out", out, "--shards", "2", "--size", "64"],
        "train": ["train", "--data", some, "--out", out, "--image-size", "32", "--epochs", "1"],
    }[name]
    if name == "predict":
        pytest.importorskip("onnxruntime", reason="needs onnxruntime")
        words += ["--model", artefacts.write(tmp_path / "by_colour.onnx")]
    if name == "train":
        words += ["--precision", "float32"]
    # What counts lines (`make coverage`) writes a file of its own, and a larger one.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    code, line = run(command(tmp_path, *words), preexec_fn=small_files, env=env)
    assert code == 2
    assert line.startswith(f"skincnn: {out}") and "larger than is allowed" in line
    assert not [n for n in files(out) if n.startswith(".") or n.endswith((".csv", ".tfrec"))]
    assert run(command(tmp_path, *words))[0] == 0
    assert not [n for n in files(out) if n.startswith(".")]


@pytest.fixture
def mounts():
    """A shell's beginning in which file systems can be mounted that nobody else sees."""
    alone = ["unshare", "--map-root-user", "--mount", "sh", "-ec"]
    try:
        subprocess.run([*alone, "mount -t tmpfs none /mnt"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this system lets nobody mount a small disk (unshare --mount)")
    return alone


def test_a_report_on_a_full_disk(some, tmp_path, mounts):
    disk = tmp_path / "disk"
    disk.mkdir()
    told = [tmp_path / name for name in ("before", "after")]
    script = f"""
        exec 3> {told[0]} 4> {told[1]}
        mount -t tmpfs -o size=12k none "$1"; shift; code=0
        "$@" || code=$?
        test $code = 2; ls -A "$OUT" >&3; mount -o remount,size=10m "${{OUT%/*}}"
        "$@" 2> /dev/null; ls -A "$OUT" >&4
    """
    words = command(tmp_path, "audit", some, "--report", disk / "out")
    shell = [*mounts, script, "sh", disk, *words]
    code, line = run(shell, env=os.environ | {"OUT": str(disk / "out")})
    assert code == 0 and line.startswith(f"skincnn: {disk / 'out'}") and "disk is full" in line
    before, after = (set(path.read_text().split()) for path in told)
    assert after == {"report.html", "audit.json", "findings.csv", "pairs.csv"}
    assert before < after, "whole files, and no temporary ones"


@pytest.mark.parametrize("name", ["audit", "cv", "export"])
def test_a_read_only_disk_is_told_before_the_work(name, some, tmp_path, mounts, request):
    disk = tmp_path / "disk"
    disk.mkdir()
    words = {
        "audit": ["audit", some, "--report", disk / "out"],
        "cv": ["cv", "--data", some, "--out", disk / "out", "--folds", "2"],
        "export": ["export", "RUN", "--out", disk / "out" / "mole.onnx"],
    }[name]
    if name == "export":
        words[1] = request.getfixturevalue("small_run").folder
    script = 'mount -t tmpfs -o ro none "$1"; shift; exec "$@"'
    code, line = run([*mounts, script, "sh", disk, *command(tmp_path, *words)])
    assert code == 2 and line.startswith(f"skincnn: {disk / 'out'}")
    assert "can only be read: choose another folder" in line
    assert not list((tmp_path / "outputs/local").glob("*fold0*")), "nothing was trained"


# --- photographs ------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["vanished", "cut", "another", "half of another"])
def test_a_photograph_that_is_not_what_was_listed_is_named(what, draw, tmp_path, home):
    """Between `data.load` and its decoding. Another photograph would pass for this one."""
    from skincnn import train

    place = draw(
        tmp_path / "set", {f"{s}/{c}": 6 for s in ("Train", "Test") for c in ("red", "blue")}
    )
    index = data.load(place, progress=False)
    victim = data.paths(index[index["split"] == "train"])[0]
    audited = audit.run(index, with_shortcuts=False, progress=False)
    settings = config.RunConfig(model="two_conv", image_size=32, epochs=1, validation_fraction=0.3)
    doubted = index[data.paths(index).index(victim) :][:1].assign(  # the page shows it
        suggested="blue", p_label=0.1, p_suggested=0.9, margin=0.8
    )
    if what == "vanished":
        victim.unlink()
    elif what == "cut":
        victim.write_bytes(victim.read_bytes()[:300])
    else:
        Image.effect_noise((70, 50), 90).convert("RGB").save(victim, quality=95)
        if what == "half of another":
            victim.write_bytes(victim.read_bytes()[:1500])
    out = tmp_path / "out"
    for work in (
        lambda: audit.run(index, progress=False),
        lambda: balance.add(index, 6, out=out, progress=False),
        lambda: sharding.write(index, out, 32, 2, progress=False),
        lambda: report.write(audited, out, doubted),
        lambda: train.fit(settings, index, out, verbose=0),
    ):
        with pytest.raises((data.DataError, images.ImageProblem)) as caught:
            work()
        assert str(caught.value).startswith(f"{victim}: ")
        if what != "vanished":
            assert "changed since the set was listed" in str(caught.value)
        assert set(files(out)) <= {"writing.json"}
        shutil.rmtree(out, ignore_errors=True)
    assert not list(config.local_dir().rglob("*.npy")), "no pixels are kept under its old digest"
    if what == "another":  # the same again lists it anew
        again = data.load(place, progress=False)
        assert len(audit.run(again, with_shortcuts=False, progress=False).index) == len(again)


def test_a_folder_is_answered_for_without_the_one_that_vanished(some, tmp_path):
    """What is there now is answered for, whatever it was before."""
    folder = shutil.copytree(some / "Test/benign", tmp_path / "photographs")
    files = predict.find(folder)
    gone, cut, new, *sound = files
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:300])
    shutil.copy(sound[0], new)
    answers = {}
    for file, said, problem in predict.answers(files, lambda p: list(p.mean((1, 2))), 32):
        answers[file] = (None if said is None else tuple(said)), problem
    assert answers[gone] == (None, "cannot be read: No such file or directory")
    assert answers[cut][0] is None and "damaged JPEG" in answers[cut][1]
    assert answers[new] == answers[sound[0]]
    assert all(answers[file][0] and not answers[file][1] for file in sound)
