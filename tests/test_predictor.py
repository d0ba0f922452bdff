"""From a sealed model to verdicts; the model is made by hand, so the answers are known."""

import artefacts
import numpy as np
import pytest

from skincnn import artefact, images, predictor


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return predictor.load(artefacts.write(tmp_path_factory.mktemp("model") / "mole.onnx"))


def plain(*colours):
    one = np.array(colours, np.uint8).reshape(-1, 1, 1, 3)
    return np.broadcast_to(one, (len(one), artefacts.SIZE, artefacts.SIZE, 3))


def test_the_answer_is_the_networks(model):
    colours = [artefacts.RED, artefacts.BLUE, artefacts.GREY, artefacts.GREEN]
    verdicts = model.verdicts(plain(*colours))
    assert [v.answer for v in verdicts] == ["malignant", "benign", "not sure", "not a lesion"]
    for verdict, colour in zip(verdicts, colours, strict=True):
        assert verdict.probabilities == pytest.approx(artefacts.answer(colour), abs=1e-5)
        assert verdict.malignant == pytest.approx(artefacts.answer(colour)[1], abs=1e-5)
        low, high = verdict.interval
        assert low <= verdict.malignant <= high
    assert verdicts[3].strangeness > 1 > verdicts[0].strangeness


def test_any_number_is_answered_in_order_and_few_at_a_time(model, monkeypatch):
    seen, runtime = [], model._runtime

    def watched(pixels):
        seen.append(len(pixels))
        return runtime(pixels)

    monkeypatch.setattr(model, "_runtime", watched)
    reds = np.arange(0, 250, 10)
    verdicts = model.verdicts(plain(*[(red, 60, 60) for red in reds]))
    malignant = [verdict.malignant for verdict in verdicts]
    assert malignant == sorted(malignant) and len(malignant) == 25
    assert max(seen) <= predictor.AT_ONCE and sum(seen) == 25
    assert model.verdicts(plain()) == []


def test_a_photograph_is_read_from_a_path_and_from_bytes(model, tmp_path):
    path = artefacts.photograph(tmp_path / "red.jpg", artefacts.RED)
    verdict = model.photograph(path)
    assert verdict.answer == "malignant" and verdict == model.photograph(path.read_bytes())
    assert verdict.sentence.startswith("Looks malignant: probability of malignancy 9")
    with pytest.raises(images.ImageProblem, match="not a picture"):
        model.photograph(b"<html>")


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, 32, 32, 3), np.float32), np.zeros((32, 32, 3))],
)
def test_other_pixels_are_refused(model, pixels):
    with pytest.raises(ValueError, match=r"the model takes uint8 \(N, 32, 32, 3\)"):
        model.raw(pixels)


def test_temperature_and_thresholds_come_from_the_seal(tmp_path):
    hot = artefacts.write(
        tmp_path / "hot.onnx",
        temperature=2.0,
        abstain_below=0.0,
        strangers={},
        malignant={"classes": ["malignant"], "threshold": 0.9, "grid": []},
    )
    (verdict,) = predictor.load(hot).verdicts(plain(artefacts.RED))
    odds = np.sqrt(np.divide(*artefacts.answer(artefacts.RED)[::-1]))
    assert verdict.malignant == pytest.approx(odds / (1 + odds), abs=1e-5)
    assert verdict.label == "malignant" and verdict.answer == "benign"  # below the threshold
    assert verdict.interval is None and verdict.strangeness is None


def test_classes_that_say_nothing_of_malignancy_answer_with_a_class(tmp_path):
    path = artefacts.write(tmp_path / "other.onnx", classes=["other", "melanoma"], malignant={})
    (verdict,) = predictor.load(path).verdicts(plain(artefacts.RED))
    assert (verdict.answer, verdict.malignant, verdict.interval) == ("melanoma", None, None)
    assert verdict.sentence.startswith("Most like melanoma (9")


def test_hairs_go_before_the_graph(tmp_path):
    path = artefacts.write(tmp_path / "hair.onnx", image_size=64, hair_removal=True)
    bald = np.full((1, 64, 64, 3), artefacts.RED, np.uint8)
    hairy = bald.copy()
    hairy[0, 30:32] = 20
    shaved, plain_one = predictor.load(path).raw(np.concatenate([hairy, bald]))[0]
    assert shaved == pytest.approx(plain_one, abs=1e-6)


def test_a_sealed_file_no_runtime_can_open_is_told_in_one_line(tmp_path):
    path = tmp_path / "rubbish.onnx"
    path.write_bytes(b"no graph at all")
    artefact.seal(path, artefacts.facts())
    with pytest.raises(artefact.ArtefactError, match=r"rubbish\.onnx: onnxruntime cannot open it"):
        predictor.load(path)
