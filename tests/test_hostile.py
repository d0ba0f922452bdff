"""Clients that mean no good: the service stays up, gives memory back, and answers the others."""

import asyncio
import dataclasses
import io
import socket
import struct
import threading
import time
import types
import zlib

import artefacts
import numpy as np
import odd_files
import pytest
import served
from PIL import Image

httpx = pytest.importorskip("httpx")
for needed in ("fastapi", "uvicorn", "onnxruntime", "onnx"):
    pytest.importorskip(needed)
from skincnn import answering, images, uploads  # noqa: E402
from skincnn.batching import Batcher, Busy  # noqa: E402
from skincnn.limits import Limits, Refused  # noqa: E402

QUICK = {"head_seconds": 1, "silent_seconds": 1, "body_seconds": 2, "connections": 40}
HEAD = (
    b"POST /api/classify HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    model = artefacts.write(tmp_path_factory.mktemp("model") / "by_colour.onnx")
    with served.serve(model, limits=QUICK) as service:
        yield service


def connected(running):
    host, port = running.address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=20)


def answered(running):
    """Ask as an honest client does."""
    photograph = odd_files.saved(Image.new("RGB", (64, 48), artefacts.RED), "JPEG")
    answer = httpx.post(running.address + "/api/classify", files={"a": photograph}, timeout=30)
    return answer.status_code == 200 and answer.json()["photographs"][0]["answer"] == "malignant"


def drip(running, start, byte, stop):
    """Send a start, then a byte now and then; how many got through before the line was cut."""
    with connected(running) as line:
        line.sendall(start)
        for sent in range(60):
            if stop.wait(0.2):
                break
            try:
                line.sendall(byte)
                line.settimeout(0.01)
                if line.recv(100) == b"":
                    return sent
            except TimeoutError:
                continue
            except OSError:
                return sent
    return None


