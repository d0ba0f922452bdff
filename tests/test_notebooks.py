"""What holds for every notebook before one of its cells is run: nbval runs them."""

import re
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def cells(request):
    return nbformat.read(request.param, 4).cells


def text(cells, kind):
    return "\n".join(cell.source for cell in cells if cell.cell_type == kind)


def test_it_narrates_and_the_package_computes(cells):
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert not re.search(r"^\s*(def |class |!|%pip)", text(cells, "code"), re.M)
    assert len(code) <= 30
    assert sorted(len(cell.source.splitlines()) for cell in code)[len(code) // 2] <= 5


def test_it_has_the_head_and_tail_of_the_template(cells):
    prose = text(cells, "markdown")
    assert cells[0].source.startswith("# ") and "?**" in cells[0].source
    parts = ["### You will learn", "On the real set", "## Conclusions", "## Exercises"]
    for part in [*parts, "## References"]:
        assert part in prose, part
    assert "@@" not in prose and "TODO" not in prose


def test_its_outputs_are_committed_and_whole(cells):
    code = [cell for cell in cells if cell.cell_type == "code"]
    kinds = {kind for c in code for o in c.outputs for kind in o.get("data", {})}
    assert kinds & {"image/png", "image/jpeg"}, "no figures: executed under another backend?"
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    for cell in code:
        assert not any(output.output_type == "error" for output in cell.outputs)
        assert not any("image/svg+xml" in output.get("data", {}) for output in cell.outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_small_enough_to_be_read_online(path):
    assert path.stat().st_size < 1_000_000
