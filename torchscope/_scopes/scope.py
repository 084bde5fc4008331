"""The record of a scope, and what users see of it: a path prefix with the settings for the variables below it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Unpack

import torch
from torch import Tensor
from torch.autograd.profiler import record_function
from torch.compiler import is_dynamo_compiling

from .._names import paths, patterns
from .._names.events import BASE, Entry
from .._names.patterns import Patterns
from .._variables.collections import collection
from .._variables.path_tree import OUTSIDE, PathNode
from .._variables.request import DeviceLike, Partitioner, Shape
from .._variables.reuse import Reuse
from .._variables.spec import (
    GLOBAL_VARIABLES,
    LOCAL_VARIABLES,
    TRAINABLE_VARIABLES,
    Constraint,
    Initializer,
    Regularizer,
)
from ..errors import ArgumentTypeError
from .arguments import Getter, VariableOptions, refuse_unknown
from .call import Call
from .getter import ask
from .naming import op_names
from .settings import NO_SETTINGS, SETTINGS, Settings
from .stack import (
    attend,
    innermost,
    innermost_call,
    let_run_in_branch,
    open_scope,
    thread,
    ways_to_the_stack,
)

ways_to_the_stack.append(lambda: thread.stack)


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

    __slots__ = ("_at", "_call", "_node", "_original", "_own_prefix", "_parent", "_range", "_settings")

    _node: PathNode  # where it is in the tree of paths
    _own_prefix: str  # of a scope that is outside the tree
    _settings: Settings
    _call: Call
    _parent: VariableScope | None  # the scope that was open around this one
    _at: int  # where its entry is among the events of the call
    _original: str  # its original name scope, once that was asked for
    _range: record_function | None  # its range of a profiler's trace, if the call is profiled

    def __init__(self) -> None:
        raise TypeError("A VariableScope is made by `with variable_scope(...) as scope`, not by hand.")

    @property
    def name(self) -> str:
        """The path of the scope, ``"a/b"``; ``""`` at the root."""
        self._refuse_name()
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
        self._refuse_name()
        return self._known_original()

    def _known_original(self) -> str:
        try:
            return self._original
        except AttributeError:
            self._original = op_names(self._call).original(self._at)
            return self._original

    def settle(self) -> None:
        """Know the original name scope, once the call is over: by it, and no more by the call, others refer to this.

        A scope that is kept from call to call would else be the end of a chain of all these calls.
        """
        if not hasattr(self, "_original") and self._call.is_over and not is_dynamo_compiling():
            self._known_original()

    @property
    def reuse(self) -> Reuse:
        """``False``, ``True`` or ``AUTO_REUSE``."""
        return self._settings.reuse

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
        self._set(self._settings.sharing(True))

    def set_initializer(self, initializer: Initializer) -> None:
        """Set the default initializer until this scope closes; scopes already open inside keep theirs."""
        self._set(self._settings.replace(initializer=initializer))

    def set_regularizer(self, regularizer: Regularizer | None) -> None:
        """Set the default regularizer until this scope closes."""
        self._set(self._settings.replace(regularizer=regularizer))

    def set_dtype(self, dtype: torch.dtype | None) -> None:
        """Set the default dtype until this scope closes."""
        self._set(self._settings.replace(dtype=dtype))

    def set_device(self, device: DeviceLike | None) -> None:
        """Set the default device until this scope closes."""
        self._set(self._settings.replace(device=device))

    def set_partitioner(self, partitioner: Partitioner | None) -> None:
        """Set the default partitioner until this scope closes."""
        self._set(self._settings.replace(partitioner=partitioner))

    def set_custom_getter(self, custom_getter: Getter | None) -> None:
        """Set the custom getter, instead of the one there was, until this scope closes."""
        self._set(self._settings.replace(custom_getter=custom_getter))

    def set_constraint(self, constraint: Constraint | None) -> None:
        """Set the default constraint until this scope closes."""
        self._set(self._settings.replace(constraint=constraint))

    def get_variable(
        self,
        name: str,
        shape: Shape | None = None,
        dtype: torch.dtype | None = None,
        initializer: Initializer = None,
        **options: Unpack[VariableOptions],
    ) -> Tensor:
        """:func:`torchscope.get_variable` in this scope, open or not, for the call that is running."""
        current = innermost("VariableScope.get_variable()")
        refuse_unknown("VariableScope.get_variable", options, VariableOptions)
        self.refuse_elsewhere(current._call)
        return ask(self, current._call, "parameter", name, shape, dtype, initializer, options, current)

    def get_collection(self, name: str) -> list[Any]:
        """:meth:`ScopedModule.get_collection` of the module that is running, below this scope."""
        call = innermost("VariableScope.get_collection()")._call
        call.refuse_in_block("A collection")
        return collection(call.store, name, patterns.literal(self.name), call.loose)

    def trainable_variables(self) -> list[Tensor]:
        """The variables with a gradient below this scope, in the module that is running."""
        return self.get_collection(TRAINABLE_VARIABLES)

    def global_variables(self) -> list[Tensor]:
        """The variables that are saved, below this scope, in the module that is running."""
        return self.get_collection(GLOBAL_VARIABLES)

    def local_variables(self) -> list[Tensor]:
        """The variables that are not saved, below this scope, in the module that is running."""
        return self.get_collection(LOCAL_VARIABLES)

    @property
    def _entry(self) -> Entry | None:
        """What its call has noted of it, if that was more than its place."""
        at = getattr(self, "_at", BASE)
        entry = self._call.events[at] if at != BASE else None
        return entry if isinstance(entry, Entry) else None

    def _path_of(self, name: object) -> str:
        """The path of a variable here, if the name can be a part of one."""
        return paths.check_whole(self._prefix + paths.check(name))

    def _refuse_name(self) -> None:
        """Refuse its name in code that is compiled once for all scopes."""
        call = getattr(self, "_call", None)
        if isinstance(call, Call):
            call.refuse_name("The name of a scope")

    def refuse_elsewhere(self, call: Call) -> None:
        """Refuse a scope object of a block of ``compile_once`` outside of it, and one from outside in a block."""
        own = getattr(self, "_call", None)
        if own is not call:
            call.refuse_in_block("A scope object from outside")
            if isinstance(own, Call):
                own.refuse_in_block("Outside of the block, the path of a scope object that it opened")

    def _set(self, settings: Settings) -> None:
        """Take other settings, and leave the tree if they are not plain: the fast path looks nowhere else."""
        call = innermost_call()
        if call is not None and (self._parent is None or self._call is not call):
            call.refuse_in_block("A scope that was opened outside")
        if not settings.plain and self._node is not OUTSIDE:
            self._own_prefix, self._node = self._prefix, OUTSIDE
        self._settings = settings

    def end_range(self) -> None:
        """End its range of the trace that a profiler records, if there is one."""
        if self._call.profiled and self._range is not None:
            self._range.__exit__(None, None, None)
            self._range = None

    def __repr__(self) -> str:
        return f"<VariableScope {self._prefix[:-1]!r} reuse={self.reuse!r}>"

    def __reduce__(self) -> tuple[object, ...]:
        # A copy, or a scope that went through pickle, is no record of an entering, just the path and the settings.
        return _closed_scope, (self.name, self.reuse, {k: getattr(self._settings, k) for k in SETTINGS})


class EnteredScope(VariableScope):
    """A VariableScope as the library makes it, since ``VariableScope()`` is refused; cheaper than ``__new__`` alone."""

    __slots__ = ()

    if not TYPE_CHECKING:
        __init__ = object.__init__


class ClosedScope(VariableScope):
    """A path and its settings, without the call that it was entered in.

    A copy is one, and a scope that went through pickle, and a scope that was opened while no module was running.
    """

    __slots__ = ()

    def __init__(self, name: str, settings: Settings, original: str) -> None:
        self._node, self._own_prefix, self._settings = OUTSIDE, paths.prefix_of(name), settings
        self._original = original
        self._parent = None


def _closed_scope(name: str, reuse: Reuse, settings: dict[str, object]) -> VariableScope:
    return ClosedScope(name, Settings().replace(**settings).sharing(reuse), paths.prefix_of(name))


def open_base(call: Call) -> VariableScope:
    """Open the empty scope at the bottom of a call, which is now this thread's innermost one.

    Raises:
        ScopeNestingError: a scope that was opened outside of any call is still open: the call would not see it.
    """
    base = EnteredScope()
    if call.tree is None:
        call.tree = call.store.grown_tree()
    base._node = call.tree
    base._own_prefix = ""
    base._settings = NO_SETTINGS
    base._call = call
    base._at = BASE
    base._parent = base._range = None
    stack = thread.stack
    if stack.attended:
        attend(stack, call)
    call.scope = base
    if call.in_branch:
        let_run_in_branch(call)
    else:
        stack.call = call
    return base


def place(scope: VariableScope, node: PathNode, prefix: str, path: str) -> None:
    """Put a scope at a path below a node; or outside the tree, where that does not reach or settings are not plain."""
    scope._node = node.below(path) if scope._settings.plain else OUTSIDE
    if scope._node is OUTSIDE:
        scope._own_prefix = prefix + paths.prefix_of(path)


Selects = str | VariableScope | Iterable[str | VariableScope]  # what selects variables


def as_patterns(selects: Selects | None, argument: str = "scope") -> Patterns:
    """What selects variables, as patterns: a path or glob is one, of a scope object its path, of a list each.

    Raises:
        ArgumentTypeError: it is none of these.
    """
    if selects is None:
        return ""
    if isinstance(selects, str):
        return str.__str__(selects)
    if isinstance(selects, VariableScope):
        return patterns.literal(selects.name)
    several = isinstance(selects, Iterable) and not isinstance(selects, (Tensor, Mapping, bytes))
    each = list(selects) if several else [selects]
    if not several or not all(isinstance(one, (str, VariableScope)) for one in each):
        raise ArgumentTypeError.of(argument, selects, "Give a path, a glob, a VariableScope, or a list of these.")
    return tuple(patterns.literal(one.name) if isinstance(one, VariableScope) else str.__str__(one) for one in each)


def get_variable_scope() -> VariableScope:
    """The innermost open scope of this thread (``tf.get_variable_scope``), also one opened while no module is running.

    >>> from torchscope import ScopedModule, get_variable_scope, variable_scope
    >>> def forward():
    ...     with variable_scope("a"), variable_scope("b"):
    ...         return get_variable_scope().name
    >>> ScopedModule(forward)()
    'a/b'

    Raises:
        NoActiveModuleError: no module is running in this thread.
    """
    return open_scope() or innermost("get_variable_scope()")
