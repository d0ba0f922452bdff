"""Execute the notebook series: `python -m skincnn.series FOLDER`.

Into `notebooks/` itself it refreshes the committed outputs; into any other folder it leaves the
executed notebooks, a page of each, their figures, and an `index.html` beside the folder.
"""

import base64
import html
import os
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, DeadKernelError
from nbconvert import HTMLExporter
from nbconvert.preprocessors import ClearMetadataPreprocessor

from skincnn import config


def main(target: Path) -> int:
    """Execute every notebook into `target`; returns how many failed."""
    source = config.project_root() / "notebooks"
    in_place = target.resolve() == source
    target.mkdir(parents=True, exist_ok=True)
    if (variable := config.data_variable()) is not None:
        # A notebook runs in its own folder, from where a relative path leads elsewhere.
        os.environ[config.DATA_VARIABLE] = str(variable.resolve())
    os.environ.pop("MPLBACKEND", None)  # any other than Jupyter's own would swallow the figures
    rows, failed, first = [], 0, time.perf_counter()
    for path in sorted(source.glob("[0-9][0-9]_*.ipynb")):
        print(f"{path.stem} …", end=" ", flush=True)
        began = time.perf_counter()
        notebook = nbformat.read(path, as_version=4)
        problem = execute(notebook, source)
        minutes = (time.perf_counter() - began) / 60
        print(problem or f"{minutes:.1f} min", flush=True)
        failed += bool(problem)
        if not (in_place and problem):
            nbformat.write(notebook, target / path.name)
        if not in_place:
            figures = save_figures(notebook, target / "figures", path.stem)
            page, _ = HTMLExporter().from_notebook_node(notebook)
            (target / f"{path.stem}.html").write_text(page)
            rows.append((path.stem, minutes, problem, figures))
            write_index(target.parent / "index.html", target.name, rows)
    print(f"{(time.perf_counter() - first) / 60:.1f} min in all")
    if not in_place:
        print(f"open {target.parent / 'index.html'}")
    return failed


def execute(notebook: nbformat.NotebookNode, folder: Path) -> str:
    """Run a notebook's cells in order, in place; returns what went wrong, or ""."""
    client = NotebookClient(
        notebook,
        timeout=None,  # on the real set a training may take an hour
        kernel_name="python3",
        coalesce_streams=True,  # one block of text a cell, however many times it printed
        resources={"metadata": {"path": folder}},
    )
    problem = ""
    # What a kernel itself writes, start-up lines mostly, is worth reading when it died.
    with tempfile.TemporaryFile() as said:
        try:
            client.execute(stderr=said)
        except (CellControlSignal, DeadKernelError) as error:
            name = getattr(error, "ename", type(error).__name__)
            problem = f"failed: {name}: {getattr(error, 'evalue', error)}"
            if isinstance(error, DeadKernelError):
                said.seek(0)
                print(said.read().decode(errors="replace"), file=sys.stderr)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            # Progress bars and TensorFlow's start-up lines: of the moment, not of the story.
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
    tags_only = ClearMetadataPreprocessor(
        preserve_cell_metadata_mask={"tags"}, preserve_nb_metadata_mask={"kernelspec"}
    )
    tags_only.preprocess(notebook, {})
    return problem


def save_figures(notebook: nbformat.NotebookNode, folder: Path, stem: str) -> list[str]:
    """Write the pictures a notebook shows as files; returns their names."""
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            for kind, ending in (("image/png", "png"), ("image/jpeg", "jpg")):
                if kind in output.get("data", {}):
                    names.append(f"{stem}_{len(names) + 1}.{ending}")
                    (folder / names[-1]).write_bytes(base64.b64decode(output.data[kind]))
    return names


def write_index(path: Path, folder: str, rows: list[tuple]) -> None:
    """One page that links the executed notebooks, with a first figure of each."""
    items = []
    for stem, minutes, problem, figures in rows:
        title = html.escape(stem.replace("_", " "))
        note = html.escape(problem) or f"{minutes:.1f} minutes"
        picture = ""
        if figures:
            source = f"{folder}/figures/{figures[0]}"
            picture = f'<img src="{source}" alt="first figure of {title}" loading="lazy">'
        items.append(
            f'<li><a href="{folder}/{stem}.html"><b>{title}</b>{picture}</a>'
            f'<small>{note} · <a href="{folder}/{stem}.ipynb">notebook</a></small></li>'
        )
    path.write_text(
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>skincnn notebooks</title>'
        "<style>body{font:16px/1.5 system-ui;margin:2rem auto;max-width:70rem;padding:0 1rem}"
        "ul{list-style:none;padding:0;display:grid;gap:1rem;"
        "grid-template-columns:repeat(auto-fill,minmax(18rem,1fr))}"
        "li{border:1px solid #ccc;border-radius:.5rem;padding:1rem}"
        "li img{width:100%;height:12rem;object-fit:contain;margin:.5rem 0}"
        "small{display:block}</style>"
        "<h1>The notebook series, executed here</h1>"
        f"<p>{len(rows)} notebooks in {sum(row[1] for row in rows):.1f} minutes. "
        "For learning and research. Not a medical device.</p>"
        f"<ul>{''.join(items)}</ul></html>\n"
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m skincnn.series FOLDER")
    sys.exit(min(main(Path(sys.argv[1])), 1))
