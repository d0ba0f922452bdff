"""Copies come from training photographs only, say from which, and are the same every time."""

import hashlib
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from skincnn import balance, config, data, images, leakage, splits

COUNTS = {"melanoma": 6, "nevus": 4, "vascular lesion": 5}
QUIET = {"progress": False}


def draw_set(folder: Path, counts: dict[str, int]) -> Path:
    rng = np.random.default_rng(0)
    for split, per_class in (("Train", counts), ("Test", dict.fromkeys(counts, 2))):
        for label, n in per_class.items():
            (folder / split / label).mkdir(parents=True)
            for i in range(n):
                noise = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
                name = f"{split}{label[:2]}{i}.jpg"
                Image.fromarray(noise).save(folder / split / label / name)
    return folder


@pytest.fixture
def index(tmp_path, monkeypatch):
    monkeypatch.delenv(config.DATA_VARIABLE, raising=False)
    monkeypatch.setattr(config, "local_dir", lambda: tmp_path / "local")
    return data.load(draw_set(tmp_path / "set", COUNTS), **QUIET)


def copies(index: pd.DataFrame) -> pd.DataFrame:
    return index[index["augmented_from"] != ""]


def contents(index: pd.DataFrame) -> dict[str, bytes]:
    rows = copies(index)
    return {row: p.read_bytes() for row, p in zip(rows["file"], data.paths(rows), strict=True)}


