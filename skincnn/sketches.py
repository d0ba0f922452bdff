"""What one decoding of a photograph tells the audit: its pixels' digest, a small grey picture, how
sharp and bright it is, and what a file gives away beside its picture.

Everything is measured in one pass, so that an audit costs little more than opening each file once.
"""

# Workers import this module too: pandas, and `data` with it, are imported where they are used.
from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from skincnn import duplicates, images, workers

if TYPE_CHECKING:
    import pandas as pd

RING = 2  # of the thumbnail's 32 pixels: how wide a strip counts as border
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # as Pillow's "L": ITU-R 601
BLUR_SIDE = 96  # sharpness is measured at this size: of a larger photograph it would be another
AT_ONCE = 64  # photographs a worker is sent
SMALL_JOB = 1500  # below this, starting workers takes longer than the work
# A photograph is called so beyond these. They are wide: of HAM10000's 10,015 photographs, all taken
# by specialists, they name one (a quarter of it is white).
LIMITS = {
    "blurred": ("sharpness", "<", 12),
    "dark": ("p95", "<", 70),
    "over-exposed": ("white", ">", 0.25),
    "near-uniform": ("contrast", "<", 4),
}


class Sketch(NamedTuple):
    """One photograph, measured; grey levels and colours are 0…255."""

    pixels: str  # SHA-256 of the decoded pixels and their shape
    bytes: int  # of the file
    bytes_per_pixel: float
    table_luma: int  # sum of the JPEG's quantization tables: its quality setting; 0 elsewhere
    table_chroma: int
    progressive: int  # 1 for a progressive JPEG
    subsampled: int  # 1 for a JPEG whose colours are stored at a lower resolution
    metadata: int  # bytes of EXIF, colour profile and comments
    sharpness: float  # Laplacian's variance in % of the slopes', at BLUR_SIDE pixels
    p95: float  # 95th percentile of luma
    white: float  # share of pixels with luma ≥ 250
    contrast: float  # standard deviation of luma
    red: float  # mean colour of the border strip
    green: float
    blue: float
    border_spread: float  # standard deviation of the border's brightness: a ruler, a black ring
    corner: float  # mean of the four corners: the dark ring of a dermoscope


def measure(index: pd.DataFrame, progress: bool = True) -> tuple[pd.DataFrame, np.ndarray]:
    """Sketch every photograph of an index, on all cores.

    Args:
        index: usable rows only (`data.usable`).
        progress: show a progress bar.

    Returns:
        `Sketch` columns, one row a photograph in the index's order; and the small grey pictures,
        uint8 (N, SIDE, SIDE).

    Raises:
        data.DataError: a file vanished or changed into something else since the index was made.
    """
    import pandas as pd

    from skincnn import data

    places = list(zip(data.paths(index), index["sha256"], strict=True))
    tasks = [places[at : at + AT_ONCE] for at in range(0, len(places), AT_ONCE)]
    jobs = 1 if len(places) < SMALL_JOB else workers.count(None, len(tasks))
    bar = tqdm(total=len(places), desc="sketching", disable=not progress)
    parts = []
    with bar, workers.results(_open_some, tasks, jobs) as done:
        try:
            for part in done:
                parts.append(part)
                bar.update(len(part[0]))
        except images.ImageProblem as problem:
            raise data.DataError(f"{problem}; it was sound when the set was listed") from None
    rows = [row for part in parts for row in part[0]]
    levels, small = (np.concatenate([part[k] for part in parts]) for k in (1, 2))
    table = pd.DataFrame(rows).assign(**_brightness(levels), **_border(small))
    grey = np.concatenate([(part[2] @ LUMA).round().astype(np.uint8) for part in parts])
    return table[list(Sketch._fields)].set_axis(index.index), grey


def flags(sketches: pd.DataFrame) -> pd.DataFrame:
    """Booleans (N), a column for each name in `LIMITS`: what is beyond its limit."""
    import pandas as pd

    return pd.DataFrame(
        {
            name: sketches[column] < limit if sign == "<" else sketches[column] > limit
            for name, (column, sign, limit) in LIMITS.items()
        }
    )


