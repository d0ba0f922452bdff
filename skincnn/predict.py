"""From photographs to probabilities, in the columns of `predictions.csv`. numpy and Pillow only.

What computes the probabilities is passed in, so one path from file to table serves every runtime.
"""

import contextlib
import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from skincnn import atomic, images, labels

COLUMNS = ("file", "image_id", "group", "label", "split", "fold", "seed")
# uint8 (B, H, W, 3) -> what is said of each: probabilities (B, classes), or B verdicts
Classifier = Callable[[np.ndarray], Sequence]


class Answer(NamedTuple):
    """One photograph's answer: `said` is None where `problem` says why there is none."""

    file: Path
    said: object  # an item of what `classify` gave
    problem: str


def find(place: str | Path) -> list[Path]:
    """The photograph a path names, or every one below a folder, hidden ones left out, in order.

    Raises:
        FileNotFoundError: no such path, or no photograph below it.
    """
    place = Path(place)
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise FileNotFoundError(f"{place}: no such file or folder")
    found = sorted(
        p
        for p in place.rglob("*")
        if p.suffix.lower() in images.EXTENSIONS
        and not any(
            part.startswith(".") or part == "__MACOSX" for part in p.relative_to(place).parts
        )
        and p.is_file()
    )
    if not found:
        raise FileNotFoundError(f"{place}: no photographs ({', '.join(sorted(images.EXTENSIONS))})")
    return found


def answers(
    files: Sequence[Path],
    classify: Classifier,
    image_size: int,
    batch_size: int = 32,
    people: np.ndarray | None = None,
) -> Iterator[Answer]:
    """Classify photographs batch by batch; an unusable one fails alone, in its place.

    Args:
        files: paths.
        classify: from uint8 (B, image_size, image_size, 3) to what is said of each, as
            probabilities (B, C).
        image_size: pixels a side.
        batch_size: photographs a call of `classify`.
        people: float32 (N, P), handed to `classify` with the photographs; None for none.
    """
    for start in range(0, len(files), batch_size):
        batch = files[start : start + batch_size]
        pixels, problems = [], {}
        for path in batch:
            try:
                pixels.append(images.read(path, image_size))
            except images.ImageProblem as problem:
                problems[path] = str(problem)
        told = []
        if people is not None:
            told = [people[start : start + batch_size][[path not in problems for path in batch]]]
        results = iter(classify(np.stack(pixels), *told) if pixels else ())
        for path in batch:
            problem = problems.get(path, "")
            yield Answer(path, None if problem else next(results), problem)


@contextlib.contextmanager
def table(path: str | Path, header: Sequence[str]) -> Iterator[Callable[[Sequence], object]]:
    """Write a CSV whole or not at all: in the block, call what it gives with each row."""
    with (
        atomic.writing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(header)
        yield rows.writerow


def header(classes: Sequence[str]) -> list[str]:
    """The columns of `predictions.csv`."""
    return [*COLUMNS, *(labels.column(c) for c in classes)]


def row(
    name: str,
    probabilities: Sequence[float],
    classes: Sequence[str],
    seed: int,
    known: Mapping = {},
) -> list:
    """A row of `predictions.csv`.

    Args:
        name: the photograph's `file`.
        probabilities: of the classes.
        classes: of the run.
        seed: that of the run which answered.
        known: `image_id`, `group`, `label` (of whatever classes), `split`. What is missing is told
            from the name: the label is the folder it lies in where that is one of the classes, else
            empty. Such a row has no score.
    """
    folder = PurePosixPath(name).parent.name
    identity = labels.image_id(PurePosixPath(name).stem)
    facts = {"image_id": identity, "group": identity or name, "split": ""}
    facts |= {"label": folder if folder in classes else ""} | dict(known)
    ordered = [facts[column] for column in COLUMNS[1:5]]
    return [name, *ordered, "", seed, *(f"{p:.6f}" for p in probabilities)]


SUBMISSION = ("image_name", "target")  # the form of Kaggle's melanoma competitions


def submission(name: str, probabilities: Sequence[float], classes: Sequence[str]) -> list:
    """A row of a submission: a photograph's name, and the probability of the class looked for.

    Raises:
        ValueError: none of the classes is melanoma or malignant.
    """
    looked_for = labels.positive(classes)
    if looked_for is None:
        raise ValueError(
            f"a submission has the probability of {' or '.join(labels.POSITIVE)}; the run tells "
            f"apart {', '.join(classes)}"
        )
    return [short(name), f"{probabilities[list(classes).index(looked_for)]:.6f}"]


def short(name: str) -> str:
    """A photograph's name without folders, and without the ending of a file."""
    path = PurePosixPath(name)
    return path.stem if path.suffix.lower() in images.EXTENSIONS else path.name
