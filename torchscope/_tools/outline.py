"""A module tree as a tree of scopes: what each holds and, where it was surveyed, what it did."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from .._variables.tensors import NamedTensor, all_modules, all_tensors
from .survey import Shapes, Survey

Kind = Literal["scope", "module", "parameter", "buffer"]
_SEPARATOR = re.compile(r"[/.]")


class Node:
    """A scope, a module or a variable.

    Attributes:
        name, path: the last part, and the whole.
        kind: what it is; a variable that is computed from others is a scope of these.
        type: the class of a module.
        shape, dtype, trainable: of a variable.
        local_shape: the part of a sharded variable that this rank holds.
        same_as: where a variable that is at several paths was counted, if not here.
        elements, bytes, trained: how many elements, bytes and trained elements it holds, variables below included;
            buffers are in the bytes alone.
        local_elements, local_bytes: those of them that this rank holds.
        outputs: the shapes that it gave; ``None`` if it did not run.
        flops: floating-point operations, of all below too; ``None`` without a run.
        reads: how many operations took the variable; ``None`` without a run.
        children: what is in it, in the order of creation.
    """

    def __init__(self, name: str, path: str, kind: Kind = "scope", kind_of_module: str = "") -> None:
        self.name, self.path, self.type = name, path, kind_of_module
        self.kind: Kind = kind
        self.shape: tuple[int, ...] | None = None
        self.local_shape: tuple[int, ...] | None = None
        self.dtype: torch.dtype | None = None
        self.trainable: bool | None = None
        self.same_as: str | None = None
        self.elements = self.trained = self.bytes = self.local_elements = self.local_bytes = 0
        self.outputs: Shapes | None = None
        self.flops: int | None = None
        self.reads: int | None = None
        self.children: list[Node] = []

    @property
    def is_variable(self) -> bool:
        """Whether it is a parameter or a buffer."""
        return self.shape is not None

    def walk(self) -> Iterator[Node]:
        """The node and all below it, in order."""
        yield self
        for child in self.children:
            yield from child.walk()


def outline(root: nn.Module, owner: str, survey: Survey | None) -> Node:
    """The tree of a module."""
    top = Node("", "", "module", owner)
    inner: dict[tuple[str, ...], Node] = {(): top}
    for each in all_tensors(root):
        _describe(_leaf(inner, each), each, survey)
    for path, module in all_modules(root):
        node = inner.get(_parts(path))
        if node is not None and path:
            node.kind, node.type = "module", type(module).__name__
    if survey is not None:
        _add_what_ran(inner, survey)
    _count(top, {})
    return top


def _parts(path: str) -> tuple[str, ...]:
    return tuple(_SEPARATOR.split(path)) if path else ()


def _inner_node(inner: dict[tuple[str, ...], Node], parts: tuple[str, ...]) -> Node:
    """The scope or module of these parts, made with all around it where it is new."""
    if parts not in inner:
        around = _inner_node(inner, parts[:-1])
        inner[parts] = Node(parts[-1], "/".join(parts))
        around.children.append(inner[parts])
    return inner[parts]


def _leaf(inner: dict[tuple[str, ...], Node], found: NamedTensor) -> Node:
    """The row of a variable, which may hold others: ``kernel/lora_a`` lies in ``kernel``."""
    parts = _parts(found.path)
    node = _inner_node(inner, parts)
    if node.is_variable:  # of another module, which is called as a scope is
        node = Node(parts[-1], found.path)
        inner[parts[:-1]].children.append(node)
    node.path = found.path
    return node


def _describe(node: Node, found: NamedTensor, survey: Survey | None) -> None:
    tensor = found.tensor
    local = _local(tensor)
    node.kind = "parameter" if isinstance(tensor, nn.Parameter) else "buffer"
    node.shape, node.dtype, node.trainable = tuple(tensor.shape), tensor.dtype, tensor.requires_grad
    node.local_shape = tuple(local.shape)
    node.reads = None if survey is None else survey.reads.get(tensor, 0)  # type: ignore[no-untyped-call]
    node.type = ""
    node.elements = tensor.numel() if node.kind == "parameter" else 0
    node.trained = node.elements if tensor.requires_grad else 0
    node.local_elements = local.numel() if node.kind == "parameter" else 0
    node.bytes, node.local_bytes = tensor.numel() * tensor.itemsize, local.numel() * tensor.itemsize
    node.same_as = str(id(tensor))  # until the whole tree is counted


def _local(tensor: Tensor) -> Tensor:
    """What this rank holds of a tensor; of one that is not sharded, all of it."""
    with torch.no_grad():
        local: Tensor = getattr(tensor, "to_local", lambda: tensor)()
        return local


def _add_what_ran(inner: dict[tuple[str, ...], Node], survey: Survey) -> None:
    for node in inner.values():
        node.flops = 0
    for path, shapes in survey.outputs.items():
        node = _inner_node(inner, _parts(path))
        node.outputs, node.flops = shapes, 0
    for path, flops in survey.flops.items():
        _inner_node(inner, _parts(path)).flops = flops


def _count(node: Node, first: dict[str, str]) -> None:
    """Add up what is below; a variable that was met before counts nothing here."""
    if node.is_variable:
        identity = str(node.same_as)
        node.same_as = first.get(identity)
        first.setdefault(identity, node.path)
        if node.same_as is not None:
            node.elements = node.trained = node.bytes = node.local_elements = node.local_bytes = 0
    for child in node.children:
        _count(child, first)
        for what in ("elements", "trained", "bytes", "local_elements", "local_bytes"):
            setattr(node, what, getattr(node, what) + getattr(child, what))
        if child.flops is not None:
            node.flops = (node.flops or 0) + child.flops
    variables = [each for each in node.walk() if each.kind == "parameter"]
    if not node.is_variable and variables:
        trained = {each.trainable for each in variables}
        node.trainable = trained.pop() if len(trained) == 1 else None
