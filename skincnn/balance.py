"""Even out the classes with Augmentor: more training photographs, copied from training ones only.

Augmentor does the image work (Bloice, Stocker and Holzinger, JOSS 2(19), 2017; Bloice, Roth and
Holzinger, Bioinformatics 35(21), 2019). This module decides what is copied, draws on all cores, and
settles what Augmentor's own `sample` leaves open: the same seed gives the same bytes, a probability
is that probability, a copy names its photograph, and nothing lands in the class folders.
"""

# Workers import this module too, and pandas would triple the time that takes: it and `data` are
# imported where they are used.
from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import io
import itertools
import json
import random
from pathlib import Path
from typing import TYPE_CHECKING

import Augmentor
import numpy as np
import PIL
from PIL import Image
from tqdm import tqdm

from skincnn import atomic, config, images, workers

if TYPE_CHECKING:
    import pandas as pd

# The published recipe: (name of an Augmentor.Pipeline method, its arguments), applied in order.
OPERATIONS = (("rotate", {"probability": 0.7, "max_left_rotation": 10, "max_right_rotation": 10}),)
SMALL_JOB = 200  # copies; below, starting processes takes longer than they save
FACTS = ["width", "height", "sha256"]  # of each file written


def pipeline(operations=OPERATIONS) -> Augmentor.Pipeline:
    """The Augmentor pipeline of a recipe, with no folder behind it.

    Args:
        operations: (name, arguments) pairs: any Augmentor.Pipeline method that takes a probability,
            which may be anything in 0…1, 1 if left out (Augmentor itself refuses 0).

    Raises:
        ValueError: no such operation, or arguments it does not take, with Augmentor's own reason.
    """
    made = Augmentor.Pipeline()
    methods = inspect.getmembers(made, inspect.ismethod)
    choices = {n: m for n, m in methods if "probability" in inspect.signature(m).parameters}
    if not operations or any(isinstance(step, str) or len(step) != 2 for step in operations):
        raise ValueError(f"operations={operations!r}: must be a list of (name, arguments) pairs")
    for name, arguments in operations:
        if name not in choices:
            raise ValueError(f"operation {name!r}: unknown, choose one of {', '.join(choices)}")
        try:
            choices[name](**{**arguments, "probability": 1})
            made.operations[-1].probability = probability = float(arguments.get("probability", 1))
            if not 0 <= probability <= 1:
                raise ValueError("the probability must be in 0…1")
        except (TypeError, ValueError) as error:
            raise ValueError(f"operation {name!r} with {arguments}: {error}") from None
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
            alone: what another fold holds out has been copied. Neither the held-out rows nor the
            inner part are copied.
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

    steps = pipeline(operations).operations
    trains = _training(index, fold)
    sources = index[trains].sort_values("file", ignore_index=True)
    counts = index["label"][trains].value_counts()
    wanted = {label: copies_for(int(counts.get(label, 0))) for label in data.classes(index)}
    plan = _plan(sources, wanted, seed)
    if not plan:
        return index.copy()
    copies = sources.iloc[[row for row, names in plan for _ in names]].reset_index(drop=True)
    copies["augmented_from"] = copies["file"]
    files = [name for _, names in plan for name in names]
    copies["file"] = [data.COPIES + file for file in files]
    if "fold" in copies:
        copies.loc[:, "fold"] = -1  # keeps the column's type
    request = {
        "sources": data.fingerprint(sources, ["file", "label", "sha256"]),
        "copies": wanted,
        "operations": [list(step) for step in operations],
        "seed": seed,
        "jpeg": images.JPEG,
        "versions": {"Augmentor": Augmentor.__version__, "Pillow": PIL.__version__},
    }
    text = json.dumps(request, indent=1)
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    folder = Path(out or config.local_dir() / "augmented" / key).expanduser().resolve()
    paths = data.paths(sources)
    if folder.is_relative_to(Path(index.attrs["root"]).resolve()):
        raise ValueError(f"out={folder}: inside the set, copies would be loaded as photographs")
    with atomic.alone_in(folder):
        facts = _finished(folder, text, files)
        if facts is None:
            with atomic.writing(folder) as partial:
                for label in copies["label"].unique():
                    (partial / label).mkdir(parents=True)
                tasks = [
                    (paths[row], sources["file"][row], sources["sha256"][row], names)
                    for row, names in plan
                ]
                draw = functools.partial(_draw, folder=partial, steps=steps, seed=seed)
                facts = pd.DataFrame(_run(draw, tasks, jobs, progress), columns=FACTS)
                manifest = copies[["file", "augmented_from", "label"]].join(facts)
                (partial / "request.json").write_text(text, "utf-8")
                manifest.to_csv(partial / "manifest.csv", index=False)
    copies[FACTS] = facts
    result = pd.concat([index, copies.astype(index.dtypes)], ignore_index=True)
    result.attrs = {**index.attrs, "augmented_root": str(folder)}
    return result


