"""A trained run as one file (or folder) that answers without Keras: ONNX, LiteRT or SavedModel.

Views are averaged inside the graph, and everything else an answer depends on is sealed into the
file (see `artefact`): temperature, thresholds, what a stranger is.
"""

import dataclasses
import warnings
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from keras import ops

from skincnn import (
    artefact,
    atomic,
    calibrate,
    decisions,
    download,
    labels,
    person,
    pipeline,
    predictions,
    predictor,
    protocols,
    quantise,
    runs,
    splits,
    strangers,
)

WEIGHTS = ("float32", "int8")
SAME = 1e-4  # how far an export's probabilities may lie from the run's own
SURE = 0.9  # share of the answers that are to be right, where "not sure" can bring that about
ANSWERED = 0.5, 0.8  # share answered: at least, for that; else this
_ENDINGS = {kind: ending for ending, kind in artefact.ENDINGS.items()} | {"savedmodel": ""}
_KERAS = {"onnx": "onnx", "litert": "litert", "savedmodel": "tf_saved_model"}


def write(
    run: runs.Run,
    kind: str = "onnx",
    out: str | Path | None = None,
    data: pd.DataFrame | None = None,
    weights: str = "float32",
    progress: bool = True,
) -> Path:
    """Write a run's network as a sealed model.

    Args:
        run: finished, with its weights.
        kind: one of `artefact.FORMATS`.
        out: the file or, for a SavedModel, folder; None is `<run folder>/<run name>.onnx` and the
            like. What was exported there before is replaced.
        data: the index of the set that the run was trained on, as `data.load` gives it: the model
            then knows strangers, by what the network makes of that set. None: every photograph is
            taken for one of a lesion.
        weights: `float32`, or `int8`: a quarter of the size, computed in float32 (not SavedModel).
        progress: show progress bars.

    Returns:
        Where it is. The graph takes uint8 (N, S, S, 3) `photographs` and gives float32
        `probabilities` (N, C) and `features` (N, D), the classifier's input.

    Raises:
        runs.RunError: no weights, or a set that the run was not trained on.
        artefact.ArtefactError: a place that holds something else, or a network that the converter
            changes.
        ValueError: an unknown kind or weights.

    Example:
        >>> export.write(runs.Run("outputs/local/sample_final"), data=data.load("sample"))
    """
    for name, value, allowed in (
        ("kind", kind, artefact.FORMATS),
        ("weights", weights, WEIGHTS),
    ):
        if value not in allowed:
            raise ValueError(f"{name}={value!r}: choose one of {', '.join(allowed)}")
    if kind == "savedmodel" and weights != "float32":
        raise ValueError(f"weights={weights!r}: a SavedModel keeps float32; use onnx or litert")
    out = Path(out) if out else run.folder / f"{run.name}{_ENDINGS[kind] or '_savedmodel'}"
    _refuse(out, kind)
    said = facts(run, weights)
    network = graph(run)
    with atomic.writing(out) as temporary:
        more = {}
        if kind == "litert" and weights == "int8":
            import tensorflow as tf

            more["optimizations"] = [tf.lite.Optimize.DEFAULT]
        size = said.image_size
        network(np.zeros((1, size, size, 3), np.uint8))  # Keras exports only what was called
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # Keras asks NumPy for what it had once
            network.export(str(temporary), format=_KERAS[kind], verbose=False, **more)
        if kind == "onnx" and weights == "int8":
            quantise.onnx_weights(temporary)
        model = predictor.opened(temporary, said)
        if weights == "float32":
            _check(model, run)
        if data is not None:
            said = dataclasses.replace(said, strangers=_strangers(model, run, data, progress))
        artefact.seal(temporary, said)
    return out


