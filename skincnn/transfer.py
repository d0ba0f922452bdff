"""What a network brings along: from another set, and from features computed once.

A run's first steps would tear up what a backbone knows while the classifier on it knows nothing.
So the classifier learns alone first; on features that are computed once, which costs a third of an
epoch however many epochs it learns for.
"""

import hashlib
import json
from collections.abc import Callable

import keras
import numpy as np
import pandas as pd

from skincnn import (
    atomic,
    config,
    data,
    duplicates,
    feed,
    images,
    provenance,
    relatives,
    runs,
    sketches,
)

HEAD_RATE = 1e-3
HEAD_ROWS = 20_000  # at most, whose features are computed for the classifier: 100 MB
RELATED = ["file", "sha256", "image_id", "lesion_id", "patient_id", "group"]
FEWEST = 10  # photographs of a class that is worth learning beforehand


def warm_head(model: keras.Model, source, settings: config.RunConfig) -> None:
    """Train the classifier of a backbone on features of unchanged photographs, in place.

    Args:
        model: with layers `features` and `classifier`; one without is left as it is. What it knows
            of a person is left as it is too.
        source: `pipeline.source` of what trains; its class weights and sampling hold here too. Of
            more than `HEAD_ROWS` photographs that many are drawn.
        settings: `head_epochs`, batch size and seed.
    """
    if "features" not in {layer.name for layer in model.layers}:
        return
    body = keras.Model(model.inputs[0], model.get_layer("features").output)
    n = len(source.labels)
    rows = np.sort(np.random.default_rng(settings.seed).permutation(n)[:HEAD_ROWS])
    parts = [
        (at, body.predict_on_batch(pixels.astype(np.float32)))
        for at, pixels, _ in source.in_order(None if len(rows) == n else rows)
    ]
    order, features = (np.concatenate(column) for column in zip(*parts, strict=True))
    features, labels = features.astype(np.float32), source.labels[order]
    classifier = model.get_layer("classifier")
    kernel, bias = classifier.get_weights()
    width = features.shape[1]
    head = keras.Sequential(
        [
            keras.Input((width,)),
            keras.layers.Dropout(settings.dropout, seed=settings.seed),
            keras.layers.Dense(model.output_shape[-1], activation="softmax"),
        ]
    )
    head.layers[-1].set_weights([kernel[:width], bias])
    head.compile(
        keras.optimizers.Adam(HEAD_RATE),
        "categorical_crossentropy" if labels.ndim == 2 else "sparse_categorical_crossentropy",
    )
    plain = settings.replace(mixup=0.0, cutmix=0.0)
    narrow = feed.Feed(features[:, None, None], labels, plain)
    for epoch in range(settings.head_epochs):
        for x, *rest in narrow.epoch(epoch):
            head.train_on_batch(x[:, 0, 0], *rest)
    learnt, bias = head.layers[-1].get_weights()
    classifier.set_weights([np.concatenate([learnt, kernel[width:]]), bias])


def take_over(model: keras.Model, before: runs.Run) -> None:
    """Give a network the weights of a run on another set, but for the classifier."""
    known = before.model
    pairs = zip(_body(model), _body(known), strict=True)
    for layer, source in pairs:
        layer.set_weights(source.get_weights())


def before(
    settings: config.RunConfig, index: pd.DataFrame, fit: Callable, verbose: int | str = 0
) -> runs.Run:
    """The run that pretrains: the same network on another set, without any relative of this one's
    photographs, so that it serves every fold and every seed.

    Classes of which hardly a photograph is left are left out too: balanced sampling would show
    those few all the time. Of HAM10000 the nine-class set takes all but 3 actinic keratoses, 1
    dermatofibroma and no vascular lesion; it trains on most of them itself.

    Args:
        settings: of the run to come.
        index: its rows.
        fit: `train.fit`.
        verbose: Keras's.

    Returns:
        The finished run, kept under `outputs/local/`.
    """
    other = data.load(settings.pretrain, progress=verbose not in (0, "0"))
    free = without_relatives(other, index[index["augmented_from"] == ""])
    counts = free["label"].map(free["label"].value_counts())
    free = free[counts >= FEWEST].reset_index(drop=True)
    plain = settings.replace(
        preset=f"pretrain_{settings.pretrain}",
        pretrain="",
        epochs=settings.pretrain_epochs,
        protocol="published",
        validation_fraction=0.1,
        fold=0,
        copies_per_class=0,
        fill_to=0,
        early_stopping=0,
        keep="lowest_loss",
        seed=config.RunConfig.seed,
        views=1,
    )
    key = json.dumps(provenance.identity(plain, free), sort_keys=True)
    name = f"pretrain_{settings.pretrain}_{hashlib.sha256(key.encode()).hexdigest()[:10]}"
    return fit(plain, free, config.local_dir() / name, verbose)


def without_relatives(other: pd.DataFrame, index: pd.DataFrame) -> pd.DataFrame:
    """The usable rows of a set that share nothing with another: no photograph however changed, no
    image id, lesion, patient.

    Args:
        other: the set to take rows from.
        index: the set whose relatives go; with the photographs in place.
    """
    other, index = data.usable(other), data.usable(index)
    fingerprints = [data.fingerprint(rows, RELATED) for rows in (index, other)]
    key = hashlib.sha256("\n".join([str(images.DECODER), *fingerprints]).encode()).hexdigest()
    store = config.local_dir() / "cache" / f"strangers_{key[:16]}.txt"
    if not store.is_file():  # every fold and every seed asks
        atomic.write_text(store, "\n".join(_strangers(other, index)))
    kept = other["file"].isin(store.read_text("utf-8").split("\n"))
    return other[kept].reset_index(drop=True)


def _strangers(other: pd.DataFrame, index: pd.DataFrame) -> list[str]:
    rows, small = [], []
    for number, some in enumerate((index, other)):
        sketched, pictures = sketches.measure(some, progress=False)
        own = [f"{number}/{group}" for group in some["group"]]
        rows.append(some[RELATED].assign(pixels=sketched["pixels"].to_numpy(), own=own))
        small.append(pictures)
    both = pd.concat(rows, ignore_index=True).fillna("").astype(str)
    alike = [(a, b) for a, b, *_ in duplicates.pairs(np.concatenate(small))]
    columns = ["image_id", "lesion_id", "patient_id", "pixels", "own"]
    # A relative's relative is one too: a copy of a copy, the other photograph of its lesion.
    pieces = np.array(relatives.groups(both.assign(file=range(len(both))), columns, alike))
    ours = set(pieces[: len(index)])
    strange = [piece not in ours for piece in pieces[len(index) :]]
    return list(other["file"][strange])


def _body(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers with weights, in order, without the last: the classifier."""
    return [layer for layer in model.layers if layer.weights][:-1]
