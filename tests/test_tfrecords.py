"""Records become the index whatever wrote them, and a stream that shows each as it should."""

import json

import numpy as np
import pandas as pd
import pytest
import shard_files
import tensorflow as tf

from skincnn import (
    config,
    data,
    feed,
    images,
    labels,
    protocols,
    shards,
    splits,
    stream,
    tfrecords,
    train,
)

SETTINGS = config.RunConfig(image_size=32, batch_size=8, seed=3)


def load(place, *facts, **options):
    return tfrecords.load(place, facts, progress=False, **options)


@pytest.fixture
def index(tmp_path, home):
    return load(shard_files.folder(tmp_path / "set"))


def numbers(index):
    return (index["label"] == "malignant").to_numpy().astype(np.int32)


def passes(index, settings, n=2, start=0, y=None, **options):
    """(pixels, labels, …) of some epochs."""
    source = stream.Records(index, numbers(index) if y is None else y, settings, **options)
    epochs = iter(range(start, start + n))
    dataset = source.dataset(lambda: next(epochs))
    found = []
    for _ in range(n):
        batches = [tf.nest.map_structure(lambda a: a.numpy(), batch) for batch in dataset]
        found.append([np.concatenate(column) for column in zip(*batches, strict=True)])
    return found


# --- the index ------------------------------------------------------------------------------


def test_the_competitions_fields(index):
    row = index[index["image_id"] == "ISIC_0000001"].iloc[0].to_dict()
    assert row["file"] == "train00-12.tfrec/ISIC_0000001"
    assert (row["label"], row["patient_id"], row["age"]) == ("benign", "0", "45")
    assert (row["sex"], row["site"]) == ("male", "")  # numbers for sites mean nothing
    assert (row["shard"], row["record"], row["width"], row["problem"]) == (0, 1, 32, "")
    assert index["group"].nunique() == 16 and data.classes(index) == ["benign", "malignant"]
    assert set(tfrecords.COLUMNS) <= set(index)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"target": 1}, {"label": "malignant", "age": "", "patient_id": ""}),
        ({"target": 1, "width": 32, "height": 32}, {"label": "malignant"}),
        ({"target": 0, "source": 2, "patient_id": -1}, {"source": "2", "patient_id": ""}),
        ({"target": 0, "age_approx": -1, "sex": -1}, {"age": "", "sex": "", "label": "benign"}),
        ({}, {"label": ""}),
        ({"target": -1}, {"label": ""}),
        ({"benign_malignant": "malignant"}, {"label": "malignant"}),
        ({"label": "MEL", "sex": "female"}, {"label": "melanoma", "sex": "female"}),
        ({"anatom_site_general": "palms/soles"}, {"site": "hands and feet"}),
    ],
    ids=str,
)
def test_missing_fields_are_filled_and_minus_one_is_unknown(tmp_path, home, fields, expected):
    one = shard_files.record(image=shard_files.jpeg(), image_name="ISIC_0000007", **fields)
    shard_files.shard(tmp_path / "a.tfrec", [one])
    row = load(tmp_path).iloc[0]
    assert {name: row[name] for name in expected} == expected


def test_records_without_a_name_are_not_one_photograph(tmp_path, home):
    for name in ("a", "b"):
        some = [
            shard_files.record(image=shard_files.jpeg(2 * ord(name) + i), target=0) for i in (0, 1)
        ]
        shard_files.shard(tmp_path / f"{name}.tfrec", some)
    index = load(tmp_path)
    assert index["cluster"].nunique() == index["file"].nunique() == 4


def test_names_that_are_no_ids_say_nothing_about_which_photograph_it_is(tmp_path, home):
    for number in (0, 1):
        some = [shard_files.kaggle(10 * number + i, image_name=f"{i}.jpg") for i in range(3)]
        shard_files.shard(tmp_path / f"a{number}.tfrec", some)
    again = [shard_files.kaggle(i, image_name="1") for i in (50, 51)]
    shard_files.shard(tmp_path / "b.tfrec", again)
    index = load(tmp_path)
    assert set(index["image_id"]) == {""} and set(index["problem"]) == {""}
    assert index["cluster"].nunique() == index["file"].nunique() == 8
    assert list(index["name"])[:3] == ["0", "1", "2"]


def test_large_numbers_of_patients_stay_apart(tmp_path, home):
    some = [shard_files.kaggle(i, patient=1234560 + i) for i in range(3)]
    shard_files.shard(tmp_path / "a.tfrec", some)
    assert list(load(tmp_path)["patient_id"]) == ["1234560", "1234561", "1234562"]


