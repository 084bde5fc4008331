"""``layer``: a function that makes variables, in a scope of its own."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from .._names import paths
from .._scopes.arguments import refuse_late
from .._scopes.scope import VariableScope
from .._scopes.stack import thread
from .._scopes.units import as_unit
from .._scopes.variable_scope import variable_scope
from ..errors import ArgumentTypeError
from .capture import report

P = ParamSpec("P")
R = TypeVar("R")


def layer(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function open a scope for its variables: by its own name, counted, or by ``scope=``.

    Each call takes a default name as TensorFlow's layers do, ``dense``, ``dense_1``, ...; a call with ``scope="out"``,
    or with a :class:`VariableScope`, takes that, and shares with another one as ``variable_scope`` allows. The function
    itself does not get ``scope``; declare it, ``scope: str | None = None``, for type checkers to know it.
    :class:`capture` sees what it returns.

    >>> import torch
    >>> from torchscope import ScopedModule, get_variable
    >>> from torchscope.tools import layer
    >>> @layer
    ... def dense(x, units):
    ...     return x @ get_variable("kernel", [x.shape[-1], units])
    >>> def forward(x):
    ...     return dense(dense(dense(x, 4), 4), 2, scope="out")
    >>> list(ScopedModule(forward).build(torch.ones(1, 3)).variables)
    ['dense/kernel', 'dense_1/kernel', 'out/kernel']

    Raises:
        ArgumentTypeError: it is no function that returns its result.
        InvalidNameError: its name can be no scope; give a function a name.
    """
    if not callable(function):
        raise ArgumentTypeError.of("function", function, "Mark a function that makes variables.")
    refuse_late(function, "Mark a function that returns its result")
    name = paths.check(getattr(function, "__name__", None))

    signature = inspect.signature(function)
    declared = signature.parameters.get("scope")
    places = list(signature.parameters)
    at = places.index("scope") if declared is not None and declared.kind is declared.POSITIONAL_OR_KEYWORD else None

    @functools.wraps(function)
    def in_scope(*args: P.args, **kwargs: P.kwargs) -> R:
        scope = cast("str | VariableScope | None", kwargs.pop("scope", None))
        if at is not None and len(args) > at:
            scope = cast("str | VariableScope | None", args[at])
            args = (*args[:at], None, *args[at + 1 :])  # type: ignore[assignment]
        with variable_scope(scope, name if scope is None else None) as opened:
            result = as_unit(opened, function)(*args, **kwargs)
            if thread.stack.watchers:
                report(opened.name, result)
            return result

    if declared is None:
        keyword = inspect.Parameter("scope", inspect.Parameter.KEYWORD_ONLY, default=None)
        shown = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        more = [p for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD]
        in_scope.__signature__ = signature.replace(parameters=[*shown, keyword, *more])  # type: ignore[attr-defined]
    return in_scope
