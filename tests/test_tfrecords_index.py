"""What the index says of a set in shards, field by field."""

import io
import json

import numpy as np
import pandas as pd
import pytest
import shard_files
from PIL import Image

from skincnn import data, records, shards, tfrecords


def load(place, *facts, **options):
    return tfrecords.load(place, facts, progress=False, **options)


# --- a set ----------------------------------------------------------------------------------


def test_what_the_index_holds_besides_its_rows(tmp_path, home):
    place = shard_files.folder(tmp_path / "set", shards=2, each=3)
    names = pd.DataFrame({"image_name": ["ISIC_0000000"], "sex": ["female"]})
    names.to_csv(place / "inside.csv", index=False)
    names.to_csv(tmp_path / "outside.csv", index=False)
    index = load(place, "inside.csv", tmp_path / "outside.csv")
    assert index.attrs == {
        "root": str(place),
        "name": "set",
        "place": str(place),
        "ignored": [],
        "shards": [f"{place}/train00-3.tfrec", f"{place}/train01-3.tfrec"],
        "records": [3, 3],
        "without": [],
        "facts": ["inside.csv", str(tmp_path / "outside.csv")],
    }
    assert list(index) == [*tfrecords.COLUMNS, "name", "cluster", "direct", "bytes"]
    assert list(index["file"]) == [f"train0{i // 3}-3.tfrec/ISIC_{i:07d}" for i in range(6)]
    assert list(index.index) == list(range(6)) and list(index["cluster"]) == list(range(6))
    assert list(index["shard"]) == [0, 0, 0, 1, 1, 1] and list(index["record"]) == [0, 1, 2] * 2
    assert set(index["split"]) == {"train"} and set(index["augmented_from"]) == {""}
    # the table's word on one, the records' on the others
    assert list(index["sex"]) == ["female", "male", "female", "male", "female", "male"]
    listed = load([f"{place}/train01-3.tfrec"])
    assert listed.attrs["place"] == "" and listed.attrs["records"] == [3]


def test_how_many_are_opened_at_once_changes_nothing(tmp_path, home, monkeypatch):
    whole = load(shard_files.folder(tmp_path / "one", shards=1, each=5))
    monkeypatch.setattr(records, "AT_ONCE", 2)
    some = load(shard_files.folder(tmp_path / "two", shards=1, each=5))
    pd.testing.assert_frame_equal(some, whole)
    again = load(tmp_path / "two")  # as it is remembered
    pd.testing.assert_frame_equal(again, whole)


def test_only_square_jpegs_can_be_decoded_directly(tmp_path, home):
    wide = Image.open(io.BytesIO(shard_files.png((40, 20))))
    buffer = io.BytesIO()
    wide.save(buffer, "JPEG")
    pictures = [
        shard_files.jpeg(),
        shard_files.png(),
        buffer.getvalue(),
        b"none",
        shard_files.jpeg(2, 24),
    ]
    some = [shard_files.kaggle(i, image=content) for i, content in enumerate(pictures)]
    shard_files.shard(tmp_path / "a.tfrec", some)
    assert list(load(tmp_path)["direct"]) == [32, 0, 0, 0, 24]


def test_records_of_one_group_lesion_patient_or_photograph_stay_together(tmp_path, home):
    def record(number, **more):
        return shard_files.record(image=shard_files.jpeg(number), target=0, **more)

    shard_files.shard(
        tmp_path / "a.tfrec",
        [
            record(0, image_name="0", group="G"),
            record(1, image_name="1", lesion_id="L", group="G"),
            record(2, image_name="2", lesion_id="L", patient_id="P"),
            record(3, image_name="3", patient_id="P"),
            record(4, image_name="4"),
            record(4, image_name="5"),  # the same photograph under another name
            record(6, image_name="6"),
        ],
    )
    index = load(tmp_path)
    assert list(index["cluster"]) == [0, 1, 2, 3, 4, 4, 5]
    group = index["group"]
    assert group[:4].nunique() == 1 and group[4] == group[5] and group.nunique() == 3


def test_shards_of_one_name_in_two_folders_are_told_apart(tmp_path, home):
    for name in ("one", "two"):
        shard_files.shard(tmp_path / name / "a.tfrec", [shard_files.kaggle(ord(name[0]))])
    index = load([tmp_path / "one", tmp_path / "two"])
    assert list(index["file"]) == ["one/a.tfrec/ISIC_0000111", "two/a.tfrec/ISIC_0000116"]


