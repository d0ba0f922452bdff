"""The one decoder: every photograph this package reads, anywhere, is opened here.

Libraries disagree on orientation, alpha, palettes and 16-bit files, so training, shards and serving
must not each bring their own. numpy and Pillow only.
"""

import contextlib
import hashlib
import io
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageCms, ImageOps

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"})
# Only these plugins may look at a file: fewer parsers, fewer surprises. The JPEG one also opens
# MPO, which some phones write as .jpg: a JPEG with a second picture behind it.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP")
MAX_PIXELS = 50_000_000  # four times a 12-megapixel phone; 48 KB of PNG can claim 400 million
DECODER = 1  # raise it when a file may decode to other pixels, or be refused, than before
# What is written loses next to nothing, colour at full resolution. At Pillow's defaults (75, colour
# halved) a copy looks softer than a photograph, and the rarer a class, the more of it is copies: a
# model could tell.
JPEG = {"quality": 95, "subsampling": "4:4:4"}
SPARE = 2  # times the wanted size that `read` leaves where it decodes at a reduced scale
READER = 2  # raise it when `read` may give other pixels of a large photograph than before
ORIENTATION = 0x0112  # EXIF's tag
STRIP = 256  # rows that are laid on white at a time
MIN_SIDE = 16  # below this there is nothing to see, only something to enlarge

# Our own limit is tighter than the one Pillow warns at.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# Of damaged EXIF only the orientation is wanted; without one a photograph stands as it is.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.TiffImagePlugin")


class ImageProblem(ValueError):
    """Why a file cannot be used as a photograph, in words for the person who owns the file."""


class Facts(NamedTuple):
    """What the index keeps of a file; `problem` is empty for a usable one."""

    width: int  # pixels, after orientation
    height: int
    sha256: str  # of the file's bytes
    problem: str


