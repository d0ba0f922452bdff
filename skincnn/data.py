"""The index: one table, one row a photograph, that everything in this package takes and returns.

| column | |
|---|---|
| `file` | path relative to the set's root, `/`-separated: the key, unique |
| `label` | class name as the folders spell it |
| `split` | `train` or `test`, as published; a set without such folders is all `train` |
| `image_id`, `lesion_id`, `patient_id`, `source` | empty where unknown |
| `width`, `height`, `sha256`, `problem` | of the file; `problem` says why it is set aside |
| `augmented_from` | the `file` an added copy was made from, else empty |
| `group` | photographs that share an image id, lesion, patient or cluster share a group |

`audit` adds `cluster` and `official_label`, `splits` adds `fold` and `inner`. The set's folder and
name travel in `index.attrs` (`root`, `name`), as do files that were passed over (`ignored`).
"""

import hashlib
from pathlib import Path

import pandas as pd

from skincnn import config, folders, inspection, labelled, labels, official, relatives, sample
from skincnn.labels import ISIC9, OTHER, image_id

NAMES = ("isic9", "sample")
COLUMNS = [
    "file",
    "label",
    "split",
    "image_id",
    "lesion_id",
    "patient_id",
    "source",
    "width",
    "height",
    "sha256",
    "problem",
    "augmented_from",
    "group",
]
COPIES = "augmented/"  # how the `file` of an added copy begins, whatever folder holds it
_HOW_TO = (
    f"Give a folder of class folders, set {config.DATA_VARIABLE}, run `skincnn download isic9`, "
    "or use the synthetic set with `skincnn sample`."
)


class DataError(ValueError):
    """A folder that cannot be read as a set of photographs; the message says what to do."""


def find(name_or_folder: str | Path | None = None) -> tuple[str, Path]:
    """Which set a name, a folder or nothing at all means.

    With nothing, `SKINCNN_DATA` decides, then `data/raw/`, then the synthetic sample set, which is
    not drawn here (`load` does).

    Returns:
        The set's name and folder.

    Raises:
        DataError: no such name or folder, or `SKINCNN_DATA` points nowhere.
    """
    variable = config.data_variable()
    if variable is not None and not variable.is_dir():
        raise DataError(f"{config.DATA_VARIABLE}={variable}: no such folder. {_HOW_TO}")
    if name_or_folder == "sample":
        return "sample", config.sample_dir()
    if name_or_folder in (None, "isic9"):
        places = [config.raw_dir() / "isic9", config.raw_dir()]
        if variable is not None:
            # A named folder is meant: nothing else is looked at, or a typing error trains on
            # another set without a word.
            places = [variable / "isic9", variable]
        for place in places:
            if place.is_dir() and folders.set_root(place) is not None:
                place = place.resolve()
                if sample.stamp(place) is not None:
                    return "sample", place
                return ("isic9" if set(ISIC9) <= folders.class_names(place) else place.name), place
        if variable is not None:
            return variable.name, variable.resolve()
        if name_or_folder is None:
            return "sample", config.sample_dir()
        raise DataError(f"The set 'isic9' is not in {config.raw_dir()}. {_HOW_TO}")
    folder = Path(name_or_folder).expanduser()
    beside = [p for p in (variable, config.raw_dir()) if p is not None]
    if not folder.exists():  # another set beside those, by its folder's name
        folder = next((p / folder for p in beside if (p / folder).is_dir()), folder)
    if folder.is_file() and folder.suffix == ".csv":
        return folder.resolve().parent.name, folder.resolve()
    if not folder.is_dir():
        found = {
            p.name for place in beside if place.is_dir() for p in place.iterdir() if p.is_dir()
        }
        names = ", ".join([*NAMES, *sorted(n for n in found - {*NAMES} if n[0].isalnum())])
        raise DataError(f"{str(name_or_folder)!r} is no folder and no set ({names}). {_HOW_TO}")
    return folder.resolve().name, folder.resolve()


