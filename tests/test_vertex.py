"""Deploying on Vertex AI, with Google's own client, against a stand-in for what it talks to."""

import base64
import functools
import json
import re
import sys
import threading

import numpy as np
import pytest

pytest.importorskip("gcp_storage_emulator", reason="needs gcp-storage-emulator")
pytest.importorskip("google.cloud.aiplatform_v1", reason="needs google-cloud-aiplatform")
pytest.importorskip("onnxruntime", reason="needs onnxruntime")

import artefacts
import served
from google.auth import credentials as google_credentials
from google.cloud import aiplatform_v1

from skincnn import cloud, dermoscopy, gcp, predictor, rehearsal, remote, vertex, vertex_calls

IMAGE = "europe-west4-docker.pkg.dev/my-project/skincnn/serve:1"
WHERE = ("my-project", "europe-west4", rehearsal.BUCKET)
SECRET = "secret-of-the-environment"
OPTIONS = ["--project", WHERE[0], "--region", WHERE[1], "--bucket", WHERE[2]]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return artefacts.write(tmp_path_factory.mktemp("model") / "by_colour.onnx")


@pytest.fixture(scope="module")
def local(model):
    """The same model on this machine."""
    return predictor.load(model)


def answers_of(model):
    """What a container with a model answers."""

    def answer(instances):
        service = pytest.importorskip("skincnn.service")
        files = [base64.b64decode(one["b64"]) for one in instances]
        told = [model.photograph(file) for file in files]
        return [service.prediction(one, model.facts.classes) for one in told]

    return answer


@pytest.fixture
def google(local, monkeypatch):
    """The cloud on this machine, where nothing takes long and nobody is patient."""
    monkeypatch.setattr(gcp, "PATIENCE", 0.01)

    with rehearsal.Cloud(answer=answers_of(local)) as there:
        yield there


@pytest.fixture
def plan(model):
    return vertex.Plan(model, *WHERE, IMAGE)


class Signed(google_credentials.Credentials):
    """Credentials that never expire."""

    def __init__(self):
        super().__init__()
        self.token = SECRET

    def refresh(self, request):
        pass


def quiet(_):
    pass


def count(google):
    return len(google.objects()), len(google.models), len(google.endpoints), len(google.deployed())


def test_deployed_it_answers_as_it_does_here(google, plan, local):
    said = []
    done = vertex.deploy(plan, tell=said.append)
    assert count(google) == (1, 1, 1, 1)
    assert [line.split()[1] for line in said] == [
        *("upload", "register", "endpoint", "deploy", "ask", "retire")
    ]
    there = remote.Remote(done["endpoint"])
    rng = np.random.default_rng(0)
    drawn = [dermoscopy.draw(n, rng, rng, (32, 32)) for n in ("nevus", "melanoma") * 5]
    for near, far in zip(
        local.verdicts(np.stack(drawn)), there.verdicts(np.stack(drawn)), strict=True
    ):
        assert near.sentence == far.sentence
        np.testing.assert_allclose(near.probabilities, far.probabilities, atol=1e-6)
    assert there.facts.version == local.facts.version


def test_deployed_again_nothing_is_made(google, plan):
    first = vertex.deploy(plan, tell=quiet)
    before = len(google.seen)
    assert vertex.deploy(plan, tell=quiet) == first
    asked = [seen for seen in google.seen[before:] if seen.method != "GET"]
    assert [seen.path.rpartition(":")[2] for seen in asked] == ["predict"]
    assert count(google) == (1, 1, 1, 1)


def test_a_new_version_takes_the_place_of_the_old_one(google, plan, tmp_path):
    old = vertex.deploy(plan, tell=quiet)
    newer = artefacts.write(tmp_path / "newer.onnx", abstain_below=0.9)
    new = vertex.deploy(vertex.Plan(newer, *WHERE, IMAGE), tell=quiet)
    assert new["endpoint"] == old["endpoint"]
    assert [one["id"] for one in google.deployed()] == [new["deployed_model"]]
    assert count(google) == (2, 2, 1, 1)
    vertex.undeploy(plan.place, tell=quiet)
    assert count(google) == (0, 0, 0, 0)