def graph(run: runs.Run) -> keras.Model:
    """A run's network as it is exported: from uint8 photographs to means over their views.

    The views stand side by side in the batch: a convolution that is called several times has no
    place in LiteRT's own operations. What is known of a person is nothing: zeros.
    """
    model, settings = run.model, run.config
    size, several = settings.image_size, settings.views
    photographs = keras.Input((size, size, 3), dtype="uint8", name="photographs")
    seen = _turned(ops.cast(photographs, "float32"), size, several)
    body = keras.Model(model.inputs, [model.output, model.get_layer("classifier").input])
    told = [ops.repeat(0.0 * seen[:, 0, 0, :1], person.WIDTH, axis=1)] if settings.metadata else []
    outputs = []
    for output in body([seen, *told] if told else seen):
        if several > 1:
            output = ops.mean(ops.reshape(output, (several, -1, output.shape[-1])), axis=0)
        outputs.append(output)
    return keras.Model(photographs, dict(zip(("probabilities", "features"), outputs, strict=True)))


def facts(run: runs.Run, weights: str = "float32") -> artefact.Facts:
    """What is sealed into a run's model, but for strangers.

    All is fitted on the inner part of protocol `clean`, which chose the epoch and nothing that is
    published (other protocols have no such part: temperature 1, always sure, a half):

    - `temperature`: `calibrate.temperature`.
    - `abstain_below`: the lowest confidence from which 90 % of the answers are right, if half of
      the photographs are answered then; else the confidence of the surest 80 %.
    - the threshold of malignancy: where as many malignant photographs are missed as benign ones are
      called, by share. One at 95 % specificity misses many more of what matters; one that misses
      next to none calls nearly every mole. Who needs another has the probability.
    - its interval: `calibrate.interval`.

    Raises:
        runs.RunError: no finished run of one network.
    """
    if not run.finished or "seeds" in run.info or "members" in run.info:
        raise runs.RunError(
            f"{run.folder} is no finished training of one network; of a cross-validation export "
            "one of its folds (cv --keep-models)"
        )
    info, settings = run.info, run.config
    inner, temperature, sure, malignant = run.folder / "predictions_inner.csv", 1.0, 0.0, {}
    counted = [labels.malignant(name) for name in run.classes]
    if None not in counted and len(set(counted)) == 2:
        named = [name for name, is_so in zip(run.classes, counted, strict=True) if is_so]
        malignant = {"classes": named, "threshold": None, "grid": []}
    if inner.is_file():
        table = predictions.read(inner)
        fitted = calibrate.temperature(table)
        # At an end of what is tried every answer was right, or nearly: no reason for certainty.
        if calibrate.COOLEST < fitted < calibrate.HOTTEST:
            temperature = round(fitted, 6)
        table = calibrate.apply(table, temperature)
        sure = _sure(table)
        if malignant:
            malignant |= _threshold(table, malignant["classes"])
    return artefact.Facts(
        name=run.name,
        classes=list(run.classes),
        image_size=settings.image_size,
        views=settings.views,
        hair_removal=settings.hair_removal,
        temperature=temperature,
        abstain_below=sure,
        malignant=malignant,
        licence=download.licence(info["data"].get("name", "")),
        source={
            "data": info["data"].get("name", ""),
            "preset": settings.preset,
            "model": settings.model,
            "protocol": settings.protocol,
            "fold": settings.fold,
            "seed": settings.seed,
            "weights": weights,
            "balanced_accuracy": run.metrics["balanced_accuracy"],
            "commit": info.get("commit", ""),
            "versions": info.get("versions", {}),
        },
    )


# --- underneath ----------------------------------------------------------------------------------


def _refuse(out: Path, kind: str) -> None:
    """Stop before the work where its result could not be written."""
    if kind == "savedmodel":
        fits, wanted = out.suffix.lower() not in artefact.ENDINGS, "is a folder's"
    else:
        fits, wanted = out.suffix.lower() == _ENDINGS[kind], f"ends in {_ENDINGS[kind]}"
    if not fits:
        raise artefact.ArtefactError(f"{out}: the name of a model for {kind} {wanted}")
    ours = not out.exists() or (out / artefact.SEAL if kind == "savedmodel" else out).is_file()
    if not ours:
        raise artefact.ArtefactError(f"{out} holds something else: choose another place")


