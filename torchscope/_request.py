"""What is asked for: the settings of a scope, the options of a get, and the request they make together."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypedDict, TypeVar

import torch
from torch import Tensor

from ._spec import Constraint, Initializer, Kind, Regularizer
from .errors import ArgumentTypeError, ArgumentValueError, VariableShapeError

T = TypeVar("T")
Getter = Callable[..., Any]
Partitioner = Callable[..., Any]  # of shape= and dtype=: how many parts along each axis
DeviceLike = torch.device | str | int
Shape = Any  # a sequence of ints, or one int for a vector


class VariableOptions(TypedDict, total=False):
    """The keyword-only arguments of ``get_variable``."""

    regularizer: Regularizer | None
    trainable: bool | None
    collections: Iterable[str] | None
    device: DeviceLike | None
    partitioner: Partitioner | None
    custom_getter: Getter | None
    constraint: Constraint | None


class BufferOptions(TypedDict, total=False):
    """The keyword-only arguments of ``get_buffer``."""

    persistent: bool
    device: DeviceLike | None


_TENSORFLOWS = {
    "caching_device": "; there is no caching of reads, and device= says where a variable lives",
    "use_resource": "; leave it out, every variable is a parameter or a buffer",
    "validate_shape": "; leave it out, shapes are always known",
    "synchronization": "; leave it out",
    "aggregation": "; leave it out",
}


def refuse_unknown(function: str, given: Any, options: type) -> None:
    """Raise the ``TypeError`` of a keyword argument that ``function`` does not have."""
    for name in given:
        if name not in options.__annotations__:
            hint = _TENSORFLOWS.get(name, "")
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}{hint}")


def refuse_late(function: Any, mend: str) -> None:
    """Refuse a generator or coroutine: its body would run when the scopes around its call are closed again."""
    late = (inspect.isgeneratorfunction, inspect.iscoroutinefunction, inspect.isasyncgenfunction)
    if any(is_late(function) for is_late in late):
        raise ArgumentTypeError.of(
            "a generator or coroutine", function, f"Its body runs after the scope is closed. {mend}."
        )


def show_options(options: type) -> Callable[[T], T]:
    """Show ``**options`` as the keywords they are, to ``help()`` and editors.

    They are taken as one dict because each keyword-only argument of a function costs 20 ns in every call that does
    not give it.
    """

    def show(function: T) -> T:
        signature = inspect.signature(function)  # type: ignore[arg-type]
        parameters = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        for name, annotation in options.__annotations__.items():
            default = True if name in ("persistent", "auxiliary_name_scope") else None
            written = annotation.__forward_arg__
            parameters.append(
                inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=written)
            )
        function.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        return function

    return show


class Settings:
    """What a scope hands down to the scopes and variables inside it. Never changed in place: inner scopes share it."""

    __slots__ = ("constraint", "custom_getter", "device", "dtype", "initializer", "partitioner", "regularizer", "plain")

    initializer: Initializer
    regularizer: Regularizer | None
    dtype: torch.dtype | None
    device: DeviceLike | None
    partitioner: Partitioner | None
    custom_getter: Getter | None
    constraint: Constraint | None
    plain: bool  # neither getter nor partitioner: an existing variable is returned as it is

    def __init__(self) -> None:
        for name in SETTINGS:
            setattr(self, name, None)
        self.plain = True

    def replace(self, **changes: Any) -> Settings:
        """A copy with some settings changed, each checked."""
        new = Settings()
        for name in SETTINGS:
            setattr(new, name, getattr(self, name))
        for name, value in changes.items():
            setattr(new, name, checked(name, value))
        new.plain = new.custom_getter is None and new.partitioner is None
        return new


SETTINGS = tuple(name for name in Settings.__slots__ if name != "plain")


def no_regularizer(variable: Tensor) -> None:
    """The regularizer that regularizes nothing: given to a scope or a variable, it switches an inherited one off.

    >>> from torchscope import ScopedModule, get_variable, variable_scope
    >>> def forward():
    ...     with variable_scope("dense", regularizer=lambda w: w.square().sum()):
    ...         get_variable("kernel", [3])
    ...         get_variable("bias", [3], regularizer=no_regularizer)
    >>> len(ScopedModule(forward).build().regularization_losses())
    1
    """


def checked(name: str, value: Any) -> Any:
    """A setting or option of this name, or an error that says what it must be."""
    if value is None:
        return None
    if name in ("regularizer", "partitioner", "custom_getter", "constraint") and not callable(value):
        raise ArgumentTypeError.of(name, value, "Give a function, or None.")
    if name == "dtype" and not isinstance(value, torch.dtype):
        raise ArgumentTypeError.of(name, value, "Give a torch.dtype such as torch.float32, or None.")
    if name == "device":
        try:
            return torch.device(value)
        except (RuntimeError, TypeError) as error:
            raise ArgumentValueError.of(name, value, f"Give a torch.device or its name: {error}") from None
    if name in ("trainable", "persistent") and not isinstance(value, bool):
        raise ArgumentTypeError.of(name, value, "Give True or False.")
    if name == "collections":
        if isinstance(value, str) or not all(isinstance(each, str) for each in value):
            raise ArgumentTypeError.of(name, value, 'Give a list of names, such as ["variables", "mine"].')
        return tuple(value)
    return value


@dataclass(slots=True)
class Request:
    """One request for one path, filled in and checked, as the store takes it. ``None`` means: not asked for."""

    path: str
    kind: Kind
    reuse: Any
    shape: tuple[int, ...] | None
    dtype: torch.dtype | None
    default_dtype: torch.dtype | None
    initializer: Initializer
    regularizer: Regularizer | None = None
    trainable: bool | None = None
    collections: tuple[str, ...] | None = None
    device: Any = None
    constraint: Constraint | None = None
    persistent: bool = True


def as_shape(path: str, shape: Any) -> tuple[int, ...]:
    """A shape as a tuple of ints; an int alone is a vector's.

    >>> as_shape("w", [2, 3]), as_shape("w", 4), as_shape("w", torch.Size([]))
    ((2, 3), (4,), ())
    """
    if isinstance(shape, int) and not isinstance(shape, bool):
        shape = (shape,)
    if hasattr(shape, "__next__"):  # it could be read only once
        raise VariableShapeError.of_invalid(path, shape)
    try:
        sizes = tuple(size if isinstance(size, int) else size.__index__() for size in shape)
    except (TypeError, AttributeError):
        raise VariableShapeError.of_invalid(path, shape) from None
    if any(size < 0 for size in sizes):
        raise VariableShapeError.of_invalid(path, shape)
    return sizes