def test_each_set_is_held_against_its_own_manifest(tmp_path, home):
    for name, listed in (("one", 1), ("two", 2)):
        shard_files.shard(tmp_path / name / f"{name}.tfrec", [shard_files.kaggle(listed)])
        said = {"shards": [{"name": f"{name}.tfrec", "records": listed}]}
        (tmp_path / name / "manifest.json").write_text(json.dumps(said))
    assert len(load(tmp_path / "one")) == 1
    with pytest.raises(shards.ShardError, match=r"two\.tfrec .*1 of 2 records are lost.*--skip"):
        load([tmp_path / "one", tmp_path / "two"])
    index = load([tmp_path / "one", tmp_path / "two"], skip_damaged=True)
    assert [path[-9:] for path in index.attrs["shards"]] == ["one.tfrec"]
    assert len(index.attrs["without"]) == 1 and "two.tfrec" in index.attrs["without"][0]
    with pytest.raises(data.DataError, match=r"None of the 1 shards can be used.*two\.tfrec"):
        load(tmp_path / "two", skip_damaged=True)
    # a shard that is listed and gone is missed where the folder is asked for
    (tmp_path / "one" / "one.tfrec").unlink()
    with pytest.raises(shards.ShardError, match=r"one\.tfrec is in the manifest, but not there"):
        shard_files.shard(tmp_path / "one" / "other.tfrec", [shard_files.kaggle(9)])
        load([tmp_path / "one"])


def test_nothing_usable_is_an_error_with_the_first_reason(tmp_path, home):
    shard_files.shard(tmp_path / "set" / "a.tfrec", [shard_files.kaggle(0, image=b"x")] * 2)
    with pytest.raises(data.DataError, match=r"set: none of the 2 records.*ISIC_0000000: .*pict"):
        load(tmp_path / "set")


# --- tables ---------------------------------------------------------------------------------


def test_a_table_gives_what_it_has_and_takes_nothing_away(tmp_path, home):
    place = shard_files.folder(tmp_path / "set", shards=1, each=4)
    table = pd.DataFrame(
        {
            "image_name": ["ISIC_0000001", "ISIC_0000001", "", "ISIC_7777777"],
            "lesion_id": ["IL_1", "IL_2", "IL_3", "IL_4"],
            "source": ["clinic", "", "", ""],
            "benign_malignant": ["malignant", "", "", ""],
        }
    )
    table.to_csv(tmp_path / "t.csv", index=False)
    plain, index = load(place), load(place, tmp_path / "t.csv")
    assert list(index["lesion_id"]) == ["", "IL_1", "", ""], "the first of two rows counts"
    assert list(index["source"]) == ["", "clinic", "", ""]
    assert list(index["label"]) == ["malignant", "malignant", "benign", "benign"]
    for name in ("patient_id", "age", "sex", "site", "file"):
        assert list(index[name]) == list(plain[name])
    with pytest.raises(data.DataError, match=r"gone\.csv"):
        load(place, tmp_path / "gone.csv")
    (tmp_path / "odd.csv").write_text("colour\nred\n")
    with pytest.raises(data.DataError, match=r"odd\.csv: none .*\(columns file, image_id, "):
        load(place, tmp_path / "odd.csv")


def test_pairs_of_a_table_join_what_is_there(tmp_path, home):
    place = shard_files.folder(tmp_path / "set", shards=1, each=6)
    pairs = [("ISIC_0000000", "ISIC_0000003"), ("ISIC_0000001", "ISIC_9999999")]
    columns = ["image_name_1", "image_name_2"]
    pd.DataFrame([*pairs, pairs[1][::-1]], columns=columns).to_csv(tmp_path / "p.csv", index=False)
    index = load(place, tmp_path / "p.csv")
    assert list(index["cluster"]) == [0, 1, 2, 0, 3, 4]
    assert index["group"].nunique() == 1, "two patients of three photographs, joined by the pair"


def test_a_patient_named_in_part_stays_one_and_a_code_for_two_says_nothing():
    codes = pd.Series(["1", "1", "2", "2", "2", "", "3"])
    names = pd.Series(["A", "", "B", "C", "", "D", ""])
    assert list(tfrecords._patients(codes, names)) == ["A", "A", "B", "C", "", "D", ""]


# --- one row a photograph -------------------------------------------------------------------


def test_clean_says_why_each_went():
    index = pd.DataFrame(
        {
            "file": list("abcdefgh"),
            "label": ["", "x", "x", "x", "y", "", "y", "x"],
            "cluster": [0, 0, 0, 1, 1, 2, 3, 4],
            "problem": [""] * 7 + ["damaged"],
            "augmented_from": "",
        },
        index=range(8, 16),
    )
    rows, gone = tfrecords.clean(index)
    assert list(rows["file"]) == ["b", "g"] and list(rows.index) == [0, 1]
    contradict = "labels of the same photograph contradict each other"
    assert gone.to_dict("list") == {
        "file": ["a", "c", "d", "e", "f"],
        "reason": ["same photograph", "same photograph", contradict, contradict, "no label"],
    }
    assert list(gone.index) == list(range(5))


def test_batches_take_the_settings_and_numbers_of_the_sorted_labels(tmp_path, home):
    place = shard_files.folder(tmp_path / "set", shards=1, each=8)
    index = load(place)
    index.loc[0, "problem"] = "damaged"
    index.loc[1, "label"] = ""
    index.loc[2, "label"] = "zebra"
    batches = list(tfrecords.dataset(index, image_size=16, batch_size=4).as_numpy_iterator())
    assert [x.shape for x, _ in batches] == [(4, 16, 16, 3), (2, 16, 16, 3)]
    y = np.concatenate([y for _, y in batches])
    assert y.dtype == np.int32 and sorted(y) == [0, 0, 0, 0, 1, 2]
