"""Where a network looks: Grad-CAM, and a check that such a map has to do with what was learned.

Gradients are TensorFlow's; everything else is plain Keras. What needs no gradients is `occlusion`.
A map says where, not why: a network that looks at the lesion may look at it for a wrong reason.
"""

import contextlib
from collections.abc import Callable, Iterator

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from skincnn import backbones, occlusion

BATCH = 8  # photographs at a time
STAGES = 5  # at which `sanity` looks, from the classifier down to the first layer


def grad_cam(
    model: keras.Model,
    pixels: np.ndarray,
    class_index: int | np.ndarray | None = None,
    people: np.ndarray | None = None,
) -> np.ndarray:
    """Grad-CAM (Selvaraju et al. 2017): the last map of features, weighed by what raises a class.

    The map is the last one before it is flattened or pooled away, whatever model it is nested in:
    it is found by watching the layers as the network runs. The gradient is that of the class's
    score before the softmax.

    Args:
        model: from (N, S, S, 3) in 0…255 to (N, C); one of `models` or of `keras.applications`,
            with its classifier.
        pixels: (N, S, S, 3), at least one.
        class_index: of the class to ask for, one for all or one each; None is each photograph's
            most probable one.
        people: (N, D), for a model with a second input.

    Returns:
        float32 (N, S, S) in 0…1, each photograph's largest value being 1; all 0 where nothing
        speaks for the class.

    Raises:
        ValueError: the network has no map of features, or its last layer no activation to take off.

    Example:
        >>> maps = explain.grad_cam(run.model, pixels)
        >>> occlusion.overlay(pixels[0], maps[0])
    """
    wanted = None if class_index is None else np.broadcast_to(class_index, len(pixels))
    maps = []
    for start in range(0, len(pixels), BATCH):
        part = slice(start, start + BATCH)
        inputs = keras.ops.convert_to_tensor(pixels[part], "float32")
        if people is not None:
            inputs = [inputs, keras.ops.convert_to_tensor(people[part], "float32")]
        with tf.GradientTape() as tape, _scores(model), _maps(model, tape) as seen:
            scores = model(inputs, training=False)
            at = keras.ops.argmax(scores, axis=1) if wanted is None else wanted[part]
            of_class = keras.ops.sum(scores * keras.ops.one_hot(at, scores.shape[1]))
        if not seen:
            raise ValueError(f"{model.name} has no convolution: there is no map to look at")
        features = seen[-1]
        slopes = keras.ops.cast(tape.gradient(of_class, features), "float32")
        weights = keras.ops.mean(slopes, axis=(1, 2), keepdims=True)
        small = keras.ops.relu(keras.ops.sum(weights * keras.ops.cast(features, "float32"), -1))
        large = keras.ops.image.resize(small[..., None], pixels.shape[1:3])
        maps.append(keras.ops.convert_to_numpy(large)[..., 0])
    found = np.concatenate(maps)
    largest = found.max(axis=(1, 2), keepdims=True)
    return found / np.where(largest > 0, largest, 1)


def occlude(
    model: keras.Model,
    pixels: np.ndarray,
    class_index: int | np.ndarray | None = None,
    people: np.ndarray | None = None,
) -> np.ndarray:
    """`occlusion.heat` of several photographs, called as `grad_cam` is.

    Args:
        model: from (N, S, S, 3) in 0…255 to (N, C).
        pixels: uint8 (N, S, S, 3).
        class_index: as for `grad_cam`.
        people: (N, D), for a model with a second input; each person stays as they are while their
            photograph is covered.

    Returns:
        float32 (N, S, S) in −1…1.
    """
    if class_index is None:
        class_index = _answers(model, pixels, people)
    wanted = np.broadcast_to(class_index, len(pixels))
    maps = []
    for number, (photograph, at) in enumerate(zip(pixels, wanted, strict=True)):

        def answer(covered: np.ndarray, number: int = number) -> np.ndarray:
            if people is None:
                return model.predict_on_batch(covered)
            same = np.repeat(people[number : number + 1], len(covered), axis=0)
            return model.predict_on_batch([covered, same])

        maps.append(occlusion.heat(answer, photograph, int(at)))
    return np.stack(maps)


