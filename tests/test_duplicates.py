"""The same picture, however it was turned, resized, brightened or cropped; and no other."""

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from skincnn import dermoscopy, duplicates, images, labels

CLASSES = list(labels.ISIC9)


def lesion(number, view=0, size=(200, 150)):
    """A drawn photograph: the same lesion looks otherwise in another view."""
    rngs = [np.random.default_rng((5, number)), np.random.default_rng((6, number, view))]
    return Image.fromarray(dermoscopy.draw(CLASSES[number % 9], *rngs, size))


def reencoded(picture, quality=30):
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=quality)
    return Image.open(content)


def cropped(picture, share=0.04):
    w, h = picture.size
    box = (share * w, share * h / 2, w - share * w / 2, h - share * h)
    return picture.crop([round(x) for x in box])


TRANSFORMED = {
    "re-encoded": reencoded,
    "resized": lambda p: p.resize((120, 90)),
    "squashed": lambda p: p.resize((120, 120)),
    "enlarged": lambda p: p.resize((600, 450)),
    "brightened": lambda p: ImageEnhance.Brightness(p).enhance(1.2),
    "darkened, more contrast": lambda p: ImageEnhance.Contrast(
        ImageEnhance.Brightness(p).enhance(0.85)
    ).enhance(1.15),
    "cropped": cropped,
    "flipped": ImageOps.mirror,
    "upside down": ImageOps.flip,
    "turned": lambda p: p.transpose(Image.Transpose.ROTATE_90),
    "turned, resized, re-encoded": lambda p: reencoded(p.rotate(180).resize((150, 110)), 60),
    "flipped, cropped, brightened": lambda p: ImageEnhance.Brightness(
        cropped(ImageOps.mirror(p))
    ).enhance(1.1),
}


def thumbnails(pictures):
    return np.stack([duplicates.thumbnail(p.convert("L")) for p in pictures])


def found(small):
    return {(int(p["a"]), int(p["b"])) for p in duplicates.pairs(small)}


@pytest.fixture(scope="module")
def lesions():
    return [lesion(n) for n in range(60)]


@pytest.mark.parametrize("how", TRANSFORMED)
def test_a_transformed_copy_is_found_and_nothing_else(lesions, how):
    copies = [TRANSFORMED[how](p) for p in lesions[:12]]
    wanted = {(n, 60 + n) for n in range(12)}
    assert found(thumbnails(lesions + copies)) == wanted


def test_another_photograph_of_the_lesion_is_no_copy():
    both = [lesion(n, view) for n in range(20) for view in (0, 1)]
    assert found(thumbnails(both)) == set()


@pytest.mark.parametrize("orientation", range(8))
def test_the_orientation_is_the_one_that_turns_the_copy_back(lesions, orientation):
    original = duplicates.thumbnail(lesions[3].convert("L"))
    back = {0: 0, 1: 3, 2: 2, 3: 1}.get(orientation, orientation)
    copy = duplicates.turn(original, orientation)
    assert np.array_equal(duplicates.turn(copy, back), original)
    [pair] = duplicates.pairs(np.stack([original, copy]))
    assert (pair["orientation"], round(pair["correlation"], 6)) == (back, 1)


def test_pictures_of_one_colour_and_equal_pictures_are_no_trouble():
    plain = np.full((300, duplicates.SIDE, duplicates.SIDE), 90, np.uint8)
    pairs = duplicates.pairs(plain)
    assert len(pairs) < 300, "one stands for all: no pair of each with each"


def test_ten_transformed_copies_of_real_photographs_are_found(ham):
    files = sorted(ham.glob("images/*.jpg"))[:: 10015 // 120]
    pictures = [Image.fromarray(images.decode(f)) for f in files]
    for how in list(TRANSFORMED)[:10]:
        copies = [TRANSFORMED[how](p) for p in pictures[:10]]
        small = thumbnails(pictures + copies)
        wanted = {(n, len(pictures) + n) for n in range(10)}
        assert wanted <= found(small), how