def test_a_shard_that_is_not_there_and_an_unfinished_set_stop_it(tmp_path, home):
    place = shard_files.folder(tmp_path / "set", shards=3, each=2)
    listed = [{"name": f"train0{n}-2.tfrec", "records": 2} for n in range(3)]
    (place / "manifest.json").write_text(json.dumps({"shards": listed}))
    assert len(load(place)) == 6
    (place / "train01-2.tfrec").unlink()
    with pytest.raises(shards.ShardError, match=r"train01-2\.tfrec is in the manifest, but not"):
        load(place)
    assert len(load(place, skip_damaged=True)) == 4
    assert len(load(f"{place}/train0[02]*")) == 4  # what was asked for is there
    (place / "writing.json").write_text("{}")
    with pytest.raises(shards.ShardError, match="not finished"):
        load(place)


def test_unreadable_records_are_named_and_not_fatal(tmp_path, home):
    some = [
        shard_files.kaggle(0),
        shard_files.kaggle(1, image=b"no picture"),
        shard_files.record(image_name="ISIC_0000002", target=1),
        b"no example",
        shard_files.kaggle(0),
    ]
    shard_files.shard(tmp_path / "a-5.tfrec", some)
    index = load(tmp_path).set_index("record")
    assert index["problem"][0] == "" and "not a picture" in index["problem"][1]
    assert "no photograph" in index["problem"][2] and "tf.train.Example" in index["problem"][3]
    assert index["problem"][4] == "" and index["file"][4] == "a-5.tfrec/ISIC_0000000 again 4"


def test_a_table_says_more_than_the_records(tmp_path, home):
    place = shard_files.folder(tmp_path / "set", shards=1, each=6)
    table = pd.DataFrame(
        {
            "image_name": [f"ISIC_{i:07d}" for i in range(5)],
            "patient_id": ["IP_1", "IP_1", "", "IP_2", "IP_2"],
            "age_approx": ["70", "", "30", "", ""],
            "anatom_site_general_challenge": ["head/neck", "torso", "", "", ""],
            "target": ["1", "0", "0", "1", "0"],
        }
    )
    table.to_csv(tmp_path / "truth.csv", index=False)
    twins = pd.DataFrame({"image_name_1": ["ISIC_0000000"], "image_name_2": ["ISIC_0000004"]})
    twins.to_csv(tmp_path / "twins.csv", index=False)
    index = load(place, tmp_path / "truth.csv", tmp_path / "twins.csv")
    # the third photograph's patient is not in the table, but shares a code with the first two
    assert list(index["patient_id"]) == ["IP_1"] * 3 + ["IP_2"] * 3
    assert list(index["age"][:3]) == ["70", "45", "30"]
    assert list(index["site"][:2]) == ["head and neck", "torso"]
    assert list(index["label"]) == [
        "malignant",
        "benign",
        "benign",
        "malignant",
        "benign",
        "benign",
    ]
    assert index["cluster"][0] == index["cluster"][4] and index["group"].nunique() == 1
    other = tmp_path / "other.csv"
    other.write_text("image_name,target\nISIC_9999999,1\n")
    with pytest.raises(data.DataError, match="none of the records is named"):
        load(place, other)


def test_clean_keeps_one_of_a_photograph(tmp_path, home):
    some = [
        shard_files.kaggle(0, 1),
        shard_files.kaggle(1, 0),
        shard_files.kaggle(2, 0, image=shard_files.jpeg(0, red=200)),  # the first again, benign
        shard_files.kaggle(3, 0, image=shard_files.jpeg(1)),  # the second again
        shard_files.kaggle(4, -1),
    ]
    shard_files.shard(tmp_path / "a-5.tfrec", some)
    rows, gone = tfrecords.clean(load(tmp_path))
    assert list(rows["image_id"]) == ["ISIC_0000001"]
    assert sorted(gone["reason"].str[:6]) == ["labels", "labels", "no lab", "same p"]


