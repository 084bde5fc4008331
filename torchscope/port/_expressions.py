"""Expressions that are no calls of TensorFlow's: shapes, methods of tensors, arithmetic, comparisons."""

from __future__ import annotations

import re

import libcst as cst

from ._bindings import Bindings
from ._inference import Inference
from ._kinds import ITEMS, LIST, NUMBER, SHAPE, SIZES, TENSOR, UNKNOWN
from ._names import Names, dotted
from ._result import Mode, Ported
from ._rule import converter, operand, source, telling
from ._rules._arithmetic import elementwise
from ._rules._arrays import unpacked
from ._statements import Statements
from ._symbols import GONE, dtype_of

PACKAGES = re.compile(r"(?<![\w.])(torch|F|tf1|math|contextlib|logging)\.")
_OPEN = (cst.BinaryOperation, cst.UnaryOperation, cst.Comparison, cst.BooleanOperation, cst.IfExp, cst.Lambda)
_OPERATORS = {cst.Add: "+", cst.Subtract: "-", cst.Multiply: "*", cst.FloorDivide: "//", cst.Modulo: "%"}
# What tensors of a graph have, and others have not.
_OF_GRAPHS = {
    "op": "a name of your own, or `tf1.name_of(v)` of a variable",
    "name": "a name of your own, or `tf1.name_of(v)` of a variable",
    "eval": "the tensor itself",
    "set_shape": "nothing: its shape is known",
    "graph": "nothing",
    "consumers": "nothing",
}
_NUMPYS_OF_NUMBERS = ("sqrt", "log", "exp", "sin", "cos", "prod")