def _turned(images, size: int, n: int):
    """The views of `views.turned`, one behind the other in the batch."""
    back = list(range(size))[::-1]

    def flip(x, axis):
        return ops.take(x, back, axis=axis)  # what every converter can

    found = []
    for at in range(n):
        view = images
        for _ in range(at % 4):
            view = flip(ops.transpose(view, (0, 2, 1, 3)), 1)
        found.append(flip(view, 2) if at >= 4 else view)
    return ops.concatenate(found, axis=0) if n > 1 else images


def _check(model: predictor.Predictor, run: runs.Run) -> None:
    """A converter that changes the network is found out here, not by who gets the answers."""
    size = run.config.image_size
    pixels = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    off = np.abs(model.raw(pixels)[0] - run.classify(pixels)).max()
    if not off <= SAME:
        raise artefact.ArtefactError(
            f"the exported network's probabilities are off by {off:.2g}: nothing was written"
        )


def _strangers(model, run: runs.Run, index: pd.DataFrame, progress: bool) -> dict:
    """Fit `strangers` to photographs that trained, its threshold to those that did not."""
    settings = run.config
    prepared = protocols.prepare(settings, index, progress)
    used = prepared[prepared["fold"].notna()]
    if splits.fingerprint(used) != run.info["data"]["rows_sha256"]:
        raise runs.RunError(
            f"{index.attrs.get('name') or 'the set'} is not what {run.folder} was trained on "
            "(files, labels or folds differ): give its own set, or none"
        )
    trained = splits.training(prepared, settings.fold)
    trained = trained[trained["augmented_from"] == ""]
    if len(trained) > strangers.BANK:
        rows = np.random.default_rng(settings.seed).permutation(len(trained))[: strangers.BANK]
        trained = trained.iloc[np.sort(rows)]
    lesions = splits.validation(prepared, settings.fold)
    return strangers.fit(*(_features(model, rows, run, progress) for rows in (trained, lesions)))


def _features(model, rows: pd.DataFrame, run: runs.Run, progress: bool) -> np.ndarray:
    settings = run.config.replace(hair_removal=False)  # the predictor does it
    numbers = pipeline.labels(rows, run.classes)
    shown = pipeline.source(rows, numbers, settings, shuffle=False, progress=progress)
    parts = [(at, model.raw(pixels)[1]) for at, pixels, _ in shown.in_order()]
    at, found = (np.concatenate(part) for part in zip(*parts, strict=True))
    return found[np.argsort(at)]


def _sure(table: pd.DataFrame) -> float:
    least, else_ = ANSWERED
    try:
        sure = decisions.abstention(table, accuracy=SURE)
        if decisions.selective(table, sure, replicates=1)["coverage"]["value"] >= least:
            return sure
    except ValueError:  # no confidence is right that often
        pass
    return decisions.abstention(table, coverage=else_)


def _threshold(table: pd.DataFrame, malignant: list[str]) -> dict:
    """Threshold and interval of the summed probability; nothing where one kind is missing."""
    scores = table[[labels.column(name) for name in malignant]].sum(axis=1).to_numpy()
    true = table["label"].isin(malignant).to_numpy()
    if true.all() or not true.any():
        return {}
    candidates = np.unique(scores)
    found = 1 - np.searchsorted(np.sort(scores[true]), candidates) / true.sum()
    passed = np.searchsorted(np.sort(scores[~true]), candidates) / (~true).sum()
    threshold = candidates[np.minimum(found, passed).argmax()]
    grid = calibrate.interval(scores, true).round(6).tolist()
    return {"threshold": round(float(threshold), 6), "grid": grid}