def test_back_to_the_old_one_after_a_new_one_was_never_finished(
    google, plan, tmp_path, monkeypatch
):
    old = vertex.deploy(plan, tell=quiet)
    newer = artefacts.write(tmp_path / "newer.onnx", abstain_below=0.9)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(vertex, "_ask", lambda endpoint: (_ for _ in ()).throw(KeyboardInterrupt))
        vertex.deploy(vertex.Plan(newer, *WHERE, IMAGE), tell=quiet)
    assert len(google.deployed()) == 2
    split = []
    ask = vertex._ask

    def asked(endpoint):
        (there,) = google.endpoints.values()
        split.append(there["trafficSplit"])
        return ask(endpoint)

    monkeypatch.setattr(vertex, "_ask", asked)
    vertex.deploy(plan, tell=quiet)
    assert split == [{old["deployed_model"]: 100}]
    assert len(google.deployed()) == 1


@pytest.mark.parametrize("heard", [True, False], ids=["heard", "unheard"])
def test_interrupted_at_each_request_and_repeated(google, plan, heard):
    steps = (
        (lambda: vertex.deploy(plan, tell=quiet), (1, 1, 1, 1)),
        (lambda: vertex.undeploy(plan.place, tell=quiet), (0, 0, 0, 0)),
    )
    interrupted = []
    for at in range(60):
        broken = 0
        for step, whole in steps:
            google.hang_up(at, heard)
            try:
                step()
            except gcp.CloudError as error:
                assert "connection broke" in str(error)
                broken += 1
            google.mend()
            step()
            assert count(google) == whole, at
        interrupted.append(broken)
        if not broken:
            break
    assert interrupted[0] == 2 and len(interrupted) > 20 and interrupted[-1] == 0


@pytest.mark.parametrize("heard", [True, False], ids=["heard", "unheard"])
def test_goes_on_although_interrupted_again_and_again(google, plan, heard):
    """A connection that bears one request more each time: all that is half done is gone on with."""
    for step, whole in (
        (lambda: vertex.deploy(plan, tell=quiet), (1, 1, 1, 1)),
        (lambda: vertex.undeploy(plan.place, tell=quiet), (0, 0, 0, 0)),
    ):
        for at in range(60):
            google.hang_up(at, heard)
            try:
                step()
                break
            except gcp.CloudError:
                assert all(n <= 1 for n in count(google))
        assert count(google) == whole


def test_others_things_are_left_alone(google, plan):
    region = f"projects/{vertex_calls.NUMBER}/locations/{WHERE[1]}"
    name = plan.place.endpoint.rpartition("/")[2]
    theirs = {"name": f"{region}/endpoints/{name}", "labels": {}, "deployedModels": []}
    google.endpoints[name] = theirs
    google.models["another"] = {"name": f"{region}/models/another", "labels": {}}
    for act in (lambda: vertex.deploy(plan, tell=quiet), lambda: vertex.undeploy(plan.place)):
        with pytest.raises(gcp.CloudError, match="was not made by skincnn"):
            act()
    assert google.endpoints[name] is theirs and "another" in google.models
    del google.endpoints[name]
    vertex.undeploy(plan.place, tell=quiet)
    assert list(google.models) == ["another"]


def test_a_dry_run_asks_nobody(google, plan):
    said = []
    assert vertex.deploy(plan, dry_run=True, tell=said.append)["answer"] is None
    assert vertex.undeploy(plan.place, dry_run=True, tell=said.append) == []
    assert len(said) == 10 and google.seen == []


def test_a_failed_deployment_is_told(google, plan, monkeypatch):
    def fail(*_):
        raise OSError("the container did not start")

    monkeypatch.setattr(google.vertex, "_run", fail)
    with pytest.raises(gcp.CloudError, match="the container did not start"):
        vertex.deploy(plan, tell=quiet)


# --- credentials ----------------------------------------------------------------------------


@pytest.fixture
def signed(monkeypatch):
    """An environment with credentials, also for a stand-in."""
    monkeypatch.setattr(gcp, "credentials", lambda host: Signed())


def test_credentials_go_to_the_host_that_was_asked(google, plan, signed):
    vertex.deploy(plan, tell=quiet)
    assert {seen.authorization for seen in google.seen} == {f"Bearer {SECRET}"}
    assert {seen.host for seen in google.seen} == {google.host.removeprefix("http://")}


