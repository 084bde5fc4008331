"""Names of operations, as TensorFlow 1 gives them: worked out from the events of the call, only when asked.

In plain words: an operation, a scope and a variable of one call share one space of names, in which case does not count.
Whoever comes second to a name gets ``_1``.
"""

from __future__ import annotations

from typing import NamedTuple

from .events import BASE, Entry, Event, Events, Left, NameEntry, Place, outer_prefix
from .paths import join, prefix_of


class _Open(NamedTuple):
    """A scope or name scope that is open where the reading is."""

    entered_at: int
    within: int  # where the innermost variable scope was entered, which may be this one
    prefix: str  # of that one's path
    name: str  # the name scope, without a trailing slash


class OpNames:
    """The names of one call, as far as they were worked out."""

    def __init__(self) -> None:
        self._read = 0  # how many events were read
        self._taken: dict[str, int] = {}
        self._open = [_Open(BASE, BASE, "", "")]
        self._original: dict[int, str] = {BASE: ""}  # where a scope was entered -> its original name scope

    def current(self, events: Events, end: int, scope: int) -> str:
        """The name scope that is open in a scope, without a trailing slash.

        Args:
            events, end: the events of the call, and how many there are.
            scope: where the scope was entered.
        """
        self.read(events, end)
        self._close_down_to(scope)
        return self._open[-1].name

    def go_on(self, events: Events, end: int, scope: int, prefix: str) -> None:
        """Take the names after ``end`` events, in a scope that was open then, and go on in another call.

        It is how the recompute of a checkpointed function goes on from the forward pass.
        """
        name = self.current(events, end, scope)
        self._original = {BASE: self.original(scope)}
        self._open = [_Open(BASE, BASE, prefix, name)]
        self._read = 0

    def operation(self, events: Events, end: int, scope: int, name: str) -> str:
        """Take a name for an operation that runs in a scope."""
        return self.unique(join(self.current(events, end, scope), name))

    def original(self, scope: int) -> str:
        """The name scope that a variable scope opened when it was first entered, with a trailing slash."""
        return self._original[scope]

    def unique(self, name: str, *, take: bool = True) -> str:
        """Take a name, or only look: this one, or with the first free index."""
        key = name.lower()
        index = self._taken.get(key, 0)
        if take:
            self._taken[key] = index + 1
        if not index:
            return name
        while f"{key}_{index}" in self._taken:
            index += 1
        if take:
            self._taken[f"{key}_{index}"] = 1
        return f"{name}_{index}"

    def read(self, events: Events, end: int) -> None:
        """Work out the names of the events up to ``end``."""
        for position in range(self._read, end):
            event = events[position]
            if event is not None:
                self._take(position, event)
            self._read = position + 1

    def _take(self, position: int, event: Event) -> None:
        if isinstance(event, str):
            self.unique(event)
        elif isinstance(event, NameEntry):
            self._close_down_to(event.within)
            self._open.append(self._open[-1]._replace(entered_at=position, name=self._name_of(event.asked)))
        elif isinstance(event, Left):
            self._leave(event.entered_at)
        else:
            self._enter(position, event)

    def _name_of(self, asked: str | None) -> str:
        if not asked:
            return ""
        if asked.endswith("/"):
            return asked[:-1]
        return self.unique(join(self._open[-1].name, asked))

    def _enter(self, position: int, event: Place | Entry) -> None:
        prefix = event.prefix
        if not isinstance(event, Entry):
            above = outer_prefix(prefix)
            event = Entry(prefix, above, prefix[len(above) : -1])
        while len(self._open) > 1 and self._open[-1].prefix != event.outer:
            self._open.pop()
        name = self._name_in(self._open[-1].name, event)
        self._open.append(_Open(position, position, prefix, name))
        if event.again is None:
            self._original[position] = prefix_of(name)
        elif isinstance(event.again, int):
            self._original[position] = self._original[event.again]
        elif isinstance(event.again, str):
            self._original[position] = event.again
        else:
            self._original[position] = event.again.original_name_scope

    def _name_in(self, outer: str, event: Entry) -> str:
        if event.opens_name_scope:
            return self.unique(join(outer, event.own_name)) if event.own_name else outer
        if isinstance(event.again, int) and not event.is_object:  # a manager that is entered again: in its first one
            return self._original[event.again].removesuffix("/")
        return outer

    def _leave(self, entered_at: int) -> None:
        if any(opened.entered_at == entered_at for opened in self._open):
            while self._open.pop().entered_at != entered_at:
                pass

    def _close_down_to(self, scope: int) -> None:
        while len(self._open) > 1 and self._open[-1].within != scope:
            self._open.pop()
