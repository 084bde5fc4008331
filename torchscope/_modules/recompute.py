"""Activation checkpointing of functions that get variables: the scope goes with the function into the recompute.

``torch.utils.checkpoint`` runs a function again in backward, when the call of the module is long over, maybe on another
thread. There the function would find no scope. Take :func:`checkpoint` from here instead, or wrap the function by
:func:`keep_scope`. A ``ScopedModule`` that is checkpointed as a whole needs neither: it starts a call of its own.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, ParamSpec, TypeVar

import torch
from torch.utils import checkpoint as torchs

from .._names.events import Entry
from .._scopes.stack import current_call, current_scope, innermost
from .._scopes.variable_scope import variable_scope
from .._torch import in_backward, unchecked
from ..errors import ArgumentValueError
from .snapshot import Snapshot

P = ParamSpec("P")
R = TypeVar("R")


def checkpoint(function: Callable[..., Any], *args: object, **kwargs: Any) -> Any:
    """``torch.utils.checkpoint.checkpoint``, which forgets activations, of a function that gets variables.

    >>> import torch
    >>> from torchscope import ScopedModule, get_variable, variable_scope
    >>> from torchscope.recompute import checkpoint
    >>> def dense(x):
    ...     return torch.tanh(x @ get_variable("kernel", [3, 3]))
    >>> def forward(x):
    ...     for layer in range(2):
    ...         with variable_scope(f"layer_{layer}"):
    ...             x = checkpoint(dense, x, use_reentrant=False)
    ...     return x
    >>> model = ScopedModule(forward, seed=0).build(torch.ones(1, 3))
    >>> model(torch.ones(1, 3)).sum().backward()
    >>> [tuple(kernel.grad.shape) for kernel in model.parameters()]
    [(3, 3), (3, 3)]

    Args:
        function: the function; it runs in the scope that is open here, now and again in backward.
        *args: of the function.
        **kwargs: of the function, and torch's own, ``use_reentrant`` among them.

    Raises:
        NoActiveModuleError: no module is running in this thread.
    """
    return torchs.checkpoint(keep_scope(function), *args, **kwargs)


def keep_scope(function: Callable[P, R]) -> Callable[P, R]:
    """The function, bound to the scope that is open now, for tools that checkpoint by themselves.

    Its first run is a part of this call, in this scope. Run again, in backward, it finds the scope, what was got
    before, and the counts of default names as they are here. There it creates nothing, and what it adds to collections
    is dropped.

    >>> import torch
    >>> from torchscope import ScopedModule, get_variable, variable_scope
    >>> from torchscope.recompute import keep_scope
    >>> def forward(x):
    ...     with variable_scope("a"):
    ...         scale = keep_scope(lambda x: x * get_variable("scale", []))
    ...         return torch.utils.checkpoint.checkpoint(scale, x, use_reentrant=False)
    >>> model = ScopedModule(forward).build(torch.ones(3))
    >>> model(torch.ones(3)).sum().backward()
    >>> model.variables["a/scale"].grad
    tensor(3.)

    Raises:
        NoActiveModuleError: no module is running in this thread.
        ArgumentValueError: raised by the function, if it opens default names in a second run.
    """
    scope = innermost("keep_scope()")
    if torch.compiler.is_compiling():  # the compiler traces the function here, and recomputes what it traced
        return functools.partial(unchecked, function)
    snapshot = Snapshot(scope)
    runs = itertools.count()

    @functools.wraps(function)
    def kept(*args: P.args, **kwargs: P.kwargs) -> R:
        # The first run is a part of the model's own call: what it opens and gets counts there.
        number = next(runs)
        ordinary = number == 0 or not in_backward()
        if ordinary and current_call() is snapshot.moment.call:
            call, before = scope._call, scope._call.at
            with nullcontext() if current_scope() is scope else variable_scope(scope):
                result = function(*args, **kwargs)
            if number and any(isinstance(e, Entry) and e.by_default_name for e in call.events[before : call.at]):
                mend = "It ran before, and opens default names: wrap it anew for each run, or backward mixes them up."
                raise ArgumentValueError.of("keep_scope's function", function, mend)
            return result
        with snapshot.resumed():
            return function(*args, **kwargs)

    return kept
