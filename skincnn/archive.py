"""Photographs of named diagnoses from the ISIC archive, through its own client, `isic-cli`.

    DIR/<class>/ISIC_*.jpg        a folder a class, as `data.load` reads them
    DIR/<class>/metadata.csv, attribution.txt, licenses/     what the archive says of them
    DIR/metadata.csv              lesions, patients, ages, sexes, sites, licences: the index's facts

The client goes on where it was interrupted, but passes over what it could not get without a word,
and takes any file of the right size for the photograph. So here each one is decoded, what is
missing or damaged is asked for again, and a set that is not whole is never called so.
"""

import csv
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from skincnn import atomic, config, images
from skincnn.connection import DownloadError, reachable

ADDRESS = "https://api.isic-archive.com"
EARLIER = "earlier.csv"  # what lists before the last one said
TRIES = 3  # that the client is asked for what is missing
# The archive's taxonomy of diagnoses (isic-metadata 4.12), in its search language.
DIAGNOSES = {
    "actinic keratosis": 'diagnosis_3:"Solar or actinic keratosis"',
    "basal cell carcinoma": 'diagnosis_3:"Basal cell carcinoma"',
    "dermatofibroma": 'diagnosis_3:"Dermatofibroma"',
    "melanoma": 'diagnosis_2:"Malignant melanocytic proliferations (Melanoma)"',
    "nevus": 'diagnosis_3:"Nevus"',
    "pigmented benign keratosis": 'diagnosis_3:"Pigmented benign keratosis"',
    "seborrheic keratosis": 'diagnosis_3:"Seborrheic keratosis"',
    "squamous cell carcinoma": (
        'diagnosis_3:"Squamous cell carcinoma, Invasive" OR '
        'diagnosis_3:"Squamous cell carcinoma in situ" OR '
        'diagnosis_3:"Squamous cell carcinoma, NOS"'
    ),
    "vascular lesion": 'diagnosis_2:"Benign soft tissue proliferations - Vascular"',
}
DERMOSCOPIC = "image_type:dermoscopic"  # the archive has photographs taken from afar, too
FACTS = {  # the archive's column -> the index's
    "isic_id": "image_id",
    "lesion_id": "lesion_id",
    "patient_id": "patient_id",
    "age_approx": "age",
    "sex": "sex",
    "anatom_site_general": "site",
    "attribution": "source",
    "copyright_license": "licence",
}
# Run as a program of its own: the client takes signals for itself, and asks on its terminal. Its
# fifteen tries with growing pauses would hold a broken connection for a quarter of an hour.
_CLIENT = """
import sys
import isic_cli.cli, isic_cli.session
isic_cli.cli.DOMAINS["prod"] = sys.argv.pop(1)
isic_cli.cli._sentry_setup = lambda: None
isic_cli.cli.check_for_newer_version = lambda: None
session = isic_cli.session
session.ISIC_RETRY_STRATEGY = session.ISIC_RETRY_STRATEGY.new(total=4, backoff_factor=0.5)
isic_cli.cli.cli()
"""


def fetch(
    diagnoses: Sequence[str] = (),
    limit: int = 0,
    destination: str | Path | None = None,
    search: str = DERMOSCOPIC,
    progress: bool = True,
    address: str = ADDRESS,
) -> Path:
    """Fetch photographs of some diagnoses with all that the archive publishes of them.

    Called again it goes on where it was interrupted, and asks only for what is not there.

    Args:
        diagnoses: of `DIAGNOSES`; empty means all nine.
        limit: photographs of each, at most; 0 for all there are.
        destination: the folder; None makes `data/raw/isic-archive`.
        search: what else a photograph must be, in the archive's search language; "" for nothing.
        progress: the client's bars, and a line on what was found, on standard error.
        address: of the archive.

    Returns:
        The folder, whole: every photograph of its tables is there and can be decoded.

    Raises:
        ValueError: an unknown diagnosis, or a negative limit.
        DownloadError: no client, no connection, a search the archive does not understand, or
            photographs that could not be got in `TRIES` tries; what was got is kept.

    Example:
        >>> index = data.load(archive.fetch(["melanoma", "seborrheic keratosis"], limit=200))
    """
    if unknown := [name for name in diagnoses if name not in DIAGNOSES]:
        raise ValueError(f"diagnosis {unknown[0]!r}: choose of {', '.join(DIAGNOSES)}")
    if limit < 0:
        raise ValueError(f"limit={limit!r}: must not be negative")
    wanted = list(dict.fromkeys(diagnoses)) or list(DIAGNOSES)
    destination = Path(destination or config.raw_dir() / "isic-archive").expanduser()
    try:
        import isic_cli  # noqa: F401
    except ImportError:
        raise DownloadError("isic-cli is needed: pip install 'skincnn[archive]'") from None
    reachable(address, "The ISIC archive")
    with atomic.alone_in(destination):
        try:
            for name in wanted:
                query = f"({DIAGNOSES[name]}) AND {search}" if search else DIAGNOSES[name]
                _one(destination / name, name, query, limit, address, progress)
        finally:
            table = _facts(destination)
    if progress:
        counts = ", ".join(f"{n} {name}" for name, n in table["diagnosis"].value_counts().items())
        print(f"{destination}: {len(table)} photographs ({counts})", file=sys.stderr)
    return destination


