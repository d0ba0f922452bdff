"""What a record says, field by field."""

import hashlib

import pytest
import shard_files
import tensorflow as tf

from skincnn import records, shards


def test_a_record_says_all_of_this_and_nothing_more():
    photograph = shard_files.jpeg()
    record = shard_files.record(
        image=photograph,
        image_name="folder/ISIC_0000007.JPG",
        patient_id="IP_1",
        lesion_id="IL_1",
        source="clinic",
        group="G",
        split="test",
        age_approx=45,
        sex=1,
        anatom_site_general="torso",
        dx="mel",
    )
    assert records.facts((3, record)) == {
        "record": 3,
        "name": "folder/ISIC_0000007",
        "image_id": "ISIC_0000007",
        "label": "melanoma",
        "split": "test",
        "group": "G",
        "patient_id": "IP_1",
        "lesion_id": "IL_1",
        "source": "clinic",
        "age": "45",
        "sex": "male",
        "site": "torso",
        "width": 32,
        "height": 32,
        "sha256": hashlib.sha256(photograph).hexdigest(),
        "problem": "",
        "plain": True,
        "bytes": len(record),
    }


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"image_id": "a.b"}, {"name": "a.b", "image_id": ""}),
        ({"image_id": "x", "image_name": "ISIC_0000001"}, {"name": "ISIC_0000001"}),
        ({"age": 30}, {"age": "30"}),
        ({"age": 30, "age_approx": 40}, {"age": "40"}),
        ({"sex": 0}, {"sex": "female"}),
        ({"sex": "male"}, {"sex": "male"}),
        ({"split": "train"}, {"split": "train"}),
        ({"split": "validation"}, {"split": "train"}),
        ({"anatom_site_general": 3, "site": "back"}, {"site": "back"}),
        ({"patient_id": " IP_2 "}, {"patient_id": "IP_2"}),
        ({"patient_id": b"\xff"}, {"patient_id": "\ufffd"}),
        ({"class": "nevus"}, {"label": "nevus"}),
        ({"class": "nevus", "label": "wart"}, {"label": "wart"}),
        ({"label": "", "benign_malignant": "benign", "target": 1}, {"label": "benign"}),
        ({"target": 7}, {"label": "7"}),
        ({"target": "1.0"}, {"label": "malignant"}),
        ({"image": shard_files.png()}, {"plain": False, "problem": "", "width": 32}),
        ({"image": shard_files.png((40, 20))}, {"width": 40, "height": 20}),
        ({"image": 7}, {"problem": "no photograph in the record", "sha256": "", "width": 0}),
        ({"image": b""}, {"problem": "no photograph in the record"}),
    ],
    ids=str,
)
def test_fields_have_several_names_and_kinds(fields, expected):
    row = records.facts((0, shard_files.record(**{"image": shard_files.jpeg()} | fields)))
    assert {name: row[name] for name in expected} == expected


def test_numbers_with_a_point_are_read_as_people_write_them():
    features = {
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[shard_files.jpeg()])),
        "age_approx": tf.train.Feature(float_list=tf.train.FloatList(value=[45.0])),
        "target": tf.train.Feature(float_list=tf.train.FloatList(value=[-1.0])),
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    row = records.facts((0, example.SerializeToString()))
    assert (row["age"], row["label"]) == ("45", "")


def test_a_photograph_that_cannot_be_decoded_keeps_what_is_known_of_it():
    row = records.facts((0, shard_files.kaggle(1, 1, image=b"no picture")))
    assert row["problem"] and row["label"] == "malignant" and row["image_id"] == "ISIC_0000001"
    assert row["sha256"] == hashlib.sha256(b"no picture").hexdigest()
    assert (row["width"], row["height"], row["plain"]) == (0, 0, False)
    row = records.facts((5, b"no example"))
    assert "no tf.train.Example" in row["problem"]
    assert (row["record"], row["label"], row["width"], row["bytes"]) == (5, "", 0, 10)


@pytest.mark.parametrize("at_once", [2, 256])
def test_records_before_a_damage_are_told_of(at_once, monkeypatch):
    def found():
        yield from [shard_files.kaggle(number, 1) for number in range(3)]
        raise shards.ShardError("cut")

    monkeypatch.setattr(records, "AT_ONCE", at_once)
    told = []
    with pytest.raises(shards.ShardError, match="cut"):
        for row in records.read(found()):
            told.append(row["record"])
    assert told == [0, 1, 2]
