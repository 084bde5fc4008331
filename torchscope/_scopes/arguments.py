"""Arguments of the public functions: their options as typed dicts, and the checks of each value."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypedDict, TypeVar

import torch
from torch import Tensor

from .._variables.request import DeviceLike, Partitioner
from .._variables.reuse import AUTO_REUSE, Reuse
from .._variables.sharding import Sharding
from .._variables.spec import Constraint, Initializer, Regularizer
from ..errors import ArgumentTypeError, ArgumentValueError

T = TypeVar("T")
Getter = Callable[..., Tensor]  # or what it returns instead, which the caller of get_variable gets


class VariableOptions(TypedDict, total=False):
    """The keyword-only arguments of ``get_variable``."""

    regularizer: Regularizer | None
    trainable: bool | None
    collections: Iterable[str] | None
    device: DeviceLike | None
    partitioner: Partitioner | None
    custom_getter: Getter | None
    constraint: Constraint | None
    axes: Sequence[str | None] | None


class BufferOptions(TypedDict, total=False):
    """The keyword-only arguments of ``get_buffer``."""

    persistent: bool
    device: DeviceLike | None


class ScopeOptions(TypedDict, total=False):
    """The keyword-only arguments of ``variable_scope``."""

    initializer: Initializer
    regularizer: Regularizer | None
    device: DeviceLike | None
    partitioner: Partitioner | None
    custom_getter: Getter | None
    reuse: Reuse
    dtype: torch.dtype | None
    constraint: Constraint | None
    auxiliary_name_scope: bool


_TENSORFLOWS = {
    "caching_device": "; there is no caching of reads, and device= says where a variable lives",
    "use_resource": "; leave it out, every variable is a parameter or a buffer",
    "validate_shape": "; leave it out, shapes are always known",
    "synchronization": "; leave it out",
    "aggregation": "; leave it out",
}


def refuse_unknown(function: str, given: Iterable[str], options: type) -> None:
    """Raise the ``TypeError`` of a keyword argument that ``function`` does not have."""
    for name in given:
        if name not in options.__annotations__:
            hint = _TENSORFLOWS.get(name, "")
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}{hint}")


def refuse_late(function: object, mend: str) -> None:
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


def _of_numpy(dtype: object) -> torch.dtype:
    """The dtype of torch for one of numpy, as code for TensorFlow 1 gives it."""
    numpy = sys.modules.get("numpy")  # without it, there is none of its dtypes
    is_one = numpy is not None and (
        isinstance(dtype, numpy.dtype) or (isinstance(dtype, type) and issubclass(dtype, numpy.generic))
    )
    try:
        if is_one:
            return torch.from_numpy(numpy.empty(0, dtype)).dtype  # type: ignore[union-attr]
    except TypeError:
        pass
    raise ArgumentTypeError.of("dtype", dtype, "Give a torch.dtype such as torch.float32, or None.")


def _each(value: object) -> tuple[object, ...]:
    """What is in a list of names, which may be an iterator; of what is no list, a string too, just ``...``, no name."""
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (...,)


def checked(name: str, value: Any) -> Any:
    """A setting or option of this name, or an error that says what it must be."""
    if value is None:
        return None
    if name == "partitioner" and isinstance(value, Sharding):
        return value
    if name == "axes":
        of_axes = _each(value)
        if not all(isinstance(each, str | None) for each in of_axes):
            raise ArgumentTypeError.of(name, value, 'Give a name or None for each axis, such as ("embed", "mlp").')
        return of_axes
    if name in ("regularizer", "partitioner", "custom_getter", "constraint") and not callable(value):
        raise ArgumentTypeError.of(name, value, "Give a function, or None.")
    if name == "dtype" and not isinstance(value, torch.dtype):
        return _of_numpy(value)
    if name == "device":
        try:
            return torch.device(value)
        except (RuntimeError, TypeError) as error:
            raise ArgumentValueError.of(name, value, f"Give a torch.device or its name: {error}") from None
    if name in ("trainable", "persistent") and not isinstance(value, bool):
        raise ArgumentTypeError.of(name, value, "Give True or False.")
    if name == "collections":
        names = _each(value)
        if not all(isinstance(each, str) for each in names):
            raise ArgumentTypeError.of(name, value, 'Give a list of names, such as ["variables", "mine"].')
        return names
    if name == "reuse" and not (isinstance(value, bool) or value is AUTO_REUSE):
        raise ArgumentValueError.of("reuse", value, "Use True, False, None or AUTO_REUSE.")
    return value
