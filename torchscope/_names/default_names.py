"""Default names of scopes: ``conv``, ``conv_1``, ... unique among the scopes opened in the parent.

Nothing is counted when a scope is entered: what was opened and closed is read off the events of the call when a default
name is asked for. What was read once is kept, so naming n scopes takes about n steps.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from .events import BASE, Entry, Events, Left, NameEntry, outer_prefix


class DefaultNames:
    """The default names of one call.

    As long as every scope was opened by a name without slashes, only the children of one scope count:
    :class:`Children`. Once one was opened by a path or as an object, the counts of all paths are needed:
    :class:`Counts`.

    Attributes:
        by_path: whether a scope was opened by an object, a name with slashes, or ``""``.
        counts: the counts of all paths, once they are needed.
    """

    __slots__ = ("_children", "by_path", "counts")

    def __init__(self) -> None:
        self.by_path = False
        self.counts: Counts | None = None
        self._children: dict[int, Children] = {}

    def unique(self, events: Events, end: int, scope: int, prefix: str, default_name: str) -> str:
        """``default_name``, with an index if needed, to be opened in a scope.

        Args:
            events, end: the events of the call, and how many there are.
            scope, prefix: where the scope was entered, and the prefix of its path.
            default_name: the name.
        """
        if self.counts is not None:
            return self.counts.unique(events, end, scope, prefix, default_name)
        children = self._children.get(scope)
        if children is None:
            children = self._children[scope] = Children(scope, prefix)
        return children.unique(events, end, default_name)


class Children:
    """The names of the scopes that were opened in one scope since that was entered, as far as they were read."""

    __slots__ = ("_free", "_prefix", "_read")

    def __init__(self, scope: int, prefix: str) -> None:
        self._prefix = prefix
        self._read = scope + 1  # how many events are among the names already
        self._free: dict[str, int] = {}  # name -> where to look for a free index

    def unique(self, events: Events, end: int, default_name: str) -> str:
        """``default_name``, with an index if needed."""
        prefix, free = self._prefix, self._free
        start = len(prefix)
        for position in range(self._read, end):
            event = events[position]
            if event is None or isinstance(event, (str, NameEntry, Left)):
                continue
            opened = event.prefix
            if opened.find("/", start) == len(opened) - 1 and opened.startswith(prefix):
                free.setdefault(opened[start:-1], 1)
        self._read = end
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


class _Open(NamedTuple):
    """A scope that is open where the reading is."""

    entered_at: int
    prefix: str
    is_object: bool
    mark: int  # the length of the journal when it was entered


class Counts:
    """How often a scope was opened at each path of a call: what counts once one was opened by a path or as an object.

    In plain words: opening a scope counts its path. Leaving a scope forgets the counts of every path below it. A scope
    that was entered as a ``VariableScope`` object does not forget on leaving; it rolls back to the counts of before.
    """

    def __init__(self) -> None:
        self._tree = _Node()
        self._read = 0  # how many events are counted already
        self._open = [_Open(BASE, "", False, 0)]
        self._journal: list[tuple[_Node, Literal["count", "free", "children"], object]] = []

    def unique(self, events: Events, end: int, scope: int, prefix: str, default_name: str) -> str:
        """``default_name``, with an index if needed, to be opened in a scope."""
        self._read_up_to(events, end, scope)
        parent = self._node(prefix)
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

    def opened_nothing_in(self, events: Events, end: int, scope: int, prefix: str) -> bool:
        """Whether no scope counts in this one."""
        self._read_up_to(events, end, scope)
        return not any(node.count for node in self._node(prefix).children.values())

    def go_on(self, events: Events, end: int, scope: int, prefix: str) -> None:
        """Take the counts after ``end`` events, in a scope that was open then, and count on in another call.

        It is how the recompute of a checkpointed function goes on from the forward pass.
        """
        self._read_up_to(events, end, scope)
        self._journal.clear()
        self._open = [_Open(BASE, prefix, False, 0)]
        self._read = 0

    def _read_up_to(self, events: Events, end: int, scope: int) -> None:
        for position in range(self._read, end):
            event = events[position]
            if event is None or isinstance(event, (str, NameEntry)):
                continue
            if isinstance(event, Left):
                if any(opened.entered_at == event.entered_at for opened in self._open):
                    self._close_down_to(event.entered_at)
                    self._close()
                continue
            prefix = event.prefix
            self._close_down_to_path(event.outer if isinstance(event, Entry) else outer_prefix(prefix))
            node = self._node(prefix)
            self._set(node, "count", node.count + 1)
            is_object = isinstance(event, Entry) and event.is_object
            self._open.append(_Open(position, prefix, is_object, len(self._journal)))
        self._read = end
        self._close_down_to(scope)

    def _close_down_to_path(self, prefix: str) -> None:
        while len(self._open) > 1 and self._open[-1].prefix != prefix:
            self._close()

    def _close_down_to(self, entered_at: int) -> None:
        while len(self._open) > 1 and self._open[-1].entered_at != entered_at:
            self._close()

    def _close(self) -> None:
        left = self._open.pop()
        if left.is_object:
            while len(self._journal) > left.mark:
                node, attribute, value = self._journal.pop()
                setattr(node, attribute, value)
        elif left.prefix:
            self._set(self._node(left.prefix), "children", {})

    def _set(self, node: _Node, attribute: Literal["count", "free", "children"], value: object) -> None:
        if any(opened.is_object for opened in self._open[1:]):
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
