"""The seal: what a model says of itself comes back, and a damaged one is refused in one line."""

import artefacts
import numpy as np
import pytest

from skincnn import artefact


@pytest.fixture
def model(tmp_path):
    return artefacts.write(tmp_path / "mole.onnx")


def folder(path, **changes):
    """Something like a SavedModel."""
    (path / "variables").mkdir(parents=True)
    (path / "saved_model.pb").write_bytes(b"graph")
    (path / "variables/variables.index").write_bytes(b"weights" * 100)
    return artefact.seal(path, artefacts.facts(**changes))


def test_what_was_sealed_is_read(model):
    facts = artefact.read(model)
    assert facts == artefacts.facts(version=facts.version)
    assert len(facts.version) == 12 and facts.version != artefacts.facts().version


def test_onnx_still_is_one_and_has_the_seal_as_metadata(model):
    import onnx

    whole = onnx.load(model)
    onnx.checker.check_model(whole)
    (entry,) = whole.metadata_props
    assert entry.key == "skincnn" and artefact.read(model).version in entry.value


def test_a_folder_is_sealed_over_all_its_files(tmp_path):
    sealed = folder(tmp_path / "saved")
    assert artefact.read(tmp_path / "saved") == sealed
    (tmp_path / "saved/assets").mkdir()  # empty: stores of objects do not keep it
    assert artefact.read(tmp_path / "saved") == sealed
    (tmp_path / "saved/assets/more.txt").write_text("x")
    with pytest.raises(artefact.ArtefactError, match=r"saved: its checksum is wrong"):
        artefact.read(tmp_path / "saved")


def test_other_content_is_another_version(tmp_path):
    one, two = artefacts.write(tmp_path / "1.onnx"), artefacts.write(tmp_path / "2.onnx", name="b")
    again = artefacts.write(tmp_path / "3.onnx")
    versions = [artefact.read(path).version for path in (one, two, again)]
    assert versions[0] == versions[2] != versions[1]


def test_each_flipped_byte_shows(model):
    content = model.read_bytes()
    rng = np.random.default_rng(0)
    seal = content.rfind(b'{"skincnn_model"')
    for at in [0, seal, seal + 20, seal + 40, len(content) - 1, *rng.integers(0, seal, 20)]:
        flipped = bytearray(content)
        flipped[at] ^= 1
        model.write_bytes(flipped)
        with pytest.raises(artefact.ArtefactError, match=r"mole\.onnx: "):
            artefact.read(model)


def broken(content):
    return {
        "empty": (b"", "no seal"),
        "half": (content[: len(content) // 2], "no seal|damaged|checksum"),
        "a byte short": (content[:-1], "checksum"),
        "a byte more": (content + b"x", "checksum"),
        "foreign": (b"\x08\x07some other network", "no seal .* `skincnn export`|no seal"),
        "of another time": (
            content.replace(b'{"skincnn_model":1', b'{"skincnn_model":2'),
            "another version",
        ),
        "another checksum": (
            content.replace(b'"sha256":"', b'"sha256":"0', 1)[:-1],
            "checksum",
        ),
    }


@pytest.mark.parametrize("name", broken(b""))
def test_broken_files_are_refused_before_a_runtime_sees_them(name, model, monkeypatch):
    from skincnn import predictor

    content, reason = broken(model.read_bytes())[name]
    model.write_bytes(content)
    monkeypatch.setattr(predictor, "_onnx", lambda *_: pytest.fail("a runtime was asked"))
    with pytest.raises(artefact.ArtefactError, match=reason) as caught:
        predictor.load(model)
    assert str(model) in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_without_its_seal_or_a_part_is_refused(tmp_path):
    folder(tmp_path / "saved")
    (tmp_path / "saved/variables/variables.index").unlink()
    with pytest.raises(artefact.ArtefactError, match="checksum is wrong"):
        artefact.read(tmp_path / "saved")
    (tmp_path / "saved" / artefact.SEAL).unlink()
    with pytest.raises(artefact.ArtefactError, match=r"no skincnn\.json in it"):
        artefact.read(tmp_path / "saved")


def test_what_is_no_model_is_told(tmp_path):
    with pytest.raises(artefact.ArtefactError, match=r"gone\.onnx: no such model; `skincnn export"):
        artefact.read(tmp_path / "gone.onnx")
    (tmp_path / "a.h5").write_bytes(b"x")
    with pytest.raises(artefact.ArtefactError, match=r"a model is \.onnx or \.tflite or a Saved"):
        artefact.read(tmp_path / "a.h5")


def test_a_seal_is_not_put_on_twice(model, tmp_path):
    with pytest.raises(artefact.ArtefactError, match="has a seal"):
        artefact.seal(model, artefacts.facts())


@pytest.mark.parametrize(
    "wrong",
    [
        {"classes": ["one"]},
        {"image_size": 0},
        {"temperature": -1.0},
        {"views": 9},
        {"strangers": [1]},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_facts_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        artefacts.facts(**wrong)


@pytest.mark.parametrize("part", ["malignant", "strangers"])
def test_a_seal_without_what_a_verdict_needs_is_refused(part, tmp_path):
    whole = getattr(artefacts.facts(), part)
    less = {name: value for name, value in whole.items() if name != "threshold"}
    path = artefacts.write(tmp_path / "less.onnx", **{part: less})
    with pytest.raises(artefact.ArtefactError, match=f"{part} without threshold"):
        artefact.read(path)