def test_a_damaged_shard_stops_or_is_left_out_and_told(tmp_path, home):
    place = shard_files.folder(tmp_path / "set")
    bad = place / "train01-12.tfrec"
    bad.write_bytes(bad.read_bytes()[:-20])
    with pytest.raises(shards.ShardError, match=r"train01-12\.tfrec .*1 of 12 records are lost"):
        load(place)
    index = load(place, skip_damaged=True)
    assert len(index) == 36 and "train01-12.tfrec" in index.attrs["without"][0]
    settings = SETTINGS.replace(model="two_conv", epochs=1, precision="float32")
    run = train.fit(settings, index, tmp_path / "run", verbose=0)
    assert run.info["data"]["without"] == index.attrs["without"]


def test_what_is_remembered_of_a_shard_is_of_that_shard(tmp_path, home):
    place = shard_files.folder(tmp_path / "set", shards=1, each=3)
    first = load(place)
    pd.testing.assert_frame_equal(first, load(place))
    shard_files.shard(place / "train00-3.tfrec", [shard_files.kaggle(i, 1) for i in range(3)])
    assert set(load(place)["label"]) == {"malignant"}


# --- folds ----------------------------------------------------------------------------------


def test_folds_share_no_patient_and_are_even_in_their_sizes(tmp_path, home):
    sizes = [1] * 12 + [4] * 6 + [12] * 3
    patient = np.repeat(np.arange(len(sizes)), sizes)
    some = [shard_files.kaggle(i, int(i % 5 == 0), p) for i, p in enumerate(patient.tolist())]
    shard_files.shard(tmp_path / "a.tfrec", some)
    index = splits.grouped(tfrecords.clean(load(tmp_path))[0], 3, by_size=True)
    assert (index.groupby("patient_id")["fold"].nunique() == 1).all()
    of = index.groupby("patient_id").agg(size=("file", "size"), fold=("fold", "first"))
    assert (pd.crosstab(of["size"], of["fold"]).to_numpy() == [[4] * 3, [2] * 3, [1] * 3]).all()
    assert np.ptp(pd.crosstab(index["label"], index["fold"]).to_numpy(), axis=1).max() <= 2


def test_the_published_split_is_by_whole_shards(index):
    split = protocols.prepare(SETTINGS, index, progress=False)
    held = split.groupby("shard")["fold"].nunique()
    assert (held == 1).all() and set(split["fold"]) == {0, -1}
    assert (split["fold"] == 0).sum() == 12


# --- the stream -----------------------------------------------------------------------------


def test_every_record_is_shown_once_an_epoch_in_a_new_order(index):
    first, second = passes(index, SETTINGS)
    assert first[0].shape == (48, 32, 32, 3) and first[0].dtype == np.float32
    assert sorted(first[0].sum((1, 2, 3))) == sorted(second[0].sum((1, 2, 3)))
    assert first[1].sum() == second[1].sum() == 12 and not np.array_equal(first[1], second[1])
    red = first[0].mean((1, 2))[:, 0] > 130
    assert np.array_equal(red, first[1] == 1)  # pixels and labels belong together


def test_an_epoch_is_the_same_whenever_it_is_begun(index):
    for settings in (SETTINGS, SETTINGS.replace(sampling="balanced")):
        _, second = passes(index, settings)
        (again,) = passes(index, settings, n=1, start=1)
        assert all(np.array_equal(a, b) for a, b in zip(second, again, strict=True))


def test_balanced_sampling_shows_the_rare_class_as_often(index, monkeypatch):
    settings = SETTINGS.replace(sampling="balanced")
    for rare in (stream.RARE, 0):  # kept in memory, or read again
        monkeypatch.setattr(stream, "RARE", rare)
        shown = np.concatenate([labels for _, labels in passes(index, settings, n=6)])
        assert len(shown) == 6 * 48 and 0.4 < shown.mean() < 0.6


def test_timing_a_precision_reads_no_more_than_it_asks_for(index):
    source = stream.Records(index, numbers(index), SETTINGS, shuffle=False)
    last = source.paths.pop()
    source.paths.append(f"{last}.gone")  # reading on would stop at it
    at, *_ = next(source.in_order(np.arange(8)))
    assert list(at) == list(range(8))


def test_class_weights_are_those_of_decoded_photographs(index):
    settings = SETTINGS.replace(class_weights=True)
    ((_, y, weights),) = passes(index, settings, n=1)
    expected, _ = feed.weighed(numbers(index), settings)
    assert weights[y == 1][0] == expected[numbers(index) == 1][0]


def test_mixing_is_feeds(index):
    shares = np.eye(2, dtype=np.float32)[numbers(index)]
    ((x, y),) = passes(index, SETTINGS.replace(mixup=0.4), n=1, y=shares)
    assert x.shape == (48, 32, 32, 3) and ((y > 0) & (y < 1)).any()
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-6)


