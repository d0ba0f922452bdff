"""Photographs in TFRecord shards as a stream of batches.

An epoch reads the shards in a new order, and decodes what its fold asks for. Memory does not grow
with the set.
"""

import os
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import tensorflow as tf

from skincnn import config, feed, hair, images

SHUFFLED = 64 * 2**20  # bytes of photographs, as they are stored, that wait to be drawn
RARE = 256 * 2**20  # bytes of a class's photographs that may stay in memory, as they are stored
CYCLE = 8  # shards read in turn


class Records:
    """What a network is shown of records, as `feed.Feed` shows decoded photographs.

    All that is random in an epoch is drawn from (seed, epoch). Shards are read in a new order,
    several in turn, and records wait in a buffer of `SHUFFLED` bytes to be drawn.

    Args:
        rows: of the index, with its `attrs`.
        labels: int32 (N,) class numbers, or float32 (N, classes) shares of them; without them, [],
            `in_order` works alone.
        settings: of the run.
        shuffle: False shows every record once, in the order of `rows` by shard and place, unmixed
            and unweighted.
        people: float32 (N, `person.WIDTH`), a second input; None for none.
        share: the number of this process, and how many there are: which part of every batch it
            makes. With `readers` a batch comes from that many streams, each of shards of its own,
            and a process reads those of its streams alone; batches are all of one size then.
        parts: devices that share a batch, whose size is a multiple of it.

    Raises:
        ValueError: fewer shards than readers, or, with balanced sampling, one without a class.
    """

    def __init__(
        self,
        rows: pd.DataFrame,
        labels: np.ndarray,
        settings: config.RunConfig,
        shuffle: bool = True,
        people: np.ndarray | None = None,
        share: tuple[int, int] = (0, 1),
        parts: int = 1,
    ):
        self.settings, self.shuffle, self.labels, self.people = settings, shuffle, labels, people
        self.mixes = shuffle and bool(settings.mixup or settings.cutmix)
        self.weights, self.chances = feed.weighed(labels, settings) if shuffle else (None, None)
        self.bytes = rows["bytes"].to_numpy()
        used = sorted(set(rows["shard"]))
        self.paths = [rows.attrs["shards"][number] for number in used]
        lengths = np.array([rows.attrs["records"][number] for number in used])
        self._starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        at = rows["shard"].map(dict(zip(used, self._starts, strict=True))) + rows["record"]
        self._row = np.full(lengths.sum(), -1, np.int32)  # of each record, or -1
        self._row[at] = np.arange(len(rows))
        self._shard_of, self._rare = (
            rows["shard"].map({s: i for i, s in enumerate(used)}).to_numpy(),
            {},
        )
        size = settings.image_size
        self._direct = (rows["direct"] == size).to_numpy() & (not settings.hair_removal)
        self.share, readers = share, settings.readers
        # an empty part of a batch would stop a device
        self._shown = len(rows) // parts * parts
        self._size = settings.batch_size  # of a batch, all processes' parts together
        if readers > 1 and shuffle:
            self._check_readers(rows)
        if readers > 1 and not shuffle:
            # as many batches as it takes, a little smaller each, so that hardly a row is left out
            unit = np.lcm(readers, parts)
            batches = -(-len(rows) // self._size)
            self._size = int(len(rows) // batches // unit * unit) if batches else 0
            if not self._size and len(rows):
                raise ValueError(f"{len(rows)} photographs are too few for {unit} parts of a batch")

    def _check_readers(self, rows: pd.DataFrame) -> None:
        readers, shards_ = self.settings.readers, rows["shard"]
        if readers > len(self.paths):
            raise ValueError(f"readers={readers}: there are {len(self.paths)} shards to train from")
        if self.chances is not None:
            classes = rows["label"].groupby(shards_).nunique()
            if (classes < rows["label"].nunique()).any():
                path = rows.attrs["shards"][classes.idxmin()]
                raise ValueError(
                    f"{path} lacks a class: readers and balanced sampling go together where every "
                    "shard has all of them, as `skincnn tfrecords` writes them"
                )

    def __len__(self) -> int:
        """Batches an epoch; with several readers whole ones alone."""
        if self.settings.readers > 1:
            return max(1, len(self.labels) // self._size)
        return -(-self._shown // self._size)

    def dataset(self, epoch: Callable[[], int]) -> tf.data.Dataset:
        """Batches of an epoch, whose number is asked for when it begins: (pixels, labels) or, with
        class weights, (pixels, labels, weights); pixels float32 (B, S, S, 3) in 0…255, or, with
        people, a pair of them and float32 (B, `person.WIDTH`)."""
        number = tf.data.Dataset.from_generator(
            lambda: [epoch()], output_signature=tf.TensorSpec((), tf.int64)
        )
        return number.flat_map(self._epoch).apply(
            tf.data.experimental.assert_cardinality(len(self))
        )

    def in_order(self, only: np.ndarray | None = None) -> Iterator[tuple]:
        """Every record once, or those of some rows: rows int (B,), pixels uint8 (B, S, S, 3),
        people or None."""
        raw = self._read(tf.range(len(self.paths)), None)
        if only is not None:
            wanted = tf.constant(np.isin(np.arange(len(self.bytes)), only))
            raw = raw.filter(lambda at, _: wanted[at]).take(len(only))
        shown = self._decoded(raw).batch(self.settings.batch_size).prefetch(1)
        for at, pixels in shown.as_numpy_iterator():
            yield at, pixels, None if self.people is None else self.people[at]

    def _read(self, order: tf.Tensor, seed: tf.Tensor | None) -> tf.data.Dataset:
        """(row, record) of the records that are asked for, shards in an order."""
        paths, starts = tf.constant(self.paths), tf.constant(self._starts, tf.int64)
        rows = tf.constant(self._row)

        def one(number):
            some = tf.data.TFRecordDataset(paths[number], buffer_size=2**20).enumerate(
                starts[number]
            )
            return some.map(lambda at, raw: (rows[at], raw)).filter(lambda at, _: at >= 0)

        numbers = tf.data.Dataset.from_tensor_slices(order)
        if seed is None:
            return numbers.flat_map(one)
        cycle = min(CYCLE, len(self.paths))
        mean = max(1.0, float(self.bytes.mean()))
        waiting = int(np.clip(SHUFFLED / mean, 1, len(self.bytes)))
        some = numbers.interleave(
            one, cycle, block_length=4, num_parallel_calls=cycle, deterministic=True
        )
        return some.shuffle(waiting, seed=seed)

    def _epoch(self, number: tf.Tensor) -> tf.data.Dataset:
        settings, (process, processes) = self.settings, self.share
        readers, part = settings.readers, self._size // processes
        everything = tf.range(len(self.paths))
        if not self.shuffle:
            raw = self._read(everything, None)
            if readers > 1:  # this process's part of each batch
                mine = raw.enumerate().take(len(self) * self._size)
                mine = mine.filter(lambda i, _: i % self._size // part == process)
                raw = mine.map(lambda _, record: record)
            return self._batches(raw.take(self._shown), part, number, 0).prefetch(2)
        seeds = tf.stack([tf.constant(settings.seed, tf.int64), number])
        order = tf.random.experimental.stateless_shuffle(everything, seeds)
        seed = number * 1_000_003 + settings.seed
        if readers == 1:
            raw = self._shuffled(order, seed).take(self._shown)
            return self._batches(raw, part, number, 0).prefetch(2)
        mine = range(process * readers // processes, (process + 1) * readers // processes)
        streams = [
            self._batches(
                # shards differ a little in length: a reader whose own are read begins again
                self._shuffled(order[reader::readers], seed + reader * 7919).repeat(),
                self._size // readers,
                number,
                reader,
            )
            for reader in mine
        ]
        together = tf.data.Dataset.zip(tuple(streams)).take(len(self)).map(_joined_batches)
        return together.prefetch(2)

    def _shuffled(self, order: tf.Tensor, seed: tf.Tensor) -> tf.data.Dataset:
        return self._read(order, seed) if self.chances is None else self._drawn(order, seed)

    def _batches(self, raw, size: int, number: tf.Tensor, reader: int) -> tf.data.Dataset:
        batches = self._decoded(raw).batch(size).enumerate()
        return batches.map(lambda turn, shown: self._batch(turn, number, reader, *shown))

    def _drawn(self, order: tf.Tensor, seed: tf.Tensor) -> tf.data.Dataset:
        """As many records as an epoch has, every class as often, a stream each."""
        numbers = self.labels.argmax(axis=1) if self.labels.ndim == 2 else self.labels
        of_class, streams = tf.constant(numbers, tf.int32), []
        present = np.unique(numbers)
        for label in present:
            size = self.bytes[numbers == label]
            if size.sum() < RARE:  # or all shards would be read for every few of them
                own = self._kept(int(label), numbers == label, order).shuffle(len(size), seed=seed)
            else:
                own = self._read(order, None).filter(lambda at, _, c=label: of_class[at] == c)
                own = own.shuffle(int(np.clip(SHUFFLED / size.mean(), 1, len(size))), seed=seed)
            streams.append(own.repeat())
        shares = [1 / len(present)] * len(present)
        drawn = tf.data.Dataset.sample_from_datasets(streams, shares, seed=seed)
        return drawn.take(len(numbers))

    def _kept(self, label: int, chosen: np.ndarray, order: tf.Tensor) -> tf.data.Dataset:
        """A rare class's records in some shards: read once, and kept as they are stored."""

        def records(some):
            if label not in self._rare:
                wanted = tf.constant(chosen)
                raw = self._read(tf.range(len(self.paths)), None).filter(lambda at, _: wanted[at])
                self._rare[label] = list(raw.as_numpy_iterator())
            inside = set(some.tolist())
            return ((at, raw) for at, raw in self._rare[label] if self._shard_of[at] in inside)

        signature = tf.TensorSpec((), tf.int32), tf.TensorSpec((), tf.string)
        return tf.data.Dataset.from_generator(records, output_signature=signature, args=(order,))

    def _decoded(self, raw: tf.data.Dataset) -> tf.data.Dataset:
        """(row, pixels uint8 (S, S, 3)) of (row, record)."""
        size, direct = self.settings.image_size, tf.constant(self._direct)
        wanted = {"image": tf.io.FixedLenFeature([], tf.string)}

        def decode(at, record):
            data_ = tf.io.parse_single_example(record, wanted)["image"]
            # the one decoder everywhere; TensorFlow's own where it gives the same pixels
            pixels = tf.cond(
                direct[at],
                lambda: tf.io.decode_jpeg(data_, channels=3, dct_method="INTEGER_ACCURATE"),
                lambda: tf.numpy_function(self._by_hand, [data_], tf.uint8),
            )
            return at, tf.ensure_shape(pixels, (size, size, 3))

        return raw.map(decode, num_parallel_calls=os.cpu_count(), deterministic=True)

    def _by_hand(self, content: bytes) -> np.ndarray:
        small = images.read(content, self.settings.image_size)
        return hair.remove(small) if self.settings.hair_removal else small

    def _batch(self, turn, number, reader: int, at, pixels) -> tuple:
        x, y = tf.cast(pixels, tf.float32), tf.gather(tf.constant(self.labels), at)
        more = () if self.weights is None else (tf.gather(tf.constant(self.weights), at),)
        if self.mixes:

            def mix(turn, number, x, y, *weights):
                rng = np.random.default_rng([self.settings.seed, int(number), reader, int(turn)])
                weights = weights[0] if weights else None
                return tuple(
                    a for a in feed.mixed(x, y, weights, self.settings, rng) if a is not None
                )

            types = [tf.float32] * (2 + len(more))
            mixed = tf.numpy_function(mix, [turn, number, x, y, *more], types)
            for new, old in zip(mixed, (x, y, *more), strict=True):
                new.set_shape(old.shape)
            x, y, *more = mixed
        if self.people is not None:
            x = (x, tf.gather(tf.constant(self.people), at))
        return (x, y, *more)


def _joined_batches(*several):
    """One batch of several readers' parts, (x, y, …) each."""
    return tf.nest.map_structure(lambda *parts: tf.concat(parts, 0), *several)
