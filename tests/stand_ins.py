"""Stand-ins for what takes long, where a test is about what comes after."""

import types

import numpy as np

from skincnn import (
    atomic,
    audit,
    data,
    evaluate,
    official,
    predictions,
    protocols,
    provenance,
    runs,
    splits,
)


def plain_audit(patch):
    """An audit that finds nothing: drawn photographs resemble each other more than real ones."""

    def sound(index):
        return index.assign(cluster=None, official_label="")

    patch.setattr(audit, "clean", lambda index: (sound(index), None))
    patch.setattr(audit, "run", lambda index, **_: types.SimpleNamespace(index=sound(index)))


def referee(patch):
    """A referee who contradicts every other name."""
    patch.setattr(official, "contradicts", lambda label, said: said not in ("", label))


def fit(patch):
    """Training that answers at random and costs nothing; returns the list it notes settings in."""
    from skincnn import train

    asked = []

    def answer(settings, index, folder, verbose="auto"):
        asked.append(settings)
        ready, classes = protocols.prepare(settings, index, progress=False), data.classes(index)
        facts = provenance.describe(settings, ready, classes, "float32")
        atomic.write_json(folder / "config.json", facts | {"parameters": 1234})
        atomic.write_text(folder / "history.csv", "epoch,seconds\n1,30\n2,90\n")
        parts = {"": splits.held_out(ready, settings.fold)}
        if "inner" in ready:
            parts["_inner"] = splits.validation(ready, settings.fold)
        else:
            parts["_test"] = ready[ready["split"] == "test"]
        for suffix, rows in parts.items():
            rng = np.random.default_rng([settings.seed, settings.fold])
            table = predictions.frame(
                rows, rng.dirichlet(np.ones(len(classes)), len(rows)), classes, settings.seed
            )
            predictions.write(table, folder / f"predictions{suffix}.csv")
        atomic.write_json(folder / "metrics.json", evaluate.metrics(table))
        (folder / "model.keras").touch()
        return runs.Run(folder)

    patch.setattr(train, "fit", answer)
    return asked
