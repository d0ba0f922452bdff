"""From photographs to probabilities, in the columns of `predictions.csv`. numpy and Pillow only.

What computes the probabilities is passed in, so one path from file to table serves every runtime.
"""

import csv
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from skincnn import images, labels

COLUMNS = ("file", "image_id", "group", "label", "split", "fold", "seed")
# uint8 (B, H, W, 3) -> probabilities (B, classes)
Classifier = Callable[[np.ndarray], np.ndarray]


class Answer(NamedTuple):
    """One photograph's answer: `probabilities` is None where `problem` says why there is none."""

    file: Path
    probabilities: np.ndarray | None
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
    files: Sequence[Path], classify: Classifier, image_size: int, batch_size: int = 32
) -> Iterator[Answer]:
    """Classify photographs batch by batch; an unusable one fails alone, in its place.

    Args:
        files: paths.
        classify: from uint8 (B, image_size, image_size, 3) to probabilities (B, C).
        image_size: pixels a side.
        batch_size: photographs a call of `classify`.
    """
    for start in range(0, len(files), batch_size):
        batch = files[start : start + batch_size]
        pixels, problems = [], {}
        for path in batch:
            try:
                pixels.append(images.resize(images.decode(path), image_size))
            except images.ImageProblem as problem:
                problems[path] = str(problem)
        results = iter(np.asarray(classify(np.stack(pixels))) if pixels else ())
        for path in batch:
            problem = problems.get(path, "")
            yield Answer(path, None if problem else next(results), problem)


def write(
    results: Sequence[Answer],
    classes: Sequence[str],
    root: Path,
    path: str | Path,
    seed: int,
    facts: Mapping[str, Mapping[str, str]] | None = None,
) -> None:
    """Write the answers that are there, in the columns `evaluate` reads; whole or not at all.

    The label is the folder a photograph lies in where that is one of the classes, else empty: such
    a table has no score. `seed` is that of the run which answered. `facts` says of each file,
    relative to the root, its `label` (of whatever classes), `group` and `split` instead.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow([*COLUMNS, *(labels.column(c) for c in classes)])
        for result in results:
            if result.problem:
                continue
            name = result.file.relative_to(root).as_posix()
            label = result.file.parent.name if result.file.parent.name in classes else ""
            identity = labels.image_id(result.file.stem)
            known = {"group": identity or name, "label": label, "split": ""}
            known |= (facts or {}).get(name, {})
            row = [name, identity, known["group"], known["label"], known["split"], "", seed]
            table.writerow([*row, *(f"{p:.6f}" for p in result.probabilities)])
    os.replace(temporary, path)
