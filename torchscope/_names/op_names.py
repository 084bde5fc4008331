"""Names of operations, as TensorFlow 1 gives them: worked out from the chain of events, only when asked.

In plain words: an operation, a scope and a variable of one call share one space of names, in which case does not count.
Whoever comes second to a name gets ``_1``.
"""

from __future__ import annotations

import itertools

from .events import Entered, Event, NameEntry, NameExit, Opener
from .paths import join, prefix_of


class OpNames:
    """The names of one call, as far as they were worked out."""

    def __init__(self, base: Entered, got: dict[str, bool]) -> None:
        self._got = got
        self._read: Event | None = base
        self._variables_read = 0
        self._taken: dict[str, int] = {}
        self._open: list[tuple[Entered | NameEntry, str]] = [(base, "")]
        self._original: dict[Entered | Opener, str] = {base: ""}  # its original name scope, with the slash

    def current(self, last: Event, scope: Entered) -> str:
        """The name scope that is open in ``scope``, without a trailing slash; ``last`` was entered last."""
        self.read(last)
        self._read_variables(len(self._got))
        self._close_down_to(scope)
        return self._open[-1][1]

    def go_on(self, last: Event, scope: Entered, base: Entered) -> None:
        """Take the names of the moment when ``last`` had been entered and ``scope`` was open; go on in ``base``.

        It is how the recompute of a checkpointed function goes on from the forward pass.
        """
        name = self.current(last, scope)
        self._original[base] = self.original(scope)
        self._open = [(base, name)]
        self._read = base

    def operation(self, last: Event, scope: Entered, name: str) -> str:
        """Take a name for an operation that runs in ``scope``."""
        return self.unique(join(self.current(last, scope), name))

    def original(self, scope: Entered) -> str:
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

    def read(self, last: Event) -> None:
        """Work out the names of all that came up to ``last``."""
        unread: list[Event] = []
        reached: Event | None = last
        while reached is not self._read and reached is not None:
            unread.append(reached)
            reached = reached._previous
        for event in reversed(unread):
            self._read_variables(event._got_before)
            if isinstance(event, NameEntry):
                self._close_down_to(event.within)
                self._open.append((event, self._name_of(event.asked)))
            elif isinstance(event, NameExit):
                self._leave(event.entry)
            else:
                self._enter(event)
            self._read = event

    def _name_of(self, asked: str | None) -> str:
        if not asked:
            return ""
        if asked.endswith("/"):
            return asked[:-1]
        return self.unique(join(self._open[-1][1], asked))

    def _enter(self, scope: Entered) -> None:
        self._close_down_to(scope._parent)
        opening, outer = scope._opened_by, self._open[-1][1]
        assert opening is not None  # only the scope at the bottom has none, and that is where reading begins
        again = opening.scope_object
        if not opening.opens_name_scope:  # then it stays in the open one; a manager that is entered again, in its first
            name = outer if again is not None else self._original.get(opening, outer).removesuffix("/")
        else:
            name = self.unique(join(outer, opening.own_name)) if opening.own_name else outer
        self._open.append((scope, name))
        self._original[scope] = self._first_name_scope(opening, again, name)

    def _first_name_scope(self, opening: Opener, again: Entered | None, name: str) -> str:
        """Who is entered again keeps the original name scope of the first time."""
        origin = opening if again is None else again
        first = None if again is None else again._known_name_scope
        first = first or self._original.get(origin)
        if first is None:  # an opening, for the first time, or a scope object of another call
            first = self._original[origin] = prefix_of(name) if again is None else again.original_name_scope
        return first

    def _leave(self, entry: NameEntry) -> None:
        while len(self._open) > 1 and self._open[-1][0] is not entry:
            self._open.pop()
        if len(self._open) > 1:
            self._open.pop()

    def _close_down_to(self, scope: Entered | None) -> None:
        def stays(opened: Entered | NameEntry) -> bool:
            return opened is scope or (isinstance(opened, NameEntry) and opened.within is scope)

        while len(self._open) > 1 and not stays(self._open[-1][0]):
            self._open.pop()

    def _read_variables(self, up_to: int) -> None:
        if self._variables_read < up_to:
            for path in itertools.islice(self._got, self._variables_read, up_to):
                self.unique(path)
            self._variables_read = up_to
