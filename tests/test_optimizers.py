"""How a network learns: the rate over time and over layers, and the losses."""

import keras
import numpy as np
import pytest

from skincnn import backbones, config, models, optimizers


def test_the_rate_rises_then_falls_along_a_cosine():
    settings = config.RunConfig(learning_rate=0.1, schedule="cosine", warmup_epochs=2, epochs=10)
    rate = optimizers.rate(settings, steps=5)
    values = [float(rate(step)) for step in range(51)]
    np.testing.assert_allclose(values[:11], np.linspace(0, 0.1, 11), atol=1e-7)
    half = 10 + 20  # of the forty steps that fall
    assert values[half] == pytest.approx((0.1 + 0.001) / 2, rel=1e-3)
    assert values[50] == pytest.approx(0.001, rel=1e-3) and np.diff(values[10:]).max() <= 0
    theirs = keras.optimizers.schedules.CosineDecay(
        0.0, 40, 0.01, warmup_target=0.1, warmup_steps=10
    )
    np.testing.assert_allclose(values, [float(theirs(step)) for step in range(51)], rtol=1e-5)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(rate))
    assert float(again(7)) == values[7] and float(again(33)) == values[33]
    rising = optimizers.rate(settings.replace(schedule="constant"), steps=5)
    assert float(rising(10)) == float(rising(40)) == pytest.approx(0.1)
    assert optimizers.rate(config.RunConfig(learning_rate=0.1), 5) == 0.1


def test_the_lower_a_layer_the_slower_it_learns():
    """Adam's first step is as long as the rate, whatever the gradient: lengths are the rates."""
    model = models.build("MobileNetV3Small", 3, 48)
    backbones.hold(model)
    settings = config.RunConfig(
        model="MobileNetV3Small", optimizer="adamw", layer_decay=0.5, learning_rate=1e-3
    )
    optimizers.compile_model(model, settings)
    inside = model.get_layer("backbone").trainable_variables
    kernels = [inside[0], inside[-1], model.get_layer("classifier").kernel]
    before = [kernel.numpy().copy() for kernel in kernels]
    ones = [keras.ops.ones_like(variable) for variable in model.trainable_variables]
    model.optimizer.apply(ones, model.trainable_variables)
    steps = [np.abs(k.numpy() - b).max() for k, b in zip(kernels, before, strict=True)]
    bottom = 0.5**optimizers.TENTHS
    np.testing.assert_allclose(steps, [1e-3 * bottom, 1e-3, 1e-3], rtol=0.05)


def test_the_lower_a_layer_the_less_it_decays():
    model = models.build("MobileNetV3Small", 3, 48)
    backbones.hold(model)
    settings = config.RunConfig(
        model="MobileNetV3Small", optimizer="adamw", layer_decay=0.8, learning_rate=0.1
    ).replace(weight_decay=0.5)
    optimizers.compile_model(model, settings)
    kernels = [model.get_layer("backbone").trainable_variables[0]]
    kernels.append(model.get_layer("classifier").kernel)
    before = [kernel.numpy().copy() for kernel in kernels]
    nothing = [keras.ops.zeros_like(variable) for variable in model.trainable_variables]
    model.optimizer.apply(nothing, model.trainable_variables)
    left = [(k.numpy() / b).mean() for k, b in zip(kernels, before, strict=True)]
    np.testing.assert_allclose(left, [1 - 0.05 * 0.8**optimizers.TENTHS, 0.95], rtol=1e-5)


def test_the_focal_loss_counts_a_sure_answer_less():
    settings = config.RunConfig(loss="focal")
    truth = np.array([[1.0, 0.0]])
    for p in (0.6, 0.9):
        said = np.array([[p, 1 - p]])
        plain = float(keras.losses.CategoricalCrossentropy()(truth, said))
        focal = float(optimizers.loss(settings)(truth, said))
        assert focal == pytest.approx((1 - p) ** 2 * plain, rel=1e-4)


@pytest.mark.parametrize("changes", [{"weight_decay": 0.1}, {"layer_decay": 0.9}])
def test_what_an_optimizer_would_not_heed_is_refused(changes):
    config.RunConfig(optimizer="adamw", **changes)
    for optimizer in ("adam", "sgd"):
        with pytest.raises(ValueError, match="need adamw"):
            config.RunConfig(optimizer=optimizer, **changes)


def test_a_plateau_and_a_schedule_are_not_mixed():
    for changes in ({"schedule": "cosine"}, {"warmup_epochs": 1}):
        with pytest.raises(ValueError, match="both set the rate"):
            config.RunConfig(plateau_patience=2, **changes)
