"""The fast path is short: what a built model does all day runs none of the library's functions for rare things."""

from __future__ import annotations

import functools
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

BEGIN = [
    "ScopedModule.forward",
    "run",
    "Call.__init__",
    "open_base",
    "ScopedModule.forward",
]
END = ["pop", "Call.end"]
ENTER = ["variable_scope", "ScopeManager.__enter__"]
ENTER_AS_BEFORE = [
    "variable_scope",
    "ScopeManager._take",
    "ScopeManager.__enter__",
    "ScopeManager._enter_slowly",
    "_enter_as_before",
    "PathNode.prefix",
]
EXIT = ["ScopeManager.__exit__"]
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


def default_names(x: Tensor) -> None:
    for _ in range(2):
        with variable_scope(None, "a"):
            get_variable("kernel", [4, 4])


FORWARDS: dict[Callable[[Tensor], None], list[str]] = {
    gets: GET * 3,
    default_names: [*ENTER_AS_BEFORE, *GET, *EXIT] * 2,
    nested: [*ENTER * 2, *GET, *EXIT * 2, *ENTER, *GET, *EXIT],
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
    model(x)  # grows the tree of paths
    model(x)  # is held against what the one before did
    assert called(lambda: model(x)) == [*BEGIN, *FORWARDS[forward], *END]


@pytest.mark.no_cover
def test_a_variable_is_shared_without_a_detour() -> None:
    def forward(x: Tensor) -> list[str]:
        with variable_scope("a"):
            get_variable("kernel", [4, 4])
        with variable_scope("a", reuse=True):
            return called(lambda: (get_variable("kernel", [4, 4]), get_variable("kernel")))

    x = torch.ones(4)
    model = ScopedModule(forward).build(x)
    model(x), model(x)
    assert model(x) == [*GET, "History.note_first", "History.has_got", "Plan.position"] * 2


@pytest.mark.no_cover
def test_a_scope_is_left_without_a_detour_however_it_was_entered() -> None:
    def forward() -> list[str]:
        managers = variable_scope("a"), variable_scope("b/c", dtype=torch.float64), variable_scope(None, "d")
        for manager in managers:
            manager.__enter__()
        last, middle, first = (functools.partial(manager.__exit__, None, None, None) for manager in reversed(managers))
        return called(lambda: (last(), middle(), first()))

    assert [name for name in ScopedModule(forward)() if name.startswith("Scope")] == EXIT * 3


@pytest.mark.no_cover
def test_a_setting_for_new_variables_makes_no_detour_for_those_that_are_there() -> None:
    def forward(x: Tensor) -> list[str]:
        with variable_scope("a") as scope:
            scope.set_initializer(nn.init.ones_)
            return called(lambda: get_variable("kernel", [4, 4]))

    x = torch.ones(4)
    model = ScopedModule(forward).build(x)
    model(x), model(x)
    assert model(x) == GET


@pytest.mark.no_cover
def test_a_call_that_differs_from_the_last_one_notes_what_it_does_and_no_more() -> None:
    def forward(x: Tensor, names: str) -> None:
        for name in names:
            with variable_scope(name):
                get_variable("kernel", [4, 4])

    x = torch.ones(4)
    model = ScopedModule(forward).build(x, "abc")
    model(x, "abc")
    noted = ["History.note"]
    entered, got = [*ENTER, *noted], [*GET, "History.note_first", "History.has_got", *noted]
    first = [*ENTER, *noted, "History.keep_own_notes", "History.keep_own_notes.<locals>.<dictcomp>", *got, *EXIT]
    called(lambda: model(x, "abc"))
    assert [name for name in called(lambda: model(x, "cba")) if "comp>" not in name] == [
        *BEGIN,
        *(name for name in first if "comp>" not in name),
        *[*entered, *got, *EXIT] * 2,
        "_remember",
        "History.as_plan",
        "Plan.__init__",
        *END,
    ]
