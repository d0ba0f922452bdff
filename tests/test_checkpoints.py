"""Checkpoints: what is taken over after a stop, and what is done about a damaged one."""

import keras
import numpy as np
import pytest

from skincnn import checkpoints, config, fitting

SETTINGS = config.RunConfig(model="regularised", augment="flip_rotate_zoom", image_size=32)


class Line:
    """A straight line learnt by checkpointed epochs: the smallest thing `fit` can be called on."""

    def __init__(self, folder, epochs=8, stop_in=None):
        self.others = [
            keras.callbacks.ReduceLROnPlateau(patience=2, factor=0.5, min_lr=0),
            keras.callbacks.EarlyStopping(patience=5),
        ]
        self.state = checkpoints.Checkpoints(folder, 1, self.others)
        self.model = self.state.resume()
        if self.model is None:
            layers = [keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="ones")]
            self.model = keras.Sequential(layers)
            self.model.compile(keras.optimizers.SGD(1e-30), "mse")  # the loss never gets better
        x, y = np.eye(2, dtype="float32"), np.ones(2, "float32")
        callbacks = [*self.others, self.state]
        if stop_in is not None:
            callbacks.insert(0, _Stop(stop_in))
        self.began = len(self.state.history)
        self.model.fit(
            x,
            y,
            validation_data=(x, 2 * y),
            initial_epoch=self.began,
            epochs=epochs,
            callbacks=callbacks,
            verbose=0,
        )

    @property
    def rates(self):
        return [row["learning_rate"] for row in self.state.history]


class _Stop(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.at = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.at:
            raise KeyboardInterrupt


@pytest.mark.parametrize("stop_in", [1, 2, 4, 5])
def test_plateau_and_early_stopping_count_on_where_they_were(tmp_path, stop_in):
    through = Line(tmp_path / "through")
    assert through.rates == pytest.approx([1e-30 * f for f in (1, 1, 1, 0.5, 0.5, 0.25)])
    assert through.state.stopped
    with pytest.raises(KeyboardInterrupt):
        Line(tmp_path / "broken", stop_in=stop_in)
    resumed = Line(tmp_path / "broken")
    assert resumed.began == stop_in
    assert resumed.rates == through.rates
    assert resumed.state.stopped


@pytest.mark.parametrize("file", ["model/model.weights.h5", "best.npz", "state.json"])
@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "garbled"])
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(tmp_path, file, damage, capsys):
    Line(tmp_path, epochs=3)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["epoch_0002", "epoch_0003"]
    path = tmp_path / "epoch_0003" / file
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes({"empty": b"", "cut": content[:-40], "garbled": b"x" * 40}[damage])
    state = checkpoints.Checkpoints(tmp_path, 1, [])
    assert state.resume() is not None
    assert len(state.history) == 2 and state.epoch == 2
    told = capsys.readouterr()
    assert "epoch_0003 is damaged, trying the one before" in told.err
    assert told.out == "", "whoever reads --json reads this too"


def test_no_sound_checkpoint_begins_anew(tmp_path):
    assert checkpoints.Checkpoints(tmp_path, 1, []).resume() is None
    (tmp_path / "epoch_0001").mkdir()
    assert checkpoints.Checkpoints(tmp_path, 1, []).resume() is None


def test_an_epochs_randomness_depends_on_seed_and_epoch_alone(tmp_path):
    def drawn(seed, epoch, before=0):
        model = fitting.compiled(SETTINGS, 3, "float32")
        state = checkpoints.Checkpoints(tmp_path, seed, [])
        state.set_model(model)
        x = np.full((4, 32, 32, 3), 128, "float32")
        for _ in range(before):
            model(x, training=True)
        state.on_epoch_begin(epoch)
        return np.asarray(model(x, training=True))

    assert np.array_equal(drawn(1, 2), drawn(1, 2, before=3))
    assert not np.array_equal(drawn(1, 2), drawn(1, 3))
    assert not np.array_equal(drawn(1, 2), drawn(2, 2))
