"""Figures in words: what the terminal prints of `evaluate`'s answers."""

from typing import TYPE_CHECKING

from skincnn.scores import SENSITIVITIES_AT

if TYPE_CHECKING:
    import pandas as pd

HEADLINES = {  # name in the dictionary -> words for people
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "log_loss": "log loss",
    "macro_auc": "macro AUC",
    "brier": "Brier score",
    "ece": "calibration error",
}
# Of one class against the rest, where the table has such a class; its name goes before them.
POSITIVE_HEADLINES = {
    **{
        name: f"sensitivity at {100 * specificity:.0f} % specificity"
        for name, specificity in SENSITIVITIES_AT.items()
    },
    "partial_auc": "partial AUC (above 80 % sensitivity, at most 0.2)",
}


def summary(metrics: dict) -> str:
    """`metrics` in a few lines for the terminal; figures it does not have are passed over."""
    of = "photographs"
    if metrics["n"] != metrics["n_files"]:
        of = f"predictions of {metrics['n_files']:,} photographs"
    lines = [
        f"{_words(name, metrics)} {_with_interval(name, **metrics[name])}"
        for name in (*HEADLINES, *POSITIVE_HEADLINES)
        if name in metrics and metrics[name]["value"] is not None
    ]
    lines[0] += f", n = {metrics['n']:,} {of} in {metrics['n_groups']:,} groups"
    return "\n".join(lines)


def comparison(answer: dict) -> str:
    """`paired.compare`'s answer in a few lines for the terminal."""
    lines = [
        f"{_words(name, answer)} {_number(name, row['a'])} against {_number(name, row['b'])}: "
        f"difference {_with_interval(name, row['value'], row['low'], row['high'], '+')}"
        + ("" if row["p"] is None else f", {_p(row['p'])}")
        for name, row in answer["differences"].items()
        if row["value"] is not None
    ]
    test = answer["mcnemar"]
    lines.append(
        f"only the first is right {test['only_a_right']:,} times, only the second "
        f"{test['only_b_right']:,}: {_p(test['p'])} (McNemar's exact test)"
    )
    return "\n".join(lines)


def subgroups(table: "pd.DataFrame", positive: str | None) -> str:
    """`evaluate.by`'s table in a paragraph a subgroup; all its figures are in the table."""
    paragraphs = []
    for name, row in table.iterrows():
        small = ", too few to say much" if row["small"] else ""
        lines = [
            f"{table.index.name} {name}: n = {row['n']:,} in {row['n_groups']:,} groups, "
            f"{row['classes']} classes present{small}"
        ]
        for headline in ("accuracy", "balanced_accuracy", "macro_auc", *SENSITIVITIES_AT):
            if row.get(headline, float("nan")) == row.get(headline):  # NaN is not itself
                low, high = (
                    None if row[end] != row[end] else row[end]
                    for end in (f"{headline}_low", f"{headline}_high")
                )
                words = _words(headline, {"positive": positive})
                lines.append(f"  {words} {_with_interval(headline, row[headline], low, high)}")
        paragraphs.append("\n".join(lines))
    return "\n".join(paragraphs)


def _words(name: str, answer: dict) -> str:
    return HEADLINES.get(name) or f"{answer['positive']}: {POSITIVE_HEADLINES[name]}"


def _number(name: str, value: float, sign: str = "", unit: bool = True) -> str:
    if "accuracy" in name or "sensitivity" in name:
        return f"{value * 100:{sign}.1f}" + (" %", " points")[bool(sign)] * unit
    return f"{value:{sign}.3f}"


def _with_interval(
    name: str, value: float, low: float | None, high: float | None, sign: str = ""
) -> str:
    text = _number(name, value, sign)
    if low is None:
        return text
    to = " to " if sign else "–"  # a dash before a minus cannot be read
    ends = (_number(name, end, sign, unit=False) for end in (low, high))
    return f"{text} (95 % interval {to.join(ends)})"


def _p(value: float) -> str:
    return f"p = {value:.3f}" if value >= 0.001 else "p < 0.001"
