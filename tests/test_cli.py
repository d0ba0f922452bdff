"""The command line as it is typed: exit codes, one clear line, and answers programs can read."""

import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import stand_ins
from PIL import Image
from tables import make

from skincnn import atomic, cli, config, evaluate, options, predictions, presets, sample

GOOD, PROBLEMS, BAD = 0, 1, 2
SMALL = ("--preset", "two_conv", "--image-size", "32", "--epochs", "1", "--batch-size", "8")


@pytest.fixture
def skincnn(monkeypatch, capsys, home):
    """`skincnn("evaluate", path)` -> (exit code, standard output, standard error)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["skincnn", *map(str, arguments)])
        capsys.readouterr()
        try:
            cli.main()
            code = GOOD
        except SystemExit as end:
            code = end.code or GOOD
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return run


@pytest.fixture
def refused(skincnn):
    """Bad input: exit code 2, nothing on standard output, one line that is returned."""

    def run(*arguments):
        code, out, err = skincnn(*arguments)
        assert (code, out) == (BAD, ""), err
        assert err.startswith("skincnn: ") and err.count("\n") == 1, err
        return err

    return run


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    """A run folder with weights, made by the command, and what the command said."""
    root = tmp_path_factory.mktemp("trained")
    arguments = ["train", *SMALL, "--precision", "float32", "--json"]
    command = [*arguments, "--data", str(tiny), "--out", str(root / "run")]
    code = f"""
from pathlib import Path; import sys
from skincnn import cli, config
config.project_root = lambda: Path({str(root)!r})
sys.argv = ["skincnn", *{command!r}]
cli.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return root / "run", done


def copied(run, tmp_path, **files):
    """A copy of a run in which some files hold something else."""
    folder = Path(shutil.copytree(run, tmp_path / "copy"))
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_bytes(content)
    return folder


# --- the command itself ---------------------------------------------------------------------


def test_the_command_installed_is_this_one():
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="skincnn")
    assert entry.load() is cli.main


def test_help_names_the_commands_and_the_warning(skincnn):
    code, out, _ = skincnn("--help")
    assert code == GOOD
    assert "not a medical device" in out
    for name in (
        "doctor",
        "sample",
        "download",
        "train",
        "cv",
        "experiment",
        "evaluate",
        "predict",
    ):
        assert name in out
        code, page, _ = skincnn(name, "--help")
        assert code == GOOD and "Example: skincnn" in page


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("fly",), "No such command 'fly'"),
        (("train", "--preset", "vgg"), "'vgg' is not one of 'baseline'"),
        (("train", "--epochs", "0"), "'--epochs': must be greater than or equal to 1, not '0'"),
        (("train", "--epochs", "many"), "'--epochs': must be a valid integer, not 'many'"),
        (("train", "--epcohs", "2"), "--epochs) (skincnn train --help)"),
        (("train", "--image-size", "8"), "'--image-size'"),
        (("train", "--precision", "float8"), "'float8'"),
        (("download", "imagenet"), "'imagenet'"),
        (("train", "--protocol", "honest"), "'honest'"),
        (("cv", "--folds", "1"), "'--folds'"),
        (("cv", "--seeds", "0"), "'--seeds'"),
        (("experiment", "luck"), "'luck'"),
        (("experiment", "scoreboards", "--preset", "vgg"), "'vgg'"),
        (("evaluate",), "Missing argument"),
        (("predict", "photo.jpg"), "give --model FILE, or --endpoint"),
    ],
)
def test_what_cannot_be_typed_is_refused_by_name(refused, arguments, named):
    assert named in refused(*arguments)


def test_a_set_that_is_nowhere_is_refused_before_anything_heavy(tmp_path):
    (tmp_path / "sets" / "moles").mkdir(parents=True)
    code = "import sys; from skincnn import cli; sys.argv = sys.argv[:1] + {}; cli.main()"
    for words in (["train"], ["cv"], ["experiment", "leakage"]):
        command = [sys.executable, "-c", code.format([*words, "--data", "nowhere"])]
        variables = {**os.environ, config.DATA_VARIABLE: str(tmp_path / "sets")}
        done = subprocess.run(command, capture_output=True, text=True, env=variables)
        assert done.returncode == BAD and done.stderr.count("\n") == 1, done.stderr
        assert "'nowhere' is no folder and no set (isic9, sample, moles)" in done.stderr


