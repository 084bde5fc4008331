"""Default names; the expected lists are TensorFlow 2.21's, run as a TF1 graph with the same lines."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchscope import AUTO_REUSE, ArgumentValueError, ScopedModule, get_variable, get_variable_scope, variable_scope
from torchscope._names import default_names
from torchscope._names.events import BASE, Entry


def opened(default_name: str) -> str:
    with variable_scope(None, default_name) as scope:
        return scope.name


def visit(name: str) -> None:
    with variable_scope(name):
        pass


def in_a_row() -> list[str]:
    return [opened("c"), opened("c"), opened("c")]


def after_an_explicit_one() -> list[str]:
    visit("c")
    return [opened("c"), opened("c")]


def counts_start_again_when_the_parent_is_left() -> list[str]:
    names = []
    for _ in range(2):
        with variable_scope("a"):
            names += [opened("c"), opened("c")]
    return names


def slash_in_an_explicit_name_counts_below() -> list[str]:
    visit("a/b")
    with variable_scope("a"):
        names = [opened("b")]
    visit("a")
    return [*names, opened("a/b")]


def root_does_not_forget() -> list[str]:
    with variable_scope(""):
        names = [opened("c")]
        visit("d")
    return [*names, opened("c"), opened("d")]


def root_inside_of_the_root_goes_on() -> list[str]:
    names = [opened("c")]
    with variable_scope(""):
        names += [opened("c")]
    return [*names, opened("c")]


def jump_restores_the_counts() -> list[str]:
    with variable_scope("a") as scope:
        pass
    names = []
    with variable_scope("x"):
        with variable_scope(scope):
            names += [opened("d"), opened("d")]
        with variable_scope(scope):
            names += [opened("d")]
    with variable_scope("a"):
        return [*names, opened("d")]


def jump_to_itself() -> list[str]:
    with variable_scope("a") as scope:
        names = [opened("d")]
        with variable_scope(scope):
            names += [opened("d")]
        return [*names, opened("d")]


def jump_to_itself_before_a_name() -> list[str]:
    with variable_scope("a") as scope:
        with variable_scope(scope):
            pass
        visit("x")
        return [opened("x")]


def a_name_that_looks_like_an_index() -> list[str]:
    visit("c_1")
    return [opened("c"), opened("c"), opened("c")]


def one_object_again() -> list[str]:
    again = variable_scope(None, "c")
    names = []
    for _ in range(2):
        with again as scope:
            names.append(scope.name)
    names.append(opened("c"))
    with variable_scope("o"), again as scope:
        names.append(scope.name)
    return names


def variables_between() -> list[str]:
    get_variable("x", [1])
    visit("c")
    names = [opened("c")]
    get_variable("y", [1])
    visit("d")
    return [*names, opened("d"), opened("c")]


def variables_between_paths() -> list[str]:
    visit("a/b")
    return variables_between()


def objects_inside_of_objects() -> list[str]:
    with variable_scope("a") as a:
        pass
    with variable_scope("b") as b:
        pass
    names = []
    with variable_scope(a):
        names += [opened("d")]
        with variable_scope(b):
            names += [opened("d"), opened("d")]
            with variable_scope(a):
                names += [opened("d")]
        names += [opened("d")]
        with variable_scope(b):
            names += [opened("d")]
    return [*names, opened("a"), opened("b")]


def a_path_inside_of_a_path() -> list[str]:
    with variable_scope("a/b"):
        visit("c/d")
        names = [opened("c")]
        with variable_scope("e"):
            names += [opened("f"), opened("f")]
        names += [opened("e"), opened("c")]
    with variable_scope("a"):
        return [*names, opened("b"), opened("b")]


CASES: dict[Callable[[], list[str]], list[str]] = {
    in_a_row: ["c", "c_1", "c_2"],
    after_an_explicit_one: ["c_1", "c_2"],
    counts_start_again_when_the_parent_is_left: ["a/c", "a/c_1", "a/c", "a/c_1"],
    slash_in_an_explicit_name_counts_below: ["a/b_1", "a/b"],
    root_does_not_forget: ["c", "c_1", "d_1"],
    root_inside_of_the_root_goes_on: ["c", "c_1", "c_2"],
    jump_restores_the_counts: ["a/d", "a/d_1", "a/d", "a/d"],
    jump_to_itself: ["a/d", "a/d_1", "a/d_1"],
    jump_to_itself_before_a_name: ["a/x_1"],
    a_name_that_looks_like_an_index: ["c", "c_2", "c_3"],
    one_object_again: ["c", "c", "c_1", "o/c"],
    variables_between: ["c_1", "d_1", "c_2"],
    variables_between_paths: ["c_1", "d_1", "c_2"],
    objects_inside_of_objects: ["a/d", "b/d", "b/d_1", "a/d_1", "a/d_1", "b/d", "a_1", "b_1"],
    a_path_inside_of_a_path: ["a/b/c", "a/b/e/f", "a/b/e/f_1", "a/b/e_1", "a/b/c_1", "a/b_1", "a/b_2"],
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_default_names_are_tensorflows_in_every_call(case: Callable[[], list[str]]) -> None:
    model = ScopedModule(case)
    assert [model() for _ in range(3)] == [CASES[case]] * 3


@pytest.mark.parametrize("reuse", [True, AUTO_REUSE])
def test_a_default_name_has_nothing_to_reuse(reuse: object) -> None:
    with pytest.raises(ArgumentValueError, match="A default name opens a new scope, which has nothing to share"):
        variable_scope(None, "c", reuse=reuse)  # type: ignore[arg-type]


def test_the_name_wins_over_the_default_name() -> None:
    def forward() -> str:
        with variable_scope("y", "x") as scope:
            return scope.name

    assert ScopedModule(forward)() == "y"


@given(st.lists(st.sampled_from(["a", "b", "a_1", "up", "down"]), max_size=30))
def test_default_names_are_unique_among_the_open_parents_children(program: list[str]) -> None:
    def run(steps: list[str], inside: set[str]) -> None:
        while steps:
            step = steps.pop()
            if step == "up":
                return
            if step == "down":
                with variable_scope(None, "d") as scope:
                    assert scope.name not in inside
                    inside.add(scope.name)
                    run(steps, set())
            else:
                name = opened(step)
                assert name not in inside
                assert name.startswith(get_variable_scope().name)
                inside.add(name)

    ScopedModule(lambda: run(list(program), set()))()


@pytest.mark.parametrize("before", [None, "a/b"], ids=["names", "paths"])
def test_naming_many_scopes_takes_steps_in_proportion_to_their_number(before: str | None) -> None:
    def lines_run(scopes: int) -> int:
        """How many lines of the module that counts are run to name so many scopes."""
        lines = 0

        def trace(frame: FrameType, event: str, _: object) -> object:
            nonlocal lines
            if frame.f_code.co_filename != default_names.__file__:
                return None
            lines += event == "line"
            return trace

        def forward() -> str:
            if before is not None:
                visit(before)
            return [opened("block") for _ in range(scopes)][-1]

        model, tracing = ScopedModule(forward), sys.gettrace()
        sys.settrace(trace)
        try:
            assert model() == f"block_{scopes - 1}"
        finally:
            sys.settrace(tracing)
        return lines

    few, many = lines_run(100), lines_run(1000)
    assert few > 100
    assert many < 11 * few


@pytest.mark.parametrize("before", [None, "a/b"], ids=["names", "paths"])
def test_names_that_were_opened_by_name_are_passed_over_one_by_one(before: str | None) -> None:
    def forward() -> list[str]:
        if before is not None:
            visit(before)
        visit("block_1")
        visit("block_3")
        return [opened("block") for _ in range(4)]

    assert ScopedModule(forward)() == ["block", "block_2", "block_4", "block_5"]


def test_a_scope_in_which_none_was_opened_is_known() -> None:
    """Default names in a block of ``compile_once`` begin anew only there."""
    counts, events = default_names.Counts(), [Entry("a/", "", "a", True), None]
    assert counts.opened_nothing_in(events, 0, BASE, "")
    assert not counts.opened_nothing_in(events, 1, BASE, "")
    assert counts.opened_nothing_in(events, 1, BASE, "c/")
