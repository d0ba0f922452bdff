"""Three boards: who is on each, and which interval is whose."""

import pandas as pd
import pytest
import stand_ins
import tables

from skincnn import config, evaluate, official, predictions, scoreboards, scores

NAMES = ["nevus", "melanoma", "wart"]


@pytest.fixture(autouse=True)
def referee(monkeypatch):
    stand_ins.referee(monkeypatch)


@pytest.fixture
def test_table():
    """40 Test photographs; the last two of the only wart."""
    table = tables.make(40, names=NAMES, skill=3)
    table["label"] = ["nevus"] * 20 + ["melanoma"] * 18 + ["wart"] * 2
    return table


@pytest.fixture
def audited(test_table):
    """Train of 10, to which the first Test photograph, by its group, and both warts belong; one
    wrong name."""
    test = test_table[["file", "label"]].assign(split="test", official_label=test_table["label"])
    test["group"] = [f"Train/{i}.jpg" if i in (0, 38, 39) else f"g{i}" for i in range(40)]
    test.loc[1, "official_label"] = "melanoma"
    test.loc[2, "official_label"] = ""
    train = pd.DataFrame({"file": [f"Train/{i}.jpg" for i in range(40)], "label": "nevus"})
    train = train.assign(split="train", official_label="", group=train["file"])
    return pd.concat([train, test], ignore_index=True)


def test_fair_is_without_relatives_in_train_and_without_wrong_names(audited):
    fair = scoreboards.fair_test(audited)
    assert list(fair["file"]) == [f"Test/{i}.jpg" for i in range(2, 38)]


def test_three_boards_with_their_intervals(test_table, audited):
    cv = tables.make(200, names=["nevus", "melanoma"], group=[f"L{i // 2}" for i in range(200)])
    boards = scoreboards.boards(test_table, audited, cv)
    assert list(boards.index) == ["official", "fair", "cross-validation"]
    assert list(boards["n"]) == [40, 36, 200]
    assert list(boards["classes"]) == [3, 2, 2]
    assert list(boards["missing"]) == ["", "wart", "wart"]
    official, fair, headline = boards.to_dict("records")

    right = evaluate.metrics(test_table)["accuracy"]["value"]
    assert official["accuracy"] == right
    assert (official["accuracy_low"], official["accuracy_high"]) == scores.wilson(right, 40)
    fair_rows = test_table.iloc[2:38]
    assert fair["accuracy"] == evaluate.metrics(fair_rows)["accuracy"]["value"]
    figures = evaluate.metrics(cv)
    for name in ("accuracy", "balanced_accuracy"):
        got = [headline[f"{name}{end}"] for end in ("", "_low", "_high")]
        assert got == [figures[name][key] for key in ("value", "low", "high")]


def test_balanced_intervals_draw_the_audits_groups(test_table, audited):
    alone = scoreboards.boards(test_table, audited, test_table)
    audited.loc[audited["file"].isin([f"Test/{i}.jpg" for i in range(3, 38)]), "group"] = "one"
    together = scoreboards.boards(test_table, audited, test_table)
    widths = [
        b.loc["fair", "balanced_accuracy_high"] - b.loc["fair", "balanced_accuracy_low"]
        for b in (alone, together)
    ]
    assert widths[0] != widths[1]


def test_predictions_of_unknown_photographs_are_refused(test_table, audited):
    with pytest.raises(ValueError, match=r"'Test/7\.jpg' is predicted, but no Test photograph"):
        scoreboards.boards(test_table, audited[audited["file"] != "Test/7.jpg"], test_table)


def test_no_fair_photograph_is_an_error(test_table, audited):
    with pytest.raises(ValueError, match="no photograph of Test is free"):
        scoreboards.boards(test_table, audited.assign(group="one"), test_table)


def test_what_is_saved_needs_no_photograph(test_table, audited, home, tmp_path):
    facts = audited.drop(columns="group").assign(image_id="", lesion_id="")
    # relatives of Train again: one by its lesion, two by pairs that the audit found
    facts.loc[facts["file"].isin(["Train/0.jpg", "Test/0.jpg"]), "lesion_id"] = "L"
    official.facts_file().parent.mkdir()
    facts.to_csv(official.facts_file(), index=False)
    (config.runs_dir() / "isic9_audit").mkdir(parents=True)
    pairs = [(f"Test/{i}.jpg", f"Train/{i}.jpg") for i in (38, 39)]
    pairs = pd.DataFrame(pairs, columns=["file_a", "file_b"])
    pairs.to_csv(config.runs_dir() / "isic9_audit" / "pairs.csv", index=False)

    cv = tables.make(200, names=["nevus", "melanoma"], split="train")
    for name, table in (("final/predictions_test", test_table), ("final_cv/predictions", cv)):
        predictions.write(table, tmp_path / f"{name}.csv")
    predictions.write(cv, tmp_path / "alone_cv/predictions.csv")

    found = scoreboards.saved(tmp_path)
    assert list(found) == ["final"]
    whole = scoreboards.boards(test_table, audited, cv)
    columns = ["n", "classes", "missing", "accuracy", "accuracy_low", "accuracy_high"]
    pd.testing.assert_frame_equal(found["final"][columns], whole[columns])


def test_nothing_saved_is_no_board(tmp_path):
    assert scoreboards.saved(tmp_path) == {}
