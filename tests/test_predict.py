"""From files to probabilities without a network: what is found, what fails, what is written."""

import numpy as np
import odd_files
import pytest

from skincnn import evaluate, predict, predictions

CLASSES = ["blue", "green", "red"]


def by_colour(batch):
    """A classifier anyone can check: how red, green and blue the middle is."""
    assert batch.dtype == np.uint8
    assert batch.shape[1:] == (24, 24, 3)
    middle = batch[:, 8:16, 8:16].mean(axis=(1, 2))[:, ::-1]
    return middle / middle.sum(axis=1, keepdims=True)


def test_find_takes_one_file_whatever_its_name(tmp_path):
    path = tmp_path / "photograph.unknown"
    path.write_bytes(b"x")
    assert predict.find(path) == [path]


def test_find_takes_all_below_a_folder_and_leaves_hidden_ones(tmp_path):
    names = ["b/2.JPG", "a.png", "b/c/3.webp", ".hidden/4.jpg", "b/._2.JPG"]
    names += ["__MACOSX/5.jpg", "notes.txt"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "folder.jpg").mkdir()
    found = [path.relative_to(tmp_path).as_posix() for path in predict.find(tmp_path)]
    assert found == ["a.png", "b/2.JPG", "b/c/3.webp"]


def test_find_works_below_a_hidden_folder(tmp_path):
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache/1.jpg").write_bytes(b"x")
    assert len(predict.find(tmp_path / ".cache")) == 1


def test_find_says_where_nothing_is(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone: no such file or folder"):
        predict.find(tmp_path / "gone")
    with pytest.raises(FileNotFoundError, match=r"no photographs \(\.bmp"):
        predict.find(tmp_path)


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_an_unusable_photograph_fails_alone_and_in_its_place(tiny, tmp_path, batch_size):
    files = predict.find(tiny / "Test")
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"")
    files = [bad, files[0], bad, *files[1:], bad]
    answers = list(predict.answers(files, by_colour, 24, batch_size))
    assert [answer.file for answer in answers] == files
    assert [bool(answer.problem) for answer in answers] == [path == bad for path in files]
    for answer in answers:
        if answer.file == bad:
            assert answer.said is None and answer.problem == "empty file (0 bytes)"
        else:
            assert CLASSES[answer.said.argmax()] == answer.file.parent.name


def test_nothing_usable_calls_no_classifier(tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"")
    (answer,) = predict.answers([bad], lambda batch: 1 / 0, 24)
    assert answer.problem


def test_the_decoder_is_the_one_training_uses(tmp_path):
    path = tmp_path / "turned.jpg"
    path.write_bytes(odd_files.usable()["exif_6.jpg"][0])
    seen = []

    def classify(batch):
        seen.append(batch)
        return np.full((len(batch), 3), 1 / 3)

    list(predict.answers([path], classify, 16))
    corners = [seen[0][0, y, x].astype(int) for y in (2, 13) for x in (2, 13)]
    assert np.abs(np.array(corners) - odd_files.QUARTERS).max() <= 6


def write(answers, root, path, seed):
    with predict.table(path, predict.header(CLASSES)) as add:
        for answer in answers:
            if not answer.problem:
                name = answer.file.relative_to(root).as_posix()
                add(predict.row(name, answer.said, CLASSES, seed))


def test_what_is_written_can_be_evaluated(tiny, tmp_path):
    files = predict.find(tiny / "Test")
    answers = list(predict.answers(files, by_colour, 24))
    bad = predict.Answer(tiny / "Test/red/bad.jpg", None, "empty file (0 bytes)")
    path = tmp_path / "new" / "answers.csv"
    write([*answers, bad], tiny / "Test", path, seed=7)
    table = predictions.read(path)
    assert list(table["file"]) == [p.relative_to(tiny / "Test").as_posix() for p in files]
    assert list(table["label"]) == [p.parent.name for p in files]
    assert list(table["image_id"]) == [p.stem for p in files]
    assert set(table["seed"]) == {7}
    assert predictions.classes(table) == CLASSES
    assert evaluate.metrics(table, replicates=20)["accuracy"]["value"] == 1
    assert not list(path.parent.glob(".*")), "nothing half-written is left"


def test_a_folder_that_is_no_class_leaves_the_label_empty(tmp_path):
    answer = predict.Answer(tmp_path / "holiday" / "1.jpg", np.array([0.2, 0.3, 0.5]), "")
    path = tmp_path / "answers.csv"
    write([answer], tmp_path, path, seed=0)
    assert path.read_text().splitlines()[1] == (
        "holiday/1.jpg,,holiday/1.jpg,,,,0,0.200000,0.300000,0.500000"
    )


def test_a_table_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "answers.csv"
    path.write_text("before")
    with pytest.raises(KeyboardInterrupt), predict.table(path, ["a"]) as add:
        add([1])
        raise KeyboardInterrupt
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]


def test_a_submission_has_the_probability_of_the_class_that_is_looked_for():
    assert predict.submission("a/ISIC_1.jpg", [0.25, 0.75], ["benign", "malignant"]) == [
        "ISIC_1",
        "0.750000",
    ]
    assert predict.submission("b/2", [0.9, 0.1], ["melanoma", "other"]) == ["2", "0.900000"]
    with pytest.raises(ValueError, match="melanoma or malignant"):
        predict.submission("1", [1.0, 0.0], ["blue", "red"])
