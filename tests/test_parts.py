"""Parts of a whole: done when whole and of the same request, never otherwise."""

import pytest
import tables

from skincnn import atomic, config, parts, predictions, presets, runs

SETTINGS = presets.get("two_conv")


def given(settings=SETTINGS, rows="r"):
    data = {"rows_sha256": rows, "pixels_sha256": "p"}
    return {"config": settings.asdict(), "classes": ["a"], "data": data}


@pytest.fixture
def part(tmp_path):
    """A run kept under another name; its own data are other ones, for it made copies."""
    folder = tmp_path / "run"
    predictions.write(tables.make(20), folder / "predictions.csv")
    predictions.write(tables.make(9), folder / "predictions_inner.csv")
    info = {**given(rows="with copies"), "precision_used": "float32"}
    atomic.write_json(folder / "config.json", info)
    atomic.write_text(folder / "history.csv", "epoch,seconds\n1,30\n2,90\n")
    table = tmp_path / "whole" / "fold0_seed7.csv"
    assert not parts.done(table, given())
    parts.keep(runs.Run(folder), table, given())
    return table


def test_a_part_needs_its_run_no_more(part):
    assert parts.done(part, given())
    names = {"fold0_seed7.csv", "fold0_seed7.json", "fold0_seed7_inner.csv"}
    assert {path.name for path in part.parent.iterdir()} == names
    assert len(predictions.read(part)) == 20
    facts = parts.facts(part)
    assert facts["data"]["rows_sha256"] == "with copies"
    assert (facts["epochs"], parts.minutes(facts)) == (2, 2.0)
    more = facts | {"minutes_beside": 0.25, "pretrained": {"minutes": 1.5}}
    slower = more | {"fastest_epoch": 0.7, "minutes_beside": 0.75}
    assert parts.undisturbed([slower, more]) == 2 * 0.5 + 0.25 + 1.5
    assert (parts.minutes(more), parts.minutes(more, pretraining=False)) == (3.75, 2.25)


def test_a_part_of_another_request_is_refused_in_words(part):
    other = given(SETTINGS.replace(epochs=1), rows="x")
    with pytest.raises(runs.RunError, match=r"epochs: 25 → 1; the split .* changed\. Choose"):
        parts.done(part, other)


@pytest.mark.parametrize("suffix", [".csv", ".json"])
@pytest.mark.parametrize("damage", ["gone", "cut", "empty"])
def test_a_damaged_part_is_not_done(part, suffix, damage):
    path = part.with_suffix(suffix)
    content = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes({"cut": content[:-30], "empty": b""}[damage])
    assert not parts.done(part, given())


def test_two_folders_of_one_name_do_not_meet(home, tmp_path):
    places = {parts.place(tmp_path / folder / "cv", "fold0") for folder in ("a", "b")}
    assert len(places) == 2 and {place.parent for place in places} == {config.local_dir()}
    default = config.local_dir() / "isic9_baseline_cv"
    assert parts.place(default, "fold0").name == "isic9_baseline_cv_fold0"
