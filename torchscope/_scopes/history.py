"""What a call has opened and got so far. As long as it does what the last one did, it is held against that one's notes.

In plain words: a model does the same in most of its calls. So a call begins with the events of the last complete one,
and where the next event is the one that is expected there, only a position moves on: nothing is noted, and that a path
comes for the first time need not be looked up, since it came once in the last call. From the first event that differs,
the call keeps notes of its own.
"""

from __future__ import annotations

from .._names.events import Entry, Event

_LONGEST = 65536  # events that are worth to be kept for the next call, however few variables there are


class Plan:
    """The events of a complete call, for the next ones to be held against. It is not changed any more."""

    __slots__ = ("_positions", "events")

    def __init__(self, events: list[Event | None]) -> None:
        self.events = events  # with None at the end
        self._positions: dict[str, int] | None = None

    def position(self, path: str) -> int:
        """Where a path was got; behind the end, if it was not."""
        if self._positions is None:
            self._positions = {event: at for at, event in enumerate(self.events) if isinstance(event, str)}
        return self._positions.get(path, len(self.events))


class History:
    """What a call has opened and got so far.

    Attributes:
        events: the events of this call; behind them the one that is expected next, or ``None`` at the end.
        at: how many of them have happened.
        got: the paths that were got, in their order, once the call keeps notes of its own; else ``None``.
        plan: what the call is held against until then.
        entries: of scopes that were entered by a name, one for all that are equal: a long loop keeps no more.
    """

    __slots__ = ("at", "entries", "events", "got", "plan")

    events: list[Event | None]
    at: int
    got: dict[str, bool] | None
    plan: Plan | None
    entries: dict[Entry, Entry] | None

    def note(self, event: Event) -> None:
        """Note what happened."""
        if self.got is None:
            if self.events[self.at] == event:
                self.at += 1
                return
            self.keep_own_notes()
        if isinstance(event, Entry) and not event.by_default_name and event.again is None:
            self.entries = self.entries or {}
            event = self.entries.setdefault(event, event)
        at = self.at
        self.events[at:] = (event, None)
        self.at = at + 1
        if isinstance(event, str):
            self.got[event] = True  # type: ignore[index]  # it keeps own notes

    def keep_own_notes(self) -> dict[str, bool]:
        """From here on the call is not held against the plan. Returns the paths that it has got."""
        if self.got is None:
            self.events = [*self.events[: self.at], None]
            self.got = {event: True for event in self.events if isinstance(event, str)}
        return self.got

    def has_got(self, path: str) -> bool:
        """Whether a path was got."""
        return path in self.got if self.got is not None else self.plan.position(path) < self.at  # type: ignore[union-attr]

    def note_first(self, path: str) -> bool:
        """Note that a path was got, if it was not before; and say so."""
        if self.has_got(path):
            return False
        self.note(path)
        return True

    def got_since(self, at: int) -> list[str]:
        """The paths that were got since ``at`` events had happened."""
        return [event for event in self.events[at : self.at] if isinstance(event, str)]

    def go_back_to(self, at: int) -> None:
        """Forget what happened since ``at`` events had."""
        if self.got is not None:
            for path in self.got_since(at):
                self.got.pop(path, None)  # an interrupt may have come before it was put there
            self.events[at:] = (None,)
        self.at = at

    def as_plan(self, variables: int) -> Plan | None:
        """What the next call is held against, if that is new; and not far longer than ``variables``, their number."""
        if self.got is None or len(self.events) > max(_LONGEST, 4 * variables):
            return None
        return Plan(self.events)
