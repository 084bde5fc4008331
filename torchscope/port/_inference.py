"""What an expression of TensorFlow 1 code is - a tensor, a number, sizes - by reading the file, without running it.

It decides which line of torch is right: ``tf.sqrt`` of a tensor is ``x.sqrt()``, of a number it is not. What cannot be
told is ``UNKNOWN``, and gets a line that is right for all; one recorded run (``record``) says the rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import libcst as cst
from libcst.metadata import CodePosition, MetadataWrapper, PositionProvider

from ._bindings import Bindings, Bound
from ._kinds import (
    ITEMS,
    KEEP_NUMBERS,
    LIST,
    NONE,
    NUMBER,
    OTHER,
    SHAPE,
    SIZES,
    TENSOR,
    TEXT,
    UNKNOWN,
    Kind,
    Recorded,
    joined,
    joins_sizes,
    stacks_numbers,
)
from ._names import Names, dotted

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


class Inference:
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
        self._asked: set[cst.CSTNode] = set()

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
        self._known[node] = kind
        return kind

    def is_variable(self, node: cst.BaseExpression) -> bool:
        """Whether a name stands for a variable, or for each of some: then its name is a path."""
        if not isinstance(node, cst.Name):
            return False
        bound = self._bindings.reaching(node)
        return any(each.value is not None and self._gives_variables(each.value) for each in bound)

    def _gives_variables(self, node: cst.BaseExpression, depth: int = 3) -> bool:
        if isinstance(node, cst.Call):
            symbol = self._names.symbol(node.func, self._bindings.functions_around(node))
            return (
                symbol is not None and re.search(r"\.(\w*variables|get_collection|get_variable)$", symbol) is not None
            )
        if isinstance(node, cst.BinaryOperation):
            return self._gives_variables(node.left, depth) or self._gives_variables(node.right, depth)
        if isinstance(node, cst.ListComp):
            return self._gives_variables(node.for_in.iter, depth)
        if not isinstance(node, cst.Name) or not depth:
            return False
        bound = self._bindings.reaching(node)
        return any(each.value is not None and self._gives_variables(each.value, depth - 1) for each in bound)

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
        kind = joined([self._bound(each) for each in self._bindings.reaching(node)])
        return ITEMS if kind == SIZES and node.value in self._bindings.grown else kind

    def _bound(self, bound: Bound) -> Kind:
        if bound.value is None:
            return bound.kind
        kind = self.of(bound.value)
        if bound.is_parameter and kind == NUMBER:  # a call of another file may give a tensor
            return UNKNOWN
        if not bound.is_item:
            return kind
        return {SIZES: NUMBER, SHAPE: NUMBER, LIST: TENSOR, TENSOR: TENSOR}.get(kind, UNKNOWN)

    def _elements(self, node: cst.List | cst.Tuple) -> Kind:
        kinds = {
            {SIZES: NUMBER, SHAPE: NUMBER}.get(self.of(each.value), UNKNOWN)
            if isinstance(each, cst.StarredElement)
            else self.of(each.value)
            for each in node.elements
        }
        if kinds and kinds <= {NUMBER, NONE}:
            return SIZES
        return LIST if TENSOR in kinds else ITEMS

    def _attribute(self, node: cst.Attribute) -> Kind:
        if node.attr.value == "shape":
            return SIZES
        if node.attr.value in ("ndims", "value") and self.of(node.value) in (SIZES, SHAPE, NUMBER):
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
            return self._of_symbol(symbol, node)
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
            if base in ("np", "numpy") and method in ("sqrt", "log", "exp", "sin", "cos", "prod") and node.args:
                return NUMBER if self.of(node.args[0].value) in (NUMBER, SIZES, SHAPE) else UNKNOWN
            return TENSOR if self.of(node.func.value) == TENSOR else UNKNOWN
        return UNKNOWN

    def _of_symbol(self, symbol: str, node: cst.Call) -> Kind:
        """What a function of TensorFlow gives."""
        if symbol in _OF_SYMBOL:
            return _OF_SYMBOL[symbol]
        if symbol.startswith(_SEVERAL) or symbol.endswith(_NO_TENSORS) or symbol.startswith("tf.train."):
            return UNKNOWN
        first = node.args[0].value if node.args else None
        if symbol.removeprefix("tf.") in KEEP_NUMBERS:
            given = {self.of(each.value) for each in node.args if not each.keyword or each.keyword.value != "name"}
            return NUMBER if given == {NUMBER} else TENSOR
        if symbol in ("tf.concat", "tf.stack") and isinstance(first, (cst.List, cst.Tuple)):
            kinds = [self.of(each.value) for each in first.elements]
            if (joins_sizes if symbol == "tf.concat" else stacks_numbers)(kinds):
                return SHAPE
        if symbol in ("tf.identity", "tf.squeeze", "tf.expand_dims") and first is not None:
            return {SIZES: SHAPE, SHAPE: SHAPE, NUMBER: SHAPE}.get(self.of(first), TENSOR)
        return OTHER if symbol.rpartition(".")[2][:1].isupper() else TENSOR

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
    cst.Integer: Inference._literal,
    cst.Float: Inference._literal,
    cst.SimpleString: Inference._literal,
    cst.ConcatenatedString: Inference._literal,
    cst.FormattedString: Inference._literal,
    cst.Name: Inference._name,
    cst.List: Inference._elements,
    cst.Tuple: Inference._elements,
    cst.Attribute: Inference._attribute,
    cst.Subscript: Inference._subscript,
    cst.Call: Inference._call,
    cst.BinaryOperation: Inference._binary,
    cst.Comparison: Inference._comparison,
    cst.IfExp: Inference._condition,
    cst.BooleanOperation: Inference._either,
    cst.UnaryOperation: Inference._unary,
    cst.ListComp: Inference._comprehension,
    cst.Lambda: lambda inference, node: OTHER,
    cst.Dict: lambda inference, node: OTHER,
}


def read_names(
    wrapper: MetadataWrapper, recorded: Recorded | None
) -> tuple[Names, Bindings, Inference, Callable[[cst.CSTNode], CodePosition]]:
    """What the names of a file are, and where its parts stand."""
    positions = wrapper.resolve(PositionProvider)
    nowhere = CodePosition(0, 0)

    def position(node: cst.CSTNode) -> CodePosition:
        found = positions.get(node)
        return nowhere if found is None else found.start

    names, bindings = Names(), Bindings()
    wrapper.module.visit(names)
    wrapper.module.visit(bindings)
    return names, bindings, Inference(names, bindings, position, recorded), position
