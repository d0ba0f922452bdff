"""Labels from a table: HAM10000's way, the challenges' way, and tables that say nothing."""

import numpy as np
import pytest
from PIL import Image

from skincnn import data, labelled

IDS = [f"ISIC_{i:07d}" for i in range(6)]


@pytest.fixture
def photographs(tmp_path, home):
    """Six in one folder, as the archive hands them out."""
    root = tmp_path / "set"
    (root / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in IDS:
        pixels = rng.integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(pixels).save(root / "images" / f"{name}.jpg")
    return root


def put(root, *lines, name="labels.csv"):
    (root / name).write_text("\n".join(lines) + "\n")
    return root / name


def test_ham10000s_table_gives_our_names_and_its_lesions(photographs):
    codes = ["nv", "mel", "akiec", "bkl", "bcc", "vasc"]
    rows = [f"L{i // 2},{name},{dx}" for i, (name, dx) in enumerate(zip(IDS, codes, strict=True))]
    put(photographs, "lesion_id,image_id,dx", *rows)
    index = data.load(photographs, progress=False)
    assert list(index["label"]) == [
        "nevus",
        "melanoma",
        "actinic keratosis",
        "pigmented benign keratosis",
        "basal cell carcinoma",
        "vascular lesion",
    ]
    assert list(index["file"]) == [f"images/{name}.jpg" for name in IDS]
    assert index["group"].nunique() == 3 and list(index["lesion_id"])[:3] == ["L0", "L0", "L1"]
    assert index.attrs["name"] == "set"


def test_the_challenges_columns_of_0_and_1(photographs):
    rows = [f"{name},{i % 2}.0,{(i + 1) % 2}.0,0.0" for i, name in enumerate(IDS)]
    path = put(photographs, "image,MEL,NV,DF", *rows)
    index = data.load(path, progress=False)
    assert list(index["label"]) == ["nevus", "melanoma"] * 3


def test_what_the_table_does_not_name_and_what_is_not_there_are_told(photographs):
    rows = [f"{name}.jpg,mole" for name in IDS[:3]] + [f"{IDS[3]},", "ISIC_0009999,mole"]
    put(photographs, "image_name,label", *rows)
    index = data.load(photographs, progress=False)
    assert list(index["label"]) == ["mole"] * 3
    told = dict(index.attrs["ignored"])
    assert told[f"images/{IDS[5]}.jpg"] == "not in labels.csv"
    assert told["ISIC_0009999"] == "in labels.csv, but not in the folder"
    assert told[f"images/{IDS[3]}.jpg"] == "no label in the table"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["image_id,age", f"{IDS[0]},3"], "needs a column of photographs"),
        (["image_id,label", f"{IDS[0]},a", f"{IDS[0]},b"], "stands there under two labels"),
        (["image_id,label", "ISIC_0001234,a"], "none of the 1 photographs"),
        ([""], "labels.csv"),
    ],
)
def test_a_table_that_is_none_is_named(photographs, lines, said):
    path = put(photographs, *lines)
    with pytest.raises(data.DataError, match=said):
        data.load(path, progress=False)


def test_class_folders_come_before_a_table(tmp_path, home, draw):
    root = draw(tmp_path / "set", {"red": 2, "blue": 2})
    put(root, "image_id,label", "ISIC_0000001,green", name="metadata.csv")
    assert set(data.load(root, progress=False)["label"]) == {"red", "blue"}


def test_a_page_of_text_is_no_table(tmp_path):
    (tmp_path / "notes.csv").write_bytes(b"\xff\xfe\x00 not a table")
    assert labelled.table_in(tmp_path) is None


def test_ham10000_itself(ham):
    index, _ = labelled.read(ham / "HAM10000_metadata.csv")
    assert len(index) == 10015 and index["lesion_id"].nunique() == 7470
    assert index["label"].value_counts()["melanoma"] == 1113