def decode(source: str | Path | bytes, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode one photograph to upright 8-bit RGB.

    EXIF orientation is applied, transparency laid on white, 16-bit greyscale scaled (not clipped),
    palette, greyscale and CMYK converted. Dimensions are checked before any pixel is decoded.

    Args:
        source: a path, or the file's bytes.
        max_pixels: refuse pictures with more pixels than this.

    Returns:
        uint8 array (H, W, 3), RGB.

    Raises:
        ImageProblem: the file is missing, empty, damaged, animated, too large or not a picture.
    """
    return np.array(_picture(source, max_pixels), dtype=np.uint8)


def read(source: str | Path | bytes, size: int, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """A photograph as a network takes it: `resize(decode(source), size)`, sooner for large ones.

    JPEG can be decoded at a half, a quarter or an eighth, each pixel a mean of those it stands for.
    That is done where `SPARE` times the wanted size is left: 1024×768 to 180×180 then takes half
    the time, 12 megapixels a fifth, and 99 of 100 pixels differ by one of 255 levels at most, a
    third of what one more saving as JPEG of quality 95 does to the probabilities
    (`benchmarks/reading.py`). All that trains, predicts or serves reads its photographs here.

    Args:
        source: a path, or the file's bytes.
        size: pixels a side.
        max_pixels: refuse pictures with more pixels than this.

    Returns:
        uint8 (size, size, 3), RGB.

    Raises:
        ImageProblem: as `decode`.
    """
    return _resized(_picture(source, max_pixels, size), size)


def _picture(source: str | Path | bytes, max_pixels: int, size: int | None = None) -> Image.Image:
    data = source if isinstance(source, bytes) else _read(Path(source))
    if not data:
        raise ImageProblem("empty file (0 bytes)")
    if data[:4] == b"\x00\x05\x16\x07":
        raise ImageProblem("macOS AppleDouble file, not a photograph")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            _check_header(picture, max_pixels)
            if picture.format == "PNG":
                # Pillow skips the check sums of pixels unless asked: a flipped bit shows here.
                with Image.open(io.BytesIO(data), formats=FORMATS) as check:
                    check.verify()
            if size and picture.format in ("JPEG", "MPO"):
                picture.draft(None, (SPARE * size, SPARE * size))
            picture.load()
            return _to_rgb(_upright(picture))
    except ImageProblem:
        raise
    except Image.UnidentifiedImageError:
        raise ImageProblem(f"not a picture: begins with {data[:12]!r}") from None
    except Image.DecompressionBombError:
        raise ImageProblem(f"too many pixels (limit {max_pixels:,})") from None
    except Exception as error:
        # Damaged files make decoders raise nearly anything (OSError, struct.error, SyntaxError,
        # IndexError …); to the owner of the file they all mean the same.
        raise ImageProblem(f"damaged {_kind(data)}: {error}") from error


def is_plain_jpeg(data: bytes) -> bool:
    """Whether any good JPEG decoder gives these bytes the pixels that `decode` does: three colours,
    upright, one picture."""
    with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
        orientation = picture.getexif().get(ORIENTATION, 1)
        return picture.format == "JPEG" and picture.mode == "RGB" and orientation in (0, 1)


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """Scale to `size` × `size`, as the published recipes do: the whole picture, aspect not kept.

    Args:
        image: uint8 (H, W, 3).
        size: pixels a side.

    Returns:
        uint8 (size, size, 3); bilinear, antialiased when shrinking.
    """
    if image.shape[:2] == (size, size):
        return image
    return _resized(Image.fromarray(image), size)


def listed(path: Path, sha256: str) -> bytes:
    """A file's bytes, if they are still those that an index tells of.

    What is made of others would bear the name and the digest of a photograph that it does not show.

    Args:
        path: of the file.
        sha256: as `Facts` has it; "" takes whatever is there.

    Raises:
        ImageProblem: the file is gone, or was written anew.
    """
    content = _read(path)
    if sha256 and hashlib.sha256(content).hexdigest() != sha256:
        raise ImageProblem("changed since the set was listed: run the same command again")
    return content


def encode(photograph: tuple[Path, str], size: int) -> bytes:
    """A photograph as shards hold it: an RGB JPEG of `size` × `size` pixels.

    Args:
        photograph: its path and SHA-256, as `listed` takes them.
        size: pixels a side.

    Raises:
        ImageProblem: it cannot be used, or is another than was listed; the message names it.
    """
    try:
        small = Image.fromarray(read(listed(*photograph), size))
    except ImageProblem as problem:
        raise ImageProblem(f"{photograph[0]}: {problem}") from None
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", **JPEG)
    return buffer.getvalue()


def inspect(path: str | Path) -> Facts:
    """Read a file once: its SHA-256, and its size in pixels or the reason it cannot be used."""
    try:
        data = _read(Path(path))
    except ImageProblem as problem:
        return Facts(0, 0, "", str(problem))
    digest = hashlib.sha256(data).hexdigest()
    try:
        height, width, _ = decode(data).shape
    except ImageProblem as problem:
        return Facts(0, 0, digest, str(problem))
    return Facts(width, height, digest, "")


def _resized(picture: Image.Image, size: int) -> np.ndarray:
    return np.array(picture.resize((size, size), Image.Resampling.BILINEAR))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageProblem(f"cannot be read: {error.strerror or error}") from None


def _kind(data: bytes) -> str:
    starts = {b"\xff\xd8": "JPEG", b"\x89PNG": "PNG", b"BM": "BMP", b"GIF": "GIF", b"RIFF": "WebP"}
    return next((kind for start, kind in starts.items() if data.startswith(start)), "picture")


def _check_header(picture: Image.Image, max_pixels: int) -> None:
    width, height = picture.size
    if width * height > max_pixels:
        raise ImageProblem(f"too many pixels: {width} × {height} (limit {max_pixels:,})")
    if min(width, height) < MIN_SIDE:
        raise ImageProblem(f"too small: {width} × {height} (at least {MIN_SIDE} a side)")
    # Not n_frames, which walks through the whole file: a minute for 8 MB made for it.
    if getattr(picture, "is_animated", False) and picture.format != "MPO":
        raise ImageProblem("several frames: an animation or a stack, not one photograph")


def _upright(picture: Image.Image) -> Image.Image:
    try:
        if picture.getexif().get(ORIENTATION, 1) == 1:
            return picture  # which Pillow would copy
        return ImageOps.exif_transpose(picture)
    except Exception:
        # Cameras and editors write broken EXIF blocks around sound pixels.
        return picture


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode == "RGB" and "transparency" not in picture.info:
        return picture
    if picture.mode.startswith("I;16"):
        # convert("RGB") would clip at 255 and turn the photograph white.
        return Image.fromarray((np.asarray(picture) // 257).astype(np.uint8)).convert("RGB")
    if picture.mode in ("I", "F"):
        raise ImageProblem("32-bit pixels without a stated range: save it with 8 bits a channel")
    if picture.has_transparency_data:
        return _on_white(picture)
    profile = picture.info.get("icc_profile")
    if picture.mode == "CMYK" and profile:
        # Inks mean nothing without their profile; the plain formula is off by tens of levels. It
        # has to do where the profile is damaged, or one of a screen.
        with contextlib.suppress(ImageCms.PyCMSError, OSError):
            return ImageCms.profileToProfile(
                picture,
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                ImageCms.createProfile("sRGB"),
                outputMode="RGB",
            )
    return picture.convert("RGB")


def _on_white(picture: Image.Image) -> Image.Image:
    # Some rows at a time: whole, 50 megapixels would be in memory five times over, 980 MB.
    laid = Image.new("RGB", picture.size)
    for top in range(0, picture.height, STRIP):
        box = (0, top, picture.width, min(top + STRIP, picture.height))
        layer = picture.crop(box).convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        laid.paste(Image.alpha_composite(white, layer).convert("RGB"), box)
    return laid
