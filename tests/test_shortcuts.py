"""A classifier that never sees the lesion: it scores what the shortcut is worth, and no more."""

import numpy as np
import pandas as pd
import pytest

from skincnn import shortcuts, sketches


def photographs(n=240, seed=0, telling=()):
    """An index and sketches of noise; columns in `telling` follow the class."""
    rng = np.random.default_rng(seed)
    label = np.array(["melanoma", "nevus", "vascular lesion"])[np.arange(n) % 3]
    facts = pd.DataFrame({name: rng.normal(size=n) for name in sketches.Sketch._fields[1:]})
    for name in telling:
        facts[name] += 3.0 * (np.arange(n) % 3)
    index = pd.DataFrame(
        {
            "file": [f"{i}.jpg" for i in range(n)],
            "label": label,
            "group": [f"g{i}" for i in range(n)],
            "image_id": [f"ISIC_{rng.integers(10**6):07d}" for _ in range(n)],
            "width": 180,
            "height": 180,
        }
    )
    return index, facts


def test_noise_scores_chance_and_a_telling_border_is_named_first():
    table = shortcuts.table(*photographs(telling=["red"]), replicates=100).set_index("sees")
    assert "border colour" in table.index[0]
    assert table.loc["border colour", "low"] > 0.7
    size = table.loc["file size"]
    assert size["low"] < size["chance"] < size["high"]
    assert size["chance"] == pytest.approx(1 / 3)
    assert "width and height" not in table.index, "constant facts tell nothing"


def test_a_photograph_in_two_files_does_not_tell_on_itself():
    index, facts = photographs(n=120)
    twice = pd.concat([index, index.assign(file="again " + index["file"])], ignore_index=True)
    table = shortcuts.table(twice, pd.concat([facts, facts], ignore_index=True), replicates=100)
    assert (table["balanced_accuracy"] < 0.55).all(), "a twin in training is no knowledge"


def test_too_little_to_say_anything():
    index, facts = photographs(n=12)
    assert shortcuts.table(index, facts).empty
    assert shortcuts.table(index.assign(label="nevus"), facts).empty


def test_classes_from_one_collection_are_named():
    index = pd.DataFrame(
        {
            "label": ["nevus", "nevus", "melanoma", "melanoma", "melanoma"],
            "source": ["A", "B", "A", "A", ""],
        }
    )
    assert shortcuts.one_collection(index).to_dict("records") == [
        {"label": "melanoma", "source": "A", "photographs": 2}
    ]
    assert shortcuts.one_collection(index.assign(source="A")).empty
