"""What an audit found, as a table, as counts and in words."""

import pandas as pd

from skincnn import data, official, sketches

COLUMNS = ["kind", "file", "other", "detail"]


def table(
    index: pd.DataFrame, pairs: pd.DataFrame, sketched: pd.DataFrame, unusable: pd.DataFrame
) -> pd.DataFrame:
    """One row a finding: `kind`, `file`, `other` (the file it is about too), `detail`.

    The arguments are the attributes of `audit.Audit`.
    """
    tables = [_pair_findings(pairs), _lesion_findings(index)]
    tables += [_label_findings(index), _flag_findings(index, sketched)]
    tables.append(unusable.rename(columns={"reason": "detail"}).assign(kind="unusable"))
    return pd.concat(tables, ignore_index=True).reindex(columns=COLUMNS).fillna("")


def counts(index: pd.DataFrame, pairs: pd.DataFrame) -> dict:
    """Classes, pairs, clusters, lesions and official diagnoses, counted."""
    lesions = across(index, "lesion_id")
    named = pd.crosstab(index["label"], index["official_label"].replace("", "unknown"))
    return {
        "classes": data.counts(index).drop(index="all").to_dict("index"),
        "identical": _pair_counts(pairs[pairs["kind"] == "identical"]),
        "near": _pair_counts(pairs[pairs["kind"] == "near"]),
        "clusters": {
            "clusters": int(index["cluster"].nunique()),
            "photographs": int(index["cluster"].notna().sum()),
            "across_split": len(across(index, "cluster")),
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
            "contradicted": len(misnamed(index)),
            "by_folder": {
                folder: {name: int(n) for name, n in row.items() if n}
                for folder, row in named.to_dict("index").items()
            },
        },
    }


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


def across(index: pd.DataFrame, column: str) -> list:
    """Values of a column that stand in more than one split."""
    known = index[index[column].notna() & (index[column].astype(str) != "")]
    splits = known.groupby(column)["split"].nunique()
    return list(splits[splits > 1].index)


def misnamed(index: pd.DataFrame) -> pd.DataFrame:
    """The rows whose folder the official diagnosis contradicts."""
    names = zip(index["label"], index["official_label"], strict=True)
    return index[[official.contradicts(label, said) for label, said in names]]


# --- underneath ----------------------------------------------------------------------------------


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
    return pd.DataFrame(rows, columns=COLUMNS)


def _lesion_findings(index: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for lesion in across(index, "lesion_id"):
        files = index[index["lesion_id"] == lesion]
        train, test = (files.loc[files["split"] == s, "file"] for s in ("train", "test"))
        rows += [("lesion across split", t, train.iloc[0], f"lesion {lesion}") for t in test]
    return pd.DataFrame(rows, columns=COLUMNS)


def _label_findings(index: pd.DataFrame) -> pd.DataFrame:
    rows = [
        ("misnamed", row.file, "", f"officially {row.official_label}, not {row.label}")
        for row in misnamed(index).itertuples()
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _flag_findings(index: pd.DataFrame, sketched: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for name, flagged in sketches.flags(sketched).items():
        column = sketches.LIMITS[name][0]
        rows += [
            (name, index.at[i, "file"], "", f"{column} {sketched.at[i, column]:.3g}")
            for i in index.index[flagged]
        ]
    return pd.DataFrame(rows, columns=COLUMNS)
