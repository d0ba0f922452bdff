"""Training on records in shards: the same recipe, whatever the photographs come from."""

import json

import keras
import numpy as np
import pandas as pd
import pytest
import shard_files

from skincnn import (
    checkpoints,
    config,
    data,
    labels,
    models,
    person,
    predict_cli,
    predictions,
    presets,
    runs,
    splits,
    tfrecords,
    train,
)

SMALL = config.RunConfig(
    model="two_conv",
    image_size=32,
    batch_size=8,
    epochs=2,
    precision="float32",
    protocol="clean",
    folds=3,
)


@pytest.fixture
def place(tmp_path):
    return shard_files.folder(tmp_path / "set")


@pytest.fixture
def index(place, home):
    return tfrecords.load(place, progress=False)


def fit(settings, index, folder):
    return train.fit(settings, index, folder, verbose=0)


def test_a_run_on_records_has_a_runs_files(index, tmp_path):
    run = fit(
        SMALL.replace(keep="highest_auc", epochs=6, learning_rate=3e-3), index, tmp_path / "run"
    )
    table = run.predictions
    held_out = table["file"].str.split("/").str[1]
    assert set(table["label"]) == {"benign", "malignant"} and held_out.is_unique
    assert run.info["data"]["held_out_with_sibling_in_training"] == 0
    assert {"auc", "val_auc"} <= set(run.history)
    assert run.metrics["positive"] == "malignant" and run.metrics["macro_auc"]["value"] > 0.95
    inner = predictions.read(tmp_path / "run" / "predictions_inner.csv")
    assert not set(inner["group"]) & set(table["group"])


def test_a_killed_run_ends_as_one_that_was_not(index, tmp_path, monkeypatch):
    settings = SMALL.replace(sampling="balanced", augment="flip_rotate_zoom", epochs=3)
    whole = fit(settings, index, tmp_path / "whole")
    begin = checkpoints.Checkpoints.on_epoch_begin

    def dies(self, epoch, logs=None):
        begin(self, epoch, logs)
        if epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.Checkpoints, "on_epoch_begin", dies)
        with pytest.raises(KeyboardInterrupt):
            fit(settings, index, tmp_path / "run")
    before = pd.read_csv(tmp_path / "run" / "history.csv")["seconds"]
    again = fit(settings, index, tmp_path / "run")
    assert list(again.history["seconds"][:2]) == list(before)  # they were not trained again
    columns = ["loss", "val_loss"]
    pd.testing.assert_frame_equal(again.history[columns], whole.history[columns])
    pd.testing.assert_frame_equal(again.predictions, whole.predictions)


def test_records_and_files_train_the_same_network(tiny, home, tmp_path):
    """Stored without loss, so that both see the same pixels in the same order."""
    import io

    from PIL import Image

    from skincnn import images

    index = data.usable(data.load(tiny, progress=False)).sort_values("file", ignore_index=True)
    some = []
    for row, path in zip(index.to_dict("records"), data.paths(index), strict=True):
        buffer = io.BytesIO()
        Image.fromarray(images.decode(path)).save(buffer, "PNG")
        some.append(
            shard_files.record(
                image=buffer.getvalue(), image_name=row["image_id"], label=row["label"]
            )
        )
    shard_files.shard(tmp_path / "set" / "a.tfrec", some)
    shards = tfrecords.load(tmp_path / "set", progress=False)
    shards = shards.sort_values("record", ignore_index=True)
    fold = (np.arange(len(index)) % 3 == 0).astype(int) - 1  # 0 held out, −1 trains
    settings = SMALL.replace(protocol="published", epochs=1, batch_size=30)
    answers = []
    for name, rows in (("files", index), ("records", shards)):
        rows = rows.assign(fold=pd.array(fold, "Int64"))
        answers.append(fit(settings, rows, tmp_path / name).predictions)
    columns = predictions.probability_columns(answers[0])
    a, b = (t.sort_values("image_id")[columns].to_numpy() for t in answers)
    np.testing.assert_allclose(a, b, atol=1e-5)  # one batch an epoch: order does not matter


def test_tables_of_facts_are_in_the_runs_command(place, home, tmp_path):
    table = tmp_path / "truth.csv"
    table.write_text("image_name,patient_id\nISIC_0000000,IP_1\n")
    index = tfrecords.load(place, [table], progress=False)
    run = fit(SMALL.replace(preset="two_conv", epochs=1), index, tmp_path / "run")
    assert run.info["data"]["facts"] == [str(table)]
    assert f"--data {place} --facts {table} " in run.command


