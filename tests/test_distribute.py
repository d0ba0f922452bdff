"""Several devices and several processes train the network that one would have trained."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import shard_files

from skincnn import config, data, distribute, pipeline, runs, stream, tfrecords

PROGRAM = Path(__file__).with_name("one_of_several.py")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return shard_files.folder(tmp_path_factory.mktemp("shards") / "set", shards=6, each=16)


def start(root, *words, devices=1, killed_at=-1, backend="tensorflow"):
    # on a busy machine one device waits long for the other; JAX would take it for dead
    several = "--xla_cpu_collective_call_terminate_timeout_seconds=600"
    several += f" --xla_force_host_platform_device_count={devices}"
    environment = {
        **os.environ,
        "XLA_FLAGS": several if backend == "jax" else "",
        "KERAS_BACKEND": backend,
        "JAX_PLATFORMS": "cpu",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    command = [sys.executable, PROGRAM, root, devices, killed_at, "train", "--preset", "small"]
    return subprocess.Popen(
        [*map(str, command), *map(str, words)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(*started, code=0):
    said = [process.communicate(timeout=400)[1] for process in started]
    assert all(process.returncode == code for process in started), said
    return said


def two(root, place, out, *words, killed_at=-1):
    """Two processes of one training."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    words = [*options(place, out), "--coordinator", address, "--processes", 2, *words]
    return [
        start(root, *words, "--process", number, backend="jax", killed_at=killed_at)
        for number in (0, 1)
    ]


def options(place, out):
    return ["--data", place, "--out", out, "--set", "readers=2", "--set", "model=two_conv"]


def alike(one, other, atol):
    a, b = runs.Run(one), runs.Run(other)
    columns = ["loss", "val_loss", "auc"]
    np.testing.assert_allclose(a.history[columns], b.history[columns], atol=atol)
    for x, y in zip(a.model.get_weights(), b.model.get_weights(), strict=True):
        np.testing.assert_allclose(x, y, atol=atol)
    p, q = (run.predictions.set_index("file")["p_malignant"] for run in (a, b))
    np.testing.assert_allclose(p, q[p.index], atol=atol)


def test_two_processes_train_what_one_does_killed_or_not(place, tmp_path):
    words = options(place, tmp_path / "one")
    finish(start(tmp_path, *words, backend="jax"))
    finish(*two(tmp_path, place, tmp_path / "two"))
    alike(tmp_path / "one", tmp_path / "two", 1e-4)
    for process in two(tmp_path, place, tmp_path / "killed", killed_at=2):
        process.wait(400)
    assert (tmp_path / "killed" / "checkpoints" / "epoch_0002").is_dir()
    assert not (tmp_path / "killed" / "metrics.json").exists()
    finish(*two(tmp_path, place, tmp_path / "killed"))
    alike(tmp_path / "two", tmp_path / "killed", 1e-5)
    assert not (tmp_path / "killed" / "checkpoints").exists()
    names = {path.name for path in (tmp_path / "two").iterdir()}
    assert names == {path.name for path in (tmp_path / "one").iterdir()}


def test_two_devices_train_what_one_does_killed_or_not(place, tmp_path):
    # no BatchNormalization, whose means each device takes of its own part
    # nor a rest, which two devices leave out where it is odd
    words = ["--data", place, "--set", "model=two_conv", "--protocol", "published"]
    finish(start(tmp_path, *words, "--out", tmp_path / "one"))
    words += ["--set", "devices=2"]
    finish(start(tmp_path, *words, "--out", tmp_path / "two", devices=2))
    alike(tmp_path / "one", tmp_path / "two", 1e-4)
    out = tmp_path / "killed"
    finish(start(tmp_path, *words, "--out", out, devices=2, killed_at=2), code=-9)
    assert (out / "checkpoints" / "epoch_0002").is_dir()
    finish(start(tmp_path, *words, "--out", out, devices=2))
    alike(tmp_path / "two", out, 1e-5)


def test_jax_trains_on_two_devices_what_it_does_on_one(place, tmp_path):
    words = ["--data", place, "--set", "model=two_conv", "--protocol", "published"]
    finish(start(tmp_path, *words, "--out", tmp_path / "one", backend="jax"))
    words += ["--set", "devices=2", "--out", tmp_path / "two"]
    finish(start(tmp_path, *words, devices=2, backend="jax"))
    alike(tmp_path / "one", tmp_path / "two", 1e-4)


