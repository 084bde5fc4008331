"""Control flow of ``tf``: here Python's, for torch runs each line when it comes to it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from .._modules.snapshot import Snapshot
from .._scopes.stack import innermost_call
from ..errors import ArgumentTypeError, ArgumentValueError
from ._nests import like

P = ParamSpec("P")
R = TypeVar("R")
Nested = Any  # a tensor or a number, or a tuple or list of these


def as_one(function: Callable[P, R]) -> Callable[P, R]:
    """A function that a graph has once and runs many times: each call begins with the names and variables of the first.

    So a layer of a default name is the same layer in each, and one with a name of its own is not refused. What the
    later calls open, get and add to collections is forgotten.
    """
    before: list[Snapshot] = []

    def each(*args: P.args, **kwargs: P.kwargs) -> R:
        call = innermost_call()
        if call is None:
            return function(*args, **kwargs)
        if not before:
            before.append(Snapshot(call.scope))
            return function(*args, **kwargs)
        with before[0].resumed(may_create=True):
            return function(*args, **kwargs)

    return each


def cond(
    pred: bool | Tensor,
    true_fn: Callable[[], R] | None = None,
    false_fn: Callable[[], R] | None = None,
    strict: bool = False,
    name: str | None = None,
    fn1: Callable[[], R] | None = None,
    fn2: Callable[[], R] | None = None,
) -> R:
    """``tf.cond``: one of two functions. Only that one runs, and makes its variables, where TensorFlow builds both.

    A tensor is looked at: ``torch.compile`` ends its graph there; :func:`torch.cond` is for a graph with both.

    >>> cond(torch.tensor(1) > 0, lambda: "yes", lambda: "no")
    'yes'

    Raises:
        ArgumentTypeError: a function is missing.
    """
    chosen = (true_fn or fn1) if bool(pred) else (false_fn or fn2)
    if not callable(chosen):
        raise ArgumentTypeError.of("true_fn" if bool(pred) else "false_fn", chosen, "Give a function.")
    return chosen()


def case(
    pred_fn_pairs: Sequence[tuple[bool | Tensor, Callable[[], R]]] | dict[Nested, Callable[[], R]],
    default: Callable[[], R] | None = None,
    exclusive: bool = False,
    strict: bool = False,
    name: str = "case",
) -> R:
    """``tf.case``: the function of the first condition that holds, else the default.

    >>> case([(False, lambda: 1), (True, lambda: 2)])
    2

    Raises:
        ArgumentValueError: none holds and there is no default; or, if ``exclusive``, several do.
    """
    pairs = list(pred_fn_pairs.items()) if isinstance(pred_fn_pairs, dict) else list(pred_fn_pairs)
    holding = [function for condition, function in pairs if bool(condition)]
    if exclusive and len(holding) > 1:
        raise ArgumentValueError.of("exclusive", True, f"{len(holding)} conditions hold.")
    chosen = holding[0] if holding else default
    if chosen is None:
        raise ArgumentValueError.of("pred_fn_pairs", len(pairs), "No condition holds: give a default.")
    return chosen()


def while_loop(
    cond: Callable[..., bool | Tensor],
    body: Callable[..., Nested],
    loop_vars: Sequence[Nested],
    shape_invariants: Nested = None,
    parallel_iterations: int = 10,
    back_prop: bool = True,
    swap_memory: bool = False,
    name: str | None = None,
    maximum_iterations: int | Tensor | None = None,
    return_same_structure: bool = False,
) -> Nested:
    """``tf.while_loop``: Python's ``while``. As in a graph, all rounds have the variables that the first one gets.

    >>> while_loop(lambda n, total: n < 3, lambda n, total: (n + 1, total + n), [0, 0])
    (3, 3)

    Args:
        loop_vars: what ``cond`` and ``body`` are called with; ``body`` returns as many.
        maximum_iterations: at most so many rounds.

    Returns:
        What the last round returned, in the kind of sequence that was given; one value by itself.

    Raises:
        ArgumentValueError: the body returns another number of values.
    """
    values, rounds, condition, round_of = tuple(loop_vars), 0, as_one(cond), as_one(body)
    while (maximum_iterations is None or rounds < int(maximum_iterations)) and bool(condition(*values)):
        result = round_of(*values)
        new = tuple(result) if isinstance(result, (list, tuple)) else (result,)
        if len(new) != len(values):
            raise ArgumentValueError.of("body", f"{len(new)} values", f"It returns {len(values)}, as it is given.")
        values, rounds = new, rounds + 1
    if not back_prop:
        values = tuple(each.detach() if isinstance(each, Tensor) else each for each in values)
    return values[0] if len(values) == 1 and not return_same_structure else values


def map_fn(
    fn: Callable[[Nested], Nested],
    elems: Nested,
    dtype: Nested = None,
    parallel_iterations: int | None = None,
    back_prop: bool = True,
    swap_memory: bool = False,
    infer_shape: bool = True,
    name: str | None = None,
) -> Nested:
    """``tf.map_fn``: a function of each row, stacked; ``torch.vmap`` runs it once for all.

    As in a graph, all rows have the variables that the first one gets; so it is of :func:`scan`, ``foldl``, ``foldr``.

    >>> map_fn(lambda row: row.sum(), torch.tensor([[1, 2], [3, 4]]))
    tensor([3, 7])

    Args:
        elems: a tensor, or a tuple of tensors with as many rows.
    """
    return _stacked(list(map(as_one(fn), _rows(elems))))


def scan(
    fn: Callable[[Nested, Nested], Nested],
    elems: Nested,
    initializer: Nested = None,
    parallel_iterations: int = 10,
    back_prop: bool = True,
    swap_memory: bool = False,
    infer_shape: bool = True,
    reverse: bool = False,
    name: str | None = None,
) -> Nested:
    """``tf.scan``: what a function makes of its last result and each row, all of it stacked.

    >>> scan(lambda total, n: total + n, torch.tensor([1, 2, 3]))
    tensor([1, 3, 6])
    """
    return _stacked(_folded(fn, elems, initializer, reverse=reverse), reverse=reverse)


def foldl(
    fn: Callable[[Nested, Nested], Nested],
    elems: Nested,
    initializer: Nested = None,
    parallel_iterations: int = 10,
    back_prop: bool = True,
    swap_memory: bool = False,
    name: str | None = None,
) -> Nested:
    """``tf.foldl``: the last result of :func:`scan`.

    >>> foldl(lambda total, n: total - n, torch.tensor([1, 2, 3]))
    tensor(-4)
    """
    return _folded(fn, elems, initializer, reverse=False)[-1]


def foldr(
    fn: Callable[[Nested, Nested], Nested],
    elems: Nested,
    initializer: Nested = None,
    parallel_iterations: int = 10,
    back_prop: bool = True,
    swap_memory: bool = False,
    name: str | None = None,
) -> Nested:
    """``tf.foldr``: :func:`foldl` from the last row on.

    >>> foldr(lambda total, n: total - n, torch.tensor([1, 2, 3]))
    tensor(0)
    """
    return _folded(fn, elems, initializer, reverse=True)[-1]


def _rows(elems: Nested) -> list[Nested]:
    """The rows of a nest of tensors, each a nest of the same kind."""
    if isinstance(elems, Tensor):
        return list(elems.unbind(0))
    if isinstance(elems, dict):
        rows = zip(*(_rows(each) for each in elems.values()), strict=True)
        return [dict(zip(elems, row, strict=True)) for row in rows]
    return [like(elems, row) for row in zip(*(_rows(each) for each in elems), strict=True)]


def _stacked(results: list[Nested], *, reverse: bool = False) -> Nested:
    """Nests of one kind as one nest of their rows."""
    if not results:
        raise ArgumentValueError.of("elems", "no rows", "Give at least one.")
    first = results[0]
    if isinstance(first, dict):
        return {key: _stacked([each[key] for each in results], reverse=reverse) for key in first}
    if isinstance(first, (tuple, list)):
        return like(first, [_stacked(list(each), reverse=reverse) for each in zip(*results, strict=True)])
    each = [torch.as_tensor(result) for result in results]
    return torch.stack(each[::-1] if reverse else each)


def _folded(
    fn: Callable[[Nested, Nested], Nested], elems: Nested, initializer: Nested, *, reverse: bool
) -> list[Nested]:
    rows = _rows(elems)[:: -1 if reverse else 1]
    if not rows:
        raise ArgumentValueError.of("elems", "no rows", "Give at least one.")
    results = [rows.pop(0)] if initializer is None else []
    last, round_of = results[0] if results else initializer, as_one(fn)
    for row in rows:
        last = round_of(last, row)
        results.append(last)
    return results


@contextlib.contextmanager
def control_dependencies(control_inputs: Iterable[Nested] | None) -> Iterator[None]:
    """``tf.control_dependencies``: nothing has to be said, for torch runs lines in their order.

    >>> with control_dependencies([]):
    ...     pass
    """
    yield


def group(*inputs: Nested, name: str | None = None) -> None:
    """``tf.group``: nothing, for what is given has run."""


def no_op(name: str | None = None) -> None:
    """``tf.no_op``: nothing."""


def identity(input: R, name: str | None = None) -> R:
    """``tf.identity``: a copy, which an operation in place on either does not change; what is no tensor, itself.

    >>> x = torch.zeros(1)
    >>> y = identity(x)
    >>> x += 1
    >>> y
    tensor([0.])
    """
    return input.clone() if isinstance(input, Tensor) else input  # type: ignore[return-value]  # of the same kind


def stop_gradient(input: Tensor, name: str | None = None) -> Tensor:
    """``tf.stop_gradient``: ``input.detach()``.

    >>> stop_gradient(torch.ones(1, requires_grad=True)).requires_grad
    False
    """
    return input.detach()
