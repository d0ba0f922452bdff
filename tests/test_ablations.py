"""Switches and backbones: paired, on the inner part alone, and not trained twice."""

import pandas as pd
import pytest

from skincnn import ablations, config, predictions, protocols, splits

SMALL = config.RunConfig(
    model="two_conv", image_size=32, batch_size=8, epochs=1, precision="float32", folds=2
)
TWO = {"label smoothing": {"label_smoothing": 0.1}, "views": {"views": 8}}


def test_each_switch_is_paired_with_the_recipe_without(index, tmp_path, asked, capsys):
    table = ablations.switches(index, SMALL, tmp_path / "ablation", TWO, seeds=2)
    assert sorted(table["switch"]) == sorted(TWO)
    assert [s.seed for s in asked] == [123] * 3 + [124] * 3
    assert {s.protocol for s in asked} == {"clean"} and {s.fold for s in asked} == {0}
    assert table["gain"].is_monotonic_decreasing
    assert ((table["gain_low"] <= table["gain"]) & (table["gain"] <= table["gain_high"])).all()
    assert (table["minutes_off"] == 1.0).all(), "two epochs as the faster one"
    assert (tmp_path / "ablation/ablation.png").stat().st_size > 5000
    assert "6 of 6" in capsys.readouterr().out
    asked.clear()
    again = ablations.switches(index, SMALL, tmp_path / "ablation", TWO, seeds=2, progress=False)
    assert not asked
    pd.testing.assert_frame_equal(table, again)


def test_no_held_out_photograph_is_scored(index, tmp_path, asked):
    ablations.switches(index, SMALL, tmp_path / "ablation", TWO, seeds=1, progress=False)
    dealt = protocols.grouped(asked[0], index)
    ready = splits.inner(dealt, 0, SMALL.inner_fraction)
    inner = set(splits.validation(ready, 0)["file"])
    tables = list((tmp_path / "ablation").glob("*_seed123.csv"))
    assert len(tables) == 3
    for path in tables:
        assert set(predictions.read(path)["file"]) == inner


def test_backbones_are_told_by_size_cost_and_accuracy(index, tmp_path, asked):
    networks = [("two_conv", ""), ("compact", "")]
    table = ablations.backbones(index, SMALL, networks, tmp_path / "b", progress=False)
    assert [s.model for s in asked] == ["two_conv", "compact"]
    assert sorted(table["model"]) == ["compact", "two_conv"]
    assert (table["minutes_an_epoch"] == 0.5).all() and (table["parameters"] == 1234).all()
    assert (tmp_path / "b/backbones.png").stat().st_size > 5000


def test_switches_are_named_by_part_and_those_that_need_another_set_by_name_only():
    assert list(ablations.named(["MIX", "smooth"])) == ["label smoothing 0.1", "MixUp", "CutMix"]
    assert list(ablations.named(["ham"])) == ["pretraining on HAM10000"]
    assert ablations.named([]) == ablations.SWITCHES
    with pytest.raises(ValueError, match="no switch is named 'mixin': choose of augmentation"):
        ablations.named(["mixup", "mixin"])


def test_a_switch_adds_to_the_recipe_and_must_change_something(index, tmp_path, asked):
    recipe = SMALL.replace(augment="dermoscopy", label_smoothing=0.1)
    erasing = {"random erasing": ablations.SWITCHES["random erasing"]}
    ablations.switches(index, recipe, tmp_path / "one", erasing, seeds=1, progress=False)
    assert [s.augment for s in asked] == ["dermoscopy", "dermoscopy+erasing"]
    ablations.switches(index, SMALL, tmp_path / "two", erasing, seeds=1, progress=False)
    assert [s.augment for s in asked[2:]] == ["none", "erasing"]
    smoothing = {"smoothing": {"label_smoothing": 0.1}}
    with pytest.raises(ValueError, match="'smoothing': preset 'baseline' has it already"):
        ablations.switches(index, recipe, tmp_path / "three", smoothing)
    layers = {"rates": ablations.SWITCHES["layer-wise rates"]}
    with pytest.raises(
        ValueError, match="'rates': two_conv has no backbone that heeds layer_decay"
    ):
        ablations.switches(index, SMALL, tmp_path / "four", layers)


def test_a_network_is_named_once(index, tmp_path, asked):
    twice = [("MobileNetV2", "imagenet"), ("MobileNetV2", "own.weights.h5")]
    with pytest.raises(ValueError, match="stands twice"):
        ablations.backbones(index, SMALL, twice, tmp_path / "b")
