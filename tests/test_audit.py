"""Every planted lie is found, none is invented; the clean set is free of them."""

import itertools
import json
import re

import numpy as np
import pandas as pd
import pytest
import tables
from PIL import Image, ImageFilter

from skincnn import audit, config, data, predictions, sample

COPIES = ["identical", "reencoded", "resized", "flipped", "two_names"]


@pytest.fixture(scope="module")
def index():
    sample.make(config.sample_dir(), progress=False)
    return data.load("sample", progress=False)


@pytest.fixture(scope="module")
def found(index):
    return audit.run(index, progress=False)


@pytest.fixture(scope="module")
def planted(index):
    return pd.read_csv(f"{index.attrs['root']}/planted.csv", keep_default_na=False)


def together(pairs):
    """Sets of files that pairs join."""
    sets = []
    for pair in map(set, pairs):
        touching = [s for s in sets if s & pair]
        sets = [s for s in sets if s not in touching] + [set.union(pair, *touching)]
    return {frozenset(s) for s in sets}


def test_all_planted_copies_are_found_and_none_invented(found, planted):
    copies = planted[planted["kind"].isin(COPIES)]
    wanted = together(zip(copies["file"], copies["other"], strict=True))
    clusters = found.index.dropna(subset="cluster").groupby("cluster")["file"]
    got = {frozenset(files) for _, files in clusters}
    precision, recall = len(got & wanted) / len(got), len(got & wanted) / len(wanted)
    print(f"clusters of copies: precision {precision:.3f}, recall {recall:.3f}")
    assert got == wanted


def test_lesions_on_both_sides_and_unusable_files_are_those_planted(found, planted):
    findings = found.findings()
    across = findings[findings["kind"] == "lesion across split"]
    files = planted[planted["kind"] == "lesion_across_split"]
    copies = planted[planted["kind"].isin(COPIES)]
    # a copy in the other split carries its lesion with it
    sides = copies[copies["file"].str.split("/").str[0] != copies["other"].str.split("/").str[0]]
    wanted = set(files["other"]) | {
        f for f in [*sides["file"], *sides["other"]] if f.startswith("Test")
    }
    known = found.index.set_index("file")["lesion_id"]
    assert set(across["file"]) == {f for f in wanted if known[f]}
    unusable = planted.loc[planted["kind"] == "unusable", "file"]
    assert set(found.unusable["file"]) == set(unusable)


def test_the_misnamed_are_the_wrong_halves_of_the_planted_pairs(found, planted):
    findings = found.findings()
    misnamed = set(findings.loc[findings["kind"] == "misnamed", "file"])
    pairs = planted[planted["kind"] == "two_names"]
    official = found.index.set_index("file")["official_label"]
    wrong = set()
    for a, b in zip(pairs["file"], pairs["other"], strict=True):
        wrong |= {f for f in (a, b) if official[f] and official[f] != f.split("/")[1]}
    assert misnamed == wrong
    assert misnamed, "the sample set has some"


def test_sound_photographs_are_not_called_odd(found):
    kinds = set(found.findings()["kind"])
    assert not kinds & {"blurred", "dark", "over-exposed", "near-uniform"}


def test_odd_photographs_are(tmp_path, home):
    rng = np.random.default_rng(0)
    base = rng.integers(60, 200, (20, 20, 3)).astype(np.uint8)
    sharp = np.asarray(Image.fromarray(base).resize((180, 180), Image.Resampling.NEAREST))
    soft = np.asarray(Image.fromarray(sharp).filter(ImageFilter.GaussianBlur(4)))
    odd = {
        "sharp": sharp,
        "blurred": soft,
        "dark": sharp // 5,
        "over-exposed": np.clip(sharp.astype(int) * 3, 0, 255).astype(np.uint8),
        "near-uniform": np.full_like(sharp, 120) + (sharp % 3),
    }
    for name, pixels in odd.items():
        (tmp_path / "set" / name).mkdir(parents=True)
        Image.fromarray(pixels).save(tmp_path / "set" / name / "one.png")
    found = audit.run(data.load(tmp_path / "set", progress=False), progress=False)
    kinds = found.findings().groupby("kind")["file"].agg(list).to_dict()
    for name in ("blurred", "dark", "over-exposed", "near-uniform"):
        assert f"{name}/one.png" in kinds[name]
    assert not any("sharp/one.png" in files for files in kinds.values())


