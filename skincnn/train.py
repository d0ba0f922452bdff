"""Train a network on an index, or take the run that is already there.

Interrupted, the same call goes on from the last finished epoch. Evaluation happens once, at the
end, with the weights of the epoch that had the lowest validation loss, or of the last (`keep`).
"""

import itertools
import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from skincnn import (
    atomic,
    config,
    data,
    distribute,
    evaluate,
    fitting,
    leakage,
    optimizers,
    person,
    pipeline,
    precision,
    predictions,
    protocols,
    provenance,
    runs,
    splits,
    transfer,
    views,
)


def fit(
    settings: config.RunConfig,
    index: pd.DataFrame,
    folder: str | Path | None = None,
    verbose: int | str = "auto",
    tensorboard: bool = False,
) -> runs.Run:
    """Train, or go on training, in a run folder.

    Args:
        settings: what to train and how.
        index: from `data.load`; split and balanced here unless it has a `fold`.
        folder: the run folder; None makes `outputs/local/<set>_<preset>`.
        verbose: Keras's: 0 silent, 1 progress bars, 2 one line an epoch.
        tensorboard: also write `tensorboard/` into the run folder.

    Returns:
        The finished run.

    Raises:
        runs.RunError: the folder holds a run with other settings or data; the message lists them.
        leakage.LeakageError: photographs that train are related to held-out ones. Protocol `clean`
            refuses every relation, `split_first` copies of held-out photographs only (the
            published folders hold duplicates, which are left as they are); `published` none.
        ValueError: a part of the split is empty, or a setting is out of range.
    """
    folder = Path(folder or default_folder(settings, index))
    if not distribute.first():  # the lock is the first process's; this one reads and computes only
        return _fit(settings, protocols.prepare(settings, index, False), folder, 0, False)
    index = protocols.prepare(settings, index, verbose not in (0, "0"))
    wanted = provenance.identity(settings, index[index["fold"].notna()])
    # while another process trains there: not hours later
    with atomic.alone_in(folder, lambda: _refuse_another(folder, wanted)):
        return _fit(settings, index, folder, verbose, tensorboard)


def _refuse_another(folder: Path, wanted: dict) -> None:
    """Where a folder holds a run, finished or not, of other settings or data."""
    if not (folder / "config.json").is_file():
        return
    if changed := provenance.differences(runs.Run(folder).info, wanted):
        raise runs.RunError(
            f"{folder} holds another run: {'; '.join(changed)}. "
            "Choose another folder, or remove this one."
        )


def _fit(settings, index, folder: Path, verbose, tensorboard) -> runs.Run:
    show = verbose not in (0, "0")
    distribute.check(settings)
    if show and "shard" in index and settings.protocol == "published":
        print("Protocol published: whole shards are held out, and patients straddle them.")
    if settings.protocol != "published":
        shared = tuple(splits.SHARED) if settings.protocol == "clean" else ("copy",)
        leakage.assert_none(index, settings.fold, shared)
    classes = data.classes(index)
    run = runs.Run(folder)
    wanted = provenance.describe(settings, index, classes, settings.precision)
    if (folder / "config.json").is_file():
        _refuse_another(folder, wanted)
        wanted["precision_used"] = run.info["precision_used"]
        if run.finished and (folder / "model.keras").is_file():
            shutil.rmtree(folder / "checkpoints", ignore_errors=True)  # a kill came just before
            return run

    began, fold = time.perf_counter(), settings.fold
    train_rows, chooses = splits.training(index, fold), splits.validation(index, fold)
    if settings.keep == "highest_auc" and len(classes) != 2:
        raise ValueError(f"keep='highest_auc' is of two classes, and there are {len(classes)}")
    training = _source(train_rows, classes, settings, show)
    chooser = _source(chooses, classes, settings, show, shuffle=False)
    if settings.pretrain:
        asked = time.perf_counter()
        before = transfer.before(settings, index, fit, verbose)
        began += time.perf_counter() - asked  # told by itself
        wanted["pretrained"] = {
            "run": before.name,
            "photographs": before.info["data"]["training"],
            "minutes": round(before.minutes, 2),
        }
    else:
        before = None
    if wanted["precision_used"] == "auto":
        wanted["precision_used"] = precision.choose(
            lambda dtype: fitting.compiled(settings, len(classes), dtype),
            training,
            show,
        )
    if distribute.first():
        atomic.write_json(folder / "config.json", wanted)

    kind = len(classes), wanted["precision_used"]
    state = fitting.epochs(settings, kind, training, chooser, folder, before, verbose, tensorboard)
    del training
    if not distribute.first():
        distribute.wait_for(folder / "metrics.json")
        return run
    model = fitting.as_predicting(settings, len(classes), state.best_weights)
    with atomic.writing(folder / "model.keras") as temporary:
        model.save(temporary)
    wanted["parameters"] = model.count_params()
    held_out, test = splits.held_out(index, fold), splits.test(index)
    if len(test):
        of_test = _source(test, classes, settings, show, shuffle=False)
        _score(_answer(model, of_test, test, classes, settings, show), folder, "_test")
    answers = _answer(model, chooser, chooses, classes, settings, show)
    if "inner" in index:
        predictions.write(answers.assign(fold=fold), folder / "predictions_inner.csv")
        outer = _source(held_out, classes, settings, show, shuffle=False)
        answers = _answer(model, outer, held_out, classes, settings, show)
    epochs = sum(row["seconds"] for row in state.history[state.found :])
    beside = time.perf_counter() - began - epochs
    wanted["minutes_beside"] = round(beside / 60, 2)
    atomic.write_json(folder / "config.json", wanted)
    _score(answers, folder, "")
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    vars(run).pop("info", None)  # read again: config.json is new
    return run


