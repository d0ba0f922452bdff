"""The command line as a process of its own, that can be stopped in the middle of an epoch.

    python killed_run.py ROOT kill|wait|go EPOCH ARGUMENT...

ROOT stands in for the checkout. At the second batch of EPOCH (from 0) the process kills itself, or
makes the file ROOT/waiting and waits for a signal.
"""

import os
import signal
import sys
import time
from pathlib import Path

from skincnn import config, presets

TINY = {  # everything that could differ after a restart: dropout, augmentation, order, plateau
    "model": "regularised",
    "augment": "flip_rotate_zoom",
    "image_size": 32,
    "batch_size": 8,
    "epochs": 5,
    "learning_rate": 3e-3,
    "plateau_patience": 1,
    "early_stopping": 4,
    "precision": "float32",
}
presets.PRESETS["tiny"] = TINY

if __name__ == "__main__":
    root, how, epoch, *arguments = sys.argv[1:]
    config.project_root = lambda: Path(root)
    from skincnn import checkpoints, cli

    def on_train_batch_begin(self, batch, logs=None):
        if self.epoch == int(epoch) and batch == 1:
            if how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            Path(root, "waiting").touch()
            time.sleep(600)

    # Python leaves Ctrl-C ignored where whoever started the tests did (`nohup`, a CI runner).
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if how != "go":
        checkpoints.Checkpoints.on_train_batch_begin = on_train_batch_begin
    sys.argv = ["skincnn", *arguments]
    cli.main()
