"""``variable_scope``: opens a scope and closes it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import TracebackType
from typing import ParamSpec, TypeVar, Unpack

from .._names import paths
from ..errors import ArgumentTypeError, ArgumentValueError, InvalidNameError, ScopeNestingError
from .arguments import ScopeOptions, checked, refuse_late, refuse_unknown, show_options
from .getter import compose
from .naming import check_default, default_names, unique_name
from .scope import EnteredScope, Opening, Ranged, RememberedScope, VariableScope, place
from .settings import SETTINGS, Settings
from .stack import current_scope, innermost, thread, ways_to_the_stack

P = ParamSpec("P")
R = TypeVar("R")

ways_to_the_stack.append(lambda: thread.stack)


@show_options(ScopeOptions)
class variable_scope(Opening):
    """Open a scope for the variables that are got inside (``tf.variable_scope``).

    A string nests: ``"b"`` inside ``a`` is ``a/b``. A :class:`VariableScope` jumps: its own path and settings become
    current whatever is open, and the caller's come back on leaving. What is not given is inherited. One object may be
    entered again and again, also while it is open. As a decorator it opens the scope anew in each call.

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
        NoActiveModuleError: entered while no module is running in this thread.
        ScopeNestingError: left while it is not the innermost open scope.
        ArgumentValueError: ``reuse`` together with a default name, or no such value of ``reuse``.
    """

    __slots__ = ()

    def __init__(
        self,
        name_or_scope: str | VariableScope | None,
        default_name: str | None = None,
        values: object = None,
        **options: Unpack[ScopeOptions],
    ) -> None:
        if default_name is not None and not isinstance(default_name, str):
            mend = "Give a name; initializers and other settings go by their keywords."
            raise ArgumentTypeError.of("default_name", default_name, mend)
        self._name_or_scope = name_or_scope
        self._default_name = default_name
        self._options = options
        if options:
            self._check_options(options)

    def __enter__(self) -> VariableScope:
        call = thread.stack.call
        if self._options or call is None or call.careful:
            return self._enter_slowly()
        outer = call.scope
        name = self._name_or_scope
        if name is None:
            name = unique_name(call, outer, self, self._default_name)
        try:
            node = outer._node.scopes[name]  # type: ignore[index]  # a scope object is in no dict of names
        except (KeyError, TypeError):  # no variable lies below it yet, or it is no single name
            return self._enter_slowly()
        scope = EnteredScope()
        scope._node = node
        scope._reuse = outer._reuse
        scope._settings = outer._settings
        scope._call = call
        scope._parent = outer
        scope._previous = call.last
        scope._got_before = len(call.got)
        scope._opening = self
        call.last = call.scope = scope
        return scope

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        call = thread.stack.call
        if call is None or call.scope._opening is not self:
            self._leave_slowly(failed=kind is not None)
        else:
            call.scope = call.scope._parent  # type: ignore[assignment]  # only the bottom has none, and nothing opened it

    # The slow path

    def _settle_name(self) -> None:
        """Check the name; a scope object of a call that is over is replaced if it was itself opened from one."""
        name = self._name_or_scope
        if name is None:
            self._default_name = check_default(self._default_name)
        elif isinstance(name, VariableScope):
            opening = name._opened_by
            if opening is not None and opening.scope_object is not None and name._call.is_over:
                self._name_or_scope = RememberedScope(name)
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
        self._settle_name()
        outer = innermost("variable_scope()")
        call, again = outer._call, self.scope_object
        scope = EnteredScope()
        self._place(scope, outer)
        origin = outer if again is None else again
        scope._reuse, scope._settings = origin._reuse, origin._settings
        if self._options:
            scope._reuse = self._options.get("reuse") or origin._reuse
            scope._settings = self._settings_on_top_of(origin._settings)
        scope._call, scope._parent, scope._previous, scope._opening = call, outer, call.last, self
        scope._got_before = len(call.got)
        call.last = call.scope = scope
        if call.profiled and scope.name:
            scope._opening = Ranged(self, scope.name)
        return scope

    def _place(self, scope: VariableScope, outer: VariableScope) -> None:
        """Put the scope where its name says: below the open one, or, of a scope object, at its own path."""
        call, name = outer._call, self._name_or_scope
        if name is None:
            place(scope, outer._node, outer._prefix, unique_name(call, outer, self, self._default_name))
            return
        if isinstance(name, VariableScope):
            default_names(call).by_path = True
            assert call.tree is not None
            place(scope, call.tree, "", name.name)
            return
        if not name and outer.name:
            problem = f"it is empty, and the root can be opened so only at the root, not inside '{outer.name}'"
            raise InvalidNameError.of(name, problem)
        if not name or "/" in name:
            default_names(call).by_path = True
        place(scope, outer._node, outer._prefix, name)

    def _leave_slowly(self, *, failed: bool) -> None:
        """Leave a scope that has a range of a profiler to end; any other is not the innermost one.

        While an exception is on its way out, scopes that are still open inside are left too: an interrupt may have come
        while one of them was being left, and the exception is what the user has to see.
        """
        innermost = scope = current_scope()
        while failed and scope is not None and scope._opened_by is not self:
            scope = scope._parent
        if scope is None or scope._opened_by is not self:
            raise self._nesting_error(innermost)
        while innermost is not None and innermost is not scope._parent:
            innermost._end_range()
            innermost = innermost._parent
        assert scope._parent is not None
        scope._call.scope = scope._parent

    def _settings_on_top_of(self, settings: Settings) -> Settings:
        given = self._settings_given
        getter, outer_getter = given.get("custom_getter"), settings.custom_getter
        if getter is not None and outer_getter is not None:
            return settings.replace(**{**given, "custom_getter": compose(getter, outer_getter)})
        return settings.replace(**given) if given else settings

    def _nesting_error(self, found: VariableScope | None) -> ScopeNestingError:
        again = self.scope_object
        asked = (self._name_or_scope or self._default_name) if again is None else again.name
        return ScopeNestingError.of(f"scope {asked!r}", None if found is None else _described(found))

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function: each call of it opens the scope anew."""
        refuse_late(function, "Open the scope inside, around what has no yield or await")
        self._settle_name()
        name_or_scope, default_name, options = self._name_or_scope, self._default_name, self._options

        @functools.wraps(function)
        def inside(*args: P.args, **kwargs: P.kwargs) -> R:
            with variable_scope(name_or_scope, default_name, **options):
                return function(*args, **kwargs)

        return inside


def _described(scope: VariableScope) -> str:
    return f"'{scope.name}'" if scope._opening is not None else "the bottom of a call"
