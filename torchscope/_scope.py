"""Scopes: what is open around a call of ``get_variable``, and the stack of each thread."""

from __future__ import annotations

import enum
import functools
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypedDict, TypeVar, Unpack

import torch
from torch import Tensor
from torch.autograd.profiler import record_function

from . import _names
from ._call import Call
from ._default_name import BY_PATH, Children, Counts
from ._getter import ask
from ._op_names import OpNames
from ._path_tree import OUTSIDE, PathNode, TracedNode
from ._request import (
    SETTINGS,
    DeviceLike,
    Getter,
    Partitioner,
    Settings,
    Shape,
    VariableOptions,
    refuse_late,
    refuse_unknown,
    show_options,
)
from ._spec import Constraint, Initializer, Regularizer
from ._store import GLOBAL_VARIABLES, LOCAL_VARIABLES, TRAINABLE_VARIABLES
from ._tracing import in_backward
from .errors import (
    ArgumentTypeError,
    ArgumentValueError,
    InvalidNameError,
    NoActiveModuleError,
    ScopeNestingError,
)

P = ParamSpec("P")
R = TypeVar("R")


class _ReuseMode(enum.Enum):
    AUTO_REUSE = 1

    def __repr__(self) -> str:
        return "AUTO_REUSE"


AUTO_REUSE = _ReuseMode.AUTO_REUSE
"""As ``reuse=``: return the variable if it exists, create it otherwise."""

Reuse = bool | Literal[_ReuseMode.AUTO_REUSE] | None


class _Thread(threading.local):
    """The innermost call of this thread; those it interrupts follow by ``outer``. A call knows its innermost scope.

    Set per thread in ``__init__``, not as a class attribute: ``torch.compile`` guards on where it is found.
    """

    call: Call | None

    def __init__(self) -> None:
        self.call = None


thread = _Thread()


