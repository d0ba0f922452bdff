"""What one decoding tells of a photograph."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFilter

from skincnn import data, sketches


@pytest.fixture
def picture():
    noise = np.random.default_rng(0).integers(60, 200, (24, 32, 3)).astype(np.uint8)
    return Image.fromarray(noise).resize((192, 144), Image.Resampling.BICUBIC)


def measured(path):
    """The sketch of one file."""
    index = pd.DataFrame({"file": [path.name], "augmented_from": [""], "sha256": [""]})
    index.attrs["root"] = path.parent
    table, small = sketches.measure(index, progress=False)
    assert small.shape == (1, 32, 32)
    return table.iloc[0]


def of(tmp_path, picture, name="one.jpg", **options):
    picture.save(tmp_path / name, **options)
    return measured(tmp_path / name)


def test_pixels_are_told_whatever_the_file(tmp_path, picture):
    png, again = of(tmp_path, picture, "a.png"), of(tmp_path, picture, "b.png", optimize=True)
    assert png.pixels == again.pixels
    assert of(tmp_path, picture.rotate(180), "c.png").pixels != png.pixels


def test_a_jpeg_tells_its_quality(tmp_path, picture):
    good, poor = of(tmp_path, picture, quality=95), of(tmp_path, picture, quality=40)
    assert 0 < good.table_luma < poor.table_luma
    assert good.bytes > poor.bytes
    assert of(tmp_path, picture, quality=95, subsampling=0).subsampled == 0
    assert poor.subsampled == 1
    assert of(tmp_path, picture, progressive=True).progressive == 1
    assert of(tmp_path, picture, "a.png").table_luma == 0


def test_sharpness_falls_with_blur_and_hardly_with_size(tmp_path, picture):
    sharp = of(tmp_path, picture, "a.png").sharpness
    soft = picture.filter(ImageFilter.GaussianBlur(6))
    assert of(tmp_path, soft, "b.png").sharpness < sharp / 2
    large = picture.resize((768, 576), Image.Resampling.BICUBIC)
    assert of(tmp_path, large, "c.png").sharpness == pytest.approx(sharp, rel=0.5)


def test_the_border_is_the_border(tmp_path):
    pixels = np.full((100, 100, 3), 120, np.uint8)
    pixels[:9], pixels[-9:], pixels[:, :9], pixels[:, -9:] = [(250, 20, 10)] * 4
    row = of(tmp_path, Image.fromarray(pixels), "a.png")
    assert (row.red, row.green, row.blue) == pytest.approx((250, 20, 10), abs=3)
    assert row.border_spread == pytest.approx(0, abs=3)


def test_a_file_that_changed_is_named(tmp_path):
    (tmp_path / "gone.jpg").write_bytes(b"")
    with pytest.raises(data.DataError, match=r"gone\.jpg: empty file"):
        measured(tmp_path / "gone.jpg")


def test_metadata_is_measured(tmp_path, picture):
    content = io.BytesIO()
    picture.save(content, "JPEG", comment=b"made by a dermatoscope")
    (tmp_path / "a.jpg").write_bytes(content.getvalue())
    assert measured(tmp_path / "a.jpg").metadata == 22
