"""One request for one path, complete and checked, as the store takes it."""

from __future__ import annotations

import contextlib
import operator
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, SupportsIndex

import torch

from ..errors import VariableShapeError
from .reuse import Reuse
from .sharding import Sharding
from .spec import Constraint, Initializer, Kind, Regularizer

# A function of shape= and dtype= that says how many parts along each axis; or how it is laid out over processes.
Cut = Callable[..., Any]
Partitioner = Cut | Sharding
DeviceLike = torch.device | str | int
Shape = Sequence[int] | int  # an int is the length of a vector


@dataclass(slots=True, eq=False, repr=False)
class Request:
    """One request for one path. ``None`` means: not asked for."""

    path: str
    kind: Kind
    reuse: Reuse
    shape: tuple[int, ...] | None
    dtype: torch.dtype | None
    default_dtype: torch.dtype | None
    initializer: Initializer
    regularizer: Regularizer | None = None
    trainable: bool | None = None
    collections: tuple[str, ...] | None = None
    device: torch.device | None = None
    constraint: Constraint | None = None
    persistent: bool = True
    axes: tuple[str | None, ...] | None = None
    sharding: Sharding | None = None


def as_shape(path: str, shape: Shape) -> tuple[int, ...]:
    """A shape as a tuple of ints; an int alone is a vector's.

    >>> as_shape("w", [2, 3]), as_shape("w", 4), as_shape("w", torch.Size([]))
    ((2, 3), (4,), ())
    """
    if type(shape) is list or type(shape) is tuple:
        for size in shape:
            if type(size) is not int or not 0 <= size <= sys.maxsize:
                break
        else:
            return tuple(shape)
    if hasattr(shape, "__index__") and not isinstance(shape, bool):
        with contextlib.suppress(TypeError):  # an array has it too, and can be an index if it is of one int
            shape = (operator.index(shape),)
    if hasattr(shape, "__next__"):  # it could be read only once
        raise VariableShapeError.of_invalid(path, shape)
    try:
        sizes = tuple(map(_as_size, shape))  # type: ignore[arg-type]
    except (TypeError, AttributeError):
        raise VariableShapeError.of_invalid(path, shape) from None
    if any(not 0 <= size <= sys.maxsize for size in sizes):
        raise VariableShapeError.of_invalid(path, shape)
    return sizes


def _as_size(size: SupportsIndex) -> int:
    """A size as a plain int: shapes are kept, and shared by all that are equal, which ``True`` and 1 are too."""
    if type(size) is int:
        return size
    if isinstance(size, bool):
        raise TypeError
    return int(size) if isinstance(size, int) else size.__index__()