def files_below(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def test_add_gives_every_class_the_same_number(index):
    bigger = balance.add(index, 7, **QUIET)
    pd.testing.assert_frame_equal(bigger.iloc[: len(index)], index, check_flags=False)
    assert dict(bigger.dtypes) == dict(index.dtypes)
    assert bigger.attrs["root"] == index.attrs["root"]
    assert copies(bigger)["label"].value_counts().to_dict() == dict.fromkeys(COUNTS, 7)


def test_fill_stops_at_the_target_and_removes_nothing(index):
    even = balance.fill(index, 5, **QUIET)
    assert copies(even)["label"].to_list() == ["nevus"]
    assert balance.fill(index, 4, **QUIET).equals(index)
    again = balance.fill(index, 6, **QUIET)
    train = again[again["split"] == "train"]
    assert train["label"].value_counts().to_dict() == dict.fromkeys(COUNTS, 6)


def test_a_copy_says_where_it_comes_from(index):
    index = index.assign(cluster=range(len(index)))
    rows = copies(balance.add(index, 7, **QUIET))
    sources = index.set_index("file").loc[rows["augmented_from"]].reset_index()
    assert set(sources["split"]) == {"train"} and set(rows["split"]) == {"train"}
    for column in ("label", "image_id", "lesion_id", "patient_id", "source", "group", "cluster"):
        assert rows[column].to_list() == sources[column].to_list()
    assert rows["file"].is_unique
    for file, label, source in zip(rows["file"], rows["label"], sources["file"], strict=True):
        assert file.startswith(f"augmented/{label}/{Path(source).stem}__")
    times = rows["augmented_from"].value_counts()
    for label in COUNTS:
        of_class = times[[f for f in times.index if f"/{label}/" in f]]
        assert of_class.max() - of_class.min() <= 1 and len(of_class) == COUNTS[label]


def test_the_table_describes_the_files(index):
    rows = copies(balance.add(index, 3, **QUIET))
    attrs = rows.attrs
    for row, path in zip(rows.itertuples(), data.paths(rows), strict=True):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == row.sha256
        assert images.decode(path).shape == (row.height, row.width, 3)
    manifest = pd.read_csv(Path(attrs["augmented_root"]) / "manifest.csv")
    columns = ["file", "augmented_from", "label", "width", "height", "sha256"]
    assert list(manifest.columns) == columns
    assert manifest.to_numpy().tolist() == rows[columns].to_numpy().tolist()


def test_same_bytes_whatever_the_processes(index, tmp_path):
    recipe = (
        *balance.OPERATIONS,
        ("random_brightness", {"probability": 0.5, "min_factor": 0.7, "max_factor": 1.3}),
        ("random_erasing", {"probability": 0.5, "rectangle_area": 0.3}),
    )
    drawn = [
        contents(balance.add(index, 12, recipe, seed=seed, jobs=jobs, out=tmp_path / name, **QUIET))
        for name, seed, jobs in (("a", 1, 1), ("b", 1, 1), ("c", 1, 2), ("d", 2, 1))
    ]
    assert drawn[0] == drawn[1] == drawn[2]
    assert set(drawn[0].values()).isdisjoint(drawn[3].values())


def test_a_photograph_is_not_changed_by_its_earlier_copies(index):
    erase = (("random_erasing", {"probability": 1, "rectangle_area": 0.3}),)
    rows = copies(balance.add(index, 40, erase, **QUIET))
    row = rows[rows["augmented_from"] == rows["augmented_from"].iloc[0]].iloc[-1:]
    [last] = data.paths(row)
    original = images.decode(Path(index.attrs["root"]) / row["augmented_from"].item())
    same = np.abs(images.decode(last).astype(int) - original).max(axis=2) < 60
    assert same.mean() > 0.88  # one rectangle of at most 9 % is gone, not seven


def test_a_copy_is_as_good_as_its_photograph(index):
    rows = copies(balance.add(index, 4, [("invert", {"probability": 0})], **QUIET))
    for row, path in zip(rows.itertuples(), data.paths(rows), strict=True):
        original = images.decode(Path(index.attrs["root"]) / row.augmented_from)
        assert np.abs(images.decode(path).astype(int) - original).mean() < 3


@pytest.mark.parametrize("probability", [0, 1])
def test_a_probability_is_that_probability(index, probability):
    white = [("black_and_white", {"probability": probability, "threshold": 128})]
    rows = copies(balance.add(index, 30, white, **QUIET))
    levels = np.stack([images.decode(path) for path in data.paths(rows)]).std(axis=-1)
    assert (levels.mean(axis=(1, 2)) < 1).all() == bool(probability)
    assert (levels.mean(axis=(1, 2)) < 1).any() == bool(probability)


def test_the_callers_generators_are_left_alone(index):
    random.seed(5)
    np.random.seed(5)
    expected = random.Random(5).random(), np.random.RandomState(5).random()
    balance.add(index, 2, **QUIET)
    assert (random.random(), np.random.random()) == expected


def test_nothing_held_out_is_copied(index):
    folded = splits.published(index, 0.4)
    result = balance.add(folded, 20, fold=0, **QUIET)
    held_out = set(splits.held_out(folded)["file"])
    assert held_out and held_out.isdisjoint(copies(result)["augmented_from"])
    assert (copies(result)["fold"] == -1).all() and result["fold"].dtype == "Int64"
    assert leakage.siblings(result).empty
    filled = splits.training(balance.fill(folded, 9, fold=0, **QUIET))
    assert filled["label"].value_counts().to_dict() == dict.fromkeys(COUNTS, 9)


def test_neither_test_photographs_nor_those_set_aside_are_copied(index):
    index.loc[index["file"].str.endswith("Trainne0.jpg"), "problem"] = "damaged"
    sources = copies(balance.add(index, 12, **QUIET))["augmented_from"]
    assert sources.str.startswith("Train/").all()
    assert not sources.str.endswith("Trainne0.jpg").any()


def test_where_folds_pool_train_and_test_all_that_trains_is_copied_and_nothing_else(index):
    pooled = index.assign(fold=pd.Series(range(len(index)), dtype="Int64") % 2)
    pooled["inner"] = pooled["file"].str.endswith("5.jpg")
    result = balance.add(pooled, 12, fold=0, **QUIET)
    trains = splits.training(pooled, 0)["file"]
    assert set(copies(result)["augmented_from"]) == set(trains)
    assert trains.str.startswith("Test/").any()
    assert not result["inner"][result["augmented_from"] != ""].any()


@pytest.mark.parametrize("fold", [None, 7, -1])
def test_a_fold_must_be_named(index, fold):
    with pytest.raises(ValueError, match=r"pass the held-out one, of \[0\]"):
        balance.add(splits.published(index), 2, fold=fold, **QUIET)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"per_class": 0}, "per_class=0: must be at least 1"),
        ({"fold": 0}, "has no folds"),
        ({"operations": []}, "list of"),
        ({"operations": balance.OPERATIONS[0]}, "list of"),
        ({"operations": [("spin", {})]}, "'spin': unknown, choose one of .*rotate"),
        ({"operations": [("sample", {"n": 3})]}, "'sample': unknown"),
        ({"operations": [("rotate", {"probability": 1})]}, "'rotate'.*missing.*max_left_rotation"),
        (
            {"operations": [("zoom", {"probability": 1, "min_factor": -1, "max_factor": 2})]},
            "'zoom'.*min_factor argument must be greater than 0",
        ),
        ({"operations": [("invert", {"probability": 1.2})]}, "'invert'.*probability"),
        (
            {"operations": [("crop_by_size", {"probability": 1, "width": 99, "height": 99})]},
            r"Train.*\.jpg: Crop failed",
        ),
    ],
)
def test_bad_requests_are_explained(index, arguments, message):
    with pytest.raises(ValueError, match=message):
        balance.add(index, **{"per_class": 2, **QUIET, **arguments})
    assert not list((config.local_dir() / "augmented").glob("*"))


