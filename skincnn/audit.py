"""What is wrong with a set of photographs, and the set without it.

found = audit.run(data.load("isic9"))
print(found)                                # what matters most, first
clean, changes = audit.clean(found.index)   # and every row that was changed, with its reason
"""

import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd

from skincnn import (
    atomic,
    data,
    duplicates,
    findings,
    labels,
    official,
    predictions,
    relatives,
    shortcuts,
    sketches,
)

POLICIES = ("official", "drop")
PAIRS = ["file_a", "file_b", "kind", "how", "correlation", "label_a", "label_b", "across_split"]


@dataclasses.dataclass(frozen=True)
class Audit:
    """What `run` found; `print` it for the short form.

    Attributes:
        index: the usable rows with `cluster` (nullable integer, missing where a photograph stands
            alone), `official_label` ("" where unknown) and `group` with the clusters joined in.
        pairs: one row a pair of photographs that show the same (`PAIRS`); `kind` is `identical`
            (decoded pixels) or `near`, `how` says what was done to the second.
        sketches: one row a photograph: `sketches.Sketch`.
        shortcuts: see `shortcuts.table`; empty where it was not asked for.
        one_collection: see `shortcuts.one_collection`.
        unusable: `file`, `reason`, of what is no photograph.
    """

    index: pd.DataFrame
    pairs: pd.DataFrame
    sketches: pd.DataFrame
    shortcuts: pd.DataFrame
    one_collection: pd.DataFrame
    unusable: pd.DataFrame

    def __str__(self) -> str:
        return "\n".join(findings.headlines(self.counts()))

    @property
    def clean(self) -> bool:
        """Whether nothing was found that a person should look at."""
        return self.findings().empty

    def findings(self) -> pd.DataFrame:
        """Everything found, one row a finding: `kind`, `file`, `other`, `detail`."""
        return findings.table(self.index, self.pairs, self.sketches, self.unusable)

    def counts(self) -> dict:
        """Every count as a dictionary that JSON can hold."""
        return {
            "name": self.index.attrs.get("name", ""),
            "photographs": len(self.index),
            "unusable": len(self.unusable),
            **findings.counts(self.index, self.pairs),
            "one_collection": self.one_collection.to_dict("records"),
            "shortcuts": self.shortcuts.round(4).to_dict("records"),
            **{k: int(n) for k, n in sketches.flags(self.sketches).sum().items()},
        }

    def save(self, folder: str | Path) -> None:
        """Write `audit.json` (counts), `findings.csv` and `pairs.csv` into a folder."""
        folder = Path(folder)
        text = json.dumps(self.counts(), indent=1, ensure_ascii=False)
        atomic.write_text(folder / "audit.json", text + "\n")
        atomic.write_text(folder / "findings.csv", self.findings().to_csv(index=False))
        atomic.write_table(folder / "pairs.csv", self.pairs, digits=4)


def run(index: pd.DataFrame, with_shortcuts: bool = True, progress: bool = True) -> Audit:
    """Audit a set: every photograph is opened once.

    Args:
        index: from `data.load`, without added copies.
        with_shortcuts: also train the classifier that sees everything but the lesion.
        progress: show progress bars.

    Returns:
        The `Audit`.

    Raises:
        ValueError: the index has added copies.
        data.DataError: a file changed since the index was made.
    """
    if (index["augmented_from"] != "").any():
        raise ValueError("this index has added copies: audit the one without them")
    unusable = index.loc[index["problem"] != "", ["file", "problem"]]
    attrs = index.attrs
    index = data.usable(index)
    sketched, small = sketches.measure(index, progress)
    pairs = _pairs(index, sketched, small)
    index = index.assign(cluster=clusters(index, pairs), official_label=official.diagnoses(index))
    index.attrs = attrs
    index["group"] = relatives.groups(index)
    empty = pd.DataFrame(columns=["sees", "balanced_accuracy", "low", "high", "chance"])
    return Audit(
        index=index,
        pairs=pairs,
        sketches=sketched,
        shortcuts=shortcuts.table(index, sketched) if with_shortcuts else empty,
        one_collection=shortcuts.one_collection(index),
        unusable=unusable.rename(columns={"problem": "reason"}).reset_index(drop=True),
    )


