"""The calls of Vertex AI that deploying makes, answered from memory; `rehearsal` listens for them.

They are those that Google's client was seen to make, answered as the reference says
(https://cloud.google.com/vertex-ai/docs/reference/rest). What the real one does beyond that is not
known here. Operations take a moment, and go on when nobody waits for them.
"""

import json
import re
import threading
import time
import urllib.parse
from collections.abc import Callable

NUMBER = "123456789012"  # resources' names have the project's number, whatever it was called
REQUEST_BYTES = 1_500_000  # that a public endpoint takes
OPERATIONS = 100  # a page of them
_TYPES = "type.googleapis.com/google.cloud.aiplatform.v1."
_PLACE = re.compile(
    r"/(?:v1|ui)/projects/[^/]+/locations/(?P<region>[^/]+)/(?P<kind>models|endpoints|operations)"
    r"(?:/(?P<id>[^/:@]+))?(?:@[^/:]+)?(?P<below>/operations(?:/(?P<operation>[^/:]+))?)?"
    r"(?::(?P<verb>\w+))?"
)


class Refused(Exception):
    """An error as Google's services answer it."""

    def __init__(self, code: int, status: str, message: str):
        super().__init__(message)
        self.answer = code, {"error": {"code": code, "status": status, "message": message}}


class Vertex:
    """Models, endpoints, operations of one project.

    Args:
        run: starts what answers for a deployed model: given its number and the registered model.
        end: ends it, given the number.
        ask: its answer to a request's body, given the number too.
        seconds: that an operation takes.
    """

    def __init__(self, run: Callable, end: Callable, ask: Callable, seconds: float):
        self.models: dict[str, dict] = {}
        self.endpoints: dict[str, dict] = {}
        self._operations: dict[str, dict] = {}
        self._run, self._end, self._ask, self._seconds = run, end, ask, seconds
        self._lock = threading.RLock()

    def deployed(self) -> list[dict]:
        """Models that endpoints answer with."""
        return [one for e in self.endpoints.values() for one in e.get("deployedModels", [])]

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, dict]:
        """The answer to a request: status and JSON."""
        address = urllib.parse.urlsplit(path)
        match = _PLACE.fullmatch(urllib.parse.unquote(address.path))
        try:
            if match is None:
                raise Refused(404, "NOT_FOUND", f"no such address: {address.path}")
            with self._lock:
                self._go_on()
                query = {k: v[0] for k, v in urllib.parse.parse_qs(address.query).items()}
                called = match["verb"] or ("operations" if match["below"] else "")
                if match["kind"] == "operations" or match["operation"]:
                    return 200, self._operation(match["operation"] or match["id"])
                name = f"_{method.lower()}_{match['kind']}_{called}".rstrip("_")
                act = getattr(self, name, None)
                if act is None:
                    raise Refused(501, "UNIMPLEMENTED", f"{method} {address.path}")
                found = act(match, query, json.loads(body or b"{}"))
            # Outside the lock: a container may take its time, or ask for its model here.
            return 200, found() if callable(found) else found
        except Refused as refused:
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
            raise Refused(400, "FAILED_PRECONDITION", f"{name} is deployed")
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

    def _get_endpoints_operations(self, match, query, _):
        below = [one["answer"] for one in self._operations.values() if one["of"] == match["id"]]
        start = int(query.get("pageToken", 0))
        end = start + OPERATIONS
        token = {"nextPageToken": str(end)} if end < len(below) else {}
        return {"operations": below[start:end], **token}

    def _delete_endpoints(self, match, *_):
        endpoint = self._found("endpoints", match["id"])
        if endpoint.get("deployedModels"):
            raise Refused(400, "FAILED_PRECONDITION", f"{endpoint['name']} has models")
        name = match["id"]
        return self._begin(
            match, "endpoints", name, "Delete", {}, lambda: self.endpoints.pop(name, None)
        )

    def _post_endpoints_deployModel(self, match, _, body):
        endpoint, model = self._found("endpoints", match["id"]), body["deployedModel"]
        number = model["id"]
        busy = [one for one in self._operations.values() if one.get("deploys") == number]
        if any(one["id"] == number for one in self.deployed()) or busy:
            raise Refused(409, "ALREADY_EXISTS", f"deployed model {number} exists")
        registered = self._found("models", model["model"].rsplit("/", 1)[-1].partition("@")[0])
        split = {key if key != "0" else number: v for key, v in body["trafficSplit"].items()}
        if sum(split.values()) != 100:
            raise Refused(400, "INVALID_ARGUMENT", f"the traffic split is {split}")

        def act():
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
            raise Refused(404, "NOT_FOUND", f"no deployed model {number}")
        left = {k: v for k, v in endpoint.get("trafficSplit", {}).items() if k != number}
        if left and sum(left.values()) != 100 and not body.get("trafficSplit"):
            raise Refused(400, "FAILED_PRECONDITION", "traffic goes there, and it is not the last")

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
            raise Refused(400, "FAILED_PRECONDITION", f"{endpoint['name']} has no model")
        if len(json.dumps(body)) > REQUEST_BYTES:
            raise Refused(400, "INVALID_ARGUMENT", "the request is larger than 1.5 MB")
        number = max(split, key=split.get)

        return lambda: {**self._ask(number, body), "deployedModelId": number}

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
            "at": time.monotonic() + self._seconds,
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
            raise Refused(404, "NOT_FOUND", f"no operation {number}")
        return self._operations[number]["answer"]

    def _name(self, match, kind: str, name: str) -> str:
        return f"projects/{NUMBER}/locations/{match['region']}/{kind}/{name}"

    def _found(self, kind: str, name: str) -> dict:
        there = getattr(self, kind)
        if name not in there:
            raise Refused(404, "NOT_FOUND", f"the {kind[:-1]} {name} is not found")
        return there[name]

    def _free(self, kind: str, name: str) -> None:
        coming = any(o["of"] == name and o["act"] for o in self._operations.values())
        if name in getattr(self, kind) or coming:
            raise Refused(409, "ALREADY_EXISTS", f"the {kind[:-1]} {name} exists")


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