class Expressions(Statements):
    """Rewrites what stands around calls, by the kinds of its parts."""

    def __init__(self, names: Names, kinds: Inference, bindings: Bindings, ported: Ported, mode: Mode) -> None:
        super().__init__(names, ported)
        self._kinds, self._bindings, self._records = kinds, bindings, mode == "records"
        self._made: set[cst.CSTNode] = set()  # what rules made and put in parentheses
        self._functions: list[cst.CSTNode] = []

    def symbol(self, node: cst.BaseExpression) -> str | None:
        return self.names.symbol(node, self._functions)

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        super().visit_FunctionDef(node)
        self._functions.append(node)

    def leave_FunctionDef(self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef) -> cst.BaseStatement:
        self._functions.pop()
        return super().leave_FunctionDef(original_node, updated_node)

    def visit_Lambda(self, node: cst.Lambda) -> None:
        self._functions.append(node)

    def leave_Lambda(self, original_node: cst.Lambda, updated_node: cst.Lambda) -> cst.BaseExpression:
        self._functions.pop()
        return updated_node

    def made(self, code: str) -> cst.BaseExpression:
        """An expression of source that a rule made; what it needs is imported."""
        self.packages.update(PACKAGES.findall(code))
        if "F" in self.names.bound:
            code = re.sub(r"(?<![\w.])F\.", "torch.nn.functional.", code)
            self.packages.add("torch")
        node = cst.parse_expression(f"({code})")
        if not isinstance(node, _OPEN):
            return cst.parse_expression(code) if "\n" not in code else node
        self._made.add(node)
        return node

    def _told(self, was: cst.BaseExpression, now: cst.BaseExpression, teller: str) -> cst.Call:
        return telling(teller, self.position(was), now)

    # Shapes, and methods of tensors

    def _method(self, node: cst.Call, updated: cst.Call) -> cst.BaseExpression:
        """``x.get_shape()``, ``.as_list()`` and the like."""
        func = updated.func
        if isinstance(func, cst.Name) and func.value == "xrange" and "xrange" not in self.names.bound:
            return updated.with_changes(func=cst.Name("range"))
        if not isinstance(func, cst.Attribute):
            return updated
        base, method = func.value, func.attr.value
        if method in self.names.bound:  # a method of the file's own
            return updated
        if source(base) in ("np", "numpy") and len(node.args) == 1 and not node.args[0].star:
            kind, wanted = self._kinds.of(node.args[0].value), (SIZES, SHAPE) if method == "prod" else (NUMBER,)
            if method in _NUMPYS_OF_NUMBERS and kind in wanted:
                self.changed(node, f"np.{method} of numbers  ->  math.{method}, which is traced as a number")
                return self.made(f"math.{method}({source(updated.args[0].value)})")
        if method == "get_shape" and not updated.args:
            return self.made(f"{operand(base)}.shape")
        if method == "as_list" and not updated.args:
            return self.made(f"list({source(base)})")
        if method == "num_elements" and not updated.args:
            return self.made(f"{operand(base)}.numel()")
        if method in ("with_rank", "merge_with", "with_rank_at_least") and source(base).endswith(".shape"):
            return base
        if method in ("iteritems", "itervalues", "iterkeys") and not updated.args:
            return updated.with_changes(func=func.with_changes(attr=cst.Name(method.removeprefix("iter"))))
        return updated

    def _of_shape(self, node: cst.Attribute, updated: cst.Attribute) -> cst.BaseExpression:
        """``x.shape[1].value``, ``x.shape.ndims`` and the like."""
        base, name = updated.value, updated.attr.value
        if name in ("value", "ndims") and isinstance(base, cst.Subscript) and _is_shape(base.value):
            return base
        if name in ("ndims", "rank") and _is_shape(base):
            return self.made(f"len({source(base)})")
        if name == "dims" and _is_shape(base):
            return base
        if name == "value" and self._kinds.of(node.value) == NUMBER:  # of a dimension, in a loop over some
            return base
        if name == "name" and self._kinds.is_variable(node.value):
            return self.made(f"tf1.name_of({source(base)})")
        op = node.value if isinstance(node.value, cst.Attribute) and node.value.attr.value == "op" else None
        if name == "name" and op is not None and isinstance(base, cst.Attribute) and self._kinds.is_variable(op.value):
            return self.made(f"tf1.name_of({source(base.value)})[:-2]")
        if name == "base_dtype":
            return base
        if name in _OF_GRAPHS and self._kinds.of(node.value) == TENSOR:
            self.leave_attribute(node, name, _OF_GRAPHS[name])
        return updated

    def leave_Subscript(self, original_node: cst.Subscript, updated_node: cst.Subscript) -> cst.BaseExpression:
        """``x[:, ::-1]``, which torch refuses."""
        backwards = [n for n, each in enumerate(original_node.slice) if source_of_slice(each.slice) == "::-1"]
        others = [source_of_slice(each.slice) for n, each in enumerate(original_node.slice) if n not in backwards]
        if backwards and set(others) <= {":"} and self._kinds.of(original_node.value) == TENSOR:
            return self.made(f"{operand(updated_node.value)}.flip({', '.join(map(str, backwards))})")
        return updated_node

    def leave_BinaryOperation(
        self, original_node: cst.BinaryOperation, updated_node: cst.BinaryOperation
    ) -> cst.BaseExpression:
        operator = _OPERATORS.get(type(original_node.operator))
        kinds = self._kinds.of(original_node.left), self._kinds.of(original_node.right)
        if TENSOR in kinds:
            return self._with_a_tensor(original_node, updated_node)
        parts = (updated_node.left, updated_node.right)
        if operator == "+" and SHAPE not in kinds and any(map(_is_part_of_a_shape, parts)):
            return self.made(
                f"[{', '.join(unpacked(each) for each in parts)}]"
            )  # TensorShape takes lists, Size does not
        if operator is None or SHAPE not in kinds:
            return updated_node
        left, right = operand(updated_node.left), operand(updated_node.right)
        taken = {*self.names.bound, *re.findall(r"\w+", f"{left} {right}")}
        return self.made(elementwise(operator, left, right, kinds, taken))

    def _with_a_tensor(self, node: cst.BinaryOperation, updated: cst.BinaryOperation) -> cst.BinaryOperation:
        """A list beside a tensor is one in TensorFlow; torch takes numbers alone."""
        for side in ("left", "right"):
            kind = self._kinds.of(getattr(node, side))
            was = getattr(updated, side)
            if kind in (SIZES, SHAPE, ITEMS):
                updated = updated.with_changes(**{side: self.made(f"{converter(kind)}({source(was)})")})
            elif kind == UNKNOWN and self._records:
                call = self._told(getattr(node, side), was, "__operand__")
                updated = updated.with_changes(**{side: call})
        return updated

    def leave_Comparison(self, original_node: cst.Comparison, updated_node: cst.Comparison) -> cst.BaseExpression:
        """``"concat_v2" in dir(tf)``: what TensorFlow 1.15 has; ``==`` of tensors, which is identity there."""
        compared = original_node.comparisons[0]
        if isinstance(original_node.left, cst.SimpleString) and isinstance(compared.operator, (cst.In, cst.NotIn)):
            call = compared.comparator
            inside = call.args[0].value if isinstance(call, cst.Call) and len(call.args) == 1 else None
            if inside is not None and isinstance(call, cst.Call) and dotted(call.func) == "dir" and self.symbol(inside):
                return self._has(inside, str(original_node.left.evaluated_value), isinstance(compared.operator, cst.In))
        both = [self._kinds.of(original_node.left), self._kinds.of(compared.comparator)]
        if isinstance(compared.operator, (cst.Equal, cst.NotEqual)) and both == [TENSOR, TENSOR]:
            note = "`is`, as TensorFlow 1 compares tensors, or `tf.equal`, if each element is meant"
            self.leave_attribute(original_node, "==", note)
        return updated_node

    def _has(self, package: cst.BaseExpression, name: str, wanted: bool) -> cst.BaseExpression:
        path = f"{self.symbol(package)}.{name}".removeprefix("tf.")
        self.note(package, f"tf.{path}", "torch")
        return cst.Name(str((path not in GONE) is wanted))

    def as_dtype(self, node: cst.BaseExpression) -> cst.BaseExpression:
        """A dtype that is written as text, as torch has it."""
        text = node.evaluated_value if isinstance(node, cst.SimpleString) else None
        code = dtype_of(text) if isinstance(text, str) else None
        return node if code is None else self.made(code)

    def leave_Arg(self, original_node: cst.Arg, updated_node: cst.Arg) -> cst.Arg:
        return updated_node.with_changes(value=self.bare(updated_node.value))

    def bare(self, node: cst.BaseExpression | None) -> cst.BaseExpression | None:
        """An expression without the parentheses that it needs only beside others."""
        if node in self._made and isinstance(node, _OPEN) and "\n" not in source(node):
            return node.with_changes(lpar=node.lpar[1:], rpar=node.rpar[1:])
        return node

    def changes_in_place(self, node: cst.AugAssign) -> bool:
        """Whether ``x += y`` may change a tensor where TensorFlow makes a new one."""
        target, value = self._kinds.of(node.target), self._kinds.of(node.value)
        if isinstance(node.value, (cst.List, cst.ListComp, cst.Tuple)) or value == LIST:
            return False
        return target != NUMBER or value not in (NUMBER, UNKNOWN)


def _is_part_of_a_shape(node: cst.BaseExpression) -> bool:
    """Whether it is ``x.shape`` or a slice of it, and no number of it."""
    if isinstance(node, cst.Subscript):
        return _is_shape(node.value) and isinstance(node.slice[0].slice, cst.Slice)
    return _is_shape(node)


def _is_shape(node: cst.BaseExpression) -> bool:
    return isinstance(node, cst.Attribute) and node.attr.value == "shape"


def source_of_slice(node: cst.BaseSlice) -> str:
    return cst.Module([]).code_for_node(node).replace(" ", "")
