"""The names of one call: read off its chain of events when one is first asked for, kept while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._names import paths
from .._names.default_names import Counts, DefaultNames
from .._names.events import Opener
from .._names.op_names import OpNames
from ..errors import ArgumentTypeError
from .call import Call

if TYPE_CHECKING:
    from .scope import VariableScope


def default_names(call: Call) -> DefaultNames:
    """The default names of a call."""
    if call.default_names is None:
        call.default_names = DefaultNames()
    return call.default_names


def unique_name(call: Call, scope: VariableScope, opening: Opener, default_name: str | None) -> str:
    """A default name made unique in ``scope``; the same again when ``opening`` is entered again in the same call."""
    names = call.default_names or default_names(call)
    name = names.given.get(opening)
    if name is None:
        default_name = check_default(default_name)
        if names.counts is None and (names.by_path or "/" in default_name):
            names.counts = _first_counts(base_of(scope))
        assert call.last is not None  # the call is running
        name = names.given[opening] = names.unique(call.last, scope, default_name)
    return name


def check_default(default_name: str | None) -> str:
    """The default name, if there is one and it can be a path."""
    if default_name is None:
        raise ArgumentTypeError.of("name_or_scope", None, "Give a name, a VariableScope or a default_name.")
    return paths.check(default_name)


def op_names(scope: VariableScope) -> OpNames:
    """The names of operations of the call of this scope, to be read up to the present."""
    call = scope._call
    if call.op_names is not None:
        return call.op_names
    names = _first_op_names(base_of(scope), call.got)
    if not call.is_over:
        call.op_names = names
    return names


def open_name_scope(scope: VariableScope) -> str:
    """The name scope that is open in a scope of a running call, without a trailing slash."""
    assert scope._call.last is not None  # the call is running
    return op_names(scope).current(scope._call.last, scope)


def base_of(scope: VariableScope) -> VariableScope:
    """The scope at the bottom of its call."""
    while scope._parent is not None:
        scope = scope._parent
    return scope


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
