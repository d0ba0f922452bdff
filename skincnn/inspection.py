"""What is in the files of a set: size, digest and problem of each, opened once and remembered."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from skincnn import atomic, config, images

# What was copied over a file may bear its time, but not the time at which that was set (ctime).
_STAMP = ["file", "size", "mtime_ns", "ctime_ns"]
_FACTS = ["width", "height", "sha256", "problem"]


class ChangedError(ValueError):
    """A file that was there a moment ago is not; the message names it."""


def photographs(root: Path, files: list[str], progress: bool) -> pd.DataFrame:
    """What is in each file: decoded once, remembered where path, size and time agree.

    Args:
        root: the set's folder.
        files: below it, `/`-separated.
        progress: show a progress bar.

    Returns:
        `file`, `width`, `height`, `sha256`, `problem` ("" for none), in the order of `files`.

    Raises:
        ChangedError: a file is gone.
    """
    key = hashlib.sha256(f"{images.DECODER} {_STAMP}\n{root}".encode()).hexdigest()[:16]
    store = config.local_dir() / "cache" / f"{key}.csv"
    rows = [
        (file, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        for file in files
        for stat in [_stat(root, file)]
    ]
    now = pd.DataFrame(rows, columns=_STAMP)
    known = pd.DataFrame(columns=_STAMP + _FACTS)
    if store.is_file():
        known = pd.read_csv(store, keep_default_na=False, dtype={"sha256": str, "problem": str})
    facts = (
        now.merge(known, on=_STAMP, how="left")
        if len(known)
        else now.reindex(columns=_STAMP + _FACTS)
    )
    todo = facts.index[facts["sha256"].isna()]
    if len(todo):
        done = {}
        try:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                results = pool.map(lambda i: images.inspect(root / facts["file"][i]), todo)
                bar = tqdm(results, "opening photographs", len(todo), disable=not progress)
                for i, fact in zip(todo, bar, strict=True):
                    done[i] = fact
        finally:
            # Also when interrupted: what was opened need not be opened again.
            new = pd.DataFrame.from_dict(done, orient="index", columns=_FACTS)
            facts = facts.astype(object).combine_first(new)[_STAMP + _FACTS]
            # A file that could not be read has no digest: permissions change without a trace.
            atomic.remember(facts[facts["sha256"].fillna("") != ""], store)
    kinds = {"file": str, "width": int, "height": int, "sha256": str, "problem": str}
    return facts.astype(kinds)[list(kinds)]


def _stat(root: Path, file: str) -> os.stat_result:
    try:
        return (root / file).stat()
    except OSError as error:
        raise ChangedError(
            f"{root / file}: {error.strerror}; the folder changed meanwhile"
        ) from None