def test_no_credential_and_no_photograph_follows_a_redirect(google, plan, signed, monkeypatch):
    done = vertex.deploy(plan, tell=quiet)
    there = remote.Remote(done["endpoint"])
    with rehearsal.Cloud() as elsewhere:
        for variable in (remote.HOST_VARIABLE, cloud.EMULATOR):
            monkeypatch.setenv(variable, google.host)
        google.redirect = elsewhere.host
        sees = np.zeros((1, 32, 32, 3), np.uint8)
        place = vertex._Vertex(plan.place)
        for act in (
            lambda: there.verdicts(sees),
            lambda: remote.Remote(done["endpoint"]),
            lambda: place.register(plan),
            place.make_endpoint,
            place.remove_models,
            lambda: cloud.put(plan.model, plan.uri),
        ):
            before = len(google.seen)
            with pytest.raises(gcp.CloudError, match="redirect"):
                act()
            assert len(google.seen) == before + 1
        assert elsewhere.seen == []


def test_a_machine_that_is_no_google_gets_none():
    for place in (
        "http://127.0.0.1:8080",
        "https://localhost:4443",
        "https://googleapis.com.x.org",
    ):
        assert type(gcp.credentials(place)).__name__ == "AnonymousCredentials"


def test_no_credentials_are_told(monkeypatch, tmp_path):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(gcp.CloudError, match="gcloud auth application-default login"):
        gcp.credentials("https://storage.googleapis.com")


def test_offline_is_told_at_once(plan, monkeypatch):
    monkeypatch.setenv(remote.HOST_VARIABLE, "http://127.0.0.1:9")
    with pytest.raises(gcp.CloudError, match="no connection: is this machine online"):
        vertex.deploy(plan, tell=quiet)


# --- another model on the same endpoint -----------------------------------------------------


@pytest.fixture
def replace(google, plan, tmp_path):
    """Deploys another model of the same name, and gives what it says of itself."""

    def act(**changes):
        path = artefacts.write(tmp_path / f"{len(google.models)}.onnx", **changes)
        newer = predictor.load(path)
        google.answer = answers_of(newer)
        vertex.deploy(vertex.Plan(path, *WHERE, IMAGE), tell=quiet)
        return newer.facts

    return act


OTHER = {"classes": ["nevus", "another", "melanoma"], "malignant": {}}


def test_another_model_on_the_endpoint_is_noticed(google, plan, replace, tmp_path):
    red = artefacts.photograph(tmp_path / "red.jpg")
    there = remote.Remote(vertex.deploy(plan, tell=quiet)["endpoint"])
    assert there.photograph(red).answer == "malignant"
    newer = replace(abstain_below=1.0)  # of the same classes: it takes the place unnoticed
    assert there.photograph(red).answer == "not sure" and there.facts.version == newer.version
    newer = replace(**OTHER)
    with pytest.raises(gcp.CloudError, match="other classes or another image size: ask again"):
        there.photograph(red)
    assert there.photograph(red).label == "melanoma" and there.facts.classes == newer.classes
    replace(**OTHER, image_size=48)
    small = there.pixels(red)[None]
    for says in ("ask again", "takes 48 × 48 pixels"):
        with pytest.raises(gcp.CloudError, match=says):
            there.verdicts(small)
    assert there.photograph(red).label == "melanoma"


def test_the_page_notices_another_model(google, plan, replace, tmp_path):
    httpx = pytest.importorskip("httpx")
    name = vertex.deploy(plan, tell=quiet)["endpoint"]
    drawn = artefacts.photograph(tmp_path / "red.jpg").read_bytes()
    with served.serve("--endpoint", name) as service:
        ask = functools.partial(httpx.post, service.address + "/api/classify", timeout=30)
        files = {"photographs": ("red.jpg", drawn)}
        assert set(ask(files=files).json()["photographs"][0]["probabilities"]) == {
            *plan.facts.classes
        }
        replace(**OTHER)
        refused = ask(files=files)
        assert refused.status_code == 503 and "replaced" in refused.json()["error"]
        (told,) = ask(files=files).json()["photographs"]
        assert told["label"] == "melanoma" and list(told["probabilities"]) == OTHER["classes"]
        model = httpx.get(service.address + "/api/model").json()
        assert model["classes"] == OTHER["classes"]


