"""The benchmarks run and compare their results; what they measure is read, not tested."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# arguments that make it short; how many lines of the table it prints
BENCHMARKS = {
    "get_variable": (["--layers", "2", "--rounds", "2"], 2),
    "forward": (["--rounds", "2", "--processes", "1"], 6),
    "building": (["--layers", "10", "--rounds", "1"], 2),
    "scale": (["--variables", "1000", "--rounds", "1"], 9),
    "importing": (["--rounds", "1"], 1),
    "rivals": (["--layers", "2", "--rounds", "1"], 4),
    "tf1": (["--size", "4", "--channels", "4", "--batch", "1", "--rounds", "1", "--eager"], 10),
    "distributed": (["--rounds", "1", "--eager"], 6),
    "checkpoint": (["--megabytes", "1", "--rounds", "1"], 3),
}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_compares_its_results_and_prints_its_lines(name: str) -> None:
    arguments, lines = BENCHMARKS[name]
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    printed = done.stdout.splitlines()
    assert len(printed) == lines
    assert all(line.startswith(("| ", "|-")) for line in printed)
