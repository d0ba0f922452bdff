"""The audit as one page to scroll: `report.html`, thumbnails inside, nothing fetched."""

import base64
import html
import io
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from PIL import Image

from skincnn import atomic, audit, data, duplicates, findings, images, labels, sketches

THUMB = 112  # pixels a side
SHOWN = 120  # of a kind; the tables beside the page hold all
_STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8881;--bad:#c4400a}
body{font:16px/1.5 system-ui,sans-serif;margin:0 auto;max-width:76rem;padding:1.5rem}
h1{margin:0 0 .2rem}h2{margin:2.5rem 0 .5rem;border-top:1px solid var(--line);padding-top:1rem}
nav{position:sticky;top:0;background:Canvas;padding:.5rem 0;z-index:1}
nav{border-bottom:1px solid var(--line)}
nav a{margin-right:1rem;white-space:nowrap}
.lead li{margin:.3rem 0}.note{opacity:.75;max-width:60rem}
table{border-collapse:collapse;margin:.7rem 0}
th,td{padding:.25rem .7rem;border-bottom:1px solid var(--line);text-align:left}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.grid{display:flex;flex-wrap:wrap;gap:.8rem}
.card{border:1px solid var(--line);border-radius:.5rem;padding:.6rem;background:var(--soft)}
.card.bad{border-color:var(--bad)}
.two{display:flex;gap:.6rem}figure{margin:0;width:8.5rem}
img{width:100%;aspect-ratio:1;object-fit:cover;border-radius:.25rem;display:block}
figcaption{font-size:.78rem;line-height:1.3;overflow-wrap:anywhere;margin-top:.2rem}
.how{font-size:.8rem;margin:.4rem 0 0;max-width:17.6rem}
.bar{background:#0072b2;height:.8rem;border-radius:.2rem}
.track{width:16rem;background:var(--soft);position:relative}
.chance{position:absolute;top:-.15rem;height:1.1rem;border-left:2px solid var(--bad)}
"""


def write(found: audit.Audit, folder: str | Path, doubted: pd.DataFrame | None = None) -> Path:
    """Write `report.html`, and beside it the tables of `Audit.save`.

    Args:
        found: from `audit.run`.
        folder: made if it is not there. The page shows the set's photographs: share it only as
            their licence allows.
        doubted: from `audit.suspicious`, of predictions of these photographs; kept as
            `suspicious.csv` too, which else is removed: the folder is of one audit.

    Returns:
        The page's path.

    Raises:
        ValueError: `doubted` names a file that is not in the set.
    """
    folder = Path(folder)
    doubts = () if doubted is None else doubted["file"]
    if strange := sorted(set(doubts) - set(found.index["file"])):
        raise ValueError(f"predictions of another set: {strange[0]} is not in this one")
    path = folder / "report.html"
    page = _page(found, doubted)
    with atomic.alone_in(folder):  # or its files may be of two audits
        found.save(folder)
        if doubted is None:
            (folder / "suspicious.csv").unlink(missing_ok=True)
        else:
            atomic.write_table(folder / "suspicious.csv", doubted, digits=4)
        atomic.write_text(path, page)
    return path


def _page(found: audit.Audit, doubted: pd.DataFrame | None) -> str:
    counts = found.counts()
    lines = findings.headlines(counts)
    pictures = _Pictures(found.index)
    sections = [
        _section("classes", "Photographs by class", _classes(counts), CLASSES_NOTE),
        _section("identical", "Identical", _pairs(found.pairs, "identical", pictures), SAME_NOTE),
        _section("near", "Nearly the same", _pairs(found.pairs, "near", pictures), NEAR_NOTE),
        _section("misnamed", "Misnamed", _misnamed(found.index, pictures), OFFICIAL_NOTE),
        _section(
            "lesions", "Lesions in Train and Test", _lesions(found.index, pictures), LESION_NOTE
        ),
        _section("shortcuts", "Shortcuts", _shortcuts(counts), SHORTCUT_NOTE),
        _section("doubted", "Doubted names", _doubted(doubted, pictures), DOUBTED_NOTE),
        _section("odd", "To look at", _odd(found, pictures), ODD_NOTE),
        _section("unusable", "Unusable files", _table(found.unusable), ""),
    ]
    sections = [section for section in sections if section]
    links = " ".join(f'<a href="#{key}">{title}</a>' for key, title, _ in sections)
    name = html.escape(counts["name"] or "a set of photographs")
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>Audit of {name}</title><style>{_STYLE}</style>"
        f"<h1>Audit of {name}</h1><p><b>{html.escape(lines[0])}</b></p>"
        f'<ul class="lead">{"".join(f"<li>{html.escape(x[2:])}</li>" for x in lines[1:])}</ul>'
        '<p class="note">For learning and research; not a medical device. Every finding stands in '
        "<code>findings.csv</code> beside this page, every count in <code>audit.json</code>.</p>"
        f"<nav>{links}</nav>{''.join(body for *_, body in sections)}</html>\n"
    )


CLASSES_NOTE = "Usable photographs, as the folders name them."
SAME_NOTE = (
    "The decoded pixels are equal, whatever the files are called. Under two names, one of them "
    "must be wrong; across Train and Test, the test has been seen."
)
NEAR_NOTE = (
    "After undoing flips, quarter turns, size, brightness and a little cropping, the two pictures "
    f"agree (correlation of their slopes at least {duplicates.SAME})."
)
OFFICIAL_NOTE = "The folder says one diagnosis, the referee another."
LESION_NOTE = (
    "Several photographs of one lesion are not copies, but who has seen one has seen the lesion."
)
SHORTCUT_NOTE = (
    "How often trees that never see the lesion name the class, balanced over classes, on groups "
    "they were not grown on. The red line is chance. What they use, a network can use too."
)
DOUBTED_NOTE = (
    "A network that did not train on the photograph, nor on a relative of it, is sure of another "
    "class. The name may be wrong, or the photograph hard: a person decides."
)
ODD_NOTE = (
    "Blurred, dark, over-exposed or nearly uniform: a person decides, nothing is dropped for it."
)


class _Pictures:
    """Thumbnails by file, decoded when asked for, each once."""

    def __init__(self, index: pd.DataFrame):
        places = zip(data.paths(index), index["sha256"], strict=True)
        self._places = dict(zip(index["file"], places, strict=True))
        self._labels = dict(zip(index["file"], index["label"], strict=True))
        self._made: dict[str, str] = {}

    def figure(self, file: str, note: str = "") -> str:
        if file not in self._made:
            try:
                picture = Image.fromarray(images.decode(images.listed(*self._places[file])))
            except images.ImageProblem as problem:
                raise images.ImageProblem(f"{self._places[file][0]}: {problem}") from None
            picture.thumbnail((THUMB * 2, THUMB * 2))
            content = io.BytesIO()
            picture.save(content, "JPEG", quality=70)
            self._made[file] = base64.b64encode(content.getvalue()).decode()
        split, name = file.split("/")[0], html.escape(Path(file).name)
        label = html.escape(self._labels[file])
        caption = f"<b>{label}</b><br>{html.escape(split)} · {name}"
        caption += f"<br>{html.escape(note)}" if note else ""
        source = f"data:image/jpeg;base64,{self._made[file]}"
        return (
            f'<figure><img loading="lazy" src="{source}" alt="{label}">'
            f"<figcaption>{caption}</figcaption></figure>"
        )


def _section(key: str, title: str, body: str, note: str) -> tuple[str, str, str] | None:
    if not body:
        return None
    return key, title, f'<h2 id="{key}">{title}</h2><p class="note">{html.escape(note)}</p>{body}'


def _cards(cards: list[str], total: int, table: str = "findings.csv") -> str:
    if not cards:
        return ""
    more = f"<p>… and {total - len(cards):,} more in {table}</p>" if total > len(cards) else ""
    return f'<div class="grid">{"".join(cards)}</div>{more}'


def _pairs(pairs: pd.DataFrame, kind: str, pictures: _Pictures) -> str:
    some = pairs[pairs["kind"] == kind]
    # the worst first: under two names, then across the split
    worst = (some["label_a"] != some["label_b"]) * 2 + some["across_split"]
    some = some.loc[worst.sort_values(ascending=False, kind="stable").index]
    cards = []
    for p in some.head(SHOWN).itertuples():
        said = [p.how]
        said += ["under two names"] if p.label_a != p.label_b else []
        said += ["across Train and Test"] if p.across_split else []
        if kind == "near":
            said.append(f"correlation {p.correlation:.3f}")
        bad = " bad" if len(said) > 1 + (kind == "near") else ""
        cards.append(
            f'<div class="card{bad}"><div class="two">{pictures.figure(p.file_a)}'
            f"{pictures.figure(p.file_b)}</div>"
            f'<p class="how">{html.escape("; ".join(said))}</p></div>'
        )
    return _cards(cards, len(some))


def _misnamed(index: pd.DataFrame, pictures: _Pictures) -> str:
    wrong = findings.misnamed(index)
    cards = [
        f'<div class="card">{pictures.figure(r.file, f"officially {r.official_label}")}</div>'
        for r in wrong.head(SHOWN).itertuples()
    ]
    return _cards(cards, len(wrong))


def _doubted(doubted: pd.DataFrame | None, pictures: _Pictures) -> str:
    if doubted is None:
        return ""
    cards = [
        f'<div class="card">{pictures.figure(r.file, _doubt(r))}</div>'
        for r in doubted.head(SHOWN).itertuples()
    ]
    return _cards(cards, len(doubted), "suspicious.csv")


def _doubt(row) -> str:
    return f"{row.suggested} {row.p_suggested:.0%}, {row.label} {row.p_label:.0%}"


def _lesions(index: pd.DataFrame, pictures: _Pictures) -> str:
    across = findings.across(index, "lesion_id")
    cards = []
    for lesion in across[:SHOWN]:
        files = index.loc[index["lesion_id"] == lesion, "file"]
        shown = "".join(pictures.figure(file) for file in files)
        cards.append(
            f'<div class="card"><div class="two">{shown}</div>'
            f'<p class="how">{html.escape(lesion)}</p></div>'
        )
    return _cards(cards, len(across))


def _odd(found: audit.Audit, pictures: _Pictures) -> str:
    flags = sketches.flags(found.sketches)
    odd = flags[flags.any(axis=1)]
    cards = []
    for i in odd.index[:SHOWN]:
        names = ", ".join(flags.columns[flags.loc[i]])
        cards.append(f'<div class="card">{pictures.figure(found.index.at[i, "file"], names)}</div>')
    return _cards(cards, len(odd))


def _classes(counts: dict) -> str:
    rows = [{"class": f"{k} ({labels.code(k)})", **v} for k, v in counts["classes"].items()]
    return _table(pd.DataFrame(rows))


def _shortcuts(counts: dict) -> str:
    rows = []
    for r in counts["shortcuts"]:
        bar = (
            f'<div class="track"><div class="bar" style="width:{r["balanced_accuracy"]:.1%}"></div>'
            f'<div class="chance" style="left:{r["chance"]:.1%}"></div></div>'
        )
        rows.append(
            f"<tr><td>{html.escape(r['sees'])}</td><td>{bar}</td>"
            f'<td class="n">{r["balanced_accuracy"]:.1%}</td>'
            f'<td class="n">{r["low"]:.1%} to {r["high"]:.1%}</td></tr>'
        )
    if not rows:
        return ""
    head = "<tr><th>sees only</th><th></th><th>balanced accuracy</th><th>95 % interval</th></tr>"
    one = _table(pd.DataFrame(counts["one_collection"]))
    more = f"<p>Classes whose photographs all come from one collection:</p>{one}" if one else ""
    return f"<table>{head}{''.join(rows)}</table>{more}"


def _table(frame: pd.DataFrame) -> str:
    if frame.empty:
        return ""

    def cells(tag: str, values: Iterable) -> str:
        numbers = [' class="n"' if isinstance(v, int | float) else "" for v in values]
        pairs = zip(values, numbers, strict=True)
        return "".join(f"<{tag}{kind}>{html.escape(str(v))}</{tag}>" for v, kind in pairs)

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in frame.itertuples(index=False))
    return f"<table><tr>{cells('th', list(frame.columns))}</tr>{body}</table>"