def test_one_class_against_all_others(tiny, home, tmp_path, plain_audit):
    index = data.load(tiny, progress=False)
    run = fit(SMALL.replace(positive="red"), index, tmp_path / "run")
    assert run.classes == [labels.OTHER, "red"]
    assert (run.predictions["label"] == "red").mean() == pytest.approx(1 / 3, abs=0.1)
    with pytest.raises(data.DataError, match="positive='purple'"):
        fit(SMALL.replace(positive="purple"), index, tmp_path / "other")


def test_the_classifier_starts_at_the_classes_shares(index, tmp_path):
    settings = SMALL.replace(initial_bias=True, learning_rate=1e-12, epochs=1)
    run = fit(settings, index, tmp_path / "run")
    mean = run.predictions["p_malignant"].mean()
    assert 0.1 < mean < 0.4  # 12 of 48; without it 0.5
    assert abs(run.model.get_layer("classifier").bias.numpy()[0]) < 0.6


def test_metadata_is_a_second_input(tmp_path, home):
    """Photographs that say nothing; the age says all."""
    gray = shard_files.jpeg(1)
    some = [
        shard_files.kaggle(
            i, i % 2, patient=i, age_approx=80 if i % 2 else 20, image=_noise(i, gray)
        )
        for i in range(60)
    ]
    shard_files.shard(tmp_path / "set" / "a.tfrec", some)
    index = tfrecords.load(tmp_path / "set", progress=False)
    settings = SMALL.replace(metadata=True, epochs=12, learning_rate=3e-3)
    run = fit(settings, index, tmp_path / "run")
    assert run.metrics["macro_auc"]["value"] > 0.95
    without = fit(settings.replace(metadata=False), index, tmp_path / "without")
    assert without.metrics["macro_auc"]["value"] < 0.9
    assert [tuple(i.shape[1:]) for i in run.model.inputs] == [(32, 32, 3), (person.WIDTH,)]
    pixels = np.zeros((3, 32, 32, 3), np.uint8)
    assert run.classify(pixels).shape == (3, 2)  # nothing is known of the persons


def _noise(number, content):
    return shard_files.jpeg(1000 + number)


def test_a_run_that_knew_less_of_the_persons_is_another_run(place, home, tmp_path):
    settings = SMALL.replace(metadata=True, epochs=1)
    index = tfrecords.load(place, progress=False)
    fit(settings, index, tmp_path / "run")
    with pytest.raises(runs.RunError, match="what is known of the persons changed"):
        fit(settings, index.assign(age="70"), tmp_path / "run")


def test_hair_is_removed_once(place, home, tmp_path):
    index = tfrecords.load(place, progress=False)
    run = fit(SMALL.replace(hair_removal=True, epochs=1), index, tmp_path / "run")
    *_, stream = predict_cli._answers_of_set(
        predict_cli._opened(run.folder, ""), str(place), None, None, False
    )
    found = {name: answer[1] for name, _, answer, *_ in stream}
    own = run.predictions.set_index("file")["p_malignant"]
    np.testing.assert_allclose([found[file] for file in own.index], own, atol=1e-6)


def test_folds_of_ones_own_are_of_one_class_against_all_others_too(tiny, home, tmp_path):
    index = splits.grouped(data.load(tiny, progress=False), 3)
    run = fit(SMALL.replace(positive="red", epochs=1), index, tmp_path / "run")
    assert run.classes == [labels.OTHER, "red"]


def test_metadata_of_files_comes_from_their_table(ham, home, tmp_path):
    index = data.load(ham, progress=False)
    facts = person.of(index)
    assert (facts["sex"] != "").mean() > 0.99 and (facts["age"] != "").mean() > 0.99
    vectors = person.vectors(facts)
    assert vectors.shape == (len(index), person.WIDTH) and set(vectors[:, 0]) == {0, 1}


@pytest.mark.parametrize(
    ("text", "site"),
    [
        ("palms/soles", "hands and feet"),
        ("head/neck", "head and neck"),
        ("trunk", "torso"),
        ("lower extremity", "lower extremity"),
        ("ear", "head and neck"),
        ("unknown", ""),
        ("anterior torso", "torso"),
        ("forearm", ""),
        ("hands and feet", "hands and feet"),
    ],
)
def test_sites_are_told_by_whole_words(text, site):
    assert person.site(text) == site


