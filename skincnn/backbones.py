"""Pretrained networks as feature extractors: any of `keras.applications`, or a saved backbone.

Plain Keras 3: no `tf.` inside. Each backbone comes with the pre-processing it was trained with, so
that what is saved takes pixels in 0…255 as every other network here does.
"""

import contextlib
import random
import warnings
from collections.abc import Callable
from pathlib import Path

import keras
from keras import layers

from skincnn.pretrained import IMAGENET, WeightsError, find, home, plain

# What a family was trained on, by how its name begins; the longest that fits counts. Those with
# "none" rescale inside and take 0…255.
PREPROCESSING = {
    "ConvNeXt": "none",
    "EfficientNetV2": "none",
    "MobileNet": "symmetric",
    "MobileNetV3": "none",
    "Xception": "symmetric",
    "Inception": "symmetric",
    "ResNet": "caffe",
    "ResNet50V2": "symmetric",
    "ResNet101V2": "symmetric",
    "ResNet152V2": "symmetric",
    "VGG": "caffe",
    "DenseNet": "torch",
    "EfficientNetLite": "symmetric",
}
# Of BatchNormalization, from random weights: with Keras's 0.999 in MobileNet its moving statistics
# follow after thousands of steps, and a few thousand photographs have a few hundred.
MOMENTUM = 0.9
_MEAN, _VARIANCE = (123.675, 116.28, 103.53), (58.395**2, 57.12**2, 57.375**2)
_CAFFE_MEAN = (123.68, 116.779, 103.939)


def names() -> list[str]:
    """The networks of `keras.applications`, as they are spelled there.

    Without NASNet, which takes one size only, and the first EfficientNets: Keras builds those
    otherwise with ImageNet weights than without, so that their weights fit a wrong network.
    """
    every = (n for n in dir(keras.applications) if n[0].isupper())
    return sorted(n for n in every if not n.startswith(("NASNet", "EfficientNetB")))


def preprocessing(name: str) -> list[Callable]:
    """What leads from pixels in 0…255 to what a network was trained on, to be called in turn.

    Args:
        name: that begins with a family's, however it is spelled.

    Raises:
        ValueError: no family is known by such a name.
    """
    known = [family for family in PREPROCESSING if plain(name).startswith(plain(family))]
    if not known:
        raise ValueError(
            f"model {name!r}: which pixels it takes is not known; begin its name with its "
            f"family's: {', '.join(PREPROCESSING)}"
        )
    kind = PREPROCESSING[max(known, key=len)]
    if kind == "symmetric":  # −1…1
        return [layers.Rescaling(1 / 127.5, offset=-1.0, dtype="float32")]
    if kind == "torch":
        return [layers.Normalization(mean=_MEAN, variance=_VARIANCE, dtype="float32")]
    if kind == "caffe":  # centred, blue first
        centred = layers.Normalization(mean=_CAFFE_MEAN, variance=(1.0, 1.0, 1.0), dtype="float32")
        return [centred, lambda x: keras.ops.flip(x, axis=-1)]
    return []


def build(name: str, weights: str = "", seed: int = 0, dtype: str = "float32") -> keras.Model:
    """A network without its classifier, for pictures of any size.

    Args:
        name: one of `names()`; or any name, if `weights` is a saved backbone.
        weights: `imagenet`; a file of weights for this network (`.weights.h5`, `.h5`); a `.keras`
            file that holds a backbone; "" for random ones. See `pretrained.find`.
        seed: of random weights.
        dtype: Keras dtype policy, `float32` or `mixed_bfloat16`.

    Returns:
        A model named `backbone` from pre-processed (B, H, W, 3) to a map of features (B, h, w, C).

    Raises:
        WeightsError: no such file, one that does not fit, or ImageNet weights that are neither here
            nor to be fetched.
        ValueError: unknown name.
    """
    with _surroundings(seed, dtype):
        if weights.endswith(".keras"):
            return _saved(find(weights), dtype)
        if name not in names():
            raise ValueError(f"model {name!r} is unknown: choose one of {', '.join(names())}")
        make = getattr(keras.applications, name)
        # Without a size Keras takes the ImageNet weights of the network's own.
        options = {"include_top": False, "input_shape": (None, None, 3)}
        if weights == IMAGENET:
            return _named(_imagenet(name, make, options))
        path = find(weights) if weights else None
        model = make(weights=None, **options)
        if path:
            try:
                model.load_weights(path)
            except Exception as error:  # h5py, Keras and zipfile each have their own
                raise WeightsError(f"{path} does not fit {name}: {_line(error)}") from None
        else:
            for layer in flat(model):
                if isinstance(layer, layers.BatchNormalization):
                    layer.momentum = MOMENTUM
        return _named(model)


def hold(model: keras.Model, share: float = 1.0) -> None:
    """Choose what of a backbone trains: its last layers, and never its BatchNormalization.

    `training=False` at the call does not keep the moving statistics in Keras 3: `fit` overrides it
    (keras issue 20285). With few photographs they never catch up with the weights, and a network
    that is good in training is poor in prediction. `trainable = False` keeps them.

    Args:
        model: with a backbone; one without is left as it is.
        share: of the backbone's layers with weights, from the top, that train; 0…1.
    """
    if "backbone" not in {layer.name for layer in model.layers}:
        return
    weighty = [layer for layer in flat(model.get_layer("backbone")) if layer.weights]
    held = round((1 - share) * len(weighty))
    for at, layer in enumerate(weighty):
        layer.trainable = at >= held and not isinstance(layer, layers.BatchNormalization)


def flat(model: keras.Model) -> list[keras.layers.Layer]:
    """Its layers, those of nested models one by one."""
    parts = [flat(la) if hasattr(la, "layers") else [la] for la in model.layers]
    return [layer for some in parts for layer in some]


# --- underneath ----------------------------------------------------------------------------------


def _imagenet(name: str, make, options: dict) -> keras.Model:
    try:
        with warnings.catch_warnings():  # any size takes the weights of 224 pixels, as it should
            warnings.filterwarnings("ignore", message=".*Weights for input shape")
            return make(weights=IMAGENET, **options)
    except Exception as error:  # whatever urllib, ssl and h5py raise
        raise WeightsError(
            f"{name}'s ImageNet weights are not in {home() / 'models'} and could not be fetched "
            f"({_line(error)}): go online once, or name a file"
        ) from None


def _saved(path: Path, dtype: str) -> keras.Model:
    try:
        model = keras.saving.load_model(path, compile=False)
    except Exception as error:
        raise WeightsError(f"{path}: not a saved backbone: {_line(error)}") from None
    if len(model.output_shape) != 4:
        raise WeightsError(f"{path}: gives {model.output_shape}, not a map of features")

    def again(part):  # in the precision asked for
        asked = {"dtype": dtype} if isinstance(part, layers.Layer) else {}  # a bare operation
        return type(part).from_config({**part.get_config(), **asked})

    inputs = keras.Input((None, None, 3))  # of any size
    free = keras.models.clone_model(model, input_tensors=inputs, clone_function=again)
    free.set_weights(model.get_weights())
    return _named(free)


def _named(model: keras.Model) -> keras.Model:
    return keras.Model(model.input, model.output, name="backbone")


@contextlib.contextmanager
def _surroundings(seed: int, dtype: str):
    """`keras.applications` take precision and seeds from global state: lend it to them."""
    policy, state = keras.config.dtype_policy(), random.getstate()
    keras.config.set_dtype_policy(dtype)
    random.seed(seed)  # what an initializer without a seed draws its own from
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
        random.setstate(state)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