def clean(index: pd.DataFrame, policy: str = "official") -> tuple[pd.DataFrame, pd.DataFrame]:
    """The set without its problems, and the list of all that was done to it.

    Train and Test are pooled. Policy `official`: the official diagnosis wins over the folder's
    name; photographs under two names of which no official diagnosis is known are dropped; one
    photograph of each cluster stays, the largest. Policy `drop` believes neither: whatever is
    contradicted, by a referee or by another folder, is dropped. A class left empty leaves the list.

    Args:
        index: from `audit.run` (`.index`, which unusable files have left already), or from
            `data.load`, which is then audited here.
        policy: `official` or `drop`.

    Returns:
        The clean index (`split` stays as published, for information), and the changes: `file`,
        `action` (`relabelled` or `dropped`), `reason`, `label` (as the folder says), `new_label`
        and `kept` (the file that stays in its place), each "" where it does not apply.

    Raises:
        ValueError: the policy is unknown, or no photograph would be left.
    """
    if policy not in POLICIES:
        raise ValueError(f"policy={policy!r}: choose one of {', '.join(POLICIES)}")
    set_aside = index[index["problem"] != ""]
    if "cluster" not in index:
        index = run(index, with_shortcuts=False).index
    changes, keep, names = [], [], {}

    def drop(rows, reason, kept=""):
        changes.extend((row.file, "dropped", reason, row.label, "", kept) for row in rows)

    for row in set_aside.itertuples():
        drop([row], f"unusable: {row.problem}")
    usable = data.usable(index)
    alone = -1 - np.arange(len(usable))  # each its own cluster
    cluster = usable["cluster"].astype("Int64").fillna(pd.Series(alone, usable.index)).astype(int)
    for _, members in usable.groupby(cluster, sort=False):
        rows = list(members.itertuples())
        known = sorted(set(members["official_label"]) - {""})
        folders = sorted(set(members["label"]))
        if len(known) > 1:
            drop(rows, f"one photograph, two official diagnoses: {' and '.join(known)}")
            continue
        wrong = [row for row in rows if known and official.contradicts(row.label, known[0])]
        if policy == "drop" and (wrong or len(folders) > 1):
            said = f", officially {known[0]}" if known else ""
            drop(rows, f"named {' and '.join(folders)}{said}")
            continue
        if not known and len(folders) > 1:
            drop(rows, f"named {' and '.join(folders)}, no official diagnosis decides")
            continue
        # the largest; of equals the rightly named one, then the first, so that the choice repeats
        rows.sort(key=lambda r: (-r.width * r.height, r in wrong, r.file))
        best, *rest = rows
        name = known[0] if known else best.label
        drop(rest, "the same photograph stays as another file", best.file)
        if name != best.label:
            reason = f"officially {name}"
            changes.append((best.file, "relabelled", reason, best.label, name, ""))
        keep.append(best.Index)
        names[best.Index] = name
    if not keep:
        raise ValueError("no photograph would be left: look at audit.run(index) first")
    result = usable.loc[sorted(keep)].copy()
    result["label"] = pd.Series(names)
    result = result.reset_index(drop=True)
    result.attrs = dict(index.attrs)
    columns = ["file", "action", "reason", "label", "new_label", "kept"]
    table = pd.DataFrame(changes, columns=columns).sort_values("file", ignore_index=True)
    return result, table


def suspicious(table: pd.DataFrame) -> pd.DataFrame:
    """Photographs whose label the out-of-fold predictions doubt, for a person to look at.

    Confident learning (Northcutt, Jiang & Chuang 2021): a network is confident of a class where its
    probability reaches the mean it gives to photographs that bear that name. Doubted is a label
    where it is confident of another class and more so than of the label. Written here, in a few
    lines: cleanlab, which does the same, is licensed under the AGPL.

    Args:
        table: out-of-fold predictions (a cross-validation's); several seeds are averaged.

    Returns:
        `file`, `image_id`, `label`, `suggested`, `p_label`, `p_suggested` (0…1), `margin` (their
        difference), the most doubted first.

    Example:
        >>> audit.suspicious(predictions.read("outputs/runs/isic9_best_cv/predictions.csv"))
    """
    columns = predictions.probability_columns(table)
    facts = table.drop_duplicates("file").set_index("file")[["image_id", "label"]]
    means = table.groupby("file")[columns].mean().reindex(facts.index)
    facts = facts.reset_index()
    names = np.array(predictions.classes(table))
    shares = means.to_numpy()
    given = np.array([columns.index(labels.column(name)) for name in facts["label"]])
    row = np.arange(len(given))
    own = shares[row, given]
    limits = np.array(
        [own[given == c].mean() if (given == c).any() else 2 for c in range(len(names))]
    )
    sure = np.where(shares >= limits, shares, -1.0)
    sure[row, given] = -1.0
    other = sure.argmax(axis=1)
    most = sure[row, other]
    found = facts.assign(suggested=names[other], p_label=own, p_suggested=most, margin=most - own)
    found = found[most > own]
    return found.sort_values("margin", ascending=False, ignore_index=True)


def clusters(index: pd.DataFrame, pairs: pd.DataFrame) -> pd.Series:
    """The `cluster` of each row, from pairs of files that show the same photograph."""
    row = {file: at for at, file in enumerate(index["file"])}
    edges = [(row[a], row[b]) for a, b in zip(pairs["file_a"], pairs["file_b"], strict=True)]
    first = pd.Series(relatives.connected(len(index), edges), index.index)
    alone = first.map(first.value_counts()) == 1
    numbers = first.mask(alone).rank(method="dense") - 1
    return numbers.astype("Int64")


# --- underneath ----------------------------------------------------------------------------------


def _pairs(index: pd.DataFrame, sketched: pd.DataFrame, small: np.ndarray) -> pd.DataFrame:
    """Identical pairs by pixel digest, near pairs by what the pictures show."""
    found = {}
    for _, rows in sketched.groupby("pixels").groups.items():
        for a, b in itertools.combinations(sorted(rows), 2):
            found[a, b] = ("identical", _written(index, a, b), 1.0)
    # one of each set of identical ones: the others would only repeat its pairs
    first = sketched.drop_duplicates("pixels").index.to_numpy()
    for a, b, orientation, correlation in duplicates.pairs(small[first]):
        how = duplicates.ORIENTATIONS[orientation] or "resized, re-encoded, brightened or cropped"
        found[first[a], first[b]] = ("near", how, correlation)
    rows = []
    for (a, b), (kind, how, correlation) in sorted(found.items()):
        x, y = index.loc[a], index.loc[b]
        across = x["split"] != y["split"]
        rows.append((x["file"], y["file"], kind, how, correlation, x["label"], y["label"], across))
    return pd.DataFrame(rows, columns=PAIRS).astype({"across_split": bool})


def _written(index: pd.DataFrame, a: int, b: int) -> str:
    same = index.at[a, "sha256"] == index.at[b, "sha256"]
    return "byte for byte" if same else "same pixels, written differently"
