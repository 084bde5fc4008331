"""Recording what runs: a ``name_ops`` that also remembers which operation read what."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

from .._names.paths import scopes_of
from .._scopes.call import Call
from .._scopes.name_scope import name_ops, tensors_in
from .._scopes.naming import open_name_scope
from .._scopes.stack import thread
from .._variables.module_tree import held_by
from .._variables.store import VariableStore
from ._graph import Graph
from ._node import Node, Output


@contextmanager
def record_graph() -> Iterator[Graph]:
    """Record the operations of one call: a :class:`torchscope.name_ops` block that yields their graph.

    It is there to be drawn: put one call of the module inside, built before or not. Of a call that raises, what ran is
    recorded. With several calls, each call's names stand below the name of its module; those of a module inside another
    always do, in the scope where it was called. What autograd runs in backward, and what ``torch.compile`` compiled, is
    not seen; what is written through a view (``y[1:].mul_(3)``) shows on the view and not on ``y``.

    >>> import torch
    >>> from torchscope import ScopedModule, get_variable, variable_scope
    >>> from torchscope.graph import record_graph
    >>> def forward(x):
    ...     for _ in range(2):
    ...         with variable_scope(None, "scale"):
    ...             x = x * get_variable("by", [])
    ...     return x
    >>> with record_graph() as graph:
    ...     _ = ScopedModule(forward)(torch.ones(3))
    >>> graph
    <Graph of 2 operations, 2 variables, 1 inputs>
    >>> graph.nodes["scale_1/mul"].inputs
    (('scale/mul', 0), ('scale_1/by', 0))
    """
    graph = Graph()
    recorder = _Recorder()
    try:
        with recorder:
            yield graph
    finally:
        graph.nodes.update(recorder.named())


@dataclass(eq=False, slots=True)
class _Space:
    """A space of names: a call, or what ran outside of any."""

    owner: str
    outer: _Space | None
    within: str  # the name scope of ``outer`` that it runs in
    prefix: str = ""


@dataclass(eq=False, slots=True)
class _Seen:
    """A node before its final name is known."""

    space: _Space
    name: str
    kind: Literal["operation", "variable", "input"]
    function: str
    inputs: list[tuple[_Seen, int]]
    outputs: tuple[Output, ...]


class _Recorder(name_ops):
    def __init__(self) -> None:
        super().__init__()
        self._outside = _Space("", None, "")
        self._spaces: dict[Call, _Space] = {}
        self._seen: list[_Seen] = []
        self._made_by: WeakIdKeyDictionary = WeakIdKeyDictionary()  # tensor -> (its node, which output)
        self._variables: WeakIdKeyDictionary = WeakIdKeyDictionary()  # parameter or buffer -> its node

    def _ran(
        self, function: str, args: object, kwargs: Mapping[str, object], made: list[Tensor], *, named: bool
    ) -> str | None:
        name = super()._ran(function, args, kwargs, made, named=named)
        space = self._space(thread.stack.call)
        inputs = [self._read(tensor, space) for tensor in tensors_in([args, kwargs])]
        if name is None and not inputs:
            return None  # torch.ones and the like outside of any call: an input, if it is read
        outputs = tuple(Output(tuple(tensor.shape), tensor.dtype) for tensor in made)
        seen = _Seen(space, name or function, "operation", function, inputs, outputs)
        self._seen.append(seen)
        for index, tensor in enumerate(made):
            self._made_by[tensor] = seen, index
        return name

    def _space(self, call: Call | None) -> _Space:
        if call is None:
            return self._outside
        if call not in self._spaces:
            outer, within = call.outer, ""
            if outer is not None:
                within = open_name_scope(outer.scope)
            space = None if outer is None else self._space(outer)
            self._spaces[call] = _Space(_short(call.store.owner), space, within)
        return self._spaces[call]

    def _read(self, tensor: Tensor, space: _Space) -> tuple[_Seen, int]:
        if tensor in self._variables and self._made_by[tensor][0].space is not space:
            variable: _Seen = self._variables[tensor]  # what an earlier call did to it in place is past
            return variable, 0
        if tensor not in self._made_by:
            found, name = self._variable(tensor)
            kind: Literal["variable", "input"] = "variable" if found or isinstance(tensor, nn.Parameter) else "input"
            output = Output(tuple(tensor.shape), tensor.dtype)
            seen = _Seen(found or self._outside, name or kind, kind, "", [], (output,))
            self._seen.append(seen)
            self._made_by[tensor] = seen, 0
            if kind == "variable":
                self._variables[tensor] = seen
        known: tuple[_Seen, int] = self._made_by[tensor]
        return known

    def _variable(self, tensor: Tensor) -> tuple[_Space | None, str]:
        """The call whose module holds a tensor, and its path there; of a plain module's too."""
        call = thread.stack.call
        while call is not None:
            for prefix, module in _modules(call.root):
                for name, held in held_by(module):
                    if held is tensor:
                        return self._space(call), prefix + name
            call = call.outer
        return None, ""

    def named(self) -> dict[str, Node]:
        """All that was seen, under its final name."""
        taken: dict[str, int] = {}
        alone = sum(space.outer is None for space in self._spaces.values()) == 1
        final: dict[_Seen, str] = {}
        for space in [*self._spaces.values(), self._outside]:
            if space is not self._outside and not (alone and space.outer is None):
                around = space.outer.prefix if space.outer else ""
                within = space.within and space.within + "/"
                space.prefix = _unique(around + within + space.owner, taken) + "/"
            for kind in ("operation", "variable", "input"):
                for seen in self._seen:
                    if seen.space is space and seen.kind == kind:
                        final[seen] = _unique(space.prefix + seen.name, taken)
            for name in final.values():
                for scope in scopes_of(name):
                    taken.setdefault(scope, 1)
        return {
            final[seen]: Node(
                final[seen],
                seen.kind,
                seen.function,
                tuple((final[read], index) for read, index in seen.inputs),
                seen.outputs,
            )
            for seen in self._seen
        }


def _modules(root: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules of a tree, with what stands before the names of their tensors: ``"linear/"``, ``""``."""
    for name, module in root.named_modules():
        if isinstance(module, VariableStore):
            name = name.removesuffix("variables").removesuffix(".")
        yield (name.replace(".", "/") + "/" if name else ""), module


def _short(owner: str) -> str:
    """``Encoder``, and ``forward`` of ``ScopedModule(forward)``."""
    return re.sub(r"^\w+\((.*)\)$", r"\1", owner).replace("<", "").replace(">", "")


def _unique(name: str, taken: dict[str, int]) -> str:
    """The name, or with the first free index; ``taken`` knows where to look for one."""
    index, unique = taken.get(name, 0), name
    while unique in taken:
        unique, index = f"{name}_{max(index, 1)}", max(index, 1) + 1
    taken[name] = max(index, 1)
    taken.setdefault(unique, 1)
    return unique
