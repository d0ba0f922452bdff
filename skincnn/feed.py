"""What a network is shown, batch by batch: order, sampling, weights, mixing. numpy only.

All that is random in an epoch is drawn from (seed, epoch), so a resumed run sees what an
uninterrupted one does, and every backend sees the same.
"""

from collections.abc import Iterator

import numpy as np

from skincnn import config


class Feed:
    """Batches of decoded photographs as the settings say.

    Args:
        pixels: uint8 (N, H, W, 3), in memory or mapped.
        labels: int32 (N,), class numbers; or float32 (N, classes), shares of them, which mixing
            needs.
        settings: of the run: batch size, sampling, mixing, class weights, seed.
        shuffle: False shows every row once, in their order, unmixed and unweighted.
        people: float32 (N, `person.WIDTH`), a second input; None for none.
    """

    def __init__(
        self,
        pixels: np.ndarray,
        labels: np.ndarray,
        settings: config.RunConfig,
        shuffle: bool = True,
        people: np.ndarray | None = None,
    ):
        # an empty part of a batch would stop a device
        self.shown = len(labels) // settings.devices * settings.devices
        if not shuffle:
            settings = config.RunConfig(batch_size=settings.batch_size)
        self.pixels, self.labels, self.settings, self.shuffle = pixels, labels, settings, shuffle
        self.people = people
        self.mixes = bool(settings.mixup or settings.cutmix)
        if self.mixes and labels.ndim == 1:
            raise ValueError("mixing needs labels as shares of classes, (N, classes)")
        self.weights, self.chances = weighed(labels, settings)

    @property
    def sample(self) -> tuple:
        """The first batch of epoch 0: what shapes and types to expect."""
        return next(self.epoch(0))

    def __len__(self) -> int:
        """Batches an epoch."""
        return -(-self.shown // self.settings.batch_size)

    def order(self, epoch: int) -> np.ndarray:
        """Rows of an epoch: each once, or drawn so that every class comes as often."""
        rng, n = np.random.default_rng([self.settings.seed, epoch]), len(self.labels)
        if self.chances is not None:
            return rng.choice(n, n, p=self.chances)
        order = np.arange(n)
        if self.shuffle:
            rng.shuffle(order)
        return order

    def epoch(self, number: int) -> Iterator[tuple]:
        """Batches (pixels, labels) or, with class weights, (pixels, labels, weights): uint8 or, if
        mixed, float32 (B, H, W, 3) in 0…255; int32 (B,) or float32 (B, classes); float32 (B,)."""
        rng = np.random.default_rng([self.settings.seed, number, 1])
        order, size = self.order(number)[: self.shown], self.settings.batch_size
        for start in range(0, len(order), size):
            yield self._batch(order[start : start + size], rng)

    def in_order(self, only: np.ndarray | None = None) -> Iterator[tuple]:
        """Every photograph once, or those of some rows: rows int (B,), pixels (B, H, W, 3), people
        or None."""
        rows, size = np.arange(len(self.pixels)), self.settings.batch_size
        rows = rows if only is None else only
        for start in range(0, len(rows), size):
            at = rows[start : start + size]
            yield at, self.pixels[at], None if self.people is None else self.people[at]

    def _batch(self, rows: np.ndarray, rng: np.random.Generator) -> tuple:
        pixels, labels = self.pixels[rows], self.labels[rows]
        weights = None if self.weights is None else self.weights[rows]
        if self.mixes:
            pixels, labels, weights = mixed(pixels, labels, weights, self.settings, rng)
        x = pixels if self.people is None else (pixels, self.people[rows])
        return (x, labels) if weights is None else (x, labels, weights)


def weighed(labels: np.ndarray, settings: config.RunConfig) -> tuple:
    """How much each photograph counts, float32 (N,), with class weights, else None; and the chance
    of each to be drawn, float64 (N,), with balanced sampling, else None."""
    numbers = labels.argmax(axis=1) if labels.ndim == 2 else labels
    counts = np.bincount(numbers)
    # of mean 1 over the photographs, so that the learning rate means the same
    weights = (len(numbers) / np.maximum(counts, 1) / (counts > 0).sum())[numbers]
    return (
        weights.astype(np.float32) if settings.class_weights else None,
        weights / len(numbers) if settings.sampling == "balanced" else None,
    )


def mixed(pixels, labels, weights, settings: config.RunConfig, rng) -> tuple:
    """A batch mixed with itself as the settings say: pixels, shares of classes and, where there are
    any, weights."""
    kinds = [kind for kind in ("mixup", "cutmix") if getattr(settings, kind)]
    kind = kinds[int(rng.integers(len(kinds)))]
    mix = {"mixup": mixup, "cutmix": cutmix}[kind]
    alpha, partner = getattr(settings, kind), rng.permutation(len(pixels))
    pixels, share = mix(pixels.astype(np.float32), partner, alpha, rng)
    labels = share * labels + (1 - share) * labels[partner]
    if weights is not None:
        weights = share * weights + (1 - share) * weights[partner]
    return pixels, labels, weights


def mixup(pixels, partner, alpha: float, rng) -> tuple[np.ndarray, np.float32]:
    """Each photograph blended with its partner (Zhang et al. 2018).

    Args:
        pixels: float32 (B, H, W, 3).
        partner: int (B,), of which row each is mixed with.
        alpha: of the Beta distribution the share is drawn from.
        rng: `numpy.random.Generator`.

    Returns:
        The batch, and the share that each photograph keeps, 0.5…1.
    """
    share = _share(alpha, rng)
    return share * pixels + (1 - share) * pixels[partner], share


def cutmix(pixels, partner, alpha: float, rng) -> tuple[np.ndarray, np.float32]:
    """A rectangle of each photograph replaced by its partner's (Yun et al. 2019).

    Arguments and result are those of `mixup`; the share is that of the area.
    """
    height, width = pixels.shape[1:3]
    side = np.sqrt(1 - _share(alpha, rng))
    h, w = round(side * height), round(side * width)
    top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
    mixed = pixels.copy()
    mixed[:, top : top + h, left : left + w] = pixels[partner, top : top + h, left : left + w]
    return mixed, np.float32(1 - h * w / (height * width))


def _share(alpha: float, rng) -> np.float32:
    drawn = rng.beta(alpha, alpha)
    return np.float32(max(drawn, 1 - drawn))
