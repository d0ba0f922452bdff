"""Cross-validation: each photograph answered once, and a fold that is done stays done."""

import json

import pandas as pd
import pytest
import sklearn.metrics

from skincnn import (
    atomic,
    checkpoints,
    config,
    crossval,
    evaluate,
    parts,
    predictions,
    protocols,
    runs,
    splits,
)

SMALL = config.RunConfig(
    model="two_conv", image_size=32, batch_size=8, epochs=1, precision="float32", folds=2
)


def test_every_photograph_is_held_out_once_a_seed(index, home, tmp_path, asked, capsys):
    run = crossval.run(SMALL, index, tmp_path / "cv", seeds=[3, 4])
    assert [(s.fold, s.seed) for s in asked] == [(0, 3), (1, 3), (0, 4), (1, 4)]
    assert {s.protocol for s in asked} == {"clean"}
    table = run.predictions
    for seed in (3, 4):
        assert sorted(table["file"][table["seed"] == seed]) == sorted(index["file"])
    folds = protocols.grouped(run.config, index).set_index("file")["fold"]
    assert (table["fold"] == table["file"].map(folds)).all(), "the same folds for each seed"
    assert run.metrics == json.loads(json.dumps(evaluate.metrics(table)))
    assert run.info["data"]["photographs"] == 30 and run.info["seeds"] == [3, 4]
    ends = (".csv", ".json", "_inner.csv")
    kept = {f"fold{k}_seed{s}{end}" for k in (0, 1) for s in (3, 4) for end in ends}
    assert {path.name for path in (run.folder / "folds").iterdir()} == kept
    assert not list(home.rglob("model.keras")), "weights are removed"
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "4 of 4 folds to train" and len(lines) == 5
    assert lines[1].startswith("fold0_seed3: accuracy ") and "1 of 4, about 0 min left" in lines[1]


def test_two_classes_have_the_folds_of_all_diagnoses(index, tmp_path, asked):
    names = {"red": "melanoma", "green": "nevus", "blue": "basal cell carcinoma"}
    index = index.assign(label=index["label"].map(names))
    nine = crossval.run(SMALL, index, tmp_path / "nine", progress=False)
    settings = SMALL.replace(positive="malignant")
    two = crossval.run(settings, index, tmp_path / "two", progress=False)
    assert two.classes == ["benign", "malignant"] and two.metrics["positive"] == "malignant"
    assert two.predictions["fold"].equals(nine.predictions["fold"])
    assert (two.predictions["label"] == "malignant").sum() == 20
    # one nevus alone cannot be in both folds; as benign it need not be
    alone = (index["label"] != "nevus") | (index["file"] == index["file"][9])
    rare = index[alone].replace({"label": {"basal cell carcinoma": "dermatofibroma"}})
    assert protocols.grouped(settings, rare)["fold"].notna().all()


def test_what_is_done_is_not_done_again_and_what_is_damaged_is(index, home, tmp_path, asked):
    run = crossval.run(SMALL, index, tmp_path / "cv", keep_models=True, progress=False)
    assert len(list(home.rglob("model.keras"))) == 2
    before = (run.folder / "predictions.csv").read_bytes()
    asked.clear()
    crossval.run(SMALL.replace(preset="other name"), index, run.folder, progress=False)
    assert asked == [] and (run.folder / "predictions.csv").read_bytes() == before
    (run.folder / "folds/fold1_seed123.csv").write_text("damaged")
    crossval.run(SMALL, index, run.folder, progress=False)
    assert [s.fold for s in asked] == [1]
    assert (run.folder / "predictions.csv").read_bytes() == before


def test_interrupted_in_a_fold_it_goes_on_in_that_fold(index, home, tmp_path, monkeypatch):
    """With networks: Ctrl-C in the second epoch of the second fold."""
    settings, begun = SMALL.replace(epochs=2), []
    resume = checkpoints.Checkpoints.resume

    def begin(self):
        begun.append(self.folder.parent.name)
        return resume(self)

    def stop(self, batch, logs=None):
        if self.epoch == 1 and len(begun) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints.Checkpoints, "resume", begin)
    monkeypatch.setattr(checkpoints.Checkpoints, "on_train_batch_begin", stop)
    with pytest.raises(KeyboardInterrupt):
        crossval.run(settings, index, tmp_path / "cv", progress=False)
    assert (tmp_path / "cv/folds/fold0_seed123.csv").is_file()
    assert not (tmp_path / "cv/metrics.json").exists()
    second = parts.place(tmp_path / "cv", "fold1_seed123")
    assert len(runs.Run(second).history) == 1

    run = crossval.run(settings, index, tmp_path / "cv", progress=False)
    folds = [name.split("_")[-2] for name in begun]
    assert folds == ["fold0", "fold1", "fold1"], "the first stays done"
    assert len(runs.Run(second).history) == 2
    never = crossval.run(settings, index, tmp_path / "never_stopped", progress=False)
    pd.testing.assert_frame_equal(run.predictions, never.predictions)


