"""Default names of scopes: ``conv``, ``conv_1``, ... unique among the scopes opened in the parent.

Nothing is counted when a scope is entered. Each scope knows the scope that was open around it and the one entered
before it, so the order of all openings and closings can be read off when a default name is asked for, which most models
never do. What was read once is kept: naming n scopes costs about n steps, not n squared.
"""

from __future__ import annotations

from typing import Any, Protocol

from ._op_names import NameEntry, NameExit

BY_PATH = object()  # what a call remembers once a scope was entered by a scope object, a name with slashes, or ""


class Entry(Protocol):
    """A scope as it was entered."""

    @property
    def _prefix(self) -> str: ...  # "" or "a/b/"

    _parent: Any  # the scope that was open around it
    _previous: Any  # the scope entered before it in this call

    def _jumped(self) -> bool: ...


class _Node:
    """A path in the tree of paths that scopes were opened at: how often, and where to look for a free index."""

    __slots__ = ("children", "count", "free")

    def __init__(self) -> None:
        self.count = 0
        self.free = 1
        self.children: dict[str, _Node] = {}


class Children:
    """The names of the scopes that were opened in one scope since that was entered, as far as they were read.

    As long as every scope of a call was opened by a name without slashes, they are all that counts.
    """

    __slots__ = ("_free", "_read", "_scope")

    def __init__(self, scope: Entry) -> None:
        self._scope = self._read = scope  # read: the last entry that is among the names already
        self._free: dict[str, int] = {}  # name -> where to look for a free index

    def unique(self, last: Entry, default_name: str) -> str:
        """``default_name``, with an index if needed; ``last`` was entered last."""
        scope, read, free = self._scope, self._read, self._free
        start, self._read = len(scope._prefix), last
        while last is not read:
            if last._parent is scope:
                free.setdefault(last._prefix[start:-1], 1)
            last = last._previous
        if default_name not in free:
            return default_name
        index = free[default_name]
        while f"{default_name}_{index}" in free:
            index += 1
        free[default_name] = index
        return f"{default_name}_{index}"


class Counts:
    """How often a scope was opened at each path of a call: what counts once one was opened by a path or as an object.

    In plain words: opening a scope counts its path. Leaving a scope forgets the counts of every path below it. A scope
    that was entered as a ``VariableScope`` object does not forget on leaving but restores what was counted before.
    """

    def __init__(self, base: Entry) -> None:
        self._tree = _Node()
        self._read = base  # the last entry that is counted already
        self._open: list[tuple[Entry, int]] = [(base, 0)]  # with the length of the journal when it was entered
        self._journal: list[tuple[_Node, str, Any]] = []

    def unique(self, last: Entry, current: Entry, default_name: str) -> str:
        """``default_name``, with an index if needed, to be opened in ``current``; ``last`` was entered last."""
        self._read_up_to(last, current)
        parent = self._node(current._prefix)
        name, node = default_name, self._find(parent, default_name)
        if node is None or not node.count:
            return name
        first, index = node, node.free
        while node is not None and node.count:
            name = f"{default_name}_{index}"
            node = self._find(parent, name)
            index += 1
        self._set(first, "free", index - 1)
        return name

    def go_on(self, last: Entry, current: Entry, base: Entry) -> None:
        """Take the counts as when ``last`` had been entered and ``current`` was open, and count on in ``base``."""
        self._read_up_to(last, current)
        self._journal.clear()
        self._open = [(base, 0)]
        self._read = base

    def _read_up_to(self, last: Entry, current: Entry) -> None:
        unread = []
        entry = last
        while entry is not self._read:
            if not isinstance(entry, (NameEntry, NameExit)):
                unread.append(entry)
            entry = entry._previous
        for entry in reversed(unread):
            self._close_down_to(entry._parent)
            node = self._node(entry._prefix)
            self._set(node, "count", node.count + 1)
            self._open.append((entry, len(self._journal)))
        self._read = last
        self._close_down_to(current)

    def _close_down_to(self, scope: Entry) -> None:
        while len(self._open) > 1 and self._open[-1][0] is not scope:
            entry, mark = self._open.pop()
            if entry._jumped():
                while len(self._journal) > mark:
                    node, attribute, value = self._journal.pop()
                    setattr(node, attribute, value)
            elif entry._prefix:
                self._set(self._node(entry._prefix), "children", {})

    def _set(self, node: _Node, attribute: str, value: Any) -> None:
        if any(entry._jumped() for entry, _ in self._open[1:]):
            self._journal.append((node, attribute, getattr(node, attribute)))
        setattr(node, attribute, value)

    def _node(self, prefix: str) -> _Node:
        node = self._tree
        for segment in prefix.split("/")[:-1]:
            node = node.children.setdefault(segment, _Node())
        return node

    @staticmethod
    def _find(node: _Node, name: str) -> _Node | None:
        found: _Node | None = node
        for segment in name.split("/"):
            found = found.children.get(segment) if found else None
        return found
