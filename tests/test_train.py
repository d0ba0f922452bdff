"""Runs: what they leave, when they are trusted, and that stopping one changes nothing."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import killed_run
import numpy as np
import pandas as pd
import pytest
import stand_ins

from skincnn import (
    atomic,
    checkpoints,
    config,
    data,
    evaluate,
    feed,
    fitting,
    leakage,
    pipeline,
    precision,
    predictions,
    presets,
    protocols,
    runs,
    splits,
    train,
)

WHOLE = presets.get("tiny")
SMALL = config.RunConfig(
    model="two_conv", image_size=32, batch_size=8, epochs=2, precision="float32"
)
FILES = {
    "config.json",
    "history.csv",
    "metrics.json",
    "metrics_test.json",
    "model.keras",
    "predictions.csv",
    "predictions_test.csv",
}


@pytest.fixture
def index(tiny, home):
    return data.load(tiny, progress=False)


def _made(settings, tiny, root):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config, "project_root", lambda: root)
        return train.fit(settings, data.load(tiny, progress=False), root / "run", verbose=0)


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory):
    """A run with everything random in it, never interrupted."""
    return _made(WHOLE, tiny, tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def small(tiny, tmp_path_factory):
    """A run that costs little."""
    return _made(SMALL, tiny, tmp_path_factory.mktemp("small"))


@pytest.fixture
def copied(small, tmp_path):
    """The small run in a folder of the test's own."""
    return Path(shutil.copytree(small.folder, tmp_path / "run"))


@pytest.fixture
def no_training(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("trained")

    monkeypatch.setattr(keras.Model, "fit", refuse)


def same_result(first, second):
    """Whether two runs are equal to the last bit, times aside."""
    a, b = (run.history.drop(columns="seconds") for run in (first, second))
    pd.testing.assert_frame_equal(a, b, check_exact=True)
    pairs = zip(first.model.get_weights(), second.model.get_weights(), strict=True)
    assert all(np.array_equal(x, y) for x, y in pairs)
    for name in ("predictions.csv", "predictions_test.csv", "metrics.json"):
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes()


# --- what a run leaves ----------------------------------------------------------------------


def test_a_finished_run_leaves_its_files_and_nothing_else(whole):
    assert {path.name for path in whole.folder.iterdir()} == FILES
    assert whole.finished


def test_config_json_tells_what_was_trained_on_what(whole):
    assert whole.config == WHOLE
    assert whole.classes == ["blue", "green", "red"]
    assert whole.info["precision_used"] == "float32"
    facts = whole.info["data"]
    assert (facts["name"], facts["training"], facts["held_out"]) == ("tiny", 20, 4)
    assert facts["held_out_with_sibling_in_training"] == 0
    assert set(whole.info["versions"]) >= {"python", "tensorflow", "keras", "numpy"}
    assert whole.info["config"]["seed"] == WHOLE.seed and "commit" in whole.info
    assert len(facts["rows_sha256"]) == len(facts["pixels_sha256"]) == 64


def test_the_curve_has_a_row_an_epoch_and_the_rate_it_ran_with(whole):
    history = whole.history
    assert list(history["epoch"]) == list(range(1, len(history) + 1))
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "seconds"} < set(history.columns)
    assert whole.minutes > history["seconds"].sum() / 60, "reading and predicting are part of it"
    assert history["learning_rate"][0] == pytest.approx(WHOLE.learning_rate)
    assert (history["learning_rate"].diff().fillna(0) <= 0).all()


def test_predictions_are_the_saved_models_and_metrics_are_the_predictions(small, index):
    split = splits.published(index)
    for suffix, rows in (("", splits.held_out(split)), ("_test", splits.test(split))):
        table = predictions.read(small.folder / f"predictions{suffix}.csv")
        assert list(table["file"]) == list(rows["file"])
        assert list(table["label"]) == list(rows["label"])
        pixels = pipeline.decode(rows, 32, progress=False).astype("float32")
        expected = small.model.predict_on_batch(pixels)
        columns = [f"p_{name}" for name in small.classes]
        assert np.abs(table[columns].to_numpy() - expected).max() < 2e-6
        saved = json.loads((small.folder / f"metrics{suffix}.json").read_text())
        assert saved == json.loads(json.dumps(evaluate.metrics(table)))


