"""Which precision is faster for a network on this machine: a few timed steps, not a rule."""

import gc
import time
from collections.abc import Callable

import keras
import numpy as np

# A precision's speed is judged on this many training steps, of a batch small enough not to be what
# the run's memory peaks at.
WARM_STEPS, TIMED_STEPS, TIMED_BATCH = 2, 10, 8
CLEAR = 3  # a difference that no other work on the machine makes in one step of each


def choose(
    compiled: Callable[[str], keras.Model],
    source,
    show: bool = True,
) -> str:
    """The faster of float32 and mixed_bfloat16, float32 where little is gained.

    bfloat16 nearly doubles the speed of plain convolutions on CPUs that have it and halves that of
    depthwise ones, so no rule serves every network.

    Args:
        compiled: from a precision to the compiled network.
        source: `pipeline.source` of what trains, to take a batch from.
        show: print what was found.
    """
    at, pixels, people = next(iter(source.in_order(np.arange(len(source.labels))[:TIMED_BATCH])))
    x, y = pixels.astype("float32"), source.labels[at]
    x = x if people is None else [x, people]
    networks = {precision: compiled(precision) for precision in ("float32", "mixed_bfloat16")}
    times = {precision: [] for precision in networks}
    # In turn, and the fastest step of each: on a busy machine everything else measures the others.
    for step in range(WARM_STEPS + TIMED_STEPS):
        for precision, model in networks.items():
            began = time.perf_counter()
            model.train_on_batch(x, y)
            if step >= WARM_STEPS:
                times[precision].append(time.perf_counter() - began)
        seconds = {precision: min(steps, default=1) for precision, steps in times.items()}
        # A CPU without bfloat16 takes ten times as long: no need to see it ten times.
        if max(seconds.values()) > CLEAR * min(seconds.values()):
            break
    del networks, model
    gc.collect()  # Keras models are cycles: their weights would stay until the next collection
    # float32 unless there is something to gain: it is the one that repeats elsewhere
    fast = seconds["mixed_bfloat16"] < 0.95 * seconds["float32"]
    chosen = "mixed_bfloat16" if fast else "float32"
    if show:
        rates = ", ".join(f"{p} {len(y) / s:.0f} images/s" for p, s in seconds.items())
        print(f"Precision: {chosen} ({rates})")
    return chosen
