"""A model card, written from a run's own files (Mitchell et al. 2019)."""

from pathlib import Path

import pandas as pd

from skincnn import config, evaluate, parts, predictions, runs, subgroups

NOT_MEDICAL = (
    "**This is not a medical device.** It is for learning and research. No photograph's answer is "
    "a diagnosis, and a mole that worries you belongs in front of a doctor."
)
SUBGROUPS = ("source", "skin_tone", "age", "sex", "site")


def card(folder: str | Path, facts: pd.DataFrame | None = None, outside: dict | None = None) -> str:
    """The card of a run or a cross-validation, as Markdown.

    Args:
        folder: with `config.json`, `predictions.csv`.
        facts: about the photographs (see `subgroups.of`): figures are split by what it has of
            `SUBGROUPS`.
        outside: `evaluate.metrics` of what a network trained on this set alone, which need not be
            the one the card is about, predicts of another collection.

    Raises:
        runs.RunError, predictions.PredictionsError: a file is not there, or not sound.
    """
    run = runs.Run(Path(folder))
    table, info = run.predictions, run.info
    metrics = evaluate.metrics(table)
    about = info["data"]
    members = [member["config"] for member in info.get("members", ())]
    protocol = (members or [info["config"]])[0]["protocol"]
    pair = {"melanoma", "nevus"} <= set(table["label"])
    places = [run.folder / member["folder"] for member in info.get("members", ())]
    lines = [
        f"# Model card: {run.name}",
        "",
        NOT_MEDICAL,
        "",
        "## What it is",
        "",
        f"- {len(info['classes'])} classes: {', '.join(info['classes'])}.",
        *([f"- The {info['how']} of {len(members)} networks:"] if members else []),
        *(_network(settings) for settings in members or [info["config"]]),
        *([] if members else [f"- Precision {info['precision_used']}."]),
        *_before(places or [run.folder]),
        f"- Seeds {', '.join(_seeds(table))}; {_versions(info.get('versions', {}))}.",
        "",
        "## Data and protocol",
        "",
        f"- Set `{about.get('name', '')}`, protocol `{protocol}`: {_PROTOCOLS[protocol]}",
        f"- {metrics['n_files']:,} photographs in {metrics['n_groups']:,} groups of related ones "
        "are scored, each by a network that it did not train.",
        *([] if facts is None else _lesions(table, facts)),
        *([f"- {run.note}"] if run.note else []),
        f"- Fingerprints: rows `{about['rows_sha256'][:16]}`, photographs "
        f"`{about['pixels_sha256'][:16]}`.",
        *([f"- Command: `{run.command}`"] if run.command else []),
        f"- {_weights(run)}",
        "",
        "## Figures",
        "",
        "With 95 % intervals, by bootstrap over groups.",
        "",
        "```",
        evaluate.summary(metrics),
        "```",
        "",
        "By class:",
        "",
        _markdown(_classes(metrics)),
        "",
        *(_melanoma_or_nevus(table) if pair else []),
        "## Where it fails",
        "",
        *_failures(table),
        "",
    ]
    if facts is not None:
        lines += ["## For whom it was measured", "", *_by_subgroup(table, facts)]
    if outside is not None:
        lines += ["## On another collection", "", *_outside(outside)]
    lines += [
        "## Use and misuse",
        "",
        "- Meant for: teaching, comparing methods, looking at what such a network does and misses.",
        "- Not meant for: deciding about a person, screening, triage, clinical photographs taken "
        "without a dermatoscope, body parts or skin tones of which the tables by site and tone "
        "have hardly any.",
        "- Every answer is one of the classes above, whatever the photograph shows: another "
        "disease, or no skin at all, gets one of these names too.",
        "- The classes come from different collections: part of the accuracy is the camera, of "
        "melanoma against nevus too (see the audit).",
        "",
    ]
    return "\n".join(lines)


_PROTOCOLS = {
    "clean": "audited index, grouped folds; no photograph on both sides, however changed, and no "
    "lesion or patient as far as the set knows them. For choices an inner part of each fold's "
    "training rows is set apart.",
    "published": "a random split of the published Train folder: relatives stand on both sides.",
    "split_first": "a random split of Train, copies of training photographs only; relatives in the "
    "folders themselves stand on both sides.",
}


def _network(settings: dict) -> str:
    default = config.RunConfig().asdict()
    changed = {k: v for k, v in settings.items() if default.get(k) != v and k != "preset"}
    size = f"{settings['image_size']} × {settings['image_size']}"
    differs = ", ".join(f"`{name}={value}`" for name, value in changed.items()) or "none"
    return f"- Network `{settings['model']}`, {size} pixels. Not by default: {differs}."


def _before(places: list[Path]) -> list[str]:
    """What the networks were trained on first."""
    lines = []
    for place in places:
        info = next(iter(parts.folds(place)), None) or runs.Run(place).info
        if "pretrained" in info:
            lines.append(
                f"- `{place.name}` was first trained on {info['pretrained']['photographs']:,} "
                f"photographs of `{info['config']['pretrain']}`, without any relative of those "
                "that are scored here."
            )
    return lines


