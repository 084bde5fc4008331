"""The benchmarks run and compare their results; what they measure is read, not tested."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_the_benchmark_of_get_variable_prints_a_ratio_for_each_way() -> None:
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "get_variable.py"), "--layers", "2", "--rounds", "2"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert lines[0].startswith("2 layers, 2 interleaved rounds")
    assert [line.split("  ")[0] for line in lines[1:]] == [
        "nn.Module child, two parameters",
        "scope + two gets",
        "scope + two gets, shapes checked",
    ]
    assert all("ratio" in line for line in lines[1:])
