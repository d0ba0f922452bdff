"""Fewer passes over memory give the same training."""

import keras
import numpy as np
import pytest
from keras import layers

from skincnn import backbones, config, fused, models, optimizers


def inverted_residual(dtype: str = "float32") -> keras.Model:
    """As MobileNetV2 is made: a stem, two blocks, one of them beside a short cut; all held but the
    convolutions. The last one has a bias."""
    inputs = x = keras.Input((16, 16, 3))
    with_dtype = {"dtype": dtype}

    def norm(x):
        return layers.BatchNormalization(**with_dtype)(x)

    def relu(x):
        return layers.ReLU(6.0, **with_dtype)(x)

    def plain(x, filters, size=1, bias=False):
        return layers.Conv2D(filters, size, padding="same", use_bias=bias, **with_dtype)(x)

    def depthwise(x, stride):
        options = {"padding": "same", "use_bias": False, **with_dtype}
        return layers.DepthwiseConv2D(3, stride, **options)(x)

    x = relu(norm(plain(x, 8, 3)))
    for stride in (1, 2):
        y = relu(norm(plain(x, 24)))
        y = norm(plain(relu(norm(depthwise(y, stride))), 8, bias=stride == 2))
        x = layers.Add(**with_dtype)([x, y]) if stride == 1 else y
    x = layers.GlobalAveragePooling2D(**with_dtype)(x)
    model = keras.Model(inputs, layers.Dense(3, "softmax", **with_dtype)(x))
    rng = np.random.default_rng(0)
    model.set_weights([_drawn(weight, rng) for weight in model.weights])
    for layer in model.layers:
        layer.trainable = not isinstance(layer, layers.BatchNormalization)
    return model


def _drawn(weight, rng):
    if weight.name in ("gamma", "moving_variance"):
        return rng.uniform(0.5, 1.5, weight.shape)
    wide = np.prod(weight.shape[:-1]) if "kernel" in weight.name else 25
    return rng.normal(size=weight.shape) / np.sqrt(wide)


def batch(dtype: str = "float32"):
    rng = np.random.default_rng(1)
    return rng.uniform(-1, 1, (6, 16, 16, 3)).astype(dtype), np.arange(6) % 3


def compiled(settings, dtype: str = "float32") -> keras.Model:
    return optimizers.compile_model(inverted_residual(dtype), settings)


SETTINGS = {
    "sgd": {"learning_rate": 1e-2},
    "adam": {"learning_rate": 1e-3},
    "adamw": {"learning_rate": 1e-3, "weight_decay": 0.1},
}


@pytest.mark.parametrize("optimizer", SETTINGS)
def test_steps_are_those_of_keras(optimizer):
    settings = config.RunConfig(optimizer=optimizer, **SETTINGS[optimizer])
    plain, quick = (compiled(settings, "float64") for _ in range(2))
    begun = plain.get_weights()
    fused.fuse(quick)
    assert vars(quick.optimizer)["update_step"] and vars(quick.layers[1])["call"]
    for _ in range(4):
        plain_loss, loss = (model.train_on_batch(*batch("float64"))[0] for model in (plain, quick))
        assert loss == pytest.approx(plain_loss, rel=1e-6)
    moved = 0
    for a, b, before in zip(plain.get_weights(), quick.get_weights(), begun, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-7)
        moved += not np.array_equal(a, before)
    assert moved == len(plain.trainable_weights)
    for a, b in zip(plain.optimizer.variables, quick.optimizer.variables, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-7)


def test_mixed_precision_folds_in_float32_and_computes_in_its_own():
    plain, quick = (inverted_residual("mixed_bfloat16") for _ in range(2))
    assert fused.fold(quick) == 7
    exact = inverted_residual()(batch()[0])
    errors = [np.abs(np.float32(model(batch()[0])) - exact).max() for model in (plain, quick)]
    assert max(errors) < 0.02


def test_what_is_saved_is_the_plain_network(tmp_path):
    model = fused.fuse(compiled(config.RunConfig()))
    model.train_on_batch(*batch())
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    x = batch()[0]
    np.testing.assert_allclose(model.predict_on_batch(x), again.predict_on_batch(x), atol=1e-5)
    assert type(again.optimizer) is keras.optimizers.Adam
    assert int(again.optimizer.iterations) == 1
    slots = zip(model.optimizer.variables, again.optimizer.variables, strict=True)
    assert all(np.array_equal(a, b) for a, b in slots)


def test_every_held_normalization_of_mobilenet_is_folded_and_none_that_learns():
    model = models.build("MobileNetV2", 3, 64)
    assert fused.fold(model) == 0
    for layer in backbones.flat(model):
        if isinstance(layer, layers.BatchNormalization):
            shape = layer.gamma.shape
            layer.moving_mean.assign(np.linspace(-0.1, 0.1, shape[0]))
            layer.moving_variance.assign(np.linspace(0.5, 1.5, shape[0]))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype("float32")
    wanted = model(pixels).numpy()
    backbones.hold(model)
    assert fused.fold(model) == 52
    np.testing.assert_allclose(model(pixels).numpy(), wanted, atol=1e-4)


def test_a_map_that_something_else_reads_too_is_not_folded():
    inputs = keras.Input((8, 8, 3))
    maps = layers.Conv2D(4, 3)(inputs)
    alone = layers.Conv2D(4, 3)(inputs)
    active = layers.Conv2D(4, 3, activation="relu")(inputs)
    norms = [layers.BatchNormalization() for _ in range(3)]
    outputs = [norm(x) for norm, x in zip(norms, (maps, alone, active), strict=True)]
    model = keras.Model(inputs, layers.Add()([*outputs, maps]))
    rng = np.random.default_rng(0)
    for norm in norms:
        norm.set_weights(rng.uniform(0.5, 1.5, (4, 4)))
        norm.trainable = False
    x = rng.normal(size=(2, 8, 8, 3)).astype("float32")
    wanted = model(x).numpy()
    assert fused.fold(model) == 1
    np.testing.assert_allclose(model(x).numpy(), wanted, atol=1e-5)
