"""A call that is held against the last one knows what a call knows that keeps notes of its own."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings

from tests.oracle.dialects import Torchscope, partitioner
from tests.oracle.programs import programs, run
from tests.oracle.regressions import PROGRAMS
from torchscope import (
    AUTO_REUSE,
    ArgumentTypeError,
    ScopedModule,
    VariableExistsError,
    VariableScope,
    get_variable,
    get_variable_scope,
    name_ops,
    op_name,
    variable_scope,
)
from torchscope._scopes.history import History


class Short(Torchscope):
    """Gives only the options that a program has, so that gets without any take the fast path."""

    def get(self, get: Any, log: Any) -> Any:
        options = {
            "regularizer": self.option("regularizer", get.regularizer, log),
            "trainable": get.trainable,
            "partitioner": partitioner(get.partitioner) if get.partitioner else None,
            "custom_getter": self.option("getter", get.getter, log),
        }
        given = {name: option for name, option in options.items() if option is not None}
        dtype = getattr(torch, get.dtype) if get.dtype else None
        return get_variable(get.name, get.shape, dtype, self._initializer(get), **given)


def shown(program: Any, *, held: bool) -> list[Any]:
    """What four calls of a module show, the first of which builds it; each is held against the last, or none is."""
    model = ScopedModule(lambda: run(program, Short(model)))
    logs = []
    with name_ops():
        for _ in range(4):
            logs.append(model())
            if not held:
                model.variables.entered.clear()
    return logs


@pytest.mark.filterwarnings("ignore")  # of layers and default names, in programs that look for them
@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(programs())
def test_what_a_random_program_shows_does_not_depend_on_the_last_call(program: Any) -> None:
    assert shown(program, held=True) == shown(program, held=False)


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_a_named_program_shows_does_not_depend_on_the_last_call(name: str) -> None:
    assert shown(PROGRAMS[name], held=True) == shown(PROGRAMS[name], held=False)


def two_ways(first: Any, then: Any) -> ScopedModule:
    """A module that does what it is told, built by both ways, whose last call went the first one."""
    model = ScopedModule(lambda way: way())
    with model.building():
        model(first), model(then)
    model(first), model(first)
    return model


def got(*names: str) -> list[str]:
    for name in names:
        get_variable(name, [1])
    return list(names)


def test_a_path_that_the_last_call_got_later_may_be_got_first_and_then_no_second_time() -> None:
    def wrong() -> None:
        got("b", "a", "b")

    model = two_ways(lambda: got("a", "b"), lambda: got("b", "a"))
    assert model(lambda: got("b", "a")) == ["b", "a"]
    model(lambda: got("a", "b"))
    with pytest.raises(VariableExistsError, match="'b' was already got"):
        model(wrong)


def test_after_a_call_that_failed_midway_the_next_is_held_against_the_last_that_did_not() -> None:
    def fails() -> None:
        got("b")
        raise KeyError

    model = two_ways(lambda: got("a", "b"), lambda: got("b"))
    with pytest.raises(KeyError):
        model(fails)
    with pytest.raises(VariableExistsError, match="'a' was already got"):
        model(lambda: got("a", "a"))
    assert model(lambda: got("a", "b")) == ["a", "b"]


def test_a_shorter_call_leaves_the_rest_out_and_a_longer_one_goes_on() -> None:
    model = two_ways(lambda: got("a", "b"), lambda: got("a", "b", "c"))
    assert model(lambda: got("a")) == ["a"]
    for _ in range(2):
        assert model(lambda: got("a", "b", "c")) == ["a", "b", "c"]
        with pytest.raises(VariableExistsError, match="'c' was already got"):
            model(lambda: got("a", "b", "c", "c"))


OPENS: dict[str, dict[str, Any]] = {
    "a": {"name_or_scope": "a"},
    "a, with an option": {"name_or_scope": "a", "dtype": torch.float32},
    "default a": {"name_or_scope": None, "default_name": "a"},
    "default b": {"name_or_scope": None, "default_name": "b"},
    "default a without a name scope": {"name_or_scope": None, "default_name": "a", "auxiliary_name_scope": False},
}


def open_in_turn(ways: tuple[str, ...]) -> list[tuple[str, str]]:
    """The names of two scopes with a variable in each."""
    names = []
    with variable_scope("", reuse=AUTO_REUSE):
        for way in ways:
            with variable_scope(**OPENS[way]) as scope:
                get_variable("w", [1])
                names.append((scope.name, scope.original_name_scope))
    return names


def test_scopes_of_one_path_that_are_entered_in_other_ways_than_in_the_last_call_are_not_taken_for_those() -> None:
    orders = list(product(OPENS, repeat=2))
    model = ScopedModule(open_in_turn)
    with model.building():
        for order in orders:
            model(order)
    for last, order in product(orders, repeat=2):
        model(last)
        assert model(order) == ScopedModule(open_in_turn)(order), f"{order} after {last}"


def test_a_module_that_calls_itself_and_threads_each_hold_their_own_call_against_the_last() -> None:
    def recursive(x: torch.Tensor, depth: int) -> torch.Tensor:
        x = x * get_variable("before", [1])
        if depth:
            with variable_scope("inside"):
                x = model(x, depth - 1)
        return x * get_variable("after", [1])

    model = ScopedModule(recursive, seed=0).build(torch.ones(1), 0)
    before, after = model.variables["before"], model.variables["after"]
    for depth in (0, 2, 1, 2, 2):
        expected = (before * after) ** (depth + 1)
        assert torch.allclose(model(torch.ones(1), depth), expected)


def test_names_of_operations_are_told_of_a_call_that_was_held_against_another() -> None:
    def forward(late: bool) -> tuple[str, str]:
        for _ in range(2):
            with variable_scope("a") as scope:
                x = torch.ones(1) + 1
        with variable_scope("b"):
            get_variable("v", [1])
        return op_name(x), scope.original_name_scope if late else ""

    model = ScopedModule(forward)
    with name_ops():
        assert [model(True) for _ in range(3)] == [("a_1/add", "a_1/")] * 3


def test_a_scope_that_is_kept_tells_its_name_scope_after_later_calls() -> None:
    kept = []

    def forward(names: str) -> None:
        for name in names:
            with variable_scope(name) as scope:
                get_variable("v", [1])
            kept.append(scope)
        kept.append(get_variable_scope())

    model = ScopedModule(forward)
    with model.building():
        model("ab"), model("aba"[:2])
    model("ab"), model("ba"), model("ab")
    assert [scope.original_name_scope for scope in kept] == ["a/", "b/", ""] * 3 + ["b/", "a/", ""] + ["a/", "b/", ""]


def test_a_default_name_after_other_events_is_another_one() -> None:
    def forward(first: str, second: str) -> list[str]:
        names = []
        for name in (first, second):
            with variable_scope(name or None, None if name else "conv") as scope:
                get_variable("v", [1])
                names.append(scope.name)
        return names

    model = ScopedModule(forward)
    with model.building():
        model("", ""), model("conv", "")
    for _ in range(3):
        assert model("", "") == ["conv", "conv_1"]
    assert model("conv", "") == ["conv", "conv_1"]
    assert model("", "") == ["conv", "conv_1"]
    with name_ops():
        assert model("", "") == ["conv", "conv_1"]


def test_a_manager_that_is_entered_again_opens_its_name_again_also_where_the_last_call_did_the_same() -> None:
    def forward() -> list[str]:
        manager, names = variable_scope(None, "conv"), []
        for _ in range(3):
            with variable_scope(None, "outer"), manager as scope:
                get_variable("v", [1])
                names.append(scope.name)
        return names

    model = ScopedModule(forward)
    assert [model() for _ in range(4)] == [["outer/conv", "outer_1/conv", "outer_2/conv"]] * 4


def test_without_any_name_the_error_says_so_also_where_the_last_call_gave_a_default_name() -> None:
    def forward(default_name: str | None) -> None:
        with variable_scope(None, default_name):
            get_variable("v", [1])

    model = ScopedModule(forward).build("conv")
    model("conv"), model("conv")
    with pytest.raises(ArgumentTypeError, match="Give a name, a VariableScope or a default_name"):
        model(None)


def by_its_name() -> None:
    with variable_scope("layer"):
        pass


def with_options() -> None:
    with variable_scope("layer", reuse=AUTO_REUSE):
        get_variable("w", [2])


def by_two_names() -> None:
    with variable_scope("layer/inside", reuse=AUTO_REUSE):
        get_variable("w", [2])


@pytest.mark.no_cover
@pytest.mark.parametrize("once", [by_its_name, with_options, by_two_names], ids=lambda once: once.__name__)
def test_a_long_loop_keeps_one_reference_for_each_scope_that_it_opens(once: Any) -> None:
    with ScopedModule(once).as_default():

        def loop(count: int) -> None:
            for _ in range(count):
                once()

        loop(1000)
        gc.collect()
        tracemalloc.start()
        try:
            loop(20_000)
            gc.collect()
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert kept / 20_000 < 16


@pytest.mark.parametrize(
    ("events", "variables", "kept"),
    [(65_536, 3, True), (65_537, 3, False), (80_000, 20_000, True), (80_001, 20_000, False)],
)
def test_of_a_call_that_is_far_longer_than_its_module_nothing_is_kept(events: int, variables: int, kept: bool) -> None:
    history = History()
    history.events, history.at, history.got = ["w"] * (events - 1) + [None], events - 1, {"w": True}
    plan = history.as_plan(variables)
    assert (plan is not None) == kept


class Keeps(ScopedModule):
    """Opens the scope of the call before, and keeps its own, which it enters by a name or as an object."""

    def __init__(self, *, as_object: bool) -> None:
        super().__init__()
        self.as_object = as_object
        self.last: VariableScope | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        opens = self.last if self.as_object and self.last else "a"
        with variable_scope(opens) as scope:
            x = x * get_variable("w", [2])
        if self.last is not None:
            with variable_scope(self.last, reuse=True):
                get_variable("w")
        self.last = scope
        self.add_to_collection("activations", x)
        return x


@pytest.mark.parametrize("as_object", [True, False])
def test_scopes_that_are_kept_from_call_to_call_keep_one_call_and_no_chain_of_them(as_object: bool) -> None:
    model = Keeps(as_object=as_object).build(torch.ones(2))
    made = [weakref.ref(model(torch.ones(2))) for _ in range(20)]
    gc.collect()
    assert sum(each() is not None for each in made) <= 2
    assert model.last is not None
    assert model.last.original_name_scope == "a/"


def test_a_module_forgets_forwards_that_it_has_no_more() -> None:
    model, made = ScopedModule(), []

    def adding(big: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda x: x * get_variable("w", [2]) + big

    for _ in range(100):
        big = torch.zeros(2)
        model.forward = adding(big)  # type: ignore[method-assign]
        model(torch.ones(2))
        made.append(weakref.ref(big))
    gc.collect()
    assert sum(each() is not None for each in made) <= 64


def test_an_interrupt_while_the_parts_of_a_variable_are_noted_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(history: History, event: Any) -> None:
        history.events[history.at :] = (event, None)
        history.at += 1
        raise KeyboardInterrupt

    model = ScopedModule(lambda: get_variable("w", [4], partitioner=lambda **kwargs: [2]))
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(History, "note", interrupted)
        model()
    assert not list(model.variables)
    assert model().shape == (4,)