def load(
    name_or_folder: str | Path | None = None, strict: bool = False, progress: bool = True
) -> pd.DataFrame:
    """Build the index of a set: every photograph decoded once, every unusable one named.

    Understands the Kaggle archive as it unpacks (its second copy of the tree, `__MACOSX`, hidden
    files and stray folders are passed over and listed in `attrs["ignored"]`), any folder of class
    folders, with or without Train and Test above them, photographs with a table of labels
    (`labelled`: HAM10000, ISIC challenges), and the sample set. A `metadata.csv` beside
    the photographs (`image_id`, and any of `lesion_id`, `patient_id`, `source`) is joined in;
    without one, what is officially known of the nine-class set (`official.facts`).
    What was found is remembered by path, size and time, so a second load is quick.

    Args:
        name_or_folder: `isic9`, `sample`, a folder or a table of labels (`.csv`), the name of a
            folder in `SKINCNN_DATA` or `data/raw`, or None to look where `find` looks.
        strict: raise on the first unusable file instead of setting it aside.
        progress: show a progress bar.

    Returns:
        The index, sorted by `file`; rows with a `problem` are set aside (see `usable`).

    Raises:
        DataError: no such set, no class folder with photographs in it, nothing usable, or, with
            `strict`, an unusable file.

    Example:
        >>> index = data.load("sample")
        >>> data.usable(index).groupby("label").size()
    """
    name, folder = find(name_or_folder)
    if name == "sample" and folder == config.sample_dir():
        sample.make(folder, progress=progress)
    root, found, ignored, table = _listed(folder)
    try:
        inspected = inspection.photographs(root, list(found["file"]), progress)
    except inspection.ChangedError as error:
        raise DataError(str(error)) from None
    index = found.merge(inspected, on="file", validate="one_to_one")
    index["image_id"] = [image_id(Path(file).stem) for file in index["file"]]
    metadata = root / "metadata.csv"
    index = _join_metadata(index, None if table == metadata else metadata)
    index["augmented_from"] = ""
    index["group"] = relatives.groups(index)
    index = index[COLUMNS].sort_values("file", ignore_index=True)
    index.attrs = {"root": str(root), "name": name, "ignored": sorted(ignored)}
    if table:
        index.attrs["labels_from"] = table.name

    bad = index[index["problem"] != ""]
    if strict and len(bad):
        row = bad.iloc[0]
        raise DataError(f"{root / row['file']}: {row['problem']} ({len(bad)} unusable in all)")
    if len(bad) == len(index):
        raise DataError(
            f"None of the {len(index)} files in {root} can be used; the first, "
            f"{bad['file'].iloc[0]}: {bad['problem'].iloc[0]}"
        )
    return index


def usable(index: pd.DataFrame) -> pd.DataFrame:
    """The rows that are photographs: without those set aside."""
    return index[index["problem"] == ""].reset_index(drop=True)


def set_aside(index: pd.DataFrame) -> pd.DataFrame:
    """Everything that did not become data and why: columns `file`, `reason`."""
    bad = index.loc[index["problem"] != "", ["file", "problem"]]
    bad = bad.rename(columns={"problem": "reason"})
    passed_over = pd.DataFrame(index.attrs.get("ignored", []), columns=["file", "reason"])
    empty = sorted(set(index["label"]) - set(usable(index)["label"]))
    classes = pd.DataFrame(
        [(label, "class with no usable photograph") for label in empty], columns=["file", "reason"]
    )
    return pd.concat([classes, bad, passed_over], ignore_index=True).astype(str)


def classes(index: pd.DataFrame) -> list[str]:
    """The class names of the usable rows in alphabetical order: position is the class number."""
    return sorted(usable(index)["label"].unique())


def against_rest(index: pd.DataFrame, name: str) -> pd.DataFrame:
    """The index with one class against all others, which become `labels.OTHER`; "" leaves it.

    `malignant` gathers the diagnoses that are (`labels.malignant` says where that is a choice), and
    the others are `benign`; classes that bear these names already stay as they are.

    Raises:
        DataError: no row has the class, or, for `malignant`, a class of which it is not known.

    Example:
        >>> two = data.against_rest(data.load("isic9"), "malignant")
        >>> data.classes(two)
        ['benign', 'malignant']
    """
    if not name:
        return index
    blank = index["label"] == ""
    if name == labels.TWO[1]:
        try:
            named = labels.as_two(index.loc[~blank, "label"].unique())
        except ValueError as error:
            raise DataError(f"positive={name!r}: {error}") from None
        index = index.assign(label=index["label"].map(named | {"": ""}))
        rest = labels.TWO[0]
    else:
        rest = OTHER
    if not (index["label"] == name).any():
        raise DataError(f"positive={name!r} is none of the classes: {', '.join(classes(index))}")
    return index.assign(label=index["label"].where(blank | (index["label"] == name), rest))