def test_pixels_count_not_files(tmp_path, home, draw):
    root = draw(tmp_path / "set", {"red": 3, "blue": 3})
    first = next((root / "red").glob("*.jpg"))
    with Image.open(first) as picture:
        picture.save(root / "blue" / "other.png")
    found = audit.run(data.load(root, progress=False), progress=False)
    assert found.pairs.to_dict("records") == [
        {
            "file_a": "blue/other.png",
            "file_b": f"red/{first.name}",
            "kind": "identical",
            "how": "same pixels, written differently",
            "correlation": 1.0,
            "label_a": "blue",
            "label_b": "red",
            "across_split": False,
        }
    ]
    assert found.counts()["identical"]["conflicting"] == 1
    pair = found.index.set_index("file").loc[["blue/other.png", f"red/{first.name}"]]
    assert list(pair["cluster"]) == [0, 0] and pair["group"].nunique() == 1
    assert found.index["group"].nunique() == 6, "the cluster joins them, nothing else"


def pictures(root, names):
    """Photographs with something on them, each something else."""
    for seed, name in enumerate(names):
        levels = np.random.default_rng(seed).integers(40, 220, (6, 6, 3)).astype(np.uint8)
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(levels).resize((180, 180), Image.Resampling.BICUBIC).save(root / name)


def test_what_was_done_to_the_second_of_a_pair_is_told(tmp_path, home):
    root = tmp_path / "set"
    pictures(root, ["Train/red/ISIC_0000001.jpg", "Train/red/2.jpg", "Test/red/3.jpg"])
    with Image.open(root / "Train/red/ISIC_0000001.jpg") as picture:
        flipped = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        flipped.save(root / "Test/red/flipped.png")
        flipped.resize((90, 90)).save(root / "Test/red/small.png")
        picture.save(root / "Test/red/same.jpg", quality=40)
    found = audit.run(data.load(root, progress=False), with_shortcuts=False, progress=False)
    pairs = found.pairs.set_index(["file_a", "file_b"])
    one = pairs.loc[("Test/red/same.jpg", "Train/red/ISIC_0000001.jpg")]
    assert (one["kind"], one["how"]) == ("near", "resized, re-encoded, brightened or cropped")
    assert one["across_split"] and 0.9 < one["correlation"] < 1
    other = pairs.loc[("Test/red/flipped.png", "Train/red/ISIC_0000001.jpg")]
    assert other["kind"] == "near" and "flipped" in other["how"]
    assert not pairs.loc[("Test/red/flipped.png", "Test/red/small.png"), "across_split"]
    assert found.index["cluster"].value_counts().to_dict() == {0: 4}
    assert list(found.shortcuts) == ["sees", "balanced_accuracy", "low", "high", "chance"]
    assert found.shortcuts.empty and not found.clean


def test_byte_for_byte_means_the_bytes_and_not_their_number(tmp_path, home, draw):
    root = draw(tmp_path / "set", {"red": 2, "blue": 2})
    first = (root / "red/ISIC_0000001.jpg").read_bytes()
    mark = b"\xff\xfe\x00\x04"  # a comment of two letters: metadata, no pixel
    for name, content in {
        "red/1.jpg": first[:2] + mark + b"ab" + first[2:],
        "red/2.jpg": first[:2] + mark + b"ab" + first[2:],
        "red/3.jpg": first[:2] + mark + b"cd" + first[2:],
    }.items():
        (root / name).write_bytes(content)
    pairs = audit.run(data.load(root, progress=False), progress=False).pairs
    how = {(p.file_a[4:5], p.file_b[4:5]): p.how for p in pairs.itertuples()}
    assert how["1", "2"] == "byte for byte"
    assert how["1", "3"] == "same pixels, written differently"


def test_cluster_numbers_count_up_and_the_lone_have_none():
    index = pd.DataFrame({"file": list("abcdefg")}, index=range(10, 17))
    pairs = pd.DataFrame({"file_a": ["e", "b", "c"], "file_b": ["f", "c", "g"]})
    numbers = audit.clusters(index, pairs)
    assert list(numbers.fillna(-1)) == [-1, 0, 0, -1, 1, 1, 0]
    assert list(numbers.index) == list(index.index)
    assert audit.clusters(index, pairs.iloc[:0]).isna().all()