def _one(folder: Path, name: str, query: str, limit: int, address: str, progress: bool) -> None:
    """One diagnosis: asked for until all of it is there, or nothing more comes."""
    _put_aside(folder / "metadata.csv")  # the client writes it last
    for turn in range(TRIES):
        said = _ask(folder, query, limit, address, progress)
        if not (folder / "metadata.csv").is_file():
            raise DownloadError(
                f"{name}: the archive's client stopped ({said or 'it does not say why'}); what it "
                f"got is kept in {folder}: run it again to go on from there"
            )
        listed = {row["isic_id"] for row in _rows(folder / "metadata.csv")}
        if not listed:
            raise DownloadError(f"{name}: the archive has no photographs for {query}")
        missing = _missing(folder, listed, progress)
        if not missing:
            return
        if progress and turn + 1 < TRIES:
            print(f"{name}: {len(missing)} did not come, asking again", file=sys.stderr)
    raise DownloadError(
        f"{name}: {len(missing)} of {len(listed)} photographs could not be got in {TRIES} tries "
        f"(the first: {min(missing)}); the others are kept in {folder}: run it again"
    )


def _ask(folder: Path, query: str, limit: int, address: str, progress: bool) -> str:
    """Run the client; returns the last line it complained with."""
    words = ["--guest", "image", "download", "-s", query, "-l", str(limit), str(folder)]
    client = subprocess.run(
        [sys.executable, "-c", _CLIENT, address, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE if not progress else None,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    lines = [line for line in (client.stderr or "").splitlines() if line.strip()]
    return lines[-1].strip() if client.returncode and lines else ""


def _missing(folder: Path, listed: set[str], progress: bool) -> set[str]:
    """What is listed and not there, or damaged: that is removed, or the client would keep it."""
    files = [p for p in folder.iterdir() if p.suffix.lower() in images.EXTENSIONS]
    with ThreadPoolExecutor() as pool:
        facts = tqdm(pool.map(images.inspect, files), "opening", len(files), disable=not progress)
        sound = set()
        for path, fact in zip(files, facts, strict=True):
            if fact.problem and path.stem in listed:
                path.unlink()
            elif not fact.problem:
                sound.add(path.stem)
    return listed - sound


def _rows(path: Path) -> list[dict]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _put_aside(path: Path) -> None:
    """Keep what an earlier, perhaps longer list said of photographs that are there."""
    if path.is_file():
        before = path.with_name(EARLIER)
        tables = [_table(one) for one in (path, before) if one.is_file()]
        whole = pd.concat(tables, ignore_index=True).drop_duplicates("isic_id")
        _write(whole, before)
        path.unlink()


def _facts(destination: Path) -> pd.DataFrame:
    """Write what is known of all photographs that are there into one table, beside them."""
    tables = [pd.DataFrame(columns=[*FACTS.values(), "diagnosis"])]
    for name in ("metadata.csv", EARLIER):
        for path in sorted(destination.glob(f"*/{name}")):
            if path.parent.name in DIAGNOSES:
                table = _table(path).rename(columns=FACTS)
                table = table.reindex(columns=[*FACTS.values()]).fillna("")
                here = {file.stem for file in path.parent.iterdir()}
                table = table[table["image_id"].isin(here)]
                tables.append(table.assign(diagnosis=path.parent.name))
    whole = pd.concat(tables, ignore_index=True).drop_duplicates("image_id")
    if destination.is_dir():
        _write(whole, destination / "metadata.csv")
    return whole


def _table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def _write(table: pd.DataFrame, path: Path) -> None:
    with atomic.writing(path) as temporary:
        table.to_csv(temporary, index=False)
