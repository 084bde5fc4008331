"""The names of one call: read off its events when one is first asked for, kept while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._names import paths
from .._names.default_names import Counts, DefaultNames
from .._names.events import Left, NameEntry
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


def unique_name(call: Call, scope: VariableScope, default_name: str | None) -> str:
    """A default name made unique in ``scope``."""
    if scope._parent is None and not call.begins_scope:  # the scope around a block of compile_once
        call.refuse_in_block("A default name where others were opened before the block")
    names = call.default_names or default_names(call)
    default_name = check_default(default_name)
    if names.counts is None and (names.by_path or "/" in default_name):
        names.counts = _first_counts(call)
    return names.unique(call.events, call.at, scope._at, scope._prefix, default_name)


def opened_nothing_yet(scope: VariableScope) -> bool:
    """Whether no scope counts yet in an open one, so that default names begin anew there."""
    call = scope._call
    if scope._parent is None and not call.begins_scope:
        return False
    names = default_names(call)
    if names.by_path:
        names.counts = names.counts or _first_counts(call)
        return names.counts.opened_nothing_in(call.events, call.at, scope._at, scope._prefix)
    return all(isinstance(event, (str, NameEntry, Left)) for event in call.events[scope._at + 1 : call.at])


def check_default(default_name: str | None) -> str:
    """The default name, if there is one and it can be a path."""
    if default_name is None:
        raise ArgumentTypeError.of("name_or_scope", None, "Give a name, a VariableScope or a default_name.")
    return paths.check(default_name)


def op_names(call: Call) -> OpNames:
    """The names of operations of a call, up to the present; of one that is over, up to its end."""
    names = call.op_names
    if names is None:
        names = _first_op_names(call)
        if not call.is_over:
            call.op_names = names
    names.read(call.events, call.at)
    return names


def open_name_scope(scope: VariableScope) -> str:
    """The name scope that is open in a scope of a running call, without a trailing slash."""
    call = scope._call
    return op_names(call).current(call.events, call.at, scope._at)


def _first_op_names(call: Call) -> OpNames:
    moment = call.moment
    if moment is None:
        return OpNames()
    before = moment.call
    names = _first_op_names(before)
    names.go_on(before.events, moment.at, moment.scope._at, moment.scope._prefix)
    return names


def _first_counts(call: Call) -> Counts:
    moment = call.moment
    if moment is None:
        return Counts()
    before = moment.call
    counts = _first_counts(before)
    counts.go_on(before.events, moment.at, moment.scope._at, moment.scope._prefix)
    return counts
