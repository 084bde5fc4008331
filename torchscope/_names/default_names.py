"""Default names of scopes: ``conv``, ``conv_1``, ... unique among the scopes opened in the parent.

Nothing is counted when a scope is entered: what was opened and closed is read off the chain of events when a default
name is asked for. What was read once is kept, so naming n scopes takes about n steps.
"""

from __future__ import annotations

from typing import Literal

from .events import Entered, Event, NameEntry, NameExit, Opener


class DefaultNames:
    """The default names of one call.

    As long as every scope was opened by a name without slashes, only the children of one scope count:
    :class:`Children`. Once one was opened by a path or as an object, the counts of all paths are needed:
    :class:`Counts`.

    Attributes:
        given: the name that each manager was given: entered twice in one call, it opens the same name again.
        by_path: whether a scope was opened by an object, a name with slashes, or ``""``.
        counts: the counts of all paths, once they are needed.
    """

    __slots__ = ("_children", "by_path", "counts", "given")

    def __init__(self) -> None:
        self.given: dict[Opener, str] = {}
        self.by_path = False
        self.counts: Counts | None = None
        self._children: dict[Entered, Children] = {}

    def unique(self, last: Event, current: Entered, default_name: str) -> str:
        """``default_name``, with an index if needed, to be opened in ``current``; ``last`` was entered last."""
        if self.counts is not None:
            return self.counts.unique(last, current, default_name)
        children = self._children.get(current)
        if children is None:
            children = self._children[current] = Children(current)
        return children.unique(last, default_name)


class Children:
    """The names of the scopes that were opened in one scope since that was entered, as far as they were read."""

    __slots__ = ("_free", "_read", "_scope")

    def __init__(self, scope: Entered) -> None:
        self._scope = scope
        self._read: Event | None = scope  # the last entry that is among the names already
        self._free: dict[str, int] = {}  # name -> where to look for a free index

    def unique(self, last: Event, default_name: str) -> str:
        """``default_name``, with an index if needed; ``last`` was entered last."""
        scope, free = self._scope, self._free
        start = len(scope._prefix)
        event: Event | None = last
        while event is not self._read and event is not None:
            if event._parent is scope:
                free.setdefault(event._prefix[start:-1], 1)
            event = event._previous
        self._read = last
        if default_name not in free:
            return default_name
        index = free[default_name]
        while f"{default_name}_{index}" in free:
            index += 1
        free[default_name] = index
        return f"{default_name}_{index}"


class _Node:
    """A path in the tree of paths that scopes were opened at: how often, and where to look for a free index."""

    __slots__ = ("children", "count", "free")

    def __init__(self) -> None:
        self.count = 0
        self.free = 1
        self.children: dict[str, _Node] = {}


class Counts:
    """How often a scope was opened at each path of a call: what counts once one was opened by a path or as an object.

    In plain words: opening a scope counts its path. Leaving a scope forgets the counts of every path below it. A scope
    that was entered as a ``VariableScope`` object does not forget on leaving; it rolls back to the counts of before.
    """

    def __init__(self, base: Entered) -> None:
        self._tree = _Node()
        self._read: Event | None = base  # the last entry that is counted already
        self._open: list[tuple[Entered, int]] = [(base, 0)]  # with the length of the journal when it was entered
        self._journal: list[tuple[_Node, Literal["count", "free", "children"], object]] = []

    def unique(self, last: Event, current: Entered, default_name: str) -> str:
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

    def go_on(self, last: Event, current: Entered, base: Entered) -> None:
        """Take the counts of the moment when ``last`` had been entered and ``current`` was open; count on in ``base``.

        It is how the recompute of a checkpointed function goes on from the forward pass.
        """
        self._read_up_to(last, current)
        self._journal.clear()
        self._open = [(base, 0)]
        self._read = base

    def _read_up_to(self, last: Event, current: Entered) -> None:
        unread: list[Entered] = []
        event: Event | None = last
        while event is not self._read and event is not None:
            if not isinstance(event, (NameEntry, NameExit)):
                unread.append(event)
            event = event._previous
        for entry in reversed(unread):
            self._close_down_to(entry._parent)
            node = self._node(entry._prefix)
            self._set(node, "count", node.count + 1)
            self._open.append((entry, len(self._journal)))
        self._read = last
        self._close_down_to(current)

    def _close_down_to(self, scope: Entered | None) -> None:
        while len(self._open) > 1 and self._open[-1][0] is not scope:
            entry, mark = self._open.pop()
            if _of_object(entry):
                while len(self._journal) > mark:
                    node, attribute, value = self._journal.pop()
                    setattr(node, attribute, value)
            elif entry._prefix:
                self._set(self._node(entry._prefix), "children", {})

    def _set(self, node: _Node, attribute: Literal["count", "free", "children"], value: object) -> None:
        if any(_of_object(entry) for entry, _ in self._open[1:]):
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


def _of_object(entry: Entered) -> bool:
    opening = entry._opened_by
    return opening is not None and opening.scope_object is not None