# --- requests -------------------------------------------------------------------------------


def test_requests_stay_below_what_an_endpoint_takes():
    noise = np.random.default_rng(0).integers(0, 256, (20, 224, 224, 3), dtype=np.uint8)
    requests = list(remote._requests(noise))
    assert sum(map(len, requests)) == 20
    assert all(len(json.dumps({"instances": some})) < 1_500_000 for some in requests)
    with pytest.raises(gcp.CloudError, match="smaller image size"):
        list(remote._requests(noise[:8].reshape(1, 2 * 224, 4 * 224, 3)))


def test_an_endpoint_that_hangs_is_not_waited_for(google, plan, monkeypatch):
    there = remote.Remote(vertex.deploy(plan, tell=quiet)["endpoint"])
    given_up, answer = threading.Event(), google.answer
    google.answer = lambda instances: given_up.wait(30) and answer(instances)
    monkeypatch.setattr(remote, "ANSWER_SECONDS", 1)
    with pytest.raises(gcp.CloudError, match="connection broke"):
        there.verdicts(np.zeros((1, 32, 32, 3), np.uint8))
    given_up.set()


def test_all_pages_of_what_was_begun_are_waited_for(google, plan, monkeypatch):
    vertex.deploy(plan, tell=quiet)
    monkeypatch.setattr(vertex_calls, "OPERATIONS", 3)
    google.vertex._seconds = 0.3
    region, ended = re.match("(?P<region>.*)", WHERE[1]), []
    of = plan.place.endpoint.rpartition("/")[2]
    for number in range(7):
        act = functools.partial(ended.append, number)
        google.vertex._begin(region, "endpoints", of, "Delete", {}, act)
    vertex._Vertex(plan.place)._settle()
    assert ended == list(range(7))


def test_a_description_says_what_the_model_says(local):
    said = remote.facts(remote.describe(local.facts))
    assert (said.classes, said.version) == (local.facts.classes, local.facts.version)
    assert said.malignant == {"classes": ["malignant"], "threshold": 0.5}
    with pytest.raises(ValueError, match="no facts"):
        remote.facts("another model")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"project": "My Project"}, "project 'My Project'"),
        ({"region": "europe"}, "region 'europe'"),
        ({"bucket": "gs://b"}, "bucket 'gs://b'"),
        ({"image": "serve"}, "image 'serve'"),
        ({"replicas": (2, 1)}, "replicas"),
        ({"name": "/"}, "name '/'"),
    ],
)
def test_what_cannot_be_is_told_first(model, changes, says):
    asked = dict(zip(("project", "region", "bucket"), WHERE, strict=True))
    with pytest.raises(ValueError, match=says):
        vertex.Plan(model, **{**asked, "image": IMAGE, **changes})


def test_names_are_such_as_google_takes_and_no_two_become_one(plan):
    long = "A Möle / of 2026" * 9
    place = vertex.Place(long, *WHERE)
    assert place.slug.startswith("a-m-le-of-2026") and len(place.slug) <= 40
    assert vertex.Place(place.slug, *WHERE).slug == place.slug  # typed as it is seen
    alike = [long, long + "9", long.lower(), "mole", "Mole", "mole_", "mole-", "my_mole", "my mole"]
    places = [vertex.Place(name, *WHERE) for name in alike]
    assert len({place.endpoint for place in places}) == len(alike) and places[3].slug == "mole"
    aiplatform_v1.EndpointServiceClient.parse_endpoint_path(plan.place.endpoint)
    assert len(plan.deployed_id) == 10 and plan.deployed_id.isdigit()


# --- the commands ---------------------------------------------------------------------------


