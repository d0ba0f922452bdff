"""`download` against a local server that answers what Kaggle's client really asks."""

import base64
import contextlib
import dataclasses
import hashlib
import http.server
import io
import json
import random
import shutil
import socket
import sys
import threading
import zipfile
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

import pytest

from skincnn import download
from skincnn.labels import ISIC9

pytest.importorskip("kagglehub")
PHOTOGRAPHS = {"Train": 18, "Test": 9}
TOP = "Skin cancer ISIC The International Skin Imaging Collaboration"


def members(top=TOP, photographs=PHOTOGRAPHS) -> dict[str, bytes]:
    """File name -> bytes of a small set; what looks like a JPEG does not shrink, as in life."""
    noise = random.Random(0)
    return {
        f"{top}/{split}/{label}/ISIC_{i:07d}.jpg": noise.randbytes(20_000)
        for split, count in photographs.items()
        for label, i in zip(list(ISIC9) * count, range(count), strict=False)
    }


def pack(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


class Kaggle(http.server.ThreadingHTTPServer):
    """Kaggle's API and its storage, with faults to be switched on."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.archive = pack(members())
        self.asked = []  # (method, path, Range) of every request
        self.cut = None  # the storage hangs up after so many bytes
        self.ranges = True  # the storage honours Range
        self.whole = True  # without Range the storage sends the archive; else as many zeros
        self.md5 = ""  # what the storage says, where it says something
        self.fault = {}  # end of a path -> HTTP status
        self.range_fault = 0  # HTTP status of every request with a Range
        self.page = False  # a login page answers everything

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def fetched(self) -> list:
        """The Range of each request for the archive, in order."""
        return [bytes_ for method, path, bytes_ in self.asked if path.startswith("/storage")]


class Answer(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def send(self, status: int, body: bytes = b"", **headers) -> None:
        self.send_response(status)
        for name, value in {"Content_Length": len(body), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            with contextlib.suppress(ConnectionError):  # the client has seen enough
                self.wfile.write(body[: self.server.cut if "storage" in self.path else None])

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.command, self.path, self.headers.get("Range")))
        status = next((s for end, s in self.server.fault.items() if self.path.endswith(end)), None)
        if self.headers.get("Range"):
            status = status or self.server.range_fault
        if status:
            self.send(status, b"<html>no</html>", Content_Type="text/html")
        elif self.server.page:
            self.send(200, b"<html>Log in!</html>", Content_Type="text/html")
        elif self.path == "/v1/datasets.DatasetApiService/GetDataset":
            assert json.loads(body) == {
                "ownerSlug": "nodoubttome",
                "datasetSlug": "skin-cancer9-classesisic",
            }
            known = json.dumps({"currentVersionNumber": 3}).encode()
            self.send(200, known, Content_Type="application/json")
        elif self.path == "/v1/datasets.DatasetApiService/DownloadDataset":
            assert json.loads(body)["datasetVersionNumber"] == 3
            self.send(302, Location=f"{self.server.url}/storage/archive.zip")
        elif self.path == "/storage/archive.zip":
            self.storage()
        else:
            self.send(404)

    do_GET = do_POST = do_HEAD = answer

    def storage(self) -> None:
        archive, asked = self.server.archive, self.headers.get("Range")
        headers = {"Accept_Ranges": "bytes", "Content_Type": "application/zip"}
        if self.server.md5:
            headers["x_goog_hash"] = f"crc32c=n03x6A==,md5={self.server.md5}"
        if asked and self.server.ranges:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            headers["Content_Range"] = f"bytes {start}-{len(archive) - 1}/{len(archive)}"
            self.send(206, archive[start:], **headers)
        else:
            self.send(200, archive if self.server.whole else bytes(len(archive)), **headers)


@pytest.fixture
def kaggle(monkeypatch, tmp_path):
    from kagglesdk import kaggle_env

    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path / "home"))
    small = dataclasses.replace(download.SETS["isic9"], photographs=PHOTOGRAPHS, megabytes=1)
    monkeypatch.setitem(download.SETS, "isic9", small)
    with Kaggle() as server:
        endpoints = {env: server.url for env in kaggle_env.KaggleEnv}
        monkeypatch.setattr(kaggle_env, "_env_to_endpoint", endpoints)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield server
        server.shutdown()


@pytest.fixture
def place(tmp_path):
    return tmp_path / "raw" / "isic9"


def refused(place, **kwargs) -> str:
    """The error's text, after checking that it is one line and tells the way by hand."""
    with pytest.raises(download.DownloadError) as caught:
        download.isic9(place, progress=False, **kwargs)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith("isic9: ")
    assert text.endswith(
        "By hand: download https://www.kaggle.com/datasets/nodoubttome/skin-cancer9-classesisic "
        f"and unzip it into {place}"
    )
    return text


def files(folder) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def wanted() -> dict[str, bytes]:
    return {name.removeprefix(TOP + "/"): content for name, content in members().items()}


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


def test_cut_connection_is_resumed(kaggle, place):
    kaggle.cut = len(kaggle.archive) // 2
    text = refused(place)
    assert "connection was lost" in text and "run it again to go on" in text
    assert not place.exists()
    (partial,) = place.parent.glob(".isic9.download/*.zip")
    kept = partial.read_bytes()
    assert 0 < len(kept) <= kaggle.cut and kaggle.archive.startswith(kept)

    kaggle.cut = None
    kaggle.whole = False  # sent from the beginning, the archive would now be zeros
    kaggle.asked.clear()
    download.isic9(place, progress=False)
    assert kaggle.fetched()[-1] == f"bytes={len(kept)}-"
    assert files(place) == wanted()


def test_server_that_ignores_range_sends_all(kaggle, place):
    kaggle.cut = len(kaggle.archive) // 2
    refused(place)
    kaggle.cut, kaggle.ranges = None, False
    download.isic9(place, progress=False)
    assert files(place) == wanted()


def test_error_page_is_not_appended(kaggle, place):
    kaggle.cut = len(kaggle.archive) // 2
    refused(place)
    (partial,) = place.parent.glob(".isic9.download/*.zip")
    kept = partial.read_bytes()
    kaggle.cut, kaggle.range_fault = None, 503
    assert "HTTP 503 (try again later)" in refused(place)
    assert partial.read_bytes() == kept


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


@pytest.mark.parametrize(
    ("status", "hint"), [(403, "old token"), (404, "not there any more"), (503, "try again later")]
)
@pytest.mark.parametrize("where", ["GetDataset", "DownloadDataset"])
def test_http_error(kaggle, place, where, status, hint):
    kaggle.fault = {where: status}
    text = refused(place)
    assert f"HTTP {status}" in text and hint in text
    assert not place.parent.exists()


def test_login_page(kaggle, place):
    kaggle.page = True
    assert "the answer is not Kaggle's" in refused(place)


def test_connection_refused(kaggle, place, monkeypatch):
    from kagglesdk import kaggle_env

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
        monkeypatch.setattr(
            kaggle_env, "_env_to_endpoint", dict.fromkeys(kaggle_env.KaggleEnv, nobody)
        )
        text = refused(place)
    assert "cannot be reached (connection refused): this machine seems to be offline" in text
    assert not place.parent.exists()


def test_name_unknown(kaggle, place, monkeypatch):
    def unknown(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert "its name is not known here" in refused(place)


def test_network_that_swallows_everything(kaggle, place, monkeypatch):
    end = threading.Event()
    monkeypatch.setattr(download, "_probe", end.wait)
    monkeypatch.setattr(download, "_PROBE_SECONDS", 0.05)
    assert "seems to be offline" in refused(place)
    end.set()


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


def test_md5_of_the_server_is_checked(kaggle, place):
    kaggle.md5 = base64.b64encode(hashlib.md5(b"something else").digest()).decode()
    assert "MD5" in refused(place)
    assert not place.exists() and not list(place.parent.rglob("*.zip"))
    kaggle.md5 = base64.b64encode(hashlib.md5(kaggle.archive).digest()).decode()
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


def test_without_kagglehub(kaggle, place, monkeypatch):
    monkeypatch.setitem(sys.modules, "kagglehub.clients", None)
    assert 'pip install "skincnn[train]"' in refused(place)
    assert not kaggle.asked


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
    with pytest.raises(download.DownloadError, match="No set 'isic': choose one of isic9"):
        download.fetch("isic")


def test_two_at_once_fetch_it_once(kaggle, place):
    with ThreadPoolExecutor(2) as pool:
        got = list(pool.map(lambda _: download.isic9(place, progress=False), range(2)))
    assert got == [place, place]
    assert kaggle.fetched() == [None, None], "asked for and fetched: what one of them does"
    assert download.missing(place, download.SETS["isic9"]) == ""
