"""What is deployed, where, and what everything is called: names follow from what a thing is."""

import dataclasses
import functools
import hashlib
import re
from pathlib import Path

from skincnn import artefact

MACHINE = "n1-standard-2"  # two cores, 7.5 GB: enough for the largest network here
_SLUG = 40  # letters: of 63, with what stands around it
LABEL = "made_by"  # of all that is made here; "skincnn"


@dataclasses.dataclass(frozen=True)
class Place:
    """Where things are, and what a model's are called there.

    Args:
        name: of the model, as it says itself or as it was given.
        project: id or number.
        region: such as europe-west4.
        bucket: that exists, in that region or near it.
    """

    name: str
    project: str
    region: str
    bucket: str

    def __post_init__(self):
        for field, form in {
            "project": r"[a-z][a-z0-9:.-]{4,61}[a-z0-9]|\d+",
            "region": r"[a-z]+-[a-z]+\d+",
            "bucket": r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]",
        }.items():
            if not re.fullmatch(form, getattr(self, field)):
                raise ValueError(f"{field} {getattr(self, field)!r}: not what one is called")
        if not self.slug:
            raise ValueError(f"name {self.name!r}: has no ASCII letter or digit: give another")

    @functools.cached_property
    def slug(self) -> str:
        """The name, as resources may be called.

        One that cannot be has some signs of its own at the end: no two names become the same.
        """
        plain = re.sub("[^a-z0-9]+", "-", self.name.lower()).strip("-")
        if (plain == self.name and len(plain) <= _SLUG) or not plain:
            return plain
        own = _digest(self.name)[:8]
        return f"{plain[: _SLUG - len(own) - 1].strip('-')}-{own}"

    @property
    def parent(self) -> str:
        return f"projects/{self.project}/locations/{self.region}"

    @property
    def endpoint(self) -> str:
        """One for all versions of a model: its address stays when the model is replaced."""
        return f"{self.parent}/endpoints/skincnn-{self.slug}"

    @property
    def models(self) -> str:
        """What the names of its registered models begin with."""
        return f"{self.parent}/models/skincnn-{self.slug}-"

    @property
    def folder(self) -> str:
        return f"gs://{self.bucket}/skincnn/{self.slug}"

    @property
    def labels(self) -> dict[str, str]:
        """What tells our resources from others'."""
        return {LABEL: "skincnn", "skincnn_name": self.slug}


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be deployed, and where.

    Args:
        model: a sealed model.
        project: id or number.
        region: such as europe-west4.
        bucket: that exists, in that region or near it.
        image: of the container, as in Artifact Registry; with its digest, or a tag that stays.
        machine: a machine type of Vertex AI.
        replicas: machines, at least and at most.
        service_account: that the container runs as; "" for Vertex AI's own.
        name: that everything is called after; "" for what the model says it is.
    """

    model: str | Path
    project: str
    region: str
    bucket: str
    image: str
    machine: str = MACHINE
    replicas: tuple[int, int] = (1, 1)
    service_account: str = ""
    name: str = ""

    def __post_init__(self):
        if not re.fullmatch(r"[\w.:-]+(/[\w.-]+)+(:[\w.-]+)?(@sha256:[0-9a-f]{64})?", self.image):
            raise ValueError(
                f"image {self.image!r}: as REGION-docker.pkg.dev/PROJECT/REPO/NAME:TAG"
            )
        if not 1 <= self.replicas[0] <= self.replicas[1]:
            raise ValueError(f"replicas {self.replicas}: at least one, and no more than at most")
        _ = self.place

    @functools.cached_property
    def facts(self) -> artefact.Facts:
        """What the model says of itself."""
        return artefact.read(self.model)

    @functools.cached_property
    def place(self) -> Place:
        return Place(self.name or self.facts.name, self.project, self.region, self.bucket)

    @property
    def uri(self) -> str:
        """The folder of this very model."""
        return f"{self.place.folder}/{self.facts.version}"

    @property
    def registered(self) -> str:
        """The model in the registry: its content and the container that answers with it."""
        return f"{self.place.models}{_digest(self.facts.version, self.image)[:12]}"

    @property
    def deployed_id(self) -> str:
        """Ten digits: the registered model on these machines."""
        what = _digest(
            self.registered, self.machine, *map(str, self.replicas), self.service_account
        )
        return str(10**9 + int(what, 16) % (9 * 10**9))


def last(name: str) -> str:
    """The end of a resource's name, without a version."""
    return name.rsplit("/", 1)[-1].partition("@")[0]


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
