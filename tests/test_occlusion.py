"""Occlusion: what is covered, and what is made of it."""

import numpy as np
import pytest

from skincnn import occlusion


def _corner(pixels):
    """Looks at the upper left 8 × 8 pixels: the redder, the surer of class 1."""
    red = pixels[:, :8, :8, 0].mean(axis=(1, 2)) / 255
    return np.stack([1 - red, red], axis=1)


@pytest.fixture
def photograph():
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:8, :8, 0] = 255
    return pixels


def test_heat_is_where_the_classifier_looks(photograph):
    shown = occlusion.heat(_corner, photograph, 1, patch=8, stride=4)
    assert shown.shape == (32, 32) and shown.dtype == np.float32
    assert shown[:8, :8].min() > 0.2 and np.unravel_index(shown.argmax(), (32, 32)) < (8, 8)
    assert (shown[16:, 16:] == 0).all()
    np.testing.assert_allclose(occlusion.heat(_corner, photograph, 0, 8, 4), -shown, atol=1e-6)


@pytest.mark.parametrize(("size", "options"), [(32, {}), (33, {"patch": 7, "stride": 3}), (3, {})])
def test_every_pixel_is_covered_and_every_batch_is_of_the_size_asked(size, options):
    sizes = []

    def classify(pixels):
        sizes.append(len(pixels))
        return np.full((len(pixels), 2), 0.5)

    pixels = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
    shown = occlusion.heat(classify, pixels, 0, batch=5, **options)
    assert np.isfinite(shown).all() and set(sizes) == {5}


def test_a_batch_changes_nothing_and_neither_does_heat_the_photograph(photograph):
    before = photograph.copy()
    one, many = (occlusion.heat(_corner, photograph, 1, batch=n) for n in (1, 50))
    np.testing.assert_array_equal(one, many)
    np.testing.assert_array_equal(photograph, before)


@pytest.mark.parametrize(
    "options", [{"patch": 0}, {"patch": 33}, {"stride": 0}, {"patch": 4, "stride": 5}, {"batch": 0}]
)
def test_what_covers_must_fit(photograph, options):
    with pytest.raises(ValueError, match="1 ≤ stride ≤ patch ≤ 32"):
        occlusion.heat(_corner, photograph, 0, **options)


def test_pixels_are_as_they_are_decoded(photograph):
    with pytest.raises(ValueError, match="expected uint8"):
        occlusion.heat(_corner, photograph / 255, 0)


def test_the_strongest_heat_is_yellow_and_none_is_blue(photograph):
    shown = np.zeros((32, 32))
    shown[0, 0], shown[0, 1] = 0.3, -0.3
    picture = occlusion.overlay(photograph, shown).astype(int)
    assert picture.dtype == int and picture.shape == (32, 32, 3)
    assert picture[0, 0, 0] > picture[0, 0, 2] + 80, "yellow"
    assert picture[31, 31, 2] > picture[31, 31, 0] and (picture[0, 1] == picture[0, 2]).all()
    nowhere = occlusion.overlay(photograph, np.zeros((32, 32)))
    np.testing.assert_array_equal(nowhere[31, 31], picture[31, 31])
    with pytest.raises(ValueError, match="as the photograph"):
        occlusion.overlay(photograph, np.zeros((16, 16)))
