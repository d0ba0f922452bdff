"""Related photographs on both sides of a split: counted, named, refused."""

import numpy as np
import pandas as pd
import pytest
from tables import unrelated

from skincnn import data, leakage, splits


@pytest.fixture
def index(tiny, home):
    return data.load(tiny, progress=False)


def test_siblings_finds_a_copy_on_the_other_side_and_nothing_else(index):
    split = splits.published(index.assign(group="lesion of " + index["file"]))
    assert not len(leakage.siblings(split)), "every photograph of this set has its own group"
    source = splits.held_out(split).iloc[[0]]
    copy = source.assign(
        file="augmented/x/copy.jpg", augmented_from=source["file"], fold=pd.array([-1], "Int64")
    )
    leaks = leakage.siblings(pd.concat([split, copy, copy], ignore_index=True))
    assert leaks.to_dict("records") == [
        {"file": source["file"].iloc[0], "label": source["label"].iloc[0], "siblings": 2}
    ]
    one = leakage.siblings(pd.concat([split, copy], ignore_index=True))
    assert one["siblings"].tolist() == [1] and list(one) == ["file", "label", "siblings"]
    inside = copy.assign(fold=pd.array([0], "Int64"))  # both held out: nothing leaks
    assert not len(leakage.siblings(pd.concat([split, inside], ignore_index=True)))
    second = split.assign(fold=(split["fold"] == 0).astype("Int64"))  # the same, by another number
    leaks = leakage.siblings(pd.concat([second, copy], ignore_index=True), fold=1)
    assert leaks["siblings"].tolist() == [1] and leaks["file"].tolist() == source["file"].tolist()


# --- the guard -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "what"),
    [
        ("sha256", "bytes"),
        ("image_id", "image"),
        ("lesion_id", "lesion"),
        ("patient_id", "patient"),
        ("group", "group"),
        ("cluster", "cluster"),
    ],
)
def test_the_guard_names_the_pair_and_what_it_shares(column, what):
    folds = splits.grouped(unrelated())
    a, b = (splits.held_out(folds, fold)["file"].iloc[0] for fold in (0, 3))
    value = 0 if column == "cluster" else "same"
    shared = pd.Series(np.where(folds["file"].isin([a, b]), value, None), dtype=object)
    leaky = folds.assign(**{column: shared})
    with pytest.raises(leakage.LeakageError, match=rf"1 pairs .*: {a} ← {b} \({what}\)") as caught:
        leakage.assert_none(leaky, 0)
    assert caught.value.pairs.to_dict("records") == [{"held_out": a, "training": b, "shares": what}]
    leakage.assert_none(leaky, 1)  # there both train
    leakage.assert_none(leaky, 0, [k for k in splits.SHARED if k != what])


def test_the_guard_names_all_that_a_pair_shares_once():
    folds = splits.grouped(unrelated())
    a, b = (splits.held_out(folds, fold)["file"].iloc[0] for fold in (0, 3))
    value = folds["file"].isin([a, b]).map({True: "same", False: ""})
    with pytest.raises(leakage.LeakageError) as caught:
        leakage.assert_none(folds.assign(lesion_id=value, patient_id=value), 0)
    assert caught.value.pairs.to_dict("records") == [
        {"held_out": a, "training": b, "shares": "lesion, patient"}
    ]


def test_the_guard_sees_a_copy_whose_source_is_held_out():
    folds = splits.grouped(unrelated())
    source = splits.held_out(folds, 2)["file"].iloc[0]
    copy = folds[folds["file"] == source].assign(
        file="augmented/x.jpg", augmented_from=source, fold=pd.array([-1], dtype="Int64")
    )
    leaky = pd.concat([folds, copy], ignore_index=True)
    for shared in (splits.SHARED, ["copy"]):
        with pytest.raises(leakage.LeakageError, match=r"← augmented/x.jpg \(copy"):
            leakage.assert_none(leaky, 2, shared)


def test_the_guard_looks_at_the_inner_part_from_both_sides():
    parts = splits.inner(splits.grouped(unrelated()), 0)
    inner, outer = splits.validation(parts, 0)["file"][0], splits.held_out(parts, 0)["file"][0]
    trains = splits.training(parts, 0)["file"][0]
    for pair in ((outer, inner), (inner, trains)):
        leaky = parts.assign(lesion_id=parts["file"].isin(pair).map({True: "L", False: ""}))
        with pytest.raises(leakage.LeakageError, match=f"{pair[0]} ← {pair[1]}"):
            leakage.assert_none(leaky, 0)
    leaky = parts.assign(lesion_id=parts["file"].isin([outer, inner, trains]).map({True: "L"}))
    with pytest.raises(leakage.LeakageError) as caught:
        leakage.assert_none(leaky.fillna({"lesion_id": ""}), 0)
    pairs = caught.value.pairs
    assert list(pairs.index) == [0, 1, 2], "of both sides, numbered on"
    assert set(zip(pairs["held_out"], pairs["training"], strict=True)) == {
        (outer, inner),
        (outer, trains),
        (inner, trains),
    }


def test_the_inner_part_of_another_fold_is_refused():
    parts = splits.inner(splits.grouped(unrelated()), 0)
    with pytest.raises(leakage.LeakageError):
        leakage.assert_none(parts, 1)


def test_many_pairs_are_counted_and_the_first_named():
    split = unrelated({"nevus": 40}, lesion_id="one", fold=pd.array([0, *[-1] * 39], dtype="Int64"))
    with pytest.raises(leakage.LeakageError, match=r"39 pairs.*… and 36 more") as caught:
        leakage.assert_none(split)
    assert len(caught.value.pairs) == 39 and str(caught.value).count(" ← 0") == leakage.NAMED
    few = split.head(4)
    with pytest.raises(leakage.LeakageError, match=r"3 pairs.*\(lesion\)\. Split with"):
        leakage.assert_none(few)
    assert "\n" not in str(caught.value)


def test_the_guard_refuses_questions_it_cannot_answer():
    folds = splits.grouped(unrelated())
    with pytest.raises(ValueError, match=r"fold=7.*\[0, 1, 2, 3, 4\]"):
        leakage.assert_none(folds, 7)
    with pytest.raises(ValueError, match="shared='colour'"):
        leakage.assert_none(folds, 0, ["colour"])