class VariableScope:
    """A path prefix with the settings for the variables below it, as ``with variable_scope(...) as scope`` gives it.

    It is a record of one entering: re-opening the object (``variable_scope(scope)``) makes a new one that starts with
    this one's path and settings. It can be kept, also from call to call.

    >>> from torchscope import ScopedModule, get_variable, variable_scope
    >>> def forward():
    ...     with variable_scope("encoder") as scope:
    ...         w = get_variable("w", [3])
    ...     with variable_scope("elsewhere"), variable_scope(scope, reuse=True):
    ...         return w is get_variable("w"), scope.name
    >>> ScopedModule(forward)()
    (True, 'encoder')
    """

    __slots__ = (
        "_call",
        "_got_before",
        "_manager",
        "_node",
        "_original",
        "_own_prefix",
        "_parent",
        "_previous",
        "_reuse",
        "_settings",
    )

    _node: PathNode | TracedNode  # where it is in the tree of paths
    _own_prefix: str  # of a scope that is outside the tree
    _reuse: Reuse
    _settings: Settings
    _call: Call
    _parent: VariableScope | None  # the scope that was open around this one
    _previous: VariableScope | None  # the scope that was entered before this one in the call
    _got_before: int  # how many variables were got in the call before
    _manager: variable_scope | _Ranged | None  # what opened it; None at the bottom of a call
    _original: str  # its original name scope, once that was asked for

    def __init__(self) -> None:
        raise TypeError("A VariableScope is made by `with variable_scope(...) as scope`, not by hand.")

    @property
    def name(self) -> str:
        """The path of the scope, ``"a/b"``; ``""`` at the root."""
        return self._prefix[:-1]

    @property
    def _prefix(self) -> str:
        """What stands before the name of a variable: ``""`` or ``"a/b/"``."""
        return self._own_prefix if self._node is OUTSIDE else self._node.prefix

    @property
    def original_name_scope(self) -> str:
        """The name scope that was opened with the scope when it was first entered, with a trailing slash.

        >>> from torchscope import ScopedModule, variable_scope
        >>> def forward():
        ...     with variable_scope("foo") as first:
        ...         pass
        ...     with variable_scope("foo") as second, variable_scope(first) as again:
        ...         return [scope.original_name_scope for scope in (first, second, again)]
        >>> ScopedModule(forward)()
        ['foo/', 'foo_1/', 'foo/']
        """
        try:
            return self._original
        except AttributeError:
            names = op_names(self)
            names.read(self if self._call.last is None else self._call.last)
            self._original = names.original(self)
            return self._original

    @property
    def reuse(self) -> Reuse:
        """``False``, ``True`` or ``AUTO_REUSE``."""
        return self._reuse

    @property
    def initializer(self) -> Initializer:
        """What fills variables that are given no initializer; ``None`` is the default of their dtype."""
        return self._settings.initializer

    @property
    def regularizer(self) -> Regularizer | None:
        """The regularizer of parameters that are given none."""
        return self._settings.regularizer

    @property
    def dtype(self) -> torch.dtype | None:
        """The dtype of variables that are given none; ``None`` leaves it to the module."""
        return self._settings.dtype

    @property
    def device(self) -> DeviceLike | None:
        """The device of variables that are given none; ``None`` leaves it to the module."""
        return self._settings.device

    @property
    def partitioner(self) -> Partitioner | None:
        """What cuts the parameters here into parts, if they are given no partitioner of their own."""
        return self._settings.partitioner

    @property
    def custom_getter(self) -> Getter | None:
        """The getter that wraps the making of every variable here, outer scopes' getters included."""
        return self._settings.custom_getter

    @property
    def constraint(self) -> Constraint | None:
        """The constraint of parameters that are given none."""
        return self._settings.constraint

    def reuse_variables(self) -> None:
        """Share from here on: until this scope closes, ``get_variable`` returns what exists and creates nothing."""
        self._reuse = True

    def set_initializer(self, initializer: Initializer) -> None:
        """Set the default initializer until this scope closes; scopes already open inside keep theirs."""
        self._settings = self._settings.replace(initializer=initializer)

    def set_regularizer(self, regularizer: Regularizer | None) -> None:
        """Set the default regularizer until this scope closes."""
        self._settings = self._settings.replace(regularizer=regularizer)

    def set_dtype(self, dtype: torch.dtype | None) -> None:
        """Set the default dtype until this scope closes."""
        self._settings = self._settings.replace(dtype=dtype)

    def set_device(self, device: DeviceLike | None) -> None:
        """Set the default device until this scope closes."""
        self._settings = self._settings.replace(device=device)

    def set_partitioner(self, partitioner: Partitioner | None) -> None:
        """Set the default partitioner until this scope closes."""
        self._settings = self._settings.replace(partitioner=partitioner)

    def set_custom_getter(self, custom_getter: Getter | None) -> None:
        """Set the custom getter, instead of the one there was, until this scope closes."""
        self._settings = self._settings.replace(custom_getter=custom_getter)

    def set_constraint(self, constraint: Constraint | None) -> None:
        """Set the default constraint until this scope closes."""
        self._settings = self._settings.replace(constraint=constraint)

    def get_variable(
        self,
        name: str,
        shape: Shape | None = None,
        dtype: torch.dtype | None = None,
        initializer: Initializer = None,
        **options: Unpack[VariableOptions],
    ) -> Any:
        """:func:`torchscope.get_variable` in this scope, open or not, for the call that is running."""
        current = innermost("VariableScope.get_variable()")
        refuse_unknown("VariableScope.get_variable", options, VariableOptions)
        return ask(self, current._call, "parameter", name, shape, dtype, initializer, options, current)

    def get_collection(self, name: str) -> list[Any]:
        """:meth:`ScopedModule.get_collection` of the module that is running, below this scope."""
        call = innermost("VariableScope.get_collection()")._call
        return call.store.collection(name, _names.literal(self.name), call.collected or {})

    def trainable_variables(self) -> list[Tensor]:
        """The variables with a gradient below this scope, in the module that is running."""
        return self.get_collection(TRAINABLE_VARIABLES)

    def global_variables(self) -> list[Tensor]:
        """The variables that are saved, below this scope, in the module that is running."""
        return self.get_collection(GLOBAL_VARIABLES)

    def local_variables(self) -> list[Tensor]:
        """The variables that are not saved, below this scope, in the module that is running."""
        return self.get_collection(LOCAL_VARIABLES)

    def _end_range(self) -> None:
        """End its range of the trace that a profiler records, if there is one."""
        if isinstance(self._manager, _Ranged):
            self._manager.range.__exit__(None, None, None)
            self._manager = self._manager.manager

    def _opened_by(self) -> variable_scope | None:
        return self._manager.manager if isinstance(self._manager, _Ranged) else self._manager

    def _jumped(self) -> bool:
        manager = self._opened_by()
        return manager is not None and isinstance(manager._name_or_scope, VariableScope)

    def _asked_names(self) -> tuple[str, object, bool]:
        """What it asks of the names of operations: a name, whose original name scope it keeps, whether to open one."""
        manager = self._opened_by()
        assert manager is not None
        asked = manager._name_or_scope
        opens = (manager._options or {}).get("auxiliary_name_scope", True)
        if isinstance(asked, VariableScope):
            return asked.name.rpartition("/")[2], asked, opens
        return asked or manager._default_name or "", manager, opens

    def __repr__(self) -> str:
        return f"<VariableScope {self.name!r} reuse={self._reuse!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy, or a scope that went through pickle, is no record of an entering, just the path and the settings.
        return _closed_scope, (self.name, self._reuse, {k: getattr(self._settings, k) for k in SETTINGS})


