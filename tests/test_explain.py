"""Grad-CAM: heat where a network looks, in any of our networks, and none of it from the picture."""

import keras
import numpy as np
import pytest

from skincnn import explain, models, person

RNG = np.random.default_rng(0)


def _looks_at_a_corner(size=32):
    """Red in the upper left quarter speaks for class 1; nothing else is seen."""
    inputs = keras.Input((size, size, 3))
    red = keras.layers.Conv2D(1, 1, activation="relu", name="red")
    pooled = keras.layers.AveragePooling2D(size // 2)
    classifier = keras.layers.Dense(2, activation="softmax")
    model = keras.Model(inputs, classifier(keras.layers.Flatten()(pooled(red(inputs)))))
    red.set_weights([np.array([1, 0, 0], np.float32).reshape(1, 1, 3, 1) / 255, np.zeros(1)])
    kernel = np.zeros((4, 2), np.float32)
    kernel[0, 1] = 3
    classifier.set_weights([kernel, np.array([1.5, 0], np.float32)])
    return model


def test_both_methods_find_the_corner():
    model = _looks_at_a_corner()
    pixels = np.zeros((2, 32, 32, 3), np.uint8)
    pixels[0, :16, :16, 0] = pixels[1, :16, :16, 0] = 255
    pixels[1, 16:, 16:, 0] = 60
    maps = explain.grad_cam(model, pixels)
    assert maps.shape == (2, 32, 32) and maps.max() == 1 and maps.min() >= 0
    for heat in (maps[0], explain.occlude(model, pixels)[0]):
        assert heat[:12, :12].mean() > 5 * max(heat[20:, 20:].mean(), 1e-3)
    assert explain.grad_cam(model, pixels, 0).max() == 0, "nothing speaks for the other class"


@pytest.mark.parametrize("name", [*models.MODELS, "MobileNet", "MobileNetV3Small"])
def test_every_network_has_a_map_and_is_left_as_it_was(name):
    model = models.build(name, 3, 64, recipe="flip_rotate_zoom")
    pixels = RNG.integers(0, 256, (9, 64, 64, 3), np.uint8)  # more than are tried at a time
    before = model.predict(pixels, verbose=0)
    maps = np.stack([explain.grad_cam(model, pixels, number) for number in range(3)])
    assert maps.shape == (3, 9, 64, 64) and np.isfinite(maps).all()
    assert np.isin(maps.max(axis=(2, 3)), (0, 1)).all()
    assert (maps.max(axis=(0, 2, 3)) == 1).any(), "something speaks for one of the classes"
    np.testing.assert_allclose(explain.grad_cam(model, pixels[8:], 1)[0], maps[1, 8], atol=1e-3)
    np.testing.assert_array_equal(model.predict(pixels, verbose=0), before)


def test_the_score_before_the_softmax_is_asked():
    """A class of probability 1 has no gradient left behind the softmax."""
    model = models.build("two_conv", 2, 32)
    kernel, bias = model.get_layer("classifier").get_weights()
    model.get_layer("classifier").set_weights([kernel, bias + np.array([0, 200], np.float32)])
    pixels = RNG.integers(0, 256, (4, 32, 32, 3), np.uint8)
    assert model.predict(pixels, verbose=0)[:, 1].min() == 1
    assert explain.grad_cam(model, pixels).max() > 0.99


def test_a_model_of_dense_layers_has_no_map():
    inputs = keras.Input((8, 8, 3))
    outputs = keras.layers.Dense(2, activation="softmax")(keras.layers.Flatten()(inputs))
    with pytest.raises(ValueError, match="no convolution"):
        explain.grad_cam(keras.Model(inputs, outputs), np.zeros((1, 8, 8, 3), np.uint8))


def test_the_check_tells_a_map_of_the_network_from_one_of_the_photograph():
    model = models.build("two_conv", 3, 32)
    pixels = RNG.integers(0, 256, (4, 32, 32, 3), np.uint8)
    pixels[:, 8:24, 8:24] //= 3
    before = [weight.copy() for weight in model.get_weights()]
    table = explain.sanity(model, pixels)
    assert table["layers"].tolist()[-1] == 5 and table["correlation"].iloc[-1] < 0.9
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)
    brightness = explain.sanity(model, pixels, lambda model, some, classes: some.mean(axis=-1))
    np.testing.assert_allclose(brightness["correlation"], 1)
    level = explain.sanity(model, pixels, lambda model, some, classes: np.ones(some.shape[:3]))
    np.testing.assert_allclose(level["correlation"], 0)


def test_what_is_known_of_a_person_stays_while_the_photograph_is_covered():
    model = models.build("two_conv", 3, 32, people=person.WIDTH)
    pixels = RNG.integers(0, 256, (2, 32, 32, 3), np.uint8)
    people = RNG.random((2, person.WIDTH), np.float32)
    maps = explain.occlude(model, pixels, 1, people)
    other = explain.occlude(model, pixels, 1, people[::-1])
    assert maps.shape == (2, 32, 32) and not np.allclose(maps, other)
    for method in (explain.grad_cam, explain.occlude):
        table = explain.sanity(model, pixels, method, people=people)
        assert len(table) and table["correlation"].between(-1, 1).all()