def test_errors_reach_us_from_other_processes(index, tmp_path):
    damaged = (
        Path(index.attrs["root"]) / copies(balance.add(index, 1, **QUIET))["augmented_from"].iloc[0]
    )
    damaged.write_bytes(damaged.read_bytes()[:400])
    with pytest.raises(images.ImageProblem, match=damaged.name):
        balance.add(index, 12, jobs=2, out=tmp_path / "out", **QUIET)
    assert not (tmp_path / "out").exists()


def test_a_class_with_nothing_to_copy(index):
    index.loc[(index["label"] == "nevus") & (index["split"] == "train"), "problem"] = "damaged"
    with pytest.raises(ValueError, match="'nevus' has no usable training photograph"):
        balance.add(index, 2, **QUIET)


def test_copies_are_not_copied(index):
    with pytest.raises(ValueError, match="has copies already"):
        balance.fill(balance.add(index, 2, **QUIET), 9, **QUIET)


@pytest.mark.parametrize("place", ["", "copies", "Train", "Train/nevus/output", "Test/../x"])
def test_copies_stay_out_of_the_set(index, place):
    before = files_below(Path(index.attrs["root"]))
    with pytest.raises(ValueError, match="inside the set"):
        balance.add(index, 2, out=Path(index.attrs["root"]) / place, **QUIET)
    assert files_below(Path(index.attrs["root"])) == before


def test_one_class_folder_is_enough(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "local_dir", lambda: tmp_path / "local")
    index = data.load(draw_set(tmp_path / "set", {"nevus": 3}), **QUIET)
    assert len(copies(balance.add(index, 4, **QUIET))) == 4


def test_a_finished_folder_is_used_again_and_a_damaged_one_is_drawn_anew(index, monkeypatch):
    first = balance.add(index, 3, **QUIET)
    before = contents(first)
    with monkeypatch.context() as patch:
        patch.setattr(balance, "_run", lambda *_: pytest.fail("drawn again"))
        pd.testing.assert_frame_equal(balance.add(index, 3, **QUIET), first)
    victim, missing, *_ = data.paths(copies(first))
    victim.write_bytes(b"")
    missing.unlink()
    assert contents(balance.add(index, 3, **QUIET)) == before
    assert len(files_below(config.local_dir() / "augmented")) == 1 + 2 + 3 + 9


def test_a_folder_in_use_is_not_overwritten(index, tmp_path):
    (tmp_path / "mine").mkdir()
    balance.add(index, 2, out=tmp_path / "mine", **QUIET)  # an empty one is fine
    with pytest.raises(ValueError, match="holds something else"):
        balance.add(index, 2, seed=4, out=tmp_path / "mine", **QUIET)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupted_run_leaves_nothing(index, tmp_path, monkeypatch, error):
    done = []

    def draw(*args, **kwargs):
        if len(done) == 5:
            raise error
        done.append(original(*args, **kwargs))
        return done[-1]

    original = balance._draw
    monkeypatch.setattr(balance, "_draw", draw)
    state = random.getstate()
    with pytest.raises(error):
        balance.add(index, 6, out=tmp_path / "out" / "copies", **QUIET)
    assert len(done) == 5 and random.getstate() == state
    assert files_below(tmp_path / "out") == []


def test_a_script_needs_no_guard_and_is_not_run_again(index, tmp_path):
    """Started processes would import the script that called, TensorFlow and all."""
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path\n"
        "from skincnn import balance, config, data\n"
        f"config.local_dir = lambda: Path({str(tmp_path)!r}) / 'local'\n"
        "print('started')\n"
        f"index = data.load({index.attrs['root']!r}, progress=False)\n"
        "print(len(balance.add(index, 4, jobs=2, progress=False)) - len(index))\n"
    )
    answer = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["started", "12"]


def test_workers_load_neither_pandas_nor_tensorflow():
    code = (
        "import sys, skincnn.balance;"
        "print([m for m in ('pandas', 'tensorflow', 'keras') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.strip() == "[]"


def test_the_pipeline_is_augmentors_own():
    made = balance.pipeline([("invert", {"probability": 0.25}), ("histogram_equalisation", {})])
    assert [type(step).__module__ for step in made.operations] == ["Augmentor.Operations"] * 2
    assert [step.probability for step in made.operations] == [0.25, 1]
