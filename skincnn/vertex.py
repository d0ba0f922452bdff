"""A model on Vertex AI: uploaded, registered, deployed on an endpoint, asked; and taken away again.

    plan = vertex.Plan("mole.onnx", "my-project", "europe-west4", "my-bucket", image)
    vertex.deploy(plan)

Whatever is made is called after what it is: the model's name, its content, the container's image.
So nothing has to be remembered here. An interrupted deployment is gone on with by asking for it
again, and one that stands is found and left as it is. Made with google-cloud-aiplatform, over REST.
"""

import contextlib
import time
from collections.abc import Callable, Iterator

import numpy as np
from tqdm.auto import tqdm

from skincnn import cloud, dermoscopy, gcp, remote
from skincnn.deployment import LABEL, Place, Plan, last

PREDICT_ROUTE, HEALTH_ROUTE, PORT = "/predict", "/health", 8080  # told to the container
_POLL_SECONDS = 0.02, 5.0  # at first, and at most: some things take a blink, others minutes
_DEPLOY_SECONDS = 3600  # a machine is started and the image fetched: mostly ten to twenty minutes
_MAKE_SECONDS = 300  # anything else
_ALREADY_EXISTS = 6  # google.rpc.Code
Tell = Callable[[str], object]


def deploy(plan: Plan, dry_run: bool = False, tell: Tell = print) -> dict:
    """Upload, register, make or find the endpoint, deploy, ask; then retire what was there before.

    Args:
        plan: what, and where.
        dry_run: only say what would be done. Nothing is asked of anybody.
        tell: is given a line a step.

    Returns:
        The names of all there is, under `artefact`, `model`, `endpoint`, `deployed_model`;
        `answer`, the endpoint's verdict on a drawn photograph (None in a dry run).

    Raises:
        gcp.CloudError: one line. The same call goes on from where this one stopped.
    """
    place = plan.place
    names = {
        "artefact": plan.uri,
        "model": plan.registered,
        "endpoint": place.endpoint,
        "deployed_model": plan.deployed_id,
    }
    machines = f"{plan.machine}, {plan.replicas[0]} to {plan.replicas[1]}"
    steps = _Steps(6, tell, dry_run)
    vertex = None if dry_run else _Vertex(place)
    steps("upload", plan.uri, lambda: cloud.put(plan.model, plan.uri))
    steps("register", f"{plan.registered}, answered by {plan.image}", lambda: vertex.register(plan))
    steps("endpoint", place.endpoint, lambda: vertex.make_endpoint())
    steps("deploy", f"{plan.deployed_id} on {machines}", lambda: vertex.deploy(plan))
    verdict = steps("ask", "with a drawn photograph", lambda: _ask(place.endpoint))
    steps("retire", "what was deployed there before", lambda: vertex.retire(plan.deployed_id))
    return {**names, "answer": verdict._asdict() if verdict else None}


def undeploy(place: Place, dry_run: bool = False, tell: Tell = print) -> list[str]:
    """Take away all that `deploy` made for a model's name, in every version, and nothing else.

    Args:
        place: of the model.
        dry_run: only say what would be done.
        tell: is given a line a step.

    Returns:
        The names of what was removed; empty where there was nothing.

    Raises:
        gcp.CloudError: one line, also where the endpoint is not ours. The same call goes on.
    """
    steps, gone = _Steps(4, tell, dry_run), []
    vertex = None if dry_run else _Vertex(place)
    for what, name, act in (
        ("undeploy", f"all of ours from {place.endpoint}", lambda: vertex.retire()),
        ("endpoint", place.endpoint, lambda: vertex.remove_endpoint()),
        ("models", f"{place.models}…", lambda: vertex.remove_models()),
        ("artefacts", f"{place.folder}/…", lambda: cloud.remove(place.folder)),
    ):
        gone += steps(what, name, act) or []
    return gone


class _Steps:
    """Tells of each step before it is done, and does it."""

    def __init__(self, number: int, tell: Tell, dry_run: bool):
        self.number, self.tell, self.dry_run, self.at = number, tell, dry_run, 0

    def __call__(self, what: str, name: str, act: Callable):
        self.at += 1
        self.tell(f"{self.at}/{self.number} {what:10}{name}{' (dry run)' * self.dry_run}")
        return None if self.dry_run else act()


