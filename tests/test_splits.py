"""Who trains and who is held out: as Keras splits the published folders, and what that leaks."""

import numpy as np
import pandas as pd
import pytest

from skincnn import data, splits


@pytest.fixture
def index(tiny, home):
    return data.load(tiny, progress=False)


def keras_split(folder, fraction=0.2, seed=123):
    """Paths, relative to the set, as the published notebooks split them."""
    import keras

    parts = []
    for subset in ("training", "validation"):
        dataset = keras.utils.image_dataset_from_directory(
            folder,
            validation_split=fraction,
            seed=seed,
            subset=subset,
            image_size=(32, 32),
            verbose=False,
        )
        parts.append({path.removeprefix(f"{folder.parent}/") for path in dataset.file_paths})
    return parts


def ours(index, fraction=0.2, seed=123):
    split = splits.published(index, fraction, seed)
    return [set(part["file"]) for part in (splits.training(split), splits.held_out(split))]


@pytest.mark.parametrize(("fraction", "seed"), [(0.2, 123), (0.3, 7)])
def test_the_published_split_is_keras_own_file_for_file(index, tiny, fraction, seed):
    assert ours(index, fraction, seed) == keras_split(tiny / "Train", fraction, seed)


def test_the_published_split_of_the_real_set_is_keras_own(real_index, real):
    train, held_out = ours(real_index)
    assert (len(train), len(held_out)) == (1792, 447)
    assert [train, held_out] == keras_split(real / "Train")


def test_every_row_has_its_part_and_only_one(index):
    broken = index.assign(problem=[""] * 29 + ["damaged"])
    split = splits.published(broken)
    parts = [splits.training(split), splits.held_out(split), splits.test(split)]
    files = [file for part in parts for file in part["file"]]
    assert len(files) == len(set(files)) == 29
    assert set(splits.test(split)["split"]) == {"test"}
    assert broken["file"].iloc[-1] not in files, "set aside is set aside"
    assert list(split["file"]) == list(broken["file"]), "rows stay where they were"
    assert split.attrs == index.attrs


def test_the_order_of_rows_does_not_matter(index):
    shuffled = index.sample(frac=1, random_state=1)
    assert ours(shuffled) == ours(index)
    assert splits.fingerprint(splits.published(shuffled)) == splits.fingerprint(
        splits.published(index)
    )


def test_no_global_seed_is_touched(index):
    np.random.seed(5)
    expected = np.random.random(3)
    np.random.seed(5)
    splits.published(index)
    assert np.array_equal(np.random.random(3), expected)


@pytest.mark.parametrize("fraction", [0, 1, -0.2, 1.5])
def test_a_fraction_outside_its_range_is_refused(index, fraction):
    with pytest.raises(ValueError, match=f"fraction={fraction}"):
        splits.published(index, fraction)


def test_too_few_to_split_is_an_error(index):
    with pytest.raises(ValueError, match="1 usable training photographs are too few"):
        splits.published(index[index["split"] == "train"].head(1))


def test_leaks_finds_a_copy_on_the_other_side_and_nothing_else(index):
    split = splits.published(index.assign(group="lesion of " + index["file"]))
    assert not len(splits.leaks(split)), "every photograph of this set has its own group"
    source = splits.held_out(split).iloc[[0]]
    copy = source.assign(
        file="augmented/x/copy.jpg", augmented_from=source["file"], fold=pd.array([-1], "Int64")
    )
    leaks = splits.leaks(pd.concat([split, copy, copy], ignore_index=True))
    assert leaks.to_dict("records") == [
        {"file": source["file"].iloc[0], "label": source["label"].iloc[0], "siblings": 2}
    ]
    inside = copy.assign(fold=pd.array([0], "Int64"))  # both held out: nothing leaks
    assert not len(splits.leaks(pd.concat([split, inside], ignore_index=True)))


def test_training_leaves_out_the_fold_asked_for():
    index = pd.DataFrame(
        {"file": list("abcde"), "fold": pd.array([0, 1, 2, -1, pd.NA], dtype="Int64")}
    )
    assert list(splits.training(index, 1)["file"]) == ["a", "c", "d"]
    assert list(splits.held_out(index, 1)["file"]) == ["b"]


def test_the_fingerprint_sees_a_row_change_sides(index):
    split = splits.published(index)
    assert splits.fingerprint(split) != splits.fingerprint(splits.published(index, seed=1))
    assert splits.fingerprint(split) != splits.fingerprint(splits.published(index, 0.3))
