"""What an expression of TensorFlow 1 code is - a tensor, a number, sizes - by reading the file, without running it.

It decides which line of torch is right: ``tf.sqrt`` of a tensor is ``x.sqrt()``, of a number it is not. What cannot be
told is ``UNKNOWN``, and gets a line that is right for all; one recorded run (``record``) says the rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Literal

import libcst as cst
from libcst.metadata import CodePosition

from ._names import Names, dotted

Kind = Literal["tensor", "number", "sizes", "shape", "list", "text", "none", "other", "unknown"]
TENSOR: Kind = "tensor"
NUMBER: Kind = "number"  # of Python: an int, a float, a bool
SIZES: Kind = "sizes"  # a list or tuple of numbers
SHAPE: Kind = "shape"  # sizes that are a tensor in TensorFlow: arithmetic goes by element
LIST: Kind = "list"  # of tensors
TEXT: Kind = "text"
NONE: Kind = "none"
OTHER: Kind = "other"  # something else that is known: a scope, a function
UNKNOWN: Kind = "unknown"

Recorded = dict[tuple[int, int], set[Kind]]

_NUMBERS = {"len", "int", "float", "bool", "round", "abs", "min", "max", "sum"}
_SIZES = {"list", "tuple", "range", "sorted"}
# What of TensorFlow gives no tensor.
_OF_SYMBOL: dict[str, Kind] = {
    "tf.shape": SHAPE,
    "tf.rank": NUMBER,
    "tf.size": NUMBER,
    "tf.unstack": LIST,
    "tf.split": LIST,
    "tf.trainable_variables": LIST,
    "tf.global_variables": LIST,
    "tf.get_collection": LIST,
    "tf.variable_scope": OTHER,
    "tf.name_scope": OTHER,
    "tf.get_variable_scope": OTHER,
    "tf.make_template": OTHER,
}
_NO_TENSORS = ("initializer", "regularizer", "Cell", "_scope", "Optimizer", "arg_scope", "placeholder_with")
_SEVERAL = ("tf.nn.moments", "tf.nn.top_k", "tf.nn.dynamic_rnn", "tf.nn.fused_batch_norm", "tf.meshgrid", "tf.cond")
_TENSOR_METHODS = {"assign", "read_value", "initialized_value", "value"}


class Kinds:
    """The kinds of the expressions of one file."""

    def __init__(
        self,
        names: Names,
        bindings: Bindings,
        position: Callable[[cst.CSTNode], CodePosition],
        recorded: Recorded | None,
    ) -> None:
        self._names, self._bindings = names, bindings
        self._position, self._recorded = position, recorded or {}
        self._known: dict[cst.CSTNode, Kind] = {}
        self._asked: set[cst.CSTNode | tuple[cst.CSTNode | None, str]] = set()

    def of(self, node: cst.BaseExpression) -> Kind:
        """The kind of an expression of the file as it was read."""
        known = self._known.get(node)
        if known is not None:
            return known
        if node in self._asked:  # it is made of itself, in a loop
            return UNKNOWN
        self._asked.add(node)
        kind = self._look(node)
        self._asked.discard(node)
        if kind == UNKNOWN and self._recorded:
            at = self._position(node)
            seen = self._recorded.get((at.line, at.column), set())
            kind = next(iter(seen)) if len(seen) == 1 else UNKNOWN
        if not self._asked or kind != UNKNOWN:
            self._known[node] = kind
        return kind

    def is_variable(self, node: cst.BaseExpression) -> bool:
        """Whether a name stands for a variable, or for each of some: then its name is a path."""
        if not isinstance(node, cst.Name):
            return False
        function = self._bindings.function_of.get(node)
        bound = self._bindings.bound_to(function, node.value)
        return any(not isinstance(each, str) and self._gives_variables(each[1]) for each in bound)

    def _gives_variables(self, node: cst.BaseExpression, depth: int = 3) -> bool:
        if isinstance(node, cst.Call):
            symbol = self._names.symbol(node.func, self._bindings.functions_around(node))
            return symbol is not None and re.search(r"\.(\w*variables|get_collection|get_variable)$", symbol) is not None
        if isinstance(node, cst.BinaryOperation):
            return self._gives_variables(node.left, depth) or self._gives_variables(node.right, depth)
        if isinstance(node, cst.ListComp):
            return self._gives_variables(node.for_in.iter, depth)
        if not isinstance(node, cst.Name) or not depth:
            return False
        bound = self._bindings.bound_to(self._bindings.function_of.get(node), node.value)
        return any(not isinstance(each, str) and self._gives_variables(each[1], depth - 1) for each in bound)

    def _look(self, node: cst.BaseExpression) -> Kind:
        look = _LOOKS.get(type(node))
        return UNKNOWN if look is None else look(self, node)

    def _literal(self, node: cst.BaseExpression) -> Kind:
        return TEXT if isinstance(node, (cst.SimpleString, cst.ConcatenatedString, cst.FormattedString)) else NUMBER

    def _name(self, node: cst.Name) -> Kind:
        if node.value in ("True", "False"):
            return NUMBER
        if node.value == "None":
            return NONE
        return self._binding(self._bindings.function_of.get(node), node.value)

    def _binding(self, function: cst.CSTNode | None, name: str) -> Kind:
        """What a name is in a function: all that is bound to it there, else what it is around the function."""
        key = (function, name)
        if key in self._asked:
            return UNKNOWN
        bound = self._bindings.bound_to(function, name)
        self._asked.add(key)
        kinds = [each if isinstance(each, str) else self._bound(each) for each in bound]
        self._asked.discard(key)
        return joined(kinds)

    def _bound(self, bound: tuple[str, cst.BaseExpression]) -> Kind:
        how, value = bound
        kind = self.of(value)
        if how == "value":
            return kind
        if how == "item":  # of a loop, or of several names at once
            return {SIZES: NUMBER, SHAPE: NUMBER, LIST: TENSOR, TENSOR: TENSOR}.get(kind, UNKNOWN)
        return UNKNOWN

    def _elements(self, node: cst.List | cst.Tuple) -> Kind:
        kinds = {
            {SIZES: NUMBER, SHAPE: NUMBER}.get(self.of(each.value.value), UNKNOWN)
            if isinstance(each, cst.StarredElement)
            else self.of(each.value)
            for each in node.elements
        }
        if kinds <= {NUMBER, SIZES, NONE}:
            return SIZES
        return LIST if TENSOR in kinds else UNKNOWN

    def _attribute(self, node: cst.Attribute) -> Kind:
        if node.attr.value == "shape":
            return SIZES
        if node.attr.value in ("ndims", "value", "ndim", "size"):
            return NUMBER
        path = dotted(node)
        if path is not None and path.startswith("self."):
            return joined([self._bound(each) for each in self._bindings.attributes.get(path, ())] or [UNKNOWN])
        if path in ("np.pi", "math.pi", "np.e", "math.e"):
            return NUMBER
        if node.attr.value in ("T", "mT") and self.of(node.value) == TENSOR:
            return TENSOR
        return UNKNOWN

    def _subscript(self, node: cst.Subscript) -> Kind:
        kind = self.of(node.value)
        if kind == TENSOR:
            return TENSOR
        index = node.slice[0].slice
        if kind in (SIZES, SHAPE):
            return kind if isinstance(index, cst.Slice) else NUMBER
        if kind == LIST:
            return LIST if isinstance(index, cst.Slice) else TENSOR
        return UNKNOWN

    def _call(self, node: cst.Call) -> Kind:
        symbol = self._names.symbol(node.func, self._bindings.functions_around(node))
        if symbol is not None:
            return of_symbol(symbol, [self.of(each.value) for each in node.args[:1]])
        if isinstance(node.func, cst.Name):
            return self._call_of_a_name(node, node.func)
        if isinstance(node.func, cst.Attribute):
            method = node.func.attr.value
            if method in ("get_shape", "as_list", "dims"):
                return SIZES
            if method in ("num_elements", "index", "count", "ndims"):
                return NUMBER
            base = dotted(node.func.value)
            if base in ("math", "np.math"):
                return NUMBER
            return TENSOR if self.of(node.func.value) == TENSOR else UNKNOWN
        return UNKNOWN

    def _call_of_a_name(self, node: cst.Call, name: cst.Name) -> Kind:
        first = [self.of(each.value) for each in node.args[:1]]
        if name.value in _NUMBERS and name.value not in self._names.bound:
            return NUMBER if name.value in ("len", "int", "float", "bool") or first in ([NUMBER], [SIZES]) else UNKNOWN
        if name.value in _SIZES and name.value not in self._names.bound:
            return SIZES if name.value == "range" else first[0] if first and first[0] in (SIZES, LIST) else UNKNOWN
        returns = self._bindings.returns.get(name.value)
        return UNKNOWN if not returns else joined([self.of(each) for each in returns])

    def _binary(self, node: cst.BinaryOperation) -> Kind:
        left, right = self.of(node.left), self.of(node.right)
        if TENSOR in (left, right):
            return TENSOR
        if left == right == NUMBER:
            return NUMBER
        if SHAPE in (left, right):
            return SHAPE
        if isinstance(node.operator, cst.Add) and left == right and left in (SIZES, LIST):
            return left
        if isinstance(node.operator, cst.Multiply) and {left, right} == {SIZES, NUMBER}:
            return SIZES
        return UNKNOWN

    def _comparison(self, node: cst.Comparison) -> Kind:
        kinds = [self.of(node.left), *(self.of(each.comparator) for each in node.comparisons)]
        return TENSOR if TENSOR in kinds else NUMBER if set(kinds) <= {NUMBER, TEXT, NONE} else UNKNOWN

    def _condition(self, node: cst.IfExp) -> Kind:
        return joined([self.of(node.body), self.of(node.orelse)])

    def _either(self, node: cst.BooleanOperation) -> Kind:
        return joined([self.of(node.left), self.of(node.right)])

    def _unary(self, node: cst.UnaryOperation) -> Kind:
        return NUMBER if isinstance(node.operator, cst.Not) else self.of(node.expression)

    def _comprehension(self, node: cst.ListComp) -> Kind:
        return {NUMBER: SIZES, TENSOR: LIST}.get(self.of(node.elt), UNKNOWN)


_LOOKS: dict[type[cst.CSTNode], Callable[..., Kind]] = {
    cst.Integer: Kinds._literal,
    cst.Float: Kinds._literal,
    cst.SimpleString: Kinds._literal,
    cst.ConcatenatedString: Kinds._literal,
    cst.FormattedString: Kinds._literal,
    cst.Name: Kinds._name,
    cst.List: Kinds._elements,
    cst.Tuple: Kinds._elements,
    cst.Attribute: Kinds._attribute,
    cst.Subscript: Kinds._subscript,
    cst.Call: Kinds._call,
    cst.BinaryOperation: Kinds._binary,
    cst.Comparison: Kinds._comparison,
    cst.IfExp: Kinds._condition,
    cst.BooleanOperation: Kinds._either,
    cst.UnaryOperation: Kinds._unary,
    cst.ListComp: Kinds._comprehension,
    cst.Lambda: lambda kinds, node: OTHER,
    cst.Dict: lambda kinds, node: OTHER,
}


def joined(kinds: Iterable[Kind]) -> Kind:
    """What is one of several kinds. What is a tensor or nothing is a tensor where it is used."""
    several = set(kinds)
    if len(several) > 1:
        several -= {NONE}
    return next(iter(several)) if len(several) == 1 else UNKNOWN


def of_symbol(symbol: str, first: list[Kind]) -> Kind:
    """What a function of TensorFlow gives; ``first``: the kind of its first argument."""
    if symbol in _OF_SYMBOL:
        return _OF_SYMBOL[symbol]
    if symbol.startswith(_SEVERAL) or symbol.endswith(_NO_TENSORS) or symbol.startswith("tf.train."):
        return UNKNOWN
    last = symbol.rpartition(".")[2]
    if symbol in ("tf.concat", "tf.stack", "tf.identity", "tf.squeeze", "tf.expand_dims", "tf.constant"):
        return {SIZES: SHAPE, SHAPE: SHAPE}.get(first[0], TENSOR) if first and symbol != "tf.constant" else TENSOR
    return OTHER if last[:1].isupper() else TENSOR


class Bindings(cst.CSTVisitor):
    """What is bound to each name of each function, and to each attribute of ``self``; ``None`` is the file.

    Attributes:
        of: by function and name, what it is bound to: a kind, or how and to what.
        around: the function around each function.
        function_of: the function that each name is read in.
        attributes: by ``self.name``, likewise.
        returns: by the name of a function, what it returns.
    """

    def __init__(self) -> None:
        self.of: dict[cst.CSTNode | None, dict[str, list[Kind | tuple[str, cst.BaseExpression]]]] = {None: {}}
        self.around: dict[cst.CSTNode, cst.CSTNode | None] = {}
        self.function_of: dict[cst.CSTNode, cst.CSTNode | None] = {}
        self.attributes: dict[str, list[tuple[str, cst.BaseExpression]]] = {}
        self.returns: dict[str, list[cst.BaseExpression]] = {}
        self._parameters: dict[str, tuple[cst.FunctionDef, list[str]]] = {}
        self._calls: list[cst.Call] = []
        self._tensors: set[tuple[cst.CSTNode | None, str]] = set()  # parameters that are used as only tensors are
        self._stack: list[cst.CSTNode | None] = [None]

    def functions_around(self, node: cst.CSTNode) -> list[cst.CSTNode]:
        found, function = [], self.function_of.get(node)
        while function is not None:
            found.append(function)
            function = self.around.get(function)
        return found

    def bound_to(self, function: cst.CSTNode | None, name: str) -> list[Kind | tuple[str, cst.BaseExpression]]:
        """What a name is bound to in a function, or else around it."""
        while function is not None and name not in self.of[function]:
            function = self.around.get(function)
        return self.of[function].get(name, [])

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        self._enter(node, [each.name.value for each in node.params.params])
        self._parameters[node.name.value] = node, [each.name.value for each in node.params.params]
        for each in node.params.params:
            if each.default is not None and dotted(each.default) != "None":
                self.of[node][each.name.value].append(("value", each.default))

    def leave_FunctionDef(self, original_node: cst.FunctionDef) -> None:
        self._stack.pop()

    def visit_Lambda(self, node: cst.Lambda) -> None:
        self._enter(node, [each.name.value for each in node.params.params])
        for each in node.params.params:
            self.of[node][each.name.value].append(UNKNOWN)

    def leave_Lambda(self, original_node: cst.Lambda) -> None:
        self._stack.pop()

    def _enter(self, node: cst.CSTNode, parameters: list[str]) -> None:
        self.around[node] = self._stack[-1]
        self.of[node] = {name: [] for name in parameters}
        self._stack.append(node)

    def visit_Name(self, node: cst.Name) -> None:
        self.function_of[node] = self._stack[-1]

    def visit_Attribute(self, node: cst.Attribute) -> None:
        if node.attr.value in ("get_shape", "shape") and isinstance(node.value, cst.Name):
            self._tensors.add((self._stack[-1], node.value.value))

    def visit_Call(self, node: cst.Call) -> None:
        self.function_of[node] = self._stack[-1]
        if node.args and isinstance(node.args[0].value, cst.Name) and _takes_a_tensor(dotted(node.func) or ""):
            self._tensors.add((self._stack[-1], node.args[0].value.value))
        if isinstance(node.func, cst.Name):
            self._calls.append(node)

    def visit_Return(self, node: cst.Return) -> None:
        function = self._stack[-1]
        if isinstance(function, cst.FunctionDef) and node.value is not None:
            self.returns.setdefault(function.name.value, []).append(node.value)

    def visit_Assign(self, node: cst.Assign) -> None:
        for each in node.targets:
            self._bind(each.target, node.value)

    def visit_AnnAssign(self, node: cst.AnnAssign) -> None:
        if node.value is not None:
            self._bind(node.target, node.value)

    def visit_AugAssign(self, node: cst.AugAssign) -> None:
        self._bind(node.target, cst.BinaryOperation(node.value, cst.Add(), node.value))

    def visit_For(self, node: cst.For) -> None:
        self._bind_item(node.target, node.iter)

    def visit_CompFor(self, node: cst.CompFor) -> None:
        self._bind_item(node.target, node.iter)

    def visit_AsName(self, node: cst.AsName) -> None:
        if isinstance(node.name, cst.Name):
            self._add(node.name.value, OTHER)

    def _bind(self, target: cst.BaseExpression, value: cst.BaseExpression) -> None:
        if isinstance(target, (cst.Tuple, cst.List)):
            values = value.elements if isinstance(value, (cst.Tuple, cst.List)) else None
            for n, element in enumerate(target.elements):
                if values is not None and len(values) == len(target.elements):
                    self._bind(element.value, values[n].value)
                else:
                    self._bind_item(element.value, value)
        elif isinstance(target, cst.Name):
            self._add(target.value, ("value", value))
        elif (path := dotted(target)) is not None and path.startswith("self."):
            self.attributes.setdefault(path, []).append(("value", value))

    def _bind_item(self, target: cst.BaseExpression, value: cst.BaseExpression) -> None:
        if isinstance(target, cst.Name):
            self._add(target.value, ("item", value))
        elif isinstance(target, (cst.Tuple, cst.List)):
            for element in target.elements:
                if isinstance(element.value, cst.Name):
                    self._add(element.value.value, UNKNOWN)

    def _add(self, name: str, bound: Kind | tuple[str, cst.BaseExpression]) -> None:
        self.of[self._stack[-1]].setdefault(name, []).append(bound)

    def leave_Module(self, original_node: cst.Module) -> None:
        """Bind the arguments of the calls in this file to the parameters of its functions."""
        called: set[str] = set()
        for call in self._calls:
            name = call.func.value if isinstance(call.func, cst.Name) else ""
            if name in self._parameters:
                called.add(name)
                function, parameters = self._parameters[name]
                for n, argument in enumerate(call.args):
                    keyword = argument.keyword.value if argument.keyword else None
                    at = keyword or (parameters[n] if n < len(parameters) and not argument.star else None)
                    if at in self.of[function]:
                        self.of[function][at].append(("value", argument.value))
        for name, (function, parameters) in self._parameters.items():
            for parameter in parameters if name not in called else ():
                is_tensor = (function, parameter) in self._tensors
                self.of[function][parameter].append(TENSOR if is_tensor else UNKNOWN)


def _takes_a_tensor(path: str) -> bool:
    """Whether the first argument of a function of TensorFlow's is a tensor in all code that runs."""
    return (
        re.match(r"tf\.(nn|layers|image)\.|slim\.|tf\.contrib\.(slim|layers)\.|tf\.(shape|matmul)$", path) is not None
    )
