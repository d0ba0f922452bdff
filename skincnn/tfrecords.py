"""Sets in TFRecord shards: the index of one, whatever wrote it, and its photographs as a stream.

The index has a row a record, with two columns more: `shard`, the number of its file in
`attrs["shards"]`, and `record`, its place in there. Photographs stay in the shards: an epoch reads
them in a new order, and decodes what its fold asks for. What grows with a set is the index alone,
about a kilobyte a record.

| field of a record | the index's |
|---|---|
| `image` | the photograph's bytes, in any format that `images` decodes |
| `image_name`, `image_id` | `name`, and `image_id` where it is one of the archive's |
| `label`, or `target` and `benign_malignant` | `label`; "" where unknown |
| `patient_id`, `lesion_id`, `source`, `split`, `group` | the same |
| `age_approx`, `sex`, `anatom_site_general`, `…_challenge` | `age`, `sex`, `site` |

Those of Kaggle's competition and its variants are all understood: a field may be missing, and −1 is
unknown. Their numbers for sites and diagnoses differ from shard to shard, so they say nothing
here: give the set's table (`facts`).
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import tensorflow as tf
from tqdm import tqdm

from skincnn import config, data, feed, hair, images, labelled, labels, person, shards

COLUMNS = [*data.COLUMNS, *person.COLUMNS, "shard", "record"]
SHUFFLED = 64 * 2**20  # bytes of photographs, as they are stored, that wait to be drawn
RARE = 256 * 2**20  # bytes of a class's photographs that may stay in memory, as they are stored
AT_ONCE = 256  # photographs opened at once, by threads
CYCLE = 8  # shards read in turn
_VERSION = 2  # of what is remembered of a shard
_TARGETS = {"0": "benign", "1": "malignant"}
_SEXES = {"0": "female", "1": "male"}  # as the 2020 shards number them
_KEPT = ["record", "name", "image_id", "label", "split", "group", "patient_id", "lesion_id"]
_KEPT += ["source", *person.COLUMNS]
_KEPT += ["width", "height", "sha256", "problem", "plain", "bytes"]


def load(
    pattern: str | Path | Sequence[str | Path],
    facts: Sequence[str | Path] = (),
    skip_damaged: bool = False,
    progress: bool = True,
) -> pd.DataFrame:
    """Build the index of a set in shards: every record read and decoded once, unusable ones named.

    What was found is remembered by path, size and time, so a second call is quick.

    Args:
        pattern: as `shards.find` takes it.
        facts: tables (CSV), in the shards' folder or elsewhere, that say more or better than the
            records, by the photographs' names: patients, lesions, ages, sexes, sites, labels. One
            with the columns `image_name_1` and `image_name_2` lists pairs of the same photograph.
        skip_damaged: go on without the shards that lost records, and name them in
            `attrs["without"]`, instead of raising.
        progress: show a progress bar.

    Returns:
        The index, sorted by `file` (`<shard>/<image_id>`).

    Raises:
        shards.ShardError: a shard lost records; the message has its name and their number.
        data.DataError: no shards, nothing usable in them, or a table that is not of these
            photographs.

    Example:
        >>> index = tfrecords.load("siim2020", ["siim2020/ISIC_2020_Training_GroundTruth_v2.csv"])
    """
    found = shards.find(pattern)
    said = {place: shards.manifest(place) for place in map(shards.folder, found)}
    whole, tables, without = [], [], []
    if not isinstance(pattern, str | Path) or tf.io.gfile.isdir(str(pattern)):
        without = [problem for place in said for problem in shards.unfinished(place)]
    for path in tqdm(found, "reading shards", disable=not progress):
        try:
            tables.append(_shard(path, said[shards.folder(path)]))
            whole.append(path)
        except shards.ShardError as error:
            without.append(str(error))
        if without and not skip_damaged:
            raise shards.ShardError(
                f"{without[0]}. Fetch it again, or go on without it (--skip-damaged)"
            )
    if not whole:
        raise data.DataError(
            f"None of the {len(found)} shards can be used; the first: {without[0]}"
        )
    names = _short(whole)
    for number, (table, name) in enumerate(zip(tables, names, strict=True)):
        table["shard"] = number
        unnamed = "record " + table["record"].astype(str)
        table["file"] = name + "/" + table["name"].where(table["name"] != "", unnamed)
    index = pd.concat(tables, ignore_index=True)
    # one name twice in a shard: a photograph with two labels, or names that say nothing
    twice = index.duplicated("file")
    index.loc[twice, "file"] += " again " + index["record"].astype(str)
    place, pairs = Path(shards.folder(whole[0])), []
    said_in = [Path(path) if Path(path).exists() else place / path for path in facts]
    for path in said_in:
        index, more = _joined(index, path)
        pairs += more
    index["augmented_from"] = ""
    alike = data.groups(index, ("sha256", "image_id"), pairs)
    index["cluster"] = pd.factorize(pd.Series(alike))[0]
    index["group"] = data.groups(index, (*data.GROUPING, "group"))
    square = index["plain"] & (index["width"] == index["height"])
    index["direct"] = np.where(square, index["width"], 0)
    columns = [*COLUMNS, "name", "cluster", "direct", "bytes"]
    index = index[columns].sort_values("file", ignore_index=True)
    folder = shards.folder(whole[0])
    index.attrs = {
        "root": folder,
        "name": folder.rpartition("/")[2],
        "place": str(pattern) if isinstance(pattern, str | Path) else "",
        "ignored": [],
        "shards": whole,
        "records": [len(table) for table in tables],
        "without": without,
        "facts": [
            path.name if path.parent.resolve() == place.resolve() else str(path) for path in said_in
        ],
    }
    if not len(data.usable(index)):
        raise data.DataError(
            f"{folder}: none of the {len(index)} records can be used; the first, "
            f"{index['file'][0]}: {index['problem'][0]}"
        )
    return index


def clean(index: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One row a photograph: without second ones of a cluster, and without those whose labels
    contradict each other or that have none.

    Returns:
        The rows that stay, and one row for each that went: `file`, `reason`.
    """
    rows = data.usable(index)
    names = rows[rows["label"] != ""].groupby("cluster")["label"].nunique()
    count = rows["cluster"].map(names).fillna(0).astype(int)
    # a labelled one stays before one without
    order = rows.assign(blank=rows["label"] == "").sort_values(["blank", "file"]).index
    second = rows.loc[order].duplicated("cluster").reindex(rows.index)
    reasons = np.select(
        [count == 0, count > 1, second],
        ["no label", "labels of the same photograph contradict each other", "same photograph"],
        "",
    )
    gone = pd.DataFrame({"file": rows["file"], "reason": reasons})[reasons != ""]
    return rows[reasons == ""].reset_index(drop=True), gone.reset_index(drop=True)


