"""What a reader sees of each figure: the texts, bar lengths and curves are those of the table."""

import itertools

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from skincnn import plots


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def index(tmp_path):
    """Three classes: 4 + 1, 2 + 1 and 1 photographs, one file set aside, two copies."""
    rows = []
    for label, split, n in [
        ("melanoma", "train", 4),
        ("melanoma", "test", 1),
        ("nevus", "train", 2),
        ("nevus", "test", 1),
        ("vascular lesion", "train", 1),
    ]:
        for i in range(n):
            file = f"{split}/{label}/{i}.jpg"
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (20, 24), (40 * i, 100, 50 * len(rows) % 256)).save(tmp_path / file)
            rows.append({"file": file, "label": label, "split": split})
    rows.append({"file": "train/nevus/x.jpg", "label": "nevus", "split": "train", "problem": "bad"})
    copy = {"label": "vascular lesion", "split": "train", "augmented_from": rows[8]["file"]}
    rows += [{"file": f"augmented/{i}.jpg", **copy} for i in range(2)]
    table = pd.DataFrame(rows).fillna("")
    table.attrs["root"] = str(tmp_path)
    return table


def texts(ax):
    return [text.get_text() for text in ax.texts]


def legend(artist):
    return [text.get_text() for text in artist.get_texts()]


# --- photographs ---------------------------------------------------------------------------------


def test_gallery_shows_one_of_each_class_with_its_size(index):
    axes = plots.gallery(index)
    assert [ax.get_title() for ax in axes] == [
        "melanoma\n5 photographs",
        "nevus\n3 photographs",
        "vascular\nlesion\n1 photographs",
    ]
    assert all(len(ax.images) == 1 for ax in axes)


def test_gallery_gives_each_class_a_row(index):
    axes = plots.gallery(index, per_class=2)
    assert [len(ax.images) for ax in axes] == [1, 1, 1, 1, 1, 0]
    assert [texts(ax)[0].split("\n")[0] for ax in axes[::2]] == ["melanoma", "nevus", "vascular"]


def test_photographs_shows_floats_as_the_bytes_they_stand_for():
    picture = np.full((4, 5, 3), 127.6, dtype=np.float32)
    picture[0, 0] = [-3, 300, 0]
    axes = plots.photographs([picture], ["one"])
    shown = axes[0].images[0].get_array()
    assert shown.dtype == np.uint8
    assert shown[0, 0].tolist() == [0, 255, 0]
    assert shown[1, 1].tolist() == [128, 128, 128]


def test_photographs_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="no photographs"):
        plots.photographs([])
    with pytest.raises(ValueError, match="1 titles for 2 photographs"):
        plots.photographs(np.zeros((2, 4, 4, 3)), ["one"])


def test_augmentations_names_the_original():
    axes = plots.augmentations(np.zeros((9, 4, 4, 3)))
    assert [ax.get_title() for ax in axes[:2]] == ["original", "version 1"]
    assert len(axes) == 9


# --- the set -------------------------------------------------------------------------------------


def test_bars_add_up_to_the_usable_photographs(index):
    ax = plots.class_counts(index)
    usable = index[index["problem"] == ""]
    assert sum(bar.get_width() for bar in ax.patches) == len(usable)
    assert [label.get_text() for label in ax.get_yticklabels()] == list(usable["label"].unique())
    assert texts(ax) == ["4", "2", "1 + 2", "1", "1", "0"]
    assert legend(ax.get_legend()) == ["Train", "Train: Augmentor copies", "Test"]


def test_one_split_needs_no_legend(index):
    ax = plots.class_counts(index[(index["split"] == "train") & (index["augmented_from"] == "")])
    assert texts(ax) == ["4", "2", "1"]
    assert ax.get_legend() is None


# --- every figure --------------------------------------------------------------------------------


def test_bars_are_drawn_where_they_are_told(index):
    figure, ax = plt.subplots()
    assert plots.class_counts(index, ax=ax) is ax
    assert plt.get_fignums() == [figure.number]
    figure.draw_without_rendering()


def test_titles_stay_over_their_own_photographs():
    pictures = [np.zeros((60, 80, 3), np.uint8)] * 5
    axes = plots.photographs(pictures, ["pigmented benign keratosis"] * 4 + ["two\nlines"])
    axes[0].figure.draw_without_rendering()
    boxes = [ax.title.get_window_extent() for ax in axes]
    assert all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes))
    assert axes[4].get_title() == "two\nlines"


@pytest.mark.parametrize("top", [0.06, 0.2, 0.65, 1])
def test_per_cents_say_what_they_stand_at(top):
    ax = plots.new_axes(6, 3)
    ax.plot([0.48, 0.65], [0, top])
    plots.percent(ax.xaxis, ax.yaxis)
    ax.figure.draw_without_rendering()
    for axis in (ax.xaxis, ax.yaxis):
        said = [
            float(text.get_text().removesuffix(" %").replace("−", "-"))
            for text in axis.get_ticklabels()
        ]
        np.testing.assert_allclose(np.array(said) / 100, axis.get_ticklocs(), atol=1e-9)
