"""A run on disk: one folder with its settings, curve, predictions and metrics. No TensorFlow.

| file | |
|---|---|
| `config.json` | settings, class order, precision used, fingerprints, versions, commit |
| `history.csv` | one row an epoch: loss and accuracy in training and validation, rate, seconds |
| `predictions.csv`, `metrics.json` | the held-out photographs, and what `evaluate` says of them |
| `predictions_inner.csv` | protocol `clean`: the part that chose; `fold` is the model's |
| `predictions_test.csv`, `metrics_test.json` | the published Test folder's, where there is one |
| `note.md` | by hand, where a reader of the figures must know more |
| `model.keras` | weights of the epoch that is kept, float32 (never committed) |
| `checkpoints/` | while the run goes on |

`metrics.json` is written last: a run with it is finished.
"""

import dataclasses
import functools
import json
import shlex
from pathlib import Path

import numpy as np
import pandas as pd

from skincnn import config, hair, person, predictions, presets, views

# Settings that the commands have options of their own for; all others are given by --set.
_OPTIONS = ("epochs", "image_size", "batch_size", "precision")
_OPTIONS_OF = {"cv": (*_OPTIONS, "folds"), "train": (*_OPTIONS, "seed", "protocol", "fold")}


class RunError(ValueError):
    """A run folder that cannot be used as asked; the message says why and what to do."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A run folder, read when asked for. `skincnn.train` makes them, notebooks draw them."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @functools.cached_property
    def info(self) -> dict:
        """What `config.json` holds."""
        path = self._file("config.json")
        try:
            info = dict(json.loads(path.read_text(encoding="utf-8")))
            alone = set() if "members" in info else {"config", "precision_used"}
            if missing := {"classes", "data", *alone} - set(info):
                raise ValueError(f"no {', '.join(sorted(missing))} in it")
            return info
        except (TypeError, ValueError) as error:
            raise RunError(f"{path}: damaged: {error}") from None

    @property
    def config(self) -> config.RunConfig:
        info = self.info
        if "members" in info:
            raise RunError(f"{self.folder} is an ensemble: its members have settings and weights")
        try:
            return config.RunConfig(**info["config"])
        except (KeyError, TypeError, ValueError) as error:
            path = self.folder / "config.json"
            raise RunError(f"{path}: damaged, or of another version: {error}") from None

    @property
    def command(self) -> str:
        """What makes the run again, typed in the project's folder; "" where no preset does."""
        info = self.info
        if "members" in info:
            members = [self.folder / member["folder"] for member in info["members"]]
            places = " ".join(shlex.quote(_from_here(place)) for place in members)
            return f"skincnn ensemble {places} --how {info['how']} --out {_from_here(self.folder)}"
        settings = info["config"]
        if settings["preset"] not in presets.PRESETS:
            return ""
        kind = "cv" if "seeds" in info else "train"
        start = presets.get(settings["preset"]).asdict()
        if kind == "cv":  # decides on these itself
            start |= {name: settings[name] for name in ("protocol", "fold")}
        words = [kind, "--preset", settings["preset"]]
        if place := info["data"].get("place"):
            words += ["--data", _from_here(Path(place)) if Path(place).exists() else place]
        elif info["data"].get("name"):
            words += ["--data", info["data"]["name"]]
        for table in info["data"].get("facts", ()):
            words += ["--facts", _from_here(Path(table)) if Path(table).exists() else table]
        if info["data"].get("without"):
            words.append("--skip-damaged")
        for name in [name for name in settings if settings[name] != start[name]]:
            text = str(settings[name])
            option = [f"--{name.replace('_', '-')}", text]
            words += option if name in _OPTIONS_OF[kind] else ["--set", f"{name}={text}"]
        if kind == "cv" and len(info["seeds"]) > 1:
            words += ["--seeds", str(len(info["seeds"]))]
        return "skincnn " + shlex.join(words)

    @property
    def classes(self) -> list[str]:
        return self.info["classes"]

    @property
    def history(self) -> pd.DataFrame:
        """One row an epoch: epoch (from 1), loss, accuracy, val_*, learning_rate, seconds."""
        return pd.read_csv(self._file("history.csv"))

    @property
    def minutes(self) -> float:
        """What the run took: its epochs and, where that was noted, what lies beside them: reading,
        the classifier, checkpoints, predicting. What pretrained it is another run."""
        return self.history["seconds"].sum() / 60 + self.info.get("minutes_beside", 0)

    @property
    def predictions(self) -> pd.DataFrame:
        return predictions.read(self._file("predictions.csv"))

    @property
    def metrics(self) -> dict:
        return json.loads(self._file("metrics.json").read_text())

    @property
    def test_metrics(self) -> dict:
        return json.loads(self._file("metrics_test.json").read_text())

    @property
    def note(self) -> str:
        """What was written beside the figures by hand; "" where nothing was."""
        path = self.folder / "note.md"
        return path.read_text("utf-8").strip() if path.is_file() else ""

    @property
    def finished(self) -> bool:
        """Whether training ended; the weights may be on another machine."""
        return (self.folder / "metrics.json").is_file()

    @property
    def weights(self) -> Path:
        """The file of the trained network, where it is on this machine."""
        return self._file("model.keras")

    @functools.cached_property
    def model(self):
        """The trained network (`keras.Model`), best weights by validation loss, float32."""
        path = self.weights
        import keras  # slow to import, and most readers of a run want its tables only

        try:
            return keras.saving.load_model(path, compile=False)
        except Exception as error:
            # Keras calls a cut file "not found"; other damage comes as nearly any exception.
            raise RunError(f"{path}: damaged, or of another version: {error}") from None

    def classify(self, pixels: np.ndarray, people: np.ndarray | None = None) -> np.ndarray:
        """Probabilities (N, C) of photographs, averaged over views as the run's own were.

        Args:
            pixels: uint8 (N, H, W, 3) at the run's size.
            people: float32 (N, `person.WIDTH`) for a run with `metadata`; None knows nothing.
        """
        settings = self.config
        if settings.hair_removal:
            pixels = np.stack([hair.remove(image) for image in pixels])
        if not settings.metadata:
            people = None
        elif people is None:
            people = np.zeros((len(pixels), person.WIDTH), np.float32)
        predict = self.model.predict_on_batch
        return views.probabilities(predict, pixels, settings.views, settings.batch_size, people)

    def _file(self, name: str) -> Path:
        path = self.folder / name
        if not path.is_file():
            hint = "; weights are not kept in git, train to make them" if "model" in name else ""
            if name == "config.json":
                hint = ": no run here; `skincnn train … --out FOLDER` makes one"
            raise RunError(f"{path}: no such file{hint}")
        return path