# --- as a stream ------------------------------------------------------------------------------


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
        small = images.resize(images.decode(content), self.settings.image_size)
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


# --- what a shard holds -----------------------------------------------------------------------


def _shard(path: str, said: dict) -> pd.DataFrame:
    """A row for each of a shard's records; remembered."""
    size, time = shards.stamp(path)
    wanted = shards.promised(path, said)
    key = f"{_VERSION} {images.DECODER} {path} {size} {time} {wanted}"
    name = f"shard_{hashlib.sha256(key.encode()).hexdigest()[:16]}.csv"
    store = config.local_dir() / "cache" / name
    if store.is_file():
        kinds = {"record": int, "width": int, "height": int, "bytes": int, "plain": bool}
        return pd.read_csv(store, keep_default_na=False, dtype={n: str for n in _KEPT} | kinds)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        # a few at a time: the photographs of a whole shard need not be in memory
        rows, batch = [], []
        for number, record in enumerate(shards.records(path, said)):
            batch.append((number, record))
            if len(batch) == AT_ONCE:
                rows += pool.map(facts, batch)
                batch = []
        rows += pool.map(facts, batch)
    table = pd.DataFrame(rows, columns=_KEPT)
    table[person.COLUMNS] = person.read(table)
    store.parent.mkdir(parents=True, exist_ok=True)
    temporary = store.with_name(f"{store.name}.{os.getpid()}.tmp")
    table.to_csv(temporary, index=False)
    os.replace(temporary, store)
    return table