def test_only_the_rows_asked_for_are_shown(index):
    some = index[index["record"] % 3 == 1].reset_index(drop=True)
    source = stream.Records(some, numbers(some), SETTINGS, shuffle=False)
    at, pixels, people = (list(c) for c in zip(*source.in_order(), strict=True))
    at, pixels = np.concatenate(at), np.concatenate(pixels)
    assert sorted(at) == list(range(len(some))) and people[0] is None
    assert np.array_equal(pixels.mean((1, 2))[:, 0] > 130, some["label"][at] == "malignant")
    few = np.concatenate([rows for rows, *_ in source.in_order(np.array([2, 5]))])
    assert sorted(few) == [2, 5]


@pytest.mark.parametrize("size", [32, 24])
def test_pixels_are_those_of_the_one_decoder(tmp_path, home, size):
    contents = [shard_files.jpeg(i) for i in range(3)]
    some = [shard_files.kaggle(i, image=content) for i, content in enumerate(contents)]
    shard_files.shard(tmp_path / "a.tfrec", some)
    index = load(tmp_path)
    source = stream.Records(index, numbers(index), SETTINGS.replace(image_size=size), False)
    ((_, pixels, _),) = source.in_order()
    for content, shown in zip(contents, pixels, strict=True):
        np.testing.assert_array_equal(shown, images.resize(images.decode(content), size))


def test_metadata_goes_with_its_photograph(index):
    people = np.arange(48, dtype=np.float32)[:, None] * np.ones((1, 10), np.float32)
    marked = np.arange(48, dtype=np.int32)
    source = stream.Records(index, marked, SETTINGS, people=people)
    batches = list(source.dataset(lambda: 0))
    told = np.concatenate([told for (_, told), _ in batches])
    assert np.array_equal(told[:, 0].astype(int), np.concatenate([y for _, y in batches]))


def test_real_shards(real, home):
    place = real.resolve().parent / "siim2020"
    if not place.is_dir():
        pytest.skip("needs the 2020 shards (siim2020/) beside the nine-class set")
    truth = place / "ISIC_2020_Training_GroundTruth_v2.csv"
    index = load(place, truth, place / "ISIC_2020_Training_Duplicates.csv")
    assert len(index) == 400 and (index["label"] == "malignant").sum() == 16
    assert index["patient_id"].str.startswith("IP_").all()
    rows, gone = tfrecords.clean(index)
    assert len(rows) == 397 and len(gone) == 3
    folds = splits.grouped(rows, 4, by_size=True)
    assert (folds.groupby("patient_id")["fold"].nunique() == 1).all()
    assert labels.positive(data.classes(index)) == "malignant"


def test_a_set_in_shards_is_one_call_from_batches(index, tmp_path):
    batches = tfrecords.dataset(str(tmp_path / "set"), image_size=16, batch_size=8)
    pixels, y = zip(*batches.as_numpy_iterator(), strict=True)
    assert {x.shape[1:] for x in pixels} == {(16, 16, 3)} and len(np.concatenate(y)) == len(index)
    names = sorted(index["label"].unique())
    assert np.bincount(np.concatenate(y)).tolist() == [
        int((index["label"] == name).sum()) for name in names
    ]
    again = np.concatenate([y for _, y in batches.as_numpy_iterator()])
    assert not np.array_equal(np.concatenate(y), again), "every epoch has an order of its own"
    with pytest.raises(data.DataError, match="no record has a label"):
        tfrecords.dataset(index.assign(label=""))


def test_shards_on_another_file_system_are_read_as_local_ones(index, tmp_path):
    # TensorFlow's own in memory, by the very calls that read a bucket
    tf.io.gfile.makedirs("ram://bucket/set")
    for path in (tmp_path / "set").iterdir():
        tf.io.gfile.copy(str(path), f"ram://bucket/set/{path.name}", overwrite=True)
    far = load("ram://bucket/set/*.tfrec")
    shown = ["file", "label", "patient_id", "sha256", "shard", "record"]
    pd.testing.assert_frame_equal(far[shown], index[shown])
    (near_pixels, near_labels), *_ = passes(index, SETTINGS, 1)
    (far_pixels, far_labels), *_ = passes(far, SETTINGS, 1)
    np.testing.assert_array_equal(near_labels, far_labels)
    np.testing.assert_array_equal(near_pixels, far_pixels)
