"""Kaggle on this machine: a server that answers what its client really asks, and a small set."""

import contextlib
import http.server
import io
import json
import random
import zipfile

import pytest

from skincnn import connection, download
from skincnn.labels import ISIC9

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


def refused(place, **kwargs) -> str:
    """The error's text, after checking that it is one line and tells the way by hand."""
    with pytest.raises(connection.DownloadError) as caught:
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