def test_the_weights_kept_are_those_of_the_lowest_validation_loss(whole):
    assert whole.metrics["log_loss"]["value"] == pytest.approx(
        whole.history["val_loss"].min(), abs=1e-4
    )


def test_a_network_learns_what_anyone_can_see(small):
    assert small.test_metrics["accuracy"]["value"] >= 0.5, "a third would be chance"


def test_one_class_is_nothing_to_train_on(draw, tmp_path, home):
    index = data.load(draw(tmp_path / "one", {"red": 10}), progress=False)
    with pytest.raises(ValueError, match="classes=1"):
        train.fit(SMALL, index, tmp_path / "run", verbose=0)


# --- when a run is trusted ------------------------------------------------------------------


def test_the_very_same_run_is_taken_and_not_trained(small, index, no_training):
    for call in (train.fit, train.fit_or_load):
        run = call(SMALL.replace(preset="another name"), index, small.folder, verbose=0)
        assert run.metrics == small.metrics


def test_fit_refuses_a_folder_with_another_run(small, index, no_training):
    with pytest.raises(runs.RunError, match=r"holds another run: epochs: 2 → 3\. Choose another"):
        train.fit(SMALL.replace(epochs=3), index, small.folder, verbose=0)
    assert {path.name for path in small.folder.iterdir()} == FILES


def test_a_changed_setting_is_told_and_trained_with_the_old_run_moved_aside(copied, index, capsys):
    before = (copied / "predictions.csv").read_bytes()
    run = train.fit_or_load(SMALL.replace(epochs=1), index, copied, verbose=0)
    assert "The saved run differs (epochs: 2 → 1): training again." in capsys.readouterr().out
    assert len(run.history) == 1 and run.config.epochs == 1
    previous = copied.with_name("run.previous1")
    assert (previous / "predictions.csv").read_bytes() == before
    assert {path.name for path in previous.iterdir()} == FILES


def test_a_changed_photograph_or_label_is_another_run(small, tiny, home, tmp_path, no_training):
    other = Path(shutil.copytree(tiny, tmp_path / "tiny"))
    changed = next((other / "Train/red").iterdir())
    shutil.copyfile(next((other / "Test/red").iterdir()), changed)
    with pytest.raises(runs.RunError, match=r"another run: photographs changed\."):
        train.fit(SMALL, data.load(other, progress=False), small.folder, verbose=0)
    changed.rename(other / "Train/blue" / changed.name)
    with pytest.raises(runs.RunError, match="files, labels, folds"):
        train.fit(SMALL, data.load(other, progress=False), small.folder, verbose=0)


def test_a_run_without_its_weights_is_trained_again_to_the_same(small, copied, index):
    (copied / "model.keras").unlink()
    assert runs.Run(copied).finished
    with pytest.raises(runs.RunError, match=r"model\.keras: no such file; weights are not kept"):
        _ = runs.Run(copied).model
    same_result(train.fit_or_load(SMALL, index, copied, verbose=0), small)


def test_a_table_that_is_not_there_is_named(tmp_path):
    with pytest.raises(runs.RunError, match=r"history\.csv: no such file$"):
        _ = runs.Run(tmp_path).history


