"""``capture`` and ``layer``: what runs in a model is seen by path, and named as TensorFlow names layers."""

from __future__ import annotations

import inspect
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn.parallel import DistributedDataParallel

from tests.tools.models import everything, in_a_process_group
from torchscope import (
    ArgumentTypeError,
    ArgumentValueError,
    InvalidNameError,
    ScopedModule,
    ScopeNestingError,
    VariableExistsError,
    VariableScope,
    get_module,
    get_variable,
    get_variable_scope,
    make_template,
    recompute,
    variable_scope,
)
from torchscope.tools import capture, layer

X = torch.ones(2, 4)


@layer
def dense(x: Tensor, units: int, *, scale: float = 1.0, scope: str | VariableScope | None = None) -> Tensor:
    """A layer function."""
    return x @ get_variable("kernel", [x.shape[-1], units]) * scale


def two_layers(x: Tensor) -> Tensor:
    with variable_scope("encoder"):
        return dense(dense(x, 4).relu(), 4)


# Layers ---------------------------------------------------------------------------------------------------------------


def test_a_layer_is_counted_and_takes_a_scope() -> None:
    def forward(x: Tensor) -> Tensor:
        x = dense(dense(x, 4), 4, scope="mine")
        with variable_scope("inside"):
            x = dense(dense(x, 4), 4)
        with variable_scope("", reuse=True):
            x = dense(x, 4, scope="mine")
        return dense(x, 4, scale=2.0)

    model = ScopedModule(forward).build(X)
    assert list(model.variables) == [
        f"{scope}/kernel" for scope in ("dense", "mine", "inside/dense", "inside/dense_1", "dense_1")
    ]


def test_a_layer_of_one_scope_shares_only_where_it_is_allowed() -> None:
    with pytest.raises(VariableExistsError):
        ScopedModule(lambda x: dense(dense(x, 4, scope="a"), 4, scope="a")).build(X)


def test_a_layer_takes_a_scope_object() -> None:
    def forward(x: Tensor) -> Tensor:
        with variable_scope("there") as there:
            pass
        with variable_scope("elsewhere"):
            return dense(x, 4, scope=there)

    assert list(ScopedModule(forward).build(X).variables) == ["there/kernel"]


def test_a_layer_looks_like_its_function() -> None:
    assert (dense.__name__, dense.__doc__) == ("dense", "A layer function.")
    assert list(inspect.signature(dense).parameters) == ["x", "units", "scale", "scope"]


def test_a_function_that_does_not_declare_scope_takes_it_too() -> None:
    @layer
    def mine(x: Tensor, **options: float) -> Tensor:
        return x * get_variable("w", []) + sum(options.values())

    assert list(inspect.signature(mine).parameters) == ["x", "scope", "options"]
    either: Any = mine
    assert list(ScopedModule(lambda x: either(x, scope="a", b=1.0)).build(X).variables) == ["a/w"]


def test_a_function_that_declares_scope_does_not_get_it() -> None:
    @layer
    def mine(x: Tensor, scope: str | None = None) -> tuple[Tensor, str | None]:
        return x * get_variable("w", []), scope

    assert list(inspect.signature(mine).parameters) == ["x", "scope"]
    assert ScopedModule(lambda x: mine(x, scope="a"))(X)[1] is None


