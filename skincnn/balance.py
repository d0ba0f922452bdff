"""Even out the classes with Augmentor: more training photographs, copied from training ones only.

Augmentor does the image work (Bloice, Stocker and Holzinger, JOSS 2(19), 2017; Bloice, Roth and
Holzinger, Bioinformatics 35(21), 2019). This module decides what is copied, draws on all cores, and
settles what Augmentor's own `sample` leaves open: the same seed gives the same bytes, a probability
is that probability, a copy names its photograph, and nothing lands in the class folders.
"""

# Worker processes import this module too; pandas would triple the time that takes, so it (and
# `data`, which needs it) is imported where it is used.
from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import io
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
import types
import uuid
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import Augmentor
import numpy as np
import PIL
from PIL import Image

from skincnn import config, images

if TYPE_CHECKING:
    import pandas as pd

# The published recipe: (name of an Augmentor.Pipeline method, its arguments), applied in order.
OPERATIONS = (("rotate", {"probability": 0.7, "max_left_rotation": 10, "max_right_rotation": 10}),)
# Hardly any loss, colour at full resolution. At Pillow's defaults (75, colour halved) a copy looks
# softer than a photograph, and the rarer a class, the more of it is copies: a model could tell.
JPEG = {"quality": 95, "subsampling": "4:4:4"}
SMALL_JOB = 200  # copies; below, starting processes takes longer than they save
PARTIAL = ".skincnn-copies-"  # how the name of an unfinished folder begins
STALE = 3600  # seconds without a new file after which an unfinished folder's run is dead


def pipeline(operations=OPERATIONS) -> Augmentor.Pipeline:
    """The Augmentor pipeline of a recipe, with no folder behind it.

    Args:
        operations: (name, arguments) pairs: any Augmentor.Pipeline method that takes a probability,
            which may be anything in 0…1 (Augmentor itself refuses 0).

    Raises:
        ValueError: no such operation, or arguments it does not take, with Augmentor's own reason.
    """
    made = Augmentor.Pipeline()
    methods = inspect.getmembers(made, inspect.ismethod)
    choices = {n: m for n, m in methods if "probability" in inspect.signature(m).parameters}
    if isinstance(operations, str) or not operations:
        raise ValueError(f"operations={operations!r}: needs at least one (name, arguments) pair")
    for step in operations:
        if not (isinstance(step, tuple | list) and len(step) == 2 and isinstance(step[1], dict)):
            raise ValueError(f"operation {step!r}: must be a (name, arguments) pair")
        name, arguments = step
        if name not in choices:
            raise ValueError(f"operation {name!r}: unknown, choose one of {', '.join(choices)}")
        try:
            bound = inspect.signature(choices[name]).bind(**arguments)
            bound.apply_defaults()
            probability = bound.arguments["probability"]
            if not 0 <= probability <= 1:
                raise ValueError(Augmentor.Pipeline._probability_error_text)
            choices[name](**{**bound.arguments, "probability": 1})
        except (TypeError, ValueError) as error:
            raise ValueError(f"operation {name!r} with {arguments}: {error}") from None
        made.operations[-1].probability = probability
    return made


