"""Write the synthetic sample set: a stand-in for the real nine-class set, its problems included.

    sample.make(Path("data/sample"))   # or: skincnn sample

writes 600 photographs that `dermoscopy` draws, in the real set's tree and proportions:

    Train/<class>/SYN_0000001.jpg ...   Test/<class>/...
    metadata.csv   of each image_id: lesion, patient, diagnosis, age, sex, site, source
    planted.csv    what is wrong with which file: for tests and for notebook 03, once it has audited
    sample.json    number, seed and version: what the set is told by

Which photographs there are, and what is planted among them, `sample_plan` decides.
"""

import csv
import io
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from skincnn import atomic, dermoscopy
from skincnn.sample_plan import METADATA, Photo, metadata, plan

VERSION = 2  # of the bytes: raise it with any change to what is drawn, and old sets are replaced
NAME = "skincnn synthetic sample set"
# Drawn alike for every class: width and height tell nothing about it.
SIZES = [(180, 180), (192, 192), (224, 224), (256, 256), (240, 180), (256, 192)]


def encode(image: Image.Image, quality: int) -> bytes:
    """The image as JPEG."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def photograph(seed: int, photo: Photo) -> bytes:
    """A photograph as JPEG: the lesion drawn from its number, the view from the photograph's."""
    view = np.random.default_rng((seed, 2, photo.number))
    lesion = np.random.default_rng((seed, 1, photo.lesion))
    size, quality = SIZES[view.integers(len(SIZES))], int(view.integers(86, 96))
    return encode(Image.fromarray(dermoscopy.draw(photo.diagnosis, lesion, view, size)), quality)


def altered(data: bytes, kind: str) -> bytes:
    """What became of a photograph's JPEG bytes, by a key of `sample_plan.PLANTED` or a sort of
    its `UNUSABLE`."""
    if kind in ("", "identical", "two_names"):
        return data
    if kind == "zero bytes":
        return b""
    if kind == "text named .jpg":
        return b"<html><body>503 Service Unavailable</body></html>\n"
    if kind == "truncated JPEG":
        return data[: len(data) * 6 // 10]
    image = Image.open(io.BytesIO(data))
    if kind == "reencoded":
        return encode(image, 70)
    if kind == "flipped":
        return encode(ImageOps.mirror(image), 92)
    # Resized: down to 180 on the short side, or where it is that already, up to 256 on the long.
    scale = 180 / min(image.size) if min(image.size) > 180 else 256 / max(image.size)
    size = [round(scale * side) for side in image.size]
    return encode(image.resize(size, Image.Resampling.LANCZOS), 92)


def table(path: Path, header: list, rows: list) -> None:
    """Write a CSV, with the same line ends on every system."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def stamp(root: Path) -> dict | None:
    """What `sample.json` in `root` says, or None if that is no sample set."""
    try:
        said = json.loads((root / "sample.json").read_text(encoding="utf-8"))
        return said if said["set"] == NAME else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def make(
    root: Path, n: int = 600, seed: int = 2357, jobs: int | None = None, progress: bool = True
) -> Path:
    """Write the sample set under `root`, or return at once if that very set is there.

    The same `n` and `seed` give the same bytes, whatever `jobs`. A killed run leaves nothing under
    that name.

    Args:
        root: folder to write. A sample set of another size, seed or version there is replaced.
        n: photographs in Train and Test together, planted ones included; at least
            `sample_plan.MINIMUM`.
        seed: non-negative integer that everything is drawn from.
        jobs: threads to draw with; None for one a core, eight at most.
        progress: show a progress bar.

    Returns:
        `root` as a Path.

    Raises:
        ValueError: if `n` or `seed` is too small.
        FileExistsError: if `root` holds something that is no sample set.
    """
    root = Path(root)
    if seed < 0:
        raise ValueError(f"seed={seed} is negative: choose 0 or more")
    photos, rows = plan(n, seed)
    wanted = {"set": NAME, "n": n, "seed": seed, "version": VERSION}
    if stamp(root) == wanted:
        return root
    if root.exists() and not stamp(root) and (root.is_file() or any(root.iterdir())):
        raise FileExistsError(f"{root} holds something that is no sample set: name another folder")

    # Threads, as numpy and Pillow draw outside the interpreter lock: on two cores nearly as fast
    # as processes, without a fork (which can hang beside TensorFlow) or a __main__ to import.
    pool = ThreadPoolExecutor(jobs or min(os.cpu_count() or 1, 8))
    with atomic.writing(root.resolve()) as part:  # a link to another disk stays one

        def write(photo):
            # A copy's original is drawn again, so that no thread waits for another.
            data = photograph(seed, photo.of or photo)
            (part / photo.file).write_bytes(altered(data, photo.kind))

        try:
            for split, label in {(photo.split, photo.folder) for photo in photos}:
                (part / split / label).mkdir(parents=True)
            done = pool.map(write, photos)
            list(tqdm(done, "drawing", len(photos), unit=" photographs", disable=not progress))
        finally:
            pool.shutdown(cancel_futures=True)
        table(part / "metadata.csv", METADATA, metadata(photos, seed))
        table(part / "planted.csv", ["kind", "file", "other", "note"], rows)
        (part / "sample.json").write_text(json.dumps(wanted) + "\n", encoding="utf-8")
    return root
