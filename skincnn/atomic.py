"""Files and folders that are there whole or not at all. Standard library, and a file lock.

    with atomic.writing("answers.csv") as temporary:
        temporary.write_text(...)

What is written grows beside its place under a hidden name, `.writing-<machine>-<process>-<name>`,
and takes its own name at the end. A failure removes it; of a process that was killed the next
writer of the same file does.
"""

import contextlib
import errno
import hashlib
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from skincnn import config

_OLD = "replaced-"  # of a folder, while another takes its name
STALE = 24 * 3600  # seconds after which what another machine was writing is taken for dead
ASKED_EVERY = 2  # seconds, while a process waits for another, whether that makes sense
_HINTS = {
    errno.ENOSPC: "the disk is full: free some space, then run the same command again",
    errno.EDQUOT: "the quota is used up: free some space, then run the same command again",
    errno.EFBIG: "the file would be larger than is allowed here (ulimit -f)",
    errno.EROFS: "this disk can only be read: choose another folder",
    errno.EACCES: "permission denied: ask whom it belongs to, or choose another place",
    errno.EPERM: "permission denied: ask whom it belongs to, or choose another place",
}


class WriteError(OSError):
    """One line: which file could not be written, why, what to do."""


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path to write a file or a folder to; it takes `path`'s place at the end.

    Raises:
        WriteError: the disk is full or read-only, or the like, whatever library was writing.
    """
    path = Path(path)
    temporary, replaced = (path.with_name(f"{_mine()}{old}{path.name}") for old in ("", _OLD))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        yield temporary
        if path.is_dir() and not path.is_symlink():
            path.rename(replaced)
        os.replace(temporary, path)
    except Exception as error:
        if hint := _hint(error, path):
            raise WriteError(f"{path}: {hint}") from error
        raise
    finally:
        _remove(temporary)
        _remove(replaced)


def check(folder: str | Path) -> None:
    """Fail at once where a folder cannot be written to, before hours of work for it.

    Raises:
        WriteError: the disk is full or read-only, or the like.
    """
    folder = Path(folder)
    place = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise WriteError(f"{folder}: {_HINTS.get(error.errno, error.strerror)}") from error


@contextlib.contextmanager
def alone_in(folder: Path, refuse: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Hold a folder that is written: a second process waits, and then finds it done.

    Who is killed holds nothing any more.

    Args:
        folder: the folder, there or not.
        refuse: asked while another process holds it; raises where waiting would be for nothing.
    """
    digest = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    import filelock  # who only reads does not need it

    path = config.local_dir() / "cache" / f"{folder.name}_{digest}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path)
    patience = 0
    while not lock.is_locked:
        try:
            lock.acquire(timeout=patience)
        except filelock.Timeout:
            refuse()
            if not patience:
                said = "waiting for it. Ctrl-C stops waiting; the other goes on."
                print(f"Another process writes in {folder}: {said}", file=sys.stderr, flush=True)
            patience = ASKED_EVERY
    try:
        yield
    finally:
        lock.release()


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with writing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: dict) -> None:
    """Write a dictionary whole or not at all, readable by people."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def write_table(path: Path, frame, digits: int = 6) -> None:
    """Write a DataFrame as CSV, with so many digits behind the point."""
    write_text(path, frame.to_csv(index=False, float_format=f"%.{digits}f"))


def remember(frame, path: Path) -> None:
    """Keep a DataFrame for the next time; where there is no room for it that is told, no more."""
    try:
        with writing(path) as temporary:
            frame.to_csv(temporary, index=False)
    except OSError as error:
        print(f"not remembered: {explained(error)}", file=sys.stderr)


def explained(error: Exception) -> str:
    """One line of what an error says; with what to do where a disk is full or read-only."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        names = " → ".join(str(n) for n in (error.filename, error.filename2) if n is not None)
        text = _HINTS.get(error.errno, " ".join(error.strerror.split()))
        return f"{names}: {text}" if names else text
    return text


def _hint(error: Exception, path: Path) -> str:
    """What to do about an error of a disk; "" for any other, and for one of another file."""
    if isinstance(error, WriteError):
        return ""
    if isinstance(error, OSError) and error.errno is not None:
        about = str(error.filename or path)
        return _HINTS.get(error.errno, "") if Path(about).is_relative_to(path.parent) else ""
    # HDF5 and TensorFlow have errors of their own; in the text stands what the system said.
    said = str(error)
    return next((hint for code, hint in _HINTS.items() if os.strerror(code) in said), "")


def _mine(process: int | None = None) -> str:
    machine = hashlib.sha256(platform.node().encode()).hexdigest()[:4]
    return f".writing-{machine}-{os.getpid() if process is None else process}-"


def _sweep(path: Path) -> None:
    """Remove what killed processes left of a file that is to be written."""
    # not `glob`: a file's name may hold what means something there
    machine = _mine().rsplit("-", 2)[0]
    for left in path.parent.iterdir():
        if not left.name.startswith(".writing-") or not left.name.endswith(f"-{path.name}"):
            continue
        with contextlib.suppress(OSError, ValueError):  # it may get its name, or vanish, meanwhile
            process, _, name = left.name.removeprefix(f"{machine}-").partition("-")
            old = time.time() - left.stat().st_mtime > STALE
            here = left.name.startswith(f"{machine}-") and name in (path.name, _OLD + path.name)
            if old or (here and not _lives(int(process))):
                _remove(left)


def _lives(process: int) -> bool:
    if process == os.getpid():
        return False  # of an earlier process with our number: ours is about to be begun
    if os.name != "posix":  # elsewhere `os.kill` would end the process it asks after
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it runs, under another user
    return True


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            place.unlink()
