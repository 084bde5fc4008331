"""The ways into a module: a forward that is put in its place later, tasks that share a thread."""

from __future__ import annotations

import asyncio
import copy
import functools
import gc
import re
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from torchscope import (
    AUTO_REUSE,
    NotBuiltError,
    ScopedModule,
    ScopeNestingError,
    VariableKindError,
    VariableNotFoundError,
    get_buffer,
    get_module,
    get_variable,
    get_variable_scope,
    scoped,
    variable_scope,
)

X = torch.ones(2)


@pytest.fixture(autouse=True)
def x_on_the_device(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "X", X.to(device))


class Model(ScopedModule):
    def forward(self, x: Tensor) -> Tensor:
        return x * get_variable("old", [2])


def forward_of(model: Model, x: Tensor) -> Tensor:
    return x * get_variable("new", [2])


class Mixin:
    def forward(self, x: Tensor) -> Tensor:
        return x * get_variable("old", [2])


PATCHES: dict[str, Callable[[Any], object]] = {
    "a bound method": lambda m: setattr(m, "forward", types.MethodType(forward_of, m)),
    "a partial": lambda m: setattr(m, "forward", functools.partial(forward_of, m)),
    "a function": lambda m: setattr(m, "forward", lambda x: forward_of(m, x)),
    "a compiled function": lambda m: setattr(
        m, "forward", torch.compile(functools.partial(forward_of, m), backend="eager")
    ),
}


class Parent(ScopedModule):
    def __init__(self, child: ScopedModule) -> None:
        super().__init__()
        self.child = child

    def forward(self, x: Tensor) -> Tensor:
        return self.child(x) + get_variable("own", [2])


@pytest.mark.parametrize("patch", PATCHES)
def test_a_forward_that_is_set_on_a_module_starts_a_call(patch: str) -> None:
    model = Model(seed=0).build(X)
    with model.building():
        get = PATCHES["a bound method" if "compiled" in patch else patch]
        get(model)
        model(X)
    PATCHES[patch](model)
    assert list(model.variables) == ["old", "new"]
    parent = Parent(model).build(X)
    assert list(parent.variables) == ["own"]  # the child's variables are the child's
    torch.testing.assert_close(parent(X) - parent.variables["own"], X * model.variables["new"])


def test_a_forward_that_is_set_and_calls_the_old_one_goes_on_in_its_call() -> None:
    model = Model()
    old = model.forward

    def wrapped(x: Tensor) -> Tensor:
        with variable_scope("inside"):
            return old(x) + get_variable("new", [2])

    model.forward = wrapped  # type: ignore[method-assign]
    model.build(X)
    assert list(model.variables) == ["inside/old", "inside/new"]


def test_a_copy_of_a_module_with_a_forward_of_its_own_runs_on_its_own_variables() -> None:
    model = Model(seed=0)
    PATCHES["a bound method"](model)
    other = copy.deepcopy(model.build(X))
    with torch.no_grad():
        other.variables["new"].zero_()
    assert other(X).tolist() == [0, 0]
    assert model(X).tolist() != [0, 0]


@pytest.mark.parametrize("when", ["before it is made", "before it is built", "below a parent"])
def test_a_forward_that_is_set_on_the_class_starts_a_call(when: str) -> None:
    class Patched(Model):
        def forward(self, x: Tensor) -> Tensor:
            return x * get_variable("old", [2])

    model = None if when == "before it is made" else Patched()
    Patched.forward = forward_of  # type: ignore[assignment]
    model = model or Patched()
    root = Parent(model) if when == "below a parent" else model
    root.build(X)
    assert list(model.variables) == ["new"]


def test_a_forward_of_a_mixin_is_looked_up_when_it_is_called() -> None:
    class Kind(Mixin):
        pass

    class Mixed(Kind, ScopedModule):
        pass

    model = Mixed()
    Kind.forward = forward_of  # type: ignore[assignment]
    assert list(model.build(X).variables) == ["new"]


def test_attributes_can_be_set_in_a_compiled_forward() -> None:
    class Keeps(ScopedModule):
        def forward(self, x: Tensor) -> Tensor:
            self.last = x * get_variable("w", [2])
            return self.last

    model = Keeps().build(X)
    found = torch.compile(model, backend="eager", fullgraph=True)(X)
    assert model.last is found


@pytest.mark.parametrize("through", ["itself", "a parent"])
def test_sharing_the_memory_of_a_module_that_has_none_yet_is_an_error(through: str) -> None:
    model = Model()
    shared: nn.Module = model if through == "itself" else nn.Sequential(model)
    with torch.device("cpu"):
        with pytest.raises(NotBuiltError, match="share_memory.. would share nothing"):
            shared.share_memory()
        model.build(torch.ones(2))
        shared.share_memory()
    assert model.variables["old"].is_shared()


