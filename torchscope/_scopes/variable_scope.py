"""``variable_scope``: opens a scope and closes it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import TracebackType
from typing import ParamSpec, TypeVar, Unpack, cast

from torch.autograd.profiler import record_function
from torch.compiler import is_dynamo_compiling

from .._names import paths
from .._names.events import BASE, Entry, Left
from .._torch import in_backward
from .._variables.path_tree import OUTSIDE
from ..errors import ArgumentTypeError, ArgumentValueError, InvalidNameError, ScopeNestingError
from .arguments import Getter, ScopeOptions, checked, refuse_late, refuse_unknown, show_options
from .call import NO_CALL, Call
from .getter import compose
from .naming import check_default, default_names, unique_name
from .scope import ClosedScope, EnteredScope, VariableScope, place
from .settings import NO_SETTINGS, SETTINGS, Settings
from .stack import current_call, innermost, open_scope, thread, ways_to_the_stack
from .units import as_unit

P = ParamSpec("P")
R = TypeVar("R")

ways_to_the_stack.append(lambda: thread.stack)


@show_options(ScopeOptions)
def variable_scope(
    name_or_scope: str | VariableScope | None,
    default_name: str | None = None,
    values: object = None,
    **options: Unpack[ScopeOptions],
) -> ScopeManager:
    """Open a scope for the variables that are got inside (``tf.variable_scope``).

    A string nests: ``"b"`` inside ``a`` is ``a/b``. A :class:`VariableScope` jumps: its own path and settings become
    current whatever is open, and the caller's come back on leaving. What is not given is inherited. One object may be
    entered again and again, also while it is open. As a decorator it opens the scope anew in each call. Opened while no
    module is running, in a constructor for example, it gives a :class:`VariableScope` to be opened in a call later.

    >>> import torch
    >>> from torchscope import ScopedModule, get_variable, variable_scope
    >>> def dense(x, units):
    ...     return x @ get_variable("kernel", [units, x.shape[-1]]).T
    >>> def forward(x):
    ...     with variable_scope("hidden"):
    ...         x = dense(x, 4).relu()
    ...     for _ in range(2):
    ...         with variable_scope(None, default_name="block"):
    ...             x = dense(x, 4)
    ...     return x
    >>> list(ScopedModule(forward).build(torch.ones(2, 3)).variables)
    ['hidden/kernel', 'block/kernel', 'block_1/kernel']

    Args:
        name_or_scope: a name, which may hold slashes; a :class:`VariableScope`; ``""`` at the root for the root
            itself; or ``None`` to use ``default_name``.
        default_name: the name to open if ``name_or_scope`` is ``None``, made unique among the scopes that were opened
            in the parent: ``conv``, ``conv_1``, ...
        values: taken for TensorFlow's sake and not used: it names the inputs that choose a graph.
        initializer, regularizer, dtype, device, partitioner, constraint: defaults for the variables inside.
        custom_getter: ``custom_getter(getter, name, *args, **kwargs)`` makes every variable inside; it is called
            before an outer scope's getter and its ``getter`` is the outer one's.
        reuse: ``True`` to share only, ``AUTO_REUSE`` to share or create. ``False`` and ``None`` inherit: sharing
            cannot be turned off inside.
        auxiliary_name_scope: whether to open a name scope for operations too.

    Raises:
        InvalidNameError: the name cannot be a path.
        NoActiveModuleError: entered by a default name, which a call counts, while no module is running in this thread.
        ScopeNestingError: left while it is not the innermost open scope; or a module is called while a scope is open
            that was opened outside of any call: the call would not see it.
        ArgumentValueError: ``reuse`` together with a default name, or no such value of ``reuse``.
    """
    # A function, since it makes the manager in half the time that a class takes to call its __init__.
    manager = ScopeManager()
    manager._name_or_scope = name_or_scope
    manager._options = options
    manager._scope = None
    if options or default_name is not None:
        manager._take(default_name)
    return manager


class ScopeManager:
    """What :func:`variable_scope` returns: a context manager and decorator."""

    __slots__ = ("_default_name", "_entered", "_first", "_name_or_scope", "_options", "_scope", "_settings_given")

    _name_or_scope: str | VariableScope | None
    _options: ScopeOptions
    _scope: VariableScope | None  # the one scope that it has opened so far; or NOT_ONE, and the slow path is taken
    _default_name: str | None  # if one was given
    _settings_given: dict[str, object]  # the settings among the options, if there are options
    _first: VariableScope  # the scope that it opened first in the call that it was entered in last
    _entered: list[VariableScope]  # those that only the slow path may leave

    def __enter__(self) -> VariableScope:
        try:
            call: Call = thread.stack.call  # type: ignore[assignment]  # without one, the slow path
            outer = call.scope
            node = outer._node.scopes[self._name_or_scope]  # type: ignore[index]  # a scope object is in no dict
            at = call.at
        except (LookupError, TypeError, AttributeError):  # no variable lies below it yet, or it is no single name
            return self._enter_slowly()
        if self._scope is not None:
            return self._enter_slowly()
        scope = EnteredScope()
        scope._node = node
        scope._settings = outer._settings
        scope._call = call
        scope._parent = outer
        scope._at = at
        if call.events[at] is node:  # as in the last call
            call.at = at + 1
        else:
            call.note(node)
        self._scope = call.scope = scope
        return scope

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        scope = self._scope
        if scope is None or scope._call.scope is not scope:
            self._leave_slowly(failed=kind is not None)
        else:
            scope._call.scope = scope._parent  # type: ignore[assignment]  # only the bottom of a call has none

    # The slow path

    def _take(self, default_name: str | None) -> None:
        """Check what was given beside a name; what has options is entered on the slow path."""
        if default_name is not None and not isinstance(default_name, str):
            mend = "Give a name; initializers and other settings go by their keywords."
            raise ArgumentTypeError.of("default_name", default_name, mend)
        self._default_name = default_name
        if self._options:
            self._scope = NOT_ONE
            self._check_options(self._options)

    def _settle_name(self) -> None:
        """Check the name."""
        name = self._name_or_scope
        if name is None:
            self._default_name = check_default(getattr(self, "_default_name", None))
        elif isinstance(name, VariableScope):
            name.settle()
        elif not isinstance(name, str):
            raise ArgumentTypeError.of("name_or_scope", name, "Give a name, a VariableScope, or None.")
        elif name:
            self._name_or_scope = paths.check(name)

    def _check_options(self, options: ScopeOptions) -> None:
        name = self._name_or_scope
        refuse_unknown("variable_scope", options, ScopeOptions)
        reuse = options.get("reuse")
        checked("reuse", reuse)
        opens = options.get("auxiliary_name_scope", True)
        if not isinstance(opens, bool):
            raise ArgumentTypeError.of("auxiliary_name_scope", opens, "Give True or False.")
        if reuse and name is None:
            mend = "A default name opens a new scope, which has nothing to share. Give a name to share."
            raise ArgumentValueError.of("reuse", reuse, mend)
        self._settings_given = {
            name: value for name, value in options.items() if name in SETTINGS and value is not None
        }
        if self._settings_given:
            Settings().replace(**self._settings_given)  # a bad setting is told here, where it stands, not on entering

    def _enter_slowly(self) -> VariableScope:
        if self._name_or_scope is None and self._scope is None:
            scope = _enter_as_before(self)
            if scope is not None:
                return scope
        self._settle_name()
        name = self._name_or_scope
        if name is not None and no_call_here():
            self._scope = NOT_ONE
            self._entered = [*getattr(self, "_entered", []), open_outside(name, self)]
            return self._entered[-1]
        outer = innermost("variable_scope()" if name is not None else "variable_scope(None, default_name)")
        call = outer._call
        scope = EnteredScope()
        scope._call, scope._parent, scope._range = call, outer, None
        scope._settings = _settings_on_top_of((name if isinstance(name, VariableScope) else outer)._settings, self)
        opened = self._unique_name(call, outer) if name is None else name
        entry = self._entry(outer, opened)
        scope._at = call.at
        if isinstance(opened, VariableScope):
            assert call.tree is not None
            place(scope, call.tree, "", opened._prefix[:-1])
        else:
            place(scope, outer._node, outer._prefix, opened)
        self._open_as(scope, entry)
        return scope

    def _unique_name(self, call: Call, outer: VariableScope) -> str:
        """A default name made unique; the same again if it was entered before in the same call."""
        first = self._first_in(call)
        entry = None if first is None else first._entry
        return unique_name(call, outer, self._default_name) if entry is None else entry.prefix[len(entry.outer) : -1]

    def _entry(self, outer: VariableScope, opened: str | VariableScope) -> Entry:
        """What to note of it: where its name says below the open scope; or, of a scope object, its own path."""
        call, opens = outer._call, self._options.get("auxiliary_name_scope", True)
        if isinstance(opened, VariableScope):
            default_names(call).by_path = True
            opened.refuse_elsewhere(call)
            own_name = opened._prefix[:-1].rpartition("/")[2]
            return Entry(opened._prefix, outer._prefix, own_name, opens, is_object=True, again=_same_as(opened, call))
        if not opened and outer._prefix:
            problem = f"it is empty, and the root can be opened so only at the root, not inside '{outer._prefix[:-1]}'"
            raise InvalidNameError.of(opened, problem)
        if not opened or "/" in opened:
            default_names(call).by_path = True
        by_default_name = self._name_or_scope is None
        own_name = str.__str__((self._default_name if by_default_name else opened) or "")  # of an enum, the string
        first = self._first_in(call)
        again = None if first is None else first._at if first._call is call else first
        prefix = outer._prefix + paths.prefix_of(opened)
        return Entry(prefix, outer._prefix, own_name, opens, by_default_name=by_default_name, again=again)

    def _first_in(self, call: Call) -> VariableScope | None:
        """The scope that it opened first in a call, if it was entered there before."""
        for first in (getattr(self, "_first", None), self._scope):
            if first is not None and first is not NOT_ONE and call.goes_on_after(first._call, first._at):
                return first
        return None

    def _open_as(self, scope: VariableScope, entry: Entry) -> None:
        """Make a scope the innermost one, and settle how it will be left."""
        call, before = scope._call, self._scope
        self._first = self._first_in(call) or scope
        if before is not None and before is not NOT_ONE and _is_open(before):
            self._entered = [before]
        entered = getattr(self, "_entered", [])
        fast = not entered and not call.profiled and not entry.ends_by_event
        if call.profiled and scope._prefix:
            scope._range = record_function(scope._prefix[:-1])
            scope._range.__enter__()  # type: ignore[no-untyped-call]
        call.note(entry)
        if fast:
            self._scope = call.scope = scope
        else:
            self._scope, self._entered = NOT_ONE, [*entered, scope]
            call.scope = scope

    def _leave_slowly(self, *, failed: bool) -> None:
        """Leave a scope whose end is to be noted, or that is a range of a profiler; any other is not the innermost one.

        While an exception is on its way out, scopes that are still open inside are left too: an interrupt may have come
        while one of them was being left, and the exception is what the user has to see.
        """
        innermost = scope = open_scope()
        own = getattr(self, "_entered", []) or [self._scope]
        while failed and scope is not None and not any(scope is one for one in own):
            scope = scope._parent
        if innermost is None or scope is None or not any(scope is one for one in own):
            raise self._nesting_error(innermost)
        call, left = scope._call, innermost
        while True:
            left.end_range()
            entry = left._entry
            if entry is not None and entry.ends_by_event:
                call.note(Left(left._at))
            if left is scope:
                break
            assert left._parent is not None
            left = left._parent
        self._entered = [one for one in getattr(self, "_entered", []) if one is not scope]
        if call is NO_CALL:
            thread.stack.open_outside(scope._parent)
        else:
            call.scope = scope._parent  # type: ignore[assignment]  # only the bottom of a call has none

    def _nesting_error(self, found: VariableScope | None) -> ScopeNestingError:
        name = self._name_or_scope
        asked = name._prefix[:-1] if isinstance(name, VariableScope) else name or getattr(self, "_default_name", None)
        return ScopeNestingError.of(f"scope {asked!r}", None if found is None else _described(found))

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function: each call of it opens the scope anew."""
        refuse_late(function, "Open the scope inside, around what has no yield or await")
        self._settle_name()
        name_or_scope, default_name, options = self._name_or_scope, getattr(self, "_default_name", None), self._options

        @functools.wraps(function)
        def inside(*args: P.args, **kwargs: P.kwargs) -> R:
            with variable_scope(name_or_scope, default_name, **options) as opened:
                return as_unit(opened, function)(*args, **kwargs)

        return inside


