"""Worse photographs: the run's own held-out ones, every kind and strength, and nothing twice."""

import numpy as np
import pytest

from skincnn import config, corruptions, data, images, robustness, train

SMALL = config.RunConfig(
    model="two_conv", image_size=32, batch_size=8, epochs=3, precision="float32", views=8
)
KINDS = ("blur", "noise")


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    root = tmp_path_factory.mktemp("robust")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config, "project_root", lambda: root)
        index = data.load(tiny, progress=False)
        return index, train.fit(SMALL, index, root / "run", verbose=0)


def test_curves_begin_where_the_run_was_scored(trained, home, tmp_path, monkeypatch):
    index, run = trained
    table = robustness.curves({"run": run}, index, tmp_path / "out", KINDS, progress=False)
    assert len(table) == 2 * 6
    plain = table[table["strength"] == 0]
    assert (plain["balanced_accuracy"] == run.metrics["balanced_accuracy"]["value"]).all()
    assert (plain["n"] == run.metrics["n"]).all()
    assert (tmp_path / "out/robustness.png").stat().st_size > 5000
    monkeypatch.setattr(corruptions, "corrupt", None)  # nothing is asked twice
    again = robustness.curves({"run": run}, index, tmp_path / "out", KINDS, progress=False)
    assert again.equals(table)


def test_fewer_photographs_and_strangers(trained, home):
    index, run = trained
    table = robustness.curves({"run": run}, index, None, ("small size",), most=3, progress=False)
    assert (table["n"] == 3).all()
    with pytest.raises(ValueError, match="held-out photographs are not in the set"):
        robustness.curves({"run": run}, index.iloc[:5], None, KINDS, progress=False)


def test_a_run_classifies_as_it_was_scored(trained):
    index, run = trained
    rows = data.usable(index).set_index("file").loc[run.predictions["file"]].reset_index()
    rows.attrs = index.attrs
    pixels = np.stack([images.resize(images.decode(p), 32) for p in data.paths(rows)])
    answers = run.classify(pixels)
    columns = [c for c in run.predictions if c.startswith("p_")]
    np.testing.assert_allclose(answers, run.predictions[columns], atol=1e-5)