def test_clean_lists_the_unusable_of_a_loaded_set(tmp_path, home, draw):
    root = draw(tmp_path / "set", {"red": 3, "blue": 3})
    (root / "red" / "torn.jpg").write_bytes(b"not a photograph")
    index = data.load(root, progress=False)
    clean, changes = audit.clean(index)
    [row] = changes[changes["file"] == "red/torn.jpg"].itertuples()
    assert row.action == "dropped" and row.reason.startswith("unusable: ")
    assert clean.attrs == index.attrs
    found = audit.run(index, progress=False)
    assert found.unusable.to_dict("index") == {
        0: {"file": "red/torn.jpg", "reason": row.reason.removeprefix("unusable: ")}
    }
    assert found.index.attrs == index.attrs and "red/torn.jpg" not in set(found.index["file"])
    counts = found.counts()
    assert (counts["name"], counts["photographs"], counts["unusable"]) == ("set", 6, 1)


def test_clean_does_what_it_says_and_lists_all_of_it(found):
    clean, changes = audit.clean(found.index)
    assert set(changes["file"]).isdisjoint(
        set(clean["file"]) - set(changes.loc[changes["action"] == "relabelled", "file"])
    )
    dropped = set(changes.loc[changes["action"] == "dropped", "file"])
    assert dropped | set(clean["file"]) == set(found.index["file"])
    assert clean["cluster"].dropna().is_unique, "one row a cluster"
    stays = changes.loc[changes["kept"] != "", "kept"]
    assert set(stays) <= set(clean["file"])
    wrong = clean[(clean["official_label"] != "") & (clean["official_label"] != clean["label"])]
    assert wrong.empty
    again, nothing = audit.clean(clean)
    assert nothing.empty
    assert list(again["file"]) == list(clean["file"])


def table(*rows):
    """An index as `run` leaves it: (file, cluster, official label)."""
    columns = ["file", "cluster", "official_label"]
    index = pd.DataFrame(rows, columns=columns).astype({"cluster": "Int64"})
    index["label"] = index["file"].str.split("/").str[0]
    index["width"] = index["height"] = 100
    for name in ("problem", "augmented_from", "image_id", "lesion_id", "patient_id"):
        index[name] = ""
    return index


@pytest.mark.parametrize(
    ("policy", "rows", "left", "reasons"),
    [
        ("official", [("nevus/1", 0, "melanoma"), ("melanoma/1", 0, "melanoma")],
         {"melanoma/1": "melanoma"}, ["the same photograph stays as another file"]),
        ("official", [("nevus/1", None, "melanoma")], {"nevus/1": "melanoma"},
         ["officially melanoma"]),
        ("official", [("nevus/1", 0, ""), ("melanoma/1", 0, "")], {},
         ["no official diagnosis"] * 2),
        ("official", [("nevus/1", 0, "nevus"), ("nevus/2", 0, "melanoma")], {},
         ["two official diagnoses"] * 2),
        ("official", [("seborrheic keratosis/1", None, "pigmented benign keratosis")],
         {"seborrheic keratosis/1": "pigmented benign keratosis"},
         ["officially pigmented benign keratosis"]),
        ("drop", [("nevus/1", None, "melanoma")], {}, ["officially melanoma"]),
        ("drop", [("nevus/1", 0, ""), ("melanoma/1", 0, "")], {}, ["named melanoma and nevus"] * 2),
    ],
    ids=["copy", "misnamed", "undecided", "two referees", "wider", "drop misnamed", "drop both"],
)  # fmt: skip
def test_the_policies(policy, rows, left, reasons):
    other = ("nevus/other", None, "")
    clean, changes = audit.clean(table(*rows, other), policy)
    assert dict(zip(clean["file"], clean["label"], strict=True)) == left | {"nevus/other": "nevus"}
    assert len(changes) == len(reasons)
    assert all(r in c for r, c in zip(reasons, changes["reason"], strict=True))


