"""The networks and their augmentation: sizes as published, seeds their own, quiet in prediction."""

import random

import keras
import numpy as np
import pytest
import tensorflow as tf

from skincnn import augment, models


def photographs(n=2, size=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3)).astype("float32")


def build(name="regularised", classes=3, image_size=32, recipe="flip_rotate_zoom", **options):
    return models.build(name, classes, image_size, recipe, **options)


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("name", ["baseline", "regularised", "final"])
def test_the_published_network_has_its_parameters(name):
    assert models.build(name, 9, 180).count_params() == 8_360_265


def test_the_two_convolution_network_takes_64_pixels_and_two_classes():
    model = models.build("two_conv", 2, 64)
    assert model.output_shape == (None, 2)
    stages = [type(layer).__name__ for layer in model.layers]
    assert stages.count("Conv2D") == 2 and stages.count("Dense") == 3


@pytest.mark.parametrize("name", models.MODELS)
def test_outputs_are_probabilities(name):
    p = build(name).predict_on_batch(photographs(4))
    assert p.shape == (4, 3) and p.dtype == np.float32
    assert (p >= 0).all()
    assert p.sum(axis=1) == pytest.approx(1, abs=1e-6)


def test_regularised_has_a_dropout_after_each_stage():
    model = build("regularised")
    rates = [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    assert rates == [0.25] * 4


def test_the_same_seed_gives_the_same_weights_and_another_others():
    first, again, other = (build(seed=s).get_weights() for s in (1, 1, 2))
    assert same(first, again)
    kernels = [(a, b) for a, b in zip(first, other, strict=True) if a.ndim > 1]
    assert not any(np.array_equal(a, b) for a, b in kernels)


def test_no_two_layers_draw_the_same_weights():
    kernels = [w for w in build("two_conv").get_weights() if w.ndim == 2 and w.shape[0] == 128]
    first, second = (w.ravel()[:128] for w in kernels)
    assert not np.allclose(first / first.std(), second / second.std())


def test_no_global_seed_is_touched():
    keras.utils.set_random_seed(5)
    expected = [random.random(), np.random.random(), float(keras.random.uniform(()))]
    keras.utils.set_random_seed(5)
    model = build(seed=3)
    model(photographs(), training=True)
    assert [random.random(), np.random.random(), float(keras.random.uniform(()))] == expected


def test_prediction_neither_augments_nor_drops():
    x = photographs()
    whole, plain = build("regularised"), build("baseline", recipe="none")
    for mine, theirs in zip(plain.trainable_variables, whole.trainable_variables, strict=True):
        mine.assign(theirs)
    assert np.array_equal(whole.predict_on_batch(x), plain.predict_on_batch(x))
    assert not np.array_equal(whole(x, training=True), plain(x, training=True))


def test_augmentation_acts_in_training_alone():
    x = photographs()
    for layer in augment.layers("flip_rotate_zoom"):
        assert np.array_equal(layer(x, training=False), x)
        assert not np.array_equal(layer(x, training=True), x)


def test_augmentation_is_the_same_eagerly_and_inside_tf_data():
    x = photographs(8)
    eager, mapped = x, tf.data.Dataset.from_tensors(x)
    for layer in augment.layers("flip_rotate_zoom", seed=4):
        eager = layer(eager, training=True)
    for layer in augment.layers("flip_rotate_zoom", seed=4):
        mapped = mapped.map(lambda batch, layer=layer: layer(batch, training=True))
    assert np.allclose(next(iter(mapped)), eager, atol=1e-2)


def test_augmented_pixels_stay_float32_in_mixed_precision():
    model = build(dtype="mixed_bfloat16")
    kinds = {layer.name: layer.compute_dtype for layer in model.layers}
    assert {kinds[name] for name in kinds if name.startswith("random")} == {"float32"}
    assert {layer.compute_dtype for layer in model.layers if "conv" in layer.name} == {"bfloat16"}
    assert model.layers[-1].compute_dtype == "float32"
    assert model.predict_on_batch(photographs()).sum(axis=1) == pytest.approx(1, abs=1e-6)


def test_views_begin_with_the_photograph_itself():
    image = photographs(1)[0].astype(np.uint8)
    views = augment.views(image, n=4, seed=1)
    assert views.shape == (4, 32, 32, 3) and views.dtype == np.uint8
    assert np.array_equal(views[0], image)
    assert np.array_equal(views, augment.views(image, n=4, seed=1))
    assert len({view.tobytes() for view in views}) == 4


def test_a_saved_network_answers_the_same(tmp_path):
    model = build()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")  # in safe mode
    x = photographs()
    assert np.array_equal(loaded.predict_on_batch(x), model.predict_on_batch(x))


def test_what_there_is_not_is_told_with_what_there_is():
    with pytest.raises(ValueError, match="model 'vgg' is unknown: choose one of baseline, regul"):
        models.build("vgg", 3)
    with pytest.raises(ValueError, match="augment='mixup': choose of none, flip_rotate_zoom"):
        models.build("baseline", 3, 32, "mixup")
    with pytest.raises(ValueError, match="image_size=15: the networks need at least 16"):
        models.build("baseline", 3, 15)
    with pytest.raises(ValueError, match="classes=1: "):
        models.build("baseline", 1, 32)
    assert models.build("baseline", 2, models.MIN_SIZE).output_shape == (None, 2)
