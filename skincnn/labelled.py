"""Sets whose labels stand in a table beside the photographs, not in folder names.

HAM10000, the ISIC challenges and what `isic image download` writes come so: any CSV with a column
that names the photograph and one that names its class, or one column of 0 and 1 a class.
"""

from pathlib import Path

import pandas as pd

from skincnn import images, labels

IDS = ("file", "image_id", "isic_id", "image_name", "image", "filename", "id")
CLASSES = ("label", "dx", "diagnosis", "class", "diagnosis_3")
# What a table may say of a photograph, and the index's name for it.
FACTS = {"lesion_id": "lesion_id", "patient_id": "patient_id", "source": "source"}


class TableError(ValueError):
    """A table that cannot be read as labels; the message says why."""


def table_in(folder: Path) -> Path | None:
    """The first table in a folder that names photographs and their classes."""
    for path in sorted(folder.glob("*.csv")):
        try:
            head = pd.read_csv(path, dtype=str, nrows=50)
        except (ValueError, OSError):  # empty, binary, no UTF-8: not the one
            continue
        if any(name.startswith("p_") for name in head):  # answers (`predict --csv`), not labels
            continue
        if _id_column(head) and (_class_column(head) or _one_hot(head)):
            return path
    return None


def read(path: Path) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """The photographs a table names, wherever below its folder they lie.

    Args:
        path: of the table.

    Returns:
        `file` (relative to the table's folder), `label`, `split`, and what of `FACTS` it has, ""
        where unknown; and (path, reason) of photographs and rows that were passed over.

    Raises:
        TableError: no such columns, a photograph that stands there twice with two labels, or none
            of them in the folder.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (ValueError, OSError) as error:
        raise TableError(f"{path}: {error}") from None
    identity, name = _id_column(table), _class_column(table)
    if identity is None or (name is None and not _one_hot(table)):
        raise TableError(
            f"{path}: needs a column of photographs ({', '.join(IDS)}) and one of classes "
            f"({', '.join(CLASSES)}), or a column of 0 and 1 a class; it has "
            f"{', '.join(map(str, table.columns))}"
        )
    named = table[name] if name else _from_shares(table[_one_hot(table)])
    table = table.assign(label=named.map(labels.name), key=table[identity].map(_key))
    conflicts = table.groupby("key")["label"].nunique()
    if (conflicts > 1).any():
        raise TableError(f"{path}: {conflicts.idxmax()!r} stands there under two labels")
    table = table.drop_duplicates("key").set_index("key")

    root = path.parent
    files = [
        p.relative_to(root)
        for p in sorted(root.rglob("*"))
        if p.suffix.lower() in images.EXTENSIONS and p.is_file() and p.name[0] != "."
    ]
    keys = {p: _named(p, table.index) for p in files}
    known = [p for p in files if keys[p]]
    if not known:
        raise TableError(f"{path}: none of the {len(table)} photographs it names lie in {root}")
    ignored = [(p.as_posix(), f"not in {path.name}") for p in set(files) - set(known)]
    absent = sorted(set(table.index) - {keys[p] for p in known})
    ignored += [(key, f"in {path.name}, but not in the folder") for key in absent]
    blank = [p for p in known if not table.at[keys[p], "label"]]
    ignored += [(p.as_posix(), "no label in the table") for p in blank]
    rows = [p for p in known if p not in set(blank)]
    found = pd.DataFrame({"file": [p.as_posix() for p in rows]})
    wanted = [keys[p] for p in rows]
    found["label"] = table["label"].reindex(wanted).to_numpy()
    found["split"] = "train"
    for column, ours in FACTS.items():
        if column in table:
            found[ours] = table[column].reindex(wanted).to_numpy()
    return found, ignored


def keys(table: pd.DataFrame) -> pd.Series | None:
    """Which photograph each row of a table is about, by name without ending; None if it names
    none."""
    name = _id_column(table)
    return None if name is None else table[name].map(_key)


def classes(path: Path) -> set[str]:
    """The labels a table has, as it spells them and as the folders do."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    name = _class_column(table)
    said = set(table[name]) if name else set(_one_hot(table))
    return said | {labels.name(text) for text in said}


def _id_column(table: pd.DataFrame) -> str | None:
    return next((name for name in IDS if name in table), None)


def _class_column(table: pd.DataFrame) -> str | None:
    return next((name for name in CLASSES if name in table), None)


def _one_hot(table: pd.DataFrame) -> list[str]:
    """Columns of nothing but 0 and 1 that sum to one in every row."""
    shares = table.apply(pd.to_numeric, errors="coerce")
    some = [c for c in shares if shares[c].isin([0, 1]).all()]
    return some if len(some) > 1 and (shares[some].sum(axis=1) == 1).all() else []


def _from_shares(shares: pd.DataFrame) -> pd.Series:
    return shares.astype(float).idxmax(axis=1)


def _key(text: str) -> str:
    """A photograph's name without its ending, with the folders it was given with."""
    path = Path(text)
    return (path.with_suffix("") if path.suffix.lower() in images.EXTENSIONS else path).as_posix()


def _named(file: Path, known: pd.Index) -> str:
    """The key a table has for a file: with its folders, or else by its name alone; "" for none."""
    whole = file.with_suffix("").as_posix()
    return next((key for key in (whole, file.stem) if key in known), "")
