"""From a folder to the index: what becomes data, what is set aside, and what is remembered."""

import shutil

import odd_files
import pandas as pd
import pytest

from skincnn import config, data, images, sample
from skincnn.labels import ISIC9

USABLE, UNUSABLE = odd_files.usable(), odd_files.unusable()
JPEG = USABLE["plain.jpg"][0]
# Pillow says about two of the odd files what their reasons say, and pytest undoes our own filter.
pytestmark = pytest.mark.filterwarnings("ignore:Corrupt EXIF", "ignore:Image size")


def load(*args, **options):
    return data.load(*args, progress=False, **options)


def reasons(index):
    table = data.set_aside(index)
    assert table["file"].is_unique
    return dict(zip(table["file"], table["reason"], strict=True))


# --- odd files ------------------------------------------------------------------------------


def test_every_unusable_file_is_named_and_every_usable_one_is_there(put):
    files = {f"good/{name}": content for name, (content, _) in USABLE.items()}
    files |= {f"odd/{name}": content for name, (content, _) in UNUSABLE.items()}
    index = load(put({**files, "odd/sound.jpg": JPEG}))
    assert list(index.columns) == data.COLUMNS
    assert list(index["file"]) == sorted([*files, "odd/sound.jpg"])
    told = reasons(index)
    assert set(told) == {f"odd/{name}" for name in UNUSABLE}
    for name, (_, reason) in UNUSABLE.items():
        assert pd.Series([told[f"odd/{name}"]]).str.contains(reason).all(), name
    rows = data.usable(index)
    assert set(rows["file"]) == {f"good/{name}" for name in USABLE} | {"odd/sound.jpg"}
    assert (rows["width"] == 64).all() and (rows["height"] == 48).all()
    for path in data.paths(rows):
        expected = USABLE.get(path.name, USABLE["plain.jpg"])[1]
        odd_files.same_colours(images.decode(path), expected)


def test_strict_names_the_first_unusable_file(put):
    root = put({"a/1.jpg": JPEG, "b/1.jpg": JPEG, "b/2.jpg": b"", "b/3.jpg": b"text"})
    with pytest.raises(data.DataError, match=r"2\.jpg: empty file \(0 bytes\) \(2 unusable"):
        load(root, strict=True)
    (root / "b/2.jpg").unlink()
    (root / "b/3.jpg").unlink()
    assert len(load(root, strict=True)) == 2


def test_a_class_with_nothing_usable_is_no_class_and_is_told(put):
    index = load(put({"a/1.jpg": JPEG, "b/1.jpg": JPEG, "c/1.jpg": b"", "c/2.png": b"x" * 99}))
    assert data.classes(index) == ["a", "b"]
    assert reasons(index) == {
        "c": "class with no usable photograph",
        "c/1.jpg": "empty file (0 bytes)",
        "c/2.png": "not a picture: begins with b'xxxxxxxxxxxx'",
    }
    assert list(data.counts(index).index) == ["a", "b", "all"]


def test_nothing_usable_at_all_is_an_error_that_says_why(put):
    with pytest.raises(data.DataError, match=r"None of the 2 files .* a/1\.jpg: empty file"):
        load(put({"a/1.jpg": b"", "b/1.jpg": b""}))


def test_an_empty_and_a_missing_root_say_what_to_do(put, tmp_path):
    with pytest.raises(data.DataError, match=r"No class folders with photographs in .*set"):
        load(put({}))
    with pytest.raises(data.DataError, match=r"nowhere.* is no folder and no set \(isic9, sample"):
        load(tmp_path / "nowhere")
    file = tmp_path / "file.jpg"
    file.write_bytes(JPEG)
    with pytest.raises(data.DataError, match="is no folder"):
        load(file)


# --- the archive as it unpacks --------------------------------------------------------------


