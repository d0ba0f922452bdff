"""Run folders as files: what makes a saved run the one that is asked for."""

import pytest

from skincnn import config, runs

PUBLISHED = sorted(path.parent.name for path in config.runs_dir().glob("*/config.json"))


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_run_is_still_its_preset_after_new_settings_came(name):
    saved = runs.published(name).info
    settings = config.RunConfig(**saved["config"])
    assert runs.differences(saved, {**saved, "config": settings.asdict()}) == []
    other = {**saved, "config": settings.replace(inner_fraction=0.3).asdict()}
    assert runs.differences(saved, other) == ["inner_fraction: 0.12 → 0.3"]