def _enter_as_before(manager: ScopeManager) -> VariableScope | None:
    """Enter by a default name, if the last call did the same here: after the same events the name is the same."""
    try:
        call: Call = thread.stack.call  # type: ignore[assignment]  # without one, the slow path
        outer, at = call.scope, call.at
        entry = call.events[at]
        if type(entry) is not Entry:
            return None
        prefix, above, own_name, opens, by_default_name, _, again = entry
        node = outer._node.scopes[prefix[len(above) : -1]]
        if not by_default_name or not opens or again is not None or own_name != manager._default_name:
            return None
    except (LookupError, TypeError, AttributeError):  # no variable lies below it, or no name at all was given
        return None
    if node.prefix != prefix:  # it was opened in another scope
        return None
    scope = EnteredScope()
    scope._node = node
    scope._settings = outer._settings
    scope._call = call
    scope._parent = outer
    scope._at = at
    call.at = at + 1
    manager._scope = call.scope = scope
    return scope


def no_call_here() -> bool:
    """Whether no module is running, and a scope is opened to be kept for a call that comes later."""
    return current_call() is None and not is_dynamo_compiling() and not in_backward()


def open_outside(name: str | VariableScope, manager: ScopeManager) -> VariableScope:
    """Open a scope while no module is running, as constructors do: a path and settings, to be opened in a call."""
    above = thread.stack.outside
    if isinstance(name, VariableScope):
        path, origin = name.name, name._settings
    else:
        path = name if above is None else paths.join(above.name, name)
        origin = NO_SETTINGS if above is None else above._settings
    scope = ClosedScope(path, _settings_on_top_of(origin, manager), paths.prefix_of(path))
    scope._parent, scope._call, scope._at = above, NO_CALL, BASE
    thread.stack.open_outside(scope)
    return scope


