"""What in a folder is data, what is not, and that the second is always told."""

import pytest

from skincnn import folders
from skincnn.labels import ISIC9


@pytest.fixture
def plant(tmp_path):
    """`plant("Train/a/1.jpg", ...)` writes files of one byte; listing opens none."""

    def write(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(b"x")
        return tmp_path

    return write


def listed(root):
    found, ignored = folders.list_files(root)
    return sorted(found), dict(ignored)


def test_train_and_test_in_any_spelling(plant):
    root = plant("TRAIN/a/1.jpg", "TRAIN/b/2.JPG", "test/a/3.jpeg")
    found, ignored = listed(root)
    assert found == [
        ("TRAIN/a/1.jpg", "a", "train"),
        ("TRAIN/b/2.JPG", "b", "train"),
        ("test/a/3.jpeg", "a", "test"),
    ]
    assert ignored == {}


def test_class_folders_without_train_and_test_are_all_training(plant):
    found, ignored = listed(plant("a/1.jpg", "b/2.png", "README.txt", "metadata.csv"))
    assert found == [("a/1.jpg", "a", "train"), ("b/2.png", "b", "train")]
    assert ignored == {}, "pages and tables beside the photographs are no photographs lost"


def test_every_extension_a_photograph_can_have(plant):
    endings = ["jpg", "JPEG", "png", "BMP", "gif", "tif", "TIFF", "webp"]
    names = [f"a/{number}.{ending}" for number, ending in enumerate(endings)]
    found, _ = listed(plant(*names))
    assert [file for file, _, _ in found] == names


@pytest.mark.parametrize("top", ["", "one/", "one/two/", "one/two/three/"])
def test_the_set_is_found_some_folders_down(plant, top):
    root = plant(f"{top}Train/a/1.jpg", f"{top}Test/a/2.jpg")
    assert folders.set_root(root) == root / top


def test_a_set_deeper_than_anyone_packs_is_not_searched_for(plant):
    assert folders.set_root(plant("1/2/3/4/Train/a/1.jpg")) is None


@pytest.mark.parametrize("names", [(), ("1.jpg",), ("a/notes.txt",), (".a/1.jpg",)])
def test_no_class_folder_with_photographs_is_no_set(plant, names):
    assert folders.set_root(plant(*names)) is None


def test_train_itself_is_not_taken_for_the_whole_set(plant):
    root = plant("top/Train/a/1.jpg", "top/Test/a/2.jpg")
    assert {split for _, _, split in folders.list_files(folders.set_root(root))[0]} == {
        "train",
        "test",
    }


def test_a_folder_with_train_comes_before_loose_class_folders(plant):
    root = plant("copies/a/1.jpg", "set/Train/a/1.jpg")
    assert folders.set_root(root) == root / "set"


def test_an_empty_class_folder_is_no_class(plant):
    root = plant("Train/a/1.jpg", "Train/b/notes.txt")
    found, ignored = listed(root)
    assert {label for _, label, _ in found} == {"a"}
    assert ignored == {
        "Train/b/": "folder without photographs",
        "Train/b/notes.txt": "not a photograph",
    }


def test_what_lies_about_is_passed_over_and_told(plant):
    root = plant(
        "Train/a/1.jpg",
        "Test/a/2.jpg",
        ".DS_Store",
        "stray.jpg",
        "output/3.jpg",
        ".cache/4.jpg",
        "Train/.DS_Store",
        "Train/stray.png",
        "Train/.thumbnails/5.jpg",
        "Train/__MACOSX/a/6.jpg",
        "Train/a/.DS_Store",
        "Train/a/Thumbs.db",
        "Train/a/output/7.jpg",
    )
    (root / "Train/a/folder.jpg").mkdir()
    found, ignored = listed(root)
    assert [file for file, _, _ in found] == ["Test/a/2.jpg", "Train/a/1.jpg"]
    assert ignored == {
        ".DS_Store": "outside Train and Test",
        ".cache/": "outside Train and Test",
        "output/": "outside Train and Test",
        "stray.jpg": "outside Train and Test",
        "Train/.DS_Store": "outside a class folder",
        "Train/.thumbnails/": "hidden folder",
        "Train/__MACOSX/": "hidden folder",
        "Train/stray.png": "outside a class folder",
        "Train/a/.DS_Store": "not a photograph",
        "Train/a/Thumbs.db": "not a photograph",
        "Train/a/folder.jpg/": "folder inside a class",
        "Train/a/output/": "folder inside a class",
    }


def test_without_splits_what_lies_about_is_told_too(plant):
    found, ignored = listed(plant("a/1.jpg", ".DS_Store", "stray.jpg", "__MACOSX/a/._1.jpg"))
    assert [file for file, _, _ in found] == ["a/1.jpg"]
    assert set(ignored) == {".DS_Store", "stray.jpg", "__MACOSX/"}


def test_beside_the_nine_classes_no_other_folder_is_a_class(plant):
    root = plant(*(f"Train/{name}/1.jpg" for name in ISIC9), "Train/output/2.jpg")
    found, ignored = listed(root)
    assert {label for _, label, _ in found} == set(ISIC9)
    assert ignored == {"Train/output/": "stray folder: not one of the nine classes"}


def test_a_second_copy_of_the_tree_is_told_as_such(plant):
    root = plant("x/Train/a/1.jpg", "y/Train/a/1.jpg", "__MACOSX/x/Train/a/._1.jpg", "z/1.txt")
    assert folders.set_root(root) == root / "x"
    assert dict(folders.beside(root, root / "x")) == {
        "y/": "another copy of the tree",
        "__MACOSX/": "outside the set",
        "z/": "outside the set",
    }


def test_photographs_beside_a_nested_set_are_told(plant):
    root = plant("x/Train/a/1.jpg", "loose.jpg", ".DS_Store", "LICENSE")
    assert set(dict(folders.beside(root, root / "x"))) == {"loose.jpg", ".DS_Store"}


def test_class_names_are_those_of_the_set_found(plant):
    assert folders.class_names(plant("top/Train/a/1.jpg", "top/Test/b/2.jpg")) == {"a", "b"}
