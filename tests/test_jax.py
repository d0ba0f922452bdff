"""The same code on another backend: trained by JAX, killed, gone on with, read by TensorFlow."""

import importlib.util
import os
import signal
import subprocess
import sys

import killed_run
import numpy as np
import pytest

from skincnn import data, images, runs

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="needs JAX (pip install skincnn[jax])"
)
RECIPE = (
    *("model=two_conv", "augment=dermoscopy+erasing"),
    *("optimizer=adamw", "weight_decay=0.001", "schedule=cosine", "ema=0.9", "layer_decay=0.8"),
    *("mixup=0.3", "sampling=balanced", "class_weights=true", "views=8", "early_stopping=0"),
    *("plateau_patience=0", "epochs=3"),
)


def train(home, tiny, out, how, epoch):
    arguments = ["train", "--preset", "tiny", "--data", str(tiny), "--out", str(home / out)]
    for setting in RECIPE:
        arguments += ["--set", setting]
    return subprocess.run(
        [sys.executable, killed_run.__file__, str(home), how, str(epoch), *arguments],
        env={
            **os.environ,
            "KERAS_BACKEND": "jax",
            "JAX_COMPILATION_CACHE_DIR": str(home / "cache"),  # three processes compile once
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        },
        capture_output=True,
        text=True,
    )


def test_jax_trains_goes_on_after_a_kill_and_tensorflow_reads_the_result(tiny, home):
    never = train(home, tiny, "never", "go", 0)
    assert never.returncode == 0, never.stderr
    assert "tensorflow" not in never.stderr.lower(), "it was not asked for"
    assert train(home, tiny, "killed", "kill", 1).returncode == -signal.SIGKILL
    again = train(home, tiny, "killed", "go", 0)
    assert "Going on after epoch 1 of 3" in again.stdout, again.stderr
    run, other = (runs.Run(home / name) for name in ("never", "killed"))
    columns = [c for c in run.predictions if c.startswith("p_")]
    np.testing.assert_allclose(run.predictions[columns], other.predictions[columns], atol=1e-4)

    index = data.load(tiny, progress=False)
    rows = data.usable(index).set_index("file").loc[run.predictions["file"]].reset_index()
    rows.attrs = index.attrs
    pixels = np.stack([images.resize(images.decode(p), 32) for p in data.paths(rows)])
    np.testing.assert_allclose(run.classify(pixels), run.predictions[columns], atol=1e-4)