def test_the_kaggle_archive_as_it_unpacks(put):
    top = "Skin cancer ISIC The International Skin Imaging Collaboration"
    tree = {f"Train/{name}/ISIC_{i:07d}.jpg": JPEG for i, name in enumerate(ISIC9)}
    tree |= {f"Test/{name}/ISIC_{i + 50:07d}.JPG": JPEG for i, name in enumerate(ISIC9)}
    root = put(
        {f"{place}/{name}": content for place in (top, "copy") for name, content in tree.items()}
        | {f"__MACOSX/{top}/{name}": JPEG for name in tree}
        | {f"{top}/{extra}": JPEG for extra in ("output/nevus/1.jpg", "Train/output/1.jpg")}
        | {f"{top}/Train/nevus/output/1.jpg": JPEG, f"{top}/Train/.DS_Store": b"x"}
        | {f"{top}/Train/melanoma/._ISIC_0000003.jpg": UNUSABLE["._plain.jpg"][0]}
        | {".DS_Store": b"x"}
    )
    shutil.move(root / "copy", root / "zweite Kopie")
    index = load(root)
    rows = data.usable(index)
    assert index.attrs["root"] == str(root / top)
    assert set(rows["file"]) == set(tree)
    assert data.classes(index) == list(ISIC9)
    assert rows["split"].value_counts().to_dict() == {"train": 9, "test": 9}
    assert reasons(index) == {
        ".DS_Store": "outside the set",
        "__MACOSX/": "outside the set",
        "zweite Kopie/": "another copy of the tree",
        "output/": "outside Train and Test",
        "Train/.DS_Store": "outside a class folder",
        "Train/output/": "stray folder: not one of the nine classes",
        "Train/nevus/output/": "folder inside a class",
        "Train/melanoma/._ISIC_0000003.jpg": "macOS AppleDouble file, not a photograph",
    }


def test_any_folder_of_class_folders_is_all_training(put):
    index = load(put({"cat/1.jpg": JPEG, "dog/1.png": JPEG}))
    assert list(index["file"]) == ["cat/1.jpg", "dog/1.png"]
    assert set(index["split"]) == {"train"} and data.classes(index) == ["cat", "dog"]
    assert index.attrs["name"] == "set"
    assert data.counts(index).loc["all", "all"] == 2


# --- which set ------------------------------------------------------------------------------


@pytest.fixture
def little_sample(monkeypatch, draw):
    """The sample set without the time it takes."""
    monkeypatch.setattr(
        sample, "make", lambda folder, **_: draw(folder, {"Train/a": 1, "Train/b": 1})
    )


def test_unset_means_the_sample_set(home, little_sample):
    index = load()
    assert index.attrs["name"] == "sample"
    assert index.attrs["root"] == str(home / "data" / "sample")


def test_downloaded_data_come_before_the_sample_set(home, draw):
    draw(home / "data/raw/isic9", {f"top/Train/{name}": 1 for name in ISIC9})
    assert data.find() == ("isic9", (home / "data/raw/isic9").resolve())
    assert load().attrs["root"] == str(home / "data/raw/isic9/top")
    assert data.find("sample")[0] == "sample"


@pytest.mark.parametrize("holds", ["one set", "several"])
def test_the_variable_names_one_set_or_a_folder_of_several(
    home, draw, monkeypatch, tmp_path, holds
):
    folder = tmp_path / "sets"
    draw(folder / "isic9", {f"Train/{name}": 1 for name in ISIC9})
    draw(folder / "another", {"Train/a": 1})
    variable = folder / "isic9" if holds == "one set" else folder
    monkeypatch.setenv(config.DATA_VARIABLE, str(variable))
    for name in (None, "isic9"):
        assert data.find(name) == ("isic9", (folder / "isic9").resolve())
    assert len(load()) == 9


def test_the_variable_may_name_any_set(home, draw, monkeypatch, tmp_path):
    draw(tmp_path / "moles", {"a": 1, "b": 1})
    draw(home / "data/raw/isic9", {f"Train/{name}": 1 for name in ISIC9})
    monkeypatch.setenv(config.DATA_VARIABLE, str(tmp_path / "moles"))
    assert load().attrs["name"] == "moles"


def test_a_variable_that_points_nowhere_is_an_error_and_not_another_set(
    home, draw, monkeypatch, tmp_path
):
    draw(home / "data/raw/isic9", {"Train/a": 1})
    monkeypatch.setenv(config.DATA_VARIABLE, str(tmp_path / "typo"))
    for name in (None, "isic9", "sample", tmp_path):
        with pytest.raises(data.DataError, match=r"SKINCNN_DATA=.*typo: no such folder"):
            load(name)
    (tmp_path / "typo").mkdir()
    with pytest.raises(data.DataError, match=r"No class folders with photographs in .*typo"):
        load()


def test_an_empty_variable_is_an_unset_one(home, monkeypatch, little_sample):
    monkeypatch.setenv(config.DATA_VARIABLE, "")
    assert load().attrs["name"] == "sample"


# --- what is known of a photograph ----------------------------------------------------------


def test_metadata_are_joined_by_image_id(put):
    table = "image_id,age,lesion_id,source\nISIC_0000001,40,L1,here\nISIC_0000009,50,L9,there\n"
    files = {"a/ISIC_0000001.jpg": JPEG, "b/ISIC_0000001.jpg": JPEG, "b/photo.jpg": JPEG}
    index = load(put({**files, "metadata.csv": table.encode()}))
    assert list(index["image_id"]) == ["ISIC_0000001", "ISIC_0000001", ""]
    assert list(index["lesion_id"]) == ["L1", "L1", ""]
    assert list(index["source"]) == ["here", "here", ""]
    assert list(index["patient_id"]) == ["", "", ""]
    assert list(index.columns) == data.COLUMNS