def test_every_change_is_listed_with_its_reason():
    index = table(
        ("wart/1", None, "nevus"),
        ("melanoma/1", 0, "nevus"),
        ("nevus/1", 0, "nevus"),  # as large, and rightly named
        ("nevus/2", 1, ""),
        ("nevus/3", 1, ""),  # the largest, though not the widest
        ("nevus/5", 2, ""),
        ("nevus/4", 2, ""),  # as large: the first by name
        ("nevus/6", 3, "nevus"),
        ("nevus/7", 3, "melanoma"),
        ("nevus/8", 4, ""),
        ("wart/8", 4, ""),
        ("nevus/9", None, ""),
        ("nevus/torn", None, ""),
    ).set_index(pd.Index(range(20, 33)))
    index.loc[23, "width"], index.loc[24, "height"] = 150, 160
    index.loc[32, "problem"] = "no photograph"
    index.attrs["name"] = "mine"
    clean, changes = audit.clean(index)
    assert [tuple(row) for row in changes.itertuples(index=False)] == [
        ("melanoma/1", "dropped", "the same photograph stays as another file", "melanoma", "",
         "nevus/1"),
        ("nevus/2", "dropped", "the same photograph stays as another file", "nevus", "",
         "nevus/3"),
        ("nevus/5", "dropped", "the same photograph stays as another file", "nevus", "",
         "nevus/4"),
        ("nevus/6", "dropped", "one photograph, two official diagnoses: melanoma and nevus",
         "nevus", "", ""),
        ("nevus/7", "dropped", "one photograph, two official diagnoses: melanoma and nevus",
         "nevus", "", ""),
        ("nevus/8", "dropped", "named nevus and wart, no official diagnosis decides", "nevus", "",
         ""),
        ("nevus/torn", "dropped", "unusable: no photograph", "nevus", "", ""),
        ("wart/1", "relabelled", "officially nevus", "wart", "nevus", ""),
        ("wart/8", "dropped", "named nevus and wart, no official diagnosis decides", "wart", "",
         ""),
    ]  # fmt: skip
    assert list(changes) == ["file", "action", "reason", "label", "new_label", "kept"]
    assert list(changes.index) == list(range(len(changes)))
    assert changes["file"].is_monotonic_increasing
    assert dict(zip(clean["file"], clean["label"], strict=True)) == {
        "wart/1": "nevus",
        "nevus/1": "nevus",
        "nevus/3": "nevus",
        "nevus/4": "nevus",
        "nevus/9": "nevus",
    }
    assert list(clean.index) == list(range(5)) and list(clean) == list(index)
    assert clean.attrs == {"name": "mine"}
    _, changes = audit.clean(index, "drop")
    reasons = changes.set_index("file")["reason"]
    assert reasons["wart/1"] == "named wart, officially nevus"
    assert reasons["nevus/1"] == "named melanoma and nevus, officially nevus"
    assert reasons["nevus/8"] == "named nevus and wart"


def test_bad_input_is_refused(index):
    with pytest.raises(ValueError, match=r"policy='trust'.*official, drop"):
        audit.clean(index, "trust")
    with pytest.raises(ValueError, match="added copies"):
        audit.run(index.assign(augmented_from="x"))
    with pytest.raises(ValueError, match="no photograph would be left"):
        audit.clean(table(("nevus/1", 0, ""), ("melanoma/1", 0, "")))


def test_what_is_saved_reads_as_json_and_tables(found, tmp_path):
    found.save(tmp_path)
    assert json.loads((tmp_path / "audit.json").read_text()) == json.loads(
        json.dumps(found.counts())
    )
    shortcuts = found.counts()["shortcuts"]
    assert len(shortcuts) == len(found.shortcuts) > 0, "looked for unless asked not to"
    assert all(len(str(row["balanced_accuracy"])) <= len("0.1234") for row in shortcuts)
    assert len(pd.read_csv(tmp_path / "pairs.csv")) == len(found.pairs)
    assert len(pd.read_csv(tmp_path / "findings.csv")) == len(found.findings())


def test_the_tables_that_are_saved_hold_their_columns_and_no_more(tmp_path, home):
    root = tmp_path / "Häute"
    pictures(root, [f"{name}/{i}.jpg" for name in ("red", "blue") for i in range(3)])
    with Image.open(root / "red/1.jpg") as picture:
        picture.save(root / "blue" / "other.jpg", quality=40)
    found = audit.run(data.load(root, progress=False), progress=False)
    found.save(tmp_path / "new" / "folder")
    texts = {path.name: path.read_text() for path in (tmp_path / "new" / "folder").iterdir()}
    assert set(texts) == {"audit.json", "findings.csv", "pairs.csv"}
    assert '\n "name": "Häute",\n' in texts["audit.json"] and texts["audit.json"].endswith("}\n")
    head, first, *_ = texts["pairs.csv"].splitlines()
    assert head == ",".join(audit.PAIRS)
    assert re.search(r",[01]\.\d{4},blue,red,False$", first), first
    assert texts["findings.csv"].startswith("kind,file,other,detail\n")


