"""Functions that open a scope, where a module stands for that scope, as FSDP2 needs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from torchscope import ScopedModule, get_variable, get_variable_scope, variable_scope


class Unit(nn.Module):
    """Runs a function as a module, as FSDP2's do, and notes in which scope."""

    def __init__(self) -> None:
        super().__init__()
        self.ran: list[str] = []

    def forward(self, function: Callable[..., Tensor], *args: Any) -> Tensor:
        self.ran.append(get_variable_scope().name)
        return function(*args)


@variable_scope("inner")
def scaled(x: Tensor) -> Tensor:
    return x * get_variable("scale", [3])


def forward(x: Tensor) -> Tensor:
    with variable_scope("outer"):
        return scaled(x) + scaled.__wrapped__(x)  # type: ignore[attr-defined]  # of functools.wraps: opens no scope


def test_the_unit_of_a_scope_runs_the_function_that_opens_it_and_no_other() -> None:
    model, x = ScopedModule(forward, seed=0), torch.ones(3)
    expected = model(x)
    assert model.variables.function_scopes == {"outer/inner"}
    unit, other = Unit(), Unit()
    model.variables.fsdp_units.update({"outer/inner": unit, "inner": other})
    assert torch.equal(model(x), expected)
    assert (unit.ran, other.ran) == (["outer/inner"], [])


def test_without_a_unit_for_its_scope_the_function_runs_as_it_is() -> None:
    model, x = ScopedModule(forward, seed=0), torch.ones(3)
    expected, other = model(x), Unit()
    model.variables.fsdp_units["outer"] = other
    assert torch.equal(model(x), expected)
    assert not other.ran


def test_a_function_that_opens_a_scope_runs_where_no_module_does() -> None:
    @variable_scope("made")
    def name() -> str:
        return get_variable_scope().name

    assert name() == "made"
