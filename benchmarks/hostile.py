"""Hostile requests by the thousand: the service answers the honest ones meanwhile, and stays small.

    python benchmarks/hostile.py MODEL [--requests 2000] [--slow 64] [--fuzz 60]

Bombs, damaged and foreign files, wrong types, JSON and forms of every bad kind, clients that
dawdle, and schemathesis over the OpenAPI description. Exit code 1 where an answer is a 500, an
honest request goes unanswered, or memory does not come back.
"""

import argparse
import base64
import collections
import io
import json
import random
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import clients
import httpx
import numpy as np
from PIL import Image
from rows import row

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import odd_files
import test_hostile

FORM = {"content-type": "multipart/form-data; boundary=x"}
JSON = {"content-type": "application/json"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="an exported model")
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--slow", type=int, default=64, help="clients that dawdle meanwhile")
    parser.add_argument("--fuzz", type=int, default=60, help="examples an address")
    asked = parser.parse_args()
    with clients.running(clients.served(asked.model)) as (address, pid):
        model = httpx.get(address + "/api/model").json()
        held = clients.Memory(pid)
        for _ in range(5):
            honest(address)
        before = held.now
        stop = threading.Event()
        good, bad = collections.Counter(), collections.Counter()
        others = [
            threading.Thread(target=dawdle, args=(address, number, stop))
            for number in range(asked.slow)
        ]
        others.append(threading.Thread(target=keep_asking, args=(address, stop, good)))
        for thread in others:
            thread.start()
        requests = list(hostile(f"/v1/models/{model['name']}:predict", asked.requests))
        began = time.perf_counter()
        with ThreadPoolExecutor(8) as pool:
            for kind, status in pool.map(lambda one: send(address, *one), requests):
                bad[kind, status] += 1
        seconds = time.perf_counter() - began
        fuzzed = fuzz(address, asked.fuzz) if asked.fuzz else "not asked"
        stop.set()
        for thread in others:
            thread.join()
        until = time.monotonic() + 60
        while held.now > 1.2 * before and time.monotonic() < until:
            time.sleep(0.5)
        after = held.now
        alive = honest(address)[0]
    print(f"{asked.requests} hostile requests in {seconds:.0f} s, {asked.slow} clients dawdling")
    for (kind, status), count in sorted(bad.items(), key=str):
        print(f"  {kind:24} {status}  {count}")
    times = sorted(TIMES)
    print(f"honest requests meanwhile: {good['answered']} answered, {good['failed']} not", end="")
    print(f"; median {times[len(times) // 2]:.2f} s, at most {times[-1]:.2f} s")
    print(f"schemathesis: {fuzzed}")
    print(f"memory: {before:.0f} MB before, {held.most:.0f} at most, {after:.0f} after")
    errors = sum(count for (_, status), count in bad.items() if status in (500, "none"))
    print(f"500 or no answer: {errors}; the service {'answers' if alive else 'is gone'}")
    honestly = f"{good['answered']} of {good.total()} honest ones answered meanwhile"
    told = f"{errors} errors of {asked.requests}; {honestly}; schemathesis: {fuzzed}"
    row("hostile requests", told)
    peak = f"{held.most:.0f} MB at most, {after:.0f} after"
    row("memory under hostile requests", peak, f"{before:.0f} MB before")
    if errors or good["failed"] or not alive or after > 1.2 * before or fuzzed == "failures":
        sys.exit(1)


TIMES = []  # seconds that honest requests took


def honest(address: str) -> tuple[bool, float]:
    photograph = odd_files.saved(Image.fromarray(odd_files.painted()), "JPEG")
    began = time.perf_counter()
    try:
        answer = httpx.post(
            address + "/api/classify", files={"a": ("a.jpg", photograph)}, timeout=60
        )
        while answer.status_code == 503:  # told to come again
            time.sleep(float(answer.headers["retry-after"]))
            answer = httpx.post(
                address + "/api/classify", files={"a": ("a.jpg", photograph)}, timeout=60
            )
        fine = answer.status_code == 200
    except httpx.HTTPError:
        fine = False
    return fine, time.perf_counter() - began


def keep_asking(address: str, stop: threading.Event, good: collections.Counter) -> None:
    while not stop.wait(0.5):
        fine, seconds = honest(address)
        good["answered" if fine else "failed"] += 1
        TIMES.append(seconds)


