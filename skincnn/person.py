"""What is known of the person photographed (age, sex, site on the body) and how a network is told.

Tables name these in several ways; here they have one. No TensorFlow.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from skincnn import labelled, official

COLUMNS = ["age", "sex", "site"]
# The index's name, and what tables call it, the first that is there.
_CALLED = {
    "age": ("age", "age_approx"),
    "sex": ("sex",),
    "site": ("site", "anatom_site_general_challenge", "anatom_site_general", "localization"),
}
# Coarse sites, and words that finer names of them hold.
SITES = {
    "head and neck": {"head", "neck", "scalp", "face", "ear"},
    "torso": {"torso", "trunk", "chest", "back", "abdomen"},
    "upper extremity": {"upper", "arm", "shoulder"},
    "lower extremity": {"lower", "leg", "thigh"},
    "hands and feet": {"hand", "hands", "foot", "feet", "palms", "soles", "acral"},
    "oral or genital": {"oral", "genital"},
}
_SEXES = {"male": "male", "female": "female", "m": "male", "f": "female"}
WIDTH = 2 + len(set(_SEXES.values())) + len(SITES)  # of `vectors`
_SPAN = 50.0  # years: ages stand around their middle in units of it


def read(table: pd.DataFrame) -> pd.DataFrame:
    """Age, sex and site of each row of a table, as text, "" where unknown.

    Returns:
        Columns `COLUMNS`, the table's rows: age in whole years, sex `male` or `female`, site one of
        `SITES`.
    """
    found = pd.DataFrame("", index=table.index, columns=COLUMNS, dtype=object)
    for ours, names in _CALLED.items():
        name = next((n for n in names if n in table), None)
        if name:
            found[ours] = table[name].fillna("").astype(str).map({"age": _age}.get(ours, str.strip))
    found["sex"] = found["sex"].str.lower().map(_SEXES).fillna("")
    found["site"] = found["site"].map(site)
    return found


def of(index: pd.DataFrame) -> pd.DataFrame:
    """Age, sex and site of an index's rows: its own columns, else the table its labels or facts
    come from, else what is officially known of the nine-class set. As `read`."""
    if set(COLUMNS) <= set(index):
        return read(index)
    name = index.attrs.get("labels_from", "metadata.csv")
    path = Path(index.attrs.get("root", ".")) / name
    known = official.facts()
    if path.is_file():
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        keys = labelled.keys(table)
        if keys is not None:
            known = table.assign(key=keys).drop_duplicates("key").set_index("key")
    known = read(known)
    return known.reindex(index["image_id"]).fillna("").set_index(index.index)


def vectors(facts: pd.DataFrame) -> np.ndarray:
    """Age, sex and site as a network takes them; zeros say nothing is known.

    Args:
        facts: (N) rows with `COLUMNS`, from `of`.

    Returns:
        float32 (N, WIDTH): whether the age is known, the age around 50 years in units of 50, and
        one number 0 or 1 each for the two sexes and the sites.
    """
    age = pd.to_numeric(facts["age"], errors="coerce").to_numpy(np.float32)
    known = np.isfinite(age)
    columns = [known, np.where(known, (np.nan_to_num(age) - _SPAN) / _SPAN, 0)]
    columns += [facts["sex"] == sex for sex in dict.fromkeys(_SEXES.values())]
    columns += [facts["site"] == name for name in SITES]
    return np.stack([np.asarray(c, np.float32) for c in columns], axis=1)


def site(text: str) -> str:
    """The coarse site that a table's name of one belongs to, "" for none."""
    words = set(text.lower().replace("/", " ").replace("_", " ").split())
    return next((name for name, some in SITES.items() if words & some), "")


def _age(text: str) -> str:
    try:
        return str(int(float(text))) if 0 <= float(text) < 120 else ""
    except ValueError:
        return ""