def test_the_first_lines_say_what_matters_most(found):
    lines = str(found).splitlines()
    assert lines[0].startswith(f"{len(found.index):,} photographs of 9 classes")
    assert "the same photograph" in lines[1]
    assert "two class names" in lines[1]


# --- the real set, each count a second way --------------------------------------------------


@pytest.fixture(scope="module")
def real_found(real_index):
    return audit.run(real_index, with_shortcuts=False, progress=False)


def test_identical_photographs_of_the_real_set_counted_by_bytes(real_found, real):
    import hashlib

    by_bytes = {}
    for path in sorted(real.rglob("*.jpg")):
        by_bytes.setdefault(hashlib.md5(path.read_bytes()).digest(), []).append(path)
    pairs = [p for same in by_bytes.values() for p in itertools.combinations(same, 2)]
    counts = real_found.counts()["identical"]
    assert counts["pairs"] == len(pairs)
    assert counts["conflicting"] == sum(a.parent.name != b.parent.name for a, b in pairs)
    assert counts["across_split"] == sum(a.parents[1] != b.parents[1] for a, b in pairs)


def test_misnamed_and_lesions_of_the_real_set_counted_from_the_facts(real_found, real):
    facts = {}
    lines = (config.Path(__file__).parents[1] / "data" / "isic9_index.csv").read_text().splitlines()
    for line in lines[1:]:
        file, _, label, split, official, lesion, *_ = line.split(",")
        facts[file] = (label, split, official, lesion)
    counts = real_found.counts()
    assert counts["official"]["known"] == sum(bool(o) for _, _, o, _ in facts.values())
    wrong = sum(bool(o) and o != label for label, _, o, _ in facts.values())
    assert counts["official"]["contradicted"] == wrong
    sides = {}
    for _, split, _, lesion in facts.values():
        sides.setdefault(lesion, set()).add(split)
    assert counts["lesions"]["across_split"] == sum(
        len(s) == 2 for lesion, s in sides.items() if lesion
    )


def test_a_label_is_doubted_where_another_class_is_surer():
    table = tables.make(120, names=["melanoma", "nevus", "wart"], skill=4)
    columns = ["p_melanoma", "p_nevus", "p_wart"]
    sure = table[columns].to_numpy().argmax(axis=1)
    table["label"] = np.array(["melanoma", "nevus", "wart"])[sure]  # all agree
    assert audit.suspicious(table).empty
    at = int(np.flatnonzero(sure == 1)[0])
    table.loc[at, columns] = [0.97, 0.02, 0.01]
    [doubt] = audit.suspicious(table).itertuples()
    assert (doubt.file, doubt.label, doubt.suggested) == (table["file"][at], "nevus", "melanoma")
    assert doubt.margin == pytest.approx(0.95)
    twice = pd.concat([table, table.assign(seed=8)])
    pd.testing.assert_frame_equal(audit.suspicious(twice), audit.suspicious(table))


def test_doubt_begins_where_a_class_is_usually_sure():
    p = {  # of a, b and of c, a class that no photograph bears
        "a1": (0.9, 0.1, 0.0),
        "a2": (0.8, 0.2, 0.0),
        "a3": (0.3, 0.7, 0.0),  # b's are given 0.6 on average
        "a4": (0.2, 0.0, 0.8),
        "b1": (0.1, 0.9, 0.0),
        "b2": (0.3, 0.7, 0.0),
        "b3": (0.8, 0.2, 0.0),
        "b4": (0.0, 0.6, 0.4),
    }
    rows = pd.DataFrame({"file": list(p), "label": [name[0] for name in p], "group": ""})
    rows["image_id"] = "id of " + rows["file"]
    shuffled = rows.iloc[[5, 2, 7, 0, 3, 1, 6, 4]]
    shares = np.array([p[name] for name in shuffled["file"]])
    found = audit.suspicious(predictions.frame(shuffled, shares, ["a", "b", "c"], seed=0))
    assert list(found) == [
        *("file", "image_id", "label", "suggested", "p_label", "p_suggested", "margin"),
    ]
    assert found[["file", "image_id", "label", "suggested"]].to_numpy().tolist() == [
        ["b3", "id of b3", "b", "a"],
        ["a3", "id of a3", "a", "b"],
    ]
    shown = found[["p_label", "p_suggested", "margin"]].to_numpy()
    np.testing.assert_allclose(shown, [[0.2, 0.8, 0.6], [0.3, 0.7, 0.4]])
    assert list(found.index) == [0, 1]
