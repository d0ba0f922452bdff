"""Settings by name: each holds, says where it came from, and is small on the sample set."""

import dataclasses

import pytest

from skincnn import presets


@pytest.mark.parametrize("name", presets.PRESETS)
def test_a_preset_is_its_differences_under_its_name(name):
    settings = presets.get(name, epochs=3)
    assert settings.preset == name
    assert settings.asdict() | presets.PRESETS[name] | {"epochs": 3} == settings.asdict()


def test_an_unknown_name_is_told_those_there_are():
    with pytest.raises(ValueError, match="preset 'resnet' is unknown: choose one of baseline, reg"):
        presets.get("resnet")


def test_on_the_sample_set_a_notebook_trains_less_and_makes_no_copies_of_its_own():
    real, small = (presets.for_notebook("final", name) for name in ("isic9", "sample"))
    assert real == presets.get("final", precision="float32")
    changed = {
        field.name
        for field in dataclasses.fields(real)
        if getattr(real, field.name) != getattr(small, field.name)
    }
    assert changed == {"image_size", "batch_size", "epochs", "learning_rate", "fill_to"}
    assert small.image_size < real.image_size and small.copies_per_class == 0
