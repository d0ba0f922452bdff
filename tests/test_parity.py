"""One photograph, one answer: notebook, command line, page, REST, endpoint and each export.

What is compared: photographs of each odd kind, some of what the network knows, and one of 12
megapixels that is decoded at a reduced scale, asked of a network with eight views.
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

from skincnn import artefact, data, export, images, predictor, verdict

# Pillow says about two of the odd files what their reasons say.
pytestmark = pytest.mark.filterwarnings("ignore:Corrupt EXIF", "ignore:Image size")
SAME = 1e-4
NEAR = 2e-3  # of strangeness, absolute or relative: each export has features of its own, in float16
QUANTISED = 0.05  # what int8 weights may change: five times what they do in this network
ENDINGS = {"onnx": ".onnx", "litert": ".tflite", "savedmodel": ""}


@pytest.fixture(scope="module")
def photographs(moles, tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    for name, (content, _) in odd_files.usable().items():
        (folder / name).write_bytes(content)
    grass = np.full((40, 40, 3), (40, 220, 40), np.uint8)
    (folder / "grass.png").write_bytes(odd_files.saved(grass, "PNG"))
    for label, rows in moles.groupby("label"):
        known = (data.paths(rows.iloc[:1])[0]).read_bytes()
        (folder / f"{label}.jpg").write_bytes(known)
    rough = np.random.default_rng(0).integers(40, 220, (30, 40, 3), dtype=np.uint8)
    large = Image.fromarray(rough).resize((4000, 3000), Image.Resampling.BICUBIC)
    (folder / "large.jpg").write_bytes(odd_files.saved(large, "JPEG"))
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def notebook(small_run, exported, photographs):
    """File name -> answer, as a notebook has it: the run's own network in Keras."""
    size = small_run.config.image_size
    pixels = np.stack([images.read(path, size) for path in photographs])
    features = np.asarray(export.graph(small_run)(pixels)["features"])
    return told(
        photographs,
        exported,
        verdict.of(artefact.read(exported), small_run.classify(pixels), features),
    )


def test_one_photograph_one_answer(
    small_run, exported, moles, photographs, notebook, tmp_path, home, plain_audit
):
    """All ways, each compared with the notebook's, in all that is said of a photograph."""
    said = {one["answer"] for one in notebook.values()}
    assert {"benign", "malignant", verdict.NOT_A_LESION} <= said
    for kind in artefact.FORMATS:
        path = exported
        if kind != "onnx":
            path = export.write(
                small_run, kind, tmp_path / f"mole{ENDINGS[kind]}", moles, progress=False
            )
        assert artefact.read(path).malignant == artefact.read(exported).malignant
        own = called(path, photographs)
        same(f"{kind}, called", own, notebook, 0 if kind == "onnx" else NEAR)
        same(f"{kind}, typed", typed(photographs, "--model", path), own)
    for way, found in over_http(exported, photographs).items():
        same(way, found, notebook)
    same("endpoint", from_the_cloud(exported, photographs), notebook)


def test_int8_says_the_same_in_its_own_ways(
    small_run, moles, photographs, notebook, tmp_path, home, plain_audit
):
    for kind in ("onnx", "litert"):
        out = tmp_path / f"mole{ENDINGS[kind]}"
        path = export.write(small_run, kind, out, moles, weights="int8", progress=False)
        own = called(path, photographs)
        ways = {"typed": typed(photographs, "--model", path)}
        if kind == "onnx":
            ways |= over_http(path, photographs)
        for way, found in ways.items():
            same(f"{kind}, int8, {way}", found, own)
        for name, one in own.items():
            for what in ("probabilities", "malignant"):
                assert one[what] == pytest.approx(notebook[name][what], abs=QUANTISED), (kind, name)


def test_a_photograph_that_is_none_is_refused_alike(exported):
    """By the decoder itself, so everywhere in the same words."""
    model = predictor.load(exported)
    for content, reason in odd_files.unusable().values():
        with pytest.raises(images.ImageProblem, match=reason):
            model.photograph(content)


