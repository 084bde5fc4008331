"""Where a variable was made: the user's lines, from the variable outwards."""

from __future__ import annotations

import functools
import re
import sys
import types

import pytest
import torch
from torch import nn

from torchscope import ScopedModule, get_variable, variable_scope


def made_at(model: ScopedModule, path: str = "w") -> str:
    return str(model.build().specs[path].made_at)


def test_the_lines_lead_from_the_variable_to_the_forward_and_no_farther() -> None:
    def inner() -> None:
        get_variable("w", [1])

    @variable_scope("scope")  # neither the library's lines nor those of Python's own are the user's
    def outer() -> None:
        functools.reduce(lambda total, _: inner(), [1, 2])  # type: ignore[arg-type, return-value]

    lines = made_at(ScopedModule(outer), "scope/w").split(", called from ")
    assert len(lines) == 3
    assert all(re.fullmatch(r"tests/variables/test_made_at.py:\d+", line) for line in lines)


def test_a_layer_of_torch_in_between_is_left_out() -> None:
    class Layer(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * get_variable("w", [1])

    layers = nn.Sequential(Layer())
    model = ScopedModule(lambda: layers(torch.ones(1)))
    assert re.fullmatch(r"tests\S+:\d+, called from tests\S+:\d+", made_at(model))


def test_of_deep_recursion_the_first_lines_and_the_last_are_kept() -> None:
    def recursive(depth: int = 20) -> None:
        recursive(depth - 1) if depth else get_variable("w", [1])

    def forward() -> None:
        recursive()

    lines = made_at(ScopedModule(forward)).split(", called from ")
    assert len(lines) == 5
    assert [line.endswith(", ...") for line in lines] == [False, False, False, True, False]
    assert lines[0] == lines[1] == lines[2] != lines[4]


def test_in_a_notebook_the_cell_stands_for_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def format_code_name(name: str) -> tuple[str, str] | None:
        return ("Cell", "In[5]") if name == "/tmp/ipykernel_1/2.py" else None

    shell = types.SimpleNamespace(compile=types.SimpleNamespace(format_code_name=format_code_name))
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    scope: dict[str, ScopedModule] = {}
    code = "from torchscope import *\nmodel = ScopedModule(lambda: get_variable('w', [1]))"
    exec(compile(code, "/tmp/ipykernel_1/2.py", "exec"), scope)
    assert made_at(scope["model"]) == "Cell In[5]:2"
