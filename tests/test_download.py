"""`download` against a local server that answers what Kaggle's client really asks."""

import shutil
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

import pytest
from kaggle_server import TOP, files, members, pack, refused, wanted

from skincnn import connection, download
from skincnn.labels import ISIC9


@pytest.fixture
def place(tmp_path):
    return tmp_path / "raw" / "isic9"


def test_what_is_published():
    info = download.SETS["isic9"]
    assert info.photographs == {"Train": 2239, "Test": 118}
    assert info.classes == tuple(ISIC9)
    assert info.url == "https://www.kaggle.com/datasets/nodoubttome/skin-cancer9-classesisic"


def test_one_tree_of_the_archive_arrives(kaggle, place, capsys):
    deeper = [dict.fromkeys(members(top=f"{top}/{TOP}"), b"not this") for top in ("A", "z")]
    extra = {
        f"__MACOSX/{TOP}/Train/nevus/._ISIC_0000004.jpg": b"shadow",
        f"{TOP}/Train/nevus/.DS_Store": b"",
        f"{TOP}/readme.txt": b"hello",
    }
    kaggle.archive = pack({**deeper[0], **extra, **members(), **deeper[1]})
    assert download.isic9(place) == place
    assert files(place) == wanted()
    assert [p.name for p in place.parent.iterdir()] == ["isic9"]
    err = capsys.readouterr().err
    assert "downloading" in err and "complete in" in err and "CC-BY-NC" in err


def test_complete_set_is_not_fetched_again(kaggle, place, capsys):
    download.isic9(place, progress=False)
    assert capsys.readouterr() == ("", "")
    kaggle.asked.clear()
    assert download.isic9(place) == place
    assert not kaggle.asked
    assert "already complete" in capsys.readouterr().err


def test_set_unpacked_by_hand_is_complete(kaggle, place):
    for name, content in members().items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    assert download.isic9(place) == place
    assert not kaggle.asked


def test_whole_archive_is_unpacked_without_another_transfer(kaggle, place, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(download, "_unpack", interrupted)
        with pytest.raises(KeyboardInterrupt):
            download.isic9(place, progress=False)
    kaggle.asked.clear()
    download.isic9(place, progress=False)
    assert len(kaggle.fetched()) == 1  # the redirect's, whose body nobody reads
    assert files(place) == wanted()


@pytest.mark.parametrize("fault", ["cut short", "a bit flipped", "not a zip"])
def test_damaged_archive_is_deleted_and_said(kaggle, place, fault):
    good = kaggle.archive
    flipped = bytearray(good)
    flipped[len(good) // 3] ^= 1
    kaggle.archive = {
        "cut short": good[: len(good) // 2],
        "a bit flipped": bytes(flipped),
        "not a zip": b"<html>",
    }[fault]
    assert "archive is damaged" in refused(place)
    assert not place.exists() and not list(place.parent.rglob("*.zip"))
    kaggle.archive = good
    download.isic9(place, progress=False)
    assert files(place) == wanted()


def test_other_contents_than_published(kaggle, place):
    without = {n: c for n, c in members().items() if "Test/nevus" not in n}
    kaggle.archive = pack(without)
    text = refused(place)
    (packed,) = place.parent.rglob("*.zip")
    assert "Test holds 8 of 9 photographs; Test has nothing for nevus" in text
    assert f"it lies in {packed}" in text
    assert not place.exists()

    kaggle.archive = pack({"readme.txt": b"moved"})
    assert "no folders Train and Test in it" in refused(place, force=True)


@pytest.mark.parametrize(
    "name", ["../evil.jpg", "/evil.jpg", "a/../../evil.jpg", "..\\evil", "C:/e"]
)
def test_member_that_leads_out_is_refused(kaggle, place, name):
    kaggle.archive = pack({**members(), name: b"evil"})
    assert "leads out of the folder" in refused(place)
    assert not place.exists()
    left = [p for p in place.parent.rglob("*") if p.is_file()]
    assert [p.suffix for p in left] == [".zip"]


def test_disk_too_small(kaggle, place, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(9e9, 8e9, 1_200_000))
    assert "2 MB are needed, 1 MB are free" in refused(place)
    assert not kaggle.asked


def test_destination_that_cannot_be_written(kaggle, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    text = refused(tmp_path / "file" / "isic9")
    assert "Not a directory" in text


def test_what_else_stands_there_is_left_alone(kaggle, place):
    (place / "Train" / "nevus").mkdir(parents=True)
    (place / "Train" / "nevus" / "mine.jpg").write_bytes(b"mine")
    text = refused(place)
    assert "Train holds 1 of 18 photographs" in text and "--force" in text
    assert (place / "Train" / "nevus" / "mine.jpg").read_bytes() == b"mine"
    assert not kaggle.asked

    download.isic9(place, progress=False, force=True)
    assert files(place) == wanted()
    assert [p.name for p in place.parent.iterdir()] == ["isic9"]


def test_failed_force_keeps_what_was_there(kaggle, place):
    download.isic9(place, progress=False)
    kaggle.fault = {"archive.zip": 503}
    refused(place, force=True)
    assert files(place) == wanted()


def test_unknown_set():
    with pytest.raises(connection.DownloadError, match="No set 'isic': choose one of isic9"):
        download.fetch("isic")


def test_two_at_once_fetch_it_once(kaggle, place):
    with ThreadPoolExecutor(2) as pool:
        got = list(pool.map(lambda _: download.isic9(place, progress=False), range(2)))
    assert got == [place, place]
    assert kaggle.fetched() == [None, None], "asked for and fetched: what one of them does"
    assert download.missing(place, download.SETS["isic9"]) == ""