def same(way, found, wanted, share=0.0):
    """File name -> answer as JSON has it, against those wanted."""
    assert set(found) == set(wanted), way
    for name, one in found.items():
        own, where = wanted[name], f"{way}: {name}"
        for what in ("answer", "label"):
            assert one[what] == own[what], where
        for what in ("probabilities", "confidence", "malignant", "interval"):
            assert one[what] == pytest.approx(own[what], abs=SAME), (where, what)
        strange = pytest.approx(own["strangeness"], abs=max(SAME, share), rel=share)
        assert one["strangeness"] == strange, where


# --- ways to an answer ----------------------------------------------------------------------


def told(photographs, model, verdicts):
    """File name -> answer as JSON has it."""
    classes = artefact.read(model).classes
    return {path.name: one.told(classes) for path, one in zip(photographs, verdicts, strict=True)}


def called(path, photographs):
    """As a notebook calls it: one by one, and all together."""
    model = predictor.load(path)
    alone = told(photographs, path, [model.photograph(one) for one in photographs])
    pixels = np.stack([model.pixels(one.read_bytes()) for one in photographs])
    same("together", told(photographs, path, model.verdicts(pixels)), alone)
    return alone


def typed(photographs, *words):
    """`skincnn predict` in a process of its own."""
    code = "from skincnn.cli import main; main()"
    command = [sys.executable, "-c", code, "predict", photographs[0].parent, *words, "--json"]
    answer = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    return {one["file"].rpartition("/")[2]: one for one in json.loads(answer.stdout)["photographs"]}


def over_http(path, photographs):
    """`skincnn serve` in a process of its own: the page's form, REST by rows and by columns."""
    httpx = pytest.importorskip("httpx")
    pytest.importorskip("fastapi")
    found = {"page": {}, "rows": {}, "columns": {}}
    with served.serve(path) as service, httpx.Client(base_url=service.address) as client:

        def ask(address, **sent):
            return client.post(address, timeout=60, **sent).raise_for_status().json()

        for start in range(0, len(photographs), 16):
            some = photographs[start : start + 16]
            names = [one.name for one in some]
            column = [{"b64": base64.b64encode(one.read_bytes()).decode()} for one in some]
            files = [("photographs", (one.name, one.read_bytes())) for one in some]
            page = ask("/api/classify", files=files)["photographs"]
            found["page"] |= {one["file"]: one for one in page}
            rows = ask("/v1/models/mole:predict", json={"instances": column})["predictions"]
            found["rows"] |= dict(zip(names, rows, strict=True))
            columns = ask("/v1/models/mole:predict", json={"inputs": column})["outputs"]
            for at, name in enumerate(names):
                found["columns"][name] = {what: values[at] for what, values in columns.items()}
        about = client.get("/api/model").json()
    facts = artefact.read(path)
    assert about["malignant_from"] == facts.malignant["threshold"] and about["tells_strangers"]
    return found


def from_the_cloud(path, photographs):
    """An endpoint of `skincnn deploy`: the service itself, behind a stand-in for Google's."""
    for needed in ("gcp_storage_emulator", "google.cloud.aiplatform_v1"):
        pytest.importorskip(needed)
    from skincnn import rehearsal, remote, vertex

    with rehearsal.Cloud(containers=True):
        where = ("my-project", "europe-west4", rehearsal.BUCKET)
        plan = vertex.Plan(path, *where, "europe-west4-docker.pkg.dev/my/serve/skincnn:1")
        there = remote.Remote(vertex.deploy(plan, tell=lambda _: None)["endpoint"])
        assert there.facts.malignant["threshold"] == plan.facts.malignant["threshold"]
        pixels = np.stack([there.pixels(one) for one in photographs])
        return told(photographs, path, there.verdicts(pixels))