class _Entered(VariableScope):
    """A VariableScope as the library makes it, since ``VariableScope()`` is refused; cheaper than ``__new__`` alone."""

    __slots__ = ()

    if not TYPE_CHECKING:
        __init__ = object.__init__


class _Remembered(VariableScope):
    """A scope of a call that is over, as it is opened again: its own path and settings, and whose name scope it keeps.

    It stands for a scope that was itself opened as an object, which would hold that one, and so on from call to call.
    """

    __slots__ = ("_first",)

    _first: VariableScope  # the one that was opened by a name

    def __init__(self, scope: VariableScope) -> None:
        first: Any = scope
        while first._jumped():
            first = first._opened_by()._name_or_scope
        self._first = first._first if isinstance(first, _Remembered) else first
        self._node, self._own_prefix = OUTSIDE, scope._prefix
        self._reuse, self._settings = scope._reuse, scope._settings
        self._call = self._first._call
        self._manager = self._parent = self._previous = None

    @property
    def original_name_scope(self) -> str:
        """That of the scope it stands for."""
        return self._first.original_name_scope


def _closed_scope(name: str, reuse: Reuse, settings: dict[str, Any]) -> VariableScope:
    scope = _Entered()
    scope._node, scope._own_prefix, scope._reuse = OUTSIDE, with_slash(name), reuse
    scope._settings = Settings().replace(**settings)
    scope._manager = scope._parent = scope._previous = None
    scope._original = with_slash(name)
    return scope


_no_settings = Settings()


def base_of(scope: VariableScope) -> VariableScope:
    """The scope at the bottom of its call."""
    while scope._parent is not None:
        scope = scope._parent
    return scope


def op_names(scope: VariableScope) -> OpNames:
    """The names of operations of the call of this scope, to be read up to the present."""
    call = scope._call
    if call.op_names is not None:
        return call.op_names  # type: ignore[no-any-return]
    names = _first_op_names(base_of(scope), call.got)
    if call.last is not None:  # the call is running: keep what is worked out
        call.op_names = names
    return names


def _first_op_names(base: VariableScope, got: dict[str, bool]) -> OpNames:
    moment = base._call.moment
    if moment is None:
        return OpNames(base, got)
    names = _first_op_names(base_of(moment.scope), got)
    names.go_on(moment.last, moment.scope, base)
    return names


def _first_counts(base: VariableScope) -> Counts:
    moment = base._call.moment
    if moment is None:
        return Counts(base)
    counts = _first_counts(base_of(moment.scope))
    counts.go_on(moment.last, moment.scope, base)
    return counts


def with_slash(name_scope: str) -> str:
    """A name scope as TensorFlow shows it: ``"a/b/"``, and ``""`` at the top."""
    return name_scope and name_scope + "/"


def _ended_scope() -> VariableScope:
    scope = _closed_scope("", False, {})
    scope._settings.plain = False
    return scope


_ended = _ended_scope()  # the innermost scope of every call that is over


def base_scope(call: Call) -> VariableScope:
    """The empty scope at the bottom of a call, which is now this thread's."""
    base = call.last = call.scope = _Entered()
    if call.tree is None:
        call.tree = call.store.grown_tree()
    base._node = call.tree
    base._own_prefix = ""
    base._reuse = False
    base._settings = _no_settings
    base._call = call
    base._got_before = 0
    base._parent = base._previous = base._manager = None
    thread.call = call
    return base


def place(scope: VariableScope, node: PathNode | TracedNode, prefix: str, path: str) -> None:
    """Put a scope at a path below a node, or outside the tree where the tree does not reach."""
    scope._node = node.below(path)
    if scope._node is OUTSIDE:
        scope._own_prefix = prefix + with_slash(path)


