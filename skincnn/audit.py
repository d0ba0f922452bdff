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

from skincnn import data, duplicates, official, shortcuts, sketches

POLICIES = ("official", "drop")
PAIRS = ["file_a", "file_b", "kind", "how", "correlation", "label_a", "label_b", "across_split"]
FINDINGS = ["kind", "file", "other", "detail"]


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
        return "\n".join(headlines(self.counts()))

    @property
    def clean(self) -> bool:
        """Whether nothing was found that a person should look at."""
        return self.findings().empty

    def findings(self) -> pd.DataFrame:
        """Everything found, one row a finding: `kind`, `file`, `other`, `detail`."""
        tables = [_pair_findings(self.pairs), _lesion_findings(self.index)]
        tables += [_label_findings(self.index), _flag_findings(self.index, self.sketches)]
        tables.append(self.unusable.rename(columns={"reason": "detail"}).assign(kind="unusable"))
        rows = pd.concat(tables, ignore_index=True)
        return rows.reindex(columns=FINDINGS).fillna("")

    def counts(self) -> dict:
        """Every count as a dictionary that JSON can hold."""
        index, pairs = self.index, self.pairs
        wrong = _label_findings(index)
        lesions = _across(index, "lesion_id")
        table = data.counts(index)
        named = pd.crosstab(index["label"], index["official_label"].replace("", "unknown"))
        return {
            "name": index.attrs.get("name", ""),
            "photographs": len(index),
            "unusable": len(self.unusable),
            "classes": table.drop(index="all").to_dict("index"),
            "identical": _pair_counts(pairs[pairs["kind"] == "identical"]),
            "near": _pair_counts(pairs[pairs["kind"] == "near"]),
            "clusters": {
                "clusters": int(index["cluster"].nunique()),
                "photographs": int(index["cluster"].notna().sum()),
                "across_split": len(_across(index, "cluster")),
                "conflicting": int((index.groupby("cluster")["label"].nunique() > 1).sum()),
                "joining_lesions": _joined_lesions(index),
            },
            "lesions": {
                "known": int((index["lesion_id"] != "").sum()),
                "lesions": int(index.loc[index["lesion_id"] != "", "lesion_id"].nunique()),
                "across_split": len(lesions),
                "photographs_across_split": int(index["lesion_id"].isin(lesions).sum()),
            },
            "official": {
                "known": int((index["official_label"] != "").sum()),
                "contradicted": len(wrong),
                "by_folder": {
                    k: {c: int(n) for c, n in r.items() if n}
                    for k, r in named.to_dict("index").items()
                },
            },
            "one_collection": self.one_collection.to_dict("records"),
            "shortcuts": self.shortcuts.round(4).to_dict("records"),
            **{k: int(n) for k, n in sketches.flags(self.sketches).sum().items()},
        }

    def save(self, folder: str | Path) -> None:
        """Write `audit.json` (counts), `findings.csv` and `pairs.csv` into a folder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.counts(), indent=1, ensure_ascii=False)
        (folder / "audit.json").write_text(text + "\n", encoding="utf-8")
        self.findings().to_csv(folder / "findings.csv", index=False, lineterminator="\n")
        self.pairs.to_csv(
            folder / "pairs.csv", index=False, float_format="%.4f", lineterminator="\n"
        )


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
    index["group"] = data.groups(index)
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
        index: from `audit.run` (`.index`), or from `data.load`, which is then audited here.
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
    if "cluster" not in index:
        index = run(index, with_shortcuts=False).index
    changes, keep, names = [], [], {}

    def drop(rows, reason, kept=""):
        changes.extend((row.file, "dropped", reason, row.label, "", kept) for row in rows)

    for row in index[index["problem"] != ""].itertuples():
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


def headlines(counts: dict) -> list[str]:
    """What matters most, first, in words: a few lines for the terminal and the report's head."""
    same, near, lesions = counts["identical"], counts["near"], counts["lesions"]
    known, wrong = counts["official"]["known"], counts["official"]["contradicted"]
    lines = []
    for kind, what in ((same, "the same photograph"), (near, "nearly the same photograph")):
        if kind["pairs"]:
            lines.append(
                f"{kind['pairs']:,} pairs of files show {what}: {kind['conflicting']:,} under two "
                f"class names, {kind['across_split']:,} across Train and Test"
            )
    if wrong:
        lines.append(f"{wrong:,} of {known:,} photographs with an official diagnosis are misnamed")
    if lesions["across_split"]:
        lines.append(
            f"{lesions['across_split']:,} lesions stand in Train and in Test "
            f"({lesions['photographs_across_split']:,} photographs)"
        )
    if counts["shortcuts"]:
        best = counts["shortcuts"][0]
        if best["low"] > best["chance"]:
            lines.append(
                f"a classifier that never sees the lesion, only {best['sees']}, has a balanced "
                f"accuracy of {best['balanced_accuracy']:.0%} (95 % interval {best['low']:.0%} to "
                f"{best['high']:.0%}; chance {best['chance']:.0%})"
            )
    if counts["one_collection"]:
        names = ", ".join(f"{r['label']} ({r['source']})" for r in counts["one_collection"])
        lines.append(f"classes from one collection only: {names}")
    if counts["unusable"]:
        lines.append(f"{counts['unusable']:,} files cannot be used")
    odd = [f"{counts[name]:,} {name}" for name in sketches.LIMITS if counts[name]]
    if odd:
        lines.append(f"photographs to look at: {', '.join(odd)}")
    head = f"{counts['photographs']:,} photographs of {len(counts['classes'])} classes"
    return [head + (":" if lines else ": nothing found"), *(f"- {line}" for line in lines)]


