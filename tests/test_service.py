"""The service, a real process asked over HTTP, with a network that anyone can predict."""

import base64
import io
import json
import re
import socket
import subprocess
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import artefacts
import numpy as np
import odd_files
import pytest
import served
from PIL import Image

httpx = pytest.importorskip("httpx")
for needed in ("fastapi", "uvicorn", "onnxruntime", "onnx"):
    pytest.importorskip(needed)


def jpeg(colour=artefacts.RED, size=(64, 48), **options):
    stream = io.BytesIO()
    Image.new("RGB", size, colour).save(stream, "JPEG", quality=95, **options)
    return stream.getvalue()


def instances(*photographs):
    return {"instances": [{"b64": base64.b64encode(p).decode()} for p in photographs]}


def files(*photographs):
    return [("photographs", (f"{i}.jpg", p, "image/jpeg")) for i, p in enumerate(photographs)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return artefacts.write(tmp_path_factory.mktemp("model") / "by_colour.onnx")


@pytest.fixture(scope="module")
def running(model):
    with served.serve(model, AIP_PREDICT_ROUTE="/vertex", AIP_HEALTH_ROUTE="/alive") as service:
        yield service


@pytest.fixture(scope="module")
def client(running):
    with httpx.Client(base_url=running.address, timeout=30) as client:
        yield client


# --- answers --------------------------------------------------------------------------------


def test_tensorflow_servings_form(client):
    status = client.get("/v1/models/by_colour").json()
    assert status["model_version_status"][0]["state"] == "AVAILABLE"
    body = instances(jpeg(artefacts.RED), jpeg(artefacts.BLUE))
    for address in (":predict", "/versions/1:predict"):
        answer = client.post("/v1/models/by_colour" + address, json=body)
        assert answer.status_code == 200
        red, blue = answer.json()["predictions"]
        assert (red["answer"], blue["answer"]) == ("malignant", "benign")
        assert red["probabilities"]["malignant"] == pytest.approx(
            artefacts.answer(artefacts.RED)[1], abs=0.01
        )
        assert red["interval"][0] <= red["malignant"] <= red["interval"][1]
        assert "medical device" in red["notice"]
    assert client.post("/vertex", json=body).json() == answer.json()
    assert client.get("/alive").json()["status"] == "ok"


def test_tensorflow_servings_columns(client):
    body = instances(jpeg(artefacts.RED), b"no picture", jpeg(artefacts.BLUE))
    rows = client.post(PREDICT, json=body).json()["predictions"]
    column = body["instances"]
    for inputs in (column, {"photograph": column}):
        answer = client.post(PREDICT, json={"signature_name": "serving_default", "inputs": inputs})
        assert answer.status_code == 200
        columns = answer.json()["outputs"]
        assert columns["answer"] == ["malignant", None, "benign"]
        for at, row in enumerate(rows):
            told = {name: values[at] for name, values in columns.items()}
            assert {name: value for name, value in told.items() if value is not None} == row
    assert client.post("/vertex", json={"inputs": column}).json() == answer.json()
    answer = client.post(PREDICT, json={"inputs": column[1:2]})
    assert answer.status_code == 422 and answer.json()["outputs"] == {
        "error": [answer.json()["error"]]
    }


def test_rows_and_columns_are_as_described(client):
    jsonschema = pytest.importorskip("jsonschema")
    about = client.get("/openapi.json").json()["paths"][PREDICT]["post"]
    takes, gives = (
        jsonschema.Draft202012Validator(part["content"]["application/json"]["schema"])
        for part in (about["requestBody"], about["responses"]["200"])
    )
    column = instances(jpeg(), b"no picture")["instances"]
    for body in ({"instances": column}, {"inputs": column}, {"inputs": {"photograph": column}}):
        takes.validate(body)
        gives.validate(client.post(PREDICT, json=body).json())
    for body in ({}, {"instances": column, "inputs": column}, {"inputs": column[0]}):
        assert not takes.is_valid(body) and client.post(PREDICT, json=body).status_code == 400


def test_the_page_and_the_endpoint_say_the_same_of_odd_files(client, model):
    from skincnn import predictor

    here = predictor.load(model)
    photographs = {name: content for name, (content, _) in odd_files.usable().items()}
    for start in range(0, len(photographs), 16):
        some = dict(list(photographs.items())[start : start + 16])
        page = client.post("/api/classify", files=files(*some.values())).json()["photographs"]
        rest = client.post("/v1/models/by_colour:predict", json=instances(*some.values()))
        for name, one, other in zip(some, page, rest.json()["predictions"], strict=True):
            own = here.photograph(some[name])
            assert list(one["probabilities"].values()) == pytest.approx(own.probabilities, abs=1e-4)
            assert one["probabilities"] == other["probabilities"], name
            assert one["sentence"] == own.sentence


def test_not_sure_and_not_a_lesion(client):
    answer = client.post(
        "/api/classify", files=files(jpeg(artefacts.GREY), jpeg(artefacts.GREEN))
    ).json()
    assert [p["answer"] for p in answer["photographs"]] == ["not sure", "not a lesion"]


def test_one_bad_photograph_fails_alone(client):
    good = jpeg(artefacts.BLUE)
    answer = client.post("/api/classify", files=files(good, b"no picture", good[:-40], good))
    assert answer.status_code == 200
    told = answer.json()["photographs"]
    assert [p.get("answer") for p in told] == ["benign", None, None, "benign"]
    assert told[1]["error"] == "This photograph cannot be used: not a picture."
    assert "damaged JPEG" in told[2]["error"]
    told = client.post("/v1/models/by_colour:predict", json=instances(good, b"no")).json()
    assert told["predictions"][0]["answer"] == "benign" and "error" in told["predictions"][1]


def test_an_overlay_is_a_picture_of_the_networks_size(client):
    pytest.importorskip("skincnn.occlusion")
    answer = client.post("/api/occlusion", files=files(jpeg()), data={"label": "malignant"})
    assert answer.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert picture.size == (artefacts.SIZE, artefacts.SIZE)
    answer = client.post("/api/occlusion", files=files(jpeg()), data={"label": "freckle"})
    assert answer.status_code == 422 and "freckle" in answer.json()["error"]


def test_many_at_once_share_batches(client):
    colours = [artefacts.RED, artefacts.BLUE] * 20
    with ThreadPoolExecutor(12) as pool:
        answers = list(
            pool.map(lambda c: client.post("/api/classify", files=files(jpeg(c))).json(), colours)
        )
    told = [a["photographs"][0]["answer"] for a in answers]
    assert told == ["malignant", "benign"] * 20  # each its own
    metrics = client.get("/metrics").text
    batches = float(re.search(r"^skincnn_batch_photographs_count (\S+)", metrics, re.M)[1])
    answered = float(re.search(r"outcome=\"answered\"\} (\S+)", metrics)[1])
    assert 0 < batches < answered


# --- refusals -------------------------------------------------------------------------------

PREDICT = "/v1/models/by_colour:predict"
FORM = "multipart/form-data; boundary=x"


@pytest.mark.parametrize(
    ("status", "path", "kind", "body"),
    [
        (415, PREDICT, "image/jpeg", jpeg()),
        (415, "/api/classify", "image/jpeg", jpeg()),
        (400, PREDICT, "application/json", b"{"),
        (400, PREDICT, "application/json", b"[" * 900),
        (400, PREDICT, "application/json", b'{"instances": []}'),
        (400, PREDICT, "application/json", b'{"instances": [[[1, 2]]]}'),
        (400, PREDICT, "application/json", b'{"inputs": {"b64": "Zm9v"}}'),
        (400, PREDICT, "application/json", b'{"inputs": {"a": [{"b64": "?"}], "b": []}}'),
        (400, PREDICT, "application/json", json.dumps(instances(jpeg()) | {"inputs": []}).encode()),
        (400, PREDICT, "application/json", b'{"instances": [' + b"{}," * 9999 + b"{}]}"),
        (400, PREDICT, "application/json", b"1" * 9999),
        (413, PREDICT, "application/json", json.dumps(instances(*[b"x"] * 17)).encode()),
        (422, PREDICT, "application/json", b'{"instances": [{"b64": "?"}]}'),
        (400, "/api/classify", "multipart/form-data", b"--x--"),
        (400, "/api/classify", FORM, b""),
        (400, "/api/classify", FORM, b"--x\r\nno head\r\n--x--"),
        (400, "/api/classify", FORM, b"--x\r\n\r\n\r\n--x--"),
        (413, "/api/classify", FORM, b"--x" + b"\r\n--x" * 40 + b"\r\n--x--"),
        (413, "/api/classify", FORM, bytes(33 * 2**20)),
        (404, "/v1/models/other:predict", "application/json", b"{}"),
        (405, "/health", "application/json", b"{}"),
    ],
)
def test_refusals_have_a_status_and_a_sentence(client, status, path, kind, body):
    answer = client.post(path, content=body, headers={"content-type": kind})
    assert answer.status_code == status, answer.text
    assert answer.json()["error"].endswith(".")


def test_unusable_files_have_a_reason(client):
    for name, (content, _) in odd_files.unusable().items():
        answer = client.post("/api/classify", files=files(content))
        assert answer.status_code == 422, name
        assert answer.json()["photographs"][0]["error"].endswith("."), name


def test_another_sites_page_may_not_ask(client):
    headers = {"origin": "https://example.org", "sec-fetch-site": "cross-site"}
    answer = client.post("/api/classify", files=files(jpeg()), headers=headers)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


def test_a_key_and_named_origins(model):
    origin = "https://example.org"
    words = [model, "--api-key-env", "KEY", "--allow-origin", origin, "--name", "mole"]
    with served.serve(*words, KEY="open sesame") as service:
        with httpx.Client(base_url=service.address) as client:
            assert client.get("/").status_code == client.get("/health").status_code == 200
            for sent in ({}, {"x-api-key": "open"}, {"authorization": "Bearer ü".encode()}):
                answer = client.post("/v1/models/mole:predict", json={}, headers=sent)
                assert answer.status_code == 401 and "key" in answer.json()["error"]
            body = instances(jpeg())
            for sent in ({"x-api-key": "open sesame"}, {"authorization": "Bearer open sesame"}):
                sent |= {"origin": origin, "sec-fetch-site": "cross-site"}
                answer = client.post("/v1/models/mole:predict", json=body, headers=sent)
                assert answer.status_code == 200
                assert answer.headers["access-control-allow-origin"] == origin
        assert "sesame" not in service.log


def test_everything_carries_its_headers_and_nothing_is_fetched_elsewhere(client):
    described = client.get("/openapi.json").json()
    assert PREDICT in described["paths"] and "/api/classify" in described["paths"]
    for path in ("/", "/docs", "/page.js", "/page.css", "/docs.js", "/icon.svg", "/metrics", "/no"):
        answer = client.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "server" not in answer.headers
        text = answer.text.replace("http://www.w3.org/2000/svg", "")
        assert "://" not in text or path == "/metrics", path
        assert "style=" not in text and "onclick=" not in text


# --- what is left behind --------------------------------------------------------------------


def test_nothing_is_written_and_nothing_logged(model, tmp_path):
    with served.serve(model, TMPDIR=str(tmp_path)) as service:
        large = np.random.default_rng(0).integers(0, 256, (1200, 1200, 3), np.uint8)
        stream = io.BytesIO()
        Image.fromarray(large).save(stream, "PNG")  # above 1 MB, where forms are spooled
        with httpx.Client(base_url=service.address, timeout=30) as client:
            for photograph in (stream.getvalue(), b"secret words", jpeg()):
                client.post(
                    "/api/classify", files={"a": ("private name.jpg", photograph, "image/jpeg")}
                )
        opened = Path(f"/proc/{service.process.pid}/fd")
        if opened.is_dir():
            targets = [str(p.readlink()) for p in opened.iterdir() if p.is_symlink()]
            assert not [t for t in targets if t.startswith(str(tmp_path))]
        assert list(tmp_path.iterdir()) == []
        assert service.log == ""


def test_no_tensorflow_no_pandas(running):
    maps = Path(f"/proc/{running.process.pid}/maps")
    if not maps.is_file():
        pytest.skip("needs /proc")
    loaded = maps.read_text(encoding="utf-8")
    assert "onnxruntime" in loaded
    assert not [name for name in ("tensorflow", "pandas", "sklearn") if f"/{name}/" in loaded]


# --- the command ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["no_such.onnx"], "no_such.onnx"),
        (["MODEL", "--api-key-env", "NOT_SET"], "NOT_SET"),
        (["MODEL", "--api-key-env", "FOREIGN"], "the API key: only ASCII"),
        (["MODEL", "--api-key-env", "LINE"], "no space around"),
        (["MODEL", "--allow-origin", "*"], "origin"),
    ],
)
def test_bad_input_is_one_line(model, words, said, monkeypatch):
    monkeypatch.setenv("FOREIGN", "öffne dich")
    monkeypatch.setenv("LINE", "open sesame\n")
    words = [str(model) if word == "MODEL" else word for word in words]
    answer = subprocess.run([*served.COMMAND, "serve", *words], capture_output=True, text=True)
    assert answer.returncode == 2
    assert said in answer.stderr and len(answer.stderr.splitlines()) == 1


