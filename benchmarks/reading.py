"""From photographs on disk to batches: ours against TensorFlow's and Pillow's bare decoding.

    python benchmarks/reading.py [--photographs FOLDER] [--count 256] [--rounds 5]

Photographs, those that `data.load` finds where FOLDER is not given, are enlarged to 600×450 and
1024×768 first and read back to 180×180, all ways on both cores, in turn. TensorFlow's way is
`tf.data` with `decode_jpeg` and `resize` in parallel (which picks pixels where ours takes means);
Pillow's is `open`, `convert` and `resize` by threads. Told too is what reading at a reduced scale
changes: in levels of 255, and with --model FILE.onnx in probabilities, beside one more saving as
JPEG of quality 95.
"""

import argparse
import hashlib
import os
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rows import row

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
SIZES = ((600, 450), (1024, 768))
WANTED = 180


def enlarged(sources: list[Path], size: tuple[int, int], place: Path) -> list[Path]:
    """Copies of photographs as a camera would have taken them, JPEG quality 90."""
    from PIL import Image

    place.mkdir()
    found = []
    for number, source in enumerate(sources):
        path = place / f"{number:05d}.jpg"
        with Image.open(source) as picture:
            large = picture.convert("RGB").resize(size, Image.Resampling.BICUBIC)
            large.save(path, quality=90)
        found.append(path)
    return found


def listed(paths: list[Path]):
    """The columns of an index that reading asks for: its digests come from listing a set."""
    import pandas as pd

    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    rows = pd.DataFrame({"file": [path.name for path in paths], "sha256": digests})
    rows["augmented_from"] = ""
    rows.attrs["root"] = str(paths[0].parent)
    return rows


def ours(rows) -> None:
    from skincnn import pipeline

    pipeline.decode(rows, WANTED, cache="memory", progress=False)


def tensorflow(paths: list[Path]) -> None:
    import tensorflow as tf

    def read(path):
        pixels = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        return tf.image.resize(pixels, (WANTED, WANTED))

    names = tf.data.Dataset.from_tensor_slices([str(path) for path in paths])
    for _ in names.map(read, num_parallel_calls=tf.data.AUTOTUNE).batch(32).prefetch(2):
        pass


def pillow(paths: list[Path]) -> None:
    import numpy as np
    from PIL import Image

    def read(path):
        with Image.open(path) as picture:
            small = picture.convert("RGB").resize((WANTED, WANTED), Image.Resampling.BILINEAR)
            return np.asarray(small)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(read, paths))


def changed(paths: list[Path], size: tuple[int, int], model: str | None) -> None:
    """What `images.read` gives instead of the whole photograph scaled."""
    import numpy as np

    from skincnn import images, predictor

    served = predictor.load(model) if model else None
    side = served.facts.image_size if served else WANTED
    whole = np.stack([images.resize(images.decode(path), side) for path in paths])
    reduced = np.stack([images.read(path, side) for path in paths])
    off = np.abs(reduced.astype(int) - whole)
    said = f"{size[0]}×{size[1]} to {side}: {off.mean():.2f} levels in the mean, "
    print(f"{said}{np.percentile(off, 99):.0f} in 99 of 100 pixels, {off.max()} at most", end="")
    if served:
        saved = np.stack([again(image) for image in whole])
        answers = [
            np.array([verdict.probabilities for verdict in served.verdicts(pixels)])
            for pixels in (whole, reduced, saved)
        ]
        for name, answer in zip(("", " (saved once more: "), answers[1:], strict=True):
            most = np.abs(answer - answers[0]).max(axis=1)
            print(name or "; probabilities ", end="")
            print(f"{np.median(most):.4f} in the median, {most.max():.4f} at most", end="")
        print(")", end="")
    print()


def again(pixels):
    """An array saved as JPEG and read."""
    import io

    from PIL import Image

    from skincnn import images

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", **images.JPEG)
    return images.decode(buffer.getvalue())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photographs", help="a set; default: the one that data.load finds")
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", help="an exported model, to tell changed probabilities by")
    asked = parser.parse_args()
    from skincnn import data

    index = data.usable(data.load(asked.photographs, progress=False))
    if asked.model:
        index = index[index["split"] == "test"]  # which it has not learnt by heart
    sources = data.paths(index)
    sources = [sources[i * len(sources) // asked.count] for i in range(asked.count)]
    ways = {"ours": ours, "TensorFlow": tensorflow, "Pillow": pillow}
    with tempfile.TemporaryDirectory() as temporary:
        for width, height in SIZES:
            paths = enlarged(sources, (width, height), Path(temporary) / f"{width}")
            changed(paths, (width, height), asked.model)
            given = {name: paths for name in ways} | {"ours": listed(paths)}
            rates = {name: [] for name in ways}
            for turn in range(asked.rounds + 1):
                for name, way in ways.items():
                    began = time.perf_counter()
                    way(given[name])
                    if turn:  # the first warms the page cache and TensorFlow up
                        rates[name].append(len(paths) / (time.perf_counter() - began))
            for name in ("TensorFlow", "Pillow"):
                ratios = [a / b for a, b in zip(rates["ours"], rates[name], strict=True)]
                mine, theirs = (statistics.median(rates[n]) for n in ("ours", name))
                what = f"reading {width}×{height} to {WANTED}×{WANTED}"
                row(what, f"{mine:.0f}/s", f"{theirs:.0f}/s: {name} alone", ratios)


if __name__ == "__main__":
    main()
