"""Who may import whom: the layers are held apart, and nothing heavy is loaded unasked."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import skincnn

PACKAGE = Path(skincnn.__file__).parent
HEAVY = ("pandas", "sklearn", "scipy", "matplotlib", "keras", "tensorflow", "jax")

# From the ground up. A module imports only from the rows above its own; a new one is placed here.
LAYERS = (
    {"config", "presets", "labels", "limits", "pretrained", "workers"},  # standard library
    {
        "atomic",
        "images",
        "hair",
        "views",
        "corruptions",
        "feed",
        "folders",
        "labelled",
        "person",
        "textures",
        "structures",
        "dermoscopy",
        "sample_plan",
        "sample",
        "official",
        "relatives",
        "inspection",
        "data",
        "connection",
        "kaggle",
        "download",
        "archive",
        "alignment",
        "duplicates",
        "sketches",
        "splits",
        "leakage",
        "balance",
        "skintone",
    },  # numpy, pandas, Pillow, scikit-learn
    {
        "predictions",
        "class_maps",
        "scores",
        "subgroups",
        "summaries",
        "ensembles",
        "evaluate",
        "paired",
        "cards",
        "calibrate",
        "decisions",
        "plots",
        "plots_results",
        "plots_trust",
        "plots_audit",
        "provenance",
        "runs",
        "plots_compare",
        "plots_rare",
        "occlusion",
        "plots_explain",
        "parts",
        "predict",
        "artefact",
        "strangers",
        "verdict",
        "predictor",
        "gcp",
        "cloud",
        "remote",
        "deployment",
        "vertex",
        "vertex_calls",
        "rehearsal",
        "quantise",
    },  # results, no TensorFlow
    {"shortcuts", "findings", "audit", "scoreboards", "report"},  # what a set's figures are worth
    {"augment", "backbones", "models", "optimizers", "checkpoints", "precision"},  # plain Keras
    {
        "distribute",
        "fused",
        "protocols",
        "pipeline",
        "records",
        "tfrecords",
        "stream",
        "shards",
        "shardcheck",
        "sharding",
        "transfer",
    },  # batches for a backend
    {"fitting", "train", "explain", "export"},
    {"crossval", "experiments", "ablations", "rare", "robustness"},  # many runs
    {"batching", "uploads", "answering", "guard", "api", "listening", "service"},  # over HTTP
    {
        "options",
        "deploy_cli",
        "experiment_cli",
        "export_cli",
        "predict_cli",
        "results_cli",
        "serve_cli",
        "shards_cli",
        "train_cli",
    },  # what the command line is made of
    {"cli", "series"},  # edges: nobody imports these
)
# Within a row only these, so that no two modules need each other.
WITHIN = {
    ("presets", "config"),
    ("inspection", "atomic"),
    ("inspection", "images"),
    ("data", "inspection"),
    ("data", "relatives"),
    ("archive", "atomic"),
    ("connection", "atomic"),
    ("kaggle", "connection"),
    ("download", "atomic"),
    ("download", "connection"),
    ("download", "kaggle"),
    ("balance", "atomic"),
    ("structures", "textures"),
    ("dermoscopy", "textures"),
    ("dermoscopy", "structures"),
    ("sample", "atomic"),
    ("sample", "dermoscopy"),
    ("sample", "sample_plan"),
    ("folders", "images"),
    ("data", "folders"),
    ("data", "labelled"),
    ("labelled", "images"),
    ("person", "labelled"),
    ("person", "official"),
    ("ensembles", "predictions"),
    ("ensembles", "evaluate"),
    ("ensembles", "runs"),
    ("data", "sample"),
    ("download", "images"),
    ("archive", "connection"),
    ("archive", "images"),
    ("data", "official"),
    ("official", "data"),  # only where it is run as a program
    ("sketches", "images"),
    ("sketches", "data"),
    ("duplicates", "alignment"),
    ("sketches", "duplicates"),
    ("audit", "findings"),
    ("audit", "shortcuts"),
    ("report", "audit"),
    ("report", "findings"),
    ("scoreboards", "audit"),
    ("splits", "data"),
    ("splits", "relatives"),
    ("leakage", "splits"),
    ("balance", "images"),
    ("balance", "data"),
    ("skintone", "data"),
    ("skintone", "images"),
    ("scores", "predictions"),
    ("subgroups", "predictions"),
    ("summaries", "scores"),
    ("balance", "splits"),
    ("class_maps", "predictions"),
    ("evaluate", "predictions"),
    ("paired", "evaluate"),
    ("paired", "predictions"),
    ("paired", "scores"),
    ("paired", "summaries"),
    ("cards", "evaluate"),
    ("cards", "parts"),
    ("cards", "predictions"),
    ("cards", "runs"),
    ("cards", "subgroups"),
    ("evaluate", "scores"),
    ("evaluate", "subgroups"),
    ("evaluate", "summaries"),
    ("calibrate", "predictions"),
    ("calibrate", "scores"),
    ("plots_results", "evaluate"),
    ("plots_results", "plots"),
    ("plots_explain", "occlusion"),
    ("plots_explain", "plots"),
    ("plots_explain", "predictions"),
    ("decisions", "calibrate"),
    ("decisions", "evaluate"),
    ("decisions", "predictions"),
    ("decisions", "scores"),
    ("plots_trust", "calibrate"),
    ("plots_trust", "decisions"),
    ("plots_trust", "evaluate"),
    ("plots_trust", "plots"),
    ("plots_audit", "plots"),
    ("plots_compare", "plots"),
    ("plots_rare", "evaluate"),
    ("plots_rare", "plots"),
    ("plots_rare", "predictions"),
    ("runs", "predictions"),
    ("parts", "provenance"),
    ("parts", "runs"),
    ("verdict", "artefact"),
    ("verdict", "calibrate"),
    ("verdict", "strangers"),
    ("predictor", "artefact"),
    ("predictor", "verdict"),
    ("cloud", "artefact"),
    ("cloud", "gcp"),
    ("remote", "artefact"),
    ("remote", "gcp"),
    ("remote", "verdict"),
    ("deployment", "artefact"),
    ("rehearsal", "vertex_calls"),
    ("vertex", "deployment"),
    ("vertex", "cloud"),
    ("vertex", "gcp"),
    ("vertex", "remote"),
    ("models", "augment"),
    ("models", "backbones"),
    ("pipeline", "stream"),
    ("protocols", "tfrecords"),
    ("tfrecords", "stream"),
    ("pipeline", "distribute"),
    ("tfrecords", "shards"),
    ("sharding", "shards"),
    ("shardcheck", "shards"),
    ("records", "shards"),
    ("shardcheck", "records"),
    ("tfrecords", "records"),
    ("experiments", "crossval"),
    ("rare", "ablations"),
    ("deploy_cli", "options"),
    ("experiment_cli", "options"),
    ("export_cli", "options"),
    ("predict_cli", "options"),
    ("results_cli", "options"),
    ("shards_cli", "options"),
    ("serve_cli", "options"),
    ("train", "fitting"),
    ("train_cli", "options"),
    ("answering", "batching"),
    ("answering", "uploads"),
    ("service", "answering"),
    ("service", "api"),
    ("service", "guard"),
    ("service", "uploads"),
}
ROW = {module: row for row, modules in enumerate(LAYERS) for module in modules}
MODULES = sorted(p.stem for p in PACKAGE.glob("*.py") if p.stem != "__init__")


def imported(module: str) -> set[str]:
    """Dotted names of all a module imports, inside functions too."""
    names = set()
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(filter(None, ["skincnn" if node.level else "", node.module]))
            names |= {f"{base}.{alias.name}" for alias in node.names}
    return names


def siblings(module: str) -> set[str]:
    """The package's own modules among them."""
    parts = [name.split(".") for name in imported(module)]
    return {p[1] for p in parts if p[0] == "skincnn" and p[1:] and p[1] in MODULES}