def counts(index: pd.DataFrame) -> pd.DataFrame:
    """Usable photographs by class (rows) and split (columns), with totals."""
    table = pd.crosstab(usable(index)["label"], usable(index)["split"])
    table = table.reindex(columns=[s for s in ("train", "test") if s in table])
    table["all"] = table.sum(axis=1)
    table.loc["all"] = table.sum()
    return table.rename_axis(columns=None)


def paths(index: pd.DataFrame) -> list[Path]:
    """Where each row's file is on this machine."""
    if "shard" in index:
        raise DataError(f"{index.attrs.get('root')} is in shards, and this needs files")
    if "root" not in index.attrs:
        raise DataError("This index has lost its attrs['root']: copy attrs after joining tables.")
    root = Path(index.attrs["root"])
    copies = Path(index.attrs.get("augmented_root", root))
    return [
        copies / file.removeprefix(COPIES) if source else root / file
        for file, source in zip(index["file"], index["augmented_from"], strict=True)
    ]


def fingerprint(frame: pd.DataFrame, columns: list[str]) -> str:
    """SHA-256 over some columns of a table, whatever the order of its rows."""
    lines = sorted(frame[columns].astype(str).fillna("").agg("\t".join, axis=1))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def labels_table(place: Path) -> Path | None:
    """The table in a folder that names its photographs' classes, where the folders do not."""
    table = labelled.table_in(place)
    if table is None or folders.set_root(place) is None:
        return table
    names = folders.class_names(place)
    if len(names) < 2:  # one folder of photographs is no class
        return table
    # HAM10000 comes in two parts, a folder each. A metadata.csv beside class folders adds facts.
    parts = table.name != "metadata.csv" and not names & labelled.classes(table)
    return table if parts else None


# --- what a folder holds -----------------------------------------------------------------------


def _listed(place: Path) -> tuple[Path, pd.DataFrame, list[tuple[str, str]], Path | None]:
    """A set's root, its photographs (`file`, `label`, `split`, …), what was passed over, and the
    table its labels come from, if they do."""
    table = place if place.is_file() else None
    if table is None:
        table, root = labels_table(place), folders.set_root(place)
    if table is not None:
        try:
            return table.parent, *labelled.read(table), table
        except labelled.TableError as error:
            raise DataError(str(error)) from None
    if root is None:
        raise DataError(f"No class folders with photographs in {place}. {_HOW_TO}")
    found, ignored = folders.list_files(root)
    ignored += folders.beside(place, root)
    return root, pd.DataFrame(found, columns=["file", "label", "split"]), ignored, None


def _join_metadata(index: pd.DataFrame, path: Path | None) -> pd.DataFrame:
    names = ["lesion_id", "patient_id", "source"]
    if path is not None and path.is_file():
        try:
            table = pd.read_csv(path, dtype=str, keep_default_na=False)
        except ValueError as error:  # no table, or no UTF-8
            raise DataError(f"{path}: {error}") from None
        if "image_id" not in table or table["image_id"].duplicated().any():
            raise DataError(f"{path}: needs a column image_id without repeats")
        table = table[table["image_id"] != ""]  # or they would join every file without an id
        table = table.set_index("image_id")
    else:
        table = official.facts()
    for name in table.columns.intersection(names):
        said = index["image_id"].map(table[name].to_dict()).astype(object)
        # a table of labels that names lesions itself knows its own best
        index[name] = index[name].where(index[name] != "", said) if name in index else said
    known = {name: index[name].fillna("") if name in index else "" for name in names}
    return index.assign(**known)
