"""One training on several devices of a machine, or on several machines.

Nothing here moves a gradient: over the devices of one machine (`RunConfig.devices`) TensorFlow's
`MirroredStrategy` does, or Keras's own distribution on JAX; over processes (`join`) the latter. A
process reads its own share of the shards (`RunConfig.readers`), and the first one alone writes
files.
"""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import keras

_joined = {"process": 0, "processes": 1}


class DistributionError(ValueError):
    """Devices or processes that are not there, or settings that do not go with them."""


def join(coordinator: str, processes: int, process: int) -> None:
    """Make this process one of several that train one network; the first call of a program.

    Args:
        coordinator: address and port of the first process, `10.0.0.1:8476`, which all can reach;
            "auto" on a TPU VM, which knows the others.
        processes: how many there are.
        process: the number of this one, from 0.

    Raises:
        DistributionError: another backend than JAX, or numbers that make no sense.
    """
    if keras.config.backend() != "jax":
        raise DistributionError(
            f"several processes need KERAS_BACKEND=jax, this is {keras.config.backend()}: "
            "TensorFlow's own way does not work with Keras 3 (keras issue 20585)"
        )
    import jax

    if coordinator == "auto":
        jax.distributed.initialize()
        processes, process = jax.process_count(), jax.process_index()
    else:
        if not 0 <= process < processes:
            raise DistributionError(f"process={process}: must be from 0 to {processes - 1}")
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        # Keras's own `initialize` wants every address; JAX asks the first one
        jax.distributed.initialize(coordinator, processes, process)
    _joined.update(process=process, processes=processes)


def process() -> int:
    """The number of this process, from 0."""
    return _joined["process"]


def processes() -> int:
    """How many processes train together."""
    return _joined["processes"]


def first() -> bool:
    """Whether this process writes the files."""
    return process() == 0


def spreads(devices: int) -> bool:
    """Whether a training runs on more than one device."""
    return devices > 1 or processes() > 1


def parts(devices: int) -> int:
    """How many devices a batch is shared by: it must be a multiple of that."""
    if processes() == 1:
        return devices
    return len(keras.distribution.list_devices())


def check(settings) -> None:
    """Refuse settings that cannot be trained as they say here.

    Raises:
        DistributionError: what does not fit, and what would.
    """
    if processes() > 1 and settings.precision == "auto":
        raise DistributionError("several processes need one precision: give --precision")
    if settings.readers % processes():
        raise DistributionError(
            f"readers={settings.readers}: must be a multiple of the {processes()} processes"
        )
    if settings.devices > 1 and processes() > 1:
        raise DistributionError("devices>1 is for one process: several use all theirs anyway")
    if settings.batch_size % parts(settings.devices):
        raise DistributionError(
            f"batch_size={settings.batch_size}: must be a multiple of the "
            f"{parts(settings.devices)} devices"
        )
    if settings.devices > 1 and len(_devices()) < settings.devices:
        raise DistributionError(
            f"devices={settings.devices}: this machine has {len(_devices())} "
            f"({', '.join(_devices())})"
        )


@contextlib.contextmanager
def over(devices: int) -> Iterator[None]:
    """Networks that are built in this block are trained on several devices, or processes."""
    jax = keras.config.backend() == "jax"
    if processes() > 1 or (devices > 1 and jax):
        some = _devices()[:devices] if processes() == 1 else None
        layout = keras.distribution.DataParallel(devices=some, auto_shard_dataset=False)
        keras.distribution.set_distribution(layout)
        try:
            yield
        finally:
            keras.distribution.set_distribution(None)
    elif devices > 1:
        import tensorflow as tf

        with tf.distribute.MirroredStrategy(_devices()[:devices]).scope():
            yield
    else:
        yield


def wait_for(path: Path) -> None:
    """Wait until the first process has written a file; JAX ends this one if that one dies."""
    while not path.is_file():
        time.sleep(0.2)


def agree(number: int, what: str) -> None:
    """Stop where the processes do not see the same.

    Raises:
        DistributionError: another one has another number.
    """
    if processes() == 1:
        return
    from jax.experimental import multihost_utils

    try:
        multihost_utils.assert_equal(number, what)
    except AssertionError:
        raise DistributionError(
            f"the processes do not agree on {what} (here {number}): --out must be a folder that "
            "all of them see, as the first one writes it"
        ) from None


def _devices() -> list[str]:
    """The devices of this machine that can share a batch."""
    if keras.config.backend() == "jax":
        return keras.distribution.list_devices()
    import tensorflow as tf

    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return [device.name for device in found]