@pytest.fixture
def skincnn(monkeypatch, capsys):
    from skincnn import cli

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["skincnn", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code or 0
        return code, *capsys.readouterr()

    return run


def test_the_commands(google, model, skincnn):
    deploy = ["deploy", "vertex", "--model", model, *OPTIONS, "--image", IMAGE]
    code, out, err = skincnn(*deploy, "--dry-run")
    assert code == 0 and out.count("(dry run)") == 6 and "not a medical device" in err
    assert google.seen == []
    code, out, err = skincnn(*deploy, "--json")
    assert code == 0 and json.loads(out)["answer"]["sentence"].startswith("Looks")
    code, out, err = skincnn("undeploy", "vertex", "--name", "by_colour", *OPTIONS)
    assert code == 0 and out.count("\nremoved ") == 4 and count(google) == (0, 0, 0, 0)
    code, out, err = skincnn("undeploy", "vertex", "--model", model, *OPTIONS)
    assert code == 0 and "nothing to remove" in out
    code, out, err = skincnn("undeploy", "vertex", *OPTIONS)
    assert (code, out) == (2, "") and err.count("\n") == 1


def test_a_name_of_its_own(google, model, plan, skincnn):
    vertex.deploy(plan, tell=quiet)
    deploy = ["deploy", "vertex", "--model", model, *OPTIONS, "--image", IMAGE, "--name", "mole"]
    code, out, err = skincnn(*deploy, "--json")
    assert code == 0 and json.loads(out)["endpoint"].endswith("/endpoints/skincnn-mole")
    assert count(google) == (2, 2, 2, 2)
    code, out, err = skincnn("undeploy", "vertex", "--name", "mole", *OPTIONS)
    assert code == 0 and count(google) == (1, 1, 1, 1)
    code, out, err = skincnn(*deploy[:-1], "病変")
    assert (code, out) == (2, "") and err.count("\n") == 1 and "give another" in err


def test_an_endpoint_classifies_as_the_model_does(google, plan, model, skincnn, tmp_path):
    artefacts.photograph(tmp_path / "red.jpg")
    (tmp_path / "broken.jpg").write_bytes(b"text")
    name = vertex.deploy(plan, tell=quiet)["endpoint"]
    near, far = (
        skincnn("predict", tmp_path, *words, "--json")
        for words in (("--model", model), ("--endpoint", name))
    )
    assert near[0] == far[0] == 1  # one of them cannot be used
    told = [json.loads(answer[1]) for answer in (near, far)]
    assert told[0]["photographs"] == told[1]["photographs"]
    assert told[1]["model"]["file"] == name
    for words in ((), ("--model", model, "--endpoint", name), ("--endpoint", "mine")):
        code, out, err = skincnn("predict", tmp_path, *words)
        assert (code, out) == (2, "") and err.count("\n") == 1, err


def test_the_page_asks_an_endpoint(google, plan, local, tmp_path):
    httpx = pytest.importorskip("httpx")
    name = vertex.deploy(plan, tell=quiet)["endpoint"]
    drawn = artefacts.photograph(tmp_path / "red.jpg").read_bytes()
    with served.serve("--endpoint", name) as service:
        ask = functools.partial(httpx.post, service.address + "/api/classify", timeout=30)
        files = {"photographs": ("red.jpg", drawn)}
        (told,) = ask(files=files).json()["photographs"]
        assert told["sentence"] == local.photograph(drawn).sentence
        google.hang_up(0, heard=False)
        refused = ask(files=files)
        assert refused.status_code == 502 and "cloud does not answer" in refused.json()["error"]
        google.mend()
        assert ask(files=files).status_code == 200


def test_the_commands_of_the_page_on_the_cloud_are_real(skincnn):
    page = (served.ROOT / "docs" / "cloud.md").read_text(encoding="utf-8")
    typed = re.findall(r"^skincnn .*", page.replace("\\\n", " "), re.M)
    assert len(typed) >= 6
    for line in typed:
        words = line.split()[1:]
        command = words[:2] if words[0] in ("deploy", "undeploy") else words[:1]
        code, out, _ = skincnn(*command, "--help")
        assert code == 0
        for option in re.findall(r"--[a-z-]+", line):
            assert option in out, line


def test_a_container_is_told_where_its_model_is(plan, local, tmp_path):
    drawn = artefacts.photograph(tmp_path / "red.jpg")
    with rehearsal.Cloud(containers=True) as cloud_with_containers:
        far = remote.Remote(vertex.deploy(plan, tell=quiet)["endpoint"])
        assert far.photograph(drawn).sentence == local.photograph(drawn).sentence
        assert len(cloud_with_containers._services) == 1
        vertex.undeploy(plan.place, tell=quiet)
        assert cloud_with_containers._services == {}