class _Vertex:
    """Vertex AI in a region: what there is of a model, made and removed."""

    def __init__(self, place: Place):
        self.place, host = place, remote.host(place.region)
        self._rest = remote.Rest(host)  # told at once where there is no network
        with gcp.told(host):
            from google.cloud import aiplatform_v1

            self.api = aiplatform_v1
            about = {"client_options": {"api_endpoint": host}, "transport": "rest"}
            about["credentials"] = self._rest.credentials
            self._models = aiplatform_v1.ModelServiceClient(**about)
            self._endpoints = aiplatform_v1.EndpointServiceClient(**about)
        for client in (self._models, self._endpoints):
            client.transport._session.max_redirects = 0  # as in `gcp.session`

    def register(self, plan: Plan) -> None:
        """Register the model, unless it is."""
        if self._there(self._models.get_model, plan.registered):
            return
        model = self.api.Model(
            display_name=f"skincnn {self.place.name} {plan.facts.version}",
            description=remote.describe(plan.facts),
            labels={**self.place.labels, "skincnn_version": plan.facts.version},
            artifact_uri=plan.uri,
            container_spec=self.api.ModelContainerSpec(
                image_uri=plan.image,
                predict_route=PREDICT_ROUTE,
                health_route=HEALTH_ROUTE,
                ports=[self.api.Port(container_port=PORT)],
            ),
        )
        request = self.api.UploadModelRequest(
            parent=self.place.parent, model_id=last(plan.registered), model=model
        )
        self._make(self._models.upload_model, request, self._models.get_model, plan.registered)

    def make_endpoint(self) -> None:
        """Make the endpoint, unless it is there."""
        name = self.place.endpoint
        if self._our_endpoint():
            return
        request = self.api.CreateEndpointRequest(
            parent=self.place.parent,
            endpoint_id=last(name),
            endpoint=self.api.Endpoint(
                display_name=f"skincnn {self.place.name}", labels=self.place.labels
            ),
        )
        self._make(self._endpoints.create_endpoint, request, self._endpoints.get_endpoint, name)

    def deploy(self, plan: Plan) -> None:
        """Deploy the registered model with all traffic to it, unless it is."""
        self._settle()
        if plan.deployed_id in self._deployed():
            # A newer one that was never finished may have its traffic: what is asked next, and
            # reported, must be this one.
            if dict(self._endpoint().traffic_split).get(plan.deployed_id) != 100:
                self.retire(plan.deployed_id)
            return
        machines = self.api.DedicatedResources(
            machine_spec=self.api.MachineSpec(machine_type=plan.machine),
            min_replica_count=plan.replicas[0],
            max_replica_count=plan.replicas[1],
        )
        request = self.api.DeployModelRequest(
            endpoint=self.place.endpoint,
            deployed_model=self.api.DeployedModel(
                id=plan.deployed_id,
                model=plan.registered,
                display_name=f"skincnn {self.place.name} {plan.facts.version}",
                service_account=plan.service_account,
                dedicated_resources=machines,
            ),
            traffic_split={"0": 100},  # "0" is the one of this request
        )
        self._change(self._endpoints.deploy_model, request)
        self._settle()
        if plan.deployed_id not in self._deployed():
            raise gcp.CloudError(f"{self.place.endpoint}: did not take the model; try again")

    def retire(self, but: str = "") -> list[str]:
        """Take our models off the endpoint, all but one."""
        if not self._our_endpoint():
            return []
        self._settle()
        gone, ours = [], last(self.place.models)
        there = self._deployed()
        for number in [n for n, m in there.items() if n != but and last(m.model).startswith(ours)]:
            split = dict(self._endpoint().traffic_split)
            del there[number]
            if split.pop(number, 0) and there:
                split = {but if but in there else next(iter(there)): 100}
            request = self.api.UndeployModelRequest(
                endpoint=self.place.endpoint, deployed_model_id=number, traffic_split=split
            )
            self._change(self._endpoints.undeploy_model, request)
            gone.append(f"{self.place.endpoint}/{number}")
        return gone

    def remove_endpoint(self) -> list[str]:
        """Delete the endpoint, unless others' models are deployed there."""
        if not self._our_endpoint() or self._deployed():
            return []
        self._change(self._endpoints.delete_endpoint, {"name": self.place.endpoint})
        return [self.place.endpoint]

    def remove_models(self) -> list[str]:
        """Delete the model's versions from the registry."""
        wanted = " AND ".join(f"labels.{k}={v}" for k, v in self.place.labels.items())
        with gcp.told(self.place.parent):
            found = list(
                self._models.list_models(
                    request={"parent": self.place.parent, "filter": wanted}, **_policy()
                )
            )
        for model in found:
            self._change(self._models.delete_model, {"name": model.name})
        return [model.name for model in found]

    # --- underneath ------------------------------------------------------------------------------

    def _there(self, get: Callable, name: str):
        """A resource, or None."""
        from google.api_core import exceptions

        with gcp.told(name), contextlib.suppress(exceptions.NotFound):
            return get(request={"name": name}, **_policy())
        return None

    def _endpoint(self):
        return self._there(self._endpoints.get_endpoint, self.place.endpoint)

    def _our_endpoint(self):
        found = self._endpoint()
        if found and dict(found.labels).get(LABEL) != "skincnn":
            raise gcp.CloudError(f"{found.name}: was not made by skincnn; it is left as it is")
        return found

    def _deployed(self) -> dict:
        found = self._endpoint()
        return {one.id: one for one in found.deployed_models} if found else {}

    def _make(self, call: Callable, request, get: Callable, name: str) -> None:
        """Make a resource; one that another try has begun to make is waited for."""
        self._change(call, request)
        for _ in _turns(_MAKE_SECONDS):
            if self._there(get, name):
                return
        raise gcp.CloudError(f"{name}: was asked for, and is not there; try again")

    def _change(self, call: Callable, request) -> None:
        """Make a call that begins an operation, and wait for its end.

        A first try that was heard makes the second one find the thing there, or gone: both are
        what was wanted.
        """
        from google.api_core import exceptions

        removes = call.__name__.startswith(("delete", "undeploy"))
        # A conflict: it exists, or is just being made. Over REST both are 409.
        heard = exceptions.NotFound if removes else exceptions.Conflict
        with gcp.told(self.place.parent), contextlib.suppress(heard):
            self._wait(call(request=request, **_policy()).operation.name)

    def _settle(self) -> None:
        """Wait for what an interrupted call has begun at the endpoint."""
        page = {}
        while page is not None:
            listed = self._rest.get(f"{self.place.endpoint}/operations", **page)
            for operation in listed.get("operations", []):
                if not operation.get("done"):
                    self._wait(operation["name"], failing=False)
            token = listed.get("nextPageToken")
            page = {"pageToken": token} if token else None

    def _wait(self, operation: str, failing: bool = True) -> None:
        with tqdm(bar_format="{desc} {elapsed}", desc="    waiting", delay=2, leave=False) as clock:
            for _ in _turns(_DEPLOY_SECONDS):
                found = self._rest.get(operation)
                if found.get("done"):
                    break
                clock.update()
            else:
                raise gcp.CloudError(f"{operation}: not done yet; the same command waits on")
        error = found.get("error")
        if error and failing and error.get("code") != _ALREADY_EXISTS:
            raise gcp.CloudError(f"{operation}: {error.get('message', error)}")


def _turns(seconds: float) -> Iterator[None]:
    """Turns to ask in, further and further apart, until so many seconds are over."""
    pause, most = _POLL_SECONDS
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        yield
        time.sleep(pause)
        pause = min(1.5 * pause, most)


def _ask(endpoint: str):
    """The endpoint's answer to a photograph that was never taken."""
    model = remote.Remote(endpoint)
    size, rng = model.facts.image_size, np.random.default_rng(12)
    return model.verdicts(dermoscopy.draw("nevus", rng, rng, (size, size))[None])[0]


def _policy() -> dict:
    return {"retry": gcp.again(), "timeout": gcp.timeout(60)[1]}
