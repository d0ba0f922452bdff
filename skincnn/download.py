"""Fetching the real sets: a set is at its place complete and checked, or it is not there.

A download grows in `.<name>.download` beside its destination, is resumed, unpacked and checked in
there, and renamed at the end. `kaggle` fetches the archive.
"""

import contextlib
import dataclasses
import re
import shutil
import sys
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from tqdm.auto import tqdm

from skincnn import atomic, config, images, kaggle
from skincnn.connection import DownloadError
from skincnn.labels import ISIC9


@dataclasses.dataclass(frozen=True)
class SetInfo:
    """What is known of a set before it is fetched."""

    handle: str  # owner/name on Kaggle
    photographs: dict[str, int]  # by folder, as published
    classes: tuple[str, ...]  # the folders in each of them
    megabytes: int  # about, packed; unpacked it is no larger, JPEG does not shrink
    licence: str

    @property
    def url(self) -> str:
        """The set's page, for people."""
        return f"https://www.kaggle.com/datasets/{self.handle}"


SETS = {
    "isic9": SetInfo(
        handle="nodoubttome/skin-cancer9-classesisic",
        photographs={"Train": 2239, "Test": 118},
        classes=tuple(ISIC9),
        megabytes=830,
        licence="ISIC Archive: CC-0, CC-BY or CC-BY-NC, by collection",
    ),
}


_LICENCES = {
    "ham10000": "CC BY-NC 4.0 (Tschandl, Rosendahl & Kittler 2018)",
    "siim2020": "CC BY-NC 4.0 (SIIM-ISIC 2020, Rotemberg et al. 2021)",
    "sample": "drawn by skincnn: Apache-2.0",
}


def licence(name: str) -> str:
    """Under which terms a set's photographs may be used, `unknown` for a set of your own."""
    return SETS[name].licence if name in SETS else _LICENCES.get(name, "unknown")


def isic9(
    destination: str | Path | None = None, progress: bool = True, force: bool = False
) -> Path:
    """Fetch the nine-class set (2,239 + 118 photographs, about 830 MB).

    Returns at once where it is complete already; goes on where an earlier call was interrupted.

    Args:
        destination: folder that will hold `Train` and `Test`; default `data/raw/isic9`.
        progress: bars, and a line on what was found, on standard error.
        force: fetch again from the start, and replace what stands at the destination.

    Returns:
        The destination.

    Raises:
        DownloadError: offline, an HTTP error, a full disk, a damaged archive or one with other
            contents than published, no `kagglehub`, or a destination that holds something else.

    Example:
        >>> index = data.load(download.isic9())
    """
    return fetch("isic9", destination, progress, force)


def fetch(
    name: str, destination: str | Path | None = None, progress: bool = True, force: bool = False
) -> Path:
    """Fetch a set of `SETS` by name; see `isic9`."""
    if name not in SETS:
        raise DownloadError(f"No set {name!r}: choose one of {', '.join(SETS)}")
    info = SETS[name]
    # Through a link, so that the working folder is on the disk the set will live on.
    destination = Path(destination or config.raw_dir() / name).expanduser().resolve()
    work = destination.with_name(f".{destination.name}.download")
    with _one_line(name, info, destination), atomic.alone_in(destination):
        if not force and _occupied(destination):
            problem = missing(destination, info)
            if problem:
                raise DownloadError(
                    f"{destination} is there but is not the published set ({problem}): "
                    "move it away, or fetch it again with --force (force=True)"
                )
            _say(progress, f"{name}: already complete in {destination}")
            return destination
        if force and work.exists():
            shutil.rmtree(work)
        unpacked = _fetch_into(work, info, progress)
        if destination.exists():
            destination.rename(work / "replaced")
        unpacked.rename(destination)
        shutil.rmtree(work)
        _say(progress, f"{name}: complete in {destination} ({info.licence})")
    return destination


def missing(folder: Path, info: SetInfo) -> str:
    """What a folder lacks of a set, in words; empty where it is complete.

    An archive unpacked by hand may hold `Train` and `Test` some folders down, and twice.
    """
    problems = []
    for root in sorted({p.parent for p in folder.rglob(next(iter(info.photographs)))} or {folder}):
        files = (p for split in info.photographs for p in root.glob(f"{split}/*/*"))
        counts = Counter(p.parts[-3:-1] for p in files if _is_photograph(p.name))
        problems.append(_shortfall(counts, info))
    return "" if "" in problems else problems[0]


