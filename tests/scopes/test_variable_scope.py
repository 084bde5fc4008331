"""Scopes: what they mean, that they put back what was there, and the algebra of nesting."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from torchscope import (
    AUTO_REUSE,
    ArgumentTypeError,
    ArgumentValueError,
    InvalidNameError,
    NoActiveModuleError,
    ScopedModule,
    ScopeNestingError,
    VariableScope,
    get_variable,
    get_variable_scope,
    ones_initializer,
    scoped,
    variable_scope,
)
from torchscope._scopes.stack import current_scope


def run(function: Callable[[], Any]) -> Any:
    return ScopedModule(function)()


def here() -> tuple[Any, ...]:
    """All that can be seen of the innermost open scope."""
    scope = current_scope()
    return (scope, scope.name, scope.reuse, scope._settings) if scope is not None else (None,)


# What scopes mean


def test_a_string_nests_and_may_hold_slashes() -> None:
    def forward() -> list[str]:
        with variable_scope("a") as a, variable_scope("b/c") as b, variable_scope("d") as d:
            return [a.name, b.name, d.name, get_variable_scope().name]

    assert run(forward) == ["a", "a/b/c", "a/b/c/d", "a/b/c/d"]


def test_a_scope_object_jumps_with_its_own_path_and_settings_and_the_callers_return() -> None:
    def forward() -> None:
        one, two = ones_initializer(), torch.nn.init.zeros_
        with variable_scope("a", initializer=one, reuse=True, dtype=torch.float64) as kept:
            pass
        with variable_scope("x", initializer=two) as x:
            with variable_scope(kept) as again:
                assert again is not kept
                assert (again.name, again.reuse, again.initializer, again.dtype) == ("a", True, one, torch.float64)
                with variable_scope("b") as inner:
                    assert inner.name == "a/b"
            assert get_variable_scope() is x
            assert (x.name, x.reuse, x.initializer, x.dtype) == ("x", False, two, None)
            with variable_scope(kept, initializer=two, reuse=AUTO_REUSE) as changed:
                assert (changed.initializer, changed.reuse, changed.dtype) == (two, AUTO_REUSE, torch.float64)
        with variable_scope("r", reuse=True), variable_scope(x) as back:
            assert back.reuse is False  # a jump does not inherit what is open, as in TensorFlow

    run(forward)


def test_the_root_is_the_empty_name_and_can_be_jumped_to() -> None:
    def forward() -> list[Any]:
        root = get_variable_scope()
        with variable_scope("a"), variable_scope(root, reuse=True) as jumped:
            names = [jumped.name, jumped.reuse]
        with variable_scope("") as empty:
            return [*names, empty.name, empty is root]

    assert run(forward) == ["", True, "", False]


SETTINGS: dict[str, tuple[Any, Any]] = {
    "initializer": (ones_initializer(), torch.nn.init.zeros_),
    "regularizer": (torch.sum, torch.mean),
    "constraint": (torch.abs, torch.sign),
    "custom_getter": (lambda getter, name, *a, **k: getter(name, *a, **k), lambda getter, name, *a, **k: None),
    "dtype": (torch.float64, torch.float16),
    "device": (torch.device("cpu"), torch.device("meta")),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_passes_down_until_overridden_and_a_change_lasts_until_the_scope_closes(name: str) -> None:
    one, two = SETTINGS[name]

    def forward() -> None:
        assert getattr(get_variable_scope(), name) is None
        with variable_scope("a", **{name: one}) as a:
            assert getattr(a, name) == one
            with variable_scope("b") as b:
                assert getattr(b, name) == one
                getattr(a, f"set_{name}")(two)  # b is open already and keeps what it has
                assert getattr(b, name) == one
                getattr(b, f"set_{name}")(None)
                assert getattr(b, name) is None
            assert getattr(a, name) == two
            with variable_scope("b") as b:
                assert getattr(b, name) == two
        assert getattr(get_variable_scope(), name) is None
        with variable_scope("a") as again:
            assert getattr(again, name) is None
        with variable_scope(a) as kept:  # the object keeps what was set on it
            assert getattr(kept, name) == two

    model = ScopedModule(forward)
    model(), model()


@pytest.mark.parametrize("name", sorted(set(SETTINGS) - {"initializer"}))
def test_a_bad_setting_is_refused_where_it_is_given(name: str) -> None:
    with pytest.raises((ArgumentTypeError, ArgumentValueError), match=f"{name}"):
        variable_scope("a", **{name: "nonsense"})  # type: ignore
    with pytest.raises((ArgumentTypeError, ArgumentValueError), match=f"{name}"):
        run(lambda: getattr(get_variable_scope(), f"set_{name}")("nonsense"))


def test_arguments_that_make_no_scope_are_refused() -> None:
    with pytest.raises(ArgumentTypeError, match="name_or_scope cannot be 3, of type int"):
        variable_scope(3).__enter__()  # type: ignore[arg-type]
    with pytest.raises(ArgumentTypeError, match=r"name_or_scope cannot be \['a'\], of type list"):
        run(variable_scope(["a"]).__enter__)  # type: ignore[arg-type]
    with pytest.raises(InvalidNameError, match="'a b'"):
        variable_scope("a b")(print)
    for name in (None, "a"):
        with pytest.raises(ArgumentTypeError, match=r"default_name cannot be 3, of type int.\n.*by their keywords"):
            variable_scope(name, 3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"variable_scope\(\) got an unexpected keyword argument 'resue'"):
        variable_scope("a", resue=True)  # type: ignore[call-arg]
    with pytest.raises(ArgumentValueError, match="reuse=1 is not allowed here"):
        variable_scope("a", reuse=1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="not by hand"):
        VariableScope()


def test_values_are_taken_and_not_used() -> None:
    def forward() -> str:
        with variable_scope(None, "a", [torch.ones(1)]) as scope:
            return scope.name

    assert run(forward) == "a"


def test_a_scope_object_gets_variables_whether_open_or_not() -> None:
    def forward() -> None:
        with variable_scope("a", initializer=torch.nn.init.ones_) as kept:
            w = kept.get_variable("w", [2])
        with variable_scope("b"):
            assert kept.get_variable("v", [1]).tolist() == [1]
            assert kept.trainable_variables() == kept.global_variables() == [w, model.variables["a/v"]]
            assert kept.local_variables() == kept.get_collection("nothing") == []
            assert get_variable_scope().trainable_variables() == []

    model = ScopedModule(forward)
    model(), model()
    assert list(model.variables) == ["a/w", "a/v"]


def test_a_decorator_opens_the_scope_anew_in_each_call() -> None:
    @variable_scope("block", reuse=AUTO_REUSE)
    def block() -> str:
        """Doc."""
        return get_variable_scope().name

    @variable_scope(None, default_name="unique")
    def unique() -> str:
        return get_variable_scope().name

    model = ScopedModule(lambda: [block(), block(), unique(), unique()])
    assert model() == model() == ["block", "block", "unique", "unique_1"]
    assert block.__doc__ == "Doc."


def test_a_decorator_refuses_what_would_run_after_the_scope_is_closed() -> None:
    async def coroutine() -> None: ...

    def generator() -> Iterator[None]:
        yield

    for function in (coroutine, generator):
        with pytest.raises(ArgumentTypeError, match="Its body runs after the scope is closed"):
            variable_scope("a")(function)


def test_one_object_may_be_entered_again_and_again_and_inside_itself() -> None:
    a = variable_scope("a")

    def forward() -> list[str]:
        names = []
        for _ in range(2):
            with a as scope:
                names.append(scope.name)
        with a, variable_scope("b"), a as inner:
            names.append(inner.name)
        return names

    model = ScopedModule(forward)
    assert model() == model() == ["a", "a", "a/b/a"]


def test_a_scope_survives_copy_and_pickle_as_path_and_settings() -> None:
    def forward() -> VariableScope:
        with variable_scope("a", reuse=True, dtype=torch.float64) as scope:
            return scope

    kept = run(forward)
    for copied in (copy.deepcopy(kept), copy.copy(kept), pickle.loads(pickle.dumps(kept))):
        assert (copied.name, copied.reuse, copied.dtype, repr(copied)) == ("a", True, torch.float64, repr(kept))

        def jump(copied: VariableScope = copied) -> str:
            with variable_scope(copied), variable_scope("b") as b:
                return b.name

        assert run(jump) == "a/b"


# Nesting: contexts put back what was there, however they are left


class Entries(ScopedModule):
    """Every way of starting a call, and of going on in one."""

    def forward(self, inside: Callable[[], Any]) -> Any:
        return inside()

    @scoped
    def entry(self, inside: Callable[[], Any]) -> Any:
        return inside()


def as_scope(**options: Any) -> Callable[[], AbstractContextManager[Any]]:
    return lambda: variable_scope("s", **options)


def in_scope_j() -> VariableScope:
    with variable_scope("j") as scope:
        return scope


J = run(in_scope_j)


def as_jump() -> AbstractContextManager[Any]:
    return variable_scope(J)


CONTEXTS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "string": as_scope(),
    "string with settings": as_scope(reuse=True, dtype=torch.float64),
    "default name": lambda: variable_scope(None, "d"),
    "root": lambda: variable_scope(get_variable_scope() if current_scope() else ""),
    "jump": as_jump,
    "as_default": lambda: ScopedModule().as_default(),
    "building": lambda: ScopedModule().building(),
}


class Oops(Exception):
    pass


@pytest.mark.parametrize("name", CONTEXTS)
def test_a_context_puts_back_what_was_there(name: str) -> None:
    def forward() -> None:
        before = here()
        with CONTEXTS[name]():
            pass
        assert here() == before
        with variable_scope("outer"):  # nested
            outer = here()
            with CONTEXTS[name](), ExitStack() as more:
                more.enter_context(CONTEXTS[name]())
            assert here() == outer
        with pytest.raises(Oops):  # after an exception
            with CONTEXTS[name]():
                raise Oops
        assert here() == before

    run(forward)
    assert here() == (None,)


@pytest.mark.parametrize("name", CONTEXTS)
def test_a_context_is_not_seen_by_another_thread_and_works_there(name: str) -> None:
    seen: list[Any] = []

    def elsewhere() -> None:
        seen.append(here())
        with pytest.raises(NoActiveModuleError):
            get_variable_scope()
        test_a_context_puts_back_what_was_there(name)
        seen.append(here())

    def forward() -> None:
        with variable_scope("outer"), CONTEXTS[name]():
            inside = here()
            other = threading.Thread(target=elsewhere)
            other.start()
            other.join()
            assert here() == inside

    run(forward)
    assert seen == [(None,), (None,)]


@pytest.mark.parametrize("entry", ["__call__", "forward", "entry"])
def test_a_call_puts_back_what_was_there(entry: str) -> None:
    def other_call() -> None:
        before = here()
        model = Entries()
        assert getattr(model, entry)(lambda: get_variable_scope().name) == ""
        assert here() == before
        with pytest.raises(Oops):
            getattr(model, entry)(raise_inside_scopes)
        assert here() == before

    def raise_inside_scopes() -> None:
        with variable_scope("a"), variable_scope(None, "b"):
            raise Oops

    other_call()
    with ScopedModule().as_default(), variable_scope("outer"):
        other_call()
    found: list[Exception] = []

    def elsewhere() -> None:
        try:
            other_call()
        except Exception as error:
            found.append(error)

    other = threading.Thread(target=elsewhere)
    other.start()
    other.join()
    assert found == []


def test_a_scope_that_a_generator_holds_open_ends_in_a_nesting_error_not_a_wrong_variable() -> None:
    def generator() -> Iterator[None]:
        with variable_scope("held"):
            yield

    def interleaved() -> None:
        held = generator()
        next(held)
        with variable_scope("a"):
            next(held, None)

    def abandoned() -> Any:
        held.append(generator())
        next(held[0])
        return get_variable("w", [1])

    held: list[Iterator[None]] = []
    for forward in (interleaved, abandoned):
        model = ScopedModule(forward)
        with pytest.raises(ScopeNestingError, match="Cannot leave"):
            model()
        assert list(model.variables) == []
        assert here() == (None,)
    with pytest.raises(ScopeNestingError):
        next(held[0])


# The algebra: random programs of scopes

NAME = st.sampled_from(["a", "b", "c", "a/b"])
REUSE = st.sampled_from([None, False, True, AUTO_REUSE])
STEP = st.one_of(
    st.tuples(st.just("string"), NAME, REUSE),
    st.tuples(st.just("default"), NAME, st.none()),
    st.tuples(st.just("jump"), st.integers(0, 5), REUSE),
    st.tuples(st.just("share"), st.none(), st.none()),
    st.tuples(st.just("get"), NAME, st.none()),
    st.tuples(st.just("raise"), st.none(), st.none()),
    st.tuples(st.just("up"), st.none(), st.none()),
)


def walk(steps: list[tuple[str, Any, Any]], kept: list[VariableScope], log: list[Any]) -> None:
    """Run a program and check every promise of nesting on the way."""
    while steps:
        kind, what, reuse = steps.pop(0)
        outer = get_variable_scope()
        if kind == "up":
            return
        if kind == "raise":
            raise Oops
        if kind == "share":
            outer.reuse_variables()
            assert outer.reuse is True
        elif kind == "get":
            with variable_scope(outer, reuse=AUTO_REUSE):
                log.append(get_variable(what, [1]))
        else:
            if kind == "jump" and not kept:
                continue
            opened = kept[what % len(kept)] if kind == "jump" else what if kind == "string" else None
            before = here()
            try:
                with variable_scope(opened, what if kind == "default" else None, reuse=reuse) as scope:
                    kept.append(scope)
                    log.append((scope.name, scope.reuse))
                    if isinstance(opened, VariableScope):
                        assert scope.name == opened.name
                        assert scope.reuse == (reuse or opened.reuse)
                    else:
                        assert scope.name.startswith(f"{outer.name}/{what}".lstrip("/"))
                        assert scope.reuse == (reuse or outer.reuse)
                        assert not outer.reuse or scope.reuse
                    walk(steps, kept, log)
            except Oops:
                log.append("caught")
            assert here() == before


@given(st.lists(STEP, max_size=25))
def test_programs_of_scopes_nest_restore_and_repeat(program: list[tuple[str, Any, Any]]) -> None:
    logs: list[list[Any]] = []

    def forward() -> None:
        log: list[Any] = []
        logs.append(log)
        try:
            walk(list(program), [], log)
        except Oops:
            log.append("out")

    model = ScopedModule(forward)
    model(), model(), model()
    assert here() == (None,)
    first, *others = logs
    for other in others:  # the same names, the same flags, the same objects
        assert len(other) == len(first)
        assert all(a is b if isinstance(a, torch.Tensor) else a == b for a, b in zip(first, other, strict=True))


def test_a_scope_that_is_kept_and_opened_again_in_each_call_keeps_its_name_scope_and_no_chain() -> None:
    class Model(ScopedModule):
        scope: Any = None

        def forward(self) -> Any:
            with variable_scope("b"), variable_scope(self.scope or "a", reuse=True) as self.scope:
                return self.scope.original_name_scope

    model = Model()
    with model.building():
        names = {model() for _ in range(3000)}
    assert names == {"b/a/"}
    gc.collect()
    kept = [each for each in gc.get_objects() if issubclass(type(each), VariableScope) and each.name == "b/a"]
    assert len(kept) < 4


def test_the_partitioner_of_a_scope_is_minded_where_the_variable_exists_in_one_piece() -> None:
    def forward(partitioner: Any) -> torch.Tensor:
        get_variable("w", [4])
        with variable_scope("", partitioner=partitioner, reuse=True):
            return get_variable("w", [4])

    model = ScopedModule(forward)
    with model.building():
        model(None)
    assert model(None) is model.variables["w"]
    for _ in range(2):
        with pytest.raises(ArgumentValueError, match="'w' exists in one piece"):
            model(lambda shape, dtype: [2])


def test_after_the_call_was_left_in_another_thread_no_module_is_running() -> None:
    model = ScopedModule(lambda: get_variable("a/w", [2])).build()
    block = model.as_default()
    block.__enter__()
    elsewhere = threading.Thread(target=block.__exit__, args=(KeyError, KeyError(), None))
    elsewhere.start()
    elsewhere.join()
    with pytest.raises(NoActiveModuleError, match=r"variable_scope\(None, default_name\)"):
        variable_scope(None, "a").__enter__()
    with pytest.raises(NoActiveModuleError, match=r"get_variable\(\)"):
        get_variable("a/w")


@pytest.mark.parametrize("error", [None, KeyError()], ids=["as usual", "after an exception"])
@pytest.mark.parametrize("by", ["name", "default name", "object"])
def test_what_was_never_entered_cannot_be_left(by: str, error: Exception | None) -> None:
    with variable_scope("never/ever") as scope:
        pass
    manager = {
        "name": variable_scope("never/ever"),
        "default name": variable_scope(None, "never/ever"),
        "object": variable_scope(scope),
    }[by]

    def forward() -> None:
        with variable_scope("a"):
            manager.__exit__(error and type(error), error, None)

    for leave in (forward, lambda: manager.__exit__(error and type(error), error, None)):
        with pytest.raises(ScopeNestingError, match="Cannot leave scope 'never/ever'"):
            ScopedModule(leave)()


@pytest.mark.parametrize("how", ["by a name", "by an object"])
def test_an_exception_leaves_also_what_was_left_open_inside(how: str) -> None:
    """As where an interrupt comes while a scope is being left."""

    def forward() -> list[str]:
        with variable_scope("outer") as outer:
            with pytest.raises(KeyboardInterrupt), variable_scope("a" if how == "by a name" else outer):
                variable_scope("b").__enter__()
                variable_scope(outer).__enter__()
                variable_scope("c", dtype=torch.float64).__enter__()
                raise KeyboardInterrupt
            names = [get_variable_scope().name]
            for default_name in ("a", "b", "c"):
                with variable_scope(None, default_name) as scope:
                    names.append(scope.name)
            return names

    first = "outer/a_1" if how == "by a name" else "outer/a"
    assert ScopedModule(forward)() == ["outer", first, "outer/b", "outer/c"]


def test_the_root_is_opened_at_the_root_alone() -> None:
    def forward() -> None:
        with variable_scope("outer/inner"), variable_scope(""):
            pass

    with pytest.raises(InvalidNameError, match="can be opened so only at the root, not inside 'outer/inner'"):
        ScopedModule(forward)()


@pytest.mark.parametrize("options", [{}, {"dtype": torch.float64}], ids=["plain", "with an option"])
def test_one_manager_may_be_entered_while_it_is_open(options: dict[str, Any]) -> None:
    def forward() -> list[str]:
        manager, names = variable_scope("a", **options), []
        with manager:
            with manager as inner:
                get_variable("w", [1])
                with manager:
                    names.append(get_variable_scope().name)
                names.append(get_variable_scope().name)
                assert get_variable_scope() is inner
            names.append(get_variable_scope().name)
        with manager:
            names.append(get_variable_scope().name)
        return [*names, get_variable_scope().name]

    model = ScopedModule(forward)
    for _ in range(3):
        assert model() == ["a/a/a", "a/a", "a", "a", ""]
