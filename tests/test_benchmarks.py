"""Benchmarks that take seconds in miniature still run, and print rows of the table."""

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    ("words", "rows"),
    [
        ("reading --count 4 --rounds 1", 4),
        ("balance --copies 20 --rounds 2", 2),
        ("evaluate --rows 300 --replicates 20 --rounds 1 --plain 1", 1),
        ("audit --rounds 1 --largest 100", 1),
        ("startup --rounds 1", 1),
    ],
)
def test_a_benchmark_prints_its_rows(words, rows):
    script, *more = words.split()
    ran = subprocess.run(
        [sys.executable, HERE / "benchmarks" / f"{script}.py", *more],
        cwd=HERE, capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    told = [line for line in ran.stdout.splitlines() if line.startswith("| ")]
    assert len(told) == rows and all(line.count("|") == 5 for line in told)
