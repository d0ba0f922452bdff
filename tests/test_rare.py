"""One class among many: each network on the same held-out photographs, the pairs paired."""

import pandas as pd
import pytest
import shard_files

from skincnn import config, predictions, protocols, rare, tfrecords, train

SMALL = config.RunConfig(
    model="two_conv",
    image_size=32,
    batch_size=8,
    epochs=3,
    learning_rate=3e-3,
    precision="float32",
    protocol="clean",
    folds=3,
)


@pytest.fixture
def index(tmp_path, home):
    return tfrecords.load(shard_files.folder(tmp_path / "set"), progress=False)


def test_networks_meet_on_what_one_fold_holds_out(index, tmp_path, monkeypatch, capsys):
    some = {"plain": SMALL, "plain" + rare.WITH: SMALL.replace(metadata=True)}
    some |= {"other": SMALL.replace(learning_rate=1e-6)}
    table, differences = rare.compared(index, some, tmp_path / "rare", seeds=2)
    assert "6 of 6" in capsys.readouterr().out
    assert list(table["network"]) == list(some) and set(table["seeds"]) == {2}
    plain = predictions.read(tmp_path / "rare/plain_seed123.csv")
    dealt = protocols.grouped(SMALL, index)
    assert set(plain["file"]) == set(dealt.loc[dealt["fold"] == 0, "file"])
    assert (table["n"] == len(plain)).all()
    assert (table["positives"] == (plain["label"] == "malignant").sum()).all()
    auc = table.set_index("network")["auc"]
    assert auc["plain"] > 0.9 > auc["other"]
    gain = differences.set_index(["a", "b"])["gain"]
    assert gain["plain" + rare.WITH, "plain"] == pytest.approx(auc.iloc[1] - auc.iloc[0])
    assert gain["plain", "other"] == pytest.approx(auc["plain"] - auc["other"])
    assert (tmp_path / "rare/roc.png").stat().st_size > 5000
    monkeypatch.setattr(train, "fit", lambda *_, **__: pytest.fail("trained already"))
    again, _ = rare.compared(index, some, tmp_path / "rare", seeds=2, progress=False)
    pd.testing.assert_frame_equal(table, again)


def test_the_published_question_is_asked_at_one_size_and_of_one_class():
    networks = rare.networks(epochs=5, image_size=96, fold=1)
    assert len(networks) == 4
    assert {s.image_size for s in networks.values()} == {96}
    assert {(s.positive, s.keep, s.fold) for s in networks.values()} == {
        ("melanoma", "highest_auc", 1)
    }
    assert [bool(s.weights) for s in networks.values()] == [True, False, True, False]
    assert [s.metadata for s in networks.values()] == [False, False, True, True]
    assert networks["from scratch"].epochs == 15