@pytest.mark.parametrize("text", ["", "{", "[]", '{"config": {"layers": 3}, "classes": []}'])
def test_a_damaged_config_is_named(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(runs.RunError, match=r"config\.json"):
        _ = runs.Run(tmp_path).config


@pytest.mark.parametrize("content", [b"", b"PK\3\4 cut off"])
def test_damaged_weights_are_named(tmp_path, content):
    (tmp_path / "model.keras").write_bytes(content)
    with pytest.raises(runs.RunError, match=r"model\.keras: damaged"):
        _ = runs.Run(tmp_path).model


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    atomic.write_json(tmp_path / "a.json", {"a": 1})
    with pytest.raises(TypeError):
        atomic.write_json(tmp_path / "a.json", {"a": object()})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


# --- precision ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [((1, 0.5), "mixed_bfloat16"), ((1, 0.97), "float32"), ((1, 2), "float32")],
)
def test_the_faster_precision_is_chosen_and_float32_where_little_is_gained(
    monkeypatch, seconds, chosen
):
    clock = [0.0]

    class Network:
        def __init__(self, step):
            self.step = step

        def train_on_batch(self, x, y):
            clock[0] += self.step

    steps = dict(zip(("float32", "mixed_bfloat16"), seconds, strict=True))
    monkeypatch.setattr(precision.time, "perf_counter", lambda: clock[0])
    pixels, numbers = np.zeros((9, 32, 32, 3), np.uint8), np.zeros(9, np.int32)
    source = feed.Feed(pixels, numbers, SMALL)
    found = precision.choose(lambda dtype: Network(steps[dtype]), source, show=False)
    assert found == chosen


def test_auto_records_what_was_used_and_a_resumed_run_keeps_it(index, tmp_path, monkeypatch):
    settings = SMALL.replace(precision="auto")
    monkeypatch.setattr(precision, "choose", lambda *_: "mixed_bfloat16")

    def interrupted(self, batch, logs=None):
        if self.epoch == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints.Checkpoints, "on_train_batch_begin", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train.fit(settings, index, tmp_path / "run", verbose=0)
    used = []

    def note(self, logs=None):
        used.append(self.model.layers[2].compute_dtype)

    monkeypatch.setattr(checkpoints.Checkpoints, "on_train_batch_begin", lambda *_, **__: None)
    monkeypatch.setattr(checkpoints.Checkpoints, "on_train_end", note)
    monkeypatch.setattr(precision, "choose", lambda *_: "float32")
    run = train.fit(settings, index, tmp_path / "run", verbose=0)
    assert used == ["bfloat16"]
    assert run.info["precision_used"] == "mixed_bfloat16"
    assert run.config.precision == "auto"
    assert {layer.compute_dtype for layer in run.model.layers} == {"float32"}


# --- protocols ------------------------------------------------------------------------------


def test_copies_made_before_the_split_leak_and_copies_made_after_do_not(index):
    settings = SMALL.replace(copies_per_class=16)
    published = protocols.prepare(settings, index, progress=False)
    leaks = leakage.siblings(published)
    assert len(leaks)
    held_out = splits.held_out(published)
    assert (held_out["augmented_from"] != "").any(), "copies are held out like photographs"

    honest = protocols.prepare(settings.replace(protocol="split_first"), index, progress=False)
    assert not len(leakage.siblings(honest))
    held_out, training = splits.held_out(honest), splits.training(honest)
    assert (held_out["augmented_from"] == "").all()
    assert not set(held_out["file"]) & set(training["augmented_from"])
    assert (training["augmented_from"] != "").sum() == 48
    plain = splits.published(index)
    assert set(held_out["file"]) == set(splits.held_out(plain)["file"])


def test_filling_evens_out_the_training_rows_alone(index):
    settings = SMALL.replace(fill_to=12, protocol="split_first")
    ready = protocols.prepare(settings, index, progress=False)
    assert set(splits.training(ready)["label"].value_counts()) == {12}
    assert len(splits.held_out(ready)) == 4 and len(splits.test(ready)) == 6


def test_an_index_with_folds_is_taken_as_prepared(index):
    split = splits.published(index, 0.5)
    assert protocols.prepare(SMALL, split) is split


def test_clean_copies_what_trains_and_neither_the_inner_part_nor_the_held_out_fold(
    index, plain_audit
):
    settings = SMALL.replace(protocol="clean", fold=2, copies_per_class=16)
    ready = protocols.prepare(settings, index, progress=False)
    held_out, chooses = splits.held_out(ready, 2), splits.validation(ready, 2)
    training = splits.training(ready, 2)
    assert (len(held_out), len(chooses), len(training)) == (6, 3, 21 + 48)
    assert len(splits.test(ready)) == 0, "Train and Test are pooled"
    assert not set(training["augmented_from"]) & {*held_out["file"], *chooses["file"]}
    leakage.assert_none(ready, 2)
    # the same folds whatever the seed, and steps that were taken are not taken again
    other = protocols.prepare(settings.replace(seed=5, copies_per_class=0), index, progress=False)
    assert set(splits.held_out(other, 2)["file"]) == set(held_out["file"])
    dealt = protocols.grouped(settings, index)
    assert splits.fingerprint(protocols.prepare(settings, dealt, False)) == splits.fingerprint(
        ready
    )
    assert splits.fingerprint(protocols.prepare(settings, ready)) == splits.fingerprint(ready)


