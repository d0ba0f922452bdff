"""Photographs written into shards: the same bytes again, whatever happened in between."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from skincnn import atomic, data, images, shardcheck, sharding, shards, stream, tfrecords


@pytest.fixture
def index(tiny, home):
    return data.load(tiny, progress=False)


def write(index, out, **options):
    return sharding.write(index, out, **{"size": 24, "count": 3, "progress": False} | options)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_read_is_what_was_written(index, tmp_path):
    place = write(index, tmp_path / "set", licence="CC-0")
    again = tfrecords.load(place, progress=False)
    both = again.merge(index, on="image_id", suffixes=("", "_file"))
    assert len(again) == len(both) == 30
    assert (both["label"] == both["label_file"]).all()
    source = stream.Records(again, np.zeros(30, np.int32), _settings(), shuffle=False)
    at, pixels, _ = next(source.in_order())
    first = index.set_index("image_id").loc[again["image_id"][at[0]]]
    wanted = images.resize(
        images.decode(data.paths(index)[list(index["file"]).index(first["file"])]), 24
    )
    assert np.abs(pixels[0].astype(int) - wanted).mean() < 4  # a JPEG of it
    manifest = json.loads((place / "manifest.json").read_text())
    assert manifest["records"] == 30 and manifest["licence"] == "CC-0"
    assert manifest["classes"] == {"blue": 10, "green": 10, "red": 10}
    assert set(shardcheck.check(place, progress=False)["problem"]) == {""}


def _settings():
    from skincnn import config

    return config.RunConfig(image_size=24)


def test_shards_are_even_and_share_no_group(index, tmp_path):
    index["group"] = [f"lesion {i // 2}" for i in range(len(index))]
    place = write(index, tmp_path / "set")
    again = tfrecords.load(place, progress=False)
    assert again["group"].nunique() == 15  # what is known to belong together still does
    assert again["split"].value_counts().to_dict() == index["split"].value_counts().to_dict()
    counts = pd.crosstab(again["shard"], again["label"])
    assert counts.to_numpy().min() >= 2 and counts.to_numpy().max() <= 5
    group = again["image_id"].map(index.set_index("image_id")["group"])
    assert (again.groupby(group)["shard"].nunique() == 1).all()


def test_a_killed_writer_goes_on_to_the_same_bytes(index, tmp_path, monkeypatch):
    whole = contents(write(index, tmp_path / "whole"))
    encode, calls = images.encode, []

    def dies(path, size):
        calls.append(path)
        if len(calls) == 16:
            raise KeyboardInterrupt
        return encode(path, size)

    monkeypatch.setattr(images, "encode", dies)
    with pytest.raises(KeyboardInterrupt):
        write(index, tmp_path / "set")
    assert (tmp_path / "set" / "writing.json").is_file()
    assert not (tmp_path / "set" / "manifest.json").exists()
    problems = shardcheck.check(tmp_path / "set", progress=False)["problem"]
    assert problems.str.contains("not finished").any()
    calls.clear()
    monkeypatch.setattr(
        images, "encode", lambda path, size: calls.append(path) or encode(path, size)
    )
    assert contents(write(index, tmp_path / "set")) == whole
    assert 0 < len(calls) < 30  # what was finished is not written again


def test_a_process_killed_outright_leaves_no_half_shard(tiny, tmp_path):
    command = [sys.executable, "-m", "skincnn.cli", "tfrecords", "--from", str(tiny)]
    command = [sys.executable, "-c", "from skincnn.cli import main; main()", *command[3:]]
    command += ["--size", "600", "--shards", "6", "--json"]
    whole = subprocess.run(
        [*command, "--out", str(tmp_path / "whole")], check=True, capture_output=True
    )
    assert json.loads(whole.stdout)["records"] == 30
    process = subprocess.Popen([*command, "--out", str(tmp_path / "set")], start_new_session=True)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "set").glob("train*")) and time.monotonic() < deadline:
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = {name: c for name, c in contents(tmp_path / "set").items() if name.startswith("train")}
    full = contents(tmp_path / "whole")
    assert done and all(full[name] == content for name, content in done.items())
    subprocess.run([*command, "--out", str(tmp_path / "set")], check=True, capture_output=True)
    left = {n: c for n, c in contents(tmp_path / "set").items() if not n.startswith(".")}
    assert left == full


def test_a_writer_killed_before_its_first_shard_is_noted_goes_on(index, tmp_path, monkeypatch):
    whole = contents(write(index, tmp_path / "whole"))
    write_json = atomic.write_json

    def killed(path, content):
        if content["shards"]:
            raise KeyboardInterrupt
        write_json(path, content)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(atomic, "write_json", killed)
        write(index, tmp_path / "set")
    assert list((tmp_path / "set").glob("train*"))
    assert contents(write(index, tmp_path / "set")) == whole


def test_a_damaged_shard_is_written_again_and_the_rest_is_not(index, tmp_path, monkeypatch):
    place = write(index, tmp_path / "set")
    whole = contents(place)
    path = next(place.glob("train*"))
    path.write_bytes(path.read_bytes()[:-3])
    assert contents(write(index, place)) == whole
    monkeypatch.setattr(images, "encode", lambda path, size: pytest.fail("nothing to write"))
    write(index, place)


def test_files_of_one_name_in_two_folders_stay_two(draw, home, tmp_path):
    root = draw(tmp_path / "raw", {"benign": 6, "malignant": 6})
    for folder in root.iterdir():
        for number, path in enumerate(sorted(folder.iterdir())):
            path.rename(folder / f"{number}.jpg")
    place = write(data.load(root, progress=False), tmp_path / "set", count=2)
    again = tfrecords.load(place, progress=False)
    assert len(data.usable(again)) == 12 and again["group"].nunique() == 12
    assert len(tfrecords.clean(again)[0]) == 12


def test_processes_write_the_same_bytes_and_files_of_the_same_bytes_stay_together(
    index, tmp_path, monkeypatch
):
    whole = contents(write(index, tmp_path / "one", jobs=1))
    monkeypatch.setattr(sharding, "FEW", 10)
    assert contents(write(index, tmp_path / "many", jobs=3)) == whole
    index.attrs["root"] = str(shutil.copytree(index.attrs["root"], tmp_path / "photographs"))
    places = data.paths(index)
    for one, other in zip(places[::2], places[1::2], strict=True):
        shutil.copy(one, other)
    index["sha256"] = [index["sha256"][i // 2 * 2] for i in range(len(index))]
    again = tfrecords.load(write(index, tmp_path / "twins"), progress=False)
    pair = again["image_id"].map(index.set_index("image_id")["sha256"])
    assert (again.groupby(pair)["shard"].nunique() == 1).all()


def test_what_a_killed_writer_left_is_removed(index, tmp_path):
    place = write(index, tmp_path / "set")
    whole = contents(place)
    (place / "writing.json").write_text("{}")
    shard = min(place.glob("train*"))
    shard.rename(place / f"{atomic._mine(999999999)}{shard.name}")
    assert contents(write(index, place)) == whole


def test_another_request_is_refused(index, tmp_path):
    place = write(index, tmp_path / "set")
    with pytest.raises(ValueError, match=r"another request \(size differ"):
        write(index, place, size=32)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="not empty"):
        write(index, tmp_path / "full")
    with pytest.raises(ValueError, match="there are 30 groups"):
        write(index, tmp_path / "more", count=31)
    with pytest.raises(ValueError, match="in shards already"):
        write(tfrecords.load(place, progress=False), tmp_path / "more")


def test_a_photograph_that_went_bad_is_named(index, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(
        images, "read", lambda path, size: (_ for _ in ()).throw(images.ImageProblem("gone"))
    )
    with pytest.raises(images.ImageProblem, match=r"ISIC_\d+\.jpg: gone"):
        write(index, tmp_path / "set")


def test_photographs_are_stored_as_plain_jpegs(index, tmp_path):
    content = images.encode((data.paths(index)[0], index["sha256"][0]), 24)
    assert images.is_plain_jpeg(content)
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.size == (24, 24)


def test_ham10000s_people_and_lesions_are_in_the_records(ham, home, tmp_path):
    index = data.load(ham, progress=False).head(40)
    place = write(index, tmp_path / "set", count=2)
    again = tfrecords.load(place, progress=False).set_index("image_id")
    lesions = index.set_index("image_id")["lesion_id"]
    assert (again["lesion_id"] == lesions[again.index]).all()
    assert (again["sex"].isin(["male", "female"])).mean() > 0.8 and (
        again["site"] != ""
    ).mean() > 0.8
    assert shards.manifest(str(place))["licence"].startswith("CC BY-NC")