def leave_call(call: Call) -> None:
    """Give the caller's call back, however this one ended."""
    if call.profiled:  # ranges of scopes that were left open
        scope = call.scope
        while scope is not None:
            scope._end_range()
            scope = scope._parent
    if thread.call is call or runs_here(call):
        thread.call = call.outer
    # The scopes of the call know the call: let it forget them, and nothing is left for the garbage collector. What
    # finds the call all the same, in a thread that did not leave it, is sent the long way.
    call.scope, call.careful = _ended, True
    call.last = call.counts = call.op_names = call.remembered = None


def runs_here(call: Call) -> bool:
    """Whether a call is this thread's innermost one, or one that this interrupts."""
    running = thread.call
    while running is not None and running is not call:
        running = running.outer
    return running is call


def current_call() -> Call | None:
    """The innermost call of this thread that is not over."""
    call = thread.call
    if call is not None and call.scope is _ended:  # it was left in another thread, or before those inside it
        while call is not None and call.scope is _ended:
            call = call.outer
        thread.call = call
    return call


def current_scope() -> VariableScope | None:
    """The innermost open scope of this thread, if a module is running in it."""
    call = current_call()
    return None if call is None else call.scope


def innermost(function: str) -> VariableScope:
    """The innermost open scope of this thread, on behalf of a public function."""
    scope = current_scope()
    if scope is None:
        raise NoActiveModuleError.of(function, in_backward=in_backward())
    return scope


def get_variable_scope() -> VariableScope:
    """The innermost open scope of this thread (``tf.get_variable_scope``).

    >>> from torchscope import ScopedModule, get_variable_scope, variable_scope
    >>> def forward():
    ...     with variable_scope("a"), variable_scope("b"):
    ...         return get_variable_scope().name
    >>> ScopedModule(forward)()
    'a/b'

    Raises:
        NoActiveModuleError: no module is running in this thread.
    """
    return innermost("get_variable_scope()")


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


