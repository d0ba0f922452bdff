"""The typology angle of painted skin, and what must not move it."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from skincnn import skintone

LIGHT, DARK = (225, 190, 165), (95, 65, 50)


def skin(colour=LIGHT, size=(120, 160), noise=6, lesion=True):
    rng = np.random.default_rng(0)
    picture = np.array(colour) + rng.normal(0, noise, (*size, 3))
    if lesion:
        picture[40:80, 50:110] = (60, 35, 30)
    return picture.clip(0, 255).astype(np.uint8)


def radius(size):
    y, x = np.indices(size)
    return np.hypot(y - size[0] / 2, x - size[1] / 2)


def test_lab_of_known_colours():
    known = {  # sRGB under D65, as tables give them
        (255, 255, 255): (100, 0, 0),
        (0, 0, 0): (0, 0, 0),
        (255, 0, 0): (53.24, 80.09, 67.20),
        (0, 0, 255): (32.30, 79.19, -107.86),
        (119, 119, 119): (50.03, 0, 0),
    }
    got = skintone.lab(np.array(list(known), np.uint8))
    np.testing.assert_allclose(got, list(known.values()), atol=0.02)


def test_angle_is_that_of_the_skins_colour():
    for colour in (LIGHT, DARK):
        lightness, _, yellow = skintone.lab(np.array([colour], np.uint8))[0]
        expected = np.degrees(np.arctan((lightness - 50) / yellow))
        assert skintone.ita(skin(colour)) == pytest.approx(expected, abs=1.5)
    assert skintone.ita(skin(LIGHT)) > 41 > 10 > skintone.ita(skin(DARK))


@pytest.mark.parametrize("what", ["corners", "hair", "ruler", "gel", "lesion"])
def test_what_is_not_skin_moves_the_angle_little(what):
    clean, picture = skin(), skin()
    if what == "corners":
        picture[radius(picture.shape[:2]) > 75] = (5, 4, 6)
    elif what == "hair":
        picture[:, ::9] = (50, 40, 35)
    elif what == "ruler":
        picture[:22] = picture[-22:] = 255  # most of the border
        picture[:22, ::6] = 20
    elif what == "gel":
        picture[radius(picture.shape[:2]) % 20 < 2] = 255
    else:
        picture[:, :40] = (60, 35, 30)
    assert skintone.ita(picture) == pytest.approx(skintone.ita(clean), abs=3)


def test_a_round_view_in_a_square_still_has_skin():
    picture = skin(size=(150, 150))
    picture[radius((150, 150)) > 66] = 0
    assert skintone.ita(picture) == pytest.approx(skintone.ita(skin()), abs=2)


def test_no_skin_has_no_angle():
    assert np.isnan(skintone.ita(np.zeros((50, 50, 3), np.uint8)))
    assert np.isnan(skintone.ita(np.full((50, 50, 3), 255, np.uint8)))
    assert np.isnan(skintone.ita(skin((120, 130, 190))))
    with pytest.raises(ValueError, match=r"float64 \(5, 5\): expected uint8"):
        skintone.ita(np.zeros((5, 5)))


@pytest.mark.parametrize(
    ("angle", "name"),
    [
        (55.1, "very light"), (55, "light"), (41.1, "light"), (41, "intermediate"), (28, "tan"),
        (10.1, "tan"), (10, "dark"), (-60, "dark"), (np.nan, ""),
    ],
)  # fmt: skip
def test_tones_are_closed_above(angle, name):
    assert skintone.tone(angle) == name


def test_measure_takes_an_index(tmp_path):
    for name, colour in (("a.png", LIGHT), ("b.png", DARK)):
        Image.fromarray(skin(colour)).save(tmp_path / name)
    (tmp_path / "c.png").write_bytes(b"")
    index = pd.DataFrame({"file": ["a.png", "b.png", "c.png"], "augmented_from": ""}, [4, 5, 6])
    index.attrs["root"] = str(tmp_path)
    angles = skintone.measure(index, progress=False)
    assert angles.name == "ita" and list(angles.index) == [4, 5, 6]
    assert list(angles.map(skintone.tone)) == ["very light", "dark", ""]