def _settings_on_top_of(settings: Settings, manager: ScopeManager) -> Settings:
    """The settings of a scope with those that a manager was given."""
    if not manager._options:
        return settings
    given, reuse = manager._settings_given, manager._options.get("reuse")
    if given:
        getter, outer_getter = cast("Getter | None", given.get("custom_getter")), settings.custom_getter
        if getter is not None and outer_getter is not None:
            given = {**given, "custom_getter": compose(getter, outer_getter)}
        settings = settings.replace(**given)
    return settings.sharing(reuse) if reuse and reuse is not settings.reuse else settings


NOT_ONE = EnteredScope()
"""As the one scope of a manager: there were several, or it is to be entered or left on the slow path."""
NOT_ONE._call, NOT_ONE._node, NOT_ONE._own_prefix = NO_CALL, OUTSIDE, ""


def _is_open(scope: VariableScope) -> bool:
    running: VariableScope | None = None if scope._call.is_over else scope._call.scope
    while running is not None and running is not scope:
        running = running._parent
    return running is scope


def _same_as(scope: VariableScope, call: Call) -> int | str | VariableScope:
    """Whose original name scope an entering of a scope object has, see :class:`Entry`."""
    known: str | None = getattr(scope, "_original", None)
    if known is not None:
        return known
    return scope._at if scope._call is call else scope


def _described(scope: VariableScope) -> str:
    return f"'{scope._prefix[:-1]}'" if scope._parent is not None else "the bottom of a call"
