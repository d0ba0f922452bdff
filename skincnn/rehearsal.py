"""A rehearsal of the cloud on this machine: Cloud Storage and Vertex AI, in one small server.

    with rehearsal.Cloud(containers=True) as cloud:
        vertex.deploy(vertex.Plan("mole.onnx", "my-project", "europe-west4", "a-bucket", IMAGE))

Storage is gcp-storage-emulator. The calls of Vertex AI are those that Google's client was seen to
make, answered as its reference says (https://cloud.google.com/vertex-ai/docs/reference/rest): what
the real one does beyond that is not known here. Operations take a moment, and go on when nobody
waits for them. A deployed model runs as its container would, in a process of its own that is told
by AIP_STORAGE_URI where its model is. Nothing leaves this machine.

Needs gcp-storage-emulator, which `skincnn[dev]` brings.
"""

import contextlib
import http.server
import io
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import NamedTuple

STORAGE_VARIABLE = "STORAGE_EMULATOR_HOST"
VERTEX_VARIABLE = "CLOUDSDK_API_ENDPOINT_OVERRIDES_AIPLATFORM"  # as gcloud calls it
BUCKET = "rehearsal"
NUMBER = "123456789012"  # resources' names have the project's number, whatever it was called
_TYPES = "type.googleapis.com/google.cloud.aiplatform.v1."
_START_SECONDS = 60  # a container may take to answer for the first time
_PLACE = re.compile(
    r"/(?:v1|ui)/projects/[^/]+/locations/(?P<region>[^/]+)/(?P<kind>models|endpoints|operations)"
    r"(?:/(?P<id>[^/:@]+))?(?:@[^/:]+)?(?P<below>/operations(?:/(?P<operation>[^/:]+))?)?"
    r"(?::(?P<verb>\w+))?"
)


class Seen(NamedTuple):
    """A request that arrived."""

    method: str
    path: str
    host: str  # it was meant for
    authorization: str  # "" for none


