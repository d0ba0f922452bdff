"""Labels from a table: HAM10000's way, the challenges' way, and tables that say nothing."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from skincnn import data, labelled, official

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


def test_photographs_in_parts_are_not_two_classes(photographs):
    """As Kaggle unpacks HAM10000: a folder each, and the table beside them."""
    for number, name in enumerate(IDS):
        part = photographs / f"images_part_{1 + number % 2}"
        part.mkdir(exist_ok=True)
        (photographs / "images" / f"{name}.jpg").rename(part / f"{name}.jpg")
    rows = [f"{name},{dx}" for name, dx in zip(IDS, ["nv", "mel"] * 3, strict=True)]
    put(photographs, "image_id,dx", *rows)
    index = data.load(photographs, progress=False)
    assert sorted(index["label"]) == ["melanoma"] * 3 + ["nevus"] * 3
    assert index.attrs["labels_from"] == "labels.csv"


def test_a_path_in_the_table_is_that_path(tmp_path, home, draw):
    draw(tmp_path / "set", {"a": 2, "b": 2})
    for folder in "ab":
        for number, path in enumerate(sorted((tmp_path / "set" / folder).iterdir())):
            path.rename(path.with_name(f"{number}.jpg"))
    put(tmp_path / "set", "file,label", "a/0.jpg,mole", "b/0.jpg,wart", "b/1.jpg,mole")
    index = data.load(tmp_path / "set", progress=False)
    named = dict(zip(index["file"], index["label"], strict=True))
    assert named == {"a/0.jpg": "mole", "b/0.jpg": "wart", "b/1.jpg": "mole"}
    assert dict(index.attrs["ignored"])["a/1.jpg"] == "not in labels.csv"


def test_what_the_archives_own_tool_writes(photographs):
    rows = [f"{name},nevus,L{i}" for i, name in enumerate(IDS)]
    put(photographs, "isic_id,diagnosis,lesion_id", *rows, name="metadata.csv")
    index = data.load(photographs, progress=False)
    assert set(index["label"]) == {"nevus"} and list(index["lesion_id"])[:2] == ["L0", "L1"]


def test_a_table_has_no_referee_but_itself(photographs, monkeypatch):
    rows = [f"{name},akiec" for name in IDS]
    put(photographs, "image_id,dx", *rows)
    other = pd.DataFrame({"official_label": ["squamous cell carcinoma"] * 6}, index=IDS)
    monkeypatch.setattr(official, "facts", lambda: other)
    index = data.load(photographs, progress=False)
    assert set(official.diagnoses(index)) == {""}
    index.attrs.pop("labels_from")
    assert set(official.diagnoses(index)) == {"squamous cell carcinoma"}


def test_answers_beside_the_photographs_are_no_labels(photographs):
    put(photographs, "file,image_id,label,p_mole", f"images/{IDS[0]}.jpg,{IDS[0]},,1.0")
    assert labelled.table_in(photographs) is None


def test_a_page_of_text_is_no_table(tmp_path):
    (tmp_path / "notes.csv").write_bytes(b"\xff\xfe\x00 not a table")
    assert labelled.table_in(tmp_path) is None


def test_ham10000_itself(ham):
    index, _ = labelled.read(ham / "HAM10000_metadata.csv")
    assert len(index) == 10015 and index["lesion_id"].nunique() == 7470
    assert index["label"].nunique() == 7
    assert index["label"].value_counts()["melanoma"] == 1113
