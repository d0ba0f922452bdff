"""Stand-ins for what takes long, where a test is about what comes after."""

import sys
import types

import numpy as np

import skincnn
from skincnn import data, evaluate, predictions, runs, splits


def audit(patch):
    """An audit that finds nothing: drawn photographs resemble each other more than real ones."""
    _put(patch, "audit", clean=lambda index: (index.assign(cluster=None, official_label=""), None))


def official(patch):
    """A referee who contradicts every other name."""
    _put(patch, "official", contradicts=lambda label, said: said not in ("", label))


def fit(patch):
    """Training that answers at random and costs nothing; returns the list it notes settings in."""
    from skincnn import train

    asked = []

    def answer(settings, index, folder, verbose="auto"):
        asked.append(settings)
        ready, classes = train.prepare(settings, index, progress=False), data.classes(index)
        runs.write_json(folder / "config.json", runs.describe(settings, ready, classes, "float32"))
        parts = {"": splits.held_out(ready, settings.fold)}
        if "inner" in ready:
            parts["_inner"] = splits.validation(ready, settings.fold)
        for suffix, rows in parts.items():
            rng = np.random.default_rng([settings.seed, settings.fold])
            table = predictions.frame(
                rows, rng.dirichlet(np.ones(len(classes)), len(rows)), classes, settings.seed
            )
            predictions.write(table, folder / f"predictions{suffix}.csv")
        runs.write_json(folder / "metrics.json", evaluate.metrics(table))
        (folder / "model.keras").touch()
        return runs.Run(folder)

    patch.setattr(train, "fit", answer)
    return asked


def _put(patch, name, **contents):
    module = types.ModuleType(f"skincnn.{name}")
    vars(module).update(contents)
    patch.setitem(sys.modules, f"skincnn.{name}", module)
    patch.setattr(skincnn, name, module, raising=False)