@pytest.mark.parametrize(
    ("function", "error"),
    [(3, ArgumentTypeError), (nn.ReLU(), InvalidNameError)],
)
def test_what_can_be_no_layer_is_refused(function: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        layer(function)


def test_a_generator_is_no_layer() -> None:
    with pytest.raises(ArgumentTypeError, match="Its body runs after the scope is closed"):

        @layer
        def late(x: Tensor) -> Any:
            yield x


# What is seen ---------------------------------------------------------------------------------------------------------


def test_layer_functions_are_captured_with_their_gradients() -> None:
    model = ScopedModule(two_layers, seed=0).build(X)
    with capture("encoder/*") as got:
        y = model(X)
        got["encoder/dense"].retain_grad()
    y.sum().backward()
    assert list(got) == ["encoder/dense", "encoder/dense_1"]
    assert got["encoder/dense_1"] is y
    torch.testing.assert_close(got["encoder/dense"], X @ model.variables["encoder/dense/kernel"])
    assert got["encoder/dense"].grad is not None


def test_what_is_shared_is_a_list_in_order() -> None:
    def forward(x: Tensor) -> Tensor:
        with variable_scope("tower") as tower:
            x = dense(x, 4, scope="d")
            tower.reuse_variables()
            return dense(x, 4, scope="d")

    model = ScopedModule(forward).build(X)
    with capture("tower") as got:
        y = model(X)
    assert len(got["tower/d"]) == 2
    assert got["tower/d"][1] is y
    assert got.every("tower/d")[0] is got["tower/d"][0]
    with capture("tower") as twice:
        model(X), model(X)
    assert len(twice["tower/d"]) == 4


def test_templates_are_captured() -> None:
    def forward(x: Tensor) -> Tensor:
        scale = make_template("scale", lambda x: x * get_variable("w", []))
        return scale(scale(x))

    model = ScopedModule(forward).build(X)
    with capture("scale") as got:
        y = model(X)
    assert got["scale"][1] is y


def test_modules_are_captured_by_path() -> None:
    model = everything()
    with capture(["tail/gru", "head", "encoder"]) as got:
        y = model(torch.ones(3, 4))
    assert list(got) == ["tail/gru", "encoder", "head"]
    assert got["head"] is y
    assert got["tail/gru"][0].shape == (3, 1, 4)


def test_layers_of_a_module_inside_another_have_its_path() -> None:
    class Outer(ScopedModule):
        def __init__(self) -> None:
            super().__init__()
            self.inner = ScopedModule(two_layers)

        def forward(self, x: Tensor) -> Any:
            return self.inner(x)

    outer = Outer().build(X)
    with capture("inner/encoder/dense") as got:
        outer(X)
    assert list(got) == ["inner.encoder/dense"]


def test_operations_are_captured_by_their_names() -> None:
    model = ScopedModule(two_layers).build(X)
    with capture("encoder/**/matmul", operations=True) as got:
        model(X)
    assert list(got) == ["encoder/dense/matmul", "encoder/dense_1/matmul"]
    with capture("encoder/relu", operations=True) as relu:
        model(X)
    assert bool((relu["encoder/relu"] >= 0).all())


def test_a_recompute_tells_nothing() -> None:
    def forward(x: Tensor) -> Tensor:
        return recompute.checkpoint(lambda x: dense(x, 4).relu(), x, use_reentrant=False)

    model = ScopedModule(forward).build(X)
    with capture("dense") as got:
        model(X).sum().backward()
    assert isinstance(got["dense"], Tensor)


def test_a_scope_object_and_a_glob_select() -> None:
    scopes: list[Any] = []

    def forward(x: Tensor) -> Tensor:
        with variable_scope("a"):
            scopes.append(get_variable_scope())
            x = dense(x, 4)
        with variable_scope("b"):
            return dense(x, 4)

    model = ScopedModule(forward).build(X)
    with capture(scopes[0]) as by_scope, capture("{a,b}/*") as by_glob:
        model(X)
    assert (list(by_scope), list(by_glob)) == (["a/dense"], ["a/dense", "b/dense"])


# Blocks ---------------------------------------------------------------------------------------------------------------


def test_a_block_sees_nothing_after_it_and_nothing_of_other_threads() -> None:
    model = ScopedModule(two_layers).build(X)
    with capture("**") as got:
        model(X)
        thread = threading.Thread(target=model, args=(X,))
        thread.start()
        thread.join()
    model(X)
    assert isinstance(got["encoder/dense"], Tensor)


def test_one_block_object_in_two_threads() -> None:
    model = ScopedModule(two_layers).build(X)
    block, found = capture("encoder/dense"), []
    both = threading.Barrier(2)

    def run() -> None:
        with block as got:
            both.wait()
            model(X)
            both.wait()
        found.append(got)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [isinstance(got["encoder/dense"], Tensor) for got in found] == [True, True]


def test_an_exception_goes_through_and_what_was_seen_stays() -> None:
    def forward(x: Tensor) -> Tensor:
        dense(x, 4)
        raise RuntimeError("after one")

    model = ScopedModule(forward)
    with pytest.raises(RuntimeError, match="after one"), capture("**") as got:
        model(X)
    assert list(got) == ["dense"]
    with capture("encoder") as after:
        ScopedModule(two_layers)(X)
    assert len(after) == 2


@pytest.mark.parametrize("operations", [False, True])
def test_a_block_that_selects_nothing_says_what_ran(operations: bool) -> None:
    model = ScopedModule(two_layers).build(X)
    with pytest.raises(ArgumentValueError, match="pattern='encodr' .*\n.*what ran in the block. The nearest: 'encoder"):
        with capture("encodr", operations=operations):
            model(X)


def test_blocks_are_left_in_order() -> None:
    model = ScopedModule(two_layers).build(X)
    first, second = capture("**"), capture("**")
    first.__enter__(), second.__enter__()
    model(X)
    with pytest.raises(ScopeNestingError):
        first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    model(X)


@pytest.mark.parametrize(("pattern", "options"), [(3, {}), ("a", {"operations": 1})])
def test_bad_arguments_are_refused(pattern: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ArgumentTypeError):
        capture(pattern, **options)


# With the rest of torch -----------------------------------------------------------------------------------------------


def test_layers_are_captured_in_compiled_code_by_one_more_compilation() -> None:
    model = ScopedModule(two_layers, seed=0).build(X)
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(model, fullgraph=True, backend=counter)
    compiled(X)
    for factor in range(3):
        x = X * factor
        with capture("encoder/dense") as got:
            y = compiled(x)
        assert list(got) == ["encoder/dense"]
        torch.testing.assert_close(got["encoder/dense"], x @ model.variables["encoder/dense/kernel"])
        got["encoder/dense"].sum().backward()
        torch.testing.assert_close(y, model(x))
    compiled(X)
    assert counter.frame_count == 2


def test_modules_in_compiled_code_are_not_captured_and_the_block_says_so() -> None:
    model = ScopedModule(lambda x: dense(get_module("linear", nn.Linear, 4, 4)(x), 4)).build(X)
    compiled = torch.compile(model, backend="eager")
    with pytest.raises(ArgumentValueError, match="pattern='linear'"), capture("linear"):
        compiled(X)
    with capture("linear") as got:
        model(X)
    assert got["linear"].shape == (2, 4)


def test_layers_are_captured_under_ddp(tmp_path: Path) -> None:
    def run() -> None:
        model = DistributedDataParallel(ScopedModule(two_layers).build(X))
        with capture("encoder/dense") as got:
            model(X).sum().backward()
        assert got["encoder/dense"].shape == (2, 4)

    in_a_process_group(tmp_path, run)
