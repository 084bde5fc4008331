"""Names of operations, as TensorFlow 1 gives them: worked out from what was opened and got, only when asked.

In plain words: an operation, a scope and a variable of one call share one space of names, in which case does not count.
Whoever comes second to a name gets ``_1``. Nothing is worked out while nobody asks: the scopes of a call form a chain
in order of entering, and each knows how many variables the call had got before it.
"""

from __future__ import annotations

import itertools
from typing import Any, Protocol


class Scoped(Protocol):
    """A variable scope as it was entered; see ``VariableScope``."""

    _parent: Any
    _previous: Any
    _got_before: int  # how many variables were got in the call before

    def _asked_names(self) -> tuple[str | None, object, bool]: ...


class NameEntry:
    """A ``name_scope`` as it was entered."""

    __slots__ = ("_got_before", "_previous", "_within", "asked", "manager")

    _parent = None  # no variable scope was opened

    def __init__(self, asked: str | None, within: Any, manager: object = None) -> None:
        self.asked, self.manager = asked, manager
        self._within = within  # the variable scope it was opened in
        _append(within._call, self)


class NameExit:
    """The end of a ``name_scope``."""

    __slots__ = ("_got_before", "_previous", "entry")

    _parent = None

    def __init__(self, entry: NameEntry) -> None:
        self.entry = entry
        _append(entry._within._call, self)


def _append(call: Any, event: Any) -> None:
    event._previous = call.last
    event._got_before = len(call.got)
    call.last = event


class OpNames:
    """The names of one call, as far as they were worked out."""

    def __init__(self, base: Scoped, got: dict[str, bool]) -> None:
        self._got = got
        self._base = base
        self._read: Any = base
        self._variables_read = 0
        self._taken: dict[str, int] = {}
        self._open: list[tuple[Any, str]] = [(base, "")]
        self._original: dict[Any, str] = {base: ""}  # scope or manager -> its original name scope, with the slash

    def current(self, last: Any, scope: Scoped) -> str:
        """The name scope that is open in ``scope``, without a trailing slash; ``last`` was entered last."""
        self.read(last)
        self._read_variables(len(self._got))
        self._close_down_to(scope)
        return self._open[-1][1]

    def go_on(self, last: Any, scope: Scoped, base: Scoped) -> None:
        """Take the names as they were when ``last`` had been entered and ``scope`` was open, and go on in ``base``."""
        name = self.current(last, scope)
        self._original[base] = self.original(scope)
        self._open = [(base, name)]
        self._base = self._read = base

    def operation(self, last: Any, scope: Scoped, name: str) -> str:
        """Take a name for an operation that runs in ``scope``."""
        return self.unique(_join(self.current(last, scope), name))

    def original(self, scope: Scoped) -> str:
        """The name scope that a variable scope opened when it was first entered, with a trailing slash."""
        return self._original[scope]

    def unique(self, name: str) -> str:
        """Take a name: this one, or with the first free index."""
        key = name.lower()
        index = self._taken.get(key, 0)
        self._taken[key] = index + 1
        if not index:
            return name
        while f"{key}_{index}" in self._taken:
            index += 1
        self._taken[f"{key}_{index}"] = 1
        return f"{name}_{index}"

    def read(self, last: Any) -> None:
        """Work out the names of all that came up to ``last``."""
        unread = []
        while last is not self._read:
            unread.append(last)
            last = last._previous
        for event in reversed(unread):
            self._read_variables(event._got_before)
            if isinstance(event, NameEntry):
                self._close_down_to(event._within)
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
        return self.unique(_join(self._open[-1][1], asked))

    def _enter(self, scope: Any) -> None:
        self._close_down_to(scope._parent)
        asked, origin, opens = scope._asked_names()
        outer = self._open[-1][1]
        if opens:
            name = self.unique(_join(outer, asked)) if asked else outer
        else:  # the scope that was open, which a manager that is entered again goes back to
            name = self._original.get(origin, outer).removesuffix("/") if origin is scope._opened_by() else outer
        self._open.append((scope, name))
        # A scope object that is entered again, and a manager that is, keep the name scope of the first time.
        kept = getattr(origin, "_original", None) or self._original.get(origin)
        if kept is None:  # a manager, for the first time, or a scope object of another call
            kept = getattr(origin, "original_name_scope", name and name + "/")
            self._original[origin] = kept
        self._original[scope] = kept

    def _leave(self, entry: NameEntry) -> None:
        while len(self._open) > 1 and self._open[-1][0] is not entry:
            self._open.pop()
        if len(self._open) > 1:
            self._open.pop()

    def _close_down_to(self, scope: Any) -> None:
        def stays(opened: Any) -> bool:
            return opened is scope or (isinstance(opened, NameEntry) and opened._within is scope)

        while len(self._open) > 1 and not stays(self._open[-1][0]):
            self._open.pop()

    def _read_variables(self, up_to: int) -> None:
        if self._variables_read < up_to:
            for path in itertools.islice(self._got, self._variables_read, up_to):
                self.unique(path)
            self._variables_read = up_to


def _join(outer: str, name: str) -> str:
    return f"{outer}/{name}" if outer else name
