"""The networks, by name. Plain Keras 3: no `tf.` inside, so they run on every backend.

Each takes float32 pixels in 0…255 (rescaling is a layer) and ends in softmax probabilities, so the
loss is told `from_logits=False`. Layers are seeded one by one; no global seed is touched.
"""

import itertools

import keras
from keras import layers

from skincnn import augment

MIN_SIZE = 16  # pixels a side: four poolings leave one


class _Seeded:
    """Makes layers that share a precision and each draw from a seed of their own."""

    def __init__(self, seed: int, dtype: str):
        self.seeds = itertools.count(seed * 1000)
        self.dtype = dtype

    def _glorot(self):
        return keras.initializers.GlorotUniform(seed=next(self.seeds))

    def conv(self, filters: int, size: int = 3):
        return layers.Conv2D(
            filters,
            size,
            padding="same",
            activation="relu",
            kernel_initializer=self._glorot(),
            dtype=self.dtype,
        )

    def pool(self):
        return layers.MaxPooling2D(dtype=self.dtype)

    def dense(self, units: int):
        return layers.Dense(
            units, activation="relu", kernel_initializer=self._glorot(), dtype=self.dtype
        )

    def dropout(self, rate: float):
        return layers.Dropout(rate, seed=next(self.seeds), dtype=self.dtype)

    def probabilities(self, classes: int):
        # float32 whatever the rest computes in: softmax in 8 bits of mantissa loses the small ones.
        return layers.Dense(
            classes, activation="softmax", kernel_initializer=self._glorot(), dtype="float32"
        )


def _baseline(make: _Seeded, classes: int, dropout: float = 0.0) -> list:
    stack = []
    for filters in (32, 64, 128, 256):
        stack += [make.conv(filters), make.pool()]
        if dropout:
            stack.append(make.dropout(dropout))
    dense = [make.dense(units) for units in (256, 128, 64)]
    return [*stack, layers.Flatten(), *dense, make.probabilities(classes)]


def _regularised(make: _Seeded, classes: int) -> list:
    return _baseline(make, classes, dropout=0.25)


def _two_conv(make: _Seeded, classes: int) -> list:
    stages = [make.conv(32), make.pool(), make.conv(64), make.pool()]
    dense = [make.dense(128), make.dense(128)]
    return [*stages, layers.Flatten(), *dense, make.probabilities(classes)]


MODELS = {
    "baseline": _baseline,  # published four stages: 8.36 M parameters at 180×180 and 9 classes
    "regularised": _regularised,  # the same with dropout 0.25 after each stage
    "final": _regularised,  # what differs is how it is trained: config.PRESETS["final"]
    "two_conv": _two_conv,  # the published benign-or-malignant network, meant for 64×64
}


def build(
    name: str,
    classes: int,
    image_size: int = 180,
    recipe: str = "none",
    seed: int = 0,
    dtype: str = "float32",
) -> keras.Model:
    """Build a network with fresh weights; the same seed gives the same weights.

    Args:
        name: one of `MODELS`.
        classes: number of outputs, at least 2.
        image_size: pixels a side of the input.
        recipe: random layers in front, a name in `augment.RECIPES`.
        seed: of weights, dropout and augmentation.
        dtype: Keras dtype policy, `float32` or `mixed_bfloat16`.

    Returns:
        A model from (B, image_size, image_size, 3) in 0…255 to (B, classes) probabilities.

    Raises:
        ValueError: unknown name, fewer than 2 classes, or a picture too small for the network.
    """
    if name not in MODELS:
        raise ValueError(f"model {name!r} is unknown: choose one of {', '.join(MODELS)}")
    if classes < 2:
        raise ValueError(f"classes={classes}: with fewer than 2 there is nothing to tell apart")
    if image_size < MIN_SIZE:
        raise ValueError(f"image_size={image_size}: the networks need at least {MIN_SIZE}")
    stack = [
        *augment.layers(recipe, seed),
        layers.Rescaling(1 / 255, dtype=dtype),
        *MODELS[name](_Seeded(seed, dtype), classes),
    ]
    inputs = keras.Input((image_size, image_size, 3), name="photograph")
    outputs = inputs
    for layer in stack:
        outputs = layer(outputs)
    return keras.Model(inputs, outputs, name=name)
