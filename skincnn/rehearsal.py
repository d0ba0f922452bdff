"""A rehearsal of the cloud on this machine: Cloud Storage and Vertex AI, in one small server.

    with rehearsal.Cloud(containers=True) as cloud:
        vertex.deploy(vertex.Plan("mole.onnx", "my-project", "europe-west4", cloud.bucket, IMAGE))

Storage is gcp-storage-emulator, Vertex AI is `vertex_calls`. A deployed model runs as its container
would, in a process of its own that is told by AIP_STORAGE_URI where its model is. Nothing leaves
this machine.

Needs gcp-storage-emulator, which `skincnn[dev]` brings.
"""

import contextlib
import http.server
import io
import json
import os
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from skincnn.vertex_calls import Refused, Vertex

STORAGE_VARIABLE = "STORAGE_EMULATOR_HOST"
VERTEX_VARIABLE = "CLOUDSDK_API_ENDPOINT_OVERRIDES_AIPLATFORM"  # as gcloud calls it
BUCKET = "rehearsal"


class Seen(NamedTuple):
    """A request that arrived."""

    method: str
    path: str
    host: str  # it was meant for
    authorization: str  # "" for none


class Service:
    """`skincnn serve` in a process of its own, on a free port; in a `with` block, or until `stop`.

    Args:
        model: a sealed model; None where `environment` says where it is.
        environment: variables for the process.

    Raises:
        RuntimeError: it does not start; what it says.
    """

    def __init__(self, model: str | Path | None = None, **environment: str):
        code = "from skincnn.cli import main; main()"
        words = [*filter(None, [model and str(model)]), "--port", "0"]
        if "AIP_HTTP_PORT" in environment:
            words = words[:-2]
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, "serve", *words],
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._address = ""

    @property
    def address(self) -> str:
        """Where it answers; waited for until it does."""
        while not self._address:
            line = self._process.stdout.readline()
            if not line:
                raise RuntimeError(f"the service ended: exit code {self._process.wait()}")
            _, answers, address = line.partition(" answers at ")
            self._address = address.strip() if answers else ""
        return self._address

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def stop(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait()
        self._process.stdout.close()


class Cloud:
    """The server, with what is in it.

    Args:
        bucket: that there is.
        answer: what a deployed model answers: from a list of instances to one of predictions.
        containers: run `skincnn serve` for a deployed model instead.
        seconds: that an operation takes.
    """

    def __init__(
        self,
        bucket: str = BUCKET,
        answer: Callable[[list], list] | None = None,
        containers: bool = False,
        seconds: float = 0.02,
    ):
        self.bucket, self.answer, self.containers, self.seconds = (
            bucket,
            answer,
            containers,
            seconds,
        )
        self.vertex = Vertex(self._run, self._end, self._ask, seconds)
        self.models, self.endpoints = self.vertex.models, self.vertex.endpoints
        self.seen: list[Seen] = []
        self.redirect = ""  # another host: all are sent there
        self._services: dict[str, tuple[Service, str]] = {}
        self._hangs_up_at, self._heard = None, False
        self._lock = threading.RLock()
        self._before: dict[str, str | None] = {}

    def __enter__(self) -> "Cloud":
        return self.start()

    def __exit__(self, *_) -> None:
        self.stop()

    def start(self) -> "Cloud":
        """Listen, and point Google's clients here; `stop` undoes both."""
        from gcp_storage_emulator.handlers import buckets
        from gcp_storage_emulator.storage import Storage

        self.storage = Storage(use_memory_fs=True)
        buckets.create_bucket(self.bucket, self.storage)
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.host = f"http://127.0.0.1:{self._server.server_address[1]}"
        for variable in (STORAGE_VARIABLE, VERTEX_VARIABLE):
            self._before[variable] = os.environ.get(variable)
            os.environ[variable] = self.host
        return self

    def stop(self) -> None:
        """Listen no more; containers end."""
        for variable, value in self._before.items():
            if value is None:
                os.environ.pop(variable, None)
            else:
                os.environ[variable] = value
        self._before = {}
        for name in list(self._services):
            self._end(name)
        self._server.shutdown()
        self._server.server_close()

    def hang_up(self, at: int, heard: bool) -> None:
        """Break every connection from the `at`-th request on, counted from now, until `mend`.

        Args:
            at: 0 is the next one.
            heard: the `at`-th is acted upon before its connection breaks.
        """
        self._hangs_up_at, self._heard = len(self.seen) + at, heard

    def mend(self) -> None:
        """Break no more connections."""
        self._hangs_up_at = None

    def objects(self) -> list[str]:
        """Names of what is in the bucket."""
        found = self.storage.get_file_list(self.bucket)
        return sorted(one["name"] for one in (found[0] if isinstance(found, tuple) else found))

    def deployed(self) -> list[dict]:
        """Models that endpoints answer with."""
        return self.vertex.deployed()

    # --- what arrives ---------------------------------------------------------------------------

    def arrived(self, request: http.server.BaseHTTPRequestHandler) -> bool | None:
        """Note a request. True: answer it; False: act upon it and hang up; None: hang up."""
        with self._lock:
            number = len(self.seen)
            signed = request.headers.get("Authorization", "")
            host = request.headers.get("Host", "")
            self.seen.append(Seen(request.command, request.path, host, signed))
            if self._hangs_up_at is None or number < self._hangs_up_at:
                return True
            return False if self._heard and number == self._hangs_up_at else None

    # --- containers -----------------------------------------------------------------------------

    def _run(self, number: str, model: dict) -> None:
        """Start the service as Vertex AI starts a container."""
        if not self.containers:
            return
        spec = model["containerSpec"]
        told = {
            "AIP_HTTP_PORT": str(_free_port()),
            "AIP_HEALTH_ROUTE": spec["healthRoute"],
            "AIP_PREDICT_ROUTE": spec["predictRoute"],
            "AIP_STORAGE_URI": model["artifactUri"],
        }
        self._services[number] = Service(**told), spec["predictRoute"]

    def _end(self, number: str) -> None:
        if number in self._services:
            self._services.pop(number)[0].stop()

    def _ask(self, number: str, body: dict) -> dict:
        if number not in self._services:
            return {"predictions": self.answer(body["instances"])}
        service, route = self._services[number]
        try:
            request = urllib.request.Request(
                service.address + route,
                json.dumps(body).encode(),
                {"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise Refused(error.code, "INVALID_ARGUMENT", error.read().decode()[:500]) from None
        except (OSError, RuntimeError) as error:
            raise Refused(503, "UNAVAILABLE", f"the container: {error}") from None


def _handler(cloud: Cloud) -> type:
    from gcp_storage_emulator import server

    class Handler(http.server.BaseHTTPRequestHandler):
        storage = cloud.storage

        def handle_one_request(self):
            self.do_GET = self.do_POST = self.do_PUT = self.do_DELETE = self.do_PATCH = self._any
            self.do_HEAD = self._head
            super().handle_one_request()

        def _head(self):
            self.send_response(200)  # whether anybody is here; not counted
            self.end_headers()

        def _any(self):
            answer = cloud.arrived(self)
            self.close_connection = True
            if answer is None:
                return self._hang_up()
            if not answer:
                self.wfile = io.BytesIO()
            if cloud.redirect:
                self.send_response(307)
                self.send_header("Location", cloud.redirect + self.path)
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif self.path.startswith(("/v1/projects/", "/ui/projects/")):
                self._json(*cloud.vertex.answer(self.command, self.path, self._body()))
            else:
                with cloud._lock:
                    server.Router(self).handle(self.command)
            if not answer:
                self._hang_up()

        def _hang_up(self):
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def _json(self, status: int, content: dict):
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    return Handler


def _free_port() -> int:
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        return some.getsockname()[1]
