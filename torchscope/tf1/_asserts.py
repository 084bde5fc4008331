"""``tf.assert_*``: what has to hold of values and shapes, told when the line runs; none makes an operation."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from .._torch import assert_when_it_runs
from ..errors import ArgumentValueError

Value = Tensor | float | Sequence[float]


class Assert(Protocol):
    """``tf.assert_equal`` and the like."""

    def __call__(
        self,
        x: Value,
        y: Value,
        data: object = None,
        summarize: int | None = None,
        message: str | None = None,
        name: str | None = None,
    ) -> None: ...


def _holds(name: str, sign: str, compare: Callable[[Tensor, Tensor], Tensor]) -> Assert:
    def check(
        x: Value,
        y: Value,
        data: object = None,
        summarize: int | None = None,
        message: str | None = None,
        name: str | None = None,
    ) -> None:
        said = f"{message}: " if message else ""
        left = torch.as_tensor(x)
        holds = compare(left, torch.as_tensor(y, device=left.device)).all()
        if torch.compiler.is_compiling() and (isinstance(x, Tensor) or isinstance(y, Tensor)):
            assert_when_it_runs(holds, f"{said}x {sign} y does not hold")
        elif not bool(holds):
            raise ArgumentValueError.of("x", x, f"{said}It has to be {sign} {y}.")

    check.__name__ = check.__qualname__ = name
    check.__doc__ = f"""``tf.{name}``: that ``x {sign} y`` holds of all elements.

    It is looked at at once; of tensors in compiled code, when that runs.

    >>> {name}({"2, 2" if "equal" in name else "3, 2" if "greater" in name else "1, 2"})

    Raises:
        ArgumentValueError: it does not hold; in compiled code a ``RuntimeError`` says so.
    """
    return check


assert_equal = _holds("assert_equal", "==", operator.eq)
assert_less = _holds("assert_less", "<", operator.lt)
assert_less_equal = _holds("assert_less_equal", "<=", operator.le)
assert_greater = _holds("assert_greater", ">", operator.gt)
assert_greater_equal = _holds("assert_greater_equal", ">=", operator.ge)


def assert_rank(
    x: Tensor,
    rank: int,
    data: object = None,
    summarize: int | None = None,
    message: str | None = None,
    name: str | None = None,
) -> None:
    """``tf.assert_rank``: that a tensor has so many axes.

    >>> assert_rank(torch.ones(2, 3), 2)

    Raises:
        ArgumentValueError: it has others.
    """
    if x.dim() != rank:
        raise ArgumentValueError.of(
            "x", tuple(x.shape), f"{message or 'Its rank is wrong'}: it has to have {rank} axes."
        )
