"""What the project stands on: each direct dependency with its reason, last release and licence.

    python benchmarks/dependencies.py

Makes the table in docs/dependencies.md again, and leaves the text around it. Reasons are those of
environment.yml; releases and licences are asked of the Python Package Index, so this needs the
network.
"""

import importlib.metadata
import json
import re
import tomllib
import urllib.request
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/dependencies.md"
HEAD = """| package | extra | asked for | reason | last release | licence |
|---|---|---|---|---|---|
"""


def main() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    (pip,) = [part["pip"] for part in environment["dependencies"] if isinstance(part, dict)]
    reasons = dict(
        re.findall(r"^      - (\S+)  # (.+)$", (ROOT / "environment.yml").read_text("utf-8"), re.M)
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extra_of = {Requirement(line).name: "" for line in project["dependencies"]}
    for extra, lines in project["optional-dependencies"].items():
        for line in lines:
            extra_of.setdefault(Requirement(line).name, extra)
    rows = []
    for line in pip[:-1]:
        asked = Requirement(line)
        version, date = released(asked.name)
        extra = extra_of.get(asked.name, "")
        rows.append(
            f"| {asked.name} | {extra or 'always'} | `{asked.specifier}` | {reasons[line]} | "
            f"{version}, {date} | {licence(asked.name)} |\n"
        )
    before, _, rest = PAGE.read_text("utf-8").partition(HEAD)
    after = re.sub(r"\A(\|.*\n)*", "", rest)
    PAGE.write_text(before + HEAD + "".join(rows) + after, "utf-8")


def released(name: str) -> tuple[str, str]:
    """The newest version that is no trial, and its date."""
    with urllib.request.urlopen(f"https://pypi.org/pypi/{name}/json", timeout=30) as answer:
        releases = json.load(answer)["releases"]
    found = {Version(version): files for version, files in releases.items() if files}
    newest = max(version for version in found if not version.is_prerelease)
    return str(newest), found[newest][0]["upload_time"][:10]


def licence(name: str) -> str:
    """As the installed package says itself: the expression, the classifier, or its own words."""
    said = importlib.metadata.metadata(name)
    if expression := said.get("License-Expression"):
        return expression
    classifiers = [line.rpartition(" :: ")[2] for line in said.get_all("Classifier") or ()
                   if line.startswith("License :: OSI Approved")]  # fmt: skip
    return ", ".join(classifiers) or (said.get("License") or "not said").splitlines()[0]


if __name__ == "__main__":
    main()