# Tasks ---------------------------------------------------------------------------------------------------------------


def in_tasks(*works: Callable[[Callable[[], Any]], Any]) -> list[BaseException | None]:
    """Run coroutine functions as tasks of one thread; each is given a coroutine function that lets the others run."""

    async def pause() -> None:
        await asyncio.sleep(0)

    async def run() -> list[Any]:
        return await asyncio.gather(*(work(pause) for work in works), return_exceptions=True)

    return asyncio.run(run())


@pytest.mark.parametrize(
    "what", ["get_variable", "a scope", "get_module", "as_default", "the scope", "a method of the same module"]
)
def test_a_task_does_not_get_the_variables_of_another_that_awaits_in_as_default(what: str) -> None:
    class Coder(ScopedModule):
        @scoped
        def encode(self) -> Tensor:
            return get_variable("w", [2])

    model, other = Coder(), ScopedModule()

    async def holds(pause: Callable[[], Any]) -> None:
        with model.as_default():
            get_variable("mine", [2])
            await pause()
            get_variable("mine_too", [2])

    async def finds(pause: Callable[[], Any]) -> None:
        if what == "get_variable":
            get_variable("yours", [2])
        elif what == "a scope":
            with variable_scope("yours"):
                pass
        elif what == "get_module":
            get_module("yours", nn.Linear, 1, 1)
        elif what == "as_default":
            with other.as_default():
                pass
        elif what == "the scope":
            get_variable_scope()
        else:
            model.encode()

    first, second = in_tasks(holds, finds)
    assert first is None
    assert isinstance(second, ScopeNestingError)
    assert re.search(r"'Task-\d+', is open across an await, and was found by the task 'Task-\d+'", str(second))
    assert list(model.variables) == ["mine", "mine_too"]


def test_other_modules_run_while_a_task_awaits_in_as_default() -> None:
    model, other = ScopedModule(), ScopedModule(lambda: get_variable("w", [2]))

    async def holds(pause: Callable[[], Any]) -> None:
        with model.as_default(), variable_scope("a"):
            get_variable("mine", [2])
            await pause()
            get_variable("mine_too", [2])

    async def runs(pause: Callable[[], Any]) -> None:
        other()

    assert in_tasks(holds, runs) == [None, None]
    assert (list(model.variables), list(other.variables)) == (["a/mine", "a/mine_too"], ["w"])


# What is told -------------------------------------------------------------------------------------------------------


def test_the_advice_on_sharing_what_a_default_name_made_works() -> None:
    def dense(x: Tensor) -> Tensor:
        with variable_scope(None, default_name="dense"):
            return x * get_variable("w", [2])

    def wrong(x: Tensor) -> Tensor:
        with variable_scope("tower") as scope:
            x = dense(x)
            scope.reuse_variables()
            return dense(x)

    with pytest.raises(VariableNotFoundError, match="variable_scope.scope, reuse=True.:. default names begin anew"):
        ScopedModule(wrong)(X)

    def right(x: Tensor) -> Tensor:
        with variable_scope("tower") as scope:
            x = dense(x)
        with variable_scope(scope, reuse=True):
            return dense(x)

    assert list(ScopedModule(right).build(X).variables) == ["tower/dense/w"]

    def plain(x: Tensor) -> Tensor:
        with variable_scope("tower", reuse=True):
            return x * get_variable("w", [2])

    with pytest.raises(VariableNotFoundError, match="or open the scope with reuse=AUTO_REUSE"):
        ScopedModule(plain)(X)
    assert AUTO_REUSE


FORGOTTEN: dict[str, Callable[[Tensor], Tensor]] = {
    "a layer": lambda x: nn.Linear(2, 2)(x),
    "in a sequence": lambda x: nn.Sequential(nn.Linear(2, 2), nn.ReLU())(x),
}
KEPT: dict[str, Callable[[Tensor], Any]] = {
    "without weights": lambda x: nn.Sequential(nn.ReLU(), nn.Dropout(0.1))(x),
    "by get_module": lambda x: get_module("dense", nn.Linear, 2, 2)(x),
    "by the caller": lambda x: (layer := nn.Linear(2, 2), layer(x)),
    "never run": lambda x: x + nn.Linear(2, 2).bias,
    "a ScopedModule": lambda x: x,
}


@pytest.mark.parametrize("case", FORGOTTEN)
def test_a_layer_that_a_forward_makes_runs_and_forgets_is_told_while_building(case: str) -> None:
    model = ScopedModule(FORGOTTEN[case])
    with pytest.warns(UserWarning, match=r"was made and run inside a call of .* get_module\('name', nn") as told:
        model(X)
    assert len(told) == 1
    assert told[0].filename == __file__
    model(X)  # built: nothing watches


