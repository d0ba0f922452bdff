"""The commands for the cloud: a model goes to Vertex AI, and is taken away again."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from skincnn import config, options

deploying = typer.Typer(help="Put a model on an endpoint in the cloud.", no_args_is_help=True)
undeploying = typer.Typer(help="Take away what deploy made.", no_args_is_help=True)
Project = Annotated[str, typer.Option(help="Of Google Cloud: its id or number.")]
Region = Annotated[str, typer.Option(help="Such as europe-west4.")]
Bucket = Annotated[str, typer.Option(help="Of Cloud Storage, which exists; without gs://.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only print each step; ask nobody.")]


@deploying.callback()
@undeploying.callback()
def clouds() -> None:
    pass  # with it, the name of the one cloud there is stays to be typed


@deploying.command("vertex")
def deploy(
    model: Annotated[Path, typer.Option(help="What `skincnn export` wrote.")],
    project: Project,
    region: Region,
    bucket: Bucket,
    image: Annotated[str, typer.Option(help="Of the container: REGION-docker.pkg.dev/…:TAG.")],
    machine: Annotated[str, typer.Option(help="A machine type of Vertex AI.")] = "n1-standard-2",
    min_replicas: Annotated[int, typer.Option(min=1, help="Machines; each costs by the hour.")] = 1,
    max_replicas: Annotated[int, typer.Option(min=1)] = 1,
    service_account: Annotated[str, typer.Option(help="That the container runs as.")] = "",
    name: Annotated[
        str, typer.Option(help="Of the endpoint and all else; default what the model calls itself.")
    ] = "",
    dry_run: DryRun = False,
    as_json: options.AsJson = False,
) -> None:
    """Upload a model, register it, deploy it on an endpoint, and ask it about a photograph.

    Everything is called after what it is: interrupted, the same command goes on; repeated, it finds
    all there. A version deployed before is retired once the new one answers. docs/cloud.md has the
    roles an account needs, and what it costs. Credentials come from the environment.

    Example: skincnn deploy vertex --model mole.onnx --project my-project --region europe-west4
    --bucket my-bucket --image europe-west4-docker.pkg.dev/my-project/skincnn/serve:1 --dry-run
    """
    from skincnn import vertex

    replicas = min_replicas, max_replicas
    machines = machine, replicas, service_account
    plan = vertex.Plan(model, project, region, bucket, image, *machines, name)
    done = vertex.deploy(plan, dry_run, _tell(as_json))
    if as_json:
        print(json.dumps(done, indent=1))
    elif not dry_run:
        print(f"{done['answer']['sentence']}\n\nskincnn predict --endpoint {done['endpoint']} FILE")
    print(config.NOTICE, file=sys.stderr)


@undeploying.command("vertex")
def undeploy(
    project: Project,
    region: Region,
    bucket: Bucket,
    model: Annotated[Path | None, typer.Option(help="That was deployed.")] = None,
    name: Annotated[str, typer.Option(help="Instead of --model: what it was deployed as.")] = "",
    dry_run: DryRun = False,
    as_json: options.AsJson = False,
) -> None:
    """Remove a model's endpoint, its versions in the registry, and its files in the bucket.

    Only what deploy made, and all of it; repeated, it removes what is left.

    Example: skincnn undeploy vertex --name mole --project my-project --region europe-west4
    --bucket my-bucket
    """
    if (model is None) == (not name):
        raise ValueError("give --model, or --name: what it was deployed as")
    from skincnn import artefact, vertex

    place = vertex.Place(name or artefact.read(model).name, project, region, bucket)
    gone = vertex.undeploy(place, dry_run, _tell(as_json))
    if as_json:
        print(json.dumps({"removed": gone}, indent=1))
    elif not dry_run:
        print("\n".join(f"removed {one}" for one in gone) or "there was nothing to remove")


def _tell(as_json: bool) -> Callable[[str], None]:
    return lambda line: print(line, file=sys.stderr if as_json else sys.stdout, flush=True)
