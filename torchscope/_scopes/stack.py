"""The stack of calls of each thread. A new thread starts with an empty one."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from torch import nn
from torch.compiler import is_dynamo_compiling

from .._torch import in_backward, unchecked
from .._variables.store import Asker
from ..errors import NoActiveModuleError, ScopeNestingError
from .call import Call

if TYPE_CHECKING:
    from .scope import VariableScope


class Watcher(Protocol):
    """A block that is told of what runs in its thread."""

    def begins(self, root: nn.Module) -> None:
        """A call begins, in this outermost module."""

    def record(self, path: str, value: object) -> None:
        """Something returned a value at a path."""


class Stack:
    """The innermost call of a thread; those it interrupts follow by ``outer``. A call knows its innermost scope.

    Its attribute is a slot. Of one in a ``__dict__``, as the ``threading.local`` itself has, Dynamo loses what is
    written after a branch of ``torch.cond`` was traced: a module that was called then got the caller's variables.
    """

    __slots__ = ("attended", "call", "outside", "watchers")

    def __init__(self) -> None:
        self.call: Call | None = None
        self.outside: VariableScope | None = None  # the innermost scope that was opened while no module was running
        self.watchers: tuple[
            Watcher, ...
        ] = ()  # blocks that are told of what runs; a tuple, for compiled code's guards
        self.attended = False  # whether there is one of these, so that the start of a call has one thing to look at

    def open_outside(self, scope: VariableScope | None) -> None:
        """Let this be the innermost scope that was opened while no module was running."""
        self.outside = scope
        self.attended = scope is not None or bool(self.watchers)

    def watch(self, watchers: tuple[Watcher, ...]) -> None:
        """Let these be told of what runs."""
        self.watchers = watchers
        self.attended = bool(watchers) or self.outside is not None


class _Thread(threading.local):
    """The stack of each thread, set in ``__init__`` and not on the class: ``torch.compile`` guards on where it is."""

    def __init__(self) -> None:
        self.stack = Stack()


thread = _Thread()

# How each module reaches the stack, by its own global. Dynamo forgets after a branch which of these are one object, but
# for those that it met in the branch: so a call that starts in a branch that is traced goes through all of them.
ways_to_the_stack: list[Callable[[], object]] = [lambda: thread.stack]


def attend(stack: Stack, call: Call) -> None:
    """Look at what is beside the call that starts: scopes that it would not see, and blocks that watch it.

    Raises:
        ScopeNestingError: a scope that was opened outside of any call is still open: the call would not see it.
    """
    if stack.outside is not None:
        raise ScopeNestingError.of_outside(call.store.owner, stack.outside.name)
    if not is_dynamo_compiling():
        root = outermost(call).root
        for watcher in stack.watchers:
            watcher.begins(root)


def outermost(call: Call) -> Call:
    """The call that this one is in, and that is in no other."""
    while call.outer is not None:
        call = call.outer
    return call


def let_run_in_branch(call: Call | None) -> None:
    """Make this the innermost call of the thread in a branch of control flow that is traced."""
    for way in ways_to_the_stack:
        way()
    unchecked(setattr, thread.stack, "call", call)


def pop(call: Call) -> None:
    """Give the caller's call back, however this one ended."""
    if call.profiled:  # ranges of scopes that were left open
        scope: VariableScope | None = getattr(call, "scope", None)  # an interrupt may have come before it was pushed
        while scope is not None:
            scope.end_range()
            scope = scope._parent
    stack = thread.stack
    if stack.call is call or runs_here(call):
        if call.in_branch and is_dynamo_compiling():  # it may end in eager code, behind a graph break
            let_run_in_branch(call.outer)
        else:
            stack.call = call.outer
    call.end()


def runs_here(call: Call) -> bool:
    """Whether a call is this thread's innermost one, or one that this interrupts."""
    return is_part_of(thread.stack.call, call)


def is_part_of(inner: Asker | None, call: Call) -> bool:
    """Whether a call is this one or runs inside it."""
    while inner is not None and inner is not call:
        inner = inner.outer
    return inner is call


def running_task() -> object:
    """The asyncio task that is running in this thread, or ``None``."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None or is_dynamo_compiling():
        return None
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop is running here
        return None


def refuse_other_task(call: Call) -> None:
    """Refuse a call that another task holds open across an ``await``.

    Raises:
        ScopeNestingError: this task did not open it.
    """
    if call.task is None:
        return
    task = running_task()
    if task is not call.task:
        found_by = "code outside of it" if task is None else f"the task {_name(task)}"
        raise ScopeNestingError.of_task(call.store.owner, _name(call.task), found_by)


def _name(task: object) -> str:
    return repr(getattr(task, "get_name", lambda: "?")())


def current_call() -> Call | None:
    """The innermost call of this thread that is not over.

    Raises:
        ScopeNestingError: it belongs to another asyncio task.
    """
    call = innermost_call()
    if call is not None:
        refuse_other_task(call)
    return call


def innermost_call() -> Call | None:
    """The innermost call of this thread that is not over, whichever task it belongs to."""
    call = thread.stack.call
    if call is not None and call.is_over:  # it was left in another thread, or before those inside it
        while call is not None and call.is_over:
            call = call.outer
        thread.stack.call = call
    return call


def current_scope() -> VariableScope | None:
    """The innermost open scope of this thread, if a module is running in it."""
    call = current_call()
    return None if call is None else call.scope


def open_scope() -> VariableScope | None:
    """The innermost open scope of this thread, also one that was opened while no module was running."""
    return current_scope() or thread.stack.outside


def innermost(function: str) -> VariableScope:
    """The innermost open scope of this thread, on behalf of a public function.

    Raises:
        NoActiveModuleError: no module is running in this thread.
    """
    call = thread.stack.call
    if call is None or call.is_over or call.task is not None:
        call = current_call()
        if call is None:
            outside = thread.stack.outside
            open_here = None if outside is None else outside.name
            raise NoActiveModuleError.of(function, in_backward=in_backward(), open_here=open_here)
    return call.scope