def test_a_taken_port_is_one_line(model):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        words = [*served.COMMAND, "serve", str(model), "--port", port]
        answer = subprocess.run(words, capture_output=True, text=True)
    assert answer.returncode == 2
    assert port in answer.stderr and "--port" in answer.stderr


def test_answers_are_sent_at_once():
    """asyncio turns Nagle's algorithm off by the protocol that the listening socket names."""
    from skincnn import listening

    with listening.bound("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


# --- the container --------------------------------------------------------------------------


def test_the_dockerfiles_steps_are_possible():
    """No engine here: each step is held against what it needs."""
    root = served.ROOT
    text = (root / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    steps = [line.split(maxsplit=1) for line in lines]
    assert steps[0] == ["FROM", "python:3.11-slim"]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    kept = (root / ".dockerignore").read_text(encoding="utf-8")
    copied = {name for word, rest in steps if word == "COPY" for name in rest.split()[:-1]}
    for name in (name.removeprefix("./") for name in copied):
        assert (root / name).exists() and f"!{name}" in kept
    needed = {project["project"]["readme"], *project["project"]["license-files"], "pyproject.toml"}
    assert needed | {"skincnn"} <= copied
    extras = re.search(r"\.\[(\w+)\]", text)[1]
    assert extras in project["project"]["optional-dependencies"]
    assert [rest for word, rest in steps if word == "USER"] == ["skincnn"]
    command = json.loads(next(rest for word, rest in steps if word == "CMD"))
    assert command[:2] == ["skincnn", "serve"]
    check = next(rest for word, rest in steps if word == "HEALTHCHECK")
    compile(json.loads(check[check.index("[") :])[2], "HEALTHCHECK", "exec")


def test_the_containers_command_with_vertexs_variables(model):
    """What the image runs, on the port that Vertex AI or Cloud Run tells it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    told = {"AIP_HTTP_PORT": port, "PORT": "1", "SKINCNN_MODEL": str(model)}
    with served.serve("--host", "0.0.0.0", **told):
        assert httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
