"""A run as a sealed model: the same answers from every runtime, and facts that were fitted."""

import json
import subprocess
import sys

import numpy as np
import pytest
import stand_ins

from skincnn import (
    artefact,
    atomic,
    calibrate,
    config,
    data,
    export,
    models,
    person,
    predictor,
    runs,
)

SIZE = 32
NAMES = ["melanoma", "nevus", "squamous cell carcinoma"]


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(7).integers(0, 256, (11, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.mark.parametrize("kind", artefact.FORMATS)
def test_each_export_answers_as_the_run(kind, small_run, pixels, tmp_path):
    path = export.write(small_run, kind, tmp_path / f"m{export._ENDINGS[kind]}")
    probabilities, features = predictor.load(path).raw(pixels)
    assert np.abs(probabilities - small_run.classify(pixels)).max() < 1e-5
    assert features.shape == (11, 128) and features.dtype == np.float32
    assert [p.name for p in tmp_path.iterdir()] == [path.name]  # nothing half-written stays


def test_views_are_those_of_the_run(pixels):
    """The graph's turns and mirrorings are `views.turned`'s, in its order."""
    from keras import ops

    from skincnn import views

    seen = ops.convert_to_numpy(export._turned(ops.convert_to_tensor(pixels), SIZE, 8))
    assert (seen == np.concatenate(list(views.turned(pixels)))).all()


def test_facts_are_fitted_on_the_inner_part(exported, small_run):
    facts = artefact.read(exported)
    inner = small_run.folder / "predictions_inner.csv"
    table = export.predictions.read(inner)
    assert facts.classes == small_run.classes == NAMES
    fitted = calibrate.temperature(table)
    assert facts.temperature == (pytest.approx(fitted) if 0.05 < fitted < 20 else 1.0)
    answered = calibrate.apply(table, facts.temperature).filter(like="p_").max(axis=1)
    assert 0 < facts.abstain_below <= answered.max()
    assert (
        facts.malignant["classes"] == [NAMES[0], NAMES[2]] and len(facts.malignant["grid"]) == 101
    )
    assert facts.source["protocol"] == "clean" and facts.source["data"] == "moles"
    assert (facts.views, facts.image_size, facts.licence) == (8, SIZE, "unknown")


def fitted(run, folder, n=200):
    """The run, with an inner part worth fitting to."""
    (folder / "config.json").write_bytes((run.folder / "config.json").read_bytes())
    (folder / "metrics.json").write_bytes((run.folder / "metrics.json").read_bytes())
    rng = np.random.default_rng(0)
    rows = export.pd.DataFrame({"label": rng.choice(NAMES, n)})
    rows = rows.assign(file=[f"{i}.jpg" for i in range(n)], split="train", fold=0)
    right = np.array([rows["label"] == name for name in NAMES]).T
    sure = rng.dirichlet(np.ones(3), n) + right * rng.uniform(0, 1.5, (n, 1))
    sure /= sure.sum(axis=1, keepdims=True)
    table = export.predictions.frame(rows, sure, NAMES, 0)
    export.predictions.write(table, folder / "predictions_inner.csv")
    return runs.Run(folder), table


def test_malignancy_is_called_where_both_errors_weigh_alike(small_run, tmp_path):
    run, table = fitted(small_run, tmp_path)
    facts = export.facts(run)
    assert facts.malignant["classes"] == ["melanoma", "squamous cell carcinoma"]
    soft = calibrate.apply(table, facts.temperature)
    score = soft["p_melanoma"] + soft["p_squamous_cell_carcinoma"]
    called, true = score >= facts.malignant["threshold"], table["label"] != "nevus"
    sensitivity, specificity = called[true].mean(), 1 - called[~true].mean()
    assert sensitivity == pytest.approx(specificity, abs=0.03)
    at, low, high = np.array(facts.malignant["grid"]).T
    assert len(at) == 101 and (low < high).all() and (low[0], high[-1]) == pytest.approx((0, 1))
    own = calibrate.interval(score.to_numpy(), true.to_numpy(), at[50:51])
    assert (low[50], high[50]) == pytest.approx(own[0, 1:], abs=1e-6)
    right = soft.filter(like="p_").to_numpy().argmax(1) == export.calibrate.answers(soft)[0]
    answered = soft.filter(like="p_").max(axis=1) >= facts.abstain_below
    assert right[answered].mean() >= 0.9 and answered.mean() >= 0.5


def test_other_protocols_have_nothing_to_fit_on(small_run, tmp_path):
    run, _ = fitted(small_run, tmp_path)
    (tmp_path / "predictions_inner.csv").unlink()
    facts = export.facts(run)
    assert (facts.temperature, facts.abstain_below) == (1.0, 0.0)
    assert facts.malignant["threshold"] is None and facts.malignant["grid"] == []
    info = json.loads((tmp_path / "config.json").read_text()) | {
        "classes": ["red", "green", "blue"]
    }
    atomic.write_json(tmp_path / "config.json", info)
    assert export.facts(runs.Run(tmp_path)).malignant == {}  # colours are no diagnoses


def test_strangers_are_told_from_what_trained(exported, moles):
    model = predictor.load(exported)
    noise = np.random.default_rng(0).integers(0, 256, (20, SIZE, SIZE, 3), dtype=np.uint8)
    usual = np.stack([model.pixels(p) for p in data.paths(moles)])
    odd = np.concatenate([noise[:10], np.zeros_like(noise[:5]), np.full_like(noise[:5], 255)])
    told = model.verdicts(odd)
    assert np.mean([verdict.answer == "not a lesion" for verdict in told]) > 0.9
    strange, known = ([v.strangeness for v in model.verdicts(some)] for some in (odd, usual))
    assert np.quantile(strange, 0.1) > np.median(known)


def test_a_set_that_it_was_not_trained_on_is_refused(small_run, tmp_path, draw, monkeypatch, home):
    stand_ins.plain_audit(monkeypatch)
    other = draw(tmp_path / "other", {f"Train/{name}": 8 for name in NAMES}, seed=9)
    index = data.load(other, progress=False).iloc[1:]
    with pytest.raises(runs.RunError, match=r"other is not what .* was trained on"):
        export.write(small_run, out=tmp_path / "m.onnx", data=index, progress=False)
    assert not (tmp_path / "m.onnx").exists()


def test_metadata_is_unknown_in_an_export(small_run, pixels, tmp_path):
    run = runs.Run(tmp_path)
    info = json.loads((small_run.folder / "config.json").read_text())
    info["config"] |= {"metadata": True, "views": 1}
    atomic.write_json(tmp_path / "config.json", info)
    (tmp_path / "metrics.json").write_bytes((small_run.folder / "metrics.json").read_bytes())
    models.build("two_conv", 3, SIZE, seed=3, people=person.WIDTH).save(tmp_path / "model.keras")
    path = export.write(run, out=tmp_path / "m.onnx")
    assert np.abs(predictor.load(path).raw(pixels)[0] - run.classify(pixels)).max() < 1e-5


@pytest.mark.parametrize("kind", ["onnx", "litert"])
def test_int8_weights_are_a_quarter_and_answer_nearly_the_same(
    kind, small_run, exported, pixels, tmp_path
):
    out = tmp_path / f"small{export._ENDINGS[kind]}"
    path = export.write(small_run, kind, out, weights="int8")
    assert path.stat().st_size < 0.3 * exported.stat().st_size
    off = np.abs(predictor.load(path).raw(pixels)[0] - small_run.classify(pixels)).max()
    assert 0 < off < 0.05
    assert artefact.read(path).source["weights"] == "int8"


def test_a_converter_that_changes_the_network_is_found_out(small_run, tmp_path, monkeypatch):
    monkeypatch.setattr(runs.Run, "classify", lambda *_: np.full((3, 3), 1 / 3))
    with pytest.raises(artefact.ArtefactError, match=r"off by .*: nothing was written"):
        export.write(small_run, out=tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_is_told_before_the_work(small_run, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    for kind, name, reason in (
        ("onnx", "m.h5", r"m\.h5: the name of a model for onnx ends in \.onnx"),
        ("savedmodel", "m.onnx", "for savedmodel is a folder's"),
        ("savedmodel", "mine", "mine holds something else"),
    ):
        with pytest.raises(artefact.ArtefactError, match=reason):
            export.write(small_run, kind, tmp_path / name)
    with pytest.raises(ValueError, match="kind='coreml': choose one of onnx, litert, savedmodel"):
        export.write(small_run, "coreml")
    with pytest.raises(ValueError, match="a SavedModel keeps float32"):
        export.write(small_run, "savedmodel", weights="int8")
    with pytest.raises(runs.RunError, match="no finished training of one network"):
        export.facts(runs.Run(config.runs_dir() / "isic9_lite0_cv"))
    assert (tmp_path / "mine/thesis.txt").read_text() == "years of work"


def test_the_command_tells_what_it_wrote(small_run, tmp_path):
    def skincnn(*arguments):
        code = "from skincnn.cli import main; main()"
        command = [sys.executable, "-c", code, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True)

    answer = skincnn("export", small_run.folder, "--out", tmp_path / "m.onnx", "--json")
    told = json.loads(answer.stdout)
    assert told["version"] == artefact.read(tmp_path / "m.onnx").version
    assert told["bytes"] == (tmp_path / "m.onnx").stat().st_size and not told["strangers"]
    answer = skincnn("export", tmp_path / "gone")
    assert answer.returncode == 2 and answer.stderr.count("\n") == 1
    assert "config.json: no such file" in answer.stderr
