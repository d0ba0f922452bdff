"""Hairs painted over, and nothing else."""

import numpy as np
from PIL import Image, ImageDraw

from skincnn import hair

SKIN, MOLE, HAIR = (214, 170, 150), (110, 70, 55), (35, 25, 20)


def mole(size=160):
    picture = Image.new("RGB", (size, size), SKIN)
    ImageDraw.Draw(picture).ellipse([40, 45, 120, 115], fill=MOLE)
    noise = np.random.default_rng(0).normal(0, 3, (size, size, 3))
    return Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8))


def haired():
    picture = mole()
    draw = ImageDraw.Draw(picture)
    draw.line([(5, 10), (150, 60)], fill=HAIR, width=2)
    draw.line([(20, 150), (90, 5)], fill=HAIR, width=2)
    return np.asarray(picture)


def test_hairs_go_and_the_mole_stays():
    plain, with_hair = np.asarray(mole()), haired()
    drawn = (with_hair.astype(int) - plain).min(axis=2) < -25
    found = hair.mask(with_hair)
    on_skin = drawn & (plain.min(axis=2) > 120)
    assert found[on_skin].mean() > 0.9, "most of what was drawn is found"
    removed = hair.remove(with_hair)
    assert np.abs(removed.astype(int) - plain)[on_skin].mean() < 12
    far = ~found
    np.testing.assert_array_equal(removed[far], with_hair[far])
    inside = np.zeros_like(drawn)
    inside[60:100, 60:100] = True
    assert found[inside & ~drawn].mean() < 0.1, "a mole is no hair"


def test_a_vessel_stays():
    picture = mole()
    ImageDraw.Draw(picture).line([(5, 20), (155, 35)], fill=(205, 95, 85), width=2)
    np.testing.assert_array_equal(hair.remove(np.asarray(picture)), np.asarray(picture))


def test_a_photograph_without_hair_is_left_as_it_is():
    plain = np.asarray(mole())
    np.testing.assert_array_equal(hair.remove(plain), plain)
