"""What makes a saved run the one that is asked for."""

import pytest

from skincnn import config, provenance, runs

PUBLISHED = sorted(path.parent.name for path in config.runs_dir().glob("*/config.json"))


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_run_is_still_its_preset_after_new_settings_came(name):
    info = runs.published(name).info
    for member in info.get("members", [info]):  # of an ensemble each has its own
        saved = {**info, "config": member["config"]}
        settings = config.RunConfig(**saved["config"])
        assert provenance.differences(saved, {**saved, "config": settings.asdict()}) == []
        other = {**saved, "config": settings.replace(inner_fraction=0.3).asdict()}
        assert provenance.differences(saved, other) == ["inner_fraction: 0.12 → 0.3"]