class _Refused(Exception):
    def __init__(self, code: int, status: str, message: str):
        super().__init__(message)
        self.answer = code, {"error": {"code": code, "status": status, "message": message}}


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
        self.models: dict[str, dict] = {}
        self.endpoints: dict[str, dict] = {}
        self.seen: list[Seen] = []
        self.redirect = ""  # another host: all are sent there
        self._operations: dict[str, dict] = {}
        self._processes: dict[str, tuple[subprocess.Popen, str]] = {}
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
        for name in list(self._processes):
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
        return [one for e in self.endpoints.values() for one in e.get("deployedModels", [])]

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

    def vertex(self, method: str, path: str, body: bytes) -> tuple[int, dict]:
        """The answer of Vertex AI to a request: status and JSON."""
        address = urllib.parse.urlsplit(path)
        match = _PLACE.fullmatch(urllib.parse.unquote(address.path))
        try:
            if match is None:
                raise _Refused(404, "NOT_FOUND", f"no such address: {address.path}")
            with self._lock:
                self._go_on()
                query = {k: v[0] for k, v in urllib.parse.parse_qs(address.query).items()}
                called = match["verb"] or ("operations" if match["below"] else "")
                if match["kind"] == "operations" or match["operation"]:
                    return 200, self._operation(match["operation"] or match["id"])
                name = f"_{method.lower()}_{match['kind']}_{called}".rstrip("_")
                act = getattr(self, name, None)
                if act is None:
                    raise _Refused(501, "UNIMPLEMENTED", f"{method} {address.path}")
                found = act(match, query, json.loads(body or b"{}"))
            # Outside the lock: a container may take its time, or ask for its model here.
            return 200, found() if callable(found) else found
        except _Refused as refused:
            return refused.answer

    # --- models ---------------------------------------------------------------------------------

    def _post_models_upload(self, match, _, body):
        name, model = body["modelId"], body["model"]
        self._free("models", name)
        model = {
            **model,
            "name": self._name(match, "models", name),
            "versionId": "1",
            "createTime": _now(),
        }
        told = {"model": model["name"], "modelVersionId": "1"}
        return self._begin(
            match, "models", name, "UploadModel", told, lambda: self.models.update({name: model})
        )

    def _get_models(self, match, query, _):
        if match["id"]:
            return self._found("models", match["id"])
        wanted = re.findall(r'labels\.([\w-]+)\s*=\s*"?([\w-]+)"?', query.get("filter", ""))
        fits = [
            model
            for model in self.models.values()
            if all(model.get("labels", {}).get(key) == value for key, value in wanted)
        ]
        return {"models": fits}

    def _delete_models(self, match, *_):
        name = self._found("models", match["id"])["name"]
        if any(one["model"].partition("@")[0] == name for one in self.deployed()):
            raise _Refused(400, "FAILED_PRECONDITION", f"{name} is deployed")
        return self._begin(
            match, "models", match["id"], "Delete", {}, lambda: self.models.pop(match["id"], None)
        )

    # --- endpoints ------------------------------------------------------------------------------

    def _post_endpoints(self, match, query, body):
        name = query["endpointId"]
        self._free("endpoints", name)
        endpoint = {**body, "name": self._name(match, "endpoints", name), "createTime": _now()}
        return self._begin(
            match,
            "endpoints",
            name,
            "CreateEndpoint",
            {"name": endpoint["name"]},
            lambda: self.endpoints.update({name: endpoint}),
        )

    def _get_endpoints(self, match, query, _):
        if match["id"]:
            return self._found("endpoints", match["id"])
        return {"endpoints": list(self.endpoints.values())}

    def _get_endpoints_operations(self, match, *_):
        below = [one for one in self._operations.values() if one["of"] == match["id"]]
        return {"operations": [one["answer"] for one in below]}

    def _delete_endpoints(self, match, *_):
        endpoint = self._found("endpoints", match["id"])
        if endpoint.get("deployedModels"):
            raise _Refused(400, "FAILED_PRECONDITION", f"{endpoint['name']} has models")
        name = match["id"]
        return self._begin(
            match, "endpoints", name, "Delete", {}, lambda: self.endpoints.pop(name, None)
        )

    def _post_endpoints_deployModel(self, match, _, body):
        endpoint, model = self._found("endpoints", match["id"]), body["deployedModel"]
        number = model["id"]
        busy = [one for one in self._operations.values() if one.get("deploys") == number]
        if any(one["id"] == number for one in self.deployed()) or busy:
            raise _Refused(409, "ALREADY_EXISTS", f"deployed model {number} exists")
        registered = self._found("models", model["model"].rsplit("/", 1)[-1].partition("@")[0])
        split = {key if key != "0" else number: v for key, v in body["trafficSplit"].items()}
        if sum(split.values()) != 100:
            raise _Refused(400, "INVALID_ARGUMENT", f"the traffic split is {split}")

        def act():
            if self.containers:
                self._run(number, registered)
            endpoint.setdefault("deployedModels", []).append({**model, "createTime": _now()})
            endpoint["trafficSplit"] = split

        told = {"deployedModel": model}
        begun = self._begin(match, "endpoints", match["id"], "DeployModel", told, act)
        self._operations[begun["name"].rsplit("/", 1)[-1]]["deploys"] = number
        return begun

    def _post_endpoints_undeployModel(self, match, _, body):
        endpoint, number = self._found("endpoints", match["id"]), body["deployedModelId"]
        there = endpoint.get("deployedModels", [])
        if all(one["id"] != number for one in there):
            raise _Refused(404, "NOT_FOUND", f"no deployed model {number}")
        left = {k: v for k, v in endpoint.get("trafficSplit", {}).items() if k != number}
        if left and sum(left.values()) != 100 and not body.get("trafficSplit"):
            raise _Refused(400, "FAILED_PRECONDITION", "traffic goes there, and it is not the last")

        def act():
            self._end(number)
            endpoint["deployedModels"] = [
                o for o in endpoint["deployedModels"] if o["id"] != number
            ]
            endpoint["trafficSplit"] = body.get("trafficSplit") or left

        return self._begin(match, "endpoints", match["id"], "UndeployModel", {}, act)

    def _post_endpoints_predict(self, match, _, body):
        endpoint = self._found("endpoints", match["id"])
        split = endpoint.get("trafficSplit") or {}
        if not split:
            raise _Refused(400, "FAILED_PRECONDITION", f"{endpoint['name']} has no model")
        if len(json.dumps(body)) > 1_500_000:
            raise _Refused(400, "INVALID_ARGUMENT", "the request is larger than 1.5 MB")
        number = max(split, key=split.get)

        def answer():
            if number in self._processes:
                told = _ask(self._processes[number][1], body)
            else:
                told = {"predictions": self.answer(body["instances"])}
            return {**told, "deployedModelId": number}

        return answer

    # --- operations -----------------------------------------------------------------------------

    def _begin(self, match, kind: str, of: str, what: str, told: dict, act: Callable) -> dict:
        """Begin something that takes a moment and happens whether or not anybody waits for it."""
        number = str(1000 + len(self._operations))
        answer = {
            "name": f"{self._name(match, kind, of)}/operations/{number}",
            "metadata": {"@type": f"{_TYPES}{what}OperationMetadata", "genericMetadata": {}},
        }
        kind_of_answer = "type.googleapis.com/google.protobuf.Empty"
        if what != "Delete":
            kind_of_answer = f"{_TYPES}{what}Response"
            if what == "CreateEndpoint":
                kind_of_answer = f"{_TYPES}Endpoint"
        self._operations[number] = {
            "of": of,
            "answer": answer,
            "at": time.monotonic() + self.seconds,
            "act": act,
            "then": {"done": True, "response": {"@type": kind_of_answer, **told}},
        }
        return dict(answer)

    def _go_on(self) -> None:
        for one in self._operations.values():
            if one["act"] and time.monotonic() >= one["at"]:
                act, one["act"] = one["act"], None
                one.pop("deploys", None)
                try:
                    act()
                    one["answer"] |= one["then"]
                except OSError as error:  # a container that does not start
                    one["answer"] |= {"done": True, "error": {"code": 13, "message": str(error)}}

    def _operation(self, number: str) -> dict:
        if number not in self._operations:
            raise _Refused(404, "NOT_FOUND", f"no operation {number}")
        return self._operations[number]["answer"]

    def _name(self, match, kind: str, name: str) -> str:
        return f"projects/{NUMBER}/locations/{match['region']}/{kind}/{name}"

    def _found(self, kind: str, name: str) -> dict:
        there = getattr(self, kind)
        if name not in there:
            raise _Refused(404, "NOT_FOUND", f"the {kind[:-1]} {name} is not found")
        return there[name]

    def _free(self, kind: str, name: str) -> None:
        coming = any(o["of"] == name and o["act"] for o in self._operations.values())
        if name in getattr(self, kind) or coming:
            raise _Refused(409, "ALREADY_EXISTS", f"the {kind[:-1]} {name} exists")

    # --- containers -----------------------------------------------------------------------------

    def _run(self, number: str, model: dict) -> None:
        """Start the service as Vertex AI starts a container."""
        spec, port = model["containerSpec"], _free_port()
        url = f"http://127.0.0.1:{port}"
        told = {
            "AIP_HTTP_PORT": str(port),
            "AIP_HEALTH_ROUTE": spec["healthRoute"],
            "AIP_PREDICT_ROUTE": spec["predictRoute"],
            "AIP_STORAGE_URI": model["artifactUri"],
        }
        command = [sys.executable, "-c", "from skincnn.cli import main; main()", "serve"]
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1"],
            env=os.environ | told,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._processes[number] = process, url + spec["predictRoute"]

    def _end(self, number: str) -> None:
        if number in self._processes:
            process, _ = self._processes.pop(number)
            process.terminate()
            process.wait()


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
                self._json(*cloud.vertex(self.command, self.path, self._body()))
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


def _ask(url: str, body: dict) -> dict:
    """The answer of a container, waited for while it starts."""
    until = time.monotonic() + _START_SECONDS
    while True:
        request = urllib.request.Request(
            url, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise _Refused(error.code, "INVALID_ARGUMENT", error.read().decode()[:500]) from None
        except OSError as error:
            if time.monotonic() > until:
                raise _Refused(503, "UNAVAILABLE", f"the container: {error}") from None
            time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        return some.getsockname()[1]


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
