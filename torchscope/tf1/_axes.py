"""Axes as TensorFlow 1 gives them: one, several, or all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from torch import Tensor

from ..errors import ArgumentTypeError, ArgumentValueError

T = TypeVar("T")
D = TypeVar("D")

Axes = int | Sequence[int] | Tensor | None


def axes_of(name: str, given: Axes, rank: int) -> list[int]:
    """The axes that are meant, counted from the front; ``None`` means all.

    Raises:
        ArgumentValueError: an axis that there is not, or one that is given twice.
        ArgumentTypeError: not an int, nor a sequence of ints.
    """
    if given is None:
        return list(range(rank))
    try:
        each = [given] if isinstance(given, int) else given.tolist() if hasattr(given, "tolist") else list(given)
        each = [n.__index__() for n in (each if isinstance(each, list) else [each])]
    except (TypeError, AttributeError):
        raise ArgumentTypeError.of(name, given, "Give an int, a list of ints, or None for all axes.") from None
    if any(not -rank <= axis < rank for axis in each):
        raise ArgumentValueError.of(name, given, f"The tensor has {rank} axes: give {-rank} to {rank - 1}.")
    found = [axis % rank for axis in each]
    if len(set(found)) < len(found):
        raise ArgumentValueError.of(name, given, "Give each axis once.")
    return found


def axis_of(name: str, given: int, rank: int) -> int:
    """One axis, counted from the front; raises as :func:`axes_of`."""
    if isinstance(given, bool) or not hasattr(given, "__index__"):
        raise ArgumentTypeError.of(name, given, "Give an int.")
    return axes_of(name, given.__index__(), rank)[0]


def either(name: str, given: T | None, other_name: str, other: T | None, default: D) -> T | D:
    """The value of an argument that has an old and a new name.

    Raises:
        ArgumentValueError: both were given.
    """
    if given is not None and other is not None:
        raise ArgumentValueError.of(name, given, f"It is the same as {other_name}={other!r}: give one of them.")
    found = other if given is None else given
    return default if found is None else found


def not_yet(function: str, **arguments: object) -> None:
    """Refuse arguments that TensorFlow takes and this library does not yet, if they were given.

    Raises:
        NotImplementedError: one of them is not ``None``.
    """
    for name, value in arguments.items():
        if value is not None and value is not False:
            mend = f"is not there yet.\nLeave {name} out, or write what it does yourself."
            if name == "seed":
                mend = "would not give TensorFlow's numbers.\nUse torch.manual_seed, or a seed of the initializer."
            raise NotImplementedError(f"{function}({name}={value!r}) {mend}")
