"""The table of predictions: what is written is read back, and bad files are named by line."""

import numpy as np
import pandas as pd
import pytest
from tables import NAMES, make

from skincnn import predictions


def test_what_is_written_is_read_back(tmp_path):
    table = make(300, group=["", *["a, b"] * 299], fold=[pd.NA, *range(299)])
    path = tmp_path / "new" / "predictions.csv"
    predictions.write(table, path)
    pd.testing.assert_frame_equal(predictions.read(path), table, check_exact=True)
    first = path.read_text().splitlines()[1].split(",")
    assert all(len(value) == len("0.123456") for value in first[-9:])
    sums = table.filter(like="p_").sum(axis=1)
    np.testing.assert_allclose(sums, 1, atol=1e-5)
    assert [p.name for p in path.parent.iterdir()] == ["predictions.csv"]


def test_a_table_made_by_hand_is_written_summing_to_one(tmp_path):
    table = make(30)
    table[[c for c in table if c.startswith("p_")]] *= 1.0009
    predictions.write(table, tmp_path / "p.csv")
    sums = predictions.read(tmp_path / "p.csv").filter(like="p_").sum(axis=1)
    np.testing.assert_allclose(sums, 1, atol=1e-5)


def test_a_refused_table_leaves_the_old_file(tmp_path):
    path = tmp_path / "predictions.csv"
    predictions.write(make(3), path)
    before = path.read_bytes()
    with pytest.raises(predictions.PredictionsError, match=r"line 5.*twice"):
        predictions.write(pd.concat([make(3), make(1)]), path)
    assert path.read_bytes() == before


def test_class_names_get_their_spaces_back():
    assert predictions.classes(make(5).iloc[:0]) == NAMES
    own = ["tinea_pedis", "wart", "lichen planus"]
    table = make(1, names=own)
    table["label"] = "tinea_pedis"
    assert predictions.classes(table) == own
    assert predictions.classes(table.assign(label="wart"))[0] == "tinea pedis"


def test_columns_keep_the_order_of_the_model():
    order = ["nevus", "melanoma"]
    assert predictions.classes(make(9, names=order)) == order


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.replace("Test/1.jpg", "Test/0.jpg"), "line 3: file 'Test/0.jpg' with seed 7"),
        (lambda t: t.replace("0.500000", "half", 1), "line 2: p_melanoma is 'half', not a number"),
        (lambda t: t.replace("0.500000", "", 1), "line 2: p_melanoma is '', not a number"),
        (lambda t: t.replace("0.500000", "nan", 1), "line 2: p_melanoma is 'nan'"),
        (lambda t: t.replace("0.500000", "inf", 1), "line 2: p_melanoma is inf"),
        (lambda t: t.replace("0.500000", "-0.5", 1), "line 2: p_melanoma is -0.5, not a prob"),
        (lambda t: t.replace("0.500000", "0.6", 1), "line 2: probabilities sum to 1.1, not to 1"),
        (lambda t: t.replace(",wart,", ",tinea,"), "line 4: label 'tinea' is not among"),
        (lambda t: t.replace(",7,", ",7.5,", 1), "line 2: seed is '7.5', not a whole number"),
        (lambda t: t.replace(",7,", ",inf,", 1), "line 2: seed is 'inf', not a whole number"),
        (lambda t: t.replace(",,7,", ",x,7,", 1), "line 2: fold is 'x', not a whole number"),
        (lambda t: t.replace(",7,", ",", 1), "line 2: 8 values for 9 columns"),
        (lambda t: t.replace("Test/2", "\nTest/2").replace(",wart,", ",x,"), "line 5: label"),
        (lambda t: t.replace("group", "lesion"), "line 1: no column group"),
        (lambda t: t.replace("p_", "q_"), "line 1: no column p_<class>"),
        (lambda t: t.replace("p_wart", "p_melanoma"), "line 1: column p_melanoma stands there"),
        (lambda t: t.splitlines()[0], "no predictions"),
        (lambda t: "", "line 1: no column file"),
        (lambda t: t.replace("wart", "\udcff"), "not a CSV file in UTF-8"),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path, change, message):
    rows = pd.DataFrame(
        {"file": [f"Test/{i}.jpg" for i in range(3)], "label": ["melanoma", "melanoma", "wart"]}
    )
    path = tmp_path / "predictions.csv"
    predictions.write(predictions.frame(rows, np.full((3, 2), 0.5), ["melanoma", "wart"], 7), path)
    predictions.read(path)
    path.write_bytes(change(path.read_text()).encode("utf-8", "surrogateescape"))
    with pytest.raises(predictions.PredictionsError) as error:
        predictions.read(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_a_prediction_of_no_photograph_is_refused(tmp_path):
    with pytest.raises(predictions.PredictionsError, match=r"line 4: file is empty"):
        predictions.write(make(5, file=["a", "b", "", "c", "d"]), tmp_path / "p.csv")


def test_a_missing_file_is_one_clear_line(tmp_path):
    with pytest.raises(predictions.PredictionsError, match=r"no\.csv: cannot be read"):
        predictions.read(tmp_path / "no.csv")


def test_frame_refuses_what_does_not_fit():
    rows = pd.DataFrame({"file": ["a.jpg"], "label": ["nevus"]})
    with pytest.raises(ValueError, match=r"shape \(1, 3\): expected \(1, 2\)"):
        predictions.frame(rows, np.ones((1, 3)), ["melanoma", "nevus"], 0)
    with pytest.raises(predictions.PredictionsError, match="sum to 2"):
        predictions.frame(rows, np.ones((1, 2)), ["melanoma", "nevus"], 0)
    with pytest.raises(ValueError, match="share a probability column"):
        predictions.frame(rows, np.full((1, 2), 0.5), ["a b", "a_b"], 0)