def _training(index: pd.DataFrame, fold: int | None) -> pd.Series:
    """Which rows train, as booleans."""
    from skincnn import splits

    if (index["augmented_from"] != "").any():
        raise ValueError("this index has copies already: start from the one without them")
    usable = index["problem"] == ""
    if "fold" not in index:
        if fold is not None:
            raise ValueError(f"fold={fold!r}: this index has no folds, `splits` adds them")
        return usable & (index["split"] == "train")
    folds = sorted(int(k) for k in index["fold"].dropna().unique() if k >= 0)
    if fold not in folds:
        raise ValueError(f"fold={fold!r}: pass the held-out one, of {folds}, or copies of it leak")
    return usable & splits.trains(index, fold)


def _plan(sources: pd.DataFrame, wanted: dict[str, int], seed: int) -> list[tuple[int, list[str]]]:
    """(row of `sources`, names of its copies), class by class."""
    plan = []
    for label, copies in wanted.items():
        rows = [int(row) for row in np.flatnonzero(sources["label"] == label)]
        if copies and not rows:
            raise ValueError(f"class {label!r} has no usable training photograph to copy")
        times, rest = divmod(copies, max(1, len(rows)))
        once_more = set(random.Random(f"{seed} {label}").sample(rows, rest))
        number = itertools.count(1)
        for row in rows:
            stem = Path(sources["file"][row]).stem
            turns = times + (row in once_more)
            names = [f"{label}/{stem}__{next(number):04d}.jpg" for _ in range(turns)]
            plan += [(row, names)] if names else []
    return plan


def _finished(folder: Path, request: str, files: list[str]) -> pd.DataFrame | None:
    """`FACTS` of the files, if the folder holds exactly what is asked for; None: draw it."""
    import pandas as pd

    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    asked = folder / "request.json"
    if not asked.is_file() or asked.read_text("utf-8") != request:
        raise ValueError(f"out={folder} holds something else: remove it or name another folder")
    try:
        facts = pd.read_csv(folder / "manifest.csv")[FACTS]
        digests = [hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in files]
    except (OSError, KeyError, ValueError):  # a file is missing, or the manifest is damaged
        return None
    return facts if list(facts["sha256"]) == digests else None


def _run(draw, tasks: list, jobs: int | None, progress: bool) -> list[tuple[int, int, str]]:
    """`FACTS` of every copy, in order, whichever process drew it."""
    total = sum(len(names) for *_, names in tasks)
    jobs = workers.count(jobs or (1 if total < SMALL_JOB else None), len(tasks))
    chunk = min(32, len(tasks) // (8 * jobs)) or 1
    facts = []
    with contextlib.ExitStack() as stack:
        if jobs == 1:  # drawn here: the caller's generators stay as they were
            stack.callback(random.setstate, random.getstate())
            stack.callback(np.random.set_state, np.random.get_state())
        bar = stack.enter_context(tqdm(total=total, desc="drawing copies", disable=not progress))
        # leaving waits for what is being drawn: nobody may write to a folder being removed
        for some in stack.enter_context(workers.results(draw, tasks, jobs, chunk)):
            facts += some
            bar.update(len(some))
    return facts


def _draw(task, folder: Path, steps: list, seed: int) -> list[tuple[int, int, str]]:
    """Write all copies of one photograph, which is decoded once; `FACTS` of each."""
    path, file, sha256, names = task
    try:
        photograph = Image.fromarray(images.decode(images.listed(path, sha256)))
    except images.ImageProblem as problem:
        raise images.ImageProblem(f"{path}: {problem}") from None
    facts = []
    for turn, name in enumerate(names):
        digest = hashlib.sha256(f"{seed}\n{file}\n{turn}".encode()).digest()
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
        content = io.BytesIO()
        (copy if copy.mode == "RGB" else copy.convert("RGB")).save(content, "JPEG", **images.JPEG)
        (folder / name).write_bytes(content.getvalue())
        facts.append((*copy.size, hashlib.sha256(content.getvalue()).hexdigest()))
    return facts
