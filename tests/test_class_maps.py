"""Labels of an outside set read as ours, and several classes counted as one."""

import numpy as np
import pytest
from tables import NAMES, make

from skincnn import class_maps, labels, predictions


def test_a_map_gives_outside_labels_our_names_and_leaves_the_rest_out(tmp_path):
    table = make(6, names=["melanoma", "nevus"])
    path = tmp_path / "p.csv"
    predictions.write(table, path)
    text = path.read_text().splitlines()
    outside = ["mel", "naevus", "naevus", "wart", "mel", "Spitz"]
    for at, name in enumerate(outside):
        cells = text[at + 1].split(",")
        cells[3] = name
        text[at + 1] = ",".join(cells)
    path.write_text("\n".join(text) + "\n")
    with pytest.raises(predictions.PredictionsError, match="'mel'"):
        predictions.read(path)
    (tmp_path / "map.csv").write_text("from,to\nmel,melanoma\nnaevus,nevus\nSpitz,nevus\nwart,\n")
    mapping = class_maps.read(tmp_path / "map.csv")
    assert mapping == {"melanoma": "melanoma", "naevus": "nevus", "Spitz": "nevus", "wart": ""}
    read = predictions.read(path, mapping)
    assert list(read["label"]) == ["melanoma", "nevus", "nevus", "melanoma", "nevus"]
    np.testing.assert_allclose(read["p_nevus"], table["p_nevus"].drop(3), atol=1e-9)
    with pytest.raises(predictions.PredictionsError, match=r"line 3: 'naevus' is not in the map"):
        predictions.read(path, {"melanoma": "melanoma"})
    nothing = dict.fromkeys(mapping, "")
    with pytest.raises(predictions.PredictionsError, match="leaves every row out"):
        predictions.read(path, nothing)


@pytest.mark.parametrize(
    ("text", "said"),
    [("a,b\n1,2\n", "needs columns from and to"), ("from,to\na,b\na,c\n", "line 3: 'a' stands")],
)
def test_a_map_that_cannot_be_read_is_named(tmp_path, text, said):
    (tmp_path / "map.csv").write_text(text)
    with pytest.raises(predictions.PredictionsError, match=said):
        class_maps.read(tmp_path / "map.csv")


def test_nine_classes_become_two_by_adding_up(tmp_path):
    table = make(200)
    two = class_maps.merged(table, labels.as_two(NAMES))
    malignant = table[[labels.column(name) for name in labels.MALIGNANT]].sum(axis=1)
    np.testing.assert_allclose(two["p_malignant"], malignant, atol=2e-6)
    assert (two["label"] == "malignant").equals(table["label"].isin(labels.MALIGNANT))
    predictions.write(two, tmp_path / "two.csv")
    assert predictions.classes(predictions.read(tmp_path / "two.csv")) == list(labels.TWO)
    assert class_maps.merged(two, labels.as_two(labels.TWO)).equals(two)
    with pytest.raises(ValueError, match="says nothing of melanoma"):
        class_maps.merged(table, {n: "x" for n in NAMES if n != "melanoma"})
    with pytest.raises(ValueError, match="every class becomes 'x'"):
        class_maps.merged(table, dict.fromkeys(NAMES, "x"))
    with pytest.raises(ValueError, match=r"whether other, wart is malignant is not known"):
        labels.as_two(["nevus", "wart", "other"])