def test_a_folder_of_another_cross_validation_is_refused_before_training(index, tmp_path, asked):
    crossval.run(SMALL, index, tmp_path / "cv", progress=False)
    asked.clear()
    with pytest.raises(runs.RunError, match=r"cv/folds/fold0_seed123.csv is of another run: ep"):
        crossval.run(SMALL.replace(epochs=2), index, tmp_path / "cv", progress=False)
    dealt = splits.grouped(index, 2, seed=8)
    with pytest.raises(runs.RunError, match="the split"):
        crossval.run(SMALL, dealt, tmp_path / "cv", progress=False)
    assert asked == []


def test_bad_requests_are_refused_before_training(index, tmp_path, asked):
    with pytest.raises(ValueError, match="fewer than k=12"):
        crossval.run(SMALL.replace(folds=12), index, tmp_path / "cv")
    with pytest.raises(ValueError, match=r"seeds=\[1, 1\]"):
        crossval.run(SMALL, index, tmp_path / "cv", seeds=[1, 1])
    with pytest.raises(ValueError, match=r"fold=2.*\[0, 1\]"):
        crossval.run(SMALL.replace(folds=3), splits.grouped(index, 2), tmp_path / "cv")
    assert asked == [] and not (tmp_path / "cv").exists()


def test_the_line_of_a_fold_is_its_tables(tmp_path, monkeypatch):
    table = pd.DataFrame({"file": ["a", "b"], "label": "red", "fold": 0})
    answers = predictions.frame(table, [[1, 0], [0, 1]], ["red", "blue"], 1)
    predictions.write(answers, tmp_path / "fold0_seed1.csv")
    line = crossval._line(tmp_path / "fold0_seed1.csv", 1, 5, 240)
    assert line == "fold0_seed1: accuracy 50.0 %, balanced 50.0 %; 1 of 5, about 16 min left"


def test_side_by_side_with_the_minutes_of_all_folds(index, home, tmp_path, asked):
    run = crossval.run(SMALL, index, tmp_path / "one", seeds=[3, 4], progress=False)
    for path in run.folder.glob("folds/*[0-9].json"):
        facts = json.loads(path.read_text()) | {"minutes": 9.0, "minutes_beside": 1.0}
        fold = facts["config"]["fold"]
        facts["pretrained"] = {"run": f"before{fold}", "photographs": 5, "minutes": 1.5 + fold}
        path.write_text(json.dumps(facts))
    both = tmp_path / "both"
    answers = run.predictions
    one, other = evaluate.classes(answers)[:2]
    answers = answers.rename(columns={f"p_{one}": "p_melanoma", f"p_{other}": "p_nevus"})
    answers = answers.replace({"label": {one: "melanoma", other: "nevus"}})
    predictions.write(answers, both / "predictions.csv")
    atomic.write_json(both / "metrics.json", run.metrics)
    members = [{"folder": "../one"}, {"folder": "../one"}]
    atomic.write_json(both / "config.json", {"members": members})
    table = crossval.table([run, runs.Run(both)])
    assert list(table.index) == ["one", "both"]
    assert list(table["minutes"]) == [24, 48], "two folds of ten, and 1.5 + 2.5 before, each once"
    value = run.metrics["balanced_accuracy"]["value"]
    assert table["balanced %"]["both"] == round(100 * value, 1)
    assert (table["photographs"] == 30).all()
    rows = answers[answers["label"].isin(("melanoma", "nevus"))]
    shares = rows["p_melanoma"] / (rows["p_melanoma"] + rows["p_nevus"])
    areas = [
        sklearn.metrics.roc_auc_score(own["label"] == "melanoma", shares[own.index])
        for _, own in rows.groupby("seed")
    ]
    assert table["AUC against nevus"]["both"] == round(sum(areas) / 2, 3)
    assert pd.isna(table["AUC against nevus"]["one"]), "it has no such classes"


def test_folds_that_were_pretrained_differently_are_not_put_together(index, tmp_path, asked):
    run = crossval.run(SMALL, index, tmp_path / "cv", progress=False)
    for number, path in enumerate(run.folder.glob("folds/*[0-9].json")):
        facts = json.loads(path.read_text())
        facts["pretrained"] = {"run": f"pretrain_{number}", "minutes": 1}
        path.write_text(json.dumps(facts))
    with pytest.raises(runs.RunError, match="changed between the folds"):
        crossval.run(SMALL, index, tmp_path / "cv", progress=False)
