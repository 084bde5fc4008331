"""The fast path is short: what a built model does all day runs none of the library's functions for rare things."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest
import torch
from torch import Tensor, nn

import torchscope
from torchscope import ScopedModule, get_variable, variable_scope

LIBRARY = str(Path(torchscope.__file__).parent)

BEGIN = ["ScopedModule.forward", "run", "Call.__init__", "open_base", "push", "ScopedModule.forward"]
END = ["pop", "Call.end"]
ENTER = ["variable_scope.__init__", "variable_scope.__enter__"]
EXIT = ["variable_scope.__exit__"]
GET = ["get_variable"]


def gets(x: Tensor) -> None:
    get_variable("shape", [4, 4])
    get_variable("shape_and_dtype", (4, 4), torch.float32)
    get_variable("function", [4], initializer=nn.init.zeros_)


def nested(x: Tensor) -> None:
    with variable_scope("a"), variable_scope("b"):
        get_variable("kernel", [4, 4])
    with variable_scope("a"):
        get_variable("kernel", [4, 4])


def again(x: Tensor) -> None:
    scope = variable_scope("a")
    for name in "bc":
        with scope:
            get_variable(name, [4, 4])


FORWARDS: dict[Callable[[Tensor], None], list[str]] = {
    gets: GET * 3,
    nested: [*ENTER * 2, *GET, *EXIT * 2, *ENTER, *GET, *EXIT],
    again: [ENTER[0], *[ENTER[1], *GET, *EXIT] * 2],
}


def called(function: Callable[[], object]) -> list[str]:
    """The functions of the library that a function calls."""
    found: list[str] = []

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(LIBRARY):
            found.append(frame.f_code.co_qualname)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(before)
    return found


@pytest.mark.no_cover
@pytest.mark.parametrize("forward", FORWARDS, ids=lambda forward: forward.__name__)
def test_a_built_model_enters_and_gets_without_a_detour(forward: Callable[[Tensor], None]) -> None:
    x = torch.ones(4)
    model = ScopedModule(forward).build(x)
    model(x)
    assert called(lambda: model(x)) == [*BEGIN, *FORWARDS[forward], *END]


@pytest.mark.no_cover
def test_a_variable_is_shared_without_a_detour() -> None:
    def forward(x: Tensor) -> list[str]:
        with variable_scope("a"):
            get_variable("kernel", [4, 4])
        with variable_scope("a", reuse=True):
            return called(lambda: (get_variable("kernel", [4, 4]), get_variable("kernel")))

    x = torch.ones(4)
    assert ScopedModule(forward).build(x)(x) == GET * 2