def add(
    index: pd.DataFrame,
    per_class: int,
    operations=OPERATIONS,
    *,
    fold: int | None = None,
    seed: int = 123,
    out: str | Path | None = None,
    jobs: int | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Add the same number of copies to every class, as the published recipe does (500).

    They are spread evenly over a class's training photographs, each copied equally often or once
    more. A finished folder of the very same request is used again, not drawn again.

    Args:
        index: from `data.load`, without copies.
        per_class: copies to add to each class, at least 1.
        operations: what to do to a copy, see `pipeline`.
        fold: the held-out fold, required where the index has folds. The result serves that fold
            alone: what another fold holds out has been copied.
        seed: with the photographs and operations it decides every byte.
        out: folder to write, outside the set; by default one below `outputs/local/augmented`.
        jobs: processes; by default one a core, or only this one for a small job.
        progress: show a progress bar.

    Returns:
        The index, and behind it one row a copy (a JPEG): its own `file` (`augmented/…`), `width`,
        `height` and `sha256`; `augmented_from` its source; `fold` −1 where there are folds; the
        rest as its source. `attrs["augmented_root"]` is the folder of the copies.

    Raises:
        ValueError: a number below 1, a class with nothing to copy, an unknown operation, a missing
            or unknown fold, an index with copies, an `out` inside the set or in use for something
            else, a photograph that can no longer be decoded.

    Example:
        >>> bigger = balance.add(data.load("sample"), per_class=20)
    """
    if per_class < 1:
        raise ValueError(f"per_class={per_class!r}: must be at least 1")
    return _extend(index, lambda _: per_class, operations, fold, seed, out, jobs, progress)


def fill(
    index: pd.DataFrame,
    target: int,
    operations=OPERATIONS,
    *,
    fold: int | None = None,
    seed: int = 123,
    out: str | Path | None = None,
    jobs: int | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Fill every class up to `target` (≥ 1) training photographs; a larger one stays as it is.

    All else is as in `add`.

    Example:
        >>> even = balance.fill(splits.published(index), target=500, fold=0)
    """
    if target < 1:
        raise ValueError(f"target={target!r}: must be at least 1")
    return _extend(index, lambda n: max(0, target - n), operations, fold, seed, out, jobs, progress)


def _extend(index, copies_for, operations, fold, seed, out, jobs, progress) -> pd.DataFrame:
    """The index with copies; `copies_for(training photographs)` says how many a class gets."""
    import pandas as pd

    from skincnn import data

    pipeline(operations)  # a wrong recipe shows here, not in a worker
    trains = _training(index, fold)
    sources = index[trains & (index["split"] == "train")].sort_values("file", ignore_index=True)
    counts = index["label"][trains].value_counts()
    wanted = {label: copies_for(int(counts.get(label, 0))) for label in data.classes(index)}
    plan = _plan(sources, wanted, seed)
    if not plan:
        return index.copy()
    rows, names, ordinals = zip(*plan, strict=True)
    copies = sources.iloc[list(rows)].reset_index(drop=True)
    copies["augmented_from"] = copies["file"]
    copies["file"] = [data.COPIES + name for name in names]
    if "fold" in copies:
        copies["fold"] = copies["fold"].where(False, -1)  # keeps the column's type

    request = {
        "sources": data.fingerprint(sources, ["file", "label", "sha256"]),
        "copies": wanted,
        "operations": [list(step) for step in operations],
        "seed": seed,
        "jpeg": JPEG,
        "versions": {"Augmentor": Augmentor.__version__, "Pillow": PIL.__version__},
    }
    text = json.dumps(request, indent=1)
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    folder = Path(out or config.local_dir() / "augmented" / key).expanduser().resolve()
    sources_at = data.paths(sources)
    root = Path(index.attrs["root"]).resolve()
    if folder.is_relative_to(root):
        raise ValueError(
            f"out={folder} lies inside the set {root}, where the next load would take the copies "
            "for photographs: choose a folder outside it"
        )
    manifest = _finished(folder, text, names)
    if manifest is None:
        tasks = {}
        for row, name, ordinal in zip(rows, names, ordinals, strict=True):
            source = (str(sources_at[row]), sources["file"][row])
            tasks.setdefault(source, []).append((name, ordinal))
        with _appearing(folder) as partial:
            for label in sorted(set(copies["label"])):
                (partial / label).mkdir()
            draw = functools.partial(_draw, folder=partial, operations=operations, seed=seed)
            facts = _run(draw, list(tasks.items()), jobs, progress)
            manifest = copies[["augmented_from", "label"]].join(
                pd.DataFrame(facts, columns=["width", "height", "sha256"])
            )
            manifest.insert(0, "file", names)
            (partial / "request.json").write_text(text)
            manifest.to_csv(partial / "manifest.csv", index=False)
    facts = ["width", "height", "sha256"]
    copies[facts] = manifest[facts]
    result = pd.concat([index, copies], ignore_index=True)
    result.attrs = {**index.attrs, "augmented_root": str(folder)}
    return result


def _training(index: pd.DataFrame, fold: int | None) -> pd.Series:
    """Which rows train, as booleans."""
    if (index["augmented_from"] != "").any():
        raise ValueError("this index has copies already: start from the one without them")
    usable = index["problem"] == ""
    if "fold" not in index:
        if fold is not None:
            raise ValueError(f"fold={fold!r}: this index has no folds, `splits` adds them")
        return usable & (index["split"] == "train")
    folds = sorted(int(k) for k in index["fold"].dropna().unique() if k >= 0)
    if fold not in folds:
        raise ValueError(
            f"fold={fold!r}: pass the one held out, of {folds}; a copy of a held-out photograph "
            "in training would leak"
        )
    return usable & index["fold"].ne(fold).fillna(False).astype(bool) & index["fold"].notna()


def _plan(sources: pd.DataFrame, wanted: dict[str, int], seed: int) -> list[tuple[int, str, int]]:
    """For every copy: its row in `sources`, its name, how many copies that row has before it."""
    plan = []
    for label, copies in wanted.items():
        rows = [int(row) for row in np.flatnonzero(sources["label"] == label)]
        if copies and not rows:
            raise ValueError(f"class {label!r} has no usable training photograph to copy")
        times, rest = divmod(copies, max(1, len(rows)))
        once_more = random.Random(f"{seed} {label}").sample(rows, rest)
        turns = [(row, k) for row in rows for k in range(times + (row in once_more))]
        for number, (row, k) in enumerate(turns, start=1):
            name = f"{label}/{Path(sources['file'][row]).stem}__{number:04d}.jpg"
            plan.append((row, name, k))
    return plan


def _finished(folder: Path, request: str, names: tuple[str, ...]) -> pd.DataFrame | None:
    """The manifest of a folder that holds exactly what is asked for, or None: draw it."""
    import pandas as pd

    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    asked = folder / "request.json"
    if not asked.is_file() or asked.read_text() != request:
        raise ValueError(f"out={folder} holds something else: remove it or name another folder")
    try:
        manifest = pd.read_csv(folder / "manifest.csv", keep_default_na=False)
        digests = [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names]
    except OSError:
        return None
    return manifest if list(manifest["sha256"]) == digests else None


@contextlib.contextmanager
def _appearing(folder: Path):
    """A folder to write to that takes its name when the block ends well, and vanishes if not."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob(f"{PARTIAL}*"):  # by killed runs, or by one that is at work
        if time.time() - max(p.stat().st_mtime for p in [left, *left.iterdir()]) > STALE:
            shutil.rmtree(left, ignore_errors=True)
    partial = folder.with_name(PARTIAL + uuid.uuid4().hex)
    replaced = folder.with_name(partial.name + "-replaced")
    partial.mkdir()
    try:
        yield partial
        if folder.exists():  # empty, damaged, or finished by another process meanwhile
            folder.rename(replaced)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)


def _run(draw, tasks: list, jobs: int | None, progress: bool) -> list[tuple[int, int, str]]:
    """(width, height, sha256) of every copy, in order, whichever process drew it."""
    from tqdm.auto import tqdm

    total = sum(len(copies) for _, copies in tasks)
    if jobs is None:
        jobs = 1 if total < SMALL_JOB else os.cpu_count() or 1
    jobs = min(jobs, len(tasks), 61)  # Windows waits for 61 processes at most
    facts = []
    bar = tqdm(total=total, desc="drawing copies", unit="copy", disable=not progress)
    states = random.getstate(), np.random.get_state()  # drawing in this process changes them
    pool = None
    try:
        if jobs > 1:
            # Spawned, not forked: TensorFlow's threads do not survive a fork. Ctrl-C is ours alone.
            context = multiprocessing.get_context("spawn")
            ignore = (signal.SIGINT, signal.SIG_IGN)
            pool = ProcessPoolExecutor(jobs, context, signal.signal, ignore)
            with _no_main():
                size = max(1, min(16, len(tasks) // (4 * jobs)))
                drawn = pool.map(draw, tasks, chunksize=size)
        else:
            drawn = map(draw, tasks)
        for some in drawn:
            facts += some
            bar.update(len(some))
    finally:
        if pool:  # waits for what is being drawn: nobody may write to a folder being removed
            pool.shutdown(cancel_futures=True)
        random.setstate(states[0])
        np.random.set_state(states[1])
        bar.close()
    return facts


@contextlib.contextmanager
def _no_main():
    """Keep workers from importing the caller's script: it would load TensorFlow in each of them,
    and run a script without an `if __name__ == "__main__"` guard once more."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _draw(task, folder: Path, operations, seed: int) -> list[tuple[int, int, str]]:
    """Write all copies of one photograph, which is decoded once: (width, height, sha256) of each."""
    (path, file), copies = task
    try:
        photograph = Image.fromarray(images.decode(path))
    except images.ImageProblem as problem:
        raise images.ImageProblem(f"{path}: {problem}") from None
    steps = pipeline(operations).operations
    facts = []
    for name, ordinal in copies:
        digest = hashlib.sha256(f"{seed}\n{file}\n{ordinal}".encode()).digest()
        random.seed(digest)  # Augmentor draws from both global generators
        np.random.seed(np.frombuffer(digest, dtype="<u4"))
        # Augmentor rounds to one digit before it compares: probability 0 fires one time in twenty.
        chance = random.Random(b"fires" + digest)
        copy = photograph.copy()  # some operations paint on what they are given
        for step in steps:
            if chance.random() < step.probability:
                try:
                    [copy] = step.perform_operation([copy])
                except Exception as error:
                    raise ValueError(f"{path}: {type(step).__name__} failed: {error}") from error
        buffer = io.BytesIO()
        (copy if copy.mode == "RGB" else copy.convert("RGB")).save(buffer, "JPEG", **JPEG)
        (folder / name).write_bytes(buffer.getvalue())
        facts.append((*copy.size, hashlib.sha256(buffer.getvalue()).hexdigest()))
    return facts
