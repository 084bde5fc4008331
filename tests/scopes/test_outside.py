"""Scopes that are opened while no module is running, as constructors do: a path and settings for a call later."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from torchscope import (
    AUTO_REUSE,
    ArgumentValueError,
    NoActiveModuleError,
    ScopedModule,
    ScopeNestingError,
    VariableNotFoundError,
    VariableScope,
    get_variable,
    get_variable_scope,
    ones_initializer,
    scoped,
    variable_scope,
)
from torchscope._scopes.stack import thread
from torchscope.tools import capture


@pytest.fixture(autouse=True)
def nothing_stays_open() -> Iterator[None]:
    yield
    assert thread.stack.outside is None


class Encoder:
    """As such classes are written: the scope is made with the object, the variables where they are used."""

    def __init__(self, name: str) -> None:
        with variable_scope(name, initializer=ones_initializer()) as self.scope, variable_scope("inner") as self.inner:
            pass

    def __call__(self, x: Tensor) -> Tensor:
        with variable_scope(self.scope, reuse=AUTO_REUSE):
            x = x * get_variable("scale", [2])
        with variable_scope(self.inner, reuse=AUTO_REUSE):
            return x + get_variable("offset", [2])


def test_a_scope_of_a_constructor_names_variables_in_a_call_and_hands_its_settings_down() -> None:
    first, second = Encoder("first"), Encoder("deep/second")

    def forward(x: Tensor) -> Tensor:
        with variable_scope("elsewhere"):
            return first(first(x)) + second(x)

    model = ScopedModule(forward)
    x = torch.tensor([1.0, 2.0])
    assert torch.equal(model(x), (x + 1) + 1 + (x + 1))
    assert list(model.variables) == [
        "first/scale",
        "first/inner/offset",
        "deep/second/scale",
        "deep/second/inner/offset",
    ]
    assert torch.equal(torch.compile(model, backend="eager", fullgraph=True)(x), model(x))


def test_it_knows_its_path_its_settings_and_what_is_open() -> None:
    with variable_scope("a", dtype=torch.float64) as outer:
        assert get_variable_scope() is outer
        with variable_scope("b/c", reuse=True) as inner:
            assert get_variable_scope() is inner
            with variable_scope(outer) as again:
                assert (again.name, again.reuse, again.dtype) == ("a", False, torch.float64)
        assert (inner.name, inner.original_name_scope, inner.reuse, inner.dtype) == (
            "a/b/c",
            "a/b/c/",
            True,
            torch.float64,
        )
        assert get_variable_scope() is outer
        outer.reuse_variables()
    with pytest.raises(NoActiveModuleError):
        get_variable_scope()

    def forward() -> Tensor:
        with variable_scope(outer):
            return get_variable("w", [2])

    with pytest.raises(VariableNotFoundError, match="a/w"):
        ScopedModule(forward)()


def test_one_manager_serves_outside_and_in_calls() -> None:
    manager = variable_scope("m")
    with manager as first, manager as second:
        assert (first.name, second.name) == ("m", "m/m")

    def forward() -> str:
        with manager as scope:
            get_variable("w", [2])
            return scope.name

    model = ScopedModule(forward)
    assert [model(), model()] == ["m", "m"]
    with manager as third:
        assert third.name == "m"


def test_what_needs_a_module_says_that_the_scope_was_opened_outside() -> None:
    with variable_scope("a"):
        with pytest.raises(NoActiveModuleError, match=r"The scope 'a' was opened outside of any call"):
            get_variable("w", [2])
        with pytest.raises(NoActiveModuleError, match="default_name"), variable_scope(None, "conv"):
            pass


class Model(ScopedModule):
    def forward(self) -> Tensor:
        return get_variable("w", [2])

    @scoped
    def encode(self) -> Tensor:
        return get_variable("w", [2])


@pytest.mark.parametrize("built", [False, True])
@pytest.mark.parametrize("way", ["forward", "scoped", "as_default"])
def test_a_call_that_would_not_see_it_is_refused_and_leaves_the_module_as_it_was(way: str, built: bool) -> None:
    model = Model()
    if built:
        model()
    with variable_scope("a"):
        with pytest.raises(ScopeNestingError, match=r"scope 'a' was opened outside of any call and is still open"):
            if way == "as_default":
                with model.as_default():
                    pass
            elif way == "scoped":
                model.encode()
            else:
                model()
        assert get_variable_scope().name == "a"
    assert model.built is built
    assert model().shape == (2,)


def test_it_is_left_after_an_exception_and_seen_by_no_other_thread() -> None:
    seen: list[object] = []

    def look() -> None:
        try:
            seen.append(get_variable_scope())
        except NoActiveModuleError as error:
            seen.append(error)

    with pytest.raises(KeyboardInterrupt), variable_scope("a"), variable_scope("b"):
        other = threading.Thread(target=look)
        other.start()
        other.join()
        raise KeyboardInterrupt
    assert isinstance(seen[0], NoActiveModuleError)


def test_scopes_left_out_of_order_are_refused() -> None:
    outer, inner = variable_scope("a"), variable_scope("b")
    outer.__enter__()
    inner.__enter__()
    with pytest.raises(ScopeNestingError, match="innermost open scope is 'a/b'"):
        outer.__exit__(None, None, None)
    inner.__exit__(None, None, None)
    outer.__exit__(None, None, None)


def test_a_setting_that_a_scope_takes_from_a_constructor_may_be_a_getter() -> None:
    def doubled(getter, name, *args, **kwargs):  # type: ignore[no-untyped-def]
        return 2 * getter(name, *args, **kwargs)

    def made() -> VariableScope:
        with variable_scope("a", custom_getter=doubled), variable_scope("b", initializer=ones_initializer()) as scope:
            return scope

    scope = made()

    def forward() -> Tensor:
        with variable_scope(scope):
            return get_variable("w", [2])

    assert ScopedModule(forward)().tolist() == [2.0, 2.0]


def test_a_capture_that_ends_does_not_hide_a_scope_that_was_opened_outside() -> None:
    model = ScopedModule(lambda: get_variable("w", [2])).build()
    with variable_scope("kept"):
        with pytest.raises(ArgumentValueError, match="selects none"), capture("**"):
            pass
        with pytest.raises(ScopeNestingError, match="kept"):
            model()


def test_a_block_that_ends_before_one_inside_it_leaves_neither_running() -> None:
    outer, inner = (ScopedModule(lambda: get_variable("w", [2])) for _ in range(2))
    with pytest.raises(ScopeNestingError), outer.as_default():
        inner.as_default().__enter__()
    with pytest.raises(NoActiveModuleError):
        get_variable("w", [2])
    with pytest.raises(NoActiveModuleError):
        get_variable_scope()