def test_a_network_that_sees_a_person_saves_and_loads(tmp_path):
    model = models.build("MobileNetV3Small", 2, 32, people=person.WIDTH)
    x = [np.zeros((2, 32, 32, 3), np.float32), np.eye(2, person.WIDTH, dtype=np.float32)]
    before = model.predict_on_batch(x)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict_on_batch(x), before, atol=1e-6)


@pytest.mark.parametrize("setting", ["copies_per_class", "fill_to"])
def test_copies_of_records_are_refused(index, tmp_path, setting):
    with pytest.raises(ValueError, match="sampling=balanced"):
        fit(SMALL.replace(**{setting: 5}), index, tmp_path / "run")
    with pytest.raises(ValueError, match="split_first is about copies"):
        fit(SMALL.replace(protocol="split_first"), index, tmp_path / "run")
    with pytest.raises(data.DataError, match="is in shards, and this needs files"):
        data.paths(index)


def test_unlabelled_records_do_not_train(tmp_path, home):
    some = [shard_files.kaggle(i, int(i % 4 == 0) if i < 40 else -1, i) for i in range(48)]
    for n in range(4):
        shard_files.shard(tmp_path / "set" / f"a{n}.tfrec", some[n::4])
    index = tfrecords.load(tmp_path / "set", progress=False)
    for protocol in ("clean", "published"):
        run = fit(SMALL.replace(protocol=protocol, epochs=1), index, tmp_path / protocol)
        assert run.classes == ["benign", "malignant"]
        facts = run.info["data"]
        assert facts["training"] + facts["held_out"] + facts.get("inner", 0) == 40


def test_highest_auc_is_of_two_classes(tiny, home, tmp_path):
    with pytest.raises(ValueError, match="two classes"):
        fit(SMALL.replace(keep="highest_auc"), data.load(tiny, progress=False), tmp_path / "run")


def test_the_command_line_trains_on_shards_and_predicts_them(place, home, tmp_path, monkeypatch):
    import sys

    from skincnn import cli

    monkeypatch.setitem(presets.PRESETS, "baseline", SMALL.asdict() | {"epochs": 1})
    monkeypatch.setitem(presets.PRESETS["baseline"], "preset", "baseline")
    presets.PRESETS["baseline"].pop("preset")

    def skincnn(*words):
        monkeypatch.setattr(sys, "argv", ["skincnn", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        return stopped.value.code or 0

    run = tmp_path / "run"
    assert skincnn("train", "--data", place, "--out", run, "--json") == 0
    out = [tmp_path / "p.csv", tmp_path / "submission.csv"]
    words = ["predict", place, "--model", run, "--csv", out[0], "--submission", out[1]]
    assert skincnn(*words) == 0
    table, sent = predictions.read(out[0]), pd.read_csv(out[1])
    assert list(sent) == ["image_name", "target"] and len(sent) == len(table) == 48
    assert np.allclose(sent["target"], table["p_malignant"])
    held_out = runs.Run(run).predictions
    both = held_out.merge(table, on="file")
    np.testing.assert_allclose(both["p_malignant_x"], both["p_malignant_y"], atol=1e-6)
    bad = place / "train01-12.tfrec"
    bad.write_bytes(bad.read_bytes()[:-20])
    assert skincnn(*words) == 2
    assert skincnn(*words, "--skip-damaged") == 0 and len(pd.read_csv(out[1])) == 36
    assert skincnn("tfrecords", "--check", place) == 1
    assert json.loads((run / "config.json").read_text())["classes"] == ["benign", "malignant"]


def test_of_aucs_that_are_alike_the_lower_loss_is_kept():
    rows = [{"val_auc": 1.0, "val_loss": 0.3}, {"val_auc": 0.99999, "val_loss": 0.2}]
    best = max(rows, key=lambda row: checkpoints.order(row, "highest_auc"))
    assert best["val_loss"] == 0.2
    rows.append({"val_auc": 0.9, "val_loss": 0.1})
    assert max(rows, key=lambda row: checkpoints.order(row, "highest_auc")) == best
    assert max(rows, key=lambda row: checkpoints.order(row, "lowest_loss"))["val_loss"] == 0.1
