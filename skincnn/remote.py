"""An endpoint of Vertex AI that answers as a model on this machine would.

Needs google-auth and google-api-core, nothing else of Google's. Credentials come from the
environment, go to the region's own host and follow no redirect.
"""

import base64
import dataclasses
import io
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from skincnn import artefact, gcp, images
from skincnn.verdict import Verdict

HOST_VARIABLE = "CLOUDSDK_API_ENDPOINT_OVERRIDES_AIPLATFORM"  # a stand-in's, as gcloud calls it
AT_ONCE = 8  # photographs a request
ANSWER_SECONDS = 20  # for those: more than any network here needs, and others may be waiting
REQUEST_BYTES = 1_400_000  # a public endpoint takes 1.5 MB; the rest is room for what is around
_MARK = "skincnn facts: "
_NAME = re.compile(r"projects/[^/]+/locations/(?P<region>[a-z0-9-]+)/endpoints/[^/]+")


class Remote:
    """An endpoint that `skincnn deploy` set up, asked like a `predictor.Predictor`.

    Photographs are scaled here, and travel without loss: the answers are those of the model itself.
    What it says of itself, `facts`, is read again once another model answers. To be used by one
    thread at a time.

    Args:
        name: `projects/PROJECT/locations/REGION/endpoints/ID`.
        patience: seconds in which a broken connection is tried again; None for `gcp.PATIENCE`.

    Raises:
        gcp.CloudError: no such endpoint or none of ours, no credentials, or no network.

    Example:
        >>> model = remote.Remote("projects/p/locations/europe-west4/endpoints/skincnn-mole")
        >>> model.photograph("photo.jpg").sentence
        'Looks benign: probability of malignancy 4 %; of such photographs 1 to 9 % were …'
    """

    def __init__(self, name: str, patience: float | None = None):
        match = _NAME.fullmatch(name)
        if match is None:
            raise gcp.CloudError(
                f"{name!r}: an endpoint is projects/PROJECT/locations/REGION/endpoints/ID, as "
                "`skincnn deploy` prints it"
            )
        self.name, self._rest = name, Rest(host(match["region"]), patience)
        self._deployed, self.facts = self._told()

    def verdicts(self, pixels: np.ndarray) -> list[Verdict]:
        """Answers to photographs at the model's size, uint8 (N, S, S, 3).

        Raises:
            gcp.CloudError: the endpoint cannot be reached, refuses them, or answers otherwise; or
                has another model by now, of other classes or another size: ask again.
        """
        size = self.facts.image_size
        if pixels.shape[1:] != (size, size, 3):
            raise gcp.CloudError(
                f"{self.name}: its model takes {size} × {size} pixels, not {pixels.shape[1:]}: if "
                "it was replaced, ask again"
            )
        found = []
        for instances in _requests(pixels):
            asked = {"instances": instances}
            answer = self._rest.post(f"{self.name}:predict", asked, ANSWER_SECONDS)
            self._follow(str(answer.get("deployedModelId", self._deployed)))
            try:
                told = [self._verdict(one) for one in answer["predictions"]]
                if len(told) != len(instances):
                    raise ValueError(f"{len(told)} answers to {len(instances)} photographs")
            except (KeyError, TypeError, ValueError) as error:
                raise gcp.CloudError(f"{self.name}: not an answer of skincnn: {error}") from None
            found += told
        return found

    def pixels(self, source: str | Path | bytes) -> np.ndarray:
        """A photograph as the model takes it: uint8 (S, S, 3).

        Raises:
            images.ImageProblem: it cannot be used.
        """
        return images.read(source, self.facts.image_size)

    def photograph(self, source: str | Path | bytes) -> Verdict:
        """The answer to one photograph, a path or a file's bytes.

        Raises:
            images.ImageProblem: it cannot be used.
            gcp.CloudError: as `verdicts`.
        """
        return self.verdicts(self.pixels(source)[None])[0]

    def _follow(self, number: str) -> None:
        """See to it that `facts` are of the deployed model that answered."""
        if number == self._deployed:
            return
        before = self.facts
        self._deployed, self.facts = self._told(number)
        if not self.facts.alike(before):
            raise gcp.CloudError(
                f"{self.name}: another model is there now, of other classes or another image "
                "size: ask again"
            )

    def _told(self, number: str = "") -> tuple[str, artefact.Facts]:
        """A deployed model's number, and what it says of itself: its description in the registry.

        Args:
            number: "" for the one that is asked most.
        """
        endpoint = self._rest.get(self.name)
        split = endpoint.get("trafficSplit") or {}
        there = {one["id"]: one for one in endpoint.get("deployedModels", [])}
        if not there or not split:
            raise gcp.CloudError(f"{self.name}: no model is deployed there: skincnn deploy")
        number = number or max(split, key=split.get)
        if number not in there:
            raise gcp.CloudError(f"{self.name}: its model was replaced just now: ask again")
        one = there[number]
        version = one.get("modelVersionId", "")
        name = one["model"].partition("@")[0] + (f"@{version}" if version else "")
        try:
            return number, facts(self._rest.get(name).get("description", ""))
        except ValueError:
            raise gcp.CloudError(
                f"{self.name}: its model was not deployed by skincnn: {name}"
            ) from None

    def _verdict(self, one: dict) -> Verdict:
        if "error" in one:
            raise ValueError(one["error"])
        values = {name: one[name] for name in Verdict._fields}
        values["probabilities"] = [one["probabilities"][name] for name in self.facts.classes]
        values["interval"] = one["interval"] and tuple(one["interval"])
        return Verdict(**values)


