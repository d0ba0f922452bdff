"""From the index to batches: decoded once, kept as uint8, shuffled by seed and epoch (TensorFlow).

float32 pixels of the nine-class set at 180×180 take 0.9 GB, uint8 a quarter of that; converting a
batch costs a millisecond.
"""

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import tensorflow as tf
from tqdm import tqdm

from skincnn import config, data, images

MEMORY_SHARE = 0.4  # of what is free now; beyond that, decoded pixels go to disk


def decode(
    index: pd.DataFrame, image_size: int, cache: str = "auto", progress: bool = True
) -> np.ndarray:
    """Decode every row once, so that nothing can fail in the middle of an epoch.

    Args:
        index: rows to read, in this order.
        image_size: pixels a side.
        cache: `memory`, `disk` (a file under `outputs/local/cache`, reused by the next run), or
            `auto`: memory where it fits.
        progress: show a progress bar.

    Returns:
        uint8 (N, image_size, image_size, 3); a read-only memory map for `disk`.

    Raises:
        images.ImageProblem: a file cannot be used any more; the message names it.
        ValueError: no rows, or an unknown `cache`.
    """
    if cache not in ("auto", "memory", "disk"):
        raise ValueError(f"cache={cache!r}: choose one of auto, memory, disk")
    if not len(index):
        raise ValueError("No photographs to decode: the index has no rows")
    shape = (len(index), image_size, image_size, 3)
    fits = int(np.prod(shape)) < MEMORY_SHARE * psutil.virtual_memory().available
    if cache == "memory" or (cache == "auto" and fits):
        pixels = np.empty(shape, np.uint8)
        _decode_into(pixels, index, image_size, progress)
        return pixels
    return _on_disk(index, image_size, shape, progress)


def _on_disk(index: pd.DataFrame, image_size: int, shape: tuple, progress: bool) -> np.ndarray:
    content = "\n".join([str(images.DECODER), *index["sha256"]])
    key = hashlib.sha256(content.encode()).hexdigest()[:16]
    path = config.local_dir() / "cache" / f"pixels_{key}_{image_size}.npy"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.stem}.{os.getpid()}.tmp")
        try:
            pixels = np.lib.format.open_memmap(temporary, "w+", np.uint8, shape)
            _decode_into(pixels, index, image_size, progress)
            pixels.flush()
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    return np.load(path, mmap_mode="r")


def _decode_into(pixels: np.ndarray, index: pd.DataFrame, image_size: int, progress: bool) -> None:
    def one(i: int, path: Path) -> None:
        try:
            pixels[i] = images.resize(images.decode(path), image_size)
        except images.ImageProblem as problem:
            raise images.ImageProblem(f"{path}: {problem}") from problem

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = pool.map(one, range(len(index)), data.paths(index))
        for _ in tqdm(jobs, "decoding", len(index), disable=not progress):
            pass


def labels(index: pd.DataFrame, classes: list[str]) -> np.ndarray:
    """Class numbers, int32 (N,).

    Raises:
        ValueError: a label that is not among the classes.
    """
    numbers = pd.Index(classes).get_indexer(index["label"]).astype(np.int32)
    if (numbers < 0).any():
        unknown = index["label"][numbers < 0].iloc[0]
        raise ValueError(f"label {unknown!r} is none of the classes: {', '.join(classes)}")
    return numbers


def batches(
    pixels: np.ndarray,
    numbers: np.ndarray,
    batch_size: int = 32,
    shuffle: bool = False,
    seed: int = 0,
    epoch: Callable[[], int] | None = None,
) -> tf.data.Dataset:
    """A dataset over decoded pixels.

    The order of an epoch is drawn from (seed, epoch) alone, so a resumed run sees the photographs
    in the order an uninterrupted one does.

    Args:
        pixels: uint8 (N, H, W, 3), in memory or mapped.
        numbers: int32 (N,), class numbers.
        batch_size: photographs a batch; the last one may be smaller.
        shuffle: a new order every epoch, over the whole set.
        seed: of the order.
        epoch: tells the number of the epoch that begins; None counts the passes from 0.

    Returns:
        `tf.data.Dataset` of (float32 (B, H, W, 3) in 0…255, int32 (B,)).
    """
    passes = iter(range(2**31))

    def one_pass():
        order = np.arange(len(numbers))
        number = next(passes) if epoch is None else epoch()
        if shuffle:
            np.random.default_rng([seed, number]).shuffle(order)
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            yield pixels[rows], numbers[rows]

    signature = (
        tf.TensorSpec((None, *pixels.shape[1:]), tf.uint8),
        tf.TensorSpec((None,), tf.int32),
    )
    dataset = tf.data.Dataset.from_generator(one_pass, output_signature=signature)
    steps = -(-len(numbers) // batch_size)
    return (
        dataset.apply(tf.data.experimental.assert_cardinality(steps))
        .map(lambda x, y: (tf.cast(x, tf.float32), y))
        .prefetch(2)  # enough to hide the gather; AUTOTUNE would hoard float batches
    )


def make_dataset(
    index: pd.DataFrame,
    classes: list[str] | None = None,
    image_size: int = 180,
    batch_size: int = 32,
    shuffle: bool = False,
    seed: int = 0,
    cache: str = "auto",
    progress: bool = True,
) -> tf.data.Dataset:
    """Read the usable rows of an index as a dataset: `decode`, then `batches`.

    Args:
        index: from `data.load`; rows set aside are left out.
        classes: names in the order of their numbers; None takes those of the index.

    Returns:
        `tf.data.Dataset` of (float32 (B, image_size, image_size, 3) in 0…255, int32 (B,)).

    Example:
        >>> dataset = pipeline.make_dataset(splits.training(index), image_size=96, shuffle=True)
    """
    rows = data.usable(index)
    pixels = decode(rows, image_size, cache, progress)
    numbers = labels(rows, classes or data.classes(index))
    return batches(pixels, numbers, batch_size, shuffle, seed)
