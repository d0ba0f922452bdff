"""Who trains and who is held out: as Keras splits the published folders, and what that leaks."""

import numpy as np
import pandas as pd
import pytest
from tables import COUNTS, unrelated

from skincnn import data, leakage, splits


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
    assert split["fold"].value_counts(dropna=False).to_dict() == {-1: 19, pd.NA: 7, 0: 4}
    assert split["fold"].dtype == "Int64"
    parts = [splits.training(split), splits.held_out(split), splits.test(split)]
    files = [file for part in parts for file in part["file"]]
    assert len(files) == len(set(files)) == 29
    test = splits.test(split)
    assert set(test["split"]) == {"test"}
    assert list(test) == list(split) and list(test.index) == list(range(len(test)))
    damaged = index.assign(problem=["damaged"] + [""] * 29)  # a test photograph
    assert len(splits.test(splits.published(damaged))) == 5
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
    renamed = split.assign(label=["red", *list(split["label"][1:])])
    assert splits.fingerprint(split) != splits.fingerprint(renamed)


def shards(each, per_shard=4):
    """An index of records without photographs."""
    number = np.repeat(np.arange(each), per_shard)
    return unrelated({"nevus": len(number)}, shard=number)


@pytest.mark.parametrize(
    ("number", "fraction", "expected"), [(10, 0.2, 2), (10, 0.45, 4), (4, 0.05, 1), (2, 0.6, 1)]
)
def test_a_set_in_shards_is_split_by_whole_shards(number, fraction, expected):
    index = shards(number)
    index.loc[0, "problem"], index.loc[1, "split"] = "damaged", "test"
    split = splits.published(index, fraction)
    of_shard = split.loc[2:].groupby("shard")["fold"].agg(["min", "max"])
    assert (of_shard["min"] == of_shard["max"]).all()
    assert of_shard["min"].value_counts().to_dict() == {-1: number - expected, 0: expected}
    assert split["fold"].isna().tolist() == [True] * 2 + [False] * (len(split) - 2)
    assert split["fold"].dtype == "Int64"


def test_which_shards_are_held_out_is_the_seeds_choice():
    held = [set(splits.held_out(splits.published(shards(50), seed=n))["shard"]) for n in (1, 2, 1)]
    assert held[0] == held[2] != held[1] and max(held[0]) - min(held[0]) > 9, (
        "not the first or the last ten"
    )
    with pytest.raises(ValueError, match="2 shards are too few to hold 90% of them out"):
        splits.published(shards(2), 0.9)


# --- grouped folds -------------------------------------------------------------------------------


