"""What happened in a call, in order: scopes that were entered, variables that were got, name scopes.

In plain words: entering a scope and getting a variable each note one event and count nothing. Who needs a name reads
the events from where it stopped reading the last time, and most models never do.

An event is one of these:

- a string: the path of a variable that was got for the first time in the call;
- a :class:`Place`: a scope that was entered by the last part of its path. It is the node of the tree of paths, so that
  nothing has to be made for it;
- an :class:`Entry`: a scope that was entered in any other way;
- a :class:`NameEntry`: a ``name_scope`` that was entered;
- a :class:`Left`: the end of one of the last two.

That a scope which was opened by its name was left is no event. It shows where the next one is entered: a scope lies
right below the innermost open one that has the path above it. A scope that opened another one's path, or the root's,
could be mistaken for that one: so its end is an event.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

BASE = -1
"""Stands for the position of the scope at the bottom of a call, which is no event."""


class Place(Protocol):
    """A path that a scope was entered at by the last part of it."""

    @property
    def prefix(self) -> str:
        """``"a/b/"``."""


class Kept(Protocol):
    """A scope object of another call."""

    @property
    def original_name_scope(self) -> str:
        """The name scope that was opened with it when it was first entered, with a trailing slash."""


class Entry(NamedTuple):
    """A scope that was entered by a default name, by several names at once, as an object, with options, or again.

    A tuple: entries of two calls that say the same are equal.

    Attributes:
        prefix: of its path, ``"a/b/"``; ``""`` of the root.
        outer: the prefix of the scope around it.
        own_name: what it adds to the names of operations; ``""``: nothing.
        opens_name_scope: whether it opens a scope for the names of operations too.
        by_default_name: whether ``own_name`` is a default name.
        is_object: whether it was entered as a scope object, at its own path.
        again: whose original name scope it has: the position where the same manager, or the scope object, was entered
            in this call; the scope object, of another call; or that name scope itself. ``None``: its own.
    """

    prefix: str
    outer: str
    own_name: str
    opens_name_scope: bool = True
    by_default_name: bool = False
    is_object: bool = False
    again: int | str | Kept | None = None

    @property
    def ends_by_event(self) -> bool:
        """Whether it could be mistaken for another scope, of the path that it has: its end is an event."""
        return self.is_object or self.prefix == self.outer


class NameEntry(NamedTuple):
    """A ``name_scope`` that was entered: the name that was asked for, and where the open variable scope was entered."""

    asked: str | None
    within: int


class Left(NamedTuple):
    """The end of what was entered at a position."""

    entered_at: int


Event = str | Place | Entry | NameEntry | Left
Events = Sequence[Event | None]


def outer_prefix(prefix: str) -> str:
    """The prefix of the path above: ``"a/"`` of ``"a/b/"``."""
    return prefix[: prefix.rfind("/", 0, -1) + 1]


def innermost_name_entry(events: Events, end: int, scope: int) -> int | None:
    """Where the innermost open name scope was entered, of those in the variable scope that was entered at ``scope``."""
    left = set()
    for position in range(end - 1, scope, -1):
        event = events[position]
        if isinstance(event, Left):
            left.add(event.entered_at)
        elif isinstance(event, NameEntry) and event.within == scope and position not in left:
            return position
    return None
