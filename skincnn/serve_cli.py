"""The command that serves a model: the page, the REST service and Vertex AI's container."""

import asyncio
import contextlib
import importlib.util
import logging
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Annotated

import typer

from skincnn import artefact, config

serving = typer.Typer()
# Small and quick, so that the page can be seen: not to be trusted with anything.
SMALL_RUN = "sample_small"
SMALL = ["--preset", "two_conv", "--data", "sample", "--protocol", "clean", "--epochs", "12"]


@serving.command("serve")
def serve(
    model: Annotated[
        str | None,
        typer.Argument(
            envvar=["SKINCNN_MODEL", "AIP_STORAGE_URI"],
            help="What `skincnn export` wrote: a file, a SavedModel's folder, or gs://…; without "
            "one, a small network is trained on the sample set.",
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="0.0.0.0 for every machine around.")] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(min=0, max=65535, envvar=["AIP_HTTP_PORT", "PORT"], help="0 for a free one."),
    ] = 8000,
    name: Annotated[str, typer.Option(help="Of the model in addresses; default its own.")] = "",
    api_key_env: Annotated[
        str, typer.Option(metavar="VARIABLE", help="The environment variable that holds a key.")
    ] = "",
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(metavar="ORIGIN", help="Of another page that may ask; several times."),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Of the network.")] = None,
    endpoint: Annotated[
        str, typer.Option(help="Of Vertex AI instead of a model: as `skincnn deploy` prints it.")
    ] = "",
) -> None:
    """Serve a model: a page for people, REST for programs, Vertex AI's container contract.

    Example: skincnn serve outputs/local/isic9_transfer/isic9_transfer.onnx
    """
    key = os.environ.get(api_key_env, "") if api_key_env else ""
    if api_key_env and not key:
        raise ValueError(f"--api-key-env {api_key_env}: the variable is empty or not set")
    for origin in allow_origin or []:
        if origin == "*" or "://" not in origin or origin.endswith("/"):
            raise ValueError(f"--allow-origin {origin}: an origin such as https://example.org")
    if endpoint and model:
        raise ValueError(f"{model} or --endpoint {endpoint}: give one of them")
    # Pillow's warnings quote what a photograph says of itself.
    warnings.filterwarnings("ignore", module=r"PIL\b")
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    from skincnn import listening, predictor, remote, service
    from skincnn.limits import Limits

    limits = Limits()
    settings = service.Settings(
        name=name,
        api_key=key,
        origins=tuple(allow_origin or ()),
        health_route=os.environ.get("AIP_HEALTH_ROUTE", "/health"),
        predict_route=os.environ.get("AIP_PREDICT_ROUTE", ""),
        limits=limits,
    )
    with contextlib.ExitStack() as stack:
        if endpoint:
            answers = remote.Remote(endpoint, patience=3)
        else:
            answers = predictor.load(_found(model, stack), threads)
        app = service.create(answers, settings)

        def ready(address: str) -> None:
            print(f"{config.NOTICE}\n{name or answers.facts.name} answers at {address}", flush=True)

        with contextlib.suppress(KeyboardInterrupt):  # the way to end it
            asyncio.run(listening.serve(app, host, port, limits, ready))


def _found(model: str | None, stack: contextlib.ExitStack) -> Path:
    """The model on this machine, fetched or made where it is not here yet."""
    if not model:
        return small()
    if not model.startswith("gs://"):
        return Path(model)
    from skincnn import cloud

    print(f"fetching {model}", file=sys.stderr)
    return cloud.fetch(model, Path(stack.enter_context(tempfile.TemporaryDirectory())))


def small() -> Path:
    """A small network of the sample set, trained and exported unless it is there."""
    run = config.local_dir() / SMALL_RUN
    file = run / f"{SMALL_RUN}.onnx"
    # An older version's may not be opened any more: it is made again.
    with contextlib.suppress(artefact.ArtefactError):
        artefact.read(file)
        print(f"no model given: {file}, trained on synthetic photographs", file=sys.stderr)
        return file
    if importlib.util.find_spec("tensorflow") is None:
        raise ValueError(
            "no model given, and no TensorFlow here to train a small one: give what `skincnn "
            "export` wrote as MODEL or in SKINCNN_MODEL"
        )
    print(
        "no model given: a small one is trained on the sample set first, which takes a minute or "
        "two. It has seen synthetic photographs only: its answers mean nothing.",
        file=sys.stderr,
    )
    # In processes of their own: TensorFlow's memory ends with them.
    for words in (
        ["train", *SMALL, "--out", str(run)],
        ["export", str(run), "--to", "onnx", "--data", "sample", "--out", str(file)],
    ):
        print("skincnn " + " ".join(words), file=sys.stderr)
        command = [sys.executable, "-c", "from skincnn.cli import main; main()", *words]
        if subprocess.run(command).returncode:
            raise RuntimeError("no model: the command above failed; give one with MODEL")
    return file