def related(n, seed=0):
    """Lesions of one to a few photographs."""
    return [f"L{i}" for i in np.random.default_rng(seed).integers(0, 2 * n // 3, n)]


@pytest.mark.parametrize("k", [2, 5])
def test_folds_hold_every_row_once_and_every_class_evenly(k):
    folds = splits.grouped(unrelated(), k)
    assert set(folds["fold"]) == set(range(k))
    counts = pd.crosstab(folds["label"], folds["fold"])
    assert (counts.max(axis=1) - counts.min(axis=1) <= 1).all()
    assert (counts.sum().max() - counts.sum().min()) <= 2
    parts = pd.concat(splits.held_out(folds, fold) for fold in range(k))
    assert sorted(parts["file"]) == sorted(folds["file"])


@pytest.mark.parametrize("column", ["lesion_id", "patient_id", "image_id", "sha256", "group"])
def test_what_is_related_is_never_in_two_folds(column):
    rows = unrelated({"nevus": 90, "melanoma": 60})
    folds = splits.grouped(rows.assign(**{column: related(len(rows))}))
    assert (folds.groupby(column)["fold"].nunique() == 1).all()
    assert pd.crosstab(folds["label"], folds["fold"]).to_numpy().min() >= 8
    for fold in range(5):
        leakage.assert_none(folds, fold)


def test_relations_reach_on_over_clusters_and_lesions():
    rows = unrelated({"nevus": 30}, cluster=pd.array([0, 0, *[pd.NA] * 28], dtype="Int64"))
    rows.loc[[1, 2], "lesion_id"] = "one lesion"
    assert splits.grouped(rows)["fold"][:3].nunique() == 1


def test_copies_follow_their_source():
    rows = unrelated()
    copies = rows.assign(file="augmented/" + rows["file"], augmented_from=rows["file"])
    folds = splits.grouped(pd.concat([rows, copies], ignore_index=True))
    fold = folds.set_index("file")["fold"]
    assert (fold[copies["file"]].to_numpy() == fold[rows["file"]].to_numpy()).all()


def test_set_aside_stays_out_and_published_test_photographs_take_part():
    rows = unrelated()
    rows.loc[3, "problem"], rows.loc[4, "split"] = "damaged", "test"
    folds = splits.grouped(rows)
    assert folds["fold"].isna().tolist() == [i == 3 for i in range(len(rows))]
    assert len(splits.test(folds)) == 0


def test_the_same_folds_from_any_order_and_other_folds_from_another_seed():
    rows = unrelated(lesion_id=related(157))
    shuffled = rows.sample(frac=1, random_state=1)
    for one in (splits.grouped, lambda r: splits.inner(splits.grouped(r), 2)):
        assert splits.fingerprint(one(shuffled)) == splits.fingerprint(one(rows))
    assert splits.fingerprint(splits.grouped(rows, seed=1)) != splits.fingerprint(
        splits.grouped(rows)
    )


def test_the_fingerprint_sees_the_inner_part():
    folds = splits.grouped(unrelated())
    prints = [splits.fingerprint(splits.inner(folds, 0, seed=seed)) for seed in (0, 1)]
    assert len({splits.fingerprint(folds), *prints}) == 3


def test_folds_come_out_as_they_did_when_figures_were_published():
    rows = unrelated(lesion_id=related(157))
    folds = splits.grouped(rows)
    assert splits.fingerprint(folds)[:16] == "171de5bdd71b29fa"
    assert splits.fingerprint(splits.inner(folds, 3))[:16] == "9bdde38eb65e3de8"
    assert splits.fingerprint(splits.grouped(rows, by_size=True))[:16] == "014d1eaf71061293"
    assert folds["fold"].dtype == "Int64"
    assert splits.inner(folds, 3)["inner"].dtype == "boolean"


@pytest.mark.parametrize("size", [1, 2, 4, 5, 19, 20])
def test_dealing_by_size_spreads_each_kind_of_group(size):
    sizes = np.array([2 * size, size, size])
    part = splits.deal(sizes[:, None], 2, by_size=True)
    together = part[1] == part[2]  # as many photographs as the large group has
    assert together == (size in splits.SIZES), "from there on the two are of the large one's kind"
    assert splits.deal(sizes[:, None], 2).tolist() in ([0, 1, 1], [1, 0, 0])


def test_dealing_is_the_seeds_choice_among_equals():
    counts = np.ones((40, 2), int)
    parts = [splits.deal(counts, 4, seed) for seed in (0, 1)]
    assert parts[0].dtype == int and not np.array_equal(*parts)
    assert np.array_equal(splits.deal(counts, 4), parts[0])
    assert np.bincount(parts[0]).tolist() == [10] * 4


def test_a_class_with_fewer_groups_than_folds_is_named():
    rows = unrelated()
    rows.loc[rows["label"] == "wart", "lesion_id"] = ["a", "a", "b", "b", "c", "c", "d"]
    with pytest.raises(ValueError, match=r"class 'wart' has 4 groups .*fewer than k=5"):
        splits.grouped(rows)
    splits.grouped(rows, k=4)
    with pytest.raises(ValueError, match="k=1"):
        splits.grouped(rows, k=1)


def test_a_class_too_entangled_with_others_to_part_is_named():
    pieces = [("P", {c: 50 for c in "abcd"}), ("Q", {"wart": 1, "e": 100}), ("", {"e": 2})]
    pieces.append(("R", {"wart": 1} | {c: 10 for c in "abcd"}))
    rows = pd.concat([unrelated(counts, lesion_id=lesion) for lesion, counts in pieces])
    rows["file"] = [f"{i}.jpg" for i in range(len(rows))]
    with pytest.raises(ValueError, match="class 'wart': none of its 2 groups fits into fold 0"):
        splits.grouped(rows.reset_index(drop=True), 2)


# --- the inner part ------------------------------------------------------------------------------


def test_the_inner_part_is_a_share_of_each_class_of_what_trains():
    folds = splits.grouped(unrelated(lesion_id=related(157)))
    parts = splits.inner(folds, 1)
    chooses, trains = splits.validation(parts, 1), splits.training(parts, 1)
    held_out = splits.held_out(parts, 1)
    assert len(chooses) + len(trains) + len(held_out) == len(folds)
    for part in (chooses, trains, held_out):
        assert list(part.index) == list(range(len(part))) and set(part) == set(parts)
    assert set(held_out["file"]) == set(splits.held_out(folds, 1)["file"])
    leakage.assert_none(parts, 1)
    share = chooses["label"].value_counts() / splits.training(folds, 1)["label"].value_counts()
    assert share[["nevus", "melanoma"]].between(0.09, 0.13).all()
    assert 1 <= (chooses["label"] == "wart").sum() <= 2


def test_a_rare_class_gives_one_group_of_two_and_keeps_an_only_one():
    rows = unrelated({"nevus": 40, "wart": 6, "mole": 2})
    rows["fold"] = pd.array([0] * 10 + [-1] * 38, dtype="Int64")
    rows.loc[rows["label"] == "wart", "lesion_id"] = ["a"] * 4 + ["b"] * 2
    rows.loc[rows["label"] == "mole", "lesion_id"] = "only"
    chooses = splits.validation(splits.inner(rows, 0), 0)
    assert chooses["label"].value_counts().to_dict() == {"nevus": 4, "wart": 2}
    assert set(chooses["lesion_id"]) == {"", "b"}, "the smaller of the two"


def test_a_large_inner_part_still_leaves_each_class_something_to_train_on():
    parts = splits.inner(splits.grouped(unrelated()), 0, fraction=0.95)
    assert set(splits.training(parts, 0)["label"]) == set(COUNTS)


@pytest.mark.parametrize(
    ("options", "message"), [({"fold": 9}, "fold=9"), ({"fold": 0, "fraction": 1}, "fraction=1")]
)
def test_an_inner_part_of_nothing_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        splits.inner(splits.grouped(unrelated()), **options)


def test_one_group_a_class_leaves_nothing_to_set_apart():
    rows = unrelated({"nevus": 2, "wart": 2}, fold=pd.array([0, 1, 0, 1], dtype="Int64"))
    with pytest.raises(ValueError, match="nothing to set apart"):
        splits.inner(rows, 0)


def test_without_an_inner_part_the_held_out_rows_choose(index):
    split = splits.published(index)
    pd.testing.assert_frame_equal(splits.validation(split), splits.held_out(split))
    folds = splits.grouped(unrelated(), 3)
    pd.testing.assert_frame_equal(splits.validation(folds, 2), splits.held_out(folds, 2))


def test_new_folds_forget_the_inner_part_of_old_ones():
    parts = splits.inner(splits.grouped(unrelated()), 0)
    assert "inner" not in splits.grouped(parts, seed=1)
