"""The ways into a module: each starts a call with an empty scope, and gives the caller's back on the way out."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import MethodType, TracebackType
from typing import Any, TypeVar, cast

from torch import nn
from torch.compiler import is_dynamo_compiling

from .._scopes.arguments import refuse_late
from .._scopes.call import Call
from .._scopes.scope import VariableScope, open_base
from .._scopes.stack import (
    Stack,
    current_call,
    current_scope,
    innermost_call,
    pop,
    refuse_other_task,
    running_task,
    runs_here,
    thread,
    ways_to_the_stack,
)
from .._torch import compiled_from
from .._variables.initialize import back_to
from .._variables.path_tree import OUTSIDE
from .._variables.store import VariableStore
from ..errors import ArgumentTypeError, ScopeNestingError, TracingError
from . import building

_PLANS = 64  # functions of which a module knows what their last call did

F = TypeVar("F", bound=Callable[..., Any])
R = TypeVar("R")

ways_to_the_stack.append(lambda: thread.stack)


class Root(nn.Module):
    """The module that a call runs: it owns variables. ``ScopedModule`` is the only kind."""

    variables: VariableStore


def run(
    root: Root,
    stack: Stack,
    function: Callable[..., R],
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
    *,
    is_first: bool = False,
) -> R:
    """One call: an empty scope, the function, and the caller's scope back.

    In the first call of a ``@scoped`` method, variables below default names are held against the code that made them.
    """
    store: VariableStore = root._modules["variables"]  # type: ignore[assignment]  # faster than the attribute
    call = Call(root, store, stack.call, function)
    try:
        if not store.settled:
            building.start(call, sets_built=True)
        if is_first:
            call.compares, call.parameters = True, {}
        base = open_base(call)
        if store._forward_pre_hooks:
            store.run_pre_hooks()
        sharding = store.sharding
        result = function(root, *args, **kwargs) if sharding is None else sharding.run(function, root, args, kwargs)
        # Most calls leave nothing open, created or collected.
        if stack.call is not call or call.scope is not base or call.building is not None or call.collected is not None:
            _close(call, base)
        elif call.got is not None and not call.traced:
            _remember(call, function)
        return result
    except BaseException:
        if call.building is not None:
            building.roll_back(call)
        raise
    finally:  # what building.end does, in line
        try:
            pop(call)
        except BaseException:  # an interrupt: the caller gets its scope back all the same
            pop(call)
            raise


def _remember(call: Call, function: object) -> None:
    """Let the next call of the same function be held against what happened in this one."""
    plan = call.as_plan(len(call.store.specs))
    if plan is not None:
        plans = call.store.entered
        plans[function] = plan
        for oldest in list(plans)[:-_PLANS]:  # of functions that are no forward any more, perhaps
            plans.pop(oldest, None)


def _close(call: Call, base: VariableScope) -> None:
    """End a call that succeeded: nothing may be open, and what it made is kept."""
    found = current_scope()
    if found is not base:
        name = "no scope at all" if found is None else f"'{found.name}'"
        raise ScopeNestingError.of(f"the call of {call.store.owner}", name)
    if call.failed_block is not None:
        raise TracingError.of_failed_block(call.failed_block)
    if call.collected is not None:
        call.store.collected = call.loose
    if call.building is not None:
        building.finish(call)


def running(root: Root) -> Call | None:
    """The call of this very module that is running in this thread, if the innermost one is."""
    call = innermost_call()
    if call is None or call.root is not root:
        return None
    refuse_other_task(call)
    return call


def starting_a_call(forward: F) -> F:
    """``forward``, wrapped so that it starts a call; not where a subclass's own ``forward`` calls it by super()."""

    @functools.wraps(forward)
    def wrapper(self: Root, *args: Any, **kwargs: Any) -> Any:
        stack = thread.stack
        if stack.call is not None and not _is_forward_of(self, wrapper) and running(self) is not None:
            return forward(self, *args, **kwargs)
        return run(self, stack, forward, args, kwargs)

    # A code object of its own: torch.compile keeps what it compiled, and counts recompilations, by code object.
    own: Any = wrapper
    own.__code__ = own.__code__.replace(co_name=own.__name__, co_qualname=own.__qualname__)
    own._starts_call = wrapper
    return cast(F, wrapper)


