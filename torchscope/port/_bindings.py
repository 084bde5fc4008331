"""What is bound to the names of a file, and which of it reaches a place: without running it."""

from __future__ import annotations

import re
from typing import NamedTuple

import libcst as cst

from ._kinds import OTHER, TENSOR, UNKNOWN, Kind
from ._names import dotted


class Bound(NamedTuple):
    """One thing that a name is bound to."""

    value: cst.BaseExpression | None  # what is assigned, or what is walked through
    kind: Kind = UNKNOWN  # where there is no value
    is_item: bool = False  # it is each item of the value
    order: int = 0  # when it is bound, in the order of the file
    block: tuple[cst.CSTNode, ...] = ()  # the branches and loops that it stands in, the outermost first
    always: bool = False  # of a comprehension: it reaches what stands before it too
    is_parameter: bool = False  # it is what a call gives, or a default


class Place(NamedTuple):
    """Where a name is read."""

    function: cst.CSTNode | None
    order: int
    block: tuple[cst.CSTNode, ...]


class Bindings(cst.CSTVisitor):
    """What is bound to each name of each function, and to each attribute of ``self``; ``None`` is the file.

    Attributes:
        of: by function and name, what it is bound to.
        around: the function around each function.
        places: where each name is read, and each call stands.
        attributes: by ``self.name``, likewise.
        returns: by the name of a function, what it returns.
        grown: names of lists that something is added to, which may be tensors.
    """

    def __init__(self) -> None:
        self.of: dict[cst.CSTNode | None, dict[str, list[Bound]]] = {None: {}}
        self.around: dict[cst.CSTNode, cst.CSTNode | None] = {}
        self.places: dict[cst.CSTNode, Place] = {}
        self.attributes: dict[str, list[Bound]] = {}
        self.returns: dict[str, list[cst.BaseExpression]] = {}
        self._parameters: dict[str, tuple[cst.FunctionDef, list[str]]] = {}
        self._calls: list[cst.Call] = []
        self._tensors: set[tuple[cst.CSTNode | None, str]] = set()  # parameters that are used as only tensors are
        self.grown: set[str] = set()  # names of lists that something is added to
        self._shared: set[str] = set()  # names that functions bind around themselves
        self._defined: set[str] = set()
        self._ambiguous: set[str] = set()  # names of several functions, or of methods
        self._classes = 0
        self._stack: list[cst.CSTNode | None] = [None]
        self._blocks: list[tuple[cst.CSTNode, ...]] = [()]
        self._order = 0

    def functions_around(self, node: cst.CSTNode) -> list[cst.CSTNode]:
        place = self.places.get(node)
        found, function = [], None if place is None else place.function
        while function is not None:
            found.append(function)
            function = self.around.get(function)
        return found

    def reaching(self, node: cst.Name) -> list[Bound]:
        """What a name may be bound to where it is read: in its own function what was bound last, around it all."""
        place = self.places.get(node)
        if place is None:
            return []
        if node.value in self._shared:
            return [Bound(None)]
        function = place.function
        while function is not None and node.value not in self.of[function]:
            function = self.around.get(function)
        bound = self.of[function].get(node.value, [])
        return bound if function is not place.function else _reaching(bound, place)

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        self._enter(node, [each.name.value for each in node.params.params])
        name = node.name.value
        if self._classes or name in self._defined:
            self._ambiguous.add(name)
        self._defined.add(name)
        self._parameters[name] = node, [each.name.value for each in node.params.params]
        for each in node.params.params:
            if each.default is not None and dotted(each.default) != "None":
                self.of[node][each.name.value].append(Bound(each.default, is_parameter=True))

    def leave_FunctionDef(self, original_node: cst.FunctionDef) -> None:
        self._leave()

    def visit_ClassDef(self, node: cst.ClassDef) -> None:
        self._classes += 1

    def leave_ClassDef(self, original_node: cst.ClassDef) -> None:
        self._classes -= 1

    def visit_Global(self, node: cst.Global) -> None:
        self._shared.update(each.name.value for each in node.names)

    def visit_Nonlocal(self, node: cst.Nonlocal) -> None:
        self._shared.update(each.name.value for each in node.names)

    def visit_Lambda(self, node: cst.Lambda) -> None:
        self._enter(node, [each.name.value for each in node.params.params])
        for each in node.params.params:
            self.of[node][each.name.value].append(Bound(None))

    def leave_Lambda(self, original_node: cst.Lambda) -> None:
        self._leave()

    def _enter(self, node: cst.CSTNode, parameters: list[str]) -> None:
        self.around[node] = self._stack[-1]
        self.of[node] = {name: [] for name in parameters}
        self._stack.append(node)
        self._blocks.append(())

    def _leave(self) -> None:
        self._stack.pop()
        self._blocks.pop()

    def on_visit(self, node: cst.CSTNode) -> bool:
        self._order += 1
        if isinstance(node, _BRANCHES):
            self._blocks[-1] = (*self._blocks[-1], node)
        return super().on_visit(node)

    def on_leave(self, original_node: cst.CSTNode) -> None:
        super().on_leave(original_node)
        if isinstance(original_node, _BRANCHES):
            self._blocks[-1] = self._blocks[-1][:-1]

    def visit_Name(self, node: cst.Name) -> None:
        self.places[node] = Place(self._stack[-1], self._order, self._blocks[-1])

    def visit_Attribute(self, node: cst.Attribute) -> None:
        if node.attr.value in ("get_shape", "shape") and isinstance(node.value, cst.Name):
            self._tensors.add((self._stack[-1], node.value.value))

    def visit_Call(self, node: cst.Call) -> None:
        self.places[node] = Place(self._stack[-1], self._order, self._blocks[-1])
        if node.args and isinstance(node.args[0].value, cst.Name) and _takes_a_tensor(dotted(node.func) or ""):
            self._tensors.add((self._stack[-1], node.args[0].value.value))
        if isinstance(node.func, cst.Name):
            self._calls.append(node)
        elif isinstance(node.func, cst.Attribute) and node.func.attr.value in ("append", "extend", "insert"):
            self.grown.add(dotted(node.func.value) or "")

    def visit_Return(self, node: cst.Return) -> None:
        function = self._stack[-1]
        if isinstance(function, cst.FunctionDef) and node.value is not None:
            self.returns.setdefault(function.name.value, []).append(node.value)

    def leave_Assign(self, original_node: cst.Assign) -> None:
        for each in original_node.targets:
            self._bind(each.target, original_node.value)

    def leave_AnnAssign(self, original_node: cst.AnnAssign) -> None:
        if original_node.value is not None:
            self._bind(original_node.target, original_node.value)

    def leave_AugAssign(self, original_node: cst.AugAssign) -> None:
        self._bind(original_node.target, cst.BinaryOperation(original_node.target, cst.Add(), original_node.value))

    def visit_For(self, node: cst.For) -> None:
        self._bind_item(node.target, node.iter)

    def visit_CompFor(self, node: cst.CompFor) -> None:
        self._bind_item(node.target, node.iter, always=True)

    def visit_AsName(self, node: cst.AsName) -> None:
        if isinstance(node.name, cst.Name):
            self._add(node.name.value, Bound(None, OTHER))

    def _bind(self, target: cst.BaseExpression, value: cst.BaseExpression) -> None:
        if isinstance(target, (cst.Tuple, cst.List)):
            values = value.elements if isinstance(value, (cst.Tuple, cst.List)) else None
            for n, element in enumerate(target.elements):
                if values is not None and len(values) == len(target.elements):
                    self._bind(element.value, values[n].value)
                else:
                    self._bind_item(element.value, value)
        elif isinstance(target, cst.Name):
            self._add(target.value, Bound(value))
        elif (path := dotted(target)) is not None and path.startswith("self."):
            self.attributes.setdefault(path, []).append(Bound(value))

    def _bind_item(self, target: cst.BaseExpression, value: cst.BaseExpression, *, always: bool = False) -> None:
        if isinstance(target, cst.Name):
            self._add(target.value, Bound(value, is_item=True, always=always))
        elif isinstance(target, (cst.Tuple, cst.List)):
            for element in target.elements:
                if isinstance(element.value, cst.Name):
                    self._add(element.value.value, Bound(None, always=always))

    def _add(self, name: str, bound: Bound) -> None:
        placed = bound._replace(order=self._order, block=self._blocks[-1])
        self.of[self._stack[-1]].setdefault(name, []).append(placed)

    def gives_no_more(self, function: cst.FunctionDef) -> bool:
        """Whether no call in this file gives a function more than its named parameters."""
        names = [each.name.value for each in (*function.params.params, *function.params.kwonly_params)]
        for call in self._calls:
            if isinstance(call.func, cst.Name) and call.func.value == function.name.value:
                given = [each.keyword.value for each in call.args if each.keyword]
                positional = [each for each in call.args if not each.keyword]
                if any(each.star for each in call.args) or len(positional) > len(function.params.params):
                    return False
                if not set(given) <= set(names):
                    return False
        return True

    def leave_Module(self, original_node: cst.Module) -> None:
        """Bind the arguments of the calls in this file to the parameters of its functions."""
        called: set[str] = set()
        for name in self._ambiguous:
            self.returns.pop(name, None)
        for call in self._calls:
            name = call.func.value if isinstance(call.func, cst.Name) else ""
            if name in self._parameters and name not in self._ambiguous:
                called.add(name)
                function, parameters = self._parameters[name]
                for n, argument in enumerate(call.args):
                    keyword = argument.keyword.value if argument.keyword else None
                    at = keyword or (parameters[n] if n < len(parameters) and not argument.star else None)
                    if at in self.of[function]:
                        self.of[function][at].append(Bound(argument.value, is_parameter=True))
        for name, (function, parameters) in self._parameters.items():
            for parameter in parameters if name not in called else ():
                is_tensor = (function, parameter) in self._tensors
                self.of[function][parameter].append(Bound(None, TENSOR if is_tensor else UNKNOWN))


# What runs once, several times or not at all: the blocks of a statement, told apart.
_BRANCHES = (cst.IndentedBlock, cst.SimpleStatementSuite)


def _reaching(bound: list[Bound], place: Place) -> list[Bound]:
    """Of what a name is bound to in a function, what may reach a place there."""
    before = sorted((each for each in bound if each.order < place.order), key=lambda each: each.order)
    sure = [n for n, each in enumerate(before) if each.block == place.block[: len(each.block)] and not each.always]
    reach = before[sure[-1] :] if sure else before
    last = reach[0].block if sure else ()
    # What follows in a loop around the place comes before it in the next turn, unless it is bound anew in each.
    around = place.block[len(last) :]
    later = [each for each in bound if each.order >= place.order and any(block in each.block for block in around)]
    return [*reach, *later, *(each for each in bound if each.always and each not in reach)]


def _takes_a_tensor(path: str) -> bool:
    """Whether the first argument of a function of TensorFlow's is a tensor in all code that runs."""
    return (
        re.match(r"tf\.(nn|layers|image)\.|slim\.|tf\.contrib\.(slim|layers)\.|tf\.(shape|matmul)$", path) is not None
    )
