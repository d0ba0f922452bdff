"""What a reader sees of each figure: the texts, bar lengths and curves are those of the table."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from skincnn import labels, plots, predictions

NAMES = list(labels.ISIC9)


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


@pytest.fixture
def counts():
    return pd.DataFrame(
        [[1000, 3, 0], [2, 6, 0], [0, 0, 0]],
        index=pd.Index(["nevus", "melanoma", "wart"], name="true"),
        columns=pd.Index(["nevus", "melanoma", "wart"], name="predicted"),
    )


def history(n=6, offset=0.0):
    epoch = np.arange(1, n + 1)
    return pd.DataFrame(
        {
            "epoch": epoch,
            "loss": 2 / epoch,
            "accuracy": 1 - 0.7 / epoch,
            "val_loss": 1 + (epoch - 4) ** 2 / 10 + offset,
            "val_accuracy": 0.5 + epoch / 100 + offset,
        }
    )


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


# --- training ------------------------------------------------------------------------------------


def test_curves_are_the_history():
    runs = {"plain": history(), "dropout": history(8, 0.1)}
    ax = plots.learning_curves(runs)
    assert legend(ax.get_legend()) == [
        *runs,
        "training",
        "validation",
        "lowest validation loss",
    ]
    for at, run in enumerate(runs.values()):
        training, validation, ring = ax.lines[3 * at : 3 * at + 3]
        np.testing.assert_array_equal(training.get_xydata(), run[["epoch", "accuracy"]])
        np.testing.assert_array_equal(validation.get_xydata(), run[["epoch", "val_accuracy"]])
        np.testing.assert_array_equal(ring.get_xydata(), run.loc[[3], ["epoch", "val_accuracy"]])
        assert training.get_color() == validation.get_color()
    assert ax.lines[0].get_color() != ax.lines[3].get_color()
    ax.figure.draw_without_rendering()
    assert all(label.get_text().endswith(" %") for label in ax.get_yticklabels())


def test_a_run_without_validation_has_one_curve():
    ax = plots.learning_curves(history()[["epoch", "loss"]], "loss")
    assert len(ax.lines) == 1


def test_pair_is_loss_and_accuracy_under_one_legend():
    axes = plots.learning_curves_pair(history())
    assert [ax.get_ylabel() for ax in axes] == ["loss", "accuracy"]
    np.testing.assert_array_equal(axes[0].lines[1].get_ydata(), history()["val_loss"])
    assert [ax.get_legend() for ax in axes] == [None, None]
    assert len(legend(axes[0].figure.legends[0])) == 3


def test_an_unknown_metric_is_named_with_what_there_is():
    with pytest.raises(ValueError, match=r"no column 'auc': it has epoch, loss"):
        plots.learning_curves(history(), "auc")


# --- predictions ---------------------------------------------------------------------------------


def test_cells_hold_counts_and_shares_of_the_true_class(counts):
    ax = plots.confusion_matrix(counts)
    cells = {text.get_position(): text.get_text() for text in ax.texts}
    assert cells == {
        (0, 0): "1,000\n100 %",
        (1, 0): "3\n<1 %",
        (0, 1): "2\n25 %",
        (1, 1): "6\n75 %",
    }
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["nevus\n(n = 1,003)", "melanoma\n(n = 8)", "wart\n(n = 0)"]
    assert [label.get_text() for label in ax.get_xticklabels()] == list(counts.columns)


def test_confusion_matrix_takes_predictions_and_no_label_leaves_the_figure():
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"file": np.arange(90).astype(str), "label": NAMES * 10})
    table = predictions.frame(rows, rng.dirichlet(np.ones(9), 90), NAMES, seed=0)
    ax = plots.confusion_matrix(table)
    total = sum(int(text.split("\n")[0]) for text in texts(ax))
    assert total == 90
    figure = ax.figure
    figure.draw_without_rendering()
    x, y = figure.bbox.size
    boxes = [t.get_window_extent() for t in [*ax.get_xticklabels(), *ax.get_yticklabels()]]
    assert all(b.x0 >= 0 and b.y0 >= 0 and b.x1 <= x and b.y1 <= y for b in boxes)
    cell = (ax.transData.transform((1, 0)) - ax.transData.transform((0, 0)))[0]
    assert max(text.get_window_extent().width for text in ax.texts) < cell


def test_text_stands_out_from_its_cell(counts):
    dark, light = plots.plt.get_cmap("Blues")(1.0), plots.plt.get_cmap("Blues")(0.0)
    assert plots._is_light(light) and not plots._is_light(dark)


def test_dots_are_the_report(counts):
    report = pd.DataFrame(
        {"support": [1003, 8], "sensitivity": [0.9, 0.75], "precision": [0.8, np.nan]},
        index=["nevus", "melanoma"],
    )
    ax = plots.per_class(report)
    found, right = ax.lines
    np.testing.assert_array_equal(found.get_xdata(), report["sensitivity"])
    np.testing.assert_array_equal(right.get_xdata(), report["precision"])
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["nevus (n = 1,003)", "melanoma (n = 8)"]


# --- every figure --------------------------------------------------------------------------------


def test_every_figure_draws_where_it_is_told(index, counts):
    report = pd.DataFrame(
        {"support": [3], "sensitivity": [0.5], "precision": [0.5]}, index=["nevus"]
    )
    for draw, table in [
        (plots.class_counts, index),
        (plots.learning_curves, history()),
        (plots.confusion_matrix, counts),
        (plots.per_class, report),
    ]:
        figure, ax = plt.subplots()
        assert draw(table, ax=ax) is ax
        assert plt.get_fignums() == [figure.number]
        figure.draw_without_rendering()
        plt.close(figure)
