"""Sealed models made by hand: no training, no TensorFlow, ready in a blink.

The network is the mean colour and a softmax, so anyone can say what it has to answer: red is
malignant, blue is benign, grey is half and half, green is like nothing it has seen.
"""

import numpy as np
from PIL import Image

from skincnn import artefact, strangers

CLASSES = ("benign", "malignant")
SIZE = 32
RED, BLUE, GREY, GREEN = (200, 60, 60), (60, 60, 200), (128, 110, 128), (40, 220, 40)
_SHARPNESS = 6.0


def answer(colour, classes=CLASSES):
    """The probabilities that the network has to give to a photograph of one colour."""
    logits = np.asarray(colour, np.float64) / 255 @ _weights(len(classes))
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def facts(**changes):
    """What the model says of itself: it knows strangers, and when it is not sure."""
    seen = np.random.default_rng(0).uniform((0.2, 0.1, 0.2), (0.9, 0.5, 0.9), (400, 3))
    grid = np.linspace(0, 1, 101)
    standard = {
        "name": "by_colour",
        "classes": list(CLASSES),
        "image_size": SIZE,
        "abstain_below": 0.6,
        "malignant": {
            "classes": ["malignant"],
            "threshold": 0.5,
            "grid": np.stack([grid, (grid - 0.1).clip(0), (grid + 0.1).clip(0, 1)], 1).tolist(),
        },
        "strangers": strangers.fit(seen[:300], seen[300:]),
        "licence": "CC0: drawn by a test",
        "source": {"data": "drawn", "protocol": "none"},
    }
    return artefact.Facts(**{**standard, **changes})


def write(path, **changes):
    """Write a sealed ONNX model of mean colours; `changes` are of its facts. Returns the path."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    said = facts(**changes)
    size, width = said.image_size, len(said.classes)

    def constant(name, value, dtype=np.float32):
        return numpy_helper.from_array(np.asarray(value, dtype), name)

    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["photographs"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["floats", "space"], ["colour"], keepdims=0),
            helper.make_node("Div", ["colour", "most"], ["features"]),
            helper.make_node("MatMul", ["features", "weights"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ],
        said.name,
        [helper.make_tensor_value_info("photographs", TensorProto.UINT8, ["N", size, size, 3])],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", width]),
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 3]),
        ],
        [
            constant("space", [1, 2], np.int64),
            constant("most", 255.0),
            constant("weights", _weights(width)),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    artefact.seal(path, said)
    return path


def photograph(path, colour=RED, size=(64, 48)):
    """A photograph of one colour, with some noise, as a JPEG. Returns the path."""
    noise = np.random.default_rng(0).integers(-5, 6, (size[1], size[0], 3))
    pixels = (np.array(colour) + noise).clip(0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path, "JPEG", quality=95)
    return path


def _weights(width):
    """Blue speaks for the first class, red for the last, others are seldom meant."""
    weights = np.zeros((3, width))
    weights[2, 0] = weights[0, -1] = _SHARPNESS
    if width > 2:
        weights[:, 1:-1] = np.random.default_rng(width).uniform(0, 2, (3, width - 2))
    return weights
