"""What is officially known of a photograph, joined by its id."""

import pandas as pd
import pytest

from skincnn import data, official

TABLES = {
    "ISIC_2019_Training_GroundTruth.csv": "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK\n"
    "ISIC_0000001,1.0,0,0,0,0,0,0,0,0\n"
    "ISIC_0000002_downsampled,0,0,0,0,1.0,0,0,0,0\n",
    "ISIC_2019_Training_Metadata.csv": "image,age_approx,anatom_site_general,lesion_id,sex\n"
    "ISIC_0000001,55,anterior torso,,female\n"
    "ISIC_0000002_downsampled,,,MSK4_1,\n",
    "HAM10000_metadata.csv": "lesion_id,image_id,dx,dx_type,age,sex,localization\n"
    "HAM_0000009,ISIC_0000001,mel,histo,55.0,female,trunk\n",
}


@pytest.fixture
def tables(tmp_path):
    folder = tmp_path / "tables" / "deeper"
    folder.mkdir(parents=True)
    for name, text in TABLES.items():
        (folder / name).write_text(text)
    return folder.parent


@pytest.fixture
def index(tmp_path, home, draw):
    return data.load(draw(tmp_path / "set", {"red": 2, "blue": 1}), progress=False)


def test_the_facts_come_from_the_three_tables(index, tables):
    facts = official.build(index, tables).set_index("image_id")
    assert dict(facts.loc["ISIC_0000001"][["official_label", "lesion_id", "source", "age"]]) == {
        "official_label": "melanoma",
        "lesion_id": "HAM_0000009",
        "source": "HAM10000",
        "age": "55",
    }
    second = facts.loc["ISIC_0000002"]
    assert (second["official_label"], second["lesion_id"], second["source"], second["sex"]) == (
        "pigmented benign keratosis",
        "MSK4_1",
        "not HAM10000",
        "",
    )
    assert not any(facts.loc["ISIC_0000003", ["official_label", "lesion_id", "age"]])


def test_a_missing_table_is_named(index, tables):
    next(tables.rglob("HAM*")).unlink()
    with pytest.raises(FileNotFoundError, match=r"HAM10000_metadata\.csv"):
        official.build(index, tables)


def test_loading_joins_the_facts_and_diagnoses_reads_them(index, tables):
    made = official.build(index, tables)
    official.facts_file().parent.mkdir()
    made.to_csv(official.facts_file(), index=False)
    again = data.load(index.attrs["root"], progress=False).set_index("image_id")
    assert list(again["lesion_id"]) == list(made.set_index("image_id").loc[again.index].lesion_id)
    said = official.diagnoses(index)
    assert dict(zip(index["image_id"], said, strict=True)) == {
        "ISIC_0000001": "melanoma",
        "ISIC_0000002": "pigmented benign keratosis",
        "ISIC_0000003": "",
    }


def test_metadata_beside_the_photographs_speaks_first(index):
    table = pd.DataFrame({"image_id": ["ISIC_0000001", ""], "diagnosis": ["nv", "melanoma"]})
    table.to_csv(f"{index.attrs['root']}/metadata.csv", index=False)
    assert sorted(official.diagnoses(index)) == ["", "", "nevus"]


@pytest.mark.parametrize(
    ("label", "referee", "wrong"),
    [
        ("nevus", "melanoma", True),
        ("nevus", "nevus", False),
        ("nevus", "", False),
        ("seborrheic keratosis", "pigmented benign keratosis", False),
        ("pigmented benign keratosis", "seborrheic keratosis", True),
    ],
)
def test_what_contradicts(label, referee, wrong):
    assert official.contradicts(label, referee) is wrong


def test_the_committed_facts_are_those_of_the_real_set(real_index):
    facts = pd.read_csv(official.facts_file(), dtype=str, keep_default_na=False)
    assert list(facts["file"]) == list(real_index["file"])
    assert list(facts["label"]) == list(real_index["label"])
