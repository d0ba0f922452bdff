"""Leak on, leak off: three protocols, a table that says which is which, and one figure."""

import pandas as pd
import pytest

from skincnn import config, evaluate, experiments, predictions, runs, scoreboards, train

SMALL = config.RunConfig(
    model="two_conv",
    image_size=32,
    batch_size=16,
    epochs=1,
    precision="float32",
    copies_per_class=8,
    folds=2,
)


def test_leakage_compares_three_protocols_and_goes_on_where_it_stopped(
    index, home, tmp_path, asked, monkeypatch, capsys
):
    def interrupted(settings, *arguments, **options):
        if settings.protocol == "clean":
            raise KeyboardInterrupt
        return fit(settings, *arguments, **options)

    fit = train.fit
    with monkeypatch.context() as patch:
        patch.setattr(train, "fit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            experiments.leakage(index, SMALL, tmp_path / "leakage", 2)
    assert not (tmp_path / "leakage/leakage.csv").exists()
    assert [(s.protocol, s.seed) for s in asked] == [("published", 123), ("split_first", 123)]
    asked.clear()
    table = experiments.leakage(index, SMALL, tmp_path / "leakage", 2)
    assert [(s.protocol, s.seed, s.fold) for s in asked] == [
        ("clean", 123, 0),
        ("published", 124, 0),
        ("split_first", 124, 0),
        ("clean", 124, 1),
    ]
    assert "published, seed 123: accuracy" in capsys.readouterr().out
    assert list(table["protocol"]) == [p for p in config.PROTOCOLS for _ in range(2)]
    assert list(table["seed"]) == [123, 124] * 3
    by_protocol = table.groupby("protocol")["siblings"].mean()
    assert by_protocol["published"] > 0 and by_protocol[["split_first", "clean"]].sum() == 0
    assert list(table["n"]) == [9, 9, 4, 4, 15, 15]

    written = pd.read_csv(tmp_path / "leakage/leakage.csv")
    pd.testing.assert_frame_equal(written, table, atol=1e-6)
    last = predictions.read(tmp_path / "leakage/clean_seed124.csv")
    assert evaluate.metrics(last)["accuracy"]["value"] == table["accuracy"].iloc[-1]
    summary = pd.read_csv(tmp_path / "leakage/summary.csv")
    assert list(summary["protocol"]) == list(config.PROTOCOLS)
    assert (tmp_path / "leakage/leakage.png").stat().st_size > 5000
    assert not list(home.rglob("model.keras"))


def test_the_summary_is_mean_and_spread():
    rows = {"protocol": ["clean"] * 3, "classes": 8, "siblings": 0.0, "seed": [1, 2, 3]}
    values = {"accuracy": [0.5, 0.6, 0.7], "balanced_accuracy": [0.4, 0.4, 0.4]}
    (row,) = experiments.summary(pd.DataFrame(rows | values)).to_dict("records")
    assert (row["seeds"], row["classes"]) == (3, 8)
    got = [row[f"accuracy_{what}"] for what in ("mean", "std", "min", "max")]
    assert got == pytest.approx([0.6, 0.1, 0.5, 0.7])
    assert row["balanced_accuracy_std"] == pytest.approx(0)


def test_another_experiments_folder_is_refused(index, tmp_path, asked):
    settings = SMALL.replace(copies_per_class=0)
    experiments.leakage(index, settings, tmp_path / "leakage", 1, progress=False)
    with pytest.raises(runs.RunError, match=r"published_seed123.csv is of another run: epochs"):
        experiments.leakage(index, settings.replace(epochs=2), tmp_path / "leakage", 1)


@pytest.mark.parametrize("seeds", [0, 3])
def test_each_seed_needs_a_fold_of_its_own(index, tmp_path, seeds):
    with pytest.raises(ValueError, match=rf"seeds={seeds}: choose 1…2"):
        experiments.leakage(index, SMALL, tmp_path / "leakage", seeds)


# --- three scoreboards ----------------------------------------------------------------------


def test_scoreboards_trains_each_network_on_train_and_in_folds(index, tmp_path, asked, capsys):
    networks = [SMALL.replace(preset=name, copies_per_class=0) for name in ("one", "two")]
    table = experiments.scoreboards(index, networks, tmp_path / "boards")
    assert [(s.preset, s.protocol) for s in asked] == [
        (name, protocol) for name in ("one", "two") for protocol in ("published", "clean", "clean")
    ]
    assert list(table["preset"]) == ["one"] * 3 + ["two"] * 3
    assert list(table["board"]) == [*scoreboards.BOARDS] * 2
    assert list(table["n"]) == [6, 6, 30] * 2
    assert "one:" in capsys.readouterr().out
    kept = pd.read_csv(tmp_path / "boards/scoreboards.csv", keep_default_na=False)
    pd.testing.assert_frame_equal(kept, table, rtol=1e-5)
    assert (tmp_path / "boards/scoreboards.png").stat().st_size > 5000
    cv = predictions.read(tmp_path / "boards/two_cv/predictions.csv")
    assert table["accuracy"].iloc[-1] == evaluate.metrics(cv)["accuracy"]["value"]
    asked.clear()
    experiments.scoreboards(index, networks, tmp_path / "boards", progress=False)
    assert not [s for s in asked if s.protocol == "clean"], "finished folds are not trained again"


def test_scoreboards_refuses_what_has_no_three_boards(index, tmp_path, asked):
    with pytest.raises(ValueError, match="preset 'baseline' stands there twice"):
        experiments.scoreboards(index, [SMALL, SMALL], tmp_path)
    with pytest.raises(ValueError, match="baseline: protocol clean keeps no Test folder"):
        experiments.scoreboards(index, [SMALL.replace(protocol="clean")], tmp_path)
    with pytest.raises(ValueError, match="no Test folder"):
        experiments.scoreboards(index.assign(split="train"), [SMALL], tmp_path)
    assert not asked
