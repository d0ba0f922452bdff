"""From rows to batches: what is in them, in which order, and what stops before training."""

import numpy as np
import pytest
import tensorflow as tf

from skincnn import data, images, pipeline, splits


@pytest.fixture
def index(tiny, home):
    return data.load(tiny, progress=False)


def decode(rows, size=24, **options):
    return pipeline.decode(rows, size, progress=False, **options)


def everything(dataset):
    """All batches of one pass, as numpy."""
    return [tuple(part.numpy() for part in batch) for batch in dataset]


def test_batches_are_float_pixels_and_class_numbers(index):
    classes = data.classes(index)
    dataset = pipeline.make_dataset(index, classes, 24, batch_size=8, progress=False)
    assert dataset.cardinality() == 4
    batches = everything(dataset)
    assert [x.shape for x, _ in batches] == [(8, 24, 24, 3)] * 3 + [(6, 24, 24, 3)]
    assert dataset.element_spec[0].dtype == tf.float32
    assert dataset.element_spec[1].dtype == tf.int32
    pixels = np.concatenate([x for x, _ in batches])
    assert pixels.min() >= 0 and 150 < pixels.max() <= 255
    assert [classes[i] for _, y in batches for i in y] == list(index["label"])


def test_pixels_are_those_of_the_one_decoder(index):
    pixels = decode(index)
    batches = everything(pipeline.batches(pixels, np.zeros(len(index), np.int32), 7))
    for path, stored, served in zip(
        data.paths(index), pixels, np.concatenate([x for x, _ in batches]), strict=True
    ):
        expected = images.resize(images.decode(path), 24)
        assert np.array_equal(stored, expected)
        assert np.array_equal(served, expected.astype(np.float32)), "the cast loses nothing"


def test_rows_set_aside_are_left_out(index):
    broken = index.assign(problem=["damaged"] + [""] * 29)
    (x, _), *_ = everything(pipeline.make_dataset(broken, None, 24, 64, progress=False))
    assert len(x) == 29


# --- order ----------------------------------------------------------------------------------


def orders(seed=3, epochs=(0, 1, 2), shuffle=True):
    """The order in which 50 photographs are seen, one list an epoch."""
    numbers = np.arange(50, dtype=np.int32)
    pixels = np.zeros((50, 1, 1, 3), np.uint8)
    current = []
    dataset = pipeline.batches(pixels, numbers, 8, shuffle, seed, lambda: current[-1])
    result = []
    for epoch in epochs:
        current.append(epoch)
        result.append([int(i) for _, y in everything(dataset) for i in y])
    return result


def test_the_order_depends_on_seed_and_epoch_alone():
    first, second, third = orders()
    assert first != second != third
    assert all(sorted(order) == list(range(50)) for order in (first, second, third))
    np.random.seed(1)
    tf.random.set_seed(1)
    assert orders(epochs=(2, 0)) == [third, first], "a resumed run sees what the first one saw"
    assert orders(seed=4)[0] != first
    assert orders(shuffle=False) == [list(range(50))] * 3


def test_without_an_epoch_passes_are_counted():
    numbers = np.arange(50, dtype=np.int32)
    dataset = pipeline.batches(np.zeros((50, 1, 1, 3), np.uint8), numbers, 8, True, 3)
    passes = [[int(i) for _, y in everything(dataset) for i in y] for _ in range(3)]
    assert passes == orders()


def test_labels_stay_with_their_photographs_when_shuffled(index):
    classes = data.classes(index)
    dataset = pipeline.make_dataset(index, classes, 24, 8, shuffle=True, seed=1, progress=False)
    for x, y in everything(dataset):
        colour = x.mean(axis=(1, 2)).argmax(axis=1)  # red, green, blue
        assert [classes[i] for i in y] == [["red", "green", "blue"][i] for i in colour]


# --- caches ---------------------------------------------------------------------------------


def test_memory_and_disk_give_equal_pixels(index, monkeypatch):
    memory = decode(index, cache="memory")
    disk = decode(index, cache="disk")
    assert isinstance(disk, np.memmap) and not disk.flags.writeable
    assert np.array_equal(memory, disk)
    monkeypatch.setattr(images, "read", None)  # the second time nothing is decoded
    assert np.array_equal(decode(index, cache="disk"), memory)


def test_the_disk_cache_knows_rows_order_and_size(index):
    first = decode(index, cache="disk")
    assert np.array_equal(decode(index[::-1], cache="disk"), first[::-1])
    assert decode(index.head(3), cache="disk").shape == (3, 24, 24, 3)
    assert decode(index, 16, cache="disk").shape == (30, 16, 16, 3)


def test_auto_goes_to_disk_where_memory_is_short(index, monkeypatch):
    assert not isinstance(decode(index), np.memmap)
    monkeypatch.setattr(pipeline, "MEMORY_SHARE", 0)
    assert isinstance(decode(index), np.memmap)


def test_an_interrupted_decoding_leaves_no_cache(index, home, monkeypatch):
    original = images.listed

    def interrupted(path, sha256):
        if path.name.endswith("9.jpg"):
            raise KeyboardInterrupt
        return original(path, sha256)

    monkeypatch.setattr(images, "listed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        decode(index, cache="disk")
    assert not list(home.rglob("pixels_*"))
    monkeypatch.setattr(images, "listed", original)
    assert np.array_equal(decode(index, cache="disk"), decode(index, cache="memory"))


# --- errors before training -----------------------------------------------------------------


@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_a_file_that_vanished_or_broke_is_named(home, draw, tmp_path, cache):
    root = draw(tmp_path / "set", {"Train/red": 2, "Train/blue": 2})
    index = data.load(root, progress=False)
    gone = root / index["file"].iloc[1]
    gone.unlink()
    with pytest.raises(images.ImageProblem, match=f"{gone.name}: cannot be read: No such file"):
        decode(index, cache=cache)
    gone.write_bytes(b"text")
    with pytest.raises(images.ImageProblem, match=f"{gone.name}: changed since"):
        decode(index, cache=cache)
    with pytest.raises(images.ImageProblem, match=f"{gone.name}: not a picture"):
        decode(index.assign(sha256=""), cache=cache)


def test_bad_arguments_name_their_choices(index):
    with pytest.raises(ValueError, match="cache='tape': choose one of auto, memory, disk"):
        decode(index, cache="tape")
    with pytest.raises(ValueError, match="no rows"):
        decode(index[:0])
    with pytest.raises(ValueError, match="label 'red' is none of the classes: blue, green"):
        pipeline.labels(index, ["blue", "green"])


def test_labels_are_positions_in_the_class_list(index):
    numbers = pipeline.labels(index, ["red", "green", "blue"])
    assert numbers.dtype == np.int32
    assert {c: set(numbers[index["label"] == c]) for c in ("red", "green", "blue")} == {
        "red": {0},
        "green": {1},
        "blue": {2},
    }


def test_training_and_held_out_rows_keep_their_folder(index):
    split = splits.published(index)
    for part in (splits.training(split), splits.held_out(split), splits.test(split)):
        assert len(decode(part)) == len(part)
