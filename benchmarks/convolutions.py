"""How far a training step is from what the processor can do, and where its time goes.

    python benchmarks/convolutions.py [--rounds 5] [--network baseline --network MobileNetV2]

The yardstick is a large matrix product on all cores, in float32 and in bfloat16. In the same
rounds, in turn: each convolution of the baseline, forward and both gradients; whole training steps
of each network, batch 32, from random weights, once with Keras's own step and once with
`fused.fuse`, as `train` has it. A backbone's BatchNormalization is held, as in fine-tuning.
Operations are counted from the layers' shapes, a multiplication and an addition as two, three times
the forward ones for a step. The best of the rounds is each one's figure; ratios are of pairs.

Last a profile of fused steps by kind of operation. Operations run beside one another, so that
shares are of their sum and not of the clock; "waiting for input" is the time a step waits for its
batch. A bias and an activation after a convolution are one operation with it, and count there.
"""

import argparse
import collections
import re
import statistics
import tempfile
import time
from pathlib import Path

# isort: off
import skincnn  # noqa: F401 - first: it says how TensorFlow computes, which that reads when loaded
import keras
import numpy as np
import tensorflow as tf

# isort: on
from rows import row

from skincnn import backbones, fused, models, optimizers, pipeline, presets

SIDE, BATCH, STEPS = 3072, 32, 4
NETWORKS = {"baseline": 180, "MobileNetV2": 128}  # and the pixels a side they are trained at
PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
BASELINE = ((180, 3, 32), (90, 32, 64), (45, 64, 128), (22, 128, 256))  # size, channels, filters
# The first that is found in an operation's name tells its kind.
KINDS = {
    "depthwise convolution": r"[Dd]epthwise\w*:|DepthwiseConv|:_FusedDepthwise",
    "convolution": r"Conv2D|/convolution",
    "BatchNormalization": r"batchnorm",
    "optimizer": r"/(adam|sgd)\w*/",
    "waiting for input": r"IteratorGetNext",
    "loss and metrics": r"loss|Softmax|ArgMax|/Equal",
    "pooling": r"Pool|/features\w*/",
    "dense": r"MatMul",
    "activation": r"Relu",
    "precision casts": r":Cast$",
    "padding": r":(Pad|Slice)\w*$",
}
OPERATION = re.compile(r"/[^:]*:\w+$|^IteratorGetNext")


def product(dtype: str):
    """A large matrix product, and its operations."""
    a = tf.cast(tf.random.normal((SIDE, SIDE)), dtype)
    multiply = tf.function(lambda: tf.reduce_sum(a @ a))
    return multiply, 2 * SIDE**3


def convolution(size: int, before: int, filters: int, dtype: str):
    """One of the baseline, forward and both gradients (of the first, the kernel's alone)."""
    x = tf.cast(tf.random.normal((BATCH, size, size, before)), dtype)
    kernel = tf.cast(tf.random.normal((3, 3, before, filters)), dtype)
    above = tf.cast(tf.random.normal((BATCH, size, size, filters)), dtype)
    wanted = [kernel] if before == 3 else [kernel, x]

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            tape.watch(wanted)
            maps = tf.nn.conv2d(x, kernel, 1, "SAME")
        return maps, tape.gradient(maps, wanted, above)

    return step, (1 + len(wanted)) * 2 * BATCH * size**2 * 9 * before * filters


def network(name: str, dtype: str, quick: bool) -> keras.Model:
    settings = presets.get("baseline" if name == "baseline" else "transfer", model=name)
    model = models.build(name, 9, NETWORKS[name], dtype=PRECISIONS[dtype])
    backbones.hold(model)
    optimizers.compile_model(model, settings)
    return fused.fuse(model) if quick else model


def operations(model: keras.Model, size: int) -> int:
    """Of a training step: what its convolutions and dense layers multiply and add.

    A backbone takes any size, so its layers are asked for theirs by one call at this one.
    """
    total, watched = 0, []
    for layer in backbones.flat(model):
        if hasattr(layer, "kernel"):
            watched.append((layer, layer.call))
    for layer, call in watched:

        def counting(x, layer=layer, call=call, **options):
            nonlocal total
            maps = call(x, **options)
            total += int(np.prod(layer.kernel.shape)) * int(np.prod(maps.shape[1:-1], initial=1))
            return maps

        layer.call = counting
    model(np.zeros((1, size, size, 3), np.float32))
    for layer, call in watched:
        layer.call = call
    return 3 * 2 * BATCH * total


