"""What goes wrong on the way from Kaggle, against a server that answers what its client asks."""

import base64
import hashlib
import socket
import sys
import threading

import pytest
from kaggle_server import files, refused, wanted

from skincnn import connection, download


@pytest.fixture
def place(tmp_path):
    return tmp_path / "raw" / "isic9"


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
    monkeypatch.setattr("skincnn.kaggle._probe", end.wait)
    monkeypatch.setattr(connection, "PROBE_SECONDS", 0.05)
    assert "seems to be offline" in refused(place)
    end.set()


def test_md5_of_the_server_is_checked(kaggle, place):
    kaggle.md5 = base64.b64encode(hashlib.md5(b"something else").digest()).decode()
    assert "MD5" in refused(place)
    assert not place.exists() and not list(place.parent.rglob("*.zip"))
    kaggle.md5 = base64.b64encode(hashlib.md5(kaggle.archive).digest()).decode()
    download.isic9(place, progress=False)
    assert files(place) == wanted()


def test_without_kagglehub(kaggle, place, monkeypatch):
    monkeypatch.setitem(sys.modules, "kagglehub.clients", None)
    assert 'pip install "skincnn[train]"' in refused(place)
    assert not kaggle.asked
