"""Weights of an ONNX model in 8 bits: a quarter of the file, for the same graph in float32.

Each output channel of a convolution or a dense layer has its own scale (Krishnamoorthi 2018,
Quantizing deep convolutional networks for efficient inference); what runs through the network
stays float32, so nothing has to be calibrated. The file shrinks; opened by `predictor` it answers
as fast as float32, not faster.
"""

from pathlib import Path

import numpy as np

LEAST = 1024  # numbers of a tensor: smaller ones are not worth it
# The axis of the output channels in an operation's weights, its second input.
_CHANNELS = {"Conv": 0, "MatMul": 1, "Gemm": 1}


def onnx_weights(path: str | Path) -> None:
    """Rewrite an unsealed ONNX model with int8 weights, in place.

    Args:
        path: of a model whose weights are initializers, as converters write them.
    """
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(path)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    uses = [(node, node.input[1]) for node in model.graph.node if node.op_type in _CHANNELS]
    done, added = {}, []
    for node, name in uses:
        if name not in tensors:
            continue
        transposed = any(a.name == "transB" and a.i for a in node.attribute)
        axis = 0 if transposed else _CHANNELS[node.op_type]
        values = numpy_helper.to_array(tensors[name])
        if values.size < LEAST or values.dtype != np.float32 or values.ndim < 2:
            continue
        if (name, axis) not in done:
            short, scale = f"{name}_int8_{axis}", f"{name}_int8_{axis}_scale"
            for called, array in zip((short, scale), _rounded(values, axis), strict=True):
                model.graph.initializer.append(numpy_helper.from_array(array, called))
            wide = done[name, axis] = f"{short}_float"
            added.append(helper.make_node("DequantizeLinear", [short, scale], [wide], axis=axis))
        node.input[1] = done[name, axis]
    left = {name for node in model.graph.node for name in node.input}
    kept = [t for t in model.graph.initializer if t.name in left or "_int8_" in t.name]
    nodes = [*added, *model.graph.node]
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(kept)
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _rounded(values: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """int8 of the same shape, and float32 scales by channel: values are about their product."""
    others = tuple(a for a in range(values.ndim) if a != axis)
    scale = np.abs(values).max(axis=others, keepdims=True) / 127
    scale = np.where(scale > 0, scale, 1).astype(np.float32)
    small = np.round(values / scale).clip(-127, 127).astype(np.int8)
    return small, scale.reshape(-1)
