"""What a network is shown: order, sampling, weights and mixing, all from seed and epoch."""

import numpy as np
import pytest

from skincnn import config, feed

LABELS = np.array([0] * 40 + [1] * 8 + [2] * 2, np.int32)
PIXELS = np.repeat(np.arange(50, dtype=np.uint8), 16 * 16 * 3).reshape(50, 16, 16, 3)
SOFT = np.eye(3, dtype=np.float32)[LABELS]


def shown(settings, labels=LABELS, epoch=0, **options):
    return list(feed.Feed(PIXELS, labels, settings, **options).epoch(epoch))


def rows(batches):
    return np.concatenate([x[:, 0, 0, 0] for x, *_ in batches])


def test_each_row_once_in_another_order_every_epoch():
    settings = config.RunConfig(batch_size=8, seed=3)
    a, b, again = (rows(shown(settings, epoch=e)) for e in (0, 1, 0))
    assert sorted(a) == sorted(b) == list(range(50))
    assert not np.array_equal(a, b) and np.array_equal(a, again)
    assert len(feed.Feed(PIXELS, LABELS, settings)) == 7
    for x, y in shown(settings):
        np.testing.assert_array_equal(y, LABELS[x[:, 0, 0, 0]])


def test_unshuffled_is_as_it_is_whatever_else_the_settings_say():
    settings = config.RunConfig(batch_size=8, sampling="balanced", mixup=1.0, class_weights=True)
    batches = shown(settings, SOFT, shuffle=False)
    np.testing.assert_array_equal(rows(batches), np.arange(50))
    assert all(len(batch) == 2 for batch in batches)


def test_balanced_sampling_shows_each_class_as_often():
    settings = config.RunConfig(batch_size=50, sampling="balanced")
    drawn = np.concatenate([y for e in range(60) for _, y in shown(settings, epoch=e)])
    assert np.abs(np.bincount(drawn) / len(drawn) - 1 / 3).max() < 0.03


def test_class_weights_even_out_and_have_mean_one():
    batches = shown(config.RunConfig(class_weights=True))
    weights = np.concatenate([w for *_, w in batches])
    labels = np.concatenate([y for _, y, _ in batches])
    sums = np.bincount(labels, weights)
    np.testing.assert_allclose(sums, sums[0], rtol=1e-5)
    assert weights.mean() == pytest.approx(1)


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_mixed_labels_are_the_shares_of_the_pixels(kind):
    settings = config.RunConfig(batch_size=16, **{kind: 1.0})
    mixed = 0
    for x, y in shown(settings, SOFT):
        np.testing.assert_allclose(y.sum(axis=1), 1, atol=1e-5)
        for picture, label in zip(x, y, strict=True):
            if kind == "cutmix":
                # each pixel is of one photograph or the other, in the shares the label says
                numbers, counts = np.unique(picture[:, :, 0], return_counts=True)
                assert len(numbers) <= 2
                share = np.zeros(3)
                np.add.at(share, LABELS[numbers.astype(int)], counts / counts.sum())
                np.testing.assert_allclose(share, label, atol=0.01)
            mixed += 0 < label.max() < 1
    assert mixed > 5
    a, b = (shown(settings, SOFT, epoch=4) for _ in range(2))
    assert all(np.array_equal(x, z) for (x, _), (z, _) in zip(a, b, strict=True))


def test_mixup_blends_with_its_partner():
    x = np.zeros((2, 4, 4, 3), np.float32)
    x[1] = 100
    mixed, share = feed.mixup(x, np.array([1, 0]), 1.0, np.random.default_rng(0))
    assert 0.5 <= share <= 1
    np.testing.assert_allclose(mixed[:, 0, 0, 0], [100 * (1 - share), 100 * share], rtol=1e-5)


def test_mixing_needs_shares():
    with pytest.raises(ValueError, match="shares of classes"):
        shown(config.RunConfig(mixup=0.2))