def hostile(predict: str, count: int):
    """Requests as (kind, path, headers, body), all kinds in a shuffled turn, the same each run."""
    rng = random.Random(0)
    unusable = odd_files.unusable()
    bombs = test_hostile.bombs() | {"large": large()}
    sound = odd_files.saved(Image.fromarray(odd_files.painted()), "JPEG")
    noise = np.random.default_rng(0).integers(0, 256, 60_000, np.uint8).tobytes()

    def form(content: bytes) -> bytes:
        head = b'--x\r\nContent-Disposition: form-data; name="a"; filename="a.jpg"\r\n\r\n'
        return head + content + b"\r\n--x--\r\n"

    def instance(content: bytes) -> bytes:
        return json.dumps({"instances": [{"b64": base64.b64encode(content).decode()}]}).encode()

    def cut():
        return sound[: rng.randrange(len(sound))]

    def flipped():
        content = bytearray(sound)
        for _ in range(rng.randrange(1, 20)):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        return bytes(content)

    classify = "/api/classify"
    kinds = [
        *((f"bomb: {name}", lambda b=b: (classify, FORM, form(b))) for name, b in bombs.items()),
        *(
            (f"file: {name}", lambda c=c: (predict, JSON, instance(c)))
            for name, (c, _) in unusable.items()
        ),
        ("truncated", lambda: (classify, FORM, form(cut()))),
        ("truncated, b64", lambda: (predict, JSON, instance(cut()))),
        ("flipped bits", lambda: (classify, FORM, form(flipped()))),
        ("noise", lambda: (classify, FORM, form(noise[: rng.randrange(60_000)]))),
        ("wrong type", lambda: (classify, {"content-type": "image/jpeg"}, sound)),
        ("wrong type, REST", lambda: (predict, {"content-type": "text/plain"}, instance(sound))),
        ("no form", lambda: (classify, FORM, noise)),
        ("form without end", lambda: (classify, FORM, form(sound)[: -rng.randrange(2, 900)])),
        ("many parts", lambda: (classify, FORM, b"--x\r\n" * 100_000)),
        ("deep JSON", lambda: (predict, JSON, b"[" * rng.randrange(1, 200_000))),
        ("wide JSON", lambda: (predict, JSON, b'{"instances":[' + b"{}," * 500_000 + b"{}]}")),
        ("huge JSON", lambda: (predict, JSON, b'{"instances":"' + b"a" * 31_000_000 + b'"}')),
        ("huge body", lambda: (predict, JSON, bytes(40_000_000))),
        ("long number", lambda: (predict, JSON, b"9" * 500_000)),
        ("no base64", lambda: (predict, JSON, b'{"instances":[{"b64":"\xc3\xbc"}]}')),
        ("not UTF-8", lambda: (predict, JSON, b'{"instances":[{"b64":"\xff\xfe"}]}')),
        ("occlusion of a bomb", lambda: ("/api/occlusion", FORM, form(bombs["pixels"]))),
        ("nowhere", lambda: (f"/../../{rng.random()}", JSON, b"{}")),
    ]
    turns = [kinds[number % len(kinds)] for number in range(count)]
    rng.shuffle(turns)
    return ((kind, *make()) for kind, make in turns)


def large() -> bytes:
    """50 megapixels with transparency, in a few kilobytes."""
    stream = io.BytesIO()
    Image.new("RGBA", (7000, 7000), (1, 2, 3, 4)).save(stream, "PNG", compress_level=9)
    return stream.getvalue()


def send(address: str, kind: str, path: str, headers: dict, body: bytes) -> tuple:
    try:
        answer = httpx.post(address + path, content=body, headers=headers, timeout=120)
        return kind, answer.status_code
    except httpx.HTTPError:
        return kind, "none"


def dawdle(address: str, number: int, stop: threading.Event) -> None:
    """Open a connection, send a byte now and then, open another when it is closed."""
    host, port = address.removeprefix("http://").split(":")
    starts = [b"GET / HTTP/1.1\r\nX: ", test_hostile.HEAD + b"Content-Length: 9999999\r\n\r\n--x"]
    starts.append(b"")
    while not stop.is_set():
        try:
            with socket.create_connection((host, int(port)), timeout=5) as line:
                line.sendall(starts[number % len(starts)])
                while not stop.wait(1):
                    if starts[number % len(starts)]:
                        line.sendall(struct.pack("B", 97))
        except OSError:
            stop.wait(0.2)


def fuzz(address: str, examples: int) -> str:
    """Schemathesis over the description: no 500, and what is described is what is answered."""
    command = [sys.executable, "-m", "schemathesis.cli", "run", address + "/openapi.json"]
    command += ["--checks", "not_a_server_error,status_code_conformance,content_type_conformance"]
    command[-1] += ",response_schema_conformance"
    command += ["--max-examples", str(examples), "--seed", "1", "--generation-database", "none"]
    with tempfile.TemporaryDirectory() as place:  # it keeps notes where it runs
        answer = subprocess.run(command, capture_output=True, text=True, cwd=place)
    if answer.returncode:
        print(answer.stdout[-6000:], answer.stderr[-2000:])
        return "failures"
    return "no failures"


if __name__ == "__main__":
    main()