@pytest.mark.parametrize("case", KEPT)
def test_a_layer_that_is_kept_or_has_no_weights_is_not_told(case: str) -> None:
    ScopedModule(KEPT[case])(X)


@pytest.mark.parametrize("fails", [False, True])
def test_what_watches_a_building_call_is_gone_after_it(fails: bool) -> None:
    hooks = torch.nn.modules.module
    found: list[int] = []

    def forward(x: Tensor) -> Tensor:
        found.append(len(hooks._global_forward_pre_hooks))
        if fails:
            raise RuntimeError
        return x

    with pytest.raises(RuntimeError) if fails else torch.no_grad():
        ScopedModule(forward)(X)
    gc.collect()
    assert found == [1]
    assert not hooks._global_forward_pre_hooks
    assert not hooks._global_parameter_registration_hooks
    assert not hooks._global_module_registration_hooks


def layer(x: Tensor) -> Tensor:
    with variable_scope(None, default_name="dense"):
        return x * get_variable("w", [2])


class TwoEntries(ScopedModule):
    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))

    @scoped
    def encode(self, x: Tensor) -> Tensor:
        with variable_scope("shared"):
            bias = get_variable("b", [2])
        return layer(x) + bias

    @scoped
    def decode(self, x: Tensor) -> Tensor:
        with variable_scope("shared", reuse=AUTO_REUSE):
            bias = get_variable("b", [2])
        return layer(x) - bias


@pytest.mark.parametrize("building", [False, True])
def test_a_default_name_that_two_entry_points_share_by_accident_is_told_once(building: bool) -> None:
    model = TwoEntries()
    with model.building() if building else torch.no_grad():
        model.encode(X)
        with pytest.warns(
            UserWarning, match=r"'dense/w' of TwoEntries was made at .*:\d+, called from .*:\d+\. A def"
        ) as told:
            model.decode(X)
    assert len(told) == 1
    model.decode(X), model.encode(X)


def test_an_entry_point_that_gets_what_its_call_inside_the_forward_made_is_not_told() -> None:
    model = TwoEntries().build(X)
    assert list(model.variables) == ["shared/b", "dense/w", "dense_1/w"]
    model.encode(X)
    with pytest.warns(UserWarning, match="'dense/w'"):  # inside the forward it was dense_1
        model.decode(X)


def test_a_layer_of_get_module_that_two_entry_points_share_by_accident_is_told_too() -> None:
    def layer(x: Tensor) -> Tensor:
        with variable_scope(None, default_name="dense"):
            return get_module("linear", nn.Linear, 2, 2)(x)

    class Coder(ScopedModule):
        @scoped
        def encode(self, x: Tensor) -> Tensor:
            return layer(x)

        @scoped
        def decode(self, x: Tensor) -> Tensor:
            return layer(x)

    model = Coder()
    model.encode(X)
    with pytest.warns(UserWarning, match="'dense/linear' of Coder was made at"):
        model.decode(X)


def test_a_scoped_module_that_a_forward_makes_and_forgets_is_told() -> None:
    with pytest.warns(UserWarning, match="ScopedModule was made and run inside a call"):
        ScopedModule(lambda x: ScopedModule(lambda x: x * get_variable("w", [2]))(x))(X)


def test_a_buffer_where_a_parameter_was_got_is_another_kind_and_not_a_second_get() -> None:
    def forward() -> None:
        get_variable("w", [1])
        get_buffer("w", [1])

    with pytest.raises(VariableKindError, match="asked for a buffer, found a parameter"):
        ScopedModule(forward)()


# Forwards that are wrapped --------------------------------------------------------------------------------------------


