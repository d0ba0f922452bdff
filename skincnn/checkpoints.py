"""Going on where a killed run stopped, with the result an uninterrupted one gives.

Keras's `BackupAndRestore` repeats dropout, augmentation and order only if none is random, and a
file it was writing when killed stops the restart. Here all randomness of an epoch is drawn from the
epoch's number, a checkpoint is a folder renamed when complete, and the one before it is kept.
"""

import contextlib
import json
import shutil
import sys
import time
import zipfile
from pathlib import Path

import keras
import numpy as np

from skincnn import atomic

# Whose progress must survive a restart, by the names of their public attributes.
_STATEFUL = (keras.callbacks.ReduceLROnPlateau, keras.callbacks.EarlyStopping)
_ATTRIBUTES = ("best", "wait", "cooldown_counter", "best_epoch", "stopped_epoch")


class Checkpoints(keras.callbacks.Callback):
    """Seeds every epoch, keeps the best weights, and saves the state at every epoch's end.

    Must be the last callback: it saves what the others decided.

    Args:
        folder: where the checkpoints live.
        seed: of dropout and augmentation, together with the epoch's number.
        others: the run's other callbacks, whose state is saved too.
        on_epoch: called with the history (a list of one dictionary an epoch) after each save.
        keep: whose weights are `best_weights`: of the epoch with the `lowest_loss` or the
            `highest_auc` in validation, or of the `last`.
        writes: False keeps the state in memory alone: of several processes one writes.
    """

    def __init__(
        self,
        folder: Path,
        seed: int,
        others: list,
        on_epoch=lambda history: None,
        keep: str = "lowest_loss",
        writes: bool = True,
    ):
        super().__init__()
        self.folder = Path(folder)
        self.seed = seed
        self.others = [c for c in others if isinstance(c, _STATEFUL)]
        self.on_epoch = on_epoch
        self.keep = keep
        self.writes = writes
        self.history: list[dict] = []
        self.found = 0  # epochs that an earlier call trained
        self.epoch = 0  # the epoch that runs, from 0; the input pipeline asks for it
        self.stopped = False
        self._states: list[dict] = []
        self._kept: Path | list[np.ndarray] | None = None

    @property
    def best_weights(self) -> list[np.ndarray]:
        """Weights of the epoch that is kept, read from where they lie."""
        return _read(self._kept) if isinstance(self._kept, Path) else self._kept

    def resume(self) -> keras.Model | None:
        """The newest sound checkpoint's model, compiled, with its state taken over; or None."""
        for place in sorted(self.folder.glob("epoch_*"), reverse=True):
            try:
                model = keras.saving.load_model(place / "model")
                _read(place / "best.npz")
                state = json.loads((place / "state.json").read_text())
            except Exception as error:
                # Cut archives make their readers raise nearly anything, BadZipFile and EOFError
                # among it; to the run they all mean the same.
                print(f"{place} is damaged, trying the one before: {error}", file=sys.stderr)
                continue
            self._kept = place / "best.npz"
            self.history, self._states = state["history"], state["callbacks"]
            self.stopped = state["stopped"]
            self.epoch = self.found = len(self.history)
            return model
        return None

    def on_train_begin(self, logs=None):
        for callback, state in zip(self.others, self._states, strict=False):
            vars(callback).update(state)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        for number, state in enumerate(v for v in self.model.variables if _is_seed(v)):
            draw = np.random.SeedSequence([self.seed, epoch, number]).generate_state(2)
            # 31 bits: backends without unsigned integers hold the state as int32
            state.assign((draw >> 1).astype(state.dtype))
        self._rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        self._began = time.perf_counter()

    def on_test_begin(self, logs=None):
        self._swap()  # what is kept is what is scored

    def on_test_end(self, logs=None):
        self._swap()

    @contextlib.contextmanager
    def _averaged(self):
        self._swap()
        yield
        self._swap()

    def _swap(self) -> None:
        """Exchange the weights and their moving average, where the optimizer keeps one."""
        optimizer = self.model.optimizer
        if not optimizer.use_ema:
            return
        # as keras.callbacks.SwapEMAWeights reaches them; it has no place for a resumed run
        averages = optimizer._model_variables_moving_average
        for weight, average in zip(optimizer._trainable_variables, averages, strict=True):
            now = keras.ops.convert_to_numpy(weight.value)
            weight.assign(average.value)
            average.assign(now)

    def on_epoch_end(self, epoch, logs=None):
        row = {name: float(value) for name, value in logs.items() if name != "learning_rate"}
        seconds = round(time.perf_counter() - self._began, 2)
        self.history.append(
            {"epoch": epoch + 1, **row, "learning_rate": self._rate, "seconds": seconds}
        )
        # a loss that is no number is no improvement, and nothing is compared with it
        known = [order(r, self.keep) for r in self.history if np.isfinite(r["val_loss"])]
        improved = bool(known) and order(row, self.keep) == max(known)
        improved |= self.keep == "last"
        improved |= self._kept is None
        self.stopped = bool(self.model.stop_training)
        if self.writes:
            with _undistributed():
                self._save(epoch + 1, improved)
            self.on_epoch(self.history)
        elif improved:
            with self._averaged():
                self._kept = self.model.get_weights()

    def _save(self, number: int, improved: bool) -> None:
        place = self.folder / f"epoch_{number:04d}"
        states = [
            {name: vars(c)[name] for name in _ATTRIBUTES if name in vars(c)} for c in self.others
        ]
        state = {"history": self.history, "callbacks": states, "stopped": self.stopped}
        with atomic.writing(place) as temporary:
            temporary.mkdir()
            # Unzipped: a zipped one is put together in memory, optimizer and all.
            self.model.save(temporary / "model", zipped=False)
            if improved:
                with self._averaged():
                    _write(temporary / "best.npz", self.model.weights)
            else:
                shutil.copyfile(self._kept, temporary / "best.npz")
            (temporary / "state.json").write_text(json.dumps(state, default=float))
        self._kept = place / "best.npz"
        for old in sorted(self.folder.glob("epoch_*"))[:-2]:
            shutil.rmtree(old)


def _write(path: Path, weights: list) -> None:
    """What `np.savez` writes, one weight in memory at a time."""
    with zipfile.ZipFile(path, "w") as archive:
        for number, weight in enumerate(weights):
            with archive.open(f"arr_{number}.npy", "w", force_zip64=True) as file:
                value = np.ascontiguousarray(keras.ops.convert_to_numpy(weight))
                np.lib.format.write_array(file, value, allow_pickle=False)


def _read(path: Path) -> list[np.ndarray]:
    with np.load(path) as weights:
        return list(weights.values())


def order(row: dict, keep: str) -> tuple[float, float]:
    """By what epochs are compared, the higher the better: of AUCs that are alike to four digits,
    as they often are with few positives, the one with the lower loss."""
    auc = round(row["val_auc"], 4) if keep == "highest_auc" else 0.0
    return auc, -row["val_loss"]


@contextlib.contextmanager
def _undistributed():
    """What is made in this block is this process's own: the others would have to make it too."""
    layout = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(layout)


def _is_seed(variable) -> bool:
    return variable.path.endswith("seed_generator_state")
