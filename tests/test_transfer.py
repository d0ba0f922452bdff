"""What a network brings along: a classifier that learnt first, and nothing of what is held out."""

import shutil

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from skincnn import config, data, feed, images, splits, train, transfer


def test_the_classifier_learns_alone(index):
    """On features that stay as they are; three colours need no more than their means."""
    settings = config.RunConfig(batch_size=8, head_epochs=200, dropout=0.1)
    rows = data.usable(index)
    pixels = np.stack([images.resize(images.decode(p), 32) for p in data.paths(rows)])
    labels = pd.factorize(rows["label"], sort=True)[0].astype(np.int32)
    layers = keras.layers
    body = layers.Conv2D(8, 3, name="body")
    inputs = keras.Input((32, 32, 3))
    features = layers.GlobalAveragePooling2D(name="features")(body(layers.Rescaling(0.04)(inputs)))
    last = layers.Dense(3, activation="softmax", name="classifier", kernel_initializer="zeros")
    answers = last(features)
    model = keras.Model(inputs, answers)
    before = body.get_weights()

    def right():
        return (model.predict(pixels.astype("float32"), verbose=0).argmax(axis=1) == labels).mean()

    assert right() < 0.7
    transfer.warm_head(model, feed.Feed(pixels, labels, settings), settings)
    assert right() > 0.9
    assert all(np.array_equal(a, b) for a, b in zip(before, body.get_weights(), strict=True))


@pytest.fixture
def sets(tmp_path, home, draw):
    """One set to judge on; another with copies, other photographs of its lesions, and strangers."""
    ours = draw(tmp_path / "ours", {"red": 6, "blue": 6}, size=64, seed=1)
    other = draw(tmp_path / "other", {"red": 8, "green": 8, "blue": 8}, size=64, seed=2)
    for number, path in enumerate(sorted(other.rglob("*.jpg"))):
        path.rename(path.with_name(f"ISIC_{9000000 + number}.jpg"))
    first, second, third = sorted((ours / "red").iterdir())[:3]
    shutil.copy(first, other / "red" / "copied.jpg")
    with Image.open(second) as picture:  # turned and written anew
        picture.transpose(Image.Transpose.ROTATE_90).save(
            other / "green" / "turned.jpg", quality=88
        )
    shutil.copy(third, other / "green" / f"{third.stem}.jpg")
    strangers = sorted(p.stem for p in other.rglob("ISIC_9*.jpg"))
    table = pd.DataFrame(
        {"image_id": [*strangers[:2], strangers[5]], "lesion_id": ["L1", "L1", "L2"]}
    )
    table.to_csv(other / "metadata.csv", index=False)
    mine = pd.DataFrame(
        {"image_id": [sorted((ours / "blue").iterdir())[0].stem], "lesion_id": "L1"}
    )
    mine.to_csv(ours / "metadata.csv", index=False)
    return data.load(ours, progress=False), data.load(other, progress=False)


def test_no_lesion_and_no_copy_of_any_fold_is_in_what_pretrains(sets):
    ours, other = sets
    free = transfer.without_relatives(other, ours)
    gone = set(other["file"]) - set(free["file"])
    names = {file.split("/")[1] for file in gone}
    third = sorted(f for f in ours["file"] if f.startswith("red"))[2].split("/")[1]
    lesion = set(other.loc[other["lesion_id"] == "L1", "file"].str.split("/").str[1])
    assert {"copied.jpg", "turned.jpg", third} | lesion <= names
    assert len(lesion) == 2 and len(names) == 5, "and nothing else is left out"
    assert free.attrs["root"] == other.attrs["root"]


def test_a_fold_is_pretrained_without_its_relatives_and_takes_the_weights_over(
    sets, home, monkeypatch
):
    ours, other = sets
    settings = config.RunConfig(
        model="compact",
        image_size=32,
        batch_size=8,
        epochs=1,
        pretrain=other.attrs["root"],
        pretrain_epochs=1,
        protocol="clean",
        folds=2,
        precision="float32",
    )
    dealt = splits.grouped(ours.assign(cluster=None), 2)
    asked, taken = [], []
    fit, take_over = train.fit, transfer.take_over

    def note(settings, index, folder, verbose):
        asked.append((folder, set(index["file"])))
        return fit(settings, index, folder, verbose)

    def noted(model, before):
        take_over(model, before)
        layers = [la for la in model.layers if la.weights]
        known = [la for la in before.model.layers if la.weights]
        same = [
            all(np.array_equal(x, y) for x, y in zip(a.get_weights(), b.get_weights(), strict=True))
            for a, b in zip(layers, known, strict=True)
        ]
        taken.append(same)

    monkeypatch.setattr(train, "fit", note)
    monkeypatch.setattr(transfer, "take_over", noted)
    free = transfer.without_relatives(other, ours)
    rare = free["label"] == "blue"
    assert rare.sum() == 6
    monkeypatch.setattr(transfer, "FEWEST", 7)
    for fold in (0, 1):
        run = fit(settings.replace(fold=fold), dealt, home / f"run{fold}", 0)
        folder, used = asked[-1]
        assert used == set(free["file"][~rare]), "no relative of any fold, no class of a few"
        told = run.info["pretrained"]
        assert told["run"] == folder.name and 0 < told["photographs"] < len(used), "a tenth chose"
    assert asked[0][0] == asked[1][0], "one for all folds"
    assert all(all(same[:-1]) and not same[-1] for same in taken) and len(taken) == 2
