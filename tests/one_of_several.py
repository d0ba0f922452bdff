"""The command line on a machine that pretends to have several devices, or in one of several
processes.

    python one_of_several.py ROOT DEVICES KILLED_AT ARGUMENT...

ROOT stands in for the checkout. DEVICES > 1 makes so many of the CPU. At the second batch of epoch
KILLED_AT (from 0; -1 for never) the process kills itself.
"""

import os
import signal
import sys
from pathlib import Path

from skincnn import config, presets

SMALL = {
    "model": "compact",
    "image_size": 32,
    "batch_size": 8,
    "epochs": 3,
    "precision": "float32",
    "protocol": "clean",
    "folds": 3,
    "learning_rate": 3e-3,
}
presets.PRESETS["small"] = SMALL

if __name__ == "__main__":
    root, devices, killed_at, *arguments = sys.argv[1:]
    config.project_root = lambda: Path(root)
    if int(devices) > 1 and os.environ["KERAS_BACKEND"] == "tensorflow":  # JAX asks its XLA_FLAGS
        import tensorflow as tf

        (cpu,) = tf.config.list_physical_devices("CPU")
        several = [tf.config.LogicalDeviceConfiguration()] * int(devices)
        tf.config.set_logical_device_configuration(cpu, several)
    from skincnn import checkpoints, cli

    def on_train_batch_begin(self, batch, logs=None):
        if self.epoch == int(killed_at) and batch == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    if int(killed_at) >= 0:
        checkpoints.Checkpoints.on_train_batch_begin = on_train_batch_begin
    sys.argv = ["skincnn", *arguments]
    cli.main()
