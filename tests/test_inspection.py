"""What is in the files: opened once, remembered, opened again where they changed."""

import os
import shutil

import odd_files
import pandas as pd
import pytest

from skincnn import data, images

USABLE = odd_files.usable()
JPEG = USABLE["plain.jpg"][0]


@pytest.fixture
def opened(monkeypatch):
    """Names of the files that are opened, as they are."""
    names = []

    def inspect(path):
        names.append(path.name)
        return original(path)

    original = images.inspect
    monkeypatch.setattr(images, "inspect", inspect)
    return names


def load(root):
    return data.load(root, progress=False)


def reasons(index):
    table = data.set_aside(index)
    return dict(zip(table["file"], table["reason"], strict=True))


def test_a_second_load_opens_no_photograph(put, opened):
    root = put({"a/1.jpg": JPEG, "a/2.jpg": b"", "b/NA.png": USABLE["clear.png"][0]})
    first = load(root)
    assert sorted(opened) == ["1.jpg", "2.jpg", "NA.png"]
    opened.clear()
    second = load(root)
    assert opened == []
    pd.testing.assert_frame_equal(first, second)
    assert first.attrs == second.attrs


def test_a_changed_file_is_opened_again_and_alone(put, opened):
    root = put({"a/1.jpg": JPEG, "a/2.jpg": JPEG, "b/1.jpg": JPEG, "b/3.jpg": JPEG})
    before = load(root).set_index("file")
    opened.clear()
    time = (root / "a/2.jpg").stat().st_mtime_ns
    (root / "a/2.jpg").write_bytes(JPEG[:-2])
    os.utime(root / "a/2.jpg", ns=(time, time))  # another size, the same time
    time = (root / "b/3.jpg").stat().st_mtime_ns
    (root / "b/3.jpg").write_bytes(JPEG[:600] + bytes([JPEG[600] ^ 1]) + JPEG[601:])
    os.utime(root / "b/3.jpg", ns=(time, time + 1_000_000))  # another time, the same size
    put({"b/4.jpg": JPEG})
    after = load(root).set_index("file")
    assert sorted(opened) == ["2.jpg", "3.jpg", "4.jpg"]
    assert after["problem"]["a/2.jpg"].startswith("damaged JPEG")
    assert after["sha256"]["b/3.jpg"] != before["sha256"]["b/3.jpg"]
    assert after["sha256"]["a/1.jpg"] == before["sha256"]["a/1.jpg"]


def test_an_interrupted_first_load_keeps_what_it_had(put, monkeypatch, opened):
    root = put({f"a/{i}.jpg": JPEG for i in range(9)})
    original = images.inspect

    def interrupted(path):
        if path.name == "5.jpg":
            raise KeyboardInterrupt
        return original(path)

    monkeypatch.setattr(images, "inspect", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load(root)
    monkeypatch.setattr(images, "inspect", original)
    opened.clear()
    assert len(load(root)) == 9
    assert "5.jpg" in opened
    assert not {f"{i}.jpg" for i in range(5)} & set(opened)


def test_interrupted_before_the_first_photograph_is_still_an_interruption(put, monkeypatch):
    def interrupted(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(images, "inspect", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load(put({"a/1.jpg": JPEG}))


def test_a_file_that_could_not_be_read_is_tried_again(put, monkeypatch):
    root = put({"a/1.jpg": JPEG, "b/1.jpg": JPEG})
    original = images._read

    def read(path):
        if path.parent.name == "b":
            raise images.ImageProblem("cannot be read: Permission denied")
        return original(path)

    monkeypatch.setattr(images, "_read", read)
    assert reasons(load(root))["b/1.jpg"] == "cannot be read: Permission denied"
    monkeypatch.setattr(images, "_read", original)  # as after chmod, which leaves size and time
    assert reasons(load(root)) == {}


def test_two_sets_do_not_share_what_is_remembered(put, opened, tmp_path):
    root = put({"a/1.jpg": JPEG})
    load(root)
    shutil.copytree(root, tmp_path / "other")
    opened.clear()
    load(tmp_path / "other")
    assert opened == ["1.jpg"]


# --- the table ------------------------------------------------------------------------------


def test_another_file_of_the_same_size_and_time_is_opened(put, opened):
    """As `rsync --times` and `cp --preserve` leave one."""
    root = put({"a/1.bmp": odd_files.saved(odd_files.painted(), "BMP")})
    before = data.load(root, progress=False)["sha256"][0]
    path = root / "a/1.bmp"
    stat, content = path.stat(), bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert path.stat().st_mtime_ns == stat.st_mtime_ns
    assert data.load(root, progress=False)["sha256"][0] != before
