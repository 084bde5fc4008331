"""The benchmarks run and compare their results; what they measure is read, not tested."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

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


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("frozen_garbage")  # some collect garbage in each round
@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_compares_its_results_and_prints_its_lines(
    name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments, lines = BENCHMARKS[name]
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    importlib.import_module(f"benchmarks.{name}").main()
    printed = capfd.readouterr().out.splitlines()
    assert len(printed) == lines
    assert all(line.startswith(("| ", "|-")) for line in printed)