def packages(module: str) -> set[str]:
    return {name.partition(".")[0] for name in imported(module)}


def loaded(statement: str) -> set[str]:
    """Which heavy packages a fresh interpreter holds after a statement."""
    code = f"import json, sys; {statement}; print(json.dumps(sorted(sys.modules)))"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(json.loads(answer.stdout.splitlines()[-1])) & set(HEAVY)


def test_the_table_names_each_module_once():
    assert len(ROW) == sum(len(modules) for modules in LAYERS)
    assert all(ROW[a] == ROW[b] for a, b in WITHIN)


@pytest.mark.parametrize("module", MODULES)
def test_layers(module):
    assert module in ROW, f"{module}.py is new: place it in LAYERS"
    above = {other for other in ROW if ROW[other] < ROW[module]}
    allowed = above | {other for one, other in WITHIN if one == module}
    wrong = (siblings(module) & set(ROW)) - allowed - {module}
    assert not wrong, f"{module} may not import {', '.join(sorted(wrong))}"


def test_nobody_imports_the_edges():
    assert not {edge for module in MODULES for edge in siblings(module) & LAYERS[-1]}


@pytest.mark.parametrize("module", sorted(LAYERS[0] & set(MODULES)))
def test_ground_floor_is_standard_library(module):
    assert packages(module) <= sys.stdlib_module_names | {"skincnn"}


@pytest.mark.parametrize("module", sorted((LAYERS[1] | LAYERS[2]) & set(MODULES)))
def test_data_and_results_need_no_tensorflow(module):
    # a run's model, and a SavedModel: loaded when asked for
    lazy = {"runs": {"keras"}, "predictor": {"tensorflow"}}.get(module, set())
    assert not packages(module) & {"tensorflow", "keras"} - lazy


@pytest.mark.parametrize("module", sorted(LAYERS[4] & set(MODULES)))
def test_networks_are_plain_keras(module):
    assert not packages(module) & {"tensorflow", "tf_keras", "jax", "torch"}
    tree = ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
    assert not {n.lineno for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id == "tf"}


@pytest.mark.parametrize(
    "statement",
    [
        "import skincnn",
        "from skincnn import images, labels, predict, predictor",
        "import skincnn.cli",
        "from typer.testing import CliRunner; from skincnn.cli import app; "
        "assert CliRunner().invoke(app, ['train', '--help']).exit_code == 0",
    ],
    ids=["package", "predict", "cli", "help"],
)
def test_nothing_heavy_is_loaded(statement):
    assert loaded(statement) == set()


def test_heavy_is_noticed():
    assert loaded("import pandas") == {"pandas"}


@pytest.mark.parametrize("module", sorted({"data", "evaluate", "runs", "splits"} & set(MODULES)))
def test_tables_load_no_tensorflow(module):
    assert not loaded(f"import skincnn.{module}") & {"tensorflow", "keras", "jax"}
