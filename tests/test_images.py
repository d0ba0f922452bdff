"""The decoder against painted colours, and every way a file can fail to be a photograph."""

import hashlib
import io
import os
import resource
import subprocess
import sys

import numpy as np
import odd_files
import pytest
from PIL import GifImagePlugin, Image, ImageCms, ImageFile, TiffImagePlugin

from skincnn import images

USABLE, UNUSABLE = odd_files.usable(), odd_files.unusable()
# Pillow says about two of the odd files what their reasons say, and pytest undoes our own filter.
pytestmark = pytest.mark.filterwarnings("ignore:Corrupt EXIF", "ignore:Image size")


@pytest.mark.parametrize("name", USABLE)
def test_a_usable_file_decodes_to_the_painted_colours(name, tmp_path):
    content, colours = USABLE[name]
    path = tmp_path / name
    path.write_bytes(content)
    picture = images.decode(path)
    odd_files.same_colours(picture, colours)
    assert np.array_equal(picture, images.decode(content)), "path and bytes are one decoder"
    assert np.array_equal(picture, images.decode(str(path)))


@pytest.mark.parametrize("name", UNUSABLE)
def test_an_unusable_file_says_why(name):
    content, reason = UNUSABLE[name]
    with pytest.raises(images.ImageProblem, match=reason):
        images.decode(content)


def test_no_single_flipped_bit_in_the_pixels_of_a_png_passes():
    content = odd_files.saved(odd_files.painted(), "PNG")
    begin, end = content.index(b"IDAT") + 4, content.index(b"IEND") - 4
    for at in range(begin, end):
        broken = bytearray(content)
        broken[at] ^= 1 << at % 8
        with pytest.raises(images.ImageProblem, match="damaged PNG"):
            images.decode(bytes(broken))


