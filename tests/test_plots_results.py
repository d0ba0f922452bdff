"""What a reader sees of each figure: the texts, dots and curves are those of the table."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from skincnn import labels, plots_results, predictions

NAMES = list(labels.ISIC9)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


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


# --- training ------------------------------------------------------------------------------------


def test_curves_are_the_history():
    runs = {"plain": history(), "dropout": history(8, 0.1)}
    ax = plots_results.learning_curves(runs)
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
    ax = plots_results.learning_curves(history()[["epoch", "loss"]], "loss")
    assert len(ax.lines) == 1


def test_pair_is_loss_and_accuracy_under_one_legend():
    axes = plots_results.learning_curves_pair(history())
    assert [ax.get_ylabel() for ax in axes] == ["loss", "accuracy"]
    np.testing.assert_array_equal(axes[0].lines[1].get_ydata(), history()["val_loss"])
    assert [ax.get_legend() for ax in axes] == [None, None]
    assert len(legend(axes[0].figure.legends[0])) == 3


def test_an_unknown_metric_is_named_with_what_there_is():
    with pytest.raises(ValueError, match=r"no column 'auc': it has epoch, loss"):
        plots_results.learning_curves(history(), "auc")


# --- predictions ---------------------------------------------------------------------------------


def test_cells_hold_counts_and_shares_of_the_true_class(counts):
    ax = plots_results.confusion_matrix(counts)
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
    ax = plots_results.confusion_matrix(table)
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
    dark, light = plt.get_cmap("Blues")(1.0), plt.get_cmap("Blues")(0.0)
    assert plots_results._is_light(light) and not plots_results._is_light(dark)


def test_dots_are_the_report(counts):
    report = pd.DataFrame(
        {"support": [1003, 8], "sensitivity": [0.9, 0.75], "precision": [0.8, np.nan]},
        index=["nevus", "melanoma"],
    )
    ax = plots_results.per_class(report)
    found, right = ax.lines
    np.testing.assert_array_equal(found.get_xdata(), report["sensitivity"])
    np.testing.assert_array_equal(right.get_xdata(), report["precision"])
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["nevus (n = 1,003)", "melanoma (n = 8)"]


# --- every figure --------------------------------------------------------------------------------


def test_every_figure_draws_where_it_is_told(counts):
    report = pd.DataFrame(
        {"support": [3], "sensitivity": [0.5], "precision": [0.5]}, index=["nevus"]
    )
    for draw, table in [
        (plots_results.learning_curves, history()),
        (plots_results.confusion_matrix, counts),
        (plots_results.per_class, report),
    ]:
        figure, ax = plt.subplots()
        assert draw(table, ax=ax) is ax
        assert plt.get_fignums() == [figure.number]
        figure.draw_without_rendering()
        plt.close(figure)
