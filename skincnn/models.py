"""The networks, by name. Plain Keras 3: no `tf.` inside, so they run on every backend.

Each takes float32 pixels in 0…255 (rescaling is a layer) and ends in softmax probabilities, so the
loss is told `from_logits=False`. Layers are seeded one by one; no global seed is touched.
"""

import functools
import itertools

import keras
from keras import layers

from skincnn import augment, backbones

PERSON_UNITS = 16  # what is known of a person, as wide as the classifier sees it
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

    def conv_norm(self, filters: int, size: int = 3, stride: int = 1, relu: bool = True):
        """Convolution and BatchNormalization, which catches up within an epoch of 50 steps."""
        stack = [
            layers.Conv2D(
                filters,
                size,
                stride,
                padding="same",
                use_bias=False,
                kernel_initializer=keras.initializers.HeNormal(seed=next(self.seeds)),
                dtype=self.dtype,
            ),
            layers.BatchNormalization(momentum=0.9, dtype=self.dtype),
        ]
        if relu:
            stack.append(layers.ReLU(dtype=self.dtype))
        return lambda x: functools.reduce(lambda y, layer: layer(y), stack, x)

    def residual(self, filters: int):
        """Two convolutions beside a short cut (He et al. 2016), at half the resolution."""
        first, second = self.conv_norm(filters, stride=2), self.conv_norm(filters, relu=False)
        short = self.conv_norm(filters, 1, relu=False)
        pool = layers.AveragePooling2D(2, padding="same", dtype=self.dtype)
        add, relu = layers.Add(dtype=self.dtype), layers.ReLU(dtype=self.dtype)
        return lambda x: relu(add([second(first(x)), short(pool(x))]))

    def pool(self):
        return layers.MaxPooling2D(dtype=self.dtype)

    def dense(self, units: int):
        return layers.Dense(
            units, activation="relu", kernel_initializer=self._glorot(), dtype=self.dtype
        )

    def join(self, *several):
        return layers.Concatenate(dtype=self.dtype)(several)

    def dropout(self, rate: float):
        return layers.Dropout(rate, seed=next(self.seeds), dtype=self.dtype)

    def probabilities(self, classes: int):
        # float32 whatever the rest computes in: softmax in 8 bits of mantissa loses the small ones.
        return layers.Dense(
            classes,
            activation="softmax",
            kernel_initializer=self._glorot(),
            dtype="float32",
            name="classifier",
        )


# A stack is a list of what is called one after the other: layers, or functions of several.


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


def _compact(make: _Seeded, classes: int) -> list:
    stack = [make.conv_norm(24, stride=2)]
    stack += [make.residual(filters) for filters in (32, 64, 128, 192)]
    pooled = [layers.GlobalAveragePooling2D(dtype=make.dtype), make.dropout(0.3)]
    return [*stack, *pooled, make.probabilities(classes)]


MODELS = {
    "baseline": _baseline,  # published four stages: 8.36 M parameters at 180×180 and 9 classes
    "regularised": _regularised,  # the same with dropout 0.25 after each stage
    "final": _regularised,  # what differs is how it is trained: presets.PRESETS["final"]
    "compact": _compact,  # ours: 0.9 M parameters, a twentieth of the operations of the published
    "two_conv": _two_conv,  # the published benign-or-malignant network, meant for 64×64
}


def build(
    name: str,
    classes: int,
    image_size: int = 180,
    recipe: str = "none",
    seed: int = 0,
    dtype: str = "float32",
    weights: str = "",
    dropout: float = 0.2,
    people: int = 0,
) -> keras.Model:
    """Build a network; the same seed gives the same fresh weights.

    Args:
        name: one of `MODELS`, or of `backbones.names()`: then a new classifier on that backbone.
        classes: number of outputs, at least 2.
        image_size: pixels a side of the input.
        recipe: random layers in front, see `augment.layers`.
        seed: of weights, dropout and augmentation.
        dtype: Keras dtype policy, `float32` or `mixed_bfloat16`.
        weights: of the backbone (see `backbones.build`).
        dropout: before a backbone's classifier.
        people: numbers about the person, as a second input beside the photograph; 0 for none.

    Returns:
        A model from (B, image_size, image_size, 3) in 0…255, or from that and (B, people), to (B,
        classes) probabilities. A backbone is its layer `backbone`; the last layer is `classifier`.

    Raises:
        ValueError: unknown name, fewer than 2 classes, or a picture too small for the network.
        backbones.WeightsError: the weights are not there, or do not fit.
    """
    if classes < 2:
        raise ValueError(f"classes={classes}: with fewer than 2 there is nothing to tell apart")
    if image_size < MIN_SIZE:
        raise ValueError(f"image_size={image_size}: the networks need at least {MIN_SIZE}")
    make = _Seeded(seed, dtype)
    if name in MODELS:
        if weights:
            raise ValueError(f"weights={weights!r}: {name} is trained from scratch")
        stack = [layers.Rescaling(1 / 255, dtype=dtype), *MODELS[name](make, classes)]
    elif weights.endswith(".keras") or name in backbones.names():
        stack = [
            *backbones.preprocessing(name),
            backbones.build(name, weights, seed, dtype),
            layers.GlobalAveragePooling2D(dtype=dtype, name="features"),
            make.dropout(dropout),
            make.probabilities(classes),
        ]
    else:
        raise ValueError(
            f"model {name!r} is unknown: choose one of {', '.join(MODELS)}, or a network of "
            f"keras.applications: {', '.join(backbones.names())}"
        )
    inputs = keras.Input((image_size, image_size, 3), name="photograph")
    outputs = inputs
    *stack, last = [*augment.layers(recipe, seed), *stack]
    for layer in stack:
        outputs = layer(outputs)
    if people:
        person = keras.Input((people,), name="person")
        told = make.dense(PERSON_UNITS)(person)
        return keras.Model([inputs, person], last(make.join(outputs, told)), name=name)
    return keras.Model(inputs, last(outputs), name=name)
