"""The events of a call as a chain: entries of scopes, and entries and exits of name scopes.

The exit of a variable scope is no event. An event whose ``_parent`` is a scope P tells that all that was opened inside
P before it is closed. Entering a scope appends itself to the chain and counts nothing; who needs a name reads the chain
from where it stopped reading the last time, and most models never do.
"""

from __future__ import annotations

from typing import Protocol


class Opener(Protocol):
    """How a scope was asked for."""

    @property
    def scope_object(self) -> Entered | None:
        """The scope object that it was given, if it was given one and not a name."""

    @property
    def own_name(self) -> str:
        """The name that the scope adds to the names of operations, without those around it."""

    @property
    def opens_name_scope(self) -> bool:
        """Whether it opens a scope for the names of operations too."""


class Entered(Protocol):
    """A variable scope as it was entered."""

    @property
    def _prefix(self) -> str:
        """``""`` or ``"a/b/"``."""

    @property
    def _parent(self) -> Entered | None:
        """The scope that was open around it."""

    @property
    def _previous(self) -> Event | None:
        """The event before it in the call."""

    @property
    def _got_before(self) -> int:
        """How many variables the call had got before."""

    @property
    def _opened_by(self) -> Opener | None:
        """What opened it; ``None`` for the scope at the bottom of a call."""

    @property
    def _known_name_scope(self) -> str | None:
        """Its original name scope, if that was asked for already."""

    @property
    def original_name_scope(self) -> str:
        """The name scope that was opened with it when it was first entered, with a trailing slash."""


class Order(Protocol):
    """A call, as far as the order of what happened in it goes."""

    got: dict[str, bool]  # the paths, in the order of getting
    last: Event | None


class NameEntry:
    """A ``name_scope`` as it was entered, within the variable scope that was open."""

    __slots__ = ("_got_before", "_previous", "asked", "manager", "within")

    _parent = None  # it opened no variable scope
    _previous: Event | None
    _got_before: int

    def __init__(self, asked: str | None, within: Entered, call: Order, manager: object = None) -> None:
        self.asked, self.within, self.manager = asked, within, manager
        _append(self, call)


class NameExit:
    """The end of a ``name_scope``."""

    __slots__ = ("_got_before", "_previous", "entry")

    _parent = None
    _previous: Event | None
    _got_before: int

    def __init__(self, entry: NameEntry, call: Order) -> None:
        self.entry = entry
        _append(self, call)


def _append(event: NameEntry | NameExit, call: Order) -> None:
    event._previous, event._got_before = call.last, len(call.got)
    if call.last is not None:  # a call that another thread has left takes no more events
        call.last = event


Event = Entered | NameEntry | NameExit