@pytest.mark.parametrize(
    ("start", "byte"),
    [
        (b"GET / HTTP/1.1\r\nX: ", b"a"),
        (HEAD + b"Content-Length: 9999\r\n\r\n--x", b"a"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
        # the second request of a pipeline has no more time than the first
        (b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nX: ", b"a"),
    ],
    ids=["head", "body", "chunks", "pipeline"],
)
def test_who_dawdles_is_hung_up_on(running, start, byte):
    stop = threading.Event()
    cut = []
    lines = [
        threading.Thread(target=lambda: cut.append(drip(running, start, byte, stop)))
        for _ in range(8)
    ]
    for line in lines:
        line.start()
    assert answered(running)
    for line in lines:
        line.join(30)
    stop.set()
    assert len(cut) == 8 and None not in cut


def test_an_honest_pipeline_is_answered(running):
    with connected(running) as line:
        one = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
        line.sendall(one * 3)
        got = b""
        while got.count(b'"status":"ok"') < 3:
            piece = line.recv(4096)
            assert piece, got
            got += piece


def test_idle_connections_make_room(running):
    lines = []
    for _ in range(60):
        lines.append(connected(running))
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            if answered(running):
                break
        except httpx.TransportError:
            time.sleep(0.2)
    else:
        pytest.fail("no room for an honest client")
    for line in lines:
        line.close()


def test_a_head_too_long_is_refused(running):
    with connected(running) as line:
        line.sendall(b"GET / HTTP/1.1\r\nX: " + b"a" * 40_000)
        got = b""
        while piece := line.recv(4096):  # head and body may come apart
            got += piece
    assert b" 400 " in got and b'{"error"' in got


def bombs():
    """Small files that would be large pictures, or cost much to look at."""

    def strips(count):
        entries = [(256, 16), (257, count), (258, 8), (259, 1), (262, 1), (277, 1), (278, 1)]
        at = 8 + 2 + 12 * 9 + 4
        listed = [(tag, 4, 1, value) for tag, value in entries]
        listed += [(273, 4, count, at), (279, 4, count, at + 4 * count)]
        packed = b"".join(struct.pack("<HHII", *entry) for entry in sorted(listed))
        head = b"II*\0" + struct.pack("<IH", 8, 9) + packed + bytes(4)
        return head + struct.pack("<I", 8) * count + struct.pack("<I", 16) * count

    progressive = odd_files.saved(Image.new("L", (2000, 2000)), "JPEG", progressive=True)
    scan = progressive[progressive.rfind(b"\xff\xda") : -2]
    plain = io.BytesIO()
    Image.new("RGB", (5000, 5000)).save(plain, "PNG")
    runs = struct.pack("<IiiHHIIiiII", 40, 5000, 5000, 1, 8, 1, 0, 0, 0, 256, 0)
    text = zlib.compress(bytes(30_000_000))
    chunk = b"zTXt" + b"a\0\0" + text
    stuffed = plain.getvalue()
    chunk = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return {
        "pixels": odd_files.png(20_000, 20_000, 8, 2),
        "many pixels": plain.getvalue(),
        "scans": progressive[:-2] + scan * 5000 + b"\xff\xd9",
        "strips": strips(500_000),
        "runs": b"BM" + struct.pack("<IHHI", 0, 0, 0, 1078) + runs + bytes(2**21),
        "text": stuffed[:33] + chunk + stuffed[33:],
    }


def test_bombs_cost_little_and_memory_comes_back(running):
    assert answered(running)
    before = running.memory
    for _ in range(2):
        for name, bomb in bombs().items():
            began = time.monotonic()
            answer = httpx.post(running.address + "/api/classify", files={"a": bomb}, timeout=60)
            assert answer.status_code in (200, 422), name
            assert time.monotonic() - began < 30, name
    assert answered(running)
    until = time.monotonic() + 20
    while running.memory > before + 50 * 2**20 and time.monotonic() < until:
        time.sleep(0.2)
    assert running.memory < before + 50 * 2**20
    assert running.log == ""


@pytest.mark.parametrize(
    ("name", "said"), [("scans", "scans"), ("strips", "pieces"), ("runs", "runs")]
)
def test_what_costs_too_much_is_not_decoded(name, said):
    with pytest.raises(images.ImageProblem, match=said):
        uploads.check(bombs()[name], Limits())


def test_bodies_share_one_allowance():
    import asyncio

    limits = Limits(body_bytes=1000, bodies_bytes=1500)

    async def stream(size):
        for _ in range(size // 100):
            yield bytes(100)

    async def run():
        bodies = uploads.Bodies(limits)
        with bodies.hold() as one, bodies.hold() as other, bodies.hold() as third:
            assert len(await one.read(stream(900), None)) == 900
            with pytest.raises(Refused) as refused:
                await other.read(stream(900), None)
            assert refused.value.status == 503 and refused.value.retry_after
            with pytest.raises(Refused) as refused:
                await third.read(stream(100), "1001")
            assert refused.value.status == 413
        assert bodies.held == 0

    asyncio.run(run())


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("multipart/form-data; boundary*=idna''x", 'filename="a"'),
        ("multipart/form-data; boundary=x", "filename*=undefined''%ff.jpg"),
        ("multipart/form-data; boundary=x", "name*=punycode''%ff; filename=a"),
    ],
)
def test_a_name_in_a_codec_of_its_own_is_refused(kind, name):
    head = f"Content-Disposition: form-data; {name}".encode()
    body = b"--x\r\n" + head + b"\r\n\r\nabc\r\n--x--\r\n"
    with pytest.raises(Refused) as refused:
        files, _ = uploads.form(body, kind, Limits())
        assert files[0].name == "a"  # read after all: nothing was wrong
        raise Refused(400, "as good")
    assert refused.value.status == 400


def test_large_photographs_of_one_request_wait_for_each_other():
    def pixels(data):
        time.sleep(0.01)
        return np.zeros((32, 32, 3), np.uint8)

    network = types.SimpleNamespace(facts=None, pixels=pixels, verdicts=list)
    limits = dataclasses.replace(Limits(), large_pixels=100, large=2)
    photograph = odd_files.saved(Image.new("RGB", (64, 48), artefacts.RED), "JPEG")
    answerer = answering.Answerer(network, limits, lambda size: None)
    told = asyncio.run(answerer.verdicts([photograph] * limits.files))
    answerer.close()
    assert len(told) == limits.files
    assert (answerer._taken, answerer._heavy) == (0, 0)


def test_an_error_of_all_is_told_to_all_at_once():
    calls, release = [], threading.Event()

    def answer(pixels):
        release.wait(20)
        calls.append(len(pixels))
        raise ConnectionError("gone")

    batcher = Batcher(answer, most=2, of_all=(ConnectionError,))
    futures = [batcher.submit(np.zeros((1, 2, 2, 3), np.uint8)) for _ in range(9)]
    release.set()
    for future in futures:
        with pytest.raises(ConnectionError):
            future.result(20)
    assert len(calls) == 1, "who waited is not to wait for the same again"
    with pytest.raises(ConnectionError):  # who comes after is asked about
        batcher.submit(np.zeros((1, 2, 2, 3), np.uint8)).result(20)
    batcher.close()
    assert len(calls) == 2


def test_a_batch_that_breaks_is_tried_one_by_one():
    import numpy as np

    release, sizes = threading.Event(), []

    def answer(pixels):
        release.wait(20)
        if (pixels == 9).any():
            raise ValueError("nine")
        return pixels[:, 0, 0, 0].tolist()

    batcher = Batcher(answer, most=4, places=6, seen=sizes.append)
    photographs = [np.full((1, 2, 2, 3), n, np.uint8) for n in (1, 2, 9, 4)]
    first = batcher.submit(np.zeros((1, 2, 2, 3), np.uint8))
    futures = [batcher.submit(p) for p in photographs]
    with pytest.raises(Busy):
        for _ in range(4):
            batcher.submit(photographs[0])
    release.set()
    assert first.result(20) == [0]
    assert [f.result(20) for f in (futures[0], futures[1], futures[3])] == [[1], [2], [4]]
    with pytest.raises(ValueError, match="nine"):
        futures[2].result(20)
    batcher.close()
    assert max(sizes) <= 4
    with pytest.raises(Busy):
        batcher.submit(photographs[0])
