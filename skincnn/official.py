"""What is officially known of a photograph: its diagnosis, its lesion, its collection.

`data/isic9_index.csv` holds these facts for every photograph of the nine-class set, by its id in
the ISIC archive: no image, only what the archive publishes. It was made by

    python -m skincnn.official TABLES SET

from the ISIC 2019 ground truth and metadata and HAM10000's metadata (`data/README.md` says where
they come from). A set of your own says the same in a `metadata.csv` beside its folders.
"""

import sys
from pathlib import Path

import pandas as pd

from skincnn import config, labels

COLUMNS = ["file", "image_id", "label", "split", "official_label", "lesion_id", "source"]
PERSON = ["age", "sex", "site"]  # of the person photographed, where the archive says
HAM, OTHER = "HAM10000", "not HAM10000"
# The archive's own class BKL holds seborrheic keratoses, solar lentigines and lichen-planus-like
# keratoses (Tschandl, Rosendahl & Kittler 2018), so it does not contradict the narrower folder.
_WIDER = {("seborrheic keratosis", "pigmented benign keratosis")}


def facts_file() -> Path:
    """Where the facts of the nine-class set lie in a checkout."""
    return config.project_root() / "data" / "isic9_index.csv"


def facts() -> pd.DataFrame:
    """The facts by `image_id` (index), empty where the file is not at hand."""
    path = facts_file()
    names = [*COLUMNS[4:], *PERSON]
    if not path.is_file():
        return pd.DataFrame(columns=names, index=pd.Index([], name="image_id"), dtype=str)
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    return table.drop_duplicates("image_id").set_index("image_id")[names]


def diagnoses(index: pd.DataFrame) -> pd.Series:
    """The official class name of each row, "" where none is known.

    A `metadata.csv` beside the photographs speaks first (column `diagnosis`: a class name or one
    of the archive's codes), then the facts of the nine-class set, both by `image_id`. Labels that
    come from a table have no referee but that table: what HAM10000 calls `akiec` holds the
    nine-class set's squamous cell carcinomas, and has them in one class with actinic keratoses.
    """
    if index.attrs.get("labels_from"):
        return pd.Series("", index.index)
    known = facts()["official_label"]
    path = Path(index.attrs.get("root", ".")) / "metadata.csv"
    if path.is_file():
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        if {"image_id", "diagnosis"} <= set(table):
            own = table[table["image_id"] != ""].set_index("image_id")["diagnosis"]
            known = own.map(lambda text: _NAMES.get(text.upper(), text))
    return index["image_id"].map(known.to_dict()).astype(object).fillna("").astype(str)


def contradicts(label: str, official: str) -> bool:
    """Whether a folder's name is not the official diagnosis; False where none is known."""
    return bool(official) and label != official and (label, official) not in _WIDER


_NAMES = {code: name for name, code in labels.ISIC9.items()}


# --- how the file was made ------------------------------------------------------------------


def build(index: pd.DataFrame, tables: str | Path) -> pd.DataFrame:
    """The facts of every file of an index.

    Args:
        index: from `data.load("isic9")`.
        tables: a folder with `ISIC_2019_Training_GroundTruth.csv`,
            `ISIC_2019_Training_Metadata.csv` and `HAM10000_metadata.csv`, at any depth.

    Returns:
        One row a file: `COLUMNS` and `PERSON`, as text, "" where unknown.

    Raises:
        FileNotFoundError: one of the three tables is not there.
    """
    truth = _table(tables, "ISIC_2019_Training_GroundTruth.csv", "image")
    person = _table(tables, "ISIC_2019_Training_Metadata.csv", "image")
    ham = _table(tables, "HAM10000_metadata.csv", "image_id")
    codes = truth.astype(float).idxmax(axis=1)
    ids = index["image_id"]
    result = index[["file", "image_id", "label", "split"]].copy()
    result["official_label"] = ids.map(codes.map(_NAMES))
    result["lesion_id"] = ids.map(ham["lesion_id"]).fillna(ids.map(person["lesion_id"]))
    result["source"] = [HAM if i in ham.index else OTHER for i in ids]
    result["age"] = ids.map(person["age_approx"])
    result["sex"] = ids.map(person["sex"])
    result["site"] = ids.map(person["anatom_site_general"])
    return result[[*COLUMNS, *PERSON]].fillna("").astype(str)


def _table(folder: str | Path, name: str, key: str) -> pd.DataFrame:
    found = sorted(Path(folder).rglob(name))
    if not found:
        raise FileNotFoundError(f"{name} is nowhere in {folder}")
    table = pd.read_csv(found[0], dtype=str, keep_default_na=False)
    # The 2019 release renamed photographs it had made smaller; their ids are the archive's.
    table[key] = table[key].str.removesuffix("_downsampled")
    return table.set_index(key)


if __name__ == "__main__":
    from skincnn import data

    if len(sys.argv) != 3:
        sys.exit("usage: python -m skincnn.official TABLES SET")
    made = build(data.load(sys.argv[2]), sys.argv[1])
    made.to_csv(facts_file(), index=False, lineterminator="\n")
    print(f"{len(made)} rows → {facts_file()}")
