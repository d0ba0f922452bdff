"""A training step in fewer passes over memory, with the same result but for rounding.

On CPUs a step of a small network waits for memory more than for arithmetic. Keras's Adam passes
over every weight fourteen times, TensorFlow's own kernel once. A BatchNormalization whose
statistics are held is a factor and an offset for each channel: multiplied into the kernel of the
convolution before it, they cost nothing per pixel, forward or backward.
"""

from collections import Counter

import keras
from keras import ops


def fuse(model: keras.Model) -> keras.Model:
    """Let a compiled model train in fewer passes, until it is saved and read again.

    What it is saved as, its weights and their order are untouched.

    Args:
        model: compiled, before its first step; what trains is chosen already.

    Returns:
        The model.
    """
    fold(model)
    if keras.config.backend() == "tensorflow":
        _one_pass(model.optimizer)
    return model


def fold(model: keras.Model) -> int:
    """Compute every held BatchNormalization within the convolution before it.

    Plain and depthwise convolutions without activation, whose map nothing else looks at; others
    stay as they are.

    Args:
        model: with held layers (`trainable` is False) or without, nested ones included.

    Returns:
        How many were folded.
    """
    parts = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    folded = sum(fold(part) for part in parts)
    read = [tensor for layer in model.operations for tensor in _inputs(layer)]
    readers = Counter(id(tensor) for tensor in [*read, *model.outputs])
    makers = {id(tensor): op for op in model.operations for tensor in _outputs(op)}
    for norm in model.layers:
        if type(norm) is not keras.layers.BatchNormalization or norm.trainable:
            continue
        [before] = _inputs(norm)
        convolution = makers.get(id(before))
        if readers[id(before)] == 1 and _foldable(convolution, norm):
            _join(convolution, norm)
            folded += 1
    return folded


def _inputs(operation) -> list:
    nodes = operation._inbound_nodes
    return list(nodes[0].input_tensors) if len(nodes) == 1 else []


def _outputs(operation) -> list:
    nodes = operation._inbound_nodes
    return list(nodes[0].output_tensors) if len(nodes) == 1 else []


def _foldable(convolution, norm) -> bool:
    return (
        type(convolution) in (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
        and convolution.activation is keras.activations.linear
        and convolution.data_format == "channels_last"
        and getattr(convolution, "depth_multiplier", 1) == 1
        and norm.axis in (-1, 3)
        and norm.scale
        and norm.center
        and not norm.renorm
    )


def _join(convolution, norm) -> None:
    depthwise = isinstance(convolution, keras.layers.DepthwiseConv2D)
    convolve = ops.depthwise_conv if depthwise else ops.conv

    def call(pixels):
        factor = norm.gamma * ops.rsqrt(norm.moving_variance + norm.epsilon)
        offset = norm.beta - norm.moving_mean * factor
        if convolution.use_bias:
            offset = offset + ops.cast(convolution.bias, factor.dtype) * factor
        # a depthwise kernel is (h, w, channels, 1), another's last axis is that of its outputs
        kernel = convolution.kernel
        scaled = ops.cast(kernel, factor.dtype) * (factor[:, None] if depthwise else factor)
        maps = convolve(
            pixels,
            ops.cast(scaled, pixels.dtype),
            strides=convolution.strides,
            padding=convolution.padding,
            dilation_rate=convolution.dilation_rate,
        )
        return maps + ops.reshape(ops.cast(offset, maps.dtype), (1, 1, 1, -1))

    convolution.call = call
    norm.call = lambda maps, training=None, mask=None: maps


def _one_pass(optimizer: keras.optimizers.Optimizer) -> None:
    """TensorFlow's kernel for Keras's formula, where there is one."""
    import tensorflow as tf

    kind = type(optimizer)
    if kind in (keras.optimizers.Adam, keras.optimizers.AdamW) and not optimizer.amsgrad:

        def step(gradient, variable, rate):
            at = optimizer._get_variable_index(variable)
            dtype = variable.dtype
            steps = tf.cast(optimizer.iterations + 1, dtype)
            tf.raw_ops.ResourceApplyAdam(
                var=_handle(variable),
                m=_handle(optimizer._momentums[at]),
                v=_handle(optimizer._velocities[at]),
                beta1_power=tf.pow(tf.cast(optimizer.beta_1, dtype), steps),
                beta2_power=tf.pow(tf.cast(optimizer.beta_2, dtype), steps),
                lr=tf.cast(rate, variable.dtype),
                beta1=optimizer.beta_1,
                beta2=optimizer.beta_2,
                epsilon=optimizer.epsilon,
                grad=tf.cast(gradient, variable.dtype),
            )

    elif kind is keras.optimizers.SGD and optimizer.momentum:

        def step(gradient, variable, rate):
            tf.raw_ops.ResourceApplyKerasMomentum(
                var=_handle(variable),
                accum=_handle(optimizer.momentums[optimizer._get_variable_index(variable)]),
                lr=tf.cast(rate, variable.dtype),
                grad=tf.cast(gradient, variable.dtype),
                momentum=optimizer.momentum,
                use_nesterov=optimizer.nesterov,
            )

    else:
        return
    optimizer.update_step = step


def _handle(variable):
    """Of a Keras variable, or of one device's part of it."""
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle
