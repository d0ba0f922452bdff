"""Which subgroup a prediction belongs to."""

import numpy as np
import pandas as pd
import pytest
from tables import make

from skincnn import subgroups


def joined(column, values, key="file"):
    table = make(len(values))
    return subgroups.of(table, pd.DataFrame({key: table[key], column: values}), column)


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("sex", ["male", "female", "", "male "], ["female", "male", "unknown"]),
        ("sex", ["NaN", None, "Unknown", "-1"], ["unknown"]),
        ("age_approx", [5, 85, 40, np.nan, 49.5], ["0–9", "40–49", "80–89", "unknown"]),
        ("age", ["-1", "30", "", "n/a"], ["30–39", "unknown"]),
        ("fold", [10, 9, 9, 0], ["0", "9", "10"]),
        ("stage", ["20", "T1"], ["20", "T1"]),
    ],
)
def test_values_become_subgroups_in_order(column, values, expected):
    got = joined(column, values)
    assert list(got.remove_unused_categories().categories) == expected


def test_each_row_gets_its_own_fact():
    values = ["a", "b", "", "a"]
    assert list(joined("site", values)) == ["a", "b", "unknown", "a"]
    assert list(joined("site", values, key="image_id")) == ["a", "b", "unknown", "a"]


def test_an_index_of_another_copy_joins_by_id():
    table = make(3)
    facts = table[["image_id"]].assign(file=["x", "y", "z"], site=["a", "b", "c"])
    assert list(subgroups.of(table, pd.concat([facts, facts]), "site")) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("change", "column", "message"),
    [
        (lambda f: f, "colour", "no column 'colour' among the facts: file, image_id, site"),
        (lambda f: f[["site"]], "site", "neither file nor image_id: site"),
        (lambda f: f[:2], "site", "prediction 3: file 'Test/2.jpg' is not among the facts (58"),
        (
            lambda f: pd.concat([f, f.assign(site="other")]),
            "site",
            "file 'Test/0.jpg' has more than one site",
        ),
        (lambda f: f.assign(age="old"), "age", "age is 'old': not an age in years"),
        (lambda f: f, "image_id", "image_id has 60 different values: not a subgroup"),
    ],
)
def test_facts_that_do_not_fit_are_refused(change, column, message):
    table = make(60)
    facts = change(table[["file", "image_id"]].assign(site="back"))
    with pytest.raises(ValueError) as error:
        subgroups.of(table, facts, column)
    assert message in str(error.value)


def test_a_csv_is_read_as_text(tmp_path):
    path = tmp_path / "index.csv"
    path.write_text("file,patient_id,sex\na.jpg,007,\n")
    assert subgroups.read(path).loc[0].tolist() == ["a.jpg", "007", ""]
    with pytest.raises(ValueError, match=r"no\.csv: cannot be read"):
        subgroups.read(tmp_path / "no.csv")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="not a CSV file"):
        subgroups.read(path)