def sanity(
    model: keras.Model,
    pixels: np.ndarray,
    method: Callable[..., np.ndarray] = grad_cam,
    seed: int = 0,
    people: np.ndarray | None = None,
) -> pd.DataFrame:
    """Whether a map depends on what was learned (Adebayo et al. 2018, Sanity checks for saliency).

    The weights are shuffled within their arrays, layer after layer from the classifier down, and
    each photograph's map is compared with its first one, of the same class. One that stays as it
    was shows the photograph, not the network. The model is as before afterwards.

    Args:
        model: from (N, S, S, 3) in 0…255 to (N, C).
        pixels: (N, S, S, 3).
        method: from model, pixels and classes (N), and people where there are any, to maps
            (N, S, S).
        seed: of the shuffling.
        people: (N, D), for a model with a second input.

    Returns:
        A row a stage: `shuffled_from` (the lowest layer that is), `layers` (how many are), and
        `correlation`, the mean over photographs of Spearman's between the maps' pixels, with the
        `lowest` and `highest`. A map that is the same everywhere correlates with none: 0.
    """
    rng = np.random.default_rng(seed)
    asked = [model, pixels, _answers(model, pixels, people)]
    asked += [] if people is None else [people]
    first = _ranks(method(*asked))
    before, rows = model.get_weights(), []
    weighty = [layer for layer in backbones.flat(model) if layer.weights][::-1]
    ends = np.unique(np.rint(np.geomspace(1, len(weighty), STAGES)).astype(int))
    try:
        for number, layer in enumerate(weighty, start=1):
            layer.set_weights([_shuffled(weight, rng) for weight in layer.get_weights()])
            if number in ends:
                now = (first * _ranks(method(*asked))).mean(axis=1)
                rows.append((layer.name, number, now.mean(), now.min(), now.max()))
    finally:
        model.set_weights(before)
    return pd.DataFrame(
        rows, columns=["shuffled_from", "layers", "correlation", "lowest", "highest"]
    )


# --- underneath ----------------------------------------------------------------------------------


def _answers(model: keras.Model, pixels: np.ndarray, people: np.ndarray | None) -> np.ndarray:
    """Each photograph's most probable class, (N)."""
    inputs = pixels if people is None else [pixels, people]
    return model.predict(inputs, BATCH, verbose=0).argmax(axis=1)


@contextlib.contextmanager
def _scores(model: keras.Model) -> Iterator[None]:
    """Let a classifier give its scores as they are before the softmax."""
    last = backbones.flat(model)[-1]
    if not hasattr(last, "activation"):
        raise ValueError(f"{model.name} ends in {last.name}, which has no activation to take off")
    activation = last.activation
    last.activation = keras.activations.linear
    try:
        yield
    finally:
        last.activation = activation


@contextlib.contextmanager
def _maps(model: keras.Model, tape: tf.GradientTape) -> Iterator[list]:
    """The maps of features that a network makes while it runs, for gradients to be taken by.

    A model of the inner tensors and the output cannot be had where they lie in a nested model, so
    layers are watched instead. Pooling and dropout are passed over: they only thin what is there.
    """
    seen, convolved = [], []

    def watched(layer, call):
        def run(*args, **options):
            outputs = call(*args, **options)
            if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
                convolved.append(layer)
            if convolved and len(outputs.shape) == 4 and min(outputs.shape[1:3]) > 1:
                tape.watch(outputs)
                seen.append(outputs)
            return outputs

        return run

    layers = [layer for layer in backbones.flat(model) if not _thins(layer)]
    for layer in layers:
        # around Keras's own __setattr__, which would take the function for a part of the layer
        object.__setattr__(layer, "call", watched(layer, layer.call))
    try:
        yield seen
    finally:
        for layer in layers:
            object.__delattr__(layer, "call")


def _thins(layer: keras.layers.Layer) -> bool:
    return "Pooling" in type(layer).__name__ or isinstance(layer, keras.layers.Dropout)


def _shuffled(weight: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(weight.ravel()).reshape(weight.shape)


def _ranks(maps: np.ndarray) -> np.ndarray:
    """Each map's pixels by rank (N, S·S), with mean 0 and variance 1: their products' means are
    Spearman's correlations."""
    ranks = pd.DataFrame(maps.reshape(len(maps), -1)).rank(axis=1).to_numpy()
    spread = ranks.std(axis=1, keepdims=True)
    return (ranks - ranks.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1)