@show_options(ScopeOptions)
class variable_scope:
    """Open a scope for the variables that are got inside (``tf.variable_scope``).

    A string nests: ``"b"`` inside ``a`` is ``a/b``. A :class:`VariableScope` jumps: its own path and settings become
    current whatever is open, and the caller's come back on leaving. What is not given is inherited. One object may be
    entered again and again, also while it is open. As a decorator it opens the scope anew in each call.

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

    __slots__ = ("_default_name", "_given", "_name_or_scope", "_options")

    _given: dict[str, Any]  # the settings among the options, if there are any

    def __init__(
        self,
        name_or_scope: str | VariableScope | None,
        default_name: str | None = None,
        values: Any = None,
        **options: Unpack[ScopeOptions],
    ) -> None:
        self._name_or_scope = name_or_scope
        self._default_name = default_name
        self._options = options
        if options:
            self._check_options(options)

    def __enter__(self) -> VariableScope:
        call = thread.call
        if self._options or call is None or call.careful:
            return self._enter_with_care()
        outer = call.scope
        name = self._name_or_scope
        if name is None:
            name = self._unique_name(call, outer)
        try:
            node = outer._node.scopes[name]
        except (KeyError, TypeError):  # no variable lies below it yet, or it is no single name
            return self._enter_with_care()
        scope = _Entered()
        scope._node = node
        scope._reuse = outer._reuse
        scope._settings = outer._settings
        scope._call = call
        scope._parent = outer
        scope._previous = call.last
        scope._got_before = len(call.got)
        scope._manager = self
        call.last = call.scope = scope
        return scope

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        call = thread.call
        if call is None or call.scope._manager is not self:
            self._leave_with_care()
        else:
            call.scope = call.scope._parent

    # The rest is off the short way

    def _check_name(self) -> None:
        name, default = self._name_or_scope, self._default_name
        if name is None and default is None:
            raise ArgumentTypeError.of("name_or_scope", None, "Give a name, a VariableScope or a default_name.")
        if name is None:
            _names.check(default)
        elif isinstance(name, VariableScope):
            if name._jumped() and name._call.last is None:
                self._name_or_scope = _Remembered(name)
        elif not isinstance(name, str):
            raise ArgumentTypeError.of("name_or_scope", name, "Give a name, a VariableScope, or None.")
        elif name:
            _names.check(name)

    def _check_options(self, options: ScopeOptions) -> None:
        name = self._name_or_scope
        refuse_unknown("variable_scope", options, ScopeOptions)
        reuse = options.get("reuse")
        if reuse is not None and reuse is not True and reuse is not False and reuse is not AUTO_REUSE:
            raise ArgumentValueError.of("reuse", reuse, "Use True, False, None or AUTO_REUSE.")
        if reuse and name is None:
            mend = "A default name opens a new scope, which has nothing to share. Give a name to share."
            raise ArgumentValueError.of("reuse", reuse, mend)
        self._given = {name: value for name, value in options.items() if name in SETTINGS and value is not None}
        if self._given:
            Settings().replace(**self._given)  # a bad setting is told here, where it stands, not on entering

    def _enter_with_care(self) -> VariableScope:
        self._check_name()
        outer = origin = innermost("variable_scope()")
        call, name = outer._call, self._name_or_scope
        if isinstance(name, VariableScope):
            call.remembered[BY_PATH] = True
            origin, node, prefix, name = name, call.tree, "", name.name
        elif name is None:
            node, prefix, name = outer._node, outer._prefix, self._unique_name(call, outer)
        elif name or not outer.name:
            if not name or "/" in name:
                call.remembered[BY_PATH] = True
            node, prefix = outer._node, outer._prefix
        else:
            problem = f"it is empty, and the root can be opened so only at the root, not inside '{outer.name}'"
            raise InvalidNameError.of(name, problem)
        scope = _Entered()
        place(scope, node, prefix, name)
        scope._reuse, scope._settings = origin._reuse, origin._settings
        if self._options:
            scope._reuse = self._options.get("reuse") or origin._reuse
            scope._settings = self._settings_on_top_of(origin._settings)
        scope._call, scope._parent, scope._previous, scope._manager = call, outer, call.last, self
        scope._got_before = len(call.got)
        call.last = call.scope = scope
        if call.profiled and scope.name:
            scope._manager = _Ranged(self, scope.name)
        return scope

    def _leave_with_care(self) -> None:
        """Leave a scope that has a range of a profiler to end; any other is not the innermost one."""
        found = current_scope()
        if found is None or not isinstance(found._manager, _Ranged) or found._manager.manager is not self:
            raise self._nesting_error(found)
        found._end_range()
        found._call.scope = found._parent

    def _settings_on_top_of(self, settings: Settings) -> Settings:
        given = self._given
        getter, outer_getter = given.get("custom_getter"), settings.custom_getter
        if getter is not None and outer_getter is not None:
            return settings.replace(**{**given, "custom_getter": _compose(getter, outer_getter)})
        return settings.replace(**given) if given else settings

    def _unique_name(self, call: Call, outer: VariableScope) -> str:
        """The default name made unique; the same again when this object is entered again in the same call."""
        remembered: dict[Any, Any] = call.remembered
        name: str | None = remembered.get(self)
        if name is None:
            self._check_name()
            assert self._default_name is not None
            if "/" in self._default_name:
                remembered[BY_PATH] = True
            if BY_PATH in remembered:
                if call.counts is None:
                    call.counts = _first_counts(base_of(outer))
                name = call.counts.unique(call.last, outer, self._default_name)
            else:
                children = remembered.get(outer)
                if children is None:
                    children = remembered[outer] = Children(outer)
                name = children.unique(call.last, self._default_name)
            remembered[self] = name
        return name

    def _nesting_error(self, found: VariableScope | None) -> ScopeNestingError:
        name = self._name_or_scope
        asked = name.name if isinstance(name, VariableScope) else name or self._default_name
        return ScopeNestingError.of(f"scope {asked!r}", None if found is None else _described(found))

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function: each call of it opens the scope anew."""
        refuse_late(function, "Open the scope inside, around what has no yield or await")
        self._check_name()
        name_or_scope, default_name, options = self._name_or_scope, self._default_name, self._options or {}

        @functools.wraps(function)
        def inside(*args: P.args, **kwargs: P.kwargs) -> R:
            with variable_scope(name_or_scope, default_name, **options):
                return function(*args, **kwargs)

        return inside


def _described(scope: VariableScope) -> str:
    return f"'{scope.name}'" if scope._manager is not None else "the bottom of a call"


class _Ranged:
    """What stands for the manager of a scope while a profiler records: leaving it takes the longer way past here."""

    __slots__ = ("manager", "range")

    def __init__(self, manager: variable_scope, path: str) -> None:
        self.manager = manager
        self.range = record_function(path)
        self.range.__enter__()  # type: ignore[no-untyped-call]


def _compose(inner: Getter, outer: Getter) -> Getter:
    def both(getter: Getter, name: str, *args: Any, **kwargs: Any) -> Any:
        return inner(functools.partial(outer, getter), name, *args, **kwargs)

    return both
