"""What a run was made from: what its `config.json` holds, and whether it is what is asked for now.

Settings, class order, fingerprints of the photographs and of their split, versions, commit. What
decides a result is compared before a saved run is trusted or gone on with.
"""

import dataclasses
import importlib.metadata
import platform
import subprocess

import pandas as pd

from skincnn import config, data, leakage, person, pretrained, splits

SAID = ("place", "facts", "without")  # of a set in shards: where, with which tables, without which
PACKAGES = ("tensorflow", "keras", "numpy", "pandas", "Pillow", "Augmentor")


def describe(
    settings: config.RunConfig, index: pd.DataFrame, classes: list[str], precision: str
) -> dict:
    """The content of `config.json` for a run about to start."""
    used, fold = index[index["fold"].notna()], settings.fold
    inner = {"inner": int(index["inner"].sum())} if "inner" in index else {}
    same = identity(settings, used)
    return {
        **same,
        "classes": classes,
        "precision_used": precision,
        "data": {
            "name": index.attrs.get("name", ""),
            "training": len(splits.training(index, fold)),
            **inner,
            "held_out": len(splits.held_out(index, fold)),
            "held_out_with_sibling_in_training": len(leakage.siblings(index, fold)),
            **{name: said for name in SAID if (said := index.attrs.get(name))},
            **same["data"],
        },
        "versions": versions(),
        "commit": _commit(),
    }


def identity(settings: config.RunConfig, index: pd.DataFrame) -> dict:
    """What decides a run's result, as `differences` compares it: settings, classes, fingerprints
    of an index, with or without folds, and of a file of weights."""
    weights = pretrained.digest(settings.weights)
    return {
        "config": settings.asdict(),
        "classes": data.classes(index),
        "data": {
            "rows_sha256": splits.fingerprint(index),
            "pixels_sha256": data.fingerprint(index, ["file", "sha256"]),
            **({"weights_sha256": weights} if weights else {}),
            **({"people_sha256": _people(index)} if settings.metadata else {}),
        },
    }


def differences(saved: dict, wanted: dict) -> list[str]:
    """In words, where a saved run's settings or data differ from those wanted; empty if nowhere.

    Versions, commit and the precision that was chosen are recorded, not compared. A setting that a
    saved run does not name is newer than the run, which went by its default.
    """
    before = {field.name: field.default for field in dataclasses.fields(config.RunConfig)}
    before |= saved.get("config", {})
    pairs = [
        (name, before.get(name), value)
        for name, value in wanted["config"].items()
        if name != "preset"  # a label: two names for the same settings are the same run
    ]
    pairs.append(("classes", saved.get("classes"), wanted["classes"]))
    found = [f"{name}: {old!r} → {new!r}" for name, old, new in pairs if old != new]
    old, new = saved.get("data", {}), wanted["data"]
    labels = {"rows_sha256": "the split (files, labels, folds)", "pixels_sha256": "photographs"}
    if "people_sha256" in new:
        labels["people_sha256"] = "what is known of the persons"
    if "weights_sha256" in old and "weights_sha256" in new:  # a finished run needs its file no more
        labels["weights_sha256"] = "the file of weights"
    return found + [f"{label} changed" for key, label in labels.items() if old.get(key) != new[key]]


def versions() -> dict:
    """Versions of the packages a result depends on, those that are installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


# --- underneath ----------------------------------------------------------------------------------


def _people(index: pd.DataFrame) -> str:
    return data.fingerprint(person.of(index).assign(file=index["file"]), ["file", *person.COLUMNS])


def _commit() -> str:
    command = ["git", "-C", str(config.project_root()), "rev-parse", "HEAD"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip()
