"""What users write passes their type checkers: README's model and a program that calls most functions, in the strict
mode of mypy, and the code of every page.

Run where mypy and pyright are installed (extra ``dev``).
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.pages import PAGES, program
from tests.house.test_readme import ROOT, python_block

PROGRAM = """
from collections.abc import Callable
from typing import assert_type

import torch
from torch import Tensor, nn
from torchscope import (
    AUTO_REUSE, ScopedModule, VariableScope, get_buffer, get_local_variable, get_module, get_variable,
    get_variable_scope, make_template, scoped, variable_scope, zeros_initializer,
)


def dense(x: Tensor, units: int, *, bias: bool = True) -> Tensor:
    kernel = get_variable("kernel", [units, x.shape[-1]], torch.float32, regularizer=lambda w: w.square().sum())
    assert_type(kernel, Tensor)
    x = x @ kernel.T
    if bias:
        x = x + get_variable("bias", [units], initializer=zeros_initializer(), trainable=True)
    return x


@variable_scope("decorated", reuse=AUTO_REUSE)
def decorated(x: Tensor, by: float) -> Tensor:
    return x * by


assert_type(decorated(torch.ones(1), 2.0), Tensor)


class Model(ScopedModule):
    def forward(self, x: Tensor) -> Tensor:
        with variable_scope("a") as scope:
            assert_type(scope, VariableScope)
            assert_type(get_variable_scope(), VariableScope)
            assert_type(scope.get_variable("w", [3]), Tensor)
            assert_type(get_buffer("mean", [3]), Tensor)
            assert_type(get_local_variable("seen", [], torch.int64), Tensor)
            assert_type(get_module("gru", nn.GRU, 3, 4), nn.GRU)
        template = make_template("dense", dense)
        assert_type(template(x, 4, bias=False), Tensor)
        assert_type(make_template("other", dense, units=3)(x), Tensor)
        return self.encode(x)

    @scoped
    def encode(self, x: Tensor) -> Tensor:
        return dense(x, 4)


model = Model(seed=0).build(torch.ones(1, 3))
assert_type(model, Model)
assert_type(model.encode(torch.ones(1, 3)), Tensor)
assert_type(model.regularization_loss(), Tensor)
for path, spec in model.specs.items():
    assert_type(path, str)
    assert_type(spec.shape, tuple[int, ...])
"""
WRONG = """
from torchscope import get_variable, make_template, variable_scope

get_variable("w", [3], trainabel=False)
get_variable("w", [3]).no_such_method()
variable_scope("a", reuse="yes")
make_template("f", lambda x: len(x))(1, 2, 3)
"""
PYRIGHT = [sys.executable, "-m", "pyright"]


def mypy(cache: str) -> list[str]:
    """mypy with a cache of its own: two that run at once with one would break it."""
    return [sys.executable, "-m", "mypy", "--cache-dir", str(ROOT / ".mypy_cache" / cache), "--no-pretty"]


CHECKERS = {"mypy": [*mypy("users"), "--strict"], "pyright": PYRIGHT}
# The functions of pages have no annotations, and a page may define one twice.
FOR_PAGES = {
    "mypy": [*mypy("pages"), "--check-untyped-defs", "--ignore-missing-imports", "--disable-error-code", "no-redef"],
    "pyright": PYRIGHT,
}


@pytest.mark.parametrize("checker", CHECKERS)
def test_what_users_write_passes_and_their_mistakes_are_found_where_they_stand(checker: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(checker) is None:
        pytest.skip(f"{checker} is not installed (extra dev)")
    for name, code in {"readme": python_block(), "program": PROGRAM, "wrong": WRONG}.items():
        (tmp_path / f"{name}.py").write_text(code)
    options = {"typeCheckingMode": "standard", "extraPaths": [str(ROOT)]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(options))
    places, said = errors_of([*CHECKERS[checker], "readme.py", "program.py", "wrong.py"], tmp_path)
    assert places == {("wrong", line) for line in range(4, 8)}, said


@pytest.mark.parametrize("checker", CHECKERS)
def test_the_code_of_the_pages_passes(checker: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(checker) is None:
        pytest.skip(f"{checker} is not installed (extra dev)")
    names = [f"{page.stem.replace('-', '_')}.py" for page in PAGES]
    for page, name in zip(PAGES, names, strict=True):
        (tmp_path / name).write_text(program(page, with_errors=False))
    options = {
        "typeCheckingMode": "standard",
        "extraPaths": [str(ROOT)],
        "reportRedeclaration": False,
        "reportPossiblyUnboundVariable": False,
        "reportMissingImports": False,
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(options))
    places, said = errors_of([*FOR_PAGES[checker], *names], tmp_path)
    assert not places, said


def errors_of(command: list[str], folder: Path) -> tuple[set[tuple[str, int]], str]:
    """The files and lines in which a type checker finds errors, and all that it prints."""
    environment = {**os.environ, "MYPYPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    errors = [line for line in done.stdout.splitlines() if re.search(r"\.py:\d+(:\d+)?[: -]+error", line)]
    places = {(found[1], int(found[2])) for error in errors if (found := re.search(r"(\w+)\.py:(\d+)", error))}
    return places, done.stdout + done.stderr
