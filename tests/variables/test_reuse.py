"""The rule of reuse: README's table, cell by cell, and all who answer a request held against it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from torchscope import (
    AUTO_REUSE,
    InitializerError,
    ScopedModule,
    VariableExistsError,
    VariableNotFoundError,
    get_buffer,
    get_local_variable,
    get_module,
    get_variable,
    variable_scope,
)
from torchscope._variables.reuse import Reuse, Verdict, verdict

ROOT = Path(__file__).parents[2]
REUSE: dict[str, tuple[Reuse, ...]] = {
    "`False` / `None`": (False, None),
    "`True`": (True,),
    "`AUTO_REUSE`": (AUTO_REUSE,),
}
# Where a path may be, in the order of README's columns: got in this call, in the module.
PLACES = [(True, True), (False, True), (False, False)]
WORDS = {
    "returned": Verdict.RETURN,
    "created": Verdict.CREATE,
    "`VariableExistsError`": Verdict.ALREADY_GOT,
    "`VariableNotFoundError`": Verdict.NOTHING_TO_SHARE,
}


def table(page: str) -> list[tuple[str, list[str]]]:
    text = (ROOT / page).read_text()
    rows = re.findall(r"^\| (`[^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", text[text.index("| reuse |") :], re.M)
    return [(head, cells) for head, *cells in rows[:3]]


@pytest.mark.parametrize("page", ["README.md", "docs/idea.md"])
def test_the_rule_is_the_table_of_the_pages(page: str) -> None:
    rows = table(page)
    assert [head for head, _ in rows] == list(REUSE)
    for head, cells in rows:
        for reuse, (cell, (got, exists)) in itertools.product(REUSE[head], zip(cells, PLACES, strict=True)):
            assert verdict(got=got, exists=exists, reuse=reuse, may_create=True) is WORDS[cell], (head, cell)


@pytest.mark.parametrize("reuse", [False, None, True, AUTO_REUSE], ids=str)
@pytest.mark.parametrize(("got", "exists"), [*PLACES, (True, False)])
def test_where_nothing_may_be_created_the_rule_differs_in_what_would_be_created(
    got: bool, exists: bool, reuse: Reuse
) -> None:
    """A path that was got and is not there any more was deleted by hand in the call."""
    may = verdict(got=got, exists=exists, reuse=reuse, may_create=True)
    may_not = verdict(got=got, exists=exists, reuse=reuse, may_create=False)
    assert may_not is (Verdict.MAY_NOT_CREATE if may is Verdict.CREATE else may)


ASK: dict[str, Callable[[], Any]] = {
    "get_variable": lambda: get_variable("w", [2]),
    "get_variable, a constant": lambda: get_variable("w", initializer=[1.0, 2.0]),
    "get_variable, an option": lambda: get_variable("w", [2], trainable=True),
    "get_buffer": lambda: get_buffer("w", [2]),
    "get_local_variable": lambda: get_local_variable("w", [2]),
    "get_module": lambda: get_module("w", torch.nn.Linear, 2, 2),
    "in parts": lambda: get_variable("w", [2], partitioner=lambda shape, dtype: [2]),
}


@pytest.mark.parametrize("ask", ASK.values(), ids=ASK)
@given(
    before=st.booleans(),
    got=st.booleans(),
    reuse=st.sampled_from([False, None, True, AUTO_REUSE]),
    may_create=st.booleans(),
    name=st.sampled_from(["a", "a/b"]),
)
def test_whoever_answers_a_request_does_what_the_rule_says(
    ask: Callable[[], Any], before: bool, got: bool, reuse: Reuse, may_create: bool, name: str
) -> None:
    """The fast path of get_variable too, which is taken where nothing may be created.

    ``before``: the path is in the module from an earlier call. ``got``: it is got in this call before it is asked for.
    """
    got = got and (before or may_create)  # else that would be the failing get
    seen: list[object] = []

    def forward() -> None:
        if got:
            with variable_scope(name, reuse=AUTO_REUSE):
                seen.append(ask())
        with variable_scope(name, reuse=reuse):
            seen.append(ask())

    model = ScopedModule(forward, seed=0)
    with model.as_default(), variable_scope(name):
        first = ask() if before else None
    model.variables.set_built(True)
    expected = verdict(got=got, exists=got or before, reuse=reuse, may_create=may_create)
    refused = {Verdict.ALREADY_GOT: VariableExistsError}.get(expected, VariableNotFoundError)
    succeeds = expected in (Verdict.RETURN, Verdict.CREATE)
    with model.building() if may_create else nullcontext(), nullcontext() if succeeds else pytest.raises(refused):
        model()
    if expected is Verdict.RETURN and ask is not ASK["in parts"]:  # parts are joined anew
        assert seen[-1] is (first if before else seen[0])
    assert bool(model.variables.existing()) == (before or succeeds)  # a call that fails leaves nothing behind


@pytest.mark.parametrize("reuse", [False, AUTO_REUSE], ids=str)
def test_an_initializer_that_gets_its_own_variable_leaves_none_for_one_path(reuse: Reuse) -> None:
    def itself(tensor: torch.Tensor) -> None:
        get_variable("w", [2], initializer=torch.nn.init.ones_)

    def forward() -> None:
        with variable_scope("a", reuse=reuse):
            get_variable("w", [2], initializer=itself)

    model = ScopedModule(forward)
    with pytest.raises(InitializerError, match="its initializer got the very variable that it is to fill"):
        model()
    assert model.variables.existing() == ()
