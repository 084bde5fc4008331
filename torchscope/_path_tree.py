"""The paths of a store as a tree, which scopes walk down by names: no path is put together on the way to a variable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ._spec import VariableSpec


class PathNode:
    """A path that variables lie below.

    A scope that is open here finds the scopes inside by their names, and the variables by theirs. What is not in the
    tree, because nothing lies below it yet, is a node of its own: its scope works all the same, by paths, more slowly.
    """

    __slots__ = ("prefix", "scopes", "variables")

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix  # what stands before a name here: "" or "a/b/"
        self.scopes: dict[str, PathNode] = {}
        self.variables: dict[str, VariableSpec] = {}

    def below(self, path: str) -> PathNode:
        """The node of a path inside, in the tree or one of its own; ``""`` is this one."""
        node = self
        for name in path.split("/") if path else ():
            inside = node.scopes.get(name)
            if inside is None:
                return PathNode(f"{self.prefix}{path}/")
            node = inside
        return node

    def grow(self, path: str) -> PathNode:
        """The node that ``path``, a variable or a module, lies in, from here; made where there is none."""
        node = self
        for name in path.split("/")[:-1]:
            inside = node.scopes.get(name)
            if inside is None:
                inside = node.scopes[name] = PathNode(f"{node.prefix}{name}/")
            node = inside
        return node

    def put(self, spec: VariableSpec) -> None:
        """Let its path lead to this declaration."""
        self.grow(spec.path).variables[spec.path.rpartition("/")[2]] = spec

    def drop(self, path: str) -> None:
        """Forget a path, and the nodes that nothing lies below any more."""
        *scopes, name = path.split("/")
        way = [self]
        for scope in scopes:
            way.append(way[-1].scopes.get(scope) or PathNode(""))
        way[-1].variables.pop(name, None)
        while scopes and not way[-1].scopes and not way[-1].variables:
            way.pop()
            way[-1].scopes.pop(scopes.pop(), None)


class TracedPath:
    """A path while ``torch.compile`` traces, in the place of a node and of a declaration.

    The compiled code checks every tensor that it uses anyway; each step through a tree, and each declared shape, would
    be one thing more to check.
    """

    def __init__(self, path: str, parameters: Mapping[str, Any], specs: Mapping[str, VariableSpec]) -> None:
        self.path = path
        self.parameters = parameters
        self.specs = specs

    @property
    def prefix(self) -> str:
        """As that of a node."""
        return self.path and self.path + "/"

    @property
    def scopes(self) -> TracedPath:
        """The paths inside, by name."""
        return self

    variables = scopes

    def __getitem__(self, name: Any) -> TracedPath:
        if type(name) is not str or not name.isidentifier():
            raise KeyError(name)  # the long way knows what it may mean
        return self.below(name)

    def below(self, path: str) -> TracedPath:
        """A path inside; ``""`` is this one."""
        return TracedPath(self.prefix + path, self.parameters, self.specs) if path else self

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the tensor."""
        return self.parameters[self.path].shape  # type: ignore[no-any-return]

    @property
    def dtype(self) -> torch.dtype:
        """That of the declaration."""
        return self.specs[self.path].dtype
