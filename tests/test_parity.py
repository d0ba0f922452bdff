"""One photograph, one answer: notebook, command line, page, REST, endpoint and each export.

What is compared: photographs of each odd kind, and one of 12 megapixels that is decoded at a
reduced scale, asked of a network with eight views.
"""

import base64
import json
import subprocess
import sys

import numpy as np
import odd_files
import pytest
import served
from PIL import Image

from skincnn import artefact, export, images, predictor, verdict

# Pillow says about two of the odd files what their reasons say.
pytestmark = pytest.mark.filterwarnings("ignore:Corrupt EXIF", "ignore:Image size")
SAME = 1e-4
ENDINGS = {"onnx": ".onnx", "litert": ".tflite", "savedmodel": ""}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    for name, (content, _) in odd_files.usable().items():
        (folder / name).write_bytes(content)
    rough = np.random.default_rng(0).integers(40, 220, (30, 40, 3), dtype=np.uint8)
    large = Image.fromarray(rough).resize((4000, 3000), Image.Resampling.BICUBIC)
    (folder / "large.jpg").write_bytes(odd_files.saved(large, "JPEG"))
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def notebook(small_run, exported, photographs):
    """File name -> verdict, as a notebook has it: the run's own network in Keras."""
    size = small_run.config.image_size
    pixels = np.stack([images.read(path, size) for path in photographs])
    said = verdict.of(artefact.read(exported), small_run.classify(pixels))
    return {path.name: one for path, one in zip(photographs, said, strict=True)}


def same(found, notebook, classes):
    """File name -> an answer as JSON has it, against those of the notebook."""
    assert set(found) == set(notebook)
    for name, answer in found.items():
        own = notebook[name].told(classes)
        assert answer["probabilities"] == pytest.approx(own["probabilities"], abs=SAME), name
        assert (answer["answer"], answer["label"]) == (own["answer"], own["label"]), name


@pytest.mark.parametrize("kind", artefact.FORMATS)
def test_the_command_line_with_each_export(
    kind, small_run, exported, photographs, notebook, tmp_path
):
    path = exported
    if kind != "onnx":
        path = export.write(small_run, kind, tmp_path / f"colours{ENDINGS[kind]}")
    code = "from skincnn.cli import main; main()"
    words = ["predict", str(photographs[0].parent), "--model", str(path), "--json"]
    answer = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True
    )
    told = {one["file"].rpartition("/")[2]: one for one in json.loads(answer.stdout)["photographs"]}
    same(told, notebook, small_run.classes)


def test_the_predictor(small_run, exported, photographs, notebook):
    model = predictor.load(exported)
    told = {path.name: model.photograph(path).told(model.facts.classes) for path in photographs}
    same(told, notebook, small_run.classes)
    one_by_one, together = [
        [model.photograph(path.read_bytes()) for path in photographs],
        model.verdicts(np.stack([model.pixels(path) for path in photographs])),
    ]
    for alone, among in zip(one_by_one, together, strict=True):
        assert alone.probabilities == pytest.approx(among.probabilities, abs=SAME)


def test_the_page_and_rest(small_run, exported, photographs, notebook):
    httpx = pytest.importorskip("httpx")
    pytest.importorskip("fastapi")
    page, rest = {}, {}
    with served.serve(exported) as service, httpx.Client(base_url=service.address) as client:
        for start in range(0, len(photographs), 8):
            some = photographs[start : start + 8]
            files = [("photographs", (path.name, path.read_bytes())) for path in some]
            answer = client.post("/api/classify", files=files, timeout=60).json()["photographs"]
            page |= {path.name: one for path, one in zip(some, answer, strict=True)}
            body = {"instances": [{"b64": encoded(path)} for path in some]}
            answer = client.post("/v1/models/colours:predict", json=body, timeout=60).json()
            rest |= {path.name: one for path, one in zip(some, answer["predictions"], strict=True)}
    same(page, notebook, small_run.classes)
    same(rest, notebook, small_run.classes)


def test_an_endpoint_in_the_cloud(small_run, exported, photographs, notebook, monkeypatch):
    for needed in ("gcp_storage_emulator", "google.cloud.aiplatform_v1"):
        pytest.importorskip(needed)
    from skincnn import gcp, rehearsal, remote, vertex

    monkeypatch.setattr(gcp, "PATIENCE", 0.01)
    model = predictor.load(exported)

    def answer(instances):  # what the container does, which the test before asks over HTTP
        told = [model.photograph(base64.b64decode(one["b64"])) for one in instances]
        return [one.told(model.facts.classes) for one in told]

    with rehearsal.Cloud(answer=answer):
        where = ("my-project", "europe-west4", rehearsal.BUCKET)
        plan = vertex.Plan(exported, *where, "europe-west4-docker.pkg.dev/my/serve/skincnn:1")
        there = remote.Remote(vertex.deploy(plan, tell=lambda _: None)["endpoint"])
        told = {path.name: there.photograph(path).told(there.facts.classes) for path in photographs}
    same(told, notebook, small_run.classes)


def test_a_photograph_that_is_none_is_refused_alike(exported):
    """By the decoder itself, so everywhere in the same words."""
    model = predictor.load(exported)
    for content, reason in odd_files.unusable().values():
        with pytest.raises(images.ImageProblem, match=reason):
            model.photograph(content)


def encoded(path):
    return base64.b64encode(path.read_bytes()).decode()