def _fetch_into(work: Path, info: SetInfo, progress: bool) -> Path:
    started = sum(p.stat().st_size for p in work.glob("*.zip"))
    _check_disk(work.parent, 2 * info.megabytes * 10**6 - started)
    archive = kaggle.locate(info.handle)

    work.mkdir(parents=True, exist_ok=True)
    # With the version in its name, half of an old archive is never continued with a new one.
    packed = work / f"version-{archive.version}.zip"
    kaggle.transfer(archive, packed, progress)
    unpacked = work / "unpacked"
    if unpacked.exists():
        shutil.rmtree(unpacked)
    try:
        _unpack(packed, unpacked, info, progress)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        # Kept, it would count as complete and fail for ever.
        packed.unlink()
        raise DownloadError(
            f"the archive is damaged ({error}) and was deleted: run it again"
        ) from None
    problem = missing(unpacked, info)
    if problem:
        raise DownloadError(f"unpacked incompletely ({problem}) in {unpacked}: run it again")
    return unpacked


# --- the archive ----------------------------------------------------------------------------


def _unpack(packed: Path, folder: Path, info: SetInfo, progress: bool) -> None:
    """Unpack one tree of `Train` and `Test` (the archive holds it twice) and nothing else."""
    with zipfile.ZipFile(packed) as archive:
        trees: dict[tuple[str, ...], list[zipfile.ZipInfo]] = {}
        for member in archive.infolist():
            parts = _parts(member.filename, packed)
            if not member.is_dir() and len(parts) >= 3 and _is_photograph(parts[-1]):
                split, label = parts[-3:-1]
                if split in info.photographs and label in info.classes:
                    trees.setdefault(parts[:-3], []).append(member)
        problems = {}
        for top in sorted(trees, key=lambda top: (len(top), top)):
            counts = Counter(_parts(m.filename, packed)[-3:-1] for m in trees[top])
            problems[top] = _shortfall(counts, info)
        complete = [top for top, problem in problems.items() if not problem]
        if not complete:
            problem = next(iter(problems.values()), "no folders Train and Test in it")
            raise DownloadError(
                f"the archive is not the published set ({problem}); it lies in {packed}, "
                "--force (force=True) fetches it again"
            )
        members = trees[complete[0]]
        _check_disk(packed.parent, sum(member.file_size for member in members))
        for member in tqdm(members, "unpacking", disable=not progress):
            target = folder.joinpath(*_parts(member.filename, packed)[-3:])
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as source, target.open("wb") as out:
                shutil.copyfileobj(source, out)


def _parts(name: str, packed: Path) -> tuple[str, ...]:
    """A member's path, piece by piece; one that leads out of the folder condemns the archive."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", name):
        raise DownloadError(
            f"the archive was refused, its member {name!r} leads out of the folder; it lies in "
            f"{packed}, nothing was unpacked"
        )
    return path.parts


def _is_photograph(name: str) -> bool:
    # `._ISIC_0000000.jpg` is macOS' shadow of a photograph.
    return PurePosixPath(name).suffix.lower() in images.EXTENSIONS and name[0] != "."


def _shortfall(counts: Counter, info: SetInfo) -> str:
    """What (folder, class) -> photographs lacks of the published counts; empty for nothing."""
    problems = []
    for split, expected in info.photographs.items():
        lacking = [label for label in info.classes if not counts[split, label]]
        found = sum(counts[split, label] for label in info.classes)
        if found != expected:
            problems.append(f"{split} holds {found:,} of {expected:,} photographs")
        if lacking:
            problems.append(f"{split} has nothing for {', '.join(lacking)}")
    return "; ".join(problems)


# --- small things ---------------------------------------------------------------------------


def _occupied(folder: Path) -> bool:
    return folder.exists() and (not folder.is_dir() or any(folder.iterdir()))


def _say(progress: bool, line: str) -> None:
    if progress:
        print(line, file=sys.stderr)


def _check_disk(folder: Path, needed: int) -> None:
    while not folder.exists():
        folder = folder.parent
    available = shutil.disk_usage(folder).free
    if needed > available:
        raise DownloadError(
            f"the disk of {folder} is too small: {needed / 1e6:,.0f} MB are needed, "
            f"{available / 1e6:,.0f} MB are free"
        )


@contextlib.contextmanager
def _one_line(name: str, info: SetInfo, destination: Path) -> Iterator[None]:
    """Turn what can go wrong into one DownloadError that ends with the way by hand."""
    try:
        yield
    except (DownloadError, OSError) as error:  # whatever requests raises is an OSError
        by_hand = f"By hand: download {info.url} and unzip it into {destination}"
        text = " ".join(f"{name}: {kaggle.explained(error)}. {by_hand}".split())
        raise DownloadError(text) from (None if isinstance(error, DownloadError) else error)