@pytest.fixture(scope="module")
def clean(tiny, tmp_path_factory):
    """A small run of fold 1 of protocol clean."""
    with pytest.MonkeyPatch.context() as patch:
        stand_ins.plain_audit(patch)
        settings = SMALL.replace(protocol="clean", fold=1)
        return _made(settings, tiny, tmp_path_factory.mktemp("clean"))


def test_a_clean_run_leaves_the_held_out_fold_and_the_part_that_chose(clean, index, plain_audit):
    tests = {"metrics_test.json", "predictions_test.csv"}
    assert {p.name for p in clean.folder.iterdir()} == FILES - tests | {"predictions_inner.csv"}
    ready = protocols.prepare(clean.config, index)
    inner = predictions.read(clean.folder / "predictions_inner.csv")
    assert set(clean.predictions["file"]) == set(splits.held_out(ready, 1)["file"])
    assert set(inner["file"]) == set(splits.validation(ready, 1)["file"])
    assert set(inner["fold"]) == set(clean.predictions["fold"]) == {1}, "the model's"
    facts = clean.info["data"]
    assert (facts["training"], facts["inner"], facts["held_out"]) == (21, 3, 6)
    loss = evaluate.metrics(inner)["log_loss"]["value"]
    assert loss == pytest.approx(clean.history["val_loss"].min(), abs=1e-4), "chosen on inner"


def leaky(index, column, value):
    """The published split, in which one held-out photograph is related to one that trains."""
    split = splits.published(index)
    rows = [split.index[split["fold"] == fold][0] for fold in (0, -1)]
    split.loc[rows, column] = value
    return split, [split["file"][row] for row in rows]


def test_a_leaky_index_is_refused_by_name_unless_the_protocol_is_published(
    index, tmp_path, no_training
):
    split, (held_out, trains) = leaky(index, "lesion_id", "L1")
    split["inner"] = False
    split.loc[split.index[split["fold"] == -1][-3:], "inner"] = True
    with pytest.raises(leakage.LeakageError, match=rf"{held_out} ← {trains} \(lesion\)"):
        train.fit(SMALL.replace(protocol="clean"), split, tmp_path / "run", verbose=0)
    assert not (tmp_path / "run").exists()
    for protocol in ("split_first", "published"):  # their folders hold relatives, see fit
        with pytest.raises(AssertionError, match="trained"):
            settings = SMALL.replace(protocol=protocol)
            train.fit(settings, split, tmp_path / protocol, verbose=0)


def test_split_first_refuses_a_copy_of_what_is_held_out(index, tmp_path, no_training):
    split = splits.published(index)
    source = splits.held_out(split)["file"][0]
    split.loc[split.index[split["fold"] == -1][0], "augmented_from"] = source
    with pytest.raises(leakage.LeakageError, match=rf"{source} ← .* \(copy\)"):
        train.fit(SMALL.replace(protocol="split_first"), split, tmp_path / "run", verbose=0)
    with pytest.raises(AssertionError, match="trained"):
        train.fit(SMALL, split.assign(augmented_from=""), tmp_path / "run", verbose=0)


# --- stopping and going on ------------------------------------------------------------------