def wrapped(old: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    @functools.wraps(old)
    def new(x: Tensor) -> Tensor:
        with variable_scope("lora", reuse=AUTO_REUSE):
            return old(x) + x * get_variable("a", [2])

    return new


@pytest.mark.parametrize("alone", [False, True])
def test_a_forward_that_wraps_the_old_one_has_its_attributes_and_starts_a_call_all_the_same(alone: bool) -> None:
    model = Model(seed=0)
    model.forward = wrapped(model.forward)  # type: ignore[method-assign, assignment]
    (model if alone else Parent(model)).build(X)
    assert list(model.variables) == ["lora/old", "lora/a"]


class Recursive(ScopedModule):
    def forward(self, depth: int) -> Tensor:
        with variable_scope(None, default_name="d"):
            w = get_variable("w", [1])
        return w if not depth else w + self(depth - 1)


def wrapped_as_accelerate_does() -> ScopedModule:
    model = Recursive()
    function = functools.update_wrapper(functools.partial(Recursive.forward, model), model.forward)
    model.forward = function  # type: ignore[method-assign]
    return model


def wrapped_on_the_class() -> ScopedModule:
    class Quiet(Recursive):
        forward = torch.no_grad()(Recursive.forward)

    return Quiet()


@pytest.mark.parametrize("make", [Recursive, wrapped_as_accelerate_does, wrapped_on_the_class])
def test_a_module_that_calls_itself_starts_a_call_of_its_own_also_if_its_forward_is_wrapped(
    make: Callable[[], ScopedModule],
) -> None:
    assert list(make().build(2).variables) == ["d/w"]


class CallsIt:
    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __call__(self, x: Tensor) -> Tensor:
        return self.model.linear(x)  # type: ignore[operator]


@pytest.mark.parametrize("kind", ["partial", "object"])
def test_a_copy_runs_what_its_own_forward_is_bound_to(kind: str) -> None:
    model = ScopedModule()
    model.linear = nn.Linear(2, 2)
    model.forward = functools.partial(CallsIt.__call__, CallsIt(model)) if kind == "partial" else CallsIt(model)  # type: ignore[method-assign]
    other = copy.deepcopy(model)
    theirs, ours = other.get_submodule("linear"), model.get_submodule("linear")
    for parameter in theirs.parameters():
        nn.init.zeros_(parameter)
    assert other(X).tolist() == [0, 0]
    other(X).sum().backward()
    assert all(parameter.grad is None for parameter in ours.parameters())


def test_a_compiled_forward_that_is_put_in_place_is_compiled_once() -> None:
    model = Model().build(X)
    expected = model(X)
    torch._dynamo.reset()
    model.forward = torch.compile(model.forward, backend="eager", fullgraph=True)  # type: ignore[method-assign]
    with torch._dynamo.config.patch(error_on_recompile=True):
        for _ in range(3):
            torch.testing.assert_close(model(X), expected)


# Warnings as errors, and what is no forgotten layer -------------------------------------------------------------------


@pytest.mark.filterwarnings("error")
def test_where_warnings_are_errors_a_forgotten_layer_leaves_the_module_unbuilt() -> None:
    model = ScopedModule(lambda x: nn.Linear(2, 2)(x) * get_variable("q", [2]))
    with pytest.raises(UserWarning, match="nothing kept it"):
        model.build(X)
    assert not model.built
    assert not model.specs


class Probes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.size = nn.Linear(2, 3)(torch.ones(2)).shape[0]

    def forward(self, x: Tensor) -> Tensor:
        return x


def with_a_variable_in_its_place(x: Tensor) -> Tensor:
    layer = nn.Linear(2, 2, bias=False)
    layer.weight = get_variable("w", [2, 2])
    return layer(x)


def with_variables_for_its_weights(x: Tensor) -> Tensor:
    weights = {"weight": get_variable("w", [2, 2]), "bias": get_variable("b", [2])}
    return torch.func.functional_call(nn.Linear(2, 2, device="meta"), weights, (x,))


NO_LAYERS: dict[str, Callable[[Tensor], Any]] = {
    "a loss with constant weights": lambda x: nn.CrossEntropyLoss(weight=torch.ones(2))(x[None], torch.tensor([0])),
    "a variable in its place": with_a_variable_in_its_place,
    "functional_call": with_variables_for_its_weights,
    "a probe in a factory": lambda x: get_module("m", Probes)(x),
}


@pytest.mark.parametrize("case", NO_LAYERS)
def test_what_has_no_new_weights_in_each_call_is_not_told(case: str) -> None:
    ScopedModule(NO_LAYERS[case])(X)


def test_each_forgotten_layer_is_told_at_its_line() -> None:
    def forward(x: Tensor) -> Tensor:
        x = nn.Linear(2, 2)(x)
        x = nn.Linear(2, 2)(x)
        return nn.Linear(2, 2)(x)

    with pytest.warns(UserWarning, match="nothing kept it") as told:
        ScopedModule(forward)(X)
    assert len({warning.lineno for warning in told}) == 3


def test_a_block_of_as_default_compiles_as_one_graph() -> None:
    model = ScopedModule(lambda: get_variable("w", [2])).build()

    @torch.compile(fullgraph=True, backend="eager")
    def compiled(x: Tensor) -> Tensor:
        with model.as_default():
            return x * get_variable("w", [2])

    async def in_a_task() -> Tensor:
        return compiled(2 * X)

    assert torch.equal(compiled(X), model())
    assert torch.equal(asyncio.run(in_a_task()), 2 * model())
