"""How long an answer takes: the first of a fresh process, and one to 12 megapixels after that.

    python benchmarks/answer.py RUN [--rounds 5]

The export beside the run's own network in Keras; a large photograph read at a reduced scale beside
one that is decoded whole. In turn, since a machine's speed drifts.
"""

import argparse
import io
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from rows import row

from skincnn import dermoscopy, export, images, predictor, runs

CLI = "from skincnn.cli import main; main()"


def photograph(width: int, height: int) -> bytes:
    """A drawn one of that size, with a camera's noise."""
    rng = np.random.default_rng(0)
    drawn = Image.fromarray(dermoscopy.draw("nevus", rng, rng, (600, 450)))
    pixels = np.asarray(drawn.resize((width, height), Image.Resampling.BICUBIC), np.float32)
    noisy = (pixels + rng.normal(0, 4, pixels.shape)).clip(0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noisy).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        path = export.write(runs.Run(asked.run), out=Path(place) / "model.onnx", progress=False)
        small = Path(place) / "small.jpg"
        small.write_bytes(photograph(600, 450))
        first = {"ONNX Runtime": [], "Keras": []}
        for _ in range(asked.rounds):
            for name, model in zip(first, (path, asked.run), strict=True):
                words = [sys.executable, "-c", CLI, "predict", str(small), "--model", str(model)]
                began = time.perf_counter()
                subprocess.run(words, check=True, capture_output=True)
                first[name].append(time.perf_counter() - began)
        model, large = predictor.load(path), photograph(4000, 3000)
        size, warm = model.facts.image_size, {"reduced": [], "whole": []}
        model.photograph(large)
        for _ in range(4 * asked.rounds):
            began = time.perf_counter()
            model.photograph(large)
            warm["reduced"].append(time.perf_counter() - began)
            began = time.perf_counter()
            model.verdicts(images.resize(images.decode(large), size)[None])
            warm["whole"].append(time.perf_counter() - began)
    for title, some in (("first answer of a process", first), ("12 megapixels, warm", warm)):
        (ours, other), (one, two) = some.values(), some
        ratios = [a / b for a, b in zip(ours, other, strict=True)]
        told = [f"{statistics.median(values):.3f} s" for values in (ours, other)]
        row(title, f"{told[0]}, {one}", f"{told[1]}, {two}", ratios)


if __name__ == "__main__":
    main()
