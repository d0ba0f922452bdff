"""`skincnn predict` with a sealed model, as it is typed, in a process of its own."""

import json
import subprocess
import sys

import artefacts
import pytest

from skincnn import artefact, options, predictions

HEAVY = ("pandas", "sklearn", "scipy", "keras", "tensorflow", "matplotlib")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return artefacts.write(tmp_path_factory.mktemp("model") / "mole.onnx")


@pytest.fixture
def photographs(tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    colours = {"a_red": artefacts.RED, "b_blue": artefacts.BLUE, "c_green": artefacts.GREEN}
    for name, colour in colours.items():
        artefacts.photograph(folder / f"{name}.jpg", colour)
    return folder


def skincnn(*arguments, then=""):
    """Exit code, standard output and error of the command, and the packages it loaded."""
    code = "import sys\nfrom skincnn.cli import main\ntry:\n    main()\nfinally:\n"
    code += "    print('loaded', *sys.modules, file=sys.stderr)"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    answer = subprocess.run(command, capture_output=True, text=True)
    error, _, loaded = answer.stderr.rpartition("loaded ")
    assert "Traceback" not in error
    return answer.returncode, answer.stdout, error, set(loaded.split())


def test_a_sealed_model_answers_without_anything_heavy(model, photographs):
    code, out, err, loaded = skincnn("predict", photographs, "--model", model)
    assert code == 0 and err == f"{options.NOTICE}\n"
    red, blue, green = out.splitlines()
    assert red.startswith(f"{photographs}/a_red.jpg: Looks malignant: probability of malignancy 9")
    assert "of such photographs" in red and ": Looks benign: " in blue
    assert green.endswith(
        "not look like a dermoscopy photograph, so the model has no answer to it."
    )
    assert "onnxruntime" in loaded and not loaded & set(HEAVY)


def test_json_has_verdicts_and_problems(model, photographs):
    (photographs / "d_text.jpg").write_text("text")
    code, out, err, _ = skincnn("predict", photographs, "--model", model, "--json")
    told = json.loads(out)
    assert code == 1 and "d_text.jpg: not a picture" in err
    assert told["model"]["version"] == artefact.read(model).version
    assert told["notice"] == options.NOTICE
    answers = [one.get("answer") for one in told["photographs"]]
    assert answers == ["malignant", "benign", "not a lesion", None]
    red, *_, text = told["photographs"]
    assert red["probabilities"] == pytest.approx(
        dict(zip(artefacts.CLASSES, artefacts.answer(artefacts.RED), strict=True)), abs=0.01
    )
    assert text["problem"].startswith("not a picture")


def test_a_table_of_a_sealed_model_is_scored_like_any_other(model, tmp_path):
    for label, colour in (("benign", artefacts.BLUE), ("malignant", artefacts.RED)):
        (tmp_path / "set" / label).mkdir(parents=True)
        artefacts.photograph(tmp_path / "set" / label / "1.jpg", colour)
    table = tmp_path / "p.csv"
    code, out, _, _ = skincnn("predict", tmp_path / "set", "--model", model, "--csv", table)
    assert code == 0 and f"2 photographs → {table}" in out
    frame = predictions.read(table)
    assert list(frame["label"]) == ["benign", "malignant"]
    assert (predictions.answers(frame)[0] == predictions.answers(frame)[1]).all()


@pytest.mark.parametrize("name", ["cut.onnx", "gone.onnx", "foreign.tflite", "saved"])
def test_a_model_that_is_none_is_refused_in_one_line(name, model, photographs, tmp_path):
    path = tmp_path / name
    if name == "cut.onnx":
        path.write_bytes(model.read_bytes()[:-100])
    elif name == "foreign.tflite":
        path.write_bytes(b"TFL3" * 100)
    elif name == "saved":
        path.mkdir()
        (path / "saved_model.pb").write_bytes(b"graph")
    code, out, err, loaded = skincnn("predict", photographs, "--model", path)
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert err.startswith(f"skincnn: {path}: ")
    assert not loaded & {"onnxruntime", "ai_edge_litert", "tensorflow"}  # refused before those
