"""From the index to batches: decoded once, kept as uint8, streamed to whichever backend trains.

float32 pixels of the nine-class set at 180×180 take 0.9 GB, uint8 a quarter of that; converting a
batch costs a millisecond. TensorFlow is fed through tf.data, another backend through Keras's own
`PyDataset`, and needs no TensorFlow.
"""

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import psutil
from tqdm import tqdm

from skincnn import atomic, config, data, distribute, feed, hair, images

MEMORY_SHARE = 0.4  # of what is free now; beyond that, decoded pixels go to disk


def decode(
    index: pd.DataFrame,
    image_size: int,
    cache: str = "auto",
    progress: bool = True,
    hair_removal: bool = False,
) -> np.ndarray:
    """Decode every row once, so that nothing can fail in the middle of an epoch.

    Args:
        index: rows to read, in this order.
        image_size: pixels a side.
        cache: `memory`, `disk` (a file under `outputs/local/cache`, reused by the next run), or
            `auto`: memory where it fits.
        progress: show a progress bar.
        hair_removal: paint over dark hairs (`hair.remove`).

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
        _decode_into(pixels, index, hair_removal, progress)
        return pixels
    return _on_disk(index, shape, hair_removal, progress)


def _on_disk(index: pd.DataFrame, shape: tuple, hair_removal: bool, progress: bool) -> np.ndarray:
    kind = f"{images.DECODER}.{images.READER}"
    kind += f" without hair {hair.VERSION}" if hair_removal else ""
    content = "\n".join([kind, *index["sha256"]])
    key = hashlib.sha256(content.encode()).hexdigest()[:16]
    path = config.local_dir() / "cache" / f"pixels_{key}_{shape[1]}.npy"
    if not path.is_file():
        with atomic.writing(path) as temporary:
            pixels = np.lib.format.open_memmap(temporary, "w+", np.uint8, shape)
            if hasattr(os, "posix_fallocate"):  # on a full disk a map would end the process
                with temporary.open("r+b") as file:
                    os.posix_fallocate(file.fileno(), 0, temporary.stat().st_size)
            _decode_into(pixels, index, hair_removal, progress)
            pixels.flush()
    return np.load(path, mmap_mode="r")


def _decode_into(
    pixels: np.ndarray, index: pd.DataFrame, hair_removal: bool, progress: bool
) -> None:
    def one(i: int, path: Path, sha256: str) -> None:
        try:
            small = images.read(images.listed(path, sha256), pixels.shape[1])
            pixels[i] = hair.remove(small) if hair_removal else small
        except images.ImageProblem as problem:
            raise images.ImageProblem(f"{path}: {problem}") from problem

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = pool.map(one, range(len(index)), data.paths(index), index["sha256"])
        for _ in tqdm(jobs, "decoding", len(index), disable=not progress):
            pass


def source(
    rows: pd.DataFrame,
    numbers: np.ndarray,
    settings: config.RunConfig,
    shuffle: bool = True,
    people: np.ndarray | None = None,
    progress: bool = True,
):
    """What a network is shown of some rows: a `feed.Feed` of decoded photographs, or, of a set in
    shards, `stream.Records`, which decode what an epoch asks for.

    Args:
        rows: of an index, with its `attrs`.
        numbers: labels, as both take them.
        settings: of the run.
        shuffle: False shows every row once, unmixed and unweighted.
        people: float32 (N, `person.WIDTH`), a second input; None for none.
        progress: show a progress bar.
    """
    if "shard" in rows:
        from skincnn import stream  # TensorFlow, which another backend can do without

        share = distribute.process(), distribute.processes()
        parts = distribute.parts(settings.devices)
        return stream.Records(rows, numbers, settings, shuffle, people, share, parts)
    if settings.readers > 1 or distribute.processes() > 1:
        raise ValueError(
            "several readers or processes need a set in shards: skincnn tfrecords --from SET"
        )
    pixels = decode(
        rows, settings.image_size, progress=progress, hair_removal=settings.hair_removal
    )
    return feed.Feed(pixels, numbers, settings, shuffle, people)


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
):
    """A dataset over decoded pixels.

    The order of an epoch is drawn from (seed, epoch) alone, so a resumed run sees the photographs
    in the order an uninterrupted one does.

    Args:
        pixels: uint8 (N, H, W, 3), in memory or mapped.
        numbers: int32 (N,), class numbers, or float32 (N, classes), shares of them.
        batch_size: photographs a batch; the last one may be smaller.
        shuffle: a new order every epoch, over the whole set.
        seed: of the order.
        epoch: tells the number of the epoch that begins; None counts the passes from 0.

    Returns:
        As `stream`, of (float32 (B, H, W, 3) in 0…255, labels of a batch).
    """
    settings = config.RunConfig(batch_size=batch_size, seed=seed)
    return stream(feed.Feed(pixels, numbers, settings, shuffle=shuffle), epoch)


def stream(source, epoch: Callable[[], int] | None = None):
    """What a feed shows, for the backend that trains.

    Args:
        source: a `feed.Feed` or `stream.Records`.
        epoch: tells the number of the epoch that begins; None counts the passes from 0.

    Returns:
        Under TensorFlow a `tf.data.Dataset`, else a `keras.utils.PyDataset`, of batches with pixels
        in 0…255.
    """
    passes = iter(range(2**31))
    number = epoch or (lambda: next(passes))
    if not isinstance(source, feed.Feed):
        return source.dataset(number)
    if keras.config.backend() != "tensorflow":
        return _Batches(source, number)
    import tensorflow as tf

    signature = tf.nest.map_structure(
        lambda array: tf.TensorSpec((None, *array.shape[1:]), array.dtype), source.sample
    )
    dataset = tf.data.Dataset.from_generator(
        lambda: source.epoch(number()), output_signature=signature
    )
    return (
        dataset.apply(tf.data.experimental.assert_cardinality(len(source)))
        .map(lambda x, *rest: (tf.nest.map_structure(lambda a: tf.cast(a, tf.float32), x), *rest))
        .prefetch(2)  # enough to hide the gather; AUTOTUNE would hoard float batches
    )


class _Batches(keras.utils.PyDataset):
    """A feed in the order Keras asks for it: from the first batch of an epoch to the last."""

    def __init__(self, source: feed.Feed, number: Callable[[], int]):
        super().__init__()
        self.source, self.number = source, number

    def __len__(self):
        return len(self.source)

    def __getitem__(self, at):
        if at == 0:
            self.pass_ = self.source.epoch(self.number())
        x, *rest = next(self.pass_)
        return (keras.tree.map_structure(lambda a: a.astype(np.float32), x), *rest)


def make_dataset(
    index: pd.DataFrame,
    classes: list[str] | None = None,
    image_size: int = 180,
    batch_size: int = 32,
    shuffle: bool = False,
    seed: int = 0,
    cache: str = "auto",
    progress: bool = True,
):
    """Read the usable rows of an index as a dataset: `decode`, then `batches`.

    Args:
        index: from `data.load`; rows set aside are left out.
        classes: names in the order of their numbers; None takes those of the index.

    Returns:
        As `stream`, of (float32 (B, image_size, image_size, 3) in 0…255, int32 (B,)).

    Example:
        >>> dataset = pipeline.make_dataset(splits.training(index), image_size=96, shuffle=True)
    """
    rows = data.usable(index)
    pixels = decode(rows, image_size, cache, progress)
    numbers = labels(rows, classes or data.classes(index))
    return batches(pixels, numbers, batch_size, shuffle, seed)