def fit_or_load(
    settings: config.RunConfig,
    index: pd.DataFrame,
    folder: str | Path | None = None,
    verbose: int | str = "auto",
    tensorboard: bool = False,
) -> runs.Run:
    """The saved run if its settings and data are the ones asked for, else a new one.

    A run that differs is moved to `<folder>.previous1` (and says in what), never trusted or lost.
    Arguments and result are those of `fit`.
    """
    folder = Path(folder or default_folder(settings, index))
    index = protocols.prepare(settings, index, verbose not in (0, "0"))
    with atomic.alone_in(folder):
        if (folder / "config.json").is_file():
            saved = runs.Run(folder).info
            wanted = provenance.describe(settings, index, data.classes(index), settings.precision)
            if changed := provenance.differences(saved, wanted):
                folder.rename(_aside(folder))
                print(f"The saved run differs ({'; '.join(changed)}): training again.")
        return _fit(settings, index, folder, verbose, tensorboard)


def _aside(folder: Path) -> Path:
    """The first free name of `<folder>.previous1`, `.previous2` …"""
    names = (folder.with_name(f"{folder.name}.previous{n}") for n in itertools.count(1))
    return next(name for name in names if not name.exists())


def default_folder(settings: config.RunConfig, index: pd.DataFrame) -> Path:
    """`outputs/local/<set>_<preset>`."""
    return config.local_dir() / f"{index.attrs.get('name', 'data')}_{settings.preset}"


def _source(rows, classes, settings: config.RunConfig, show: bool, shuffle: bool = True):
    numbers = pipeline.labels(rows, classes)
    if optimizers.soft_labels(settings):
        numbers = np.eye(len(classes), dtype=np.float32)[numbers]
    people = person.vectors(person.of(rows)) if settings.metadata else None
    return pipeline.source(rows, numbers, settings, shuffle, people, show)


def _answer(model, source, rows, classes, settings, show: bool) -> pd.DataFrame:
    """Predictions for what a source shows: means over as many views as the settings say."""
    answers = np.empty((len(rows), len(classes)), np.float32)
    with tqdm(total=len(rows), desc="predicting", disable=not show) as bar:
        seen = 0
        for at, pixels, people in source.in_order():
            seen += len(at)
            answers[at] = views.probabilities(
                model.predict_on_batch, pixels, settings.views, settings.batch_size, people
            )
            bar.update(len(at))
        if seen < len(rows):
            raise data.DataError(f"{len(rows) - seen} photographs are not there any more")
    return predictions.frame(rows, answers, classes, settings.seed)


def _score(table: pd.DataFrame, folder: Path, suffix: str) -> None:
    predictions.write(table, folder / f"predictions{suffix}.csv")
    # from the file, as anyone else would: the two can then never disagree
    saved = predictions.read(folder / f"predictions{suffix}.csv")
    atomic.write_json(folder / f"metrics{suffix}.json", evaluate.metrics(saved))
