"""Activation checkpointing: the recompute finds the scope, and the gradients are those without it."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as torchs_checkpoint

from torchscope import (
    AUTO_REUSE,
    ArgumentValueError,
    NoActiveModuleError,
    ScopedModule,
    TracingError,
    VariableExistsError,
    get_buffer,
    get_variable,
    get_variable_scope,
    make_template,
    name_scope,
    scoped,
    unique_name,
    variable_scope,
    zeros_initializer,
)
from torchscope._scopes.stack import current_scope
from torchscope.recompute import checkpoint, keep_scope

Checkpoint = Callable[..., Any]
# torch's own, of a reentrant checkpoint inside another
pytestmark = pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad=True")


def dense(x: Tensor, name: str = "dense") -> Tensor:
    with variable_scope(None, name):
        return torch.tanh(x @ get_variable("kernel", [3, 3]) + get_variable("bias", [3]))


def two_denses(x: Tensor) -> Tensor:
    return dense(dense(x))


def nested_scopes(x: Tensor, run: Checkpoint) -> Tensor:
    with variable_scope("a"), variable_scope("b"):
        return run(two_denses, run(two_denses, dense(x)))


def shared(x: Tensor, run: Checkpoint) -> Tensor:
    with variable_scope("a") as scope:
        x = run(lambda x: x * get_variable("w", [3]), x)
        scope.reuse_variables()
        x = run(lambda x: x * get_variable("w", [3]), x)
    with variable_scope("a", reuse=AUTO_REUSE):
        return run(lambda x: x + get_variable("w"), x)


def templates(x: Tensor, run: Checkpoint) -> Tensor:
    made = make_template("t", dense)
    with variable_scope("a"):
        return run(made, run(lambda x: made(made(x)), x))


def getters(x: Tensor, run: Checkpoint) -> Tensor:
    def positive(getter: Any, name: str, *args: Any, **kwargs: Any) -> Tensor:
        return getter(name, *args, **kwargs).exp()

    with variable_scope("a", custom_getter=positive):
        return run(dense, x)


def jumps(x: Tensor, run: Checkpoint) -> Tensor:
    manager = variable_scope(None, "d")

    def again(x: Tensor) -> Tensor:
        with manager:
            return x * get_variable("w", [3])

    with variable_scope("a") as scope:
        x = dense(x, "first")
    with variable_scope("b"), variable_scope(scope):
        x = run(two_denses, x)
        x = dense(x)
    with manager:
        x = x + get_variable("v", [3])
    return run(again, x)


def inside_one_another(x: Tensor, run: Checkpoint) -> Tensor:
    def inner(x: Tensor) -> Tensor:
        with variable_scope("inner"):
            return run(two_denses, x)

    def outer(x: Tensor) -> Tensor:
        x = dense(x)
        with variable_scope("outer"):
            return dense(run(inner, dense(x)))

    return dense(run(outer, dense(x)))


def counted_by_both(x: Tensor, run: Checkpoint) -> Tensor:
    """The outer function goes on with what the inner one opened, got and called first."""

    def in_parts(x: Tensor) -> Tensor:
        return torch.tanh(x @ get_variable("k", [3, 3], partitioner=lambda shape, dtype: [3, 1]))

    def outer(x: Tensor) -> Tensor:
        first, second = make_template("t", dense), make_template("t", dense)
        x = dense(torch.sin(run(dense, x)))
        x = second(torch.sin(run(first, x)))
        x = first(torch.sin(run(in_parts, x)))
        get_variable_scope().reuse_variables()
        return torch.tanh(x @ get_variable("k"))

    with variable_scope("a"):
        return torch.sin(run(outer, x))


def bound_elsewhere(x: Tensor, run: Checkpoint) -> Tensor:
    with variable_scope("a"):
        scaled = keep_scope(lambda x: x * get_variable("w", [3]))
        with variable_scope("b"):
            return torch.sin(run(scaled, x))


def buffers(x: Tensor, run: Checkpoint) -> Tensor:
    def scaled(x: Tensor) -> Tensor:
        return x * (1 + get_buffer("scale", [3], initializer=zeros_initializer()))

    with variable_scope("a"):
        return run(scaled, dense(x))


MODELS = [
    nested_scopes,
    shared,
    templates,
    getters,
    jumps,
    inside_one_another,
    counted_by_both,
    bound_elsewhere,
    buffers,
]


def plainly(function: Callable[..., Any], *args: Any) -> Any:
    return function(*args)


def gradients(
    model: Callable[..., Tensor], run: Checkpoint, backward: Callable[[Tensor], None] = Tensor.backward
) -> list[Tensor]:
    module = ScopedModule(lambda x: model(x, run), seed=0)
    x = torch.linspace(-1, 1, 6).reshape(2, 3).requires_grad_()
    with module.building():
        module(x)
    backward(module(x).square().sum())
    return [t.grad for t in (x, *module.parameters()) if t.grad is not None]


def in_another_thread(loss: Tensor) -> None:
    other = threading.Thread(target=loss.backward)
    other.start()
    other.join()


def inside_another_call(loss: Tensor) -> None:
    with ScopedModule().as_default(), variable_scope("elsewhere"):
        loss.backward()
        assert get_variable_scope().name == "elsewhere"


def twice(loss: Tensor) -> None:
    loss.backward(retain_graph=True)
    for leaf in leaves(loss):
        leaf.grad = None
    loss.backward()


def leaves(loss: Tensor) -> list[Tensor]:
    found, nodes = [], [loss.grad_fn]
    while nodes:
        node = nodes.pop()
        variable = getattr(node, "variable", None)
        found += [] if variable is None else [variable]
        nodes += [after for after, _ in getattr(node, "next_functions", ()) if after is not None]
    return found


BACKWARDS = {"after": Tensor.backward, "thread": in_another_thread, "other call": inside_another_call}


@pytest.mark.parametrize("how", BACKWARDS)
@pytest.mark.parametrize("reentrant", [False, True], ids=["not reentrant", "reentrant"])
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_gradients_are_those_without_checkpoints(model: Any, reentrant: bool, how: str) -> None:
    def run(function: Callable[..., Any], *args: Any) -> Any:
        return checkpoint(function, *args, use_reentrant=reentrant)

    expected, found = gradients(model, plainly), gradients(model, run, BACKWARDS[how])
    assert len(expected) == len(found) > 1
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert current_scope() is None


def test_backward_may_run_twice() -> None:
    def run(function: Callable[..., Any], *args: Any) -> Any:
        return checkpoint(function, *args, use_reentrant=False)

    found = gradients(inside_one_another, run, twice)
    for ours, theirs in zip(found, gradients(inside_one_another, plainly), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("reentrant", [False, True])
def test_backward_inside_the_call_or_the_block_goes_on_in_it(reentrant: bool) -> None:
    model = ScopedModule(seed=0)
    x = torch.ones(1, 3, requires_grad=True)
    with model.as_default():
        with variable_scope("a"):
            get_variable("w", [3])
            y = checkpoint(dense, x, use_reentrant=reentrant)
            y.sum().backward()
            assert get_variable_scope().name == "a"
        variables = ["a/w", "a/dense/kernel", "a/dense/bias"]
        assert list(model.variables) == variables
    plain = torch.tanh(x @ model.variables["a/dense/kernel"] + model.variables["a/dense/bias"])
    (expected,) = torch.autograd.grad(plain.sum(), model.variables["a/dense/kernel"])
    assert torch.equal(model.variables["a/dense/kernel"].grad, expected)


def test_an_entry_point_goes_on_in_the_recompute() -> None:
    class Coder(ScopedModule):
        @scoped
        def encode(self, x: Tensor) -> Tensor:
            assert get_variable_scope().name == "a"
            return x * get_variable("w", [3])

        def forward(self, x: Tensor) -> Tensor:
            with variable_scope("a"):
                return checkpoint(self.encode, x, use_reentrant=False)

    coder = Coder().build(torch.ones(3))
    coder(torch.ones(3)).sum().backward()
    assert coder.variables["a/w"].grad.tolist() == [1.0] * 3


def test_a_scoped_module_is_checkpointed_as_a_whole_by_torchs_own() -> None:
    block = ScopedModule(dense, seed=0)
    model = ScopedModule(lambda x: torchs_checkpoint(block, x, use_reentrant=False))
    model(torch.ones(1, 3)).sum().backward()
    assert all(parameter.grad is not None for parameter in block.parameters())


def test_torchs_own_checkpoint_of_a_function_says_what_to_take() -> None:
    model = ScopedModule(lambda x: torchs_checkpoint(dense, x, use_reentrant=False))
    loss = model(torch.ones(1, 3)).sum()
    with pytest.raises(NoActiveModuleError, match="take checkpoint from torchscope.recompute"):
        loss.backward()


def test_a_recompute_that_lost_its_scope_makes_no_stray_variable() -> None:
    model = ScopedModule()
    with model.as_default():
        with variable_scope("a"):
            loss = torchs_checkpoint(dense, torch.ones(1, 3), use_reentrant=False).sum()
        raises: Any = pytest.raises(
            TracingError, match=r"autograd's backward .*take checkpoint from torchscope.recompute"
        )
        if loss.device.type != "cpu":  # the backward has a thread of its own, where no scope is open
            raises = pytest.raises(NoActiveModuleError, match="take checkpoint from torchscope.recompute")
        with raises:
            loss.backward()
    assert list(model.variables) == ["a/dense/kernel", "a/dense/bias"]


def test_dropout_is_the_same_in_the_recompute() -> None:
    def drop(x: Tensor) -> Tensor:
        return torch.dropout(x * get_variable("w", [100]), 0.5, True)

    model = ScopedModule(lambda x: checkpoint(drop, x, use_reentrant=False)).build(torch.ones(100))
    y = model(torch.ones(100))
    y.sum().backward()
    kept = y.detach() / model.variables["w"].detach()
    torch.testing.assert_close(model.variables["w"].grad, kept)


def test_checkpoints_compile_in_one_graph() -> None:
    def forward(x: Tensor) -> Tensor:
        with variable_scope("a"):
            return checkpoint(two_denses, x, use_reentrant=False)

    model = ScopedModule(forward, seed=0).build(torch.ones(2, 3))
    expected = torch.autograd.grad(model(torch.ones(2, 3)).sum(), list(model.parameters()))
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    found = torch.autograd.grad(compiled(torch.ones(2, 3)).sum(), list(model.parameters()))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_kept_scope_needs_a_module() -> None:
    with pytest.raises(NoActiveModuleError, match=r"keep_scope\(\) needs a module"):
        keep_scope(dense)


def garbage_of(function: Callable[[Tensor], Tensor]) -> int:
    """How many objects three steps leave to the garbage collector."""
    x = torch.ones(1, 3, requires_grad=True)
    function(x).sum().backward()
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            function(x).sum().backward()
        return gc.collect()
    finally:
        gc.enable()


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_checkpoint_leaves_no_more_garbage_than_torchs_own(reentrant: bool) -> None:
    kernel = torch.ones(3, 3, requires_grad=True)
    ours = ScopedModule(lambda x: checkpoint(lambda x: x @ get_variable("kernel", [3, 3]), x, use_reentrant=reentrant))
    ours.build(torch.ones(1, 3))
    theirs = garbage_of(lambda x: torchs_checkpoint(lambda x: x @ kernel, x, use_reentrant=reentrant))
    assert garbage_of(ours) <= theirs


@pytest.mark.parametrize("opens_first", [True, False])
def test_operations_of_a_recompute_have_the_names_of_the_forward(opens_first: bool) -> None:
    names: list[str] = []

    def block(x: Tensor) -> Tensor:
        if not opens_first:
            x = x * get_variable("before", [], initializer=nn.init.ones_)
        for _ in range(2):
            with variable_scope("a") as scope, name_scope("b"):
                names.extend([scope.original_name_scope, unique_name("mul")])
        return x * get_variable("w", [], initializer=nn.init.ones_)

    def forward(x: Tensor) -> Tensor:
        with variable_scope("outer"), name_scope("a"):
            return checkpoint(block, x, use_reentrant=False)

    model = ScopedModule(forward).build(torch.ones(3))
    names.clear()
    model(torch.ones(3)).sum().backward()
    assert names[:4] == ["outer/a/a/", "outer/a/a/b/mul", "outer/a/a_1/", "outer/a/a_1/b/mul"]
    assert names[4:] == names[:4]


def test_a_recompute_knows_nothing_of_what_a_manager_opened_after_the_block() -> None:
    paths: list[str] = []

    def forward(x: Tensor) -> Tensor:
        manager = variable_scope(None, "a")

        def block(x: Tensor) -> Tensor:
            if paths:  # it is the recompute
                with variable_scope("a"):
                    pass
                with manager as scope:
                    paths.append(scope.name)
            return x * x

        x = checkpoint(block, x, use_reentrant=False)
        with manager as scope:
            paths.append(scope.name)
        return x

    ScopedModule(forward)(torch.ones(3, requires_grad=True)).sum().backward()
    assert paths == ["a", "a_1"]


def test_default_names_of_a_recompute_lead_to_the_variables_of_the_forward() -> None:
    paths: list[str] = []

    def block(x: Tensor) -> Tensor:
        for _ in range(2):
            with variable_scope(None, "d") as scope:
                paths.append(scope.name)
                x = x * get_variable("w", [], initializer=nn.init.ones_)
        return x

    def forward(x: Tensor) -> Tensor:
        with variable_scope("outer"):
            for _ in range(2):
                x = checkpoint(block, x, use_reentrant=False)
            return x

    model = ScopedModule(forward).build(torch.ones(2))
    names = ["outer/d", "outer/d_1", "outer/d_2", "outer/d_3"]
    for value, name in zip((2.0, 3.0, 4.0, 5.0), names, strict=True):
        nn.init.constant_(model.variables[f"{name}/w"], value)
    paths.clear()
    model(torch.ones(2)).sum().backward()
    assert paths == [*names, *names[2:], *names[:2]]  # the last block is the first that is run again
    assert [model.variables[f"{name}/w"].grad.item() for name in names] == [120, 80, 60, 48]


def test_a_recompute_counts_what_it_opens_by_name_before_default_names() -> None:
    paths: list[str] = []

    def block(x: Tensor) -> Tensor:
        with variable_scope("d"), variable_scope(None, "e"):
            pass
        with variable_scope(None, "d") as scope:
            paths.append(scope.name)
            return x * get_variable("w", [], initializer=nn.init.ones_)

    model = ScopedModule(lambda x: checkpoint(block, x, use_reentrant=False)).build(torch.ones(2))
    paths.clear()
    model(torch.ones(2)).sum().backward()
    assert paths == ["d_1", "d_1"]


def test_a_kept_function_that_runs_twice_in_the_forward_is_held_to_the_rules_of_reuse() -> None:
    def forward(x: Tensor) -> Tensor:
        with variable_scope("a"):
            twice = keep_scope(lambda x: x * get_variable("w", [3]))
            return twice(twice(x))

    with pytest.raises(VariableExistsError, match="'a/w' was already got in this call"):
        ScopedModule(forward).build(torch.ones(3))


@pytest.mark.parametrize("anew", [False, True])
def test_a_kept_function_that_opens_default_names_is_wrapped_anew_for_each_run(anew: bool) -> None:
    def layer(x: Tensor) -> Tensor:
        with variable_scope(None, "d"):
            return x * get_variable("w", [], initializer=nn.init.ones_)

    def forward(x: Tensor) -> Tensor:
        with variable_scope("a"):
            kept = keep_scope(layer)
            for number in range(3):
                kept = keep_scope(layer) if anew and number else kept
                x = torchs_checkpoint(kept, x, use_reentrant=False)
            return x

    model = ScopedModule(forward)
    if not anew:  # backward would run the first one three times
        with pytest.raises(ArgumentValueError, match="wrap it anew for each run"):
            model(torch.ones(2))
        return
    model.build(torch.ones(2))
    assert list(model.variables) == ["a/d/w", "a/d_1/w", "a/d_2/w"]
    for value, parameter in zip((2.0, 3.0, 4.0), model.parameters(), strict=True):
        nn.init.constant_(parameter, value)
    model(torch.ones(2)).sum().backward()
    assert [parameter.grad.item() for parameter in model.parameters()] == [24, 16, 12]  # type: ignore[union-attr]
