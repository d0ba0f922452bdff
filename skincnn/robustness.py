"""How a trained network does on worse photographs than it was judged on (see `corruptions`).

They are made worse at the size that the network sees, as in the benchmark that the kinds are taken
from: a large photograph that is scaled down afterwards suffers less.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from skincnn import (
    atomic,
    config,
    corruptions,
    data,
    evaluate,
    pipeline,
    plots,
    plots_compare,
    predictions,
    runs,
)


def curves(
    models: Mapping[str, runs.Run],
    index: pd.DataFrame,
    folder: str | Path | None = None,
    kinds: Sequence[str] | None = None,
    most: int = 0,
    seed: int = 0,
    progress: bool = True,
) -> pd.DataFrame:
    """Balanced accuracy and calibration under every corruption, in five strengths.

    Args:
        models: name -> a finished run with its weights.
        index: of the set they were trained on; each is asked about its own held-out photographs.
        folder: where `robustness.csv` and `robustness.png` go; what a network said of each kind and
            strength is kept under `outputs/local/`, so that an interrupted call goes on. None keeps
            nothing.
        kinds: of `corruptions.CORRUPTIONS`; None takes all.
        most: photographs at most, drawn at random; 0 takes all.
        seed: of the corruptions and the draw.
        progress: show a bar.

    Returns:
        A row a model, kind and strength (0 is the photograph as it is): `model`, `kind`,
        `strength`, `n`, `balanced_accuracy` with `_low` and `_high`, `calibration_error`,
        `confidence` (mean of the highest probability). All 0…1.

    Raises:
        ValueError: a run's held-out photographs are not in the index.
    """
    rows, kinds = [], [*corruptions.CORRUPTIONS] if kinds is None else kinds
    work = [(kind, strength) for kind in kinds for strength in corruptions.STRENGTHS]
    with tqdm(total=len(models) * (1 + len(work)), desc="corrupting", disable=not progress) as bar:
        for name, run in models.items():
            answers = _Asked(run, index, most, seed)
            plain = None
            for kind, strength in [("", 0), *work]:
                kept = answers.place / f"{kind}_{strength}.csv" if folder else None
                table = _kept(kept, lambda k=kind, s=strength, a=answers: a.to(k, s))
                row = {"model": name, "kind": kind, "strength": strength, **_figures(table)}
                if strength == 0:
                    plain = row
                    rows += [{**plain, "kind": kind} for kind in kinds]
                else:
                    rows.append(row)
                bar.update()
    table = pd.DataFrame(rows)
    table = table.sort_values(["model", "kind", "strength"], ignore_index=True)
    if folder:
        atomic.write_table(Path(folder) / "robustness.csv", table)
        plots.save(plots_compare.robustness(table).flat[0], Path(folder) / "robustness.png")
    return table


class _Asked:
    """A run and its held-out photographs, decoded once."""

    def __init__(self, run: runs.Run, index: pd.DataFrame, most: int, seed: int):
        self.run, self.seed = run, seed
        files = list(run.predictions["file"])
        rows = data.usable(index)
        rows = rows[rows["file"].isin(files)].reset_index(drop=True)
        if len(rows) != len(set(files)):
            raise ValueError(
                f"{run.folder}: {len(set(files)) - len(rows)} of its {len(set(files))} held-out "
                f"photographs are not in the set {index.attrs.get('name', '')!r}"
            )
        # the run's own names: an audit may have corrected a folder's
        told = run.predictions.drop_duplicates("file").set_index("file")
        rows = rows.assign(label=rows["file"].map(told["label"]))
        if most and most < len(rows):
            some = np.random.default_rng(seed).permutation(len(rows))[:most]
            rows = rows.iloc[np.sort(some)].reset_index(drop=True)
        self.rows = rows
        what = hashlib.sha256((run.folder / "model.keras").read_bytes())
        what.update(f"{data.fingerprint(rows, ['file', 'sha256'])} {seed}".encode())
        self.place = config.local_dir() / f"robustness_{what.hexdigest()[:12]}"
        self.pixels = pipeline.decode(rows, run.config.image_size, progress=False)

    def to(self, kind: str, strength: int) -> pd.DataFrame:
        pixels = self.pixels
        if strength:
            pixels = corruptions.corrupt(pixels, kind, strength, self.seed)
        answers = self.run.classify(pixels)
        return predictions.frame(self.rows, answers, self.run.classes, self.run.config.seed)


def _kept(path: Path | None, make) -> pd.DataFrame:
    if path and path.is_file():
        return predictions.read(path)
    table = make()
    if path:
        predictions.write(table, path)
    return table


def _figures(table: pd.DataFrame) -> dict:
    metrics = evaluate.metrics(table)
    balanced = metrics["balanced_accuracy"]
    probabilities = table[predictions.probability_columns(table)].to_numpy()
    return {
        "n": metrics["n"],
        "balanced_accuracy": balanced["value"],
        "balanced_accuracy_low": balanced["low"],
        "balanced_accuracy_high": balanced["high"],
        "calibration_error": metrics["ece"]["value"],
        "confidence": float(probabilities.max(axis=1).mean()),
    }
