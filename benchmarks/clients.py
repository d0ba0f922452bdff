"""What asks a service in the benchmarks: clients that cost next to nothing, and its memory."""

import asyncio
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path


def photographs(folder: Path, most: int = 40) -> list[bytes]:
    """The first usable photographs below a folder, as files."""
    from skincnn import images

    found = []
    for path in sorted(folder.rglob("*.jpg")):
        with contextlib.suppress(images.ImageProblem):
            images.decode(path)
            found.append(path.read_bytes())
        if len(found) == most:
            return found
    if not found:
        sys.exit(f"{folder}: no photographs (skincnn sample draws some)")
    return found


def upload(photograph: bytes, path: str) -> bytes:
    """A whole HTTP request with one photograph in a form."""
    body = b'--x\r\nContent-Disposition: form-data; name="photographs"; filename="a.jpg"\r\n\r\n'
    body += photograph + b"\r\n--x--\r\n"
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    return head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body


async def load(address: str, requests: list[bytes], clients: int, total: int) -> dict:
    """Ask `total` times with so many clients at a time; photographs a second, and quantiles."""
    host, port = address.removeprefix("http://").split(":")
    left, seconds = iter(range(total)), []

    async def client():
        reader, writer = await asyncio.open_connection(host, int(port))
        for number in left:
            began = time.perf_counter()
            writer.write(requests[number % len(requests)])
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head.split(b"\r\n")[0].decode())
            length = head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]
            await reader.readexactly(int(length))
            seconds.append(time.perf_counter() - began)
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    rate = total / (time.perf_counter() - began)
    cuts = statistics.quantiles(seconds, n=100)
    return {"rate": rate, "p50": 1000 * cuts[49], "p99": 1000 * cuts[98]}


class Memory(threading.Thread):
    """Watches what a process holds, in MB: `first`, `most`, and `now`."""

    def __init__(self, pid: int):
        import psutil

        super().__init__(daemon=True)
        self._process = psutil.Process(pid)
        self.first = self.most = self.now
        self.start()

    @property
    def now(self) -> float:
        return self._process.memory_info().rss / 2**20

    def run(self):
        import psutil

        with contextlib.suppress(psutil.Error):
            while True:
                self.most = max(self.most, self.now)
                time.sleep(0.02)


@contextlib.contextmanager
def running(command: list[str], **environment):
    """A service as a process; gives its address and its id once it says where it answers."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
    )
    try:
        for line in process.stdout:
            if " answers at " in line:
                address = line.split()[-1]
                listening(address)
                yield address, process.pid
                break
        else:
            sys.exit("the service did not start")
    finally:
        process.terminate()
        process.wait()


def listening(address: str, seconds: float = 60) -> None:
    """Wait until something takes connections there: an address may be told a moment before."""
    host, port = address.removeprefix("http://").split(":")
    until = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def served(model: Path) -> list[str]:
    """The command that serves a model on a free port."""
    start = "from skincnn.cli import main; main()"
    return [sys.executable, "-c", start, "serve", str(model), "--port", "0"]