def _open_some(photographs: list[tuple[Path, str]]) -> tuple[list[dict], np.ndarray, np.ndarray]:
    """The files' own `Sketch` columns, luma histograms (N, 256) and thumbnails in colour."""
    rows, levels, small = zip(*map(_open, photographs), strict=True)
    return list(rows), np.array(levels), np.array(small)


def _open(photograph: tuple[Path, str]) -> tuple[dict, list[int], np.ndarray]:
    try:
        content = images.listed(*photograph)
        pixels = images.decode(content)
    except images.ImageProblem as problem:
        raise images.ImageProblem(f"{photograph[0]}: {problem}") from None
    picture = Image.fromarray(pixels)
    luma = picture.convert("L")
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(pixels)
    row = {
        "pixels": digest.hexdigest(),
        "bytes": len(content),
        "bytes_per_pixel": len(content) / luma.width / luma.height,
        **_file_habits(content),
        "sharpness": _sharpness(luma),
    }
    return row, luma.histogram(), duplicates.thumbnail(picture)


def _file_habits(content: bytes) -> dict:
    """What the file says of the program that wrote it."""
    with Image.open(io.BytesIO(content), formats=images.FORMATS) as picture:
        tables = [sum(t) for _, t in sorted(getattr(picture, "quantization", {}).items())]
        layers = getattr(picture, "layer", [])
        info = picture.info
    return {
        "table_luma": tables[0] if tables else 0,
        "table_chroma": tables[1] if len(tables) > 1 else 0,
        "progressive": int(bool(info.get("progressive"))),
        "subsampled": int(bool(layers) and layers[0][1:3] != (1, 1)),
        "metadata": sum(len(info.get(key) or b"") for key in ("exif", "icc_profile", "comment")),
    }


def _sharpness(luma: Image.Image) -> float:
    """Energy of the finest detail over that of all slopes: a pale photograph is not a blurred one.

    At `BLUR_SIDE` pixels HAM10000's photographs have 14 to 240 (median 86); blurred with a radius
    of 1.5 % of their longer side, five in six have less than 12.
    """
    scale = BLUR_SIDE / max(luma.size)
    size = [max(3, round(side * scale)) for side in luma.size]
    grey = np.asarray(luma.resize(size, Image.Resampling.BOX)).astype(np.float32)
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    finest = 4 * grey[1:-1, 1:-1] - around
    slopes = (grey[1:-1, 2:] - grey[1:-1, :-2]).var() + (grey[2:, 1:-1] - grey[:-2, 1:-1]).var()
    return float(100 * finest.var() / (slopes + 1))


def _brightness(levels: np.ndarray) -> dict[str, np.ndarray]:
    """Of luma histograms (N, 256)."""
    share = levels / levels.sum(axis=1, keepdims=True)
    below = share.cumsum(axis=1)
    grey = np.arange(256)
    mean = share @ grey
    return {
        "p95": (below < 0.95).sum(axis=1).astype(float),
        "white": 1 - below[:, 249],
        "contrast": np.sqrt((share @ grey**2 - mean**2).clip(0)),
    }


def _border(small: np.ndarray) -> dict[str, np.ndarray]:
    """Of thumbnails in colour (N, SIDE, SIDE, 3)."""
    ring = np.ones(small.shape[1:3], bool)
    ring[RING:-RING, RING:-RING] = False
    border = small[:, ring].astype(np.float32)
    ends = [slice(RING), slice(-RING, None)]
    corners = np.stack([small[:, a, b].mean(axis=(1, 2, 3)) for a in ends for b in ends])
    colours = zip(("red", "green", "blue"), border.mean(axis=1).T, strict=True)
    return {
        **dict(colours),
        "border_spread": border.mean(axis=2).std(axis=1),
        "corner": corners.mean(axis=0),
    }
