"""What must hold for whatever a person may type, name or hand over: read it right, or say in one
line what is wrong with it."""

import io

import numpy as np
import pandas as pd
import pytest
import tables
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from skincnn import class_maps, config, data, images, labels, predictions

QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
# what a cell of a CSV or a name may hold; lone surrogates cannot be written as UTF-8 at all
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), max_size=20)
NAME = st.text(
    st.characters(exclude_categories=["C", "Z"], exclude_characters="/\\"), min_size=1, max_size=30
)


def one_line(error) -> None:
    text = str(error.value)
    assert text and "\n" not in text.strip() and len(text) < 2000, text


@QUICK
@given(names=st.lists(NAME, min_size=2, max_size=5, unique=True), data_=st.data())
def test_a_table_of_predictions_survives_its_file(names, data_, tmp_path):
    assume(len({labels.column(name) for name in names}) == len(names))
    n = data_.draw(st.integers(1, 6))
    facts = {
        "file": data_.draw(st.lists(TEXT.filter(str.strip), min_size=n, max_size=n, unique=True)),
        "group": data_.draw(st.lists(TEXT, min_size=n, max_size=n)),
        "label": data_.draw(st.lists(st.sampled_from(names), min_size=n, max_size=n)),
    }
    shares = np.random.default_rng(n).dirichlet(np.ones(len(names)), n)
    try:
        table = predictions.frame(pd.DataFrame(facts), shares, names, seed=3)
        predictions.write(table, tmp_path / "p.csv")
    except ValueError:
        return  # a name that no column can have
    again = predictions.read(tmp_path / "p.csv")
    pd.testing.assert_frame_equal(again, table, check_dtype=False)
    assert predictions.classes(again) == predictions.classes(table)


@QUICK
@given(data_=st.data())
def test_a_spoilt_table_is_read_or_told_in_a_line(data_, tmp_path):
    path = tmp_path / "p.csv"
    predictions.write(tables.make(5, names=labels_of(3)), path)
    content = bytearray(path.read_bytes())
    for _ in range(data_.draw(st.integers(1, 4))):
        at = data_.draw(st.integers(0, len(content) - 1))
        cut = data_.draw(st.integers(0, 30))
        content[at : at + cut] = data_.draw(st.binary(max_size=10))
    path.write_bytes(content)
    try:
        table = predictions.read(path)
    except predictions.PredictionsError as error:
        assert str(path) in str(error) and "\n" not in str(error).strip()
    else:
        shares = table[predictions.probability_columns(table)].sum(axis=1)
        np.testing.assert_allclose(shares, 1, atol=2e-3)
        assert not table.duplicated(["file", "seed"]).any()


def labels_of(n: int) -> list[str]:
    return list(labels.ISIC9)[:n]


@QUICK
@given(st.lists(st.tuples(TEXT, TEXT), max_size=5))
def test_a_map_is_read_or_told_in_a_line(tmp_path, rows):
    path = tmp_path / "map.csv"
    pd.DataFrame(rows, columns=["from", "to"]).to_csv(path, index=False)
    try:
        mapping = class_maps.read(path)
    except predictions.PredictionsError as error:
        assert str(path) in str(error)
    else:
        assert set(mapping.values()) <= {labels.name(to) for _, to in rows}


@QUICK
@given(name=st.sampled_from(sorted(config.RunConfig().asdict())), value=TEXT)
def test_a_setting_is_taken_or_told_in_a_line(name, value):
    try:
        changes = config.parse([f"{name}={value}"])
        made = config.RunConfig(**changes)
    except ValueError as error:
        assert name in str(error) and "\n" not in str(error).replace(value, "").strip()
    else:
        assert getattr(made, name) == changes[name]


@QUICK
@given(st.lists(NAME, min_size=2, max_size=4, unique_by=str.casefold))
def test_class_folders_may_be_called_nearly_anything(tmp_path_factory, names):
    root = tmp_path_factory.mktemp("set")
    try:
        for number, name in enumerate(names):
            (root / name).mkdir()
            pixels = np.full((20, 20, 3), 40 + 9 * number, np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    except OSError:
        return  # longer than the file system allows
    shown = [name for name in names if name[0] not in "._" and name != "__MACOSX"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config, "project_root", lambda: root.parent)
        try:
            index = data.load(root, progress=False)
        except data.DataError as error:
            assert len(str(error)) < 2000
            return
    assert set(data.usable(index)["label"]) <= set(names)
    if {name.casefold() for name in shown}.isdisjoint({"train", "test", "output", "outputs"}):
        assert set(data.usable(index)["label"]) >= set(shown) - {"HAM10000_images"}


def photograph(kind: str) -> bytes:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP"])
@QUICK
@given(data_=st.data())
def test_a_spoilt_photograph_is_decoded_or_told_in_a_line(kind, data_):
    content = bytearray(photograph(kind))
    for _ in range(data_.draw(st.integers(1, 3))):
        at = data_.draw(st.integers(0, min(len(content), 300) - 1))  # headers lie in front
        cut = data_.draw(st.integers(0, 8))
        content[at : at + cut] = data_.draw(st.binary(max_size=8))
    try:
        pixels = images.decode(bytes(content))
    except images.ImageProblem as error:
        assert str(error) and "\n" not in str(error)
    else:
        assert pixels.dtype == np.uint8 and pixels.shape[2] == 3
        assert pixels.shape[0] * pixels.shape[1] <= images.MAX_PIXELS