def published(name: str) -> Run:
    """A run whose figures are committed under `outputs/runs/`."""
    return Run(config.runs_dir() / name)


def table(some: list[Run]) -> pd.DataFrame:
    """Runs side by side: one row each, percentages and minutes.

    `accuracy %` is that of the best weights (lowest validation loss) on the held-out photographs,
    with its 95 % interval; `last epoch %` is what a training log ends with; `siblings %` is the
    share of held-out photographs with a copy or another photograph of their group in training.
    """
    rows = {}
    for run in some:
        accuracy, balanced = run.metrics["accuracy"], run.metrics["balanced_accuracy"]
        history, facts = run.history, run.info["data"]
        rows[run.name] = {
            "protocol": run.config.protocol,
            "held out": run.metrics["n"],
            "siblings %": 100 * facts["held_out_with_sibling_in_training"] / facts["held_out"],
            "accuracy %": 100 * accuracy["value"],
            "95 % interval": f"{100 * accuracy['low']:.1f}–{100 * accuracy['high']:.1f}",
            "balanced %": 100 * balanced["value"],
            "last epoch %": 100 * history["val_accuracy"].iloc[-1],
            "epochs": len(history),
            "minutes": run.minutes,
        }
    return pd.DataFrame.from_dict(rows, orient="index").round(1)


def _from_here(place: Path) -> str:
    """A folder as it is typed in the project's, where it lies in there."""
    path, root = place.resolve(), config.project_root()
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