@pytest.mark.parametrize("side", [8_000, 10_000, 20_000])
def test_a_header_that_claims_too_much_costs_no_memory(side, monkeypatch):
    def load(*_):
        raise AssertionError("pixels were decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(images.ImageProblem, match="too many pixels"):
        images.decode(odd_files.png(side, side, 8, 2))
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert used < 50_000  # kilobytes; the pixels would take at least 190 000


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB"])
def test_what_is_clear_is_laid_on_white_a_strip_at_a_time(mode, monkeypatch):
    rng = np.random.default_rng(0)
    whole = Image.fromarray(rng.integers(0, 256, (61, 40, 4), np.uint8), "RGBA")
    clear = {"transparency": 7} if mode == "P" else {}
    if mode == "RGB":
        clear = {"transparency": whole.getpixel((3, 50))[:3]}
    content = odd_files.saved(whole.quantize(64) if mode == "P" else whole.convert(mode), "PNG")
    if clear:
        with Image.open(io.BytesIO(content)) as picture:
            content = odd_files.saved(picture, "PNG", **clear)
    with Image.open(io.BytesIO(content)) as picture:
        layer = picture.convert("RGBA")
    assert layer.getextrema()[3][0] < 255
    expected = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    monkeypatch.setattr(images, "STRIP", 16)  # the last strip is narrower
    assert np.array_equal(images.decode(content), np.asarray(expected))


def test_a_large_clear_picture_is_in_memory_twice_and_not_more():
    if not os.access("/proc/self/status", os.R_OK):
        pytest.skip("needs /proc")
    code = """if True:
        import io, sys
        from PIL import Image
        from skincnn import images
        kept = lambda: int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
        stream = io.BytesIO(bytes.fromhex(sys.stdin.read()))
        before = kept()
        images.read(stream.getvalue(), 128)
        print(kept() - before)"""
    content = odd_files.saved(Image.new("RGBA", (4000, 4000), (200, 10, 10, 90)), "PNG")
    answer = subprocess.run(
        [sys.executable, "-c", code], input=content.hex(), capture_output=True, text=True
    )
    assert int(answer.stdout) < 2.5 * 4 * 4000 * 4000 / 1024, answer.stderr


def test_the_limit_on_pixels_can_be_lowered():
    content = odd_files.saved(odd_files.painted(), "PNG")
    assert images.decode(content, max_pixels=48 * 64).shape == (48, 64, 3)
    with pytest.raises(images.ImageProblem, match="64 × 48"):
        images.decode(content, max_pixels=48 * 64 - 1)


def test_sixteen_bits_are_scaled_not_clipped():
    ramp = np.tile(np.linspace(0, 65_535, 64).astype(np.uint16), (48, 1))
    picture = images.decode(odd_files.saved(ramp, "PNG"))
    assert (picture.min(), picture.max()) == (0, 255)
    assert np.abs(picture[0, :, 0] - np.linspace(0, 255, 64)).max() <= 1


@pytest.mark.parametrize("sort", ["of a screen", "rubbish"])
def test_inks_with_a_profile_that_is_none_are_still_read(sort):
    screen = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = {"of a screen": screen, "rubbish": b"no profile"}[sort]
    inks = Image.fromarray(odd_files.painted()).convert("CMYK")
    picture = images.decode(odd_files.saved(inks, "JPEG", icc_profile=profile))
    odd_files.same_colours(picture, odd_files.painted())


def test_a_missing_file_and_a_folder_named_like_one_are_told(tmp_path):
    with pytest.raises(images.ImageProblem, match="cannot be read: No such file"):
        images.decode(tmp_path / "gone.jpg")
    (tmp_path / "folder.jpg").mkdir()
    with pytest.raises(images.ImageProblem, match="cannot be read: Is a directory"):
        images.decode(tmp_path / "folder.jpg")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads anything")
def test_a_file_without_permission_is_told(tmp_path):
    path = tmp_path / "mine.jpg"
    path.write_bytes(USABLE["plain.jpg"][0])
    path.chmod(0)
    assert images.inspect(path).problem == "cannot be read: Permission denied"


def test_inspect_gives_upright_size_and_the_digest_of_the_bytes(tmp_path):
    path = tmp_path / "turned.jpg"
    content = USABLE["exif_6.jpg"][0]
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    assert images.inspect(path) == (64, 48, digest, "")
    path.write_bytes(content[:500])
    facts = images.inspect(path)
    assert (facts.width, facts.height) == (0, 0)
    assert facts.sha256 == hashlib.sha256(content[:500]).hexdigest()
    assert facts.problem.startswith("damaged JPEG")


def test_resize_keeps_the_quarters_and_leaves_the_right_size_alone():
    colours = odd_files.painted()
    small = images.resize(colours, 32)
    assert small.shape == (32, 32, 3) and small.dtype == np.uint8
    assert [tuple(small[y, x]) for y in (4, 28) for x in (4, 28)] == list(odd_files.QUARTERS)
    assert images.resize(small, 32) is small


def test_shrinking_averages_and_does_not_pick():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(images.resize(stripes, 16)[:, 1:-1].astype(int) - 127).max() <= 3


def test_animations_of_one_frame_are_photographs():
    stream = io.BytesIO()
    picture = Image.fromarray(odd_files.painted())
    picture.save(stream, "GIF", save_all=True)
    odd_files.same_colours(images.decode(stream.getvalue()), odd_files.painted())


@pytest.mark.parametrize("name", USABLE)
def test_read_is_decode_and_resize_for_what_is_not_large(name):
    content, _ = USABLE[name]
    whole = images.resize(images.decode(content), 24)
    assert np.array_equal(images.read(content, 24), whole)


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_is_read_at_the_scale_that_leaves_twice_the_size(mode, orientation, monkeypatch):
    rng = np.random.default_rng(0)
    rough = Image.fromarray(rng.integers(60, 200, (30, 40, 3), dtype=np.uint8))
    picture = rough.resize((2800, 2100), Image.Resampling.BICUBIC).convert(mode)
    content = odd_files.saved(picture, "JPEG", exif=odd_files.tagged(orientation))
    sizes, load = [], ImageFile.ImageFile.load

    def watched(self):
        sizes.append(self.size)
        return load(self)

    monkeypatch.setattr(ImageFile.ImageFile, "load", watched)
    small = images.read(content, 128)
    assert sizes[0] == (350, 263)  # an eighth: twice 128 is left
    whole = images.resize(images.decode(content), 128)
    off = np.abs(small.astype(int) - whole)
    assert off.max() <= 12 and off.mean() < 2
    sizes.clear()
    images.read(content, 132)  # of which an eighth would leave less than twice
    assert sizes[0] == (700, 525)


def test_a_large_jpeg_that_is_cut_is_refused():
    content = odd_files.saved(Image.new("RGB", (2400, 2400), "red"), "JPEG")
    with pytest.raises(images.ImageProblem, match="damaged JPEG"):
        images.read(content[: len(content) // 2], 64)


@pytest.mark.parametrize("name", ["stack.tif", "moving.gif"])
def test_frames_are_not_counted(name, monkeypatch):
    """Counting walks through all of them; a small file can hold millions."""
    for plugin in (TiffImagePlugin.TiffImageFile, GifImagePlugin.GifImageFile):
        monkeypatch.setattr(plugin, "n_frames", property(lambda _: pytest.fail("counted")))
    with pytest.raises(images.ImageProblem, match="several frames"):
        images.decode(UNUSABLE[name][0])
