"""`archive` with the archive's real client, against a local server that speaks its protocol."""

import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse

import pandas as pd
import pytest
import shard_files

from skincnn import archive, connection, data

pytest.importorskip("isic_cli")
NAMES = ["melanoma", "seborrheic keratosis"]


class Archive(http.server.ThreadingHTTPServer):
    """The archive's search, licences and storage, with faults to be switched on."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.photographs = {}  # id -> (query, bytes)
        number = 0
        for name in NAMES:
            for _ in range(6):
                number += 1
                content = shard_files.jpeg(number, size=64)
                self.photographs[f"ISIC_{number:07d}"] = (archive.DIAGNOSES[name], content)
        self.asked = []  # ids whose photograph was asked for
        self.fault = {}  # id -> what goes wrong with it, and how many times
        self.slow = 0.0  # seconds before each photograph
        self.refuse = False  # searches are not understood

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def found(self, query):
        return [i for i, (own, _) in self.photographs.items() if own in query]


class Answer(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def send(self, status, body, kind="application/json", length=None):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self):
        self.send(200, b"")

    def do_GET(self):
        place = urllib.parse.urlparse(self.path)
        words = {k: v[0] for k, v in urllib.parse.parse_qs(place.query).items()}
        if place.path == "/api/v2/images/search/":
            self.search(words)
        elif place.path == "/api/v2/images/search/size/":
            self.send(200, {"size": 10_000})
        elif place.path.startswith("/api/v2/zip-download/license-file/"):
            self.send(200, b"the licence", "text/plain")
        elif place.path.startswith("/storage/"):
            self.photograph(place.path.split("/")[2].removesuffix(".jpg"))
        else:
            self.send(404, {})

    def search(self, words):
        if self.server.refuse:
            self.send(400, {"message": "bad query"})
            return
        found = self.server.found(words.get("query", ""))
        start, size = int(words.get("cursor", 0)), 4
        page = found[start : start + size]
        following = None
        if start + size < len(found):
            query = urllib.parse.urlencode(words | {"cursor": start + size})
            following = f"{self.server.url}/api/v2/images/search/?{query}"
        rows = [self.row(i) for i in page]
        self.send(200, {"count": len(found), "next": following, "results": rows})

    def row(self, name):
        number = int(name[-2:])
        size = len(self.server.photographs[name][1])
        return {
            "isic_id": name,
            "attribution": "Anonymous",
            "copyright_license": "CC-BY",
            "files": {"full": {"url": f"{self.server.url}/storage/{name}.jpg", "size": size}},
            "metadata": {
                "acquisition": {"image_type": "dermoscopic"},
                "clinical": {
                    "lesion_id": f"IL_{number // 2}",
                    "patient_id": f"IP_{number // 4}",
                    "sex": "female",
                    "age_approx": 55,
                    "anatom_site_general": "anterior torso",
                },
            },
        }

    def photograph(self, name):
        self.server.asked.append(name)
        time.sleep(self.server.slow)
        kind, times = self.server.fault.get(name, ("", 0))
        content = self.server.photographs[name][1]
        if times:
            self.server.fault[name] = (kind, times - 1)
            if kind == "status":
                self.send(404, b"gone")
                return
            if kind == "noise":  # of the right size, as a bad disk would leave it
                content = b"\xff\xd8" + bytes(len(content) - 2)
            if kind == "cut":
                self.send(200, content[: len(content) // 2], "image/jpeg", len(content))
                self.close_connection = True
                return
        self.send(200, content, "image/jpeg")


@pytest.fixture
def server():
    with Archive() as one:
        threading.Thread(target=one.serve_forever, daemon=True).start()
        yield one
        one.shutdown()


def fetch(server, place, names=NAMES, **options):
    return archive.fetch(names, destination=place, progress=False, address=server.url, **options)


def files(place):
    return {p.stem: p.read_bytes() for p in place.glob("*/*.jpg")}


def everything(server):
    return {name: content for name, (_, content) in server.photographs.items()}


def test_what_comes_is_a_set_with_its_facts(server, tmp_path, home):
    place = fetch(server, tmp_path / "set")
    assert files(place) == everything(server)
    index = data.load(place, progress=False)
    assert index["label"].value_counts().to_dict() == dict.fromkeys(NAMES, 6)
    assert set(index["patient_id"].str[:3]) == {"IP_"} and set(index["lesion_id"].str[:3]) == {
        "IL_"
    }
    assert index["group"].nunique() == 4  # photographs of one patient belong together
    table = pd.read_csv(place / "metadata.csv")
    assert set(table["licence"]) == {"CC-BY"} and set(table["diagnosis"]) == set(NAMES)
    for name in NAMES:
        assert (place / name / "attribution.txt").read_text() == "Anonymous"
        assert (place / name / "licenses" / "CC-BY.txt").read_text() == "the licence"


def test_a_limit_is_of_each_diagnosis_and_only_missing_ones_are_asked_for(server, tmp_path):
    place = fetch(server, tmp_path / "set", limit=2)
    assert len(files(place)) == 4
    server.asked.clear()
    fetch(server, place, limit=5)
    assert len(files(place)) == 10 and len(server.asked) == 6


def test_a_shorter_list_forgets_nothing_of_what_is_there(server, tmp_path, home):
    place = fetch(server, tmp_path / "set", limit=5)
    fetch(server, place, limit=2)
    table = pd.read_csv(place / "metadata.csv")
    assert len(table) == len(files(place)) == 10 and table["patient_id"].notna().all()
    server.fault = {"ISIC_0000012": ("status", 1000)}
    with pytest.raises(connection.DownloadError, match="seborrheic keratosis: 1 of 6"):
        fetch(server, place)
    assert len(pd.read_csv(place / "metadata.csv")) == 11  # those that came have their facts


@pytest.mark.parametrize("kind", ["status", "cut", "noise"])
def test_what_did_not_come_whole_is_asked_for_again(server, tmp_path, kind):
    server.fault = {"ISIC_0000003": (kind, 1)}
    assert files(fetch(server, tmp_path / "set", ["melanoma"])).keys() == set(
        server.found(archive.DIAGNOSES["melanoma"])
    )
    assert server.asked.count("ISIC_0000003") >= 2
    assert files(tmp_path / "set")["ISIC_0000003"] == server.photographs["ISIC_0000003"][1]


def test_a_set_that_is_not_whole_is_not_called_so(server, tmp_path):
    server.fault = {"ISIC_0000003": ("status", 1000)}
    message = r"melanoma: 1 of 6 photographs could not be got .*the first: ISIC_0000003.*kept in"
    with pytest.raises(connection.DownloadError, match=message):
        fetch(server, tmp_path / "set", ["melanoma"])
    server.fault, asked = {}, len(server.asked)
    fetch(server, tmp_path / "set", ["melanoma"])
    assert server.asked[asked:] == ["ISIC_0000003"]


def test_a_killed_download_goes_on(server, tmp_path):
    server.slow = 0.3
    code = "import sys; from skincnn import archive; archive.fetch(sys.argv[3:], destination="
    code += "sys.argv[1], address=sys.argv[2])"
    words = [sys.executable, "-c", code, str(tmp_path / "set"), server.url, *NAMES]
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 60
    while len(server.asked) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.4)  # some have come, others are on their way
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "set" / "metadata.csv").exists()
    server.slow, before = 0.0, set(files(tmp_path / "set"))
    server.asked.clear()
    assert files(fetch(server, tmp_path / "set")) == everything(server)
    assert not before & set(server.asked)


def test_nobody_there_is_told_at_once(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    began = time.monotonic()
    with pytest.raises(connection.DownloadError, match=r"archive cannot be reached .*refused"):
        archive.fetch(["melanoma"], destination=tmp_path / "set", progress=False, address=address)
    assert time.monotonic() - began < 30 and not (tmp_path / "set").exists()


def test_a_search_that_is_not_understood_and_one_that_finds_nothing(server, tmp_path):
    server.refuse = True
    with pytest.raises(connection.DownloadError, match="melanoma: the archive's client stopped"):
        fetch(server, tmp_path / "set", ["melanoma"])
    server.refuse, server.photographs = False, {}
    with pytest.raises(connection.DownloadError, match=r"has no photographs for"):
        fetch(server, tmp_path / "set", ["melanoma"])


def test_what_is_asked_for_is_checked_first(tmp_path):
    with pytest.raises(ValueError, match=r"diagnosis 'mole': choose of actinic"):
        archive.fetch(["mole"], destination=tmp_path)
    with pytest.raises(ValueError, match="limit=-1"):
        archive.fetch(["nevus"], limit=-1, destination=tmp_path)
