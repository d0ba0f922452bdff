"""Corruptions: worse with each strength, the same for a seed, and never another shape."""

import numpy as np
import pytest

from skincnn import corruptions


@pytest.fixture(scope="module")
def photographs():
    """Two of smooth skin with a dark mole."""
    y, x = np.mgrid[:96, :96]
    mole = np.hypot(x - 48, y - 48)[..., None] < 20
    skin = np.array([220, 170, 150]) + 8 * np.sin(x / 5)[..., None]
    picture = np.where(mole, (90, 60, 50), skin).astype(np.uint8)
    return np.stack([picture, picture[::-1, ::-1]])


@pytest.mark.parametrize("kind", corruptions.CORRUPTIONS)
def test_each_strength_is_farther_from_the_photograph(photographs, kind):
    def away(strength):
        # the mean over seeds: an exposure may be too dark or too bright
        changed = [corruptions.corrupt(photographs, kind, strength, seed) for seed in range(4)]
        assert all(c.shape == photographs.shape and c.dtype == np.uint8 for c in changed)
        return np.mean([np.abs(c.astype(float) - photographs).mean() for c in changed])

    distances = [away(strength) for strength in (0, *corruptions.STRENGTHS)]
    assert distances[0] == 0
    assert np.all(np.diff(distances) > 0), distances


def test_a_seed_repeats_and_photographs_differ(photographs):
    a, b = (corruptions.corrupt(photographs, "noise", 3, seed=1) for _ in range(2))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, corruptions.corrupt(photographs, "noise", 3, seed=2))
    added = a.astype(int) - photographs
    assert not np.array_equal(added[0], added[1])


def test_what_there_is_not_is_refused(photographs):
    with pytest.raises(ValueError, match=r"kind='fog'.*blur, noise"):
        corruptions.corrupt(photographs, "fog", 1)
    with pytest.raises(ValueError, match=r"strength=6"):
        corruptions.corrupt(photographs, "blur", 6)