class Rest:
    """Requests to Vertex AI in a region, tried again where a connection breaks or it is busy.

    Args:
        place: the host, see `host`.
        patience: seconds in which they are; None for `gcp.PATIENCE`.
    """

    def __init__(self, place: str, patience: float | None = None):
        gcp.reach(place)
        self.host, self.credentials = place, gcp.credentials(place)
        self._session, self._patience = gcp.session(place, self.credentials), patience

    def get(self, name: str, **query: str) -> dict:
        """What a resource is."""
        return self._ask("GET", name, 60, params=query)

    def post(self, name: str, content: dict, seconds: float = 60) -> dict:
        """The answer to a call that changes nothing: it may be made twice.

        Args:
            name: of the resource, with the call's.
            content: as JSON has it.
            seconds: to wait for the answer.
        """
        return self._ask("POST", name, seconds, json=content)

    def _ask(self, method: str, name: str, seconds: float, **sent) -> dict:
        from google.api_core import exceptions

        def once():
            answer = self._session.request(
                method, f"{self.host}/v1/{name}", timeout=gcp.timeout(seconds), **sent
            )
            if answer.status_code != 200:
                raise exceptions.from_http_response(answer)
            return answer.json()

        with gcp.told(name):
            return gcp.again(self._patience)(once)()


def host(region: str) -> str:
    """Where Vertex AI answers for a region."""
    given = os.environ.get(HOST_VARIABLE, "").rstrip("/")
    return given or f"https://{region}-aiplatform.googleapis.com"


def describe(model: artefact.Facts) -> str:
    """A description for the registry of models: a sentence, and what `facts` reads."""
    said = dataclasses.asdict(model)
    for name in ("malignant", "strangers"):  # what answers are made with stays with the model
        said[name] = {k: v for k, v in said[name].items() if k in ("classes", "threshold")}
    text = f"Classifies photographs of skin lesions: {', '.join(model.classes)}. No medical device."
    return f"{text}\n{_MARK}{json.dumps(said, separators=(',', ':'))}"


def facts(description: str) -> artefact.Facts:
    """What a model says of itself, from its description.

    Raises:
        ValueError: it was not `describe` that wrote it.
    """
    _, mark, said = description.partition(_MARK)
    if not mark:
        raise ValueError("no facts in it")
    try:
        return artefact.Facts(**json.loads(said))
    except TypeError as error:
        raise ValueError(str(error)) from None


def instance(pixels: np.ndarray) -> dict:
    """A photograph at the model's size, uint8 (S, S, 3), as the service takes it, without loss."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return {"b64": base64.b64encode(stream.getvalue()).decode()}


def _requests(pixels: np.ndarray) -> Iterator[list[dict]]:
    """Photographs, as many a request as it may hold."""
    some, size = [], 0
    for one in map(instance, pixels):
        length = len(one["b64"]) + 20
        if length > REQUEST_BYTES:
            side = pixels.shape[1]
            raise gcp.CloudError(
                f"a photograph of {side}×{side} pixels is larger than the {REQUEST_BYTES:,} bytes "
                "of a request: a model of a smaller image size fits"
            )
        if len(some) == AT_ONCE or (some and size + length > REQUEST_BYTES):
            yield some
            some, size = [], 0
        some.append(one)
        size += length
    if some:
        yield some
