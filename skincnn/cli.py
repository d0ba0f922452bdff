"""The command line: thin, each command a few calls of the package.

Exit code 0 is success, 1 "it ran and found problems", 2 bad input with one clear line. Imports are
inside the commands, so that `--help` does not wait for TensorFlow.
"""

import json
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from skincnn import (
    __version__,
    atomic,
    config,
    deploy_cli,
    experiment_cli,
    export_cli,
    options,
    predict_cli,
    results_cli,
    serve_cli,
    shards_cli,
    train_cli,
)

app = typer.Typer(
    help=f"Classify photographs of skin lesions, with figures that hold.\n\n{options.NOTICE}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(train_cli.training)  # as commands of its own
app.add_typer(experiment_cli.experiment, name="experiment")
app.add_typer(export_cli.exports)
app.add_typer(predict_cli.predicting)
app.add_typer(results_cli.results)
app.add_typer(serve_cli.serving)
app.add_typer(shards_cli.shards)
app.add_typer(deploy_cli.deploying, name="deploy")
app.add_typer(deploy_cli.undeploying, name="undeploy")
Downloadable = StrEnum("Downloadable", {"isic9": "isic9", "isic_archive": "isic-archive"})

_EXTRAS = {  # what brings a package, where it is not `train`
    "google": "cloud",
    **dict.fromkeys(("fastapi", "uvicorn", "prometheus_client", "onnxruntime"), "serve"),
    **dict.fromkeys(("onnx", "tf2onnx"), "export"),
    "gcp_storage_emulator": "dev",
}


def main() -> None:
    """Run a command; bad input ends in one line and exit code 2, never in a traceback."""
    # TensorFlow's start-up lines help nobody who typed a command.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        sys.exit(app(prog_name="skincnn", standalone_mode=False))
    except KeyboardInterrupt:
        sys.exit(130)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get(str(error.name).partition(".")[0], "train")
        print(f"skincnn: {error.name} is missing: pip install 'skincnn[{extra}]'", file=sys.stderr)
        sys.exit(2)
    except Exception as error:
        if hasattr(error, "format_message"):  # typer's: its base class is in no public module
            print(_misused(error), file=sys.stderr)
            sys.exit(error.exit_code)
        foreign = type(error).__module__.startswith("tensorflow")  # has a tree of errors of its own
        if not foreign and not isinstance(error, (ValueError, OSError, RuntimeError, MemoryError)):
            raise
        print(f"skincnn: {atomic.explained(error)}", file=sys.stderr)
        sys.exit(2)


def _misused(error: typer.BadParameter) -> str:
    """What typer says of a wrong command, option or value, in one line; the help where it asks."""
    said, ctx = error.format_message(), getattr(error, "ctx", None)
    if "\n" in said.strip() and ctx and said == ctx.get_help():  # a group alone
        return said
    said = " ".join(said.replace("Value error, ", "").split()).rstrip(".")
    said = said.replace("Input should", "must").partition(", unable to")[0]
    if hasattr(error.__cause__, "errors"):  # a validator's, which leaves out what it was given
        given = repr(error.__cause__.errors()[0]["input"])
        said += "" if given in said else f", not {given}"
    return f"skincnn: {said} ({ctx.command_path if ctx else 'skincnn'} --help)"


@app.command()
def doctor(as_json: options.AsJson = False) -> None:
    """Say what this machine has: versions, devices, cores, memory, data.

    Example: skincnn doctor
    """
    import keras
    import psutil
    import tensorflow as tf

    from skincnn import data, provenance

    problems = []
    try:
        name, folder = data.find()
        found = f"{name}: {folder}"
        if name == "sample" and not folder.is_dir():
            found += " (drawn when first used)"
    except data.DataError as error:
        found, problems = f"none: {error}", ["data"]
    memory = psutil.virtual_memory()
    facts = {
        "skincnn": __version__,
        **provenance.versions(),
        "backend": keras.config.backend(),
        "devices": ", ".join(d.name.split(":", 1)[1] for d in tf.config.list_physical_devices()),
        "cores": os.cpu_count(),
        "memory": f"{memory.total / 2**30:.1f} GB, {memory.available / 2**30:.1f} GB free",
        "data": found,
    }
    if as_json:
        print(json.dumps(facts, indent=1))
    else:
        print("\n".join(f"{key:12} {value}" for key, value in facts.items()))
    raise typer.Exit(1 if problems else 0)


@app.command("sample")
def draw_sample(
    out: Annotated[Path | None, typer.Option(help="Where to; default data/sample.")] = None,
    n: Annotated[int, typer.Option(help="About how many photographs.")] = 600,
    seed: Annotated[int, typer.Option(help="The same seed draws the same bytes.")] = 2357,
) -> None:
    """Draw the synthetic sample set.

    Example: skincnn sample --out my_sample
    """
    from skincnn import sample

    print(sample.make(out or config.sample_dir(), n=n, seed=seed))


@app.command("download")
def fetch(
    name: Annotated[Downloadable, typer.Argument(help="The set.")],
    out: Annotated[Path | None, typer.Option(help="Where to; default data/raw/NAME.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Fetch again what is there.")] = False,
    diagnosis: Annotated[
        list[str] | None,
        typer.Option(help="isic-archive: one of the nine classes, several times; default all."),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=0, help="isic-archive: photographs of each; 0 for all.")
    ] = 0,
    search: Annotated[
        str | None, typer.Option(help="isic-archive: what else they must be; default dermoscopic.")
    ] = None,
) -> None:
    """Fetch a real set, from Kaggle or the ISIC archive; interrupted, the same command goes on.

    Example: skincnn download isic9

    Example: skincnn download isic-archive --diagnosis "seborrheic keratosis" --limit 200
    """
    if name is Downloadable.isic_archive:
        from skincnn import archive

        if force:
            raise ValueError("--force is for isic9: of the archive remove the folder")
        query = archive.DERMOSCOPIC if search is None else search
        print(archive.fetch(diagnosis or (), limit, out, query))
        return
    if diagnosis or limit or search is not None:
        raise ValueError("--diagnosis, --limit and --search are for isic-archive")
    from skincnn import download

    print(download.fetch(name.value, out, force=force))


@app.command("audit")
def audit_set(
    name: Annotated[
        str | None, typer.Argument(metavar="FOLDER_OR_SET", help="A folder, isic9 or sample.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write report.html and the tables into this folder.")
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            "--predictions", help="A cross-validation's predictions.csv: the names it doubts too."
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Find what is wrong with a set: copies, misnamed photographs, leaks, shortcuts, bad files.

    Exit code 0: nothing found; 1: there are findings.

    Example: skincnn audit my_photographs --report outputs/local/audit
    """
    from skincnn import audit, data, predictions

    if report is not None:
        atomic.check(report)  # before minutes of looking
    doubted = None if table is None else audit.suspicious(predictions.read(table))
    found = audit.run(data.load(name, progress=not as_json), progress=not as_json)
    if report is not None:
        from skincnn import report as page

        path = page.write(found, report, doubted)
        print(f"{path}: open it in a browser", file=sys.stderr)
    more = {} if doubted is None else {"suspicious": doubted.round(4).to_dict("records")}
    if as_json:
        print(json.dumps({**found.counts(), **more}, indent=1, ensure_ascii=False))
    else:
        print(found)
        if doubted is not None:
            print(f"- {len(doubted):,} names that the predictions doubt, the most doubted first:")
            print(doubted.head(10).round(2).to_string(index=False))
    raise typer.Exit(0 if found.clean and (doubted is None or doubted.empty) else 1)
