"""The sample set: the same bytes again, and planted problems that are real."""

import csv
import io
from collections import Counter, defaultdict

import numpy as np
import pytest
from PIL import Image, ImageOps, UnidentifiedImageError

from skincnn import dermoscopy, sample, sample_plan, structures


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return sample.make(
        tmp_path_factory.mktemp("set") / "sample", sample_plan.MINIMUM, progress=False
    )


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def pixels(path, size=None, mirror=False):
    image = Image.open(path).convert("RGB")
    image = image.resize(size or image.size, Image.Resampling.BOX)
    return np.asarray(ImageOps.mirror(image) if mirror else image, np.float32)


def photographs(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.jpg")}


def test_same_seed_same_bytes_with_any_number_of_threads(small, tmp_path):
    again = sample.make(tmp_path / "again", sample_plan.MINIMUM, jobs=1, progress=False)
    for path in sorted(small.rglob("*")):
        if path.is_file():
            assert path.read_bytes() == (again / path.relative_to(small)).read_bytes(), path.name


def test_another_seed_another_set():
    photo = sample_plan.Photo("Train", "nevus", 1)
    assert sample.photograph(1, photo) != sample.photograph(2, photo)


def test_the_tree_holds_what_was_counted(small):
    found = Counter(tuple(file.split("/")[:2]) for file in photographs(small))
    assert found == sample_plan.counts(sample_plan.MINIMUM)


def test_too_small_a_set_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"n=98 .* 99"):
        sample.make(tmp_path / "sample", 98)
    assert not any(tmp_path.iterdir())


def test_planted_files_are_what_they_are_said_to_be(small):
    for row in rows(small / "planted.csv"):
        file, other = small / row["file"], small / row["other"]
        if row["kind"] in ("identical", "two_names"):
            assert file.read_bytes() == other.read_bytes()
        elif row["kind"] in ("reencoded", "resized", "flipped"):
            assert file.read_bytes() != other.read_bytes()
            small_size = (48, 48)
            gap = pixels(file, small_size) - pixels(other, small_size, row["kind"] == "flipped")
            assert abs(gap).mean() < 3
            same_size = Image.open(file).size == Image.open(other).size
            assert same_size == (row["kind"] != "resized")
        elif row["kind"] == "unusable":
            with pytest.raises((OSError, UnidentifiedImageError)):
                Image.open(file).load()


def test_nothing_else_repeats(small):
    said = {row["file"]: row["other"] for row in rows(small / "planted.csv")}
    unusable = {file for file, other in said.items() if not other}
    planted = {frozenset(pair) for pair in said.items()}
    files = sorted(set(photographs(small)) - unusable)
    tiny = {file: pixels(small / file, (16, 16)) for file in files}
    for i, file in enumerate(files):
        for other in files[:i]:
            if frozenset((file, other)) not in planted:
                assert abs(tiny[file] - tiny[other]).mean() > 3, (file, other)


def test_lesions_across_the_split_are_the_planted_ones(small):
    lesion = {row["image_id"]: row["lesion_id"] for row in rows(small / "metadata.csv")}
    sides = defaultdict(set)
    for file in photographs(small):
        if known := lesion.get(file.split("/")[-1].removesuffix(".jpg")):
            sides[known].add(file.split("/")[0])
    planted = [row for row in rows(small / "planted.csv") if row["kind"] == "lesion_across_split"]
    # A photograph under two names on both sides is also a lesion on both sides.
    names = {row["file"].split("/")[-1][:-4] for row in rows(small / "planted.csv")
             if row["kind"] == "two_names"}  # fmt: skip
    across = {known for known, where in sides.items() if len(where) == 2}
    assert {row["note"] for row in planted} == across - {lesion[image_id] for image_id in names}
    for row in planted:
        assert row["file"].startswith("Train/") and row["other"].startswith("Test/")


def test_metadata_has_one_row_an_image(small):
    ids = [row["image_id"] for row in rows(small / "metadata.csv")]
    assert len(ids) == len(set(ids))
    unusable = {row["file"] for row in rows(small / "planted.csv") if row["kind"] == "unusable"}
    expected = {file.split("/")[-1].removesuffix(".jpg") for file in photographs(small)}
    assert set(ids) == expected - {file.split("/")[-1].removesuffix(".jpg") for file in unusable}


def test_a_finished_set_is_kept_and_another_replaced(small, monkeypatch):
    before = (small / "metadata.csv").stat().st_mtime_ns
    sample.make(small, sample_plan.MINIMUM, progress=False)
    assert (small / "metadata.csv").stat().st_mtime_ns == before
    monkeypatch.setattr(sample, "VERSION", -1)
    monkeypatch.setattr(sample, "photograph", lambda seed, photo: sample_jpeg())
    sample.make(small.with_name("other"), sample_plan.MINIMUM, progress=False)
    monkeypatch.setattr(sample, "VERSION", -2)
    sample.make(small.with_name("other"), sample_plan.MINIMUM, progress=False)
    assert sample.stamp(small.with_name("other"))["version"] == -2
    assert sorted(path.name for path in small.parent.iterdir()) == ["other", "sample"]


def sample_jpeg():
    buffer = io.BytesIO()
    Image.new("RGB", (180, 180)).save(buffer, "JPEG")
    return buffer.getvalue()


def test_a_link_to_another_place_stays_one(tmp_path, monkeypatch):
    monkeypatch.setattr(sample, "photograph", lambda seed, photo: sample_jpeg())
    (tmp_path / "disk").mkdir()
    (tmp_path / "sample").symlink_to(tmp_path / "disk")
    sample.make(tmp_path / "sample", sample_plan.MINIMUM, progress=False)
    assert (tmp_path / "sample").is_symlink()
    assert sample.stamp(tmp_path / "disk")["n"] == sample_plan.MINIMUM


def test_someone_elses_folder_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="no sample set"):
        sample.make(tmp_path, sample_plan.MINIMUM)
    (tmp_path / "sample.json").write_text('{"n": 1}')
    with pytest.raises(FileExistsError, match="no sample set"):
        sample.make(tmp_path, sample_plan.MINIMUM)
    assert (tmp_path / "thesis.txt").exists()


def test_an_interrupted_run_leaves_nothing(tmp_path, monkeypatch):
    def stop(seed, photo):
        raise KeyboardInterrupt

    monkeypatch.setattr(sample, "photograph", stop)
    with pytest.raises(KeyboardInterrupt):
        sample.make(tmp_path / "sample", sample_plan.MINIMUM, progress=False)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("label", structures.RECIPES)
def test_two_photographs_of_one_lesion_differ(label):
    first, second = (
        dermoscopy.draw(label, np.random.default_rng(5), np.random.default_rng(view), (192, 180))
        for view in (1, 2)
    )
    assert first.shape == second.shape == (180, 192, 3) and first.dtype == np.uint8
    assert first.std() > 5
    assert abs(first.astype(int) - second).mean() > 3


def test_an_unknown_class_is_named():
    with pytest.raises(ValueError, match="'wart'"):
        dermoscopy.draw("wart", np.random.default_rng(0), np.random.default_rng(0))