def _is_forward_of(root: Root, wrapper: object) -> bool:
    """Whether torch calls this as the forward of the module, not ``super()`` or a forward put in its place."""
    if "forward" in root.__dict__:
        return getattr(root.__dict__["forward"], "__func__", None) is wrapper
    return type(root).forward is wrapper


def _starts_call(forward: object) -> bool:
    """Whether a forward starts a call itself. A function that wraps one has its attributes, but is not the one."""
    function = getattr(forward, "__func__", forward)
    if getattr(function, "_starts_call", None) is function:
        return True
    compiled = compiled_from(forward)  # torch.compile(model.forward)
    return compiled is not None and _starts_call(compiled)


def put_in_place(root: Root, forward: Callable[..., object]) -> Callable[..., object]:
    """A forward that is set on one module (``model.forward = ...``), as one that starts a call."""
    refuse_late(forward, "Give a forward that returns its result")
    if _starts_call(forward):
        return forward
    if isinstance(forward, MethodType) and forward.__self__ is root:
        return MethodType(starting_a_call(forward.__func__), root)
    root.__dict__["_forward_in_place"] = forward  # not in a closure: a copy of the module copies what is bound in it

    @functools.wraps(forward)
    def called(self: Root, *args: object, **kwargs: object) -> object:
        return self.__dict__["_forward_in_place"](*args, **kwargs)

    return MethodType(starting_a_call(called), root)


def mend_class(kind: type[Root]) -> None:
    """Let the forward of a class start a call, also one that was put there after the class was made."""
    forward = kind.forward
    if _starts_call(forward):
        return
    holder = next(cls for cls in kind.__mro__ if "forward" in cls.__dict__)
    if issubclass(holder, Root):
        holder.forward = starting_a_call(forward)
        return

    @functools.wraps(forward)
    def inherited(self: Root, *args: object, **kwargs: object) -> object:
        return super(kind, self).forward(*args, **kwargs)  # looked up again: a mixin may be patched

    kind.forward = starting_a_call(inherited)


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
        stack = thread.stack
        if stack.call is not None and running(self) is not None:
            return method(self, *args, **kwargs)
        if is_dynamo_compiling() or method in self.variables.entered:
            return run(self, stack, method, args, kwargs)
        try:
            return run(self, stack, method, args, kwargs, is_first=True)
        finally:
            self.variables.entered.setdefault(method, None)

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
        if store.sharding is not None:
            store.sharding.enter_block()
        call = Call(self._root, store, current_call())
        call.task = running_task()
        try:
            building.start(call, sets_built=False)
            if call.task is not None:
                call.tree = OUTSIDE  # others may find it: each scope is looked at
            self._open.append(open_base(call))
        except BaseException:  # an interrupt: __exit__ will not be called
            building.end(call)
            raise
        return self._root

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            base = self._innermost()
        except KeyboardInterrupt as interrupt:  # Python will not ask again
            self.__exit__(KeyboardInterrupt, interrupt, None)
            raise
        call = base._call
        try:
            self._open.remove(base)
            if kind is not None and call.building is not None:
                back_to(call.building.modes)
            if kind is None:
                _close(call, base)
            elif call.building is not None and not issubclass(kind, Exception):
                building.finish(call)  # KeyboardInterrupt and the like
        finally:
            try:
                building.end(call)
            except BaseException:  # an interrupt: the caller gets its scope back all the same
                building.end(call)
                raise

    def _innermost(self) -> VariableScope:
        """Of several blocks that are open at once, the innermost one of this thread, if this task opened it."""
        base = next((base for base in reversed(self._open) if runs_here(base._call)), self._open[-1])
        refuse_other_task(base._call)
        return base
