"""The paths of a store as a tree, which scopes walk down by names: no path is put together on the way to a variable.

A tree matches its store or is empty: it is grown when a call first needs it, and cleared when the store changes. What
it lacks is found on the slow path, by the path as a string.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from .spec import HasSpecs, VariableSpec
from .tracing import is_foreign_branch, refuse_in_branch

_NO_SCOPES: dict[str, PathNode] = {}  # shared by all nodes that have none
_NO_NAMES: dict[str, int] = {}


class PathNode:
    """A path that variables lie below: where its scope finds the scopes inside, and what its variables are."""

    __slots__ = ("_below", "_length", "names", "scopes", "specs")

    def __init__(self, below: str, length: int) -> None:
        self._below = below  # some path below: the prefix is its beginning, so no second string is kept
        self._length = length  # of the prefix
        self.scopes: dict[str, PathNode] = _NO_SCOPES
        self.names: dict[str, int] = _NO_NAMES  # of a variable that lies right here -> its index in specs
        self.specs: tuple[VariableSpec, ...] = ()

    def clear(self) -> None:
        """Forget all that is below, also for the scopes that are there."""
        nodes = [self]
        while nodes:
            node = nodes.pop()
            nodes += node.scopes.values()
            node.scopes, node.names, node.specs = _NO_SCOPES, _NO_NAMES, ()

    @property
    def prefix(self) -> str:
        """What stands before a name here: ``""`` or ``"a/b/"``."""
        return self._below[: self._length]

    def below(self, path: str) -> PathNode:
        """The node of a path inside, or :data:`OUTSIDE`; ``""`` is this one."""
        node = self
        for name in path.split("/") if path else ():
            inside = node.scopes.get(name)
            if inside is None:
                return OUTSIDE
            node = inside
        return node


OUTSIDE = PathNode("", 0)
"""The node of a scope that is not in the tree: such a scope keeps its prefix as a string."""


def tree_of(specs: Iterable[VariableSpec], modules: Iterable[str]) -> PathNode:
    """The tree of these declarations. Modules are found elsewhere, but their scopes are in it too."""
    root = PathNode("", 0)
    found: dict[PathNode, list[VariableSpec]] = {}
    for spec in specs:
        found.setdefault(_grown(root, spec.path), []).append(spec)
    for node, here in found.items():
        names = tuple(spec.path[node._length :] for spec in here)
        node.names = _shared_numbers(names) if len(names) < 20 else _numbers(names)
        node.specs = tuple(here)
    for path in modules:
        _grown(root, path)
    return root


def _grown(node: PathNode, path: str) -> PathNode:
    """The node that ``path`` lies in."""
    for name in path.split("/")[:-1]:
        inside = node.scopes.get(name)
        if inside is None:
            inside = PathNode(path, node._length + len(name) + 1)
            if node.scopes is _NO_SCOPES:
                node.scopes = {}
            node.scopes[name] = inside
        node = inside
    return node


def _numbers(names: tuple[str, ...]) -> dict[str, int]:
    return {name: number for number, name in enumerate(names)}


_shared_numbers = functools.lru_cache(_numbers)  # most scopes have the names of other scopes


class TracedNode:
    """Stands for a node, its tables and a declaration while ``torch.compile`` traces.

    Compiled code has a guard for every tensor that it uses anyway. Walking the tree itself would add a guard for each
    step and for each declared shape.
    """

    def __init__(self, path: str, parameters: Mapping[str, Tensor | None], store: HasSpecs, depth: int) -> None:
        self.path = path
        self._depth = depth  # how many branches the call lies in
        self._parameters = parameters
        self._store = store  # not its specs: the compiler would check every key

    @property
    def prefix(self) -> str:
        """As that of a node."""
        return self.path and self.path + "/"  # no function of another module: each is a guard

    @property
    def scopes(self) -> TracedNode:
        """The paths inside, by name."""
        return self

    names = specs = scopes

    def __getitem__(self, name: str | TracedNode) -> TracedNode:
        if type(name) is type(self):  # the number of a variable
            return name
        if type(name) is not str or not name.isidentifier():
            raise KeyError(name)  # a scope object, or a name with slashes: for the slow path
        if is_foreign_branch(self._depth):
            refuse_in_branch(self.prefix + name, self._store.owner)
        return self.below(name)

    def below(self, path: str) -> TracedNode:
        """As that of a node."""
        if not path:
            return self
        return type(self)(self.prefix + path, self._parameters, self._store, self._depth)  # by its name: one more guard

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the tensor."""
        variable = self._parameters[self.path]
        assert variable is not None  # looked up before
        return variable.shape

    listed = shape  # no list: compared as a tuple

    @property
    def dtype(self) -> torch.dtype:
        """That of the declaration."""
        return self._store.specs[self.path].dtype
