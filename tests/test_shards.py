"""Shards are found, and every way to lose a record in one is noticed."""

import json

import pytest
import shard_files

from skincnn import data, shardcheck, shards


@pytest.fixture
def three(tmp_path):
    """A shard of three records, whose bytes can be spoilt."""
    records = [shard_files.kaggle(i) for i in range(3)]
    return shard_files.shard(tmp_path / "set" / "train00-3.tfrec", records)


def starts(path):
    """Where each record begins, and the end."""
    found, content = [0], path.read_bytes()
    while found[-1] < len(content):
        length = int.from_bytes(content[found[-1] : found[-1] + 8], "little")
        found.append(found[-1] + length + 16)
    return found


def lost(path, match):
    """The message of what a spoilt shard raises, and what the check says of it."""
    with pytest.raises(shards.ShardError, match=match) as raised:
        list(shards.records(str(path)))
    row = shardcheck.check(path, progress=False).iloc[0]
    assert row["shard"] == path.name
    assert row["problem"] and row["problem"] in str(raised.value)
    return row


@pytest.mark.parametrize("into", [3, 8, 11, 40])
def test_a_shard_cut_inside_a_record_is_named_with_what_it_lost(three, into):
    three.write_bytes(three.read_bytes()[: starts(three)[1] + into])
    row = lost(three, "train00-3.tfrec ends .*: 2 of 3 records are lost")
    assert (row["records"], row["lost"]) == (1, 2)


def test_a_shard_cut_between_records_is_seen_by_the_count_in_its_name(three):
    three.write_bytes(three.read_bytes()[: starts(three)[2]])
    assert lost(three, "is whole: 1 of 3 records are lost")["lost"] == 1


def test_a_shard_cut_between_records_is_seen_by_the_manifest(three):
    plain = three.rename(three.with_name("part.tfrec"))
    listed = {"shards": [{"name": "part.tfrec", "records": 3}]}
    (plain.parent / "manifest.json").write_text(json.dumps(listed))
    plain.write_bytes(plain.read_bytes()[: starts(plain)[2]])
    assert lost(plain, "1 of 3 records are lost")["lost"] == 1


def test_a_flipped_bit_loses_what_follows(three):
    content = bytearray(three.read_bytes())
    content[starts(three)[1] + 50] ^= 4
    three.write_bytes(content)
    assert lost(three, "is damaged in record 2: 2 of 3")["records"] == 1


def test_a_record_that_claims_a_terabyte_is_told_before_tensorflow_dies_of_it(three):
    import struct

    from google_crc32c import value

    length = struct.pack("<Q", 2**40)
    crc = value(length)
    masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
    at = starts(three)[1]
    content = three.read_bytes()
    three.write_bytes(content[:at] + length + struct.pack("<I", masked) + content[at + 12 :])
    assert lost(three, "is damaged in record 2: 2 of 3")["records"] == 1


def test_an_empty_shard_and_a_wrong_name(three):
    three.write_bytes(b"")
    assert lost(three, "is empty: 3 of 3")["lost"] == 3
    more = shard_files.shard(three.with_name("train01-2.tfrec"), [shard_files.kaggle(1)] * 3)
    assert lost(more, "3 records instead of 2")["lost"] == 0


def test_a_number_that_is_no_count(tmp_path):
    for name in ("train-00001.tfrec", "part-0.tfrec", "train-00000-of-00001.tfrec", "a.tfrec"):
        assert shards.promised(str(tmp_path / name)) is None
    assert shards.promised("gs://bucket/train07-2071.tfrec", {}) == 2071


def test_a_part_of_a_set_and_two_folders_of_the_same_names_are_checked_apart(tmp_path):
    places = [shard_files.folder(tmp_path / name, shards=2, each=2) for name in "ab"]
    for place in places:
        names = ["train00-2.tfrec", "train01-2.tfrec"]
        listed = [
            {"name": name, "records": 2, "sha256": shards.digest(str(place / name))}
            for name in names
        ]
        (place / "manifest.json").write_text(json.dumps({"shards": listed}))
    one = shardcheck.check(places[0] / "train00-2.tfrec", progress=False)
    assert list(one["problem"]) == [""]
    spoilt = places[0] / "train01-2.tfrec"
    spoilt.write_bytes(spoilt.read_bytes()[:-3])
    both = shardcheck.check(places, progress=False)
    assert list(both["problem"] != "") == [False, True, False, False]


def test_where_no_count_is_promised_a_cut_is_still_told(three):
    plain = three.rename(three.with_name("train-00000-of-00001.tfrec"))
    assert shards.promised(str(plain)) is None
    assert len(list(shards.records(str(plain)))) == 3
    plain.write_bytes(plain.read_bytes()[:-5])
    with pytest.raises(shards.ShardError, match="how many is unknown"):
        list(shards.records(str(plain)))


def test_the_check_names_absent_strange_and_changed_shards(tmp_path):
    place = shard_files.folder(tmp_path / "set", shards=3, each=2)
    names = [f"train0{n}-2.tfrec" for n in range(3)]
    listed = [
        {"name": name, "records": 2, "sha256": shards.digest(str(place / name))} for name in names
    ]
    (place / "manifest.json").write_text(json.dumps({"shards": listed}))
    assert set(shardcheck.check(place, progress=False)["problem"]) == {""}
    (place / names[0]).unlink()
    (place / names[2]).write_bytes((place / names[1]).read_bytes())
    shard_files.shard(place / "train09-1.tfrec", [shard_files.kaggle(9)])
    found = shardcheck.check(place, progress=False).set_index("shard")["problem"]
    assert "not there" in found[names[0]] and found[names[1]] == ""
    assert "other bytes" in found[names[2]] and "not in the manifest" in found["train09-1.tfrec"]


def test_the_check_names_photographs_that_cannot_be_read(tmp_path):
    records = [shard_files.kaggle(0), shard_files.kaggle(1, image=b"no picture")]
    shard_files.shard(tmp_path / "a-2.tfrec", records)
    table = shardcheck.check(tmp_path, progress=False)
    assert list(table["unreadable"]) == [1] and list(table["problem"]) == [""]
    assert table.attrs["unreadable"][0][0] == "a-2.tfrec/ISIC_0000001"


def test_find_takes_folders_patterns_and_files(tmp_path):
    place = shard_files.folder(tmp_path / "set", shards=3, each=1)
    (place / "._train00-1.tfrec").write_bytes(b"macOS")
    (place / "notes.txt").write_text("hello")
    whole = shards.find(place)
    assert [p.rsplit("/", 1)[1] for p in whole] == [f"train0{n}-1.tfrec" for n in range(3)]
    assert shards.find(f"{place}/train0[12]*") == whole[1:]
    assert shards.find(f"{place}/*") == whole  # notes and manifests are no shards
    assert shards.find([whole[2], place]) == [whole[2], *whole[:2]]
    with pytest.raises(data.DataError, match="no shards"):
        shards.find(tmp_path)
    with pytest.raises(data.DataError, match="no shards there"):
        shards.find(f"{place}/nothing*")