def timed(work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def profile(model: keras.Model, size: int) -> dict[str, float]:
    """Milliseconds of a step by kind of operation, fed by the package's own pipeline."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    images = BATCH * STEPS
    pixels = np.random.default_rng(0).integers(0, 256, (images, size, size, 3), np.uint8)
    fed = pipeline.batches(pixels, np.arange(images, dtype=np.int32) % 9, BATCH)
    model.fit(fed, verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        model.fit(fed, verbose=0)
        tf.profiler.experimental.stop()
        [file] = Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(file.read_bytes())
    spent = collections.Counter()
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                name = plane.event_metadata[event.metadata_id].name
                if OPERATION.search(name):
                    spent[_kind(name)] += event.duration_ps / 1e9 / STEPS
    return dict(spent.most_common())


def _kind(name: str) -> str:
    return next((kind for kind, found in KINDS.items() if re.search(found, name)), "other")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--network", action="append", choices=NETWORKS)
    asked = parser.parse_args()
    names = asked.network or list(NETWORKS)

    works, counts = {}, {}
    for dtype in PRECISIONS:
        works["product", dtype], counts["product", dtype] = product(dtype)
        if "baseline" in names:
            for size, before, filters in (
                (180, 3, 32),
                (90, 32, 64),
                (45, 64, 128),
                (22, 128, 256),
            ):
                key = f"convolution {before}→{filters} at {size}×{size}", dtype
                works[key], counts[key] = convolution(size, before, filters, dtype)
    fused_ones = {}
    for name in names:
        size = NETWORKS[name]
        x = np.random.default_rng(0).integers(0, 256, (BATCH, size, size, 3)).astype(np.float32)
        y = np.arange(BATCH) % 9
        for dtype in PRECISIONS:
            for quick in (False, True):
                model = network(name, dtype, quick)
                key = f"{name}, a step{'' if quick else ' of Keras'}", dtype
                works[key] = lambda m=model, x=x, y=y: m.train_on_batch(x, y)
                counts[key] = operations(model, size)
                if quick:
                    fused_ones[name, dtype] = model

    seconds = collections.defaultdict(list)
    for number in range(1 + asked.rounds):
        for key, work in works.items():
            spent = timed(work)
            if number:  # the first one traces
                seconds[key].append(spent)

    print(f"{'':38}{'':10}  GFLOP/s  of the product")
    for key in works:
        speed = counts[key] / min(seconds[key]) / 1e9
        peak = counts["product", key[1]] / min(seconds["product", key[1]]) / 1e9
        print(f"{key[0]:38}{key[1]:10}{speed:9.0f}  {speed / peak:10.0%}")
    _rows(names, seconds, counts)
    for (name, dtype), model in fused_ones.items():
        spent = profile(model, NETWORKS[name])
        print(f"\n{name}, {dtype}, a step by kind of operation")
        for kind, milliseconds in spent.items():
            print(f"{kind:24}{milliseconds:9.1f} ms {milliseconds / sum(spent.values()):8.1%}")


def _rows(names: list[str], seconds: dict, counts: dict) -> None:
    """Of each network in its faster precision: the share of the peak, and what fusing brings."""
    for name in names:
        step = f"{name}, a step"
        dtype = min(PRECISIONS, key=lambda d: min(seconds[step, d]))
        own, peak = seconds[step, dtype], seconds["product", dtype]
        speeds = [
            statistics.median(counts[key] / s / 1e9 for s in some)
            for key, some in (((step, dtype), own), (("product", dtype), peak))
        ]
        shares = [
            counts[step, dtype] / a / (counts["product", dtype] / b)
            for a, b in zip(own, peak, strict=True)
        ]
        row(
            f"{step}, {dtype}",
            f"{speeds[0]:.0f} GFLOP/s",
            f"{speeds[1]:.0f} GFLOP/s: a large matrix product",
            shares,
        )
        plain = seconds[f"{step} of Keras", dtype]
        rates = [f"{BATCH / statistics.median(some):.0f} images/s" for some in (own, plain)]
        ratios = [b / a for a, b in zip(own, plain, strict=True)]
        row(f"{name}, a training step, {dtype}", rates[0], f"{rates[1]}: Keras's own step", ratios)


if __name__ == "__main__":
    main()