def process(root, tiny, how, epoch):
    arguments = ["train", "--preset", "tiny", "--data", str(tiny), "--out", str(root / "run")]
    command = [sys.executable, killed_run.__file__, str(root), how, str(epoch), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_killed_then_interrupted_then_finished_equals_never_stopped(whole, tiny, home):
    """`kill -9` in the third epoch, Ctrl-C in the fourth: three processes, one result."""
    assert len(whole.history) == 5
    killed = process(home, tiny, "kill", 2)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    kept = sorted(path.name for path in (home / "run/checkpoints").iterdir())
    assert kept == ["epoch_0001", "epoch_0002"]
    assert not runs.Run(home / "run").finished

    stopped = process(home, tiny, "wait", 3)
    while stopped.poll() is None and not (home / "waiting").exists():
        time.sleep(0.1)
    stopped.send_signal(signal.SIGINT)
    out, err = stopped.communicate()
    assert stopped.returncode == 130, err
    assert "Going on after epoch 2 of 5" in out
    assert "The same command goes on from the last finished epoch." in err
    assert "Traceback" not in err
    assert len(runs.Run(home / "run").history) == 3

    run = train.fit(WHOLE, data.load(tiny, progress=False), home / "run", verbose=0)
    same_result(run, whole)
    assert {path.name for path in run.folder.iterdir()} == FILES, "no checkpoints are left"


def test_two_processes_with_one_seed_give_the_same_bytes(tiny, tmp_path):
    """Dropout, augmentation, order: on one machine's CPU, float32, nothing is left to chance."""
    roots = [tmp_path / name for name in ("one", "two")]
    for root in roots:
        root.mkdir()
    for started in [process(root, tiny, "go", 0) for root in roots]:  # at once: cores are shared
        _, err = started.communicate()
        assert started.returncode == 0, err
    same_result(*(runs.Run(root / "run") for root in roots))


def test_every_part_of_a_recipe_goes_on_where_it_was(tiny, home, tmp_path, monkeypatch):
    """Moving averages, schedule, mixing, sampling: stopped in the third epoch, the same result."""
    recipe = config.RunConfig(
        model="compact",
        image_size=32,
        batch_size=8,
        epochs=4,
        augment="dermoscopy+erasing",
        optimizer="adamw",
        weight_decay=1e-3,
        schedule="cosine",
        warmup_epochs=1,
        ema=0.9,
        mixup=0.3,
        cutmix=1.0,
        sampling="balanced",
        class_weights=True,
        label_smoothing=0.1,
        views=8,
        precision="float32",
    )
    index = data.load(tiny, progress=False)
    never = train.fit(recipe, index, tmp_path / "never", verbose=0)

    def interrupted(self, batch, logs=None):
        if self.epoch == 2 and batch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.Checkpoints, "on_train_batch_begin", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train.fit(recipe, index, tmp_path / "stopped", verbose=0)
    assert len(runs.Run(tmp_path / "stopped").history) == 2
    same_result(train.fit(recipe, index, tmp_path / "stopped", verbose=0), never)
    rates = never.history["learning_rate"]
    assert rates[0] < rates[1] > rates[2] > rates[3], "a rise, then a fall"


def test_what_is_scored_and_kept_is_the_moving_average(index, tmp_path, monkeypatch):
    settings = SMALL.replace(ema=0.9, epochs=2)
    seen = {}

    def note(self, batch, logs=None):  # at the end of training Keras puts the average in
        seen["last"] = self.model.get_weights()

    monkeypatch.setattr(checkpoints.Checkpoints, "on_train_batch_end", note)
    run = train.fit(settings, index, tmp_path / "run", verbose=0)
    kept = run.model.get_weights()
    assert not all(np.array_equal(a, b) for a, b in zip(seen["last"], kept, strict=True))
    chose = pipeline.make_dataset(
        splits.validation(protocols.prepare(settings, index)), None, 32, 8
    )
    run.model.compile(loss="sparse_categorical_crossentropy")
    loss = run.model.evaluate(chose, verbose=0)
    assert loss == pytest.approx(run.history["val_loss"].min(), rel=1e-5)


def test_killed_between_training_and_scoring_needs_no_more_training(
    index, small, tmp_path, monkeypatch
):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fitting, "as_predicting", killed)
        with pytest.raises(KeyboardInterrupt):
            train.fit(SMALL, index, tmp_path / "run", verbose=0)
    monkeypatch.setattr(keras.Model, "fit", killed)
    (tmp_path / "run/history.csv").unlink()
    same_result(train.fit(SMALL, index, tmp_path / "run", verbose=0), small)