def test_metadata_with_two_rows_for_an_image_are_refused(put):
    table = b"image_id,lesion_id\nISIC_0000001,L1\nISIC_0000001,L2\n"
    with pytest.raises(data.DataError, match=r"metadata\.csv: needs a column image_id without"):
        load(put({"a/ISIC_0000001.jpg": JPEG, "metadata.csv": table}))


@pytest.mark.parametrize("table", [b"", b"\xff\xfe\0", b'image_id\n"ISIC'])
def test_metadata_that_cannot_be_read_name_the_file(put, table):
    with pytest.raises(data.DataError, match=r"metadata\.csv"):
        load(put({"a/ISIC_0000001.jpg": JPEG, "metadata.csv": table}))


def test_paths_need_the_root_and_know_where_copies_are(put, tmp_path):
    index = load(put({"a/1.jpg": JPEG, "b/1.jpg": JPEG}))
    copy = index.iloc[[0]].assign(file="augmented/a/1__0001.jpg", augmented_from="a/1.jpg")
    both = pd.concat([index, copy], ignore_index=True)
    both.attrs = {**index.attrs, "augmented_root": str(tmp_path / "copies")}
    assert data.paths(both)[1:] == [
        tmp_path / "set/b/1.jpg",
        tmp_path / "copies/a/1__0001.jpg",
    ]
    both.attrs = {}
    with pytest.raises(data.DataError, match="attrs"):
        data.paths(both)


def test_a_fingerprint_knows_rows_and_not_their_order(put):
    index = load(put({"a/1.jpg": JPEG, "b/1.jpg": JPEG, "b/2.jpg": JPEG}))
    print_ = data.fingerprint(index, ["file", "label"])
    assert data.fingerprint(index[::-1], ["file", "label"]) == print_
    assert data.fingerprint(index[1:], ["file", "label"]) != print_
    assert data.fingerprint(index.assign(label="c"), ["file", "label"]) != print_


# --- the real set ---------------------------------------------------------------------------


def test_nine_diagnoses_become_two_classes(put):
    index = load(put({f"{name}/1.jpg": JPEG for name in ISIC9}))
    two = data.against_rest(index, "malignant")
    assert data.classes(two) == ["benign", "malignant"]
    of = dict(zip(index["label"], two["label"], strict=True))
    assert {name for name, label in of.items() if label == "malignant"} == {
        "actinic keratosis",
        "basal cell carcinoma",
        "melanoma",
        "squamous cell carcinoma",
    }
    coded = index.assign(label=index["label"].map(ISIC9))
    assert data.against_rest(coded, "malignant")["label"].equals(two["label"])
    assert two["label"].equals(data.against_rest(two, "malignant")["label"])
    blank = index.assign(label=index["label"].where(index["label"] != "nevus", ""))
    assert (data.against_rest(blank, "malignant")["label"] == "").sum() == 1, "a record without one"


def test_folders_benign_and_malignant_stay_as_they_are(put):
    files = {f"{part}/{name}/{part}.jpg": JPEG for part in ("train", "test")
             for name in ("benign", "malignant")}  # fmt: skip
    index = load(put(files))
    assert list(index["label"]) == ["benign", "malignant"] * 2
    assert set(index["split"]) == {"train", "test"}
    assert data.against_rest(index, "malignant")["label"].equals(index["label"])


def test_what_is_neither_known_as_benign_nor_as_malignant_is_refused(put):
    index = load(put({"nevus/1.jpg": JPEG, "wart/1.jpg": JPEG}))
    with pytest.raises(data.DataError, match="whether wart is malignant is not known"):
        data.against_rest(index, "malignant")
    with pytest.raises(data.DataError, match="none of the classes: benign"):
        data.against_rest(index[index["label"] == "nevus"], "malignant")


def test_the_real_set_has_the_published_counts(real_index):
    table = data.counts(real_index)
    assert table.loc["all"].to_dict() == {"train": 2239, "test": 118, "all": 2357}
    assert data.classes(real_index) == list(ISIC9)
    assert table.loc["pigmented benign keratosis"].to_dict() == {
        "train": 462,
        "test": 16,
        "all": 478,
    }
    assert not len(data.set_aside(real_index))


def test_one_photograph_of_the_real_set_stands_under_two_names_in_one_group(real_index):
    repeated = real_index[real_index["image_id"].duplicated(keep=False)]
    assert len(repeated)
    assert (repeated.groupby("image_id")["group"].nunique() == 1).all()
