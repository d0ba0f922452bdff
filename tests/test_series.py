"""The notebook runner: what it leaves behind, and what it says when a notebook fails."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from skincnn import config, series

FIGURE = """
import base64
from IPython.display import Image, display
import sys; print("a progress bar", file=sys.stderr)
print("seen")
dot = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
display(Image(base64.b64decode(dot)))
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "project_root", lambda: tmp_path)
    (tmp_path / "notebooks").mkdir()
    return tmp_path


def write(project, name, *cells):
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    notebook.cells[0].metadata = {"tags": ["nbval-check-output"], "ExecuteTime": "now"}
    nbformat.write(notebook, project / "notebooks" / name)


def test_leaves_pages_figures_and_an_index_that_names_a_failure(project, capfd):
    write(project, "01_good.ipynb", FIGURE)
    write(project, "02_bad.ipynb", "raise ValueError('no photographs')", "print('never')")
    before = (project / "notebooks" / "01_good.ipynb").read_text()

    assert series.main(project / "outputs" / "notebooks") == 1

    out = project / "outputs" / "notebooks"
    assert {p.name for p in out.glob("*.html")} == {"01_good.html", "02_bad.html"}
    assert [p.name for p in (out / "figures").iterdir()] == ["01_good_1.png"]
    page = (project / "outputs" / "index.html").read_text()
    assert "notebooks/01_good.html" in page and "no photographs" in page
    assert "2 notebooks in 0." in page
    told = capfd.readouterr()
    assert "no photographs" in told.out and "min in all" in told.out
    assert "Kernel" not in told.err, "what a kernel says of itself is nothing to a reader"
    assert (project / "notebooks" / "01_good.ipynb").read_text() == before


def test_in_place_keeps_outputs_and_tags_and_drops_what_is_of_the_moment(project):
    write(project, "01_good.ipynb", FIGURE)
    assert series.main(project / "notebooks") == 0
    [cell] = nbformat.read(project / "notebooks" / "01_good.ipynb", 4).cells
    assert cell.metadata == {"tags": ["nbval-check-output"]} and cell.execution_count == 1
    assert [o.get("name", o.output_type) for o in cell.outputs] == ["stdout", "display_data"]
    assert not (project / "index.html").exists()


def test_in_place_leaves_a_failing_notebook_as_it_was(project):
    write(project, "01_bad.ipynb", "raise ValueError")
    before = (project / "notebooks" / "01_bad.ipynb").read_text()
    assert series.main(project / "notebooks") == 1
    assert (project / "notebooks" / "01_bad.ipynb").read_text() == before
