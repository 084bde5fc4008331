"""Names of operations; the expected names are those TensorFlow 2.21 gave for the same lines in a TF1 graph."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from torchscope import (
    ArgumentTypeError,
    ArgumentValueError,
    InvalidNameError,
    NoActiveModuleError,
    ScopedModule,
    ScopeNestingError,
    VariableScope,
    get_name_scope,
    get_variable,
    name_ops,
    name_scope,
    op_name,
    unique_name,
    variable_scope,
    zeros_initializer,
)


def run(function: Callable[[], Any]) -> Any:
    with name_ops():
        return ScopedModule(function)()


def add() -> str:
    return op_name(torch.ones(1) + 1)


def the_contracts_example() -> Any:
    with variable_scope("foo"):
        return op_name(1.0 + get_variable("v", [1]))


def scopes_again_and_again() -> Any:
    with variable_scope("foo") as first:
        names = [first.original_name_scope]
    with variable_scope("foo") as second:
        names += [second.original_name_scope, get_name_scope()]
    with variable_scope(first) as again:
        return [*names, again.original_name_scope, get_name_scope()]


def name_scopes_name_no_variables() -> Any:
    with variable_scope("foo"), name_scope("bar") as bar:
        get_variable("v", [1])
        added = add()
        with variable_scope("baz") as baz:
            return bar, added, baz.original_name_scope, baz.name


def exact_and_top() -> Any:
    seen = []
    with name_scope("a"):
        for name in ("b/", None, "a/b/", ""):
            with name_scope(name) as full:
                seen.append(full)
    for name in ("A", "a_1", "a"):
        with name_scope(name) as full:
            seen.append(full)
    return seen


def without_a_name_scope() -> Any:
    with variable_scope("foo", auxiliary_name_scope=False) as scope:
        seen = [scope.original_name_scope, get_name_scope()]
    with name_scope("q"):
        with variable_scope("foo", auxiliary_name_scope=False) as scope:
            seen += [scope.original_name_scope, get_name_scope()]
        with variable_scope("z/y") as scope:
            seen.append(scope.original_name_scope)
        with variable_scope(scope) as again:
            return [*seen, again.original_name_scope, get_name_scope()]


def variables_take_names() -> Any:
    with variable_scope("w"):
        pass
    get_variable("w", [1])
    with variable_scope("w") as scope:
        seen = [scope.original_name_scope]
    get_variable("u", [1])
    with variable_scope("u") as scope:
        seen.append(scope.original_name_scope)
    get_variable("add_1", [1])
    return [*seen, add(), add(), add()]


def one_manager_again() -> Any:
    manager = variable_scope("a")
    seen = []
    for _ in range(2):
        with manager as scope:
            seen.append((scope.original_name_scope, get_name_scope()))
    with variable_scope("b"), manager as scope:
        return [*seen, (scope.name, scope.original_name_scope, get_name_scope())]


def default_names() -> Any:
    seen = []
    for outer in ("x", "x"):
        with variable_scope(outer), variable_scope(None, "d") as scope:
            seen.append((scope.name, scope.original_name_scope))
    return seen


def root() -> Any:
    from torchscope import get_variable_scope

    bottom = get_variable_scope()
    with variable_scope("k"), variable_scope(bottom) as jumped:
        return bottom.original_name_scope, jumped.original_name_scope, get_name_scope()


# what: the names that TensorFlow gave; operations are tf.no_op(name="add")
CASES: dict[Callable[[], Any], Any] = {
    the_contracts_example: "foo/add",
    scopes_again_and_again: ["foo/", "foo_1/", "foo_1", "foo/", "foo_2"],
    name_scopes_name_no_variables: ("foo/bar/", "foo/bar/add", "foo/bar/baz/", "foo/baz"),
    exact_and_top: ["b/", "", "a/b/", "", "A_1/", "a_1_1/", "a_2/"],
    without_a_name_scope: ["", "", "q/", "q", "q/z/y/", "q/z/y/", "q/y"],
    variables_take_names: ["w_2/", "u_1/", "add", "add_2", "add_3"],
    one_manager_again: [("a/", "a"), ("a/", "a_1"), ("b/a", "a/", "b/a")],
    default_names: [("x/d", "x/d/"), ("x/d", "x_1/d/")],
    root: ("", "", "k"),
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_names_are_tensorflows_in_every_call(case: Callable[[], Any]) -> None:
    model = ScopedModule(case)
    with name_ops():
        assert [model() for _ in range(3)] == [CASES[case]] * 3


def test_torch_functions_count_once_under_their_own_names() -> None:
    def forward(x: torch.Tensor) -> list[str]:
        with variable_scope("conv"):
            weights = get_variable("weights", [4, 3, 3, 3])
            y = F.conv2d(x, weights, padding="same")
            z = F.relu(y)
            parts = z.chunk(2, dim=1)
            return [op_name(t) for t in (y, z, *parts, 2 - z, z.mT, weights)]

    model = ScopedModule(forward)
    with name_ops():
        names = model(torch.ones(1, 3, 5, 5))
    assert names == ["conv/conv2d", "conv/relu", "conv/chunk", "conv/chunk", "conv/sub", "conv/mT", "conv/weights"]


def test_making_a_variable_is_no_operation() -> None:
    def forward() -> str:
        get_variable("a", [2, 2])
        get_variable("b", [2], initializer=lambda t: t.copy_(torch.ones(2) + 1))
        get_variable("c", initializer=[1.0])
        return op_name(torch.ones(1).add(1))

    assert run(forward) == "add"


def test_operations_of_a_getter_are_named_from_the_top() -> None:
    def doubled(getter: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        return getter(name, *args, **kwargs) * 2

    def forward() -> list[str]:
        with variable_scope("a", custom_getter=doubled):
            return [op_name(get_variable("v", [1])), add()]

    assert run(forward) == ["mul", "a/add"]


def test_a_getter_of_a_closed_scope_leaves_the_names_of_the_open_one_alone() -> None:
    def doubled(getter: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        return getter(name, *args, **kwargs) * 2

    kept: list[VariableScope] = []

    def forward() -> list[str]:
        with variable_scope("a", custom_getter=doubled) as scope:
            kept.append(scope)
        with variable_scope("b"):
            return [op_name(kept[0].get_variable("v", [1])), add(), get_name_scope()]

    model = ScopedModule(forward)
    with name_ops():
        assert model() == ["mul", "b/add", "b"]
        noted = kept[0]._call.at
        assert model() == ["mul", "b/add", "b"]
    assert kept[0]._call.at == noted  # nothing was noted in the call of the closed scope


def test_an_operation_without_a_name_says_why() -> None:
    for tensor in (torch.ones(1), torch.ones(1) + 1):
        with pytest.raises(ArgumentValueError, match="Make it inside `with name_ops"):
            op_name(tensor)
    with name_ops():
        outside = torch.ones(1) + 1
    with pytest.raises(ArgumentValueError):
        op_name(outside)


def test_a_kept_scope_tells_its_name_scope_after_its_call() -> None:
    kept: list[VariableScope] = []

    def forward() -> None:
        get_variable("a", [1], initializer=zeros_initializer())
        with variable_scope("a") as scope:
            kept.append(scope)

    model = ScopedModule(forward)
    model(), model()
    assert [scope.original_name_scope for scope in kept] == ["a_1/", "a_1/"]
    with model.as_default(), variable_scope("x"), variable_scope(kept[0]) as again:
        assert again.original_name_scope == "a_1/"


def test_a_name_scope_puts_back_what_was_tget_name_scope() -> None:
    def forward() -> None:
        with variable_scope("s"):
            with name_scope("a"):
                pass
            assert get_name_scope() == "s"
            with name_scope("a"), name_scope("b"), variable_scope("c"):
                assert get_name_scope() == "s/a_1/b/c"
            assert get_name_scope() == "s"
            with pytest.raises(KeyError):
                with name_scope("a"):
                    raise KeyError
            assert get_name_scope() == "s"
        assert get_name_scope() == ""

    run(forward)
    found: list[Any] = []
    other = threading.Thread(target=lambda: found.append(run(forward)))
    other.start()
    other.join()
    assert found == [None]


def test_one_name_scope_object_may_be_entered_again() -> None:
    def forward() -> list[str]:
        again = name_scope("a")
        names = []
        for _ in range(2):
            with again as name:
                names.append(name)
        with again as outer, again as inner:
            return [*names, outer, inner]

    assert run(forward) == ["a/", "a_1/", "a_2/", "a_2/a/"]


def test_a_name_scope_that_is_wrong_says_so() -> None:
    with pytest.raises(NoActiveModuleError, match=r"name_scope\(\) needs a module"):
        name_scope("a").__enter__()
    for name in ("a b", "a//b", "//", "/a", 3):
        with pytest.raises(InvalidNameError):
            name_scope(name)  # type: ignore[arg-type]

    def crossed() -> None:
        outer = name_scope("a")
        outer.__enter__()
        variable_scope("b/c").__enter__()
        outer.__exit__(None, None, None)

    with pytest.raises(ScopeNestingError, match="Cannot leave name scope 'a': the innermost open scope is 'b/c'"):
        run(crossed)


def test_naming_operations_changes_no_result_and_nothing_is_named_under_the_compiler() -> None:
    def forward(x: torch.Tensor) -> torch.Tensor:
        with variable_scope("a"), name_scope("b"):
            return torch.relu(x * get_variable("w", [3]))

    model = ScopedModule(forward, seed=0).build(torch.ones(3))
    plain = model(torch.ones(3))
    with name_ops():
        assert torch.equal(model(torch.ones(3)), plain)
    assert torch.equal(torch.compile(model, fullgraph=True, backend="eager")(torch.ones(3)), plain)


def test_a_block_inside_another_names_no_operation_twice() -> None:
    model = ScopedModule(the_contracts_example)
    again = name_ops()
    with again, name_ops():
        assert model() == "foo/add"
        with again:
            assert model() == "foo/add"


def test_a_getter_sees_the_top_with_and_without_named_operations() -> None:
    seen: list[str] = []

    def look(getter: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        with name_scope("z") as z:
            seen.append(z)
        return getter(name, *args, **kwargs)

    def forward() -> None:
        with variable_scope("a", custom_getter=look):
            get_variable("w", [1])

    model = ScopedModule(forward)
    model()
    with name_ops():
        model()
    assert seen == ["z/", "z/"]


def test_one_name_scope_object_serves_two_threads() -> None:
    block, barrier, failed = name_scope("block"), threading.Barrier(2, timeout=20), []

    def one(longer: bool) -> None:
        with block:
            barrier.wait()
            if longer:
                barrier.wait()
        if not longer:
            barrier.wait()

    def run_one(longer: bool) -> None:
        try:
            ScopedModule(lambda: one(longer))()
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=run_one, args=(longer,)) for longer in (False, True)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not failed


def test_name_scopes_close_in_the_reverse_order_of_opening() -> None:
    def crossed() -> None:
        outer, inner = name_scope("a"), name_scope("b")
        outer.__enter__(), inner.__enter__()
        outer.__exit__(None, None, None)

    with pytest.raises(
        ScopeNestingError, match="Cannot leave name scope 'a': the innermost open scope is name scope 'b'"
    ):
        run(crossed)


def test_a_function_that_changes_nothing_is_no_operation() -> None:
    def forward(x: torch.Tensor) -> list[str]:
        y = x + 1
        names = [op_name(t) for t in (y.contiguous(), y.to(y.dtype), F.dropout(y, training=False), y.requires_grad_())]
        z = y.detach()
        return [*names, op_name(z.add_(1)), op_name(F.relu(z, inplace=True)), op_name(torch.add(z, 1, out=z))]

    with name_ops():
        assert ScopedModule(forward)(torch.ones(2)) == ["add"] * 4 + ["add_1", "relu", "add_2"]


def test_operators_that_write_are_operations() -> None:
    def forward(x: torch.Tensor) -> list[str]:
        y, ones = x + 0, torch.ones(2)
        names = []
        y[0] = 1
        names.append(op_name(y))
        y += 1
        names.append(op_name(y))
        y[:] = ones
        return [*names, op_name(y), op_name(ones)]

    with name_ops():
        assert ScopedModule(forward)(torch.ones(2)) == ["setitem", "add_1", "setitem_1", "ones"]


def test_a_default_name_and_values_are_taken_as_in_tensorflow() -> None:
    def forward() -> list[str]:
        with name_scope(None, "conv", []) as first, name_scope("x", "conv", values=[]) as second:
            return [first, second]

    assert run(forward) == ["conv/", "conv/x/"]


def test_what_is_no_tensor_has_no_name() -> None:
    for value in (3, None, "s"):
        with pytest.raises(ArgumentTypeError, match="Give a tensor that an operation made"):
            op_name(value)  # type: ignore[arg-type]


def test_operators_the_other_way_round_and_overloads_are_called_as_the_operation() -> None:
    def forward(x: torch.Tensor, i: torch.Tensor) -> list[str]:
        return [op_name(t) for t in (x / 2, 1 / x, i << 1, 1 << i, torch.ops.aten.add.Tensor(x, 1), torch.rand(1))]

    with name_ops():
        names = ScopedModule(forward)(torch.ones(1), torch.ones(1, dtype=torch.int64))
    assert names == ["div", "div_1", "lshift", "lshift_1", "add", "rand"]


# As TensorFlow's own tests have it (variable_scope_test.py, ops_test.py)


def test_the_open_name_scope_is_told() -> None:
    def forward() -> list[str]:
        seen = [get_name_scope()]
        with variable_scope("a"), name_scope("b"):
            seen.append(get_name_scope())
            with name_scope(None):
                seen.append(get_name_scope())
        with variable_scope("a"):
            seen.append(get_name_scope())
        return seen

    assert ScopedModule(forward)() == ["", "a/b", "", "a_1"]


def test_a_unique_name_is_taken_or_only_looked_at() -> None:
    def forward() -> list[str]:
        looked = [unique_name("foo", mark_as_used=False), unique_name("foo", mark_as_used=False)]
        taken = [unique_name("foo"), unique_name("foo"), unique_name("FOO")]
        with name_scope("bar"):
            taken += [unique_name("foo"), unique_name("foo", mark_as_used=False), unique_name("foo")]
        return looked + taken

    expected = ["foo", "foo", "foo", "foo_1", "FOO_2", "bar/foo", "bar/foo_1", "bar/foo_1"]
    assert ScopedModule(forward)() == expected


@pytest.mark.parametrize("function", [get_name_scope, lambda: unique_name("a")])
def test_names_want_a_module_that_runs(function: Callable[[], str]) -> None:
    with pytest.raises(NoActiveModuleError):
        function()


@pytest.mark.parametrize("wrong", [None, "yes", 1])
def test_an_auxiliary_name_scope_is_true_or_false(wrong: Any) -> None:
    with pytest.raises(TypeError, match="auxiliary_name_scope cannot be"):
        variable_scope("a", auxiliary_name_scope=wrong)


def test_a_name_scope_wants_names_where_names_go() -> None:
    tensor = torch.ones(1)
    with pytest.raises(TypeError, match="default_name cannot be"):
        name_scope("s", [tensor])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Give a name or a default_name with values"):
        name_scope(None, values=[tensor])
    name_scope("s", None, [tensor])
    name_scope(None, "s", [tensor])


def test_without_a_name_scope_of_its_own_a_scope_names_operations_where_it_is_entered() -> None:
    """TensorFlow's names, but for the last: a manager that jumps, entered again, jumps anew (``docs/tf1.md``)."""
    found = []

    def forward() -> None:
        x = torch.ones(1)

        def note(outer: str, manager: AbstractContextManager[VariableScope]) -> None:
            with name_scope(outer), manager:
                found.append(op_name(x + x))

        with name_ops():
            with variable_scope("a") as a:
                pass
            note("n", variable_scope(a, auxiliary_name_scope=False))
            by_name = variable_scope("b", auxiliary_name_scope=False)
            note("n", by_name)
            note("k", by_name)  # it stays in the name scope of the first time
            jumps = variable_scope(a, auxiliary_name_scope=False)
            note("p", jumps)
            note("q", jumps)

    ScopedModule(forward)()
    assert found == ["n/add", "n_1/add", "n_1/add_1", "p/add", "q/add"]