def test_processes_that_see_different_folders_are_stopped(place, tmp_path):
    words = options(place, tmp_path / "one")
    finish(start(tmp_path, *words, "--epochs", 3, backend="jax", killed_at=1), code=-9)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    several = ["--coordinator", address, "--processes", 2, "--process"]
    first = start(tmp_path, *words, *several, 0, backend="jax")
    second = start(tmp_path, *options(place, tmp_path / "elsewhere"), *several, 1, backend="jax")
    said = finish(first, second, code=2)
    assert all("--out must be a folder that all of them see" in text for text in said), said


def test_readers_make_the_batches_whoever_reads(place, tmp_path, home):
    index = tfrecords.load(place, progress=False)
    labels = (index["label"] == "malignant").to_numpy().astype(np.int32)
    settings = config.RunConfig(image_size=32, batch_size=8, readers=4)

    def batches(share, shuffle=True, **changes):
        source = stream.Records(index, labels, settings.replace(**changes), shuffle, share=share)
        return [[a.numpy() for a in batch] for batch in source.dataset(lambda: 3)], source

    for changes in ({}, {"sampling": "balanced"}):
        alone, source = batches((0, 1), **changes)
        parts = [batches((p, 2), **changes)[0] for p in range(2)]
        assert len(alone) == len(source) == 12
        for batch, *halves in zip(alone, *parts, strict=True):
            for whole, *pieces in zip(batch, *halves, strict=True):
                assert np.array_equal(whole, np.concatenate(pieces))
    shown = np.concatenate([x for x, _ in batches((0, 1), readers=2)[0]])
    assert len({x.tobytes() for x in shown}) == 96  # every record once: the shards are even
    alone, _ = batches((0, 1), shuffle=False)
    parts = [batches((p, 2), shuffle=False)[0] for p in range(2)]
    assert np.array_equal(alone[5][0], np.concatenate([half[5][0] for half in parts]))


def test_a_process_opens_its_own_shards_alone(place, tmp_path, home):
    import shutil

    own = shutil.copytree(place, tmp_path / "set")
    index = tfrecords.load(own, progress=False)
    settings = config.RunConfig(image_size=32, batch_size=8, readers=2)
    source = stream.Records(index, np.zeros(96, np.int32), settings, share=(1, 2))
    order = np.array(
        stream.tf.random.experimental.stateless_shuffle(
            stream.tf.range(6), stream.tf.constant([settings.seed, 0], "int64")
        )
    )
    for number in order[0::2]:  # the other process's
        Path(source.paths[number]).unlink()
    assert len(list(source.dataset(lambda: 0))) == 12


def test_what_does_not_go_together_is_refused(place, tiny, home, monkeypatch):
    settings = config.RunConfig(image_size=32, batch_size=8)
    with pytest.raises(ValueError, match="readers=3: must divide batch_size=8"):
        settings.replace(readers=3)
    rows = data.usable(data.load(tiny, progress=False))
    with pytest.raises(ValueError, match="need a set in shards"):
        pipeline.source(rows, np.zeros(len(rows), np.int32), settings.replace(readers=2))
    index = tfrecords.load(place, progress=False)
    with pytest.raises(ValueError, match="readers=8: there are 6 shards"):
        pipeline.source(index, np.zeros(96, np.int32), settings.replace(readers=8))
    some = index[(index["shard"] > 0) | (index["label"] == "benign")].reset_index(drop=True)
    y = pd.factorize(some["label"])[0].astype(np.int32)
    with pytest.raises(ValueError, match=r"train00-16\.tfrec lacks a class"):
        pipeline.source(some, y, settings.replace(readers=2, sampling="balanced"))
    with pytest.raises(distribute.DistributionError, match="need KERAS_BACKEND=jax"):
        distribute.join("127.0.0.1:1", 2, 0)
    with pytest.raises(distribute.DistributionError, match="devices=9: this machine has"):
        distribute.check(settings.replace(devices=9, batch_size=9))
    monkeypatch.setattr(distribute, "processes", lambda: 2)
    with pytest.raises(distribute.DistributionError, match="give --precision"):
        distribute.check(settings)
    with pytest.raises(distribute.DistributionError, match="multiple of the 2 processes"):
        distribute.check(settings.replace(precision="float32"))