def _lesions(table: pd.DataFrame, facts: pd.DataFrame) -> list[str]:
    if "lesion_id" not in facts:
        return []
    rows = table.drop_duplicates("file")  # seeds repeat them
    known, every = int(subgroups.told(rows, facts, "lesion_id").notna().sum()), len(rows)
    said = f"- Of {known:,} of them the lesion is known"
    if known < every:
        said += "; the others may show one lesion twice, and the intervals are too narrow by that"
    return [f"{said}."]


def _weights(run: runs.Run) -> str:
    said = "No weights come with this card; "
    if "members" in run.info:
        said += "an ensemble is made of its members' predictions, and has none: what predicts and "
        return said + "serves is a member, trained by the command in its own folder."
    kept = ", and keeps them with `--keep-models`" if "seeds" in run.info else ""
    return f"{said}the command trains them{kept}."


def _melanoma_or_nevus(table: pd.DataFrame) -> list[str]:
    def told(title: str, rows: pd.DataFrame) -> list[str]:
        return [title, "", "```", evaluate.summary(evaluate.between(rows)), "```", ""]

    lines = told("Melanoma against nevus alone:", table)
    near = evaluate.alike(table)
    if near is not None and len(near) < len(table[table["label"].isin(("melanoma", "nevus"))]):
        title = "Of these, where the numbers in the archive, and so perhaps the cameras, are alike:"
        lines += told(title, near)
    return lines


def _seeds(table: pd.DataFrame) -> list[str]:
    return [str(seed) for seed in sorted(set(table["seed"]))]


def _versions(versions: dict) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items()) or "no versions"


def _share(figure: dict) -> str:
    if figure["value"] is None:
        return "–"
    return f"{100 * figure['value']:.1f} ({100 * figure['low']:.1f} to {100 * figure['high']:.1f})"


def _classes(metrics: dict) -> pd.DataFrame:
    rows = {}
    for name, row in metrics["per_class"].items():
        rows[name] = {
            "photographs": row["support"],
            **{
                column: _share(
                    {"value": row[column], **metrics["per_class_intervals"][name][column]}
                )
                for column in ("sensitivity", "specificity", "precision", "auc")
            },
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("class, in %")


def _failures(table: pd.DataFrame) -> list[str]:
    """The commonest mistakes, in words."""
    true, predicted, _ = predictions.answers(table)
    names = predictions.classes(table)
    wrong = pd.DataFrame({"true": true, "predicted": predicted})
    counts = wrong[true != predicted].value_counts().head(6)
    sizes = pd.Series(true).value_counts()
    return [
        f"- {n} of {sizes[t]} {names[t]} ({n / sizes[t]:.0%}) are called {names[p]}."
        for (t, p), n in counts.items()
    ]


def _by_subgroup(table: pd.DataFrame, facts: pd.DataFrame) -> list[str]:
    lines = []
    for column in SUBGROUPS:
        if column not in facts or (facts[column].fillna("") == "").all():
            continue
        split = evaluate.by(table, facts, column)
        rows = {
            name: {
                "photographs": int(row["n"]),
                "classes": int(row["classes"]),
                "accuracy, %": _share(_figure(row, "accuracy")),
                "balanced accuracy, %": _share(_figure(row, "balanced_accuracy")),
            }
            for name, row in split.iterrows()
        }
        frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis(column.replace("_", " "))
        lines += [_markdown(frame), ""]
    note = "Balanced accuracy is over the classes that a row has: rows with other classes differ "
    return [
        *lines,
        note + "for that reason alone. Skin tone is measured on the photograph, roughly.",
        "",
    ]


def _outside(metrics: dict) -> list[str]:
    shown = _classes(metrics)
    shown = shown[shown["photographs"] > 0]
    return [
        "What one network fine-tuned on this set alone makes of photographs of another collection, "
        "none related to this set's (`skincnn predict --strangers-to`). It need not be the one "
        "above:",
        "",
        f"- {metrics['n_files']:,} photographs in {metrics['n_groups']:,} groups of related ones, "
        f"{len(shown)} of the {len(metrics['classes'])} classes.",
        f"- Balanced accuracy over these {len(shown)}: {_share(metrics['balanced_accuracy'])} %, "
        "where answers of the other classes count as wrong.",
        "",
        _markdown(shown),
        "",
    ]


def _figure(row: pd.Series, name: str) -> dict:
    value = row[name]
    found = {"value": value, "low": row[f"{name}_low"], "high": row[f"{name}_high"]}
    return found if pd.notna(value) else {"value": None}


def _markdown(frame: pd.DataFrame) -> str:
    head = [frame.index.name or "", *map(str, frame.columns)]
    rows = [
        [str(name), *map(str, row)] for name, row in zip(frame.index, frame.to_numpy(), strict=True)
    ]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
