"""Settings that contradict themselves are refused where they are made."""

import pytest

from skincnn import config


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"protocol": "honest"}, "protocol='honest': choose one of published, split_first, clean"),
        ({"protocol": "clean", "fold": 5}, r"fold=5: protocol clean has folds 0…4"),
        ({"protocol": "clean", "folds": 3, "fold": 3}, "folds 0…2"),
        ({"fold": 1}, r"fold=1: protocol published has folds 0…0"),
        ({"protocol": "clean", "fold": -1}, "fold=-1"),
        ({"folds": 1}, "folds=1"),
        ({"inner_fraction": 0}, "inner_fraction=0"),
    ],
)
def test_settings_out_of_range_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        config.RunConfig(**settings)