def test_ctrl_c_is_130(skincnn, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(sample, "make", interrupted)
    assert skincnn("sample")[0] == 130


# --- doctor and sample ----------------------------------------------------------------------


def test_doctor_says_what_there_is(skincnn, tiny, monkeypatch):
    monkeypatch.setenv(config.DATA_VARIABLE, str(tiny))
    code, out, _ = skincnn("doctor")
    assert code == GOOD
    for word in ("skincnn", "python", "tensorflow", "keras", "cores", "memory", str(tiny)):
        assert word in out
    code, out, _ = skincnn("doctor", "--json")
    assert json.loads(out)["data"] == f"tiny: {tiny}"


def test_doctor_finds_a_variable_that_points_nowhere(skincnn, monkeypatch, tmp_path):
    monkeypatch.setenv(config.DATA_VARIABLE, str(tmp_path / "typo"))
    code, out, _ = skincnn("doctor", "--json")
    assert code == PROBLEMS
    assert "typo: no such folder" in json.loads(out)["data"]


def test_sample_draws_where_it_is_told(skincnn, home, monkeypatch):
    made = []
    monkeypatch.setattr(
        sample, "make", lambda root, **options: made.append((root, options)) or root
    )
    assert skincnn("sample", "--out", "here", "--n", "200", "--seed", "1")[:2] == (GOOD, "here\n")
    assert skincnn("sample")[0] == GOOD
    assert made[0] == (Path("here"), {"n": 200, "seed": 1})
    assert made[1][0] == home / "data" / "sample"


def test_a_sample_too_small_is_refused(refused, tmp_path):
    assert "n=5" in refused("sample", "--n", "5", "--out", tmp_path / "set")
    assert not (tmp_path / "set").exists()


# --- train ----------------------------------------------------------------------------------


def test_train_with_json_prints_json_and_nothing_else(trained):
    folder, done = trained
    assert done.returncode == GOOD, done.stderr
    answer = json.loads(done.stdout)
    assert answer["run"] == str(folder)
    assert answer["accuracy"] == json.loads((folder / "metrics.json").read_text())["accuracy"]


def test_train_again_takes_the_run_and_tells_its_score(trained, tiny, skincnn):
    folder, _ = trained
    arguments = ("train", *SMALL, "--precision", "float32", "--data", tiny, "--out", folder)
    code, out, _ = skincnn(*arguments)
    assert code == GOOD
    assert f"30 photographs of tiny → {folder}" in out
    assert "protocol published" in out and "balanced accuracy" in out


def test_train_refuses_another_runs_folder(trained, tiny, refused):
    folder, _ = trained
    error = refused("train", *SMALL, "--seed", "7", "--json", "--data", tiny, "--out", folder)
    assert f"{folder} holds another run" in error and "seed: 123 → 7" in error


def test_train_tells_what_it_sets_aside(skincnn, tiny, tmp_path, monkeypatch):
    from skincnn import train

    root = Path(shutil.copytree(tiny, tmp_path / "set"))
    for i in range(25):
        (root / f"Train/red/bad_{i:02d}.jpg").write_bytes(b"")

    def no_training(*_, **__):
        raise ValueError("far enough")

    monkeypatch.setattr(train, "fit", no_training)
    code, _, err = skincnn("train", "--data", root, "--json")
    assert code == BAD
    assert "25 set aside or passed over:" in err
    assert "  Train/red/bad_00.jpg: empty file (0 bytes)" in err and "… and 5 more" in err


def test_train_on_data_that_are_not_there(refused, tmp_path, monkeypatch):
    assert "nowhere' is no folder" in refused("train", "--json", "--data", tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "No class folders" in refused("train", "--json", "--data", tmp_path / "empty")
    monkeypatch.setenv(config.DATA_VARIABLE, str(tmp_path / "typo"))
    assert "SKINCNN_DATA=" in refused("train", "--json")


def test_train_where_nothing_can_be_written(refused, tiny, tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    refused("train", *SMALL, "--json", "--data", tiny, "--out", tmp_path / "file" / "run")


def test_train_refuses_a_fold_the_protocol_does_not_have(refused, tiny):
    assert "fold=1: protocol published" in refused("train", "--fold", "1", "--data", tiny)


# --- audit ----------------------------------------------------------------------------------


def test_audit_of_a_set_with_a_copy_says_so(skincnn, draw, tmp_path):
    root = draw(tmp_path / "set", {"red": 3, "blue": 3}, size=64)
    shutil.copy(root / "red/ISIC_0000001.jpg", root / "blue/other.jpg")
    code, out, err = skincnn("audit", root, "--report", tmp_path / "report")
    assert code == PROBLEMS
    assert out.splitlines()[0] == "7 photographs of 2 classes:"
    assert "1 under two class names" in out.splitlines()[1]
    assert "open it in a browser" in err
    wanted = {"report.html", "audit.json", "findings.csv", "pairs.csv"}
    assert wanted <= {path.name for path in (tmp_path / "report").iterdir()}
    code, out, _ = skincnn("audit", root, "--json")
    assert code == PROBLEMS
    assert json.loads(out) == json.loads((tmp_path / "report/audit.json").read_text())


def test_audit_of_a_set_without_findings_is_good(skincnn, tmp_path):
    for number, name in enumerate(("a/1.png", "b/2.png")):
        (tmp_path / "set" / name).parent.mkdir(parents=True)
        pixels = np.random.default_rng(number).integers(0, 256, (64, 64, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "set" / name)
    code, out, _ = skincnn("audit", tmp_path / "set")
    assert (code, out) == (GOOD, "2 photographs of 2 classes: nothing found\n")


def test_audit_shows_the_names_that_predictions_doubt(skincnn, refused, draw, tmp_path):
    root = draw(tmp_path / "set", {"red": 3, "blue": 3}, size=64)
    files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.jpg"))
    table = pd.DataFrame({"file": files, "label": [file.split("/")[0] for file in files]})
    right = np.where(table["file"] == files[-1], 0.1, 0.9)
    table["p_blue"] = np.where(table["label"] == "blue", right, 1 - right)
    table["p_red"] = 1 - table["p_blue"]
    table = table.assign(image_id="", group=files, split="train", fold=0, seed=1)
    predictions.write(table, tmp_path / "p.csv")
    asked = ("audit", root, "--predictions", tmp_path / "p.csv")
    code, out, _ = skincnn(*asked, "--report", tmp_path / "report")
    assert code == PROBLEMS and "1 names that the predictions doubt" in out
    assert files[-1] in (tmp_path / "report/suspicious.csv").read_text()
    [doubt] = json.loads(skincnn(*asked, "--json")[1])["suspicious"]
    assert (doubt["label"], doubt["suggested"], doubt["p_suggested"]) == ("red", "blue", 0.9)
    assert "nowhere.csv" in refused("audit", root, "--predictions", tmp_path / "nowhere.csv")


def test_audit_of_nothing_is_refused(refused, tmp_path):
    assert "missing" in refused("audit", tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    assert "empty" in refused("audit", tmp_path / "empty", "--json")


# --- cv and experiment ----------------------------------------------------------------------


def test_cv_tells_each_fold_and_the_whole(skincnn, tiny, tmp_path, plain_audit, monkeypatch):
    stand_ins.fit(monkeypatch)
    arguments = ("cv", *SMALL, "--precision", "float32", "--folds", "2", "--data", tiny)
    code, out, _ = skincnn(*arguments, "--out", tmp_path / "cv")
    assert code == GOOD
    assert "fold0_seed123: accuracy" in out and "2 of 2" in out
    assert "balanced accuracy" in out and "n = 30 photographs" in out
    code, out, _ = skincnn(*arguments, "--out", tmp_path / "cv", "--json")
    assert code == GOOD
    metrics = json.loads((tmp_path / "cv/metrics.json").read_text())
    assert json.loads(out) == {"run": str(tmp_path / "cv"), **metrics}


def test_cv_on_too_few_photographs_names_the_class(refused, tiny, tmp_path, plain_audit):
    error = refused("cv", "--folds", "11", "--json", "--data", tiny, "--out", tmp_path / "cv")
    assert "class 'blue' has 10 groups" in error


def test_the_experiment_is_run_as_it_was_typed(skincnn, tiny, home, monkeypatch):
    from skincnn import experiments

    asked = {}

    def leakage(index, settings, folder, seeds, progress):
        asked.update(settings=settings, folder=folder, seeds=seeds)
        row = {"protocol": "clean", "seed": 1, "classes": 8, "accuracy": 0.5, "siblings": 0.0}
        return pd.DataFrame([{**row, "balanced_accuracy": 0.4}])

    monkeypatch.setattr(experiments, "leakage", leakage)
    arguments = ("experiment", "leakage", "--epochs", "2", "--image-size", "32", "--seeds", "1")
    code, out, _ = skincnn(*arguments, "--data", tiny)
    assert code == GOOD and "accuracy_mean" in out
    expected = presets.get("published", epochs=2, image_size=32)
    folder = home / "outputs/local/tiny_leakage"
    assert asked == {"settings": expected, "folder": folder, "seeds": 1}
    code, out, _ = skincnn(*arguments, "--data", tiny, "--json")
    assert json.loads(out)["runs"][0]["accuracy"] == 0.5


def test_scoreboards_of_the_networks_that_were_typed(skincnn, tiny, home, monkeypatch):
    from skincnn import experiments

    asked = []

    def boards(index, networks, folder, progress):
        asked.append((networks, folder))
        return pd.DataFrame([{"preset": "final", "board": "fair", "missing": "", "accuracy": 0.5}])

    monkeypatch.setattr(experiments, "scoreboards", boards)
    arguments = ("experiment", "scoreboards", "--image-size", "32", "--data", tiny)
    code, out, _ = skincnn(*arguments, "--preset", "final", "--out", home / "boards")
    assert code == GOOD and "0.5" in out
    code, out, _ = skincnn(*arguments, "--json")
    assert code == GOOD and json.loads(out)["runs"][0]["board"] == "fair"
    three = [presets.get(p, image_size=32) for p in ("baseline", "regularised", "final")]
    place = home / "outputs/local/tiny_scoreboards"
    assert asked == [(three[2:], home / "boards"), (three, place)]


def test_too_many_seeds_for_the_folds_are_refused(refused, tiny):
    assert "seeds=6" in refused("experiment", "leakage", "--seeds", "6", "--json", "--data", tiny)


# --- evaluate -------------------------------------------------------------------------------


def test_evaluate_scores_a_table(trained, skincnn):
    folder, _ = trained
    code, out, _ = skincnn("evaluate", folder / "predictions.csv")
    assert code == GOOD and "accuracy" in out
    code, out, _ = skincnn("evaluate", folder / "predictions.csv", "--json")
    assert code == GOOD
    assert json.loads(out) == json.loads((folder / "metrics.json").read_text())


def test_evaluate_refuses_what_is_no_table(refused, trained, tmp_path):
    folder, _ = trained
    assert "gone.csv" in refused("evaluate", tmp_path / "gone.csv")
    assert "config.json" in refused("evaluate", folder / "config.json")
    assert str(tmp_path) in refused("evaluate", tmp_path)
    table = tmp_path / "table.csv"
    lines = (folder / "predictions.csv").read_text().splitlines()
    table.write_text("\n".join([*lines[:2], lines[2].rsplit(",", 1)[0] + ",x"]))
    assert f"{table}, line 3: p_red is 'x', not a number" in refused("evaluate", table)


def test_evaluate_compares_and_splits(skincnn, refused, tmp_path):
    table = make(80)
    one, other, index = (tmp_path / name for name in ("a.csv", "b.csv", "index.csv"))
    predictions.write(table, one)
    predictions.write(table.assign(seed=8), other)
    table[["file"]].assign(sex=["male", "female"] * 40).to_csv(index, index=False)

    code, out, _ = skincnn("evaluate", one, "--against", other, "--by", "sex", "--index", index)
    assert code == GOOD
    assert f"against {other}\naccuracy" in out and "difference +0.0 points" in out
    assert "melanoma: sensitivity at 90 % specificity" in out
    assert "sex female: n = 40 in 40 groups, 9 classes present\n  accuracy " in out
    arguments = ("--against", other, "--by", "sex", "--index", index, "--json")
    answer = json.loads(skincnn("evaluate", one, *arguments)[1])
    assert answer["against"]["mcnemar"]["p"] == 1
    assert [(row["sex"], row["n"]) for row in answer["by"]] == [("female", 40), ("male", 40)]

    for arguments in ((), ("--index", index, "--data", "sample")):
        assert "--by goes with --index or --data" in refused(
            "evaluate", one, "--by", "sex", *arguments
        )
    assert "no column 'age' among the facts: file, sex" in refused(
        "evaluate", one, "--by", "age", "--index", index
    )
    predictions.write(table[1:], other)
    assert "'Test/0.jpg' has more rows in the first" in refused("evaluate", one, "--against", other)


def test_evaluate_measures_the_skin_on_the_set_itself(skincnn, tmp_path, tiny):
    from skincnn import data

    index = data.load(tiny, progress=False)
    names = ["blue", "green", "red"]
    table = make(30, names=names).assign(file=sorted(index["file"]))
    table["label"] = table["file"].map(index.set_index("file")["label"])
    predictions.write(table, tmp_path / "p.csv")
    arguments = ("evaluate", tmp_path / "p.csv", "--by", "skin_tone", "--data", tiny, "--json")
    sizes = {row["skin_tone"]: row["n"] for row in json.loads(skincnn(*arguments)[1])["by"]}
    # blue is no skin; nothing more is known of the tiny set
    assert sizes["unknown"] >= 10 and sum(sizes.values()) == 30 and len(sizes) > 1


# --- predict --------------------------------------------------------------------------------


def test_predict_answers_for_one_photograph(trained, skincnn, tiny):
    photograph = next((tiny / "Test/red").iterdir())
    code, out, err = skincnn("predict", photograph, "--model", trained[0])
    assert code == GOOD
    assert out.startswith(f"{photograph}: ") and out.count("%") == 3
    assert err == f"{options.NOTICE}\n"


def test_predict_answers_only_for_strangers_to_a_set(trained, skincnn, tiny, tmp_path, monkeypatch):
    from skincnn import transfer

    def without(other, index):
        assert set(index["file"]) == set(other["file"])
        return other[other["label"] == "red"].reset_index(drop=True)

    monkeypatch.setattr(transfer, "without_relatives", without)
    table = tmp_path / "answers.csv"
    options = ["--model", trained[0], "--csv", table, "--strangers-to", tiny]
    assert skincnn("predict", tiny, *options)[0] == GOOD
    assert set(predictions.read(table)["label"]) == {"red"}
    monkeypatch.setattr(transfer, "without_relatives", lambda other, index: other[:0])
    code, _, err = skincnn("predict", tiny, *options)
    assert code == BAD and "nothing that is not related" in err


def test_predict_says_where_a_model_has_seen_what_it_is_asked(
    trained, skincnn, tiny, tmp_path, monkeypatch
):
    """Of the set's folder, and of the set by its name; not of others."""
    monkeypatch.setenv(config.DATA_VARIABLE, str(tiny.parent))
    for place, said in ((tiny, True), (tiny.name, True), (tiny / "Test", False)):
        words = ["predict", place, "--model", trained[0], "--csv", tmp_path / "p.csv"]
        code, _, err = skincnn(*words)
        assert code == GOOD and (f"learnt from {tiny.name}:" in err) == said


def test_predict_names_one_bad_photograph_and_answers_for_the_rest(
    trained, skincnn, tiny, tmp_path
):
    photographs = Path(shutil.copytree(tiny / "Test", tmp_path / "photographs"))
    bad = photographs / "red" / "bad.jpg"
    bad.write_bytes(b"text")
    table = tmp_path / "answers.csv"
    code, out, err = skincnn("predict", photographs, "--model", trained[0], "--csv", table)
    assert code == PROBLEMS
    assert f"{bad}: not a picture" in err
    assert f"6 photographs → {table}" in out
    answers = predictions.read(table)
    published = predictions.read(trained[0] / "predictions_test.csv")
    columns = ["p_blue", "p_green", "p_red"]
    pd.testing.assert_frame_equal(
        answers[["label", *columns]], published[["label", *columns]], atol=2e-6
    )
    assert skincnn("evaluate", table, "--json")[0] == GOOD


def test_predict_refuses_what_is_not_there(refused, trained, tiny, tmp_path):
    run = trained[0]
    assert "gone.jpg: no such file" in refused("predict", tmp_path / "gone.jpg", "--model", run)
    assert "no photographs" in refused("predict", tmp_path, "--model", run)
    assert "config.json: no such file: no run here" in refused("predict", tiny, "--model", tmp_path)
    without = copied(run, tmp_path)
    (without / "model.keras").unlink()
    assert "model.keras: no such file; weights are not kept in git" in refused(
        "predict", tiny, "--model", without
    )


@pytest.mark.parametrize("file", ["config_json", "model_keras"])
def test_predict_refuses_a_damaged_run(refused, trained, tiny, tmp_path, file):
    run = copied(trained[0], tmp_path, **{file: b"PK\3\4 cut off"})
    name = file.replace("_", ".")
    assert f"{name}: damaged" in refused("predict", tiny, "--model", run)


def test_an_outside_set_is_scored_through_a_map(trained, skincnn, refused, draw, tmp_path):
    colours = {"red": "crimson", "blue": "navy", "green": "green"}  # one name is ours too
    outside = draw(tmp_path / "outside", dict.fromkeys(colours, 4), seed=9)
    for ours, theirs in colours.items():
        (outside / ours).rename(outside / theirs)
    table, names = tmp_path / "p.csv", tmp_path / "map.csv"
    assert skincnn("predict", outside, "--model", trained[0], "--csv", table)[0] == GOOD
    names.write_text("from,to\ncrimson,red\nnavy,blue\n")
    assert "'green' is not in the map" in refused("evaluate", table, "--map", names)
    names.write_text("from,to\ncrimson,red\nnavy,blue\ngreen,\n")
    code, out, _ = skincnn("evaluate", table, "--map", names, "--between", "red,blue", "--json")
    answer = json.loads(out)
    assert code == GOOD and answer["n"] == answer["between"]["n"] == 8
    again = skincnn("evaluate", table, "--map", names, "--against", table, "--json")[1]
    assert json.loads(again)["against"]["differences"]["accuracy"]["value"] == 0


# --- several runs ---------------------------------------------------------------------------


def kept(folder, seed, **more):
    """What a cross-validation leaves, of drawn predictions."""
    table = make(60, seed=seed, fold=0, split="train")
    predictions.write(table, folder / "predictions.csv")
    atomic.write_json(folder / "metrics.json", evaluate.metrics(table))
    facts = {"name": "drawn", "rows_sha256": "a" * 64, "pixels_sha256": "b" * 64}
    info = {"config": presets.get("compact").asdict(), "classes": predictions.classes(table)}
    info |= {"data": facts, "precision_used": "float32"}
    atomic.write_json(folder / "config.json", info)
    return folder


def test_several_as_one_and_its_card(skincnn, refused, tmp_path):
    one, other = (kept(tmp_path / name, seed) for name, seed in (("one", 1), ("other", 2)))
    table = predictions.read(one / "predictions.csv")
    second = predictions.read(other / "predictions.csv").assign(label=table["label"])
    predictions.write(second, other / "predictions.csv")
    out = tmp_path / "both"
    code, text, _ = skincnn("ensemble", one, other, "--out", out)
    assert code == GOOD and "0.5" in text and "balanced accuracy" in text
    columns = predictions.probability_columns(table)
    both = predictions.read(out / "predictions.csv")
    np.testing.assert_allclose(
        both.sort_values("file")[columns],
        (table.sort_values("file")[columns] + second.sort_values("file")[columns]) / 2,
        atol=2e-6,
    )
    card = tmp_path / "CARD.md"
    assert skincnn("card", out, "--out", card)[0] == GOOD
    text = card.read_text()
    assert f"skincnn ensemble {one} {other}" in text
    assert "The mean of 2 networks" in text and text.count("Network `compact`") == 2
    assert "Melanoma against nevus alone" in text
    assert skincnn("card", out, "--outside", out, "--out", card)[0] == GOOD
    assert "On another collection" in card.read_text()
    assert "metrics.json" in refused("card", out, "--outside", tmp_path, "--out", card)
    assert skincnn("card", out)[1] == f"{out / 'MODEL_CARD.md'}\n"
    assert "stands there twice" in refused("ensemble", one, one, "--out", out)
    assert "inner parts" in refused("ensemble", one, other, "--out", out, "--how", "weighted")
    assert "give its members" in refused("ensemble", out, one, "--out", tmp_path / "more")


def test_a_setting_by_its_name(skincnn, refused, tiny, plain_audit, asked, tmp_path):
    data = ("--data", tiny)
    command = ("cv", *SMALL, *data, "--folds", "2", "--out", tmp_path / "cv")
    assert skincnn(*command, "--set", "label_smoothing=0.1", "--set", "mixup=0.2")[0] == GOOD
    assert {(s.label_smoothing, s.mixup, s.image_size) for s in asked} == {(0.1, 0.2, 32)}
    assert "--set folds" in refused(*command, "--set", "folds=3")
    assert "name=value" in refused("train", *data, "--set", "mixup")
    assert "one of" in refused("train", *data, "--set", "mixap=1")
    assert "must be float" in refused("train", *data, "--set", "mixup=much")


def test_switches_and_networks_as_they_were_typed(skincnn, refused, tiny, plain_audit, asked, home):
    common = ("--data", tiny, "--image-size", "32", "--epochs", "1", "--set", "folds=2")
    code, out, _ = skincnn(
        "experiment", "ablation", *common, "--switch", "mixup", "--seeds", "1", "--json"
    )
    assert code == GOOD and [row["switch"] for row in json.loads(out)["runs"]] == ["MixUp"]
    assert [s.mixup for s in asked] == [0.0, 0.4] and asked[0].preset == "transfer"
    assert "no switch is named" in refused("experiment", "ablation", *common, "--switch", "luck")
    asked.clear()
    networks = ("--network", "MobileNetV2=own.h5", "--network", "MobileNetV2")
    code, out, _ = skincnn("experiment", "backbones", *common, *networks, "--json")
    assert code == GOOD and len(json.loads(out)["runs"]) == 2
    assert [(s.model, s.weights) for s in asked] == [("MobileNetV2", "own.h5"), ("MobileNetV2", "")]


def test_worse_photographs_of_a_run(skincnn, trained, tiny, monkeypatch):
    from skincnn import corruptions

    monkeypatch.setattr(corruptions, "CORRUPTIONS", {"blur": corruptions.blur})
    arguments = ("experiment", "robustness", "--model", trained[0], "--data", tiny, "--json")
    code, out, _ = skincnn(*arguments)
    rows = json.loads(out)["runs"]
    assert code == GOOD and {row["kind"] for row in rows} == {"blur"}
    assert {row["strength"] for row in rows} == {0, 1, 2, 3, 4, 5}


def test_serve_without_a_model_where_none_can_be_trained(refused, monkeypatch):
    pytest.importorskip("uvicorn")
    find = importlib.util.find_spec
    absent = lambda name, *rest: None if name == "tensorflow" else find(name, *rest)  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", absent)
    monkeypatch.delenv("SKINCNN_MODEL", raising=False)
    assert "give what `skincnn export` wrote as MODEL or in SKINCNN_MODEL" in refused("serve")
