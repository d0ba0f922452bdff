"""The files around the package: they agree with one another and promise nothing untrue."""

import re
import shlex
import subprocess
import tomllib
from pathlib import Path, PurePosixPath

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from skincnn import cli, images, options, presets

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
INDEX_ADDRESS = re.compile(r"://|--(extra-)?index-url|--find-links|--trusted-host|^-[if] ", re.M)
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "data/README.md")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def wanted(extra: str = "") -> dict[str, Requirement]:
    """What the package, or one of its extras with all that it includes, asks for by name."""
    lines = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    found = {}
    for requirement in map(Requirement, lines):
        if requirement.name == PROJECT["name"]:
            for other in requirement.extras:
                found |= wanted(other)
        else:
            found[canonicalize_name(requirement.name)] = requirement
    return found


def tracked() -> list[str]:
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def shell_lines(page: str) -> list[str]:
    """The commands in a page's bash blocks, continued lines joined, comments gone."""
    blocks = re.findall(r"```bash\n(.*?)```", read(page), flags=re.S)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.split(" #")[0].strip() for line in lines if line.strip()]


# --- environments ---------------------------------------------------------------------------


def test_conda_environment_is_pyprojects():
    environment = yaml.safe_load(read("environment.yml"))
    assert environment["channels"] == ["conda-forge"]
    assert "python=3.11" in environment["dependencies"]
    (pip,) = [part["pip"] for part in environment["dependencies"] if isinstance(part, dict)]
    assert pip[-1] == "-e ."
    here = {str(Requirement(line)) for line in pip[:-1]}
    assert here == {str(r) for r in {**wanted(), **wanted("dev")}.values()}
    assert not INDEX_ADDRESS.search(read("environment.yml"))


def test_each_line_of_the_environment_has_its_reason():
    lines = [line for line in read("environment.yml").splitlines() if line.startswith("      - ")]
    assert lines and not [line for line in lines if not re.search(r"  # \w", line)]


def test_lock_pins_what_pyproject_allows():
    text = read("requirements.txt")
    assert not INDEX_ADDRESS.search(text)
    lines = [line.split("#")[0].rstrip(" \\") for line in text.splitlines()]
    pins = [Requirement(line) for line in lines if line and not line.lstrip().startswith("--hash")]
    versions = {}
    for pin in pins:
        (specifier,) = pin.specifier
        assert specifier.operator == "==" and "*" not in specifier.version, f"{pin}: not pinned"
        versions[canonicalize_name(pin.name)] = specifier.version
    assert len(versions) == len(pins), "a package stands twice"
    for name, requirement in {**wanted(), **wanted("dev")}.items():
        assert name in versions, f"{name} is not in requirements.txt"
        assert requirement.specifier.contains(versions[name], prereleases=True), requirement


# --- pages ----------------------------------------------------------------------------------


def test_readme_has_the_two_commands_and_the_warning():
    text = read("README.md")
    assert {"make run", "make test"} <= {line.split("  ")[0] for line in shell_lines("README.md")}
    assert "outputs/index.html" in text
    assert "not a medical device" in text


def test_continuous_integration_calls_the_readmes_test_command():
    assert "make test" in read(".ci/run")
    steps = yaml.safe_load(read(".github/workflows/test.yml"))["jobs"]["test"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == ["make test"]


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_in_pages_exist(page):
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), flags=re.M))
    named = set(re.findall(r"`make ([a-z]+)`|^make ([a-z]+)|&& make ([a-z]+)", read(page), re.M))
    assert {name for names in named for name in names if name} <= targets


@pytest.mark.parametrize("page", PAGES)
def test_links_in_pages_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)\)", read(page))
    local = [link for link in links if "://" not in link]
    assert not [link for link in local if not (ROOT / page).parent.joinpath(link).exists()]


def test_commands_in_the_readme_are_understood(monkeypatch):
    from typer.main import get_command

    monkeypatch.setattr(options, "shards_in", lambda name: None)  # sets it names need not be here
    group = get_command(cli.app)
    table = re.findall(r"`(skincnn [^`]+)`", read("README.md"))
    lines = {line for line in [*shell_lines("README.md"), *table] if line.startswith("skincnn ")}
    lines = {line for line in lines if "--help" not in line}
    assert {shlex.split(line)[1] for line in lines} >= {
        "doctor",
        "sample",
        "download",
        "train",
        "evaluate",
        "predict",
    }
    for line in sorted(lines):
        _, name, *arguments = shlex.split(line)
        assert name in group.commands, line
        group.commands[name].make_context(name, arguments)  # fails on what it does not know


def test_results_table_names_presets_with_their_protocol():
    table = read("README.md").split("<!-- results -->")[1].split("<!-- /results -->")[0]
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \|.*`(skincnn [^`]+)` \|$", table, flags=re.M)
    assert rows
    for name, protocol, command in rows:
        assert presets.get(name).protocol == protocol
        assert command.startswith(f"skincnn train --preset {name}")


def test_licence_is_whole():
    text = read("LICENSE")
    assert PROJECT["license"] == "Apache-2.0"
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text and "APPENDIX" in text


# --- what is committed ----------------------------------------------------------------------


def test_no_file_names_somebodys_machine():
    path = re.compile(r"(?<![\w.~}>])/(work|root|home|Users|mnt|media)/")
    wrong = []
    for name in tracked():
        try:
            text = read(name)
        except UnicodeDecodeError:
            continue
        wrong += [f"{name}: {m.group()}…" for m in path.finditer(text)]
    assert not wrong


def test_no_photograph_and_no_weights_are_committed():
    weights = {".keras", ".h5", ".hdf5", ".onnx", ".tflite", ".pb", ".tfrec", ".tfrecord"}
    weights |= {".ckpt", ".pt", ".pth", ".safetensors", ".npz", ".npy", ".zip", ".gz"}
    figures = {"learning_curves.png", "leakage/leakage.png", "isic9_64px/scoreboards.png"}
    figures.add("ham10000_melanoma/roc.png")
    figures |= {f"isic9_{x}/{x}.png" for x in ("ablation", "backbones", "robustness")}
    figures = {f"outputs/runs/{name}" for name in figures} | {"docs/page.png"}
    wrong = []
    for name in map(PurePosixPath, tracked()):
        pictured = name.suffix.lower() in images.EXTENSIONS | weights and str(name) not in figures
        # an audit's page has the photographs inside
        page = name.suffix == ".html" and name.parts[0] == "outputs"
        if pictured or page:
            wrong.append(str(name))
    assert not wrong


def test_nothing_large_is_committed():
    sizes = {name: (ROOT / name).stat().st_size for name in tracked()}
    # ten thousand photographs' answers are what every figure of a set can be computed from again
    limits = {name: 2_000_000 if name.endswith("/predictions.csv") else 1_000_000 for name in sizes}
    assert not {name: size for name, size in sizes.items() if size > limits[name]}
