"""The ways into a module: each starts a call with an empty scope, and gives the caller's back on the way out."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, TypeVar, cast

from torch import nn

from .._scopes.arguments import refuse_late
from .._scopes.call import Call
from .._scopes.scope import VariableScope, open_base
from .._scopes.stack import current_call, current_scope, pop, runs_here, thread
from .._variables.initialize import back_to
from .._variables.store import VariableStore
from ..errors import ArgumentTypeError, ScopeNestingError
from . import building

F = TypeVar("F", bound=Callable[..., Any])
R = TypeVar("R")


class Root(nn.Module):
    """The module that a call runs: it owns variables. ``ScopedModule`` is the only kind."""

    variables: VariableStore


def run(
    root: Root,
    outer: Call | None,
    function: Callable[..., R],
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
) -> R:
    """One call: an empty scope, the function, and the caller's scope back."""
    store = cast(VariableStore, root._modules["variables"])
    call = Call(root, store, outer)
    try:
        if not store.settled:
            building.start(call, sets_built=True)
        base = open_base(call)
        if store._forward_pre_hooks:
            store.run_pre_hooks()
        result = function(root, *args, **kwargs)
        # Most calls leave nothing open, created or collected.
        if thread.call is not call or call.scope is not base or call.undo is not None or call.collected is not None:
            _close(call, base)
        return result
    except BaseException:
        if call.undo is not None:
            building.roll_back(call)
        raise
    finally:
        try:
            pop(call)
        except BaseException:  # an interrupt: it must not keep the caller from getting its scope back
            pop(call)
            raise


def _close(call: Call, base: VariableScope) -> None:
    """End a call that succeeded: nothing may be open, and what it made is kept."""
    found = current_scope()
    if found is not base:
        name = "no scope at all" if found is None else f"'{found.name}'"
        raise ScopeNestingError.of(f"the call of {call.store.owner}", name)
    if call.collected is not None:
        call.store.collected = call.collected
    if call.undo is not None:
        building.finish(call)


def running(root: Root) -> Call | None:
    """The call of this very module that is running in this thread, if the innermost one is."""
    call = current_call()
    return call if call is not None and call.root is root else None


def starting_a_call(forward: F) -> F:
    """``forward``, wrapped so that it starts a call; not where a subclass's own ``forward`` calls it by super()."""

    @functools.wraps(forward)
    def wrapper(self: Root, *args: Any, **kwargs: Any) -> Any:
        outer = thread.call
        if outer is not None and type(self).forward is not wrapper and running(self) is not None:
            return forward(self, *args, **kwargs)
        return run(self, outer, forward, args, kwargs)

    # A code object of its own: torch.compile keeps what it compiled, and counts recompilations, by code object.
    own: Any = wrapper
    own.__code__ = own.__code__.replace(co_name=own.__name__, co_qualname=own.__qualname__)
    own._starts_call = True
    return cast(F, wrapper)


def scoped(method: F) -> F:
    """Mark a method of a :class:`ScopedModule` as an entry point, like its ``forward``.

    Called from outside, the method starts a call of its own; called from inside a call of the same module, it goes on
    in that call and its scopes.

    >>> import torch
    >>> from torchscope import ScopedModule, get_variable, scoped
    >>> class Coder(ScopedModule):
    ...     @scoped
    ...     def encode(self, x):
    ...         return x * get_variable("scale", [])
    ...     def forward(self, x):
    ...         return self.encode(x)
    >>> coder = Coder(seed=0).build(torch.ones(1))
    >>> torch.equal(coder.encode(torch.ones(1)), coder(torch.ones(1)))
    True
    """

    refuse_late(method, "Mark a method that returns its result")

    @functools.wraps(method)
    def entry(self: Root, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(self, Root):
            raise ArgumentTypeError.of("self", self, "@scoped marks methods of a ScopedModule.")
        outer = thread.call
        if outer is not None and running(self) is not None:
            return method(self, *args, **kwargs)
        return run(self, outer, method, args, kwargs)

    return cast(F, entry)


class AsDefault:
    """``with module.as_default():``, a call whose body is the block."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._open: list[VariableScope] = []  # the bottom of each call

    def __enter__(self) -> Any:
        store = self._root.variables
        if store._forward_pre_hooks:
            store.run_pre_hooks()
        call = Call(self._root, store, thread.call)
        try:
            building.start(call, sets_built=False)
            self._open.append(open_base(call))
        except BaseException:  # an interrupt: __exit__ will not be called
            if call.undo is not None:
                building.roll_back(call)
            pop(call)
            raise
        return self._root

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Of several that are open at once, the one of this thread.
        base = next((base for base in reversed(self._open) if runs_here(base._call)), self._open[-1])
        self._open.remove(base)
        call = base._call
        if kind is not None and call.undo is not None:
            back_to(call.modes)
        try:
            if kind is None:
                _close(call, base)
            elif call.undo is not None and not issubclass(kind, Exception):
                building.finish(call)  # KeyboardInterrupt and the like
        finally:
            if call.undo is not None:  # it failed
                building.roll_back(call)
            pop(call)