def facts(numbered: tuple[int, bytes]) -> dict:
    """What the index keeps of a record."""
    number, record = numbered
    row = dict.fromkeys(_KEPT, "") | {"record": number, "plain": False, "bytes": len(record)}
    row |= {"width": 0, "height": 0}
    try:
        said = shards.fields(record)
    except shards.ShardError as error:
        return row | {"problem": str(error)}
    image = said.pop("image", b"")
    known = {name: text for name, value in said.items() if (text := _text(value))}
    row |= {n: known.get(n, "") for n in ("patient_id", "lesion_id", "source", "group")}
    row["split"] = "test" if known.get("split") == "test" else "train"
    name = known.get("image_name", known.get("image_id", ""))
    ends = name.lower().endswith(tuple(images.EXTENSIONS))
    row["name"] = str(PurePosixPath(name).with_suffix("")) if ends else name
    row["image_id"] = labels.image_id(PurePosixPath(row["name"]).name)
    row["label"] = _label(known)
    row["age"] = known.get("age_approx", known.get("age", ""))
    row["sex"] = _SEXES.get(known.get("sex", ""), known.get("sex", ""))
    sites = [text for name, text in known.items() if "site" in name and not text.isdigit()]
    row["site"] = next(iter(sites), "")
    if not isinstance(image, bytes) or not image:
        return row | {"problem": "no photograph in the record"}
    row["sha256"] = hashlib.sha256(image).hexdigest()
    try:
        row["height"], row["width"], _ = images.decode(image).shape
        row["plain"] = images.is_plain_jpeg(image)
    except images.ImageProblem as problem:
        row["problem"] = str(problem)
    return row


def _text(value) -> str:
    """A field as text, "" for what is unknown."""
    if isinstance(value, bytes):
        text = value.decode("utf-8", "replace").strip()
    else:
        text = f"{value:g}" if isinstance(value, float) else str(value)
    return "" if text == "-1" else text


def _label(said) -> str:
    """The class that a record's fields or a table's row name."""
    for name in ("label", "dx", "class", "benign_malignant"):
        if said.get(name):
            return labels.name(said[name])
    target = said.get("target", "")
    return _TARGETS.get(target.removesuffix(".0"), target)


def _short(paths: list[str]) -> list[str]:
    """A name for each shard: that of its file, with folders where files of one name are in two."""
    names = [PurePosixPath(path).name for path in paths]
    if len(set(names)) == len(names):
        return names
    common = os.path.commonpath(paths) if "://" not in paths[0] else ""
    return [path.removeprefix(common).lstrip("/") for path in paths]


def _joined(index: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, list[tuple[int, int]]]:
    """An index with what a table says of its photographs, and the rows it calls the same."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise data.DataError(f"{path}: {error}") from None
    rows = dict(zip(index["name"], index.index, strict=True))
    if {"image_name_1", "image_name_2"} <= set(table):
        names = table[["image_name_1", "image_name_2"]].itertuples(index=False)
        return index, [(rows[a], rows[b]) for a, b in names if a in rows and b in rows]
    keys = labelled.keys(table)
    if keys is None or not keys.isin(rows).any():
        raise data.DataError(
            f"{path}: none of the records is named in it (columns {', '.join(labelled.IDS)})"
        )
    table = table.assign(key=keys)[keys != ""].drop_duplicates("key").set_index("key")
    said = table.reindex(index["name"]).fillna("").set_index(index.index)
    found = person.read(said)
    for name in ("lesion_id", "source"):
        if name in said:
            found[name] = said[name]
    found["label"] = said.apply(_label, axis=1)
    if "patient_id" in said:
        found["patient_id"] = _patients(index["patient_id"], said["patient_id"])
    for name in found:
        index[name] = index[name].where(found[name] == "", found[name])
    return index, []


def _patients(codes: pd.Series, names: pd.Series) -> pd.Series:
    """A table's patients, and for photographs that it does not name the one it calls others of the
    same code: a person who is named in part stays one. A code that stands for two says nothing."""
    known = pd.DataFrame({"code": codes, "name": names})
    known = known[(codes != "") & (names != "")].groupby("code")["name"]
    one = known.first()[known.nunique() == 1]
    return names.where(names != "", codes.map(one).fillna(""))
