"""Variables in functions that torch's operators of control flow compile as branches."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._higher_order_ops import map as map_op
from torch._higher_order_ops import scan, while_loop
from torch.nn.attention.flex_attention import flex_attention

from tests.releases import limits
from torchscope import ArgumentTypeError, NoActiveModuleError, ScopedModule, get_variable, variable_scope
from torchscope.control_flow import branch

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")  # torch's, of these operators
Function = Callable[..., Any]


def cond(step: Function, x: Tensor) -> Tensor:
    return torch.cond(x.sum() > 0, lambda x: step(x), lambda x: x - 1, (x,))


def other_branch(step: Function, x: Tensor) -> Tensor:
    return torch.cond(x.sum() < 0, lambda x: x - 1, step, (x,))


def looped(step: Function, x: Tensor) -> Tensor:
    start = torch.zeros((), dtype=torch.int64)
    return while_loop(lambda i, x: i < 3, lambda i, x: (i + 1, step(x)), (start, x))[1]


def scanned(step: Function, x: Tensor) -> Tensor:
    return scan(lambda carry, x: (carry + step(x), carry * 1), torch.zeros(3), torch.stack([x, x + 1]))[0]


def mapped(step: Function, x: Tensor) -> Tensor:
    each: Any = map_op
    return each(lambda x: step(x), torch.stack([x, x + 1]))


# What the operators do, in plain Python.
PLAIN: dict[Function, Function] = {
    cond: lambda step, x: step(x) if x.sum() > 0 else x - 1,
    other_branch: lambda step, x: x - 1 if x.sum() < 0 else step(x),
    looped: lambda step, x: step(step(step(x))),
    scanned: lambda step, x: step(x) + step(x + 1),
    mapped: lambda step, x: torch.stack([step(x), step(x + 1)]),
}
X = torch.tensor([1.0, 2.0, 3.0])
# Before torch 2.13, scan with gradients is wrong or refused by torch itself: see `test_torchs_scan_...`.
WITHOUT_GRADIENTS = {scanned} if limits.VERSION < (2, 13) else set()
NOT_DIFFERENTIABLE = {looped} | WITHOUT_GRADIENTS


@pytest.fixture(autouse=True)
def x_on_the_device(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "X", X.to(device))


class Child(ScopedModule):
    def forward(self, x: Tensor) -> Tensor:
        with variable_scope("scope"):
            return torch.tanh(x * get_variable("kernel", [3]))


class Parent(ScopedModule):
    """A module that is called in a branch, amid variables of its own that are shared around it."""

    def __init__(self, operator: Function) -> None:
        super().__init__(seed=1)
        self.child, self.operator = Child(seed=0), operator

    def forward(self, x: Tensor) -> Tensor:
        with variable_scope("around") as scope:
            x = x * get_variable("scale", [3])
            x = self.operator(self.child, x)
            scope.reuse_variables()
            return x + get_variable("scale")


class Gets(ScopedModule):
    """A branch that gets variables of the module that is running."""

    def __init__(self, operator: Function, wrap: Function) -> None:
        super().__init__(seed=1)
        self.operator, self.wrap = operator, wrap

    def forward(self, x: Tensor) -> Tensor:
        with variable_scope("around"):
            x = x * get_variable("scale", [3])
            return self.operator(self.wrap(self.step), x) + 1

    def step(self, x: Tensor) -> Tensor:
        with variable_scope("inside"):
            return torch.tanh(x * get_variable("kernel", [3]))


def same(model: Any, run: Function, differentiable: bool = True) -> None:
    """A run gives what plain Python gives, whichever branch is taken, and so do the gradients."""
    for x in (X, -X):
        operator, model.operator = model.operator, PLAIN[model.operator]
        expected = model(x)
        by = gradients(model, expected) if differentiable else {}
        model.operator = operator
        found = run(x)
        torch.testing.assert_close(found, expected)
        if differentiable:
            torch.testing.assert_close(gradients(model, found), by)


def gradients(model: nn.Module, y: Tensor) -> dict[str, Tensor]:
    """The gradients, where those of the branch that is not taken are zeros."""
    model.zero_grad()
    y.square().sum().backward()
    return {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in model.named_parameters()}


def compiled(model: nn.Module) -> Function:
    torch._dynamo.reset()
    return torch.compile(model, backend="aot_eager", fullgraph=True)


def built(model: Any) -> Any:
    """The module, built by a plain run of its branch."""
    operator, model.operator = model.operator, lambda step, x: step(x)
    model.build(X)
    model.operator = operator
    return model


@pytest.mark.parametrize("operator", PLAIN, ids=lambda f: f.__name__)
def test_a_scoped_module_may_be_called_in_a_branch(operator: Function) -> None:
    model = built(Parent(operator))
    with torch.set_grad_enabled(operator not in WITHOUT_GRADIENTS):
        same(model, compiled(model), differentiable=operator not in NOT_DIFFERENTIABLE)


@pytest.mark.parametrize("operator", PLAIN, ids=lambda f: f.__name__)
def test_a_branch_that_keeps_its_scope_may_get_variables(operator: Function) -> None:
    model = built(Gets(operator, branch))
    with torch.set_grad_enabled(operator not in WITHOUT_GRADIENTS):
        same(model, compiled(model), differentiable=operator not in NOT_DIFFERENTIABLE)


@limits.beyond_torch_before(2, 13, "the gradient of what the function of a scan captures is wrong")
def test_torchs_scan_has_the_gradient_of_what_its_function_captures() -> None:
    weight = torch.tensor([0.5, 1.0, 2.0], requires_grad=True)

    def model(scanning: Any) -> Tensor:
        return scanning(lambda carry, x: (carry * weight + x, carry * 1), torch.zeros(3), torch.stack([X, X, X]))[
            0
        ].sum()

    def plainly(step: Function, carry: Tensor, xs: Tensor) -> Any:
        for x in xs:
            carry, _ = step(carry, x)
        return carry, None

    (found,) = torch.autograd.grad(compiled(model)(scan), weight)
    (expected,) = torch.autograd.grad(model(plainly), weight)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("operator", [cond, looped, mapped], ids=lambda f: f.__name__)
def test_a_program_with_branches_exports(operator: Function, strict: bool) -> None:
    for model in (built(Parent(operator)), built(Gets(operator, branch))):
        with torch.no_grad():
            same(model, torch.export.export(model, (X,), strict=strict).module(), differentiable=False)


def test_in_eager_code_torch_compiles_the_branches_by_itself() -> None:
    for model in (built(Parent(cond)), built(Gets(cond, branch))):
        same(model, model)


def test_a_score_function_of_flex_attention_may_get_variables() -> None:
    def forward(q: Tensor, plain: bool = False) -> Tensor:
        def score(score: Tensor, *indices: Tensor) -> Tensor:
            return score * get_variable("scale", [])

        if plain:
            weights = torch.softmax(score(q @ q.mT / q.shape[-1] ** 0.5), -1)
            return weights @ q
        return flex_attention(q, q, q, score_mod=branch(score))

    q = torch.rand(1, 1, 16, 16)
    model = ScopedModule(forward, seed=0).build(q, plain=True)
    found = torch.compile(model, backend="aot_eager", fullgraph=True)(q)
    torch.testing.assert_close(found, model(q, plain=True))


@pytest.mark.parametrize("operator", [cond, looped, scanned, mapped], ids=lambda f: f.__name__)
def test_a_branch_that_gets_variables_and_does_not_keep_its_scope_is_told_to(operator: Function) -> None:
    model = built(Gets(operator, lambda step: step))
    with pytest.raises(
        Exception, match=r"'around/inside' of Gets was asked for in a function that torch.compile traces"
    ) as told:
        compiled(model)(X)
    assert "branch(f), branch(g)" in str(told.value)


@pytest.mark.parametrize("before", [False, True])
def test_building_through_an_operator_is_told_to_get_the_variables_before(before: bool) -> None:
    def forward(x: Tensor) -> Tensor:
        if before:
            x = x + get_variable("before", [3])
        new = branch(lambda x: x * get_variable("new", [3]))
        return torch.cond(x.sum() > 0, new, lambda x: x - 1, (x,))

    # Before torch 2.13, Dynamo asks the module for its parameters before anything else.
    asks_first = limits.VERSION < (2, 13) and not before
    with pytest.raises(Exception, match="never built" if asks_first else r"[Gg]et the variables? before") as told:
        ScopedModule(forward).build(X)
    assert asks_first or "torchscope.control_flow.branch" in str(told.value)


def test_a_branch_is_a_function() -> None:
    with pytest.raises(ArgumentTypeError, match="Give the function that is the branch"):
        ScopedModule(lambda: branch(3))()  # type: ignore[arg-type]


def test_what_a_branch_does_not_wrap_still_must_not_change_anything() -> None:
    class Counts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.child = Child().build(X)

        def forward(self, x: Tensor) -> Tensor:
            def branch(x: Tensor) -> Tensor:
                self.count = x
                return self.child(x)

            return torch.cond(x.sum() > 0, branch, lambda x: x, (x,))

    with pytest.raises(Exception, match="[Ss]ide ?[Ee]ffect"):
        torch.compile(Counts(), backend="eager", fullgraph=True)(X)


def dense(x: Tensor) -> Tensor:
    with variable_scope(None, default_name="dense"):
        return torch.tanh(x * get_variable("kernel", [3]))


class Counted(ScopedModule):
    """Default names before, in and after the branches."""

    def forward(self, x: Tensor) -> Tensor:
        def both(x: Tensor) -> Tensor:
            return dense(dense(x))

        first, second = branch(both), branch(dense)
        x = dense(x)
        x = torch.cond(x.sum() > 0, first, second, (x,)) if self.built else first(x) + second(x)
        return dense(x)


def test_default_names_of_a_branch_begin_where_it_begins_and_end_with_it() -> None:
    model = Counted(seed=0).build(X)
    assert list(model.variables) == ["dense/kernel", "dense_1/kernel", "dense_2/kernel"]
    w0, w1, w2 = model.variables.values()
    once = torch.tanh(X * w0)
    taken = torch.tanh(torch.tanh(once * w1) * w2) if once.sum() > 0 else torch.tanh(once * w1)
    expected = torch.tanh(taken * w1)
    for run in (model, compiled(model), torch.export.export(model, (X,)).module()):
        torch.testing.assert_close(run(X), expected)


def test_a_branch_of_a_call_that_is_over_is_an_error() -> None:
    late = ScopedModule(lambda: branch(lambda: get_variable("w", [1])))()
    with pytest.raises(NoActiveModuleError, match="a function that branch"):
        late()


def test_a_failing_branch_takes_back_what_it_made() -> None:
    def forward(x: Tensor) -> None:
        def fails(x: Tensor) -> None:
            get_variable("made", [3])
            raise RuntimeError

        with pytest.raises(RuntimeError):
            branch(fails)(x)
        get_variable("kept", [3])

    assert list(ScopedModule(forward).build(X).variables) == ["kept"]


def test_a_module_that_is_called_after_a_branch_has_its_own_variables() -> None:
    class Both(ScopedModule):
        def __init__(self) -> None:
            super().__init__(seed=0)
            self.child = Child(seed=1)

        def forward(self, x: Tensor) -> Tensor:
            with variable_scope("scope"):
                x = x * get_variable("kernel", [3])
            x = torch.cond(x.sum() > 0, lambda x: x + 1, lambda x: x - 1, (x,))
            return self.child(x)

    model = Both().build(X)
    torch.testing.assert_close(compiled(model)(X), model(X))


KINDS: dict[str, Callable[[Tensor], Tensor]] = {
    "nothing": lambda x: x - 1,
    "a get": lambda x: x * get_variable("w", [3]),
    "a scope": lambda x: dense(x),
    "parts": lambda x: x * get_variable("cut", [4], partitioner=lambda shape, dtype: [2])[:3],
}


@pytest.mark.parametrize("second", KINDS)
@pytest.mark.parametrize("first", KINDS)
def test_whatever_two_branches_do_either_may_come_first(first: str, second: str) -> None:
    def forward(x: Tensor, plain: bool = False) -> Tensor:
        a, b = branch(KINDS[first]), branch(KINDS[second])
        if plain:
            left, right = a(x), b(x)
            return left if x.sum() > 0 else right
        return torch.cond(x.sum() > 0, a, b, (x,))

    model = ScopedModule(forward, seed=0)
    model.build(X, plain=True)
    if model.variables:
        for run in (model, compiled(model)):
            for x in (X, -X):
                torch.testing.assert_close(run(x), model(x, plain=True))


def test_the_condition_of_a_loop_may_get_variables_too() -> None:
    def forward(x: Tensor, plain: bool = False) -> Tensor:
        goes_on = branch(lambda i, x: i < get_variable("n", [], initializer=nn.init.ones_) * 3)
        step = branch(lambda i, x: (i + 1, dense(x)))
        i = torch.zeros(())
        if not plain:
            return while_loop(goes_on, step, (i, x))[1]
        while goes_on(i, x):
            i, x = step(i, x)
        return x

    model = ScopedModule(forward, seed=0).build(X, plain=True)
    for run in (model, compiled(model)):
        torch.testing.assert_close(run(X), model(X, plain=True))