def clusters(index: pd.DataFrame, pairs: pd.DataFrame) -> pd.Series:
    """The `cluster` of each row, from pairs of files that show the same photograph."""
    row = pd.Series(index.index, index["file"])
    edges = np.stack([row[pairs["file_a"]], row[pairs["file_b"]]], axis=1).reshape(-1, 2)
    numbers = pd.Series(duplicates.clusters(len(index), edges), index.index, dtype="Int64")
    return numbers.mask(numbers < 0)


# --- underneath ----------------------------------------------------------------------------------


def _pairs(index: pd.DataFrame, sketched: pd.DataFrame, small: np.ndarray) -> pd.DataFrame:
    """Identical pairs by pixel digest, near pairs by what the pictures show."""
    found = {}
    for _, rows in sketched.groupby("pixels").groups.items():
        for a, b in itertools.combinations(sorted(rows), 2):
            found[a, b] = ("identical", _written(sketched, a, b), 1.0)
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


def _written(sketched: pd.DataFrame, a: int, b: int) -> str:
    same = sketched.at[a, "bytes"] == sketched.at[b, "bytes"]
    return "byte for byte" if same else "same pixels, written differently"


def _pair_counts(pairs: pd.DataFrame) -> dict:
    conflicting = pairs[pairs["label_a"] != pairs["label_b"]]
    names = [
        " / ".join(sorted(two))
        for two in zip(conflicting["label_a"], conflicting["label_b"], strict=True)
    ]
    by_class = pd.Series(names, dtype=str).value_counts()
    return {
        "pairs": len(pairs),
        "files": int(pd.concat([pairs["file_a"], pairs["file_b"]]).nunique()),
        "conflicting": len(conflicting),
        "across_split": int(pairs["across_split"].sum()),
        "conflicting_by_classes": {name: int(n) for name, n in sorted(by_class.items())},
    }


def _across(index: pd.DataFrame, column: str) -> list:
    """Values of a column that stand in more than one split."""
    known = index[index[column].notna() & (index[column].astype(str) != "")]
    splits = known.groupby(column)["split"].nunique()
    return list(splits[splits > 1].index)


def _joined_lesions(index: pd.DataFrame) -> int:
    """Clusters whose photographs bear two lesion ids or more."""
    known = index[(index["lesion_id"] != "") & index["cluster"].notna()]
    return int((known.groupby("cluster")["lesion_id"].nunique() > 1).sum())


def _pair_findings(pairs: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for p in pairs.itertuples():
        detail = [p.how]
        if p.label_a != p.label_b:
            detail.append(f"{p.label_a} and {p.label_b}")
        if p.across_split:
            detail.append("across Train and Test")
        rows.append((p.kind, p.file_a, p.file_b, "; ".join(detail)))
    return pd.DataFrame(rows, columns=FINDINGS)


def _lesion_findings(index: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for lesion in _across(index, "lesion_id"):
        files = index[index["lesion_id"] == lesion]
        train, test = (files.loc[files["split"] == s, "file"] for s in ("train", "test"))
        rows += [("lesion across split", t, train.iloc[0], f"lesion {lesion}") for t in test]
    return pd.DataFrame(rows, columns=FINDINGS)


def _label_findings(index: pd.DataFrame) -> pd.DataFrame:
    rows = [
        ("misnamed", row.file, "", f"officially {row.official_label}, not {row.label}")
        for row in index.itertuples()
        if official.contradicts(row.label, row.official_label)
    ]
    return pd.DataFrame(rows, columns=FINDINGS)


def _flag_findings(index: pd.DataFrame, sketched: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for name, flagged in sketches.flags(sketched).items():
        column = sketches.LIMITS[name][0]
        rows += [
            (name, index.at[i, "file"], "", f"{column} {sketched.at[i, column]:.3g}")
            for i in index.index[flagged]
        ]
    return pd.DataFrame(rows, columns=FINDINGS)
