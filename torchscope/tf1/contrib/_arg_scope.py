"""``arg_scope``: defaults of arguments for all calls of some functions in a block."""

from __future__ import annotations

import functools
import inspect
import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from ...errors import ArgumentTypeError, ArgumentValueError

P = ParamSpec("P")
R = TypeVar("R")
Defaults = dict[str, dict[str, Any]]  # of each function, by its key

_numbers = itertools.count()


class _Stack(threading.local):
    """The defaults that are in force in each thread."""

    def __init__(self) -> None:
        self.defaults: Defaults = {}


_stack = _Stack()


def add_arg_scope(func: Callable[P, R]) -> Callable[P, R]:
    """Let :func:`arg_scope` set defaults of a function's arguments (``tf.contrib.framework.add_arg_scope``).

    >>> @add_arg_scope
    ... def scaled(x, by=1):
    ...     return x * by
    >>> with arg_scope([scaled], by=3):
    ...     scaled(2), scaled(2, by=5)
    (6, 10)
    """
    key = f"{getattr(func, '__module__', '')}.{getattr(func, '__qualname__', func)} {next(_numbers)}"

    @functools.wraps(func)
    def with_defaults(*args: P.args, **kwargs: P.kwargs) -> R:
        defaults = _stack.defaults.get(key)
        return func(*args, **kwargs) if defaults is None else func(*args, **{**defaults, **kwargs})

    parameters = inspect.signature(func).parameters
    any_name = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())
    with_defaults._takes = None if any_name else tuple(parameters)  # type: ignore[attr-defined]
    with_defaults._key_op = key  # type: ignore[attr-defined]
    return with_defaults


class _ArgScope:
    """What :func:`arg_scope` returns."""

    def __init__(self, defaults: Defaults) -> None:
        self._defaults = defaults
        self._before: list[Defaults] = []

    def __enter__(self) -> Defaults:
        self._before.append(_stack.defaults)
        _stack.defaults = self._defaults
        return self._defaults

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _stack.defaults = self._before.pop()


def arg_scope(list_ops_or_scope: Sequence[Callable[..., Any]] | Mapping[str, Any], **kwargs: Any) -> _ArgScope:
    """Defaults for arguments of functions in a block (``tf.contrib.framework.arg_scope``); a call's own come first.

    Inner blocks add to outer ones. What ``as`` gives can be entered again later, in place of all that is in force then.

    >>> import torch
    >>> from torchscope import ScopedModule
    >>> from torchscope.tf1 import slim
    >>> def forward(x):
    ...     with slim.arg_scope([slim.fully_connected], activation_fn=None, biases_initializer=None) as linear:
    ...         x = slim.fully_connected(x, 4)
    ...     with slim.arg_scope(linear):
    ...         return slim.fully_connected(x, 2)
    >>> list(ScopedModule(forward, layout="tf").build(torch.ones(1, 3)).variables)
    ['fully_connected/weights', 'fully_connected_1/weights']

    Args:
        list_ops_or_scope: functions that :func:`add_arg_scope` decorated; or what another block gave.
        kwargs: the defaults.

    Raises:
        ArgumentTypeError: neither.
        ArgumentValueError: a function that was not decorated, or that takes no such argument.
    """
    if isinstance(list_ops_or_scope, Mapping):
        if kwargs:
            raise ArgumentValueError.of("kwargs", kwargs, "A block that is entered again takes no further defaults.")
        return _ArgScope(dict(list_ops_or_scope))
    if not isinstance(list_ops_or_scope, (list, tuple)):
        raise ArgumentTypeError.of("list_ops_or_scope", list_ops_or_scope, "Give a list of functions.")
    defaults = dict(_stack.defaults)
    for function in list_ops_or_scope:
        if not has_arg_scope(function):
            raise ArgumentValueError.of("list_ops_or_scope", function, "Decorate it with add_arg_scope.")
        _refuse_unknown(function, kwargs)
        key = arg_scope_func_key(function)
        defaults[key] = {**defaults.get(key, {}), **kwargs}
    return _ArgScope(defaults)


def _refuse_unknown(function: Callable[..., Any], given: Mapping[str, Any]) -> None:
    """Refuse defaults that a function does not take: where it is called, the block would be far away."""
    takes: tuple[str, ...] | None = function._takes  # type: ignore[attr-defined]
    for name in given:
        if takes is not None and name not in takes:
            mend = (
                f"{getattr(function, '__name__', function)} takes {', '.join(inspect.signature(function).parameters)}."
            )
            raise ArgumentValueError.of(name, given[name], mend)


def has_arg_scope(func: Callable[..., Any]) -> bool:
    """Whether :func:`add_arg_scope` decorated a function.

    >>> has_arg_scope(print)
    False
    """
    return hasattr(func, "_key_op")


def arg_scope_func_key(op: Callable[..., Any]) -> str:
    """The key of a function in what :func:`arg_scope` gives."""
    return getattr(op, "_key_op", str(op))


def current_arg_scope() -> Defaults:
    """The defaults that are in force."""
    return _stack.defaults


def arg_scoped_arguments(func: Callable[..., Any]) -> tuple[str, ...]:
    """The arguments of a function that have defaults.

    >>> @add_arg_scope
    ... def scaled(x, by=1):
    ...     return x * by
    >>> arg_scoped_arguments(scaled)
    ('by',)
    """
    parameters = inspect.signature(func).parameters.values()
    return tuple(each.name for each in parameters if each.default is not inspect.Parameter.empty)
