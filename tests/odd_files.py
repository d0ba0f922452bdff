"""Odd files, made with Pillow and by hand: each is a photograph, or has a reason why not."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

QUARTERS = ((200, 60, 40), (50, 160, 70), (40, 70, 190), (230, 190, 160))
# Where the stored picture's rows and columns lie in the upright one (EXIF 2.3, tag 274).
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[:, ::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a[::-1].swapaxes(0, 1),
}


def painted(quarters=QUARTERS):
    """Four quarters, 48 × 64: no turn and no flip leaves it as it is."""
    picture = np.empty((48, 64, 3), np.uint8)
    picture[:24, :32], picture[:24, 32:], picture[24:, :32], picture[24:, 32:] = quarters
    return picture


def saved(picture, kind, **options):
    """The bytes of a picture (Pillow's, or an array) as a file."""
    picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    stream = io.BytesIO()
    if kind in ("JPEG", "MPO"):
        options = {"quality": 95, "subsampling": "4:4:4", **options}
    picture.save(stream, kind, **options)
    return stream.getvalue()


def png(width, height, bits, colour_type, rows=b""):
    """A PNG by hand: Pillow writes neither 16-bit colour nor a header that lies."""

    def chunk(name, content):
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def colour16():
    """16 bits a channel, in colour."""
    rows = (painted().astype(">u2") * 257).reshape(48, -1)
    return png(64, 48, 16, 2, b"".join(b"\0" + row.tobytes() for row in rows))


def tagged(orientation):
    """An EXIF block that says how the picture lies."""
    exif = Image.Exif()
    exif[274] = orientation
    return exif


def usable():
    """Odd files that are photographs: name -> (bytes, uint8 (48, 64, 3) as painted)."""
    colours = painted()
    picture = Image.fromarray(colours)
    palette = picture.quantize(16, dither=Image.Dither.NONE)
    grey = picture.convert("L")
    levels = np.asarray(grey)
    in_grey = np.repeat(levels[..., None], 3, axis=2)
    two = Image.fromarray(levels > 120)
    first = palette.getpixel((0, 0))
    alpha = np.full((48, 64, 1), 255, np.uint8)
    alpha[:24, :32] = 0  # the first quarter is transparent: the paper shows
    on_white = np.where(alpha, colours, 255)
    clear = np.dstack([colours, alpha])
    clear_grey = Image.merge("LA", [grey, Image.fromarray(alpha[..., 0])])
    half_clear = np.dstack([colours, np.full_like(alpha, 128)])
    halfway = (colours.astype(int) * 128 + 255 * 127) // 255
    both = {"save_all": True, "append_images": [picture.rotate(180)]}
    files = {
        "plain.jpg": (saved(picture, "JPEG"), colours),
        "SHOUTED.JPG": (saved(picture, "JPEG"), colours),
        "Mixed.JpEg": (saved(picture, "JPEG", progressive=True), colours),
        "grey.jpg": (saved(grey, "JPEG"), in_grey),
        "inks.jpg": (saved(picture.convert("CMYK"), "JPEG"), colours),
        "telephone.jpg": (saved(picture, "MPO", **both), colours),
        "lossless.webp": (saved(picture, "WEBP", lossless=True), colours),
        "scan.tif": (saved(picture, "TIFF"), colours),
        "scan.tiff": (saved(picture, "TIFF", compression="tiff_lzw"), colours),
        "palette.bmp": (saved(palette, "BMP"), colours),
        "palette.png": (saved(palette, "PNG"), colours),
        "palette.gif": (saved(palette, "GIF"), colours),
        "two_levels.png": (saved(two, "PNG"), np.asarray(two.convert("RGB"))),
        "grey16.png": (saved(levels.astype(np.uint16) * 257, "PNG"), in_grey),
        "grey16.tif": (saved(levels.astype(np.uint16) * 257, "TIFF"), in_grey),
        "colour16.png": (colour16(), colours),
        "clear.png": (saved(clear, "PNG"), on_white),
        "clear.webp": (saved(clear, "WEBP", lossless=True), on_white),
        "clear_grey.png": (saved(clear_grey, "PNG"), np.where(alpha, in_grey, 255)),
        "clear_palette.png": (saved(palette, "PNG", transparency=first), on_white),
        "clear_palette.gif": (saved(palette, "GIF", transparency=first), on_white),
        "clear_colour.png": (saved(picture, "PNG", transparency=QUARTERS[0]), on_white),
        "half_clear.png": (saved(half_clear, "PNG"), halfway),
        "broken_exif.jpg": (saved(picture, "JPEG", exif=b"Exif\0\0MM\0*rubbish"), colours),
        "turned.png": (saved(STORED[6](colours), "PNG", exif=tagged(6)), colours),
    }
    for orientation, stored in STORED.items():
        content = saved(np.ascontiguousarray(stored(colours)), "JPEG", exif=tagged(orientation))
        files[f"exif_{orientation}.jpg"] = (content, colours)
    return files


def unusable():
    """Files that are none: name -> (bytes, regular expression for the reason)."""
    picture = Image.fromarray(painted())
    jpeg, webp = saved(picture, "JPEG"), saved(picture, "WEBP", lossless=True)
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    flipped = bytearray(saved(noise, "PNG"))
    flipped[len(flipped) // 2] ^= 4
    both = {"save_all": True, "append_images": [picture.rotate(180)]}
    return {
        "empty.jpg": (b"", "empty file"),
        "text.jpg": (b"<html>not found</html>", "not a picture"),
        "drawing.png": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
        "._plain.jpg": (b"\0\x05\x16\x07\0\x02\0\0Mac OS X        ", "AppleDouble"),
        "two_bytes_short.jpg": (jpeg[:-2], "damaged JPEG"),
        "half.jpg": (jpeg[: len(jpeg) // 2], "damaged JPEG"),
        "head_only.jpg": (jpeg[:30], "damaged JPEG"),
        "half.png": (saved(noise, "PNG")[:4000], "damaged PNG"),
        "half.webp": (webp[: len(webp) // 2], "damaged WebP"),
        "half.gif": (saved(noise, "GIF")[:1000], "damaged GIF"),
        "half.bmp": (saved(picture, "BMP")[:2000], "damaged BMP"),
        "half.tif": (saved(picture, "TIFF")[:2000], "damaged picture"),
        "flipped_bit.png": (bytes(flipped), "damaged PNG"),
        "moving.gif": (saved(picture, "GIF", **both), "several frames"),
        "moving.png": (saved(picture, "PNG", **both), "several frames"),
        "moving.webp": (saved(picture, "WEBP", **both), "several frames"),
        "stack.tif": (saved(picture, "TIFF", **both), "several frames"),
        "dot.png": (saved(Image.new("RGB", (1, 1)), "PNG"), "too small: 1 × 1"),
        "huge.png": (png(20_000, 20_000, 8, 2), "too many pixels"),
        "large.png": (png(10_000, 10_000, 8, 2), "too many pixels: 10000 × 10000"),
        "no_range.tif": (saved(Image.new("F", (48, 64)), "TIFF"), "32-bit"),
    }


def same_colours(picture, expected, tolerance=6):
    """Check a decoded picture against the painted one, the edges between quarters aside."""
    assert picture.dtype == np.uint8
    assert picture.shape == expected.shape
    off = np.abs(picture.astype(int) - expected.astype(int))
    for y, x in ((0, 0), (0, 32), (24, 0), (24, 32)):
        assert off[y + 8 : y + 16, x + 8 : x + 24].max() <= tolerance
