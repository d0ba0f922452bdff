"""What int8 weights cost: size, accuracy on the held-out fold, agreement with float32.

python benchmarks/quantised.py RUN [--data isic9] [--out FOLDER]

Each export of the run answers the photographs of its held-out fold, which chose nothing. What
changes is against the run's own network, paired by photograph, with 95 % intervals by bootstrap
over groups.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from skincnn import (
    atomic,
    data,
    evaluate,
    export,
    paired,
    predictions,
    predictor,
    protocols,
    provenance,
    runs,
    splits,
)

VARIANTS = [("onnx", "float32"), ("onnx", "int8"), ("litert", "float32"), ("litert", "int8")]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", default="isic9")
    parser.add_argument("--out", type=Path)
    typed = parser.parse_args()
    run = runs.Run(typed.run)
    prepared = protocols.prepare(run.config, data.load(typed.data))
    held = splits.held_out(prepared, run.config.fold)
    own, rows = run.predictions, []
    pixels = None
    with tempfile.TemporaryDirectory() as place:
        for kind, weights in tqdm(VARIANTS, "exports"):
            out = Path(place) / f"{weights}{export._ENDINGS[kind]}"
            model = predictor.load(export.write(run, kind, out, weights=weights, progress=False))
            if pixels is None:
                pixels = np.stack([model.pixels(path) for path in data.paths(held)])
            found = model.raw(pixels)[0]
            table = predictions.frame(held, found, run.classes, run.config.seed)
            a, b = paired.pair(own, table)
            (_, before, p), (_, after, q) = predictions.answers(a), predictions.answers(b)
            metrics, against = evaluate.metrics(table), paired.compare(table, own)
            row = {"runtime": kind, "weights": weights, "bytes": out.stat().st_size}
            for name in ("accuracy", "balanced_accuracy"):
                change = against["differences"][name]
                row |= {name: metrics[name]["value"]}
                row |= {f"{name}_change_{key}": change[key] for key in ("value", "low", "high")}
            row |= {"same_class": (before == after).mean(), "largest_change": np.abs(p - q).max()}
            rows.append(row)
    table = pd.DataFrame(rows).round(5)
    print(table.T.to_string(header=False))
    if typed.out:
        typed.out.mkdir(parents=True, exist_ok=True)
        table.to_csv(typed.out / "exports.csv", index=False)
        about = {
            "photographs": len(held),
            "training": run.command,
            "versions": provenance.versions(),
        }
        atomic.write_json(typed.out / "facts.json", about | {"commit": run.info["commit"]})


if __name__ == "__main__":
    main()
