"""Pretrained networks as feature extractors: any of `keras.applications`, or a saved backbone.

Plain Keras 3: no `tf.` inside. Each backbone comes with the pre-processing it was trained with, so
that what is saved takes pixels in 0…255 as every other network here does.
"""

import contextlib
import hashlib
import os
import random
from pathlib import Path

import keras
from keras import layers

IMAGENET = "imagenet"
# What a family was trained on, by how its name begins; the longest that fits counts. Families that
# are not named rescale inside and take 0…255.
PREPROCESSING = {
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
_MEAN, _VARIANCE = (123.675, 116.28, 103.53), (58.395**2, 57.12**2, 57.375**2)
_CAFFE_MEAN = (123.68, 116.779, 103.939)


class WeightsError(ValueError):
    """Weights that are not there or do not fit; the message says what to do."""


def names() -> list[str]:
    """The networks of `keras.applications`, as they are spelled there; without NASNet, which takes
    one size only."""
    every = (n for n in dir(keras.applications) if n[0].isupper())
    return sorted(n for n in every if not n.startswith("NASNet"))


def preprocessing(name: str) -> list[keras.layers.Layer]:
    """The layers from pixels in 0…255 to what a network was trained on."""
    known = [prefix for prefix in PREPROCESSING if name.startswith(prefix)]
    kind = PREPROCESSING[max(known, key=len)] if known else "none"
    if kind == "symmetric":  # −1…1
        return [layers.Rescaling(1 / 127.5, offset=-1.0, dtype="float32")]
    if kind == "torch":
        return [layers.Normalization(mean=_MEAN, variance=_VARIANCE, dtype="float32")]
    if kind == "caffe":  # centred, blue first
        centred = layers.Normalization(mean=_CAFFE_MEAN, variance=(1.0, 1.0, 1.0), dtype="float32")
        return [centred, _BlueFirst(dtype="float32")]
    return []


def build(name: str, weights: str = "", seed: int = 0, dtype: str = "float32") -> keras.Model:
    """A network without its classifier, for pictures of any size.

    Args:
        name: one of `names()`; or any name, if `weights` is a saved backbone.
        weights: `imagenet`; a file of weights for this network (`.weights.h5`, `.h5`); a `.keras`
            file that holds a backbone; "" for random ones. See `find`.
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
            return _saved(find(weights))
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
        return _named(model)


def find(weights: str) -> Path:
    """A file of weights: as named, or of that name in Keras's own folder (`KERAS_HOME`/models).

    Raises:
        WeightsError: it is in neither place.
    """
    places = [Path(weights).expanduser(), home() / "models" / weights]
    for place in places:
        if place.is_file():
            return place
    raise WeightsError(f"weights {weights!r}: no such file, nor {places[1]}")


def digest(weights: str) -> str:
    """SHA-256 of the file that `weights` names; "" for `imagenet`, which Keras checks itself, and
    for none."""
    if weights in ("", IMAGENET):
        return ""
    return hashlib.sha256(find(weights).read_bytes()).hexdigest()


def home() -> Path:
    """Where Keras keeps what it fetched: `KERAS_HOME`, else `~/.keras`."""
    return Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()


def at_hand(name: str) -> str:
    """`imagenet` where Keras has a network's weights already (they may be fetched elsewhere), else
    "": so that a notebook runs on any machine and says with what."""
    wanted = _plain(name)
    files = [_plain(path.name) for path in (home() / "models").glob("*.h5")]
    here = any(file.startswith(wanted) and "notop" in file for file in files)
    return IMAGENET if here else ""


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
    weighty = [layer for layer in _flat(model.get_layer("backbone")) if layer.weights]
    held = round((1 - share) * len(weighty))
    for at, layer in enumerate(weighty):
        layer.trainable = at >= held and not isinstance(layer, layers.BatchNormalization)


# --- underneath ----------------------------------------------------------------------------------


@keras.saving.register_keras_serializable(package="skincnn")
class _BlueFirst(layers.Layer):
    """RGB to BGR."""

    def call(self, x):
        return keras.ops.flip(x, axis=-1)

    def compute_output_shape(self, shape):
        return shape


def _imagenet(name: str, make, options: dict) -> keras.Model:
    try:
        return make(weights=IMAGENET, **options)
    except Exception as error:  # whatever urllib, ssl and h5py raise
        raise WeightsError(
            f"{name}'s ImageNet weights are not in {home() / 'models'} and could not be fetched "
            f"({_line(error)}): go online once, or name a file"
        ) from None


def _saved(path: Path) -> keras.Model:
    try:
        model = keras.saving.load_model(path, compile=False)
    except Exception as error:
        raise WeightsError(f"{path}: not a saved backbone: {_line(error)}") from None
    if len(model.output_shape) != 4:
        raise WeightsError(f"{path}: gives {model.output_shape}, not a map of features")
    free = keras.models.clone_model(model, input_tensors=keras.Input((None, None, 3)))  # any size
    free.set_weights(model.get_weights())
    return _named(free)


def _named(model: keras.Model) -> keras.Model:
    return keras.Model(model.input, model.output, name="backbone")


def _flat(model: keras.Model) -> list[keras.layers.Layer]:
    """Its layers, those of nested models one by one."""
    parts = [_flat(la) if hasattr(la, "layers") else [la] for la in model.layers]
    return [layer for some in parts for layer in some]


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


def _plain(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalnum())


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
