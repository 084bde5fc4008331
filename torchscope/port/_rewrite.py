"""The rewriting of one file: each use of TensorFlow by its rule, by its own name in torchscope, or left with a note."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import libcst as cst
from libcst.metadata import CodePosition, MetadataWrapper, PositionProvider

from ..errors import ArgumentValueError
from ..tf1._graph_only import instead_of
from . import _rules
from ._kinds import LIST, NUMBER, SHAPE, SIZES, TENSOR, UNKNOWN, Bindings, Kinds, Recorded
from ._names import Names, dotted
from ._result import Found, How, Ported
from ._rule import RULES, WITHOUT_EFFECT, Use, operand, source
from ._rules._arithmetic import elementwise
from ._statements import Statements
from ._symbols import GONE, VALUES, is_namespace, of_tf1, of_torchscope, parameters_of

assert _rules  # imported for what they register
_PACKAGES = re.compile(r"(?<![\w.])(torch|F|tf1|math|contextlib|logging)\.")
_OPEN = (cst.BinaryOperation, cst.UnaryOperation, cst.Comparison, cst.BooleanOperation, cst.IfExp, cst.Lambda)
# Arguments of TensorFlow's scopes and variables that torch has nothing for.
_OF_VARIABLES = {"use_resource", "validate_shape", "synchronization", "aggregation", "caching_device", "expected_shape"}
_OPERATORS = {cst.Add: "+", cst.Subtract: "-", cst.Multiply: "*", cst.FloorDivide: "//", cst.Modulo: "%"}
_LOGGERS = {
    "info": "info",
    "warn": "warning",
    "warning": "warning",
    "error": "error",
    "debug": "debug",
    "fatal": "critical",
}


class Rewriter(Statements):
    """Rewrites a file whose names are known."""

    def __init__(self, names: Names, kinds: Kinds, bindings: Bindings, ported: Ported, *, records: bool) -> None:
        super().__init__(names, ported)
        self._kinds, self._bindings, self._records = kinds, bindings, records
        self._whole: set[cst.CSTNode] = set()  # chains a.b.c that are symbols, whole
        self._callees: set[cst.CSTNode] = set()
        self._made: set[cst.CSTNode] = set()  # what rules made and put in parentheses
        self._functions: list[cst.CSTNode] = []

    # Which names are TensorFlow's

    def symbol(self, node: cst.BaseExpression) -> str | None:
        return self.names.symbol(node, self._functions)

    def visit_Call(self, node: cst.Call) -> None:
        self._callees.add(node.func)

    def visit_Attribute(self, node: cst.Attribute) -> bool:
        if self.symbol(node) is None:
            return True
        self._whole.add(node)
        return False

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

    # Values

    def leave_Attribute(self, original_node: cst.Attribute, updated_node: cst.Attribute) -> cst.BaseExpression:
        if original_node in self._whole:
            return updated_node if original_node in self._callees else self._value(original_node, updated_node)
        return self._of_shape(original_node, updated_node)

    def leave_Name(self, original_node: cst.Name, updated_node: cst.Name) -> cst.BaseExpression:
        if original_node.value not in self.names.known or original_node in self._callees or self.in_binding:
            return updated_node
        symbol = self.symbol(original_node)
        if symbol is None or is_namespace(symbol):
            return updated_node
        return self._value(original_node, updated_node)

    def _value(self, node: cst.Name | cst.Attribute, updated: cst.BaseExpression) -> cst.BaseExpression:
        """A symbol that is not called."""
        symbol = self.symbol(node)
        assert symbol is not None
        code = VALUES.get(symbol) or self._ours(symbol, node)
        if code is None:
            if not is_namespace(symbol):
                self.leave(node, symbol)
            else:
                self.is_left(node)
            return updated
        if not is_namespace(symbol):
            self.note(node, symbol, _home(code))
        return self.made(code)

    def _ours(self, symbol: str, node: cst.BaseExpression) -> str | None:
        """The source of what has a symbol's own name here."""
        path = of_tf1(symbol)
        name = of_torchscope(symbol)
        if name is not None and name not in self.names.bound:
            self.ours.add(name)
            return name
        if path is None:
            return None
        root = (dotted(node) or "").partition(".")[0]
        short = of_tf1(self.names.symbol(cst.Name(root)) or "")
        if short and path.startswith(f"{short}.") and "." in (dotted(node) or ""):  # slim.conv2d stays slim.conv2d
            self.keep_alias(root, short)
            return f"{root}.{path.removeprefix(short + '.')}"
        return f"tf1.{path}"

    def made(self, code: str) -> cst.BaseExpression:
        """An expression of source that a rule made; what it needs is imported."""
        self.packages.update(_PACKAGES.findall(code))
        if "F" in self.names.bound:
            code = re.sub(r"(?<![\w.])F\.", "torch.nn.functional.", code)
            self.packages.add("torch")
        node = cst.parse_expression(f"({code})")
        if not isinstance(node, _OPEN):
            return cst.parse_expression(code) if "\n" not in code else node
        self._made.add(node)
        return node

    # Calls

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.BaseExpression:
        symbol = self.symbol(original_node.func)
        if symbol is None:
            return self._method(original_node, updated_node)
        if self._records:
            updated_node = self._recording(original_node, updated_node)
        if symbol.startswith("tf.logging.") and (name := _LOGGERS.get(symbol.rpartition(".")[2])):
            self.note(original_node, symbol, "torch")
            self.packages.add("logging")
            return updated_node.with_changes(func=cst.parse_expression(f"logging.{name}"))
        code = self._by_rule(symbol, original_node, updated_node)
        if code is not None:
            self.note(original_node, symbol, "torchscope.tf1" if code.startswith("tf1.") else "torch")
            return self.made(code)
        graph_only = instead_of(symbol) if of_tf1(symbol) is None else None
        ours = None if graph_only else self._ours(symbol, original_node.func)
        if ours is None:
            self.leave(original_node, symbol, called=symbol in RULES)
            return updated_node
        self.note(original_node, symbol, _home(ours))
        self.packages.update(_PACKAGES.findall(ours))
        arguments = self._without(self._as_tensors(symbol, original_node, updated_node), _OF_VARIABLES)
        return updated_node.with_changes(func=cst.parse_expression(ours), args=arguments)

    def _by_rule(self, symbol: str, node: cst.Call, updated: cst.Call) -> str | None:
        if symbol not in RULES:
            return None
        names, rule = RULES[symbol]
        keep = [n for n, each in enumerate(node.args) if not self._is_handed_on(each)]
        if len(keep) < len(node.args):
            self.changed(node, "*args and **kwargs are no more handed on to TensorFlow's function")
        written = _bound(names, [node.args[n] for n in keep])
        given = _bound(names, [updated.args[n] for n in keep])
        if written is None or given is None:
            return None
        try:
            code = rule(Use(given, written, self._kinds.of))
        except KeyError:  # an argument that it cannot do without was not given
            return None
        if code is not None:
            for name in WITHOUT_EFFECT & set(given):
                self.ported.dropped[name] = self.ported.dropped.get(name, 0) + 1
        return code

    def _is_handed_on(self, argument: cst.Arg) -> bool:
        """Whether an argument is the ``*args`` or ``**kwargs`` of the function around."""
        function = self._functions[-1] if self._functions else None
        if not argument.star or not isinstance(function, cst.FunctionDef):
            return False
        stars = (function.params.star_arg, function.params.star_kwarg)
        return dotted(argument.value) in [each.name.value for each in stars if isinstance(each, cst.Param)]

    def _as_tensors(self, symbol: str, node: cst.Call, updated: cst.Call) -> list[cst.Arg]:
        """Arguments of a function of tensors, of which numbers and lists are made tensors as TensorFlow does."""
        names = parameters_of(symbol)
        arguments = []
        for n, (was, argument) in enumerate(zip(node.args, updated.args, strict=True)):
            name = argument.keyword.value if argument.keyword else list(names)[n] if n < len(names) else None
            wants = names.get(name or "", "") in ("Tensor", "Tensor | None")
            if wants and not argument.star and self._kinds.of(was.value) in (NUMBER, SIZES, SHAPE):
                argument = argument.with_changes(value=self.made(f"torch.as_tensor({source(argument.value)})"))
            arguments.append(argument)
        return arguments

    def _without(self, arguments: Sequence[cst.Arg], unwanted: set[str]) -> list[cst.Arg]:
        kept = [each for each in arguments if each.keyword is None or each.keyword.value not in unwanted]
        for each in arguments:
            if each not in kept and each.keyword is not None:
                name = each.keyword.value
                self.ported.dropped[name] = self.ported.dropped.get(name, 0) + 1
        if len(kept) < len(arguments) and kept:
            kept[-1] = kept[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
        return kept

    def _recording(self, node: cst.Call, updated: cst.Call) -> cst.Call:
        """Each argument of unknown kind, told to the recorder as it passes."""
        arguments = []
        for was, argument in zip(node.args, updated.args, strict=True):
            if not argument.star and self._kinds.of(was.value) == UNKNOWN:
                argument = argument.with_changes(value=self._told(was.value, argument.value, "__kind__"))
            arguments.append(argument)
        return updated.with_changes(args=arguments)

    def _told(self, was: cst.BaseExpression, now: cst.BaseExpression, teller: str) -> cst.Call:
        at = self.position(was)
        call = cst.parse_expression(f"{teller}(({at.line}, {at.column}), 0)")
        assert isinstance(call, cst.Call)
        return call.with_changes(args=[call.args[0], cst.Arg(now)])

    # Shapes, and methods of tensors

    def _method(self, node: cst.Call, updated: cst.Call) -> cst.BaseExpression:
        """``x.get_shape()``, ``.as_list()`` and the like."""
        func = updated.func
        if isinstance(func, cst.Name) and func.value == "xrange" and "xrange" not in self.names.bound:
            return updated.with_changes(func=cst.Name("range"))
        if not isinstance(func, cst.Attribute):
            return updated
        base, method = func.value, func.attr.value
        if source(func) in ("np.prod", "numpy.prod") and len(node.args) == 1 and self._is_sizes(node.args[0]):
            self.changed(node, "np.prod of sizes  ->  math.prod, which is traced")
            return self.made(f"math.prod({source(updated.args[0].value)})")
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

    def _is_sizes(self, argument: cst.Arg) -> bool:
        return not argument.star and self._kinds.of(argument.value) in (SIZES, SHAPE)

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
        if name == "name" and isinstance(node.value, cst.Attribute) and node.value.attr.value == "op":
            if self._kinds.is_variable(node.value.value) and isinstance(base, cst.Attribute):
                return self.made(f"tf1.name_of({source(base.value)})[:-2]")
        if name == "base_dtype":
            return updated.with_changes(attr=cst.Name("dtype"))
        return updated

    def leave_BinaryOperation(
        self, original_node: cst.BinaryOperation, updated_node: cst.BinaryOperation
    ) -> cst.BaseExpression:
        operator = _OPERATORS.get(type(original_node.operator))
        kinds = self._kinds.of(original_node.left), self._kinds.of(original_node.right)
        if TENSOR in kinds:
            return self._with_a_tensor(original_node, updated_node)
        if operator is None or SHAPE not in kinds:
            return updated_node
        sides = source(updated_node.left), source(updated_node.right)
        code = elementwise(operator, *sides, kinds, (operand(updated_node.left), operand(updated_node.right)))
        return updated_node if code is None else self.made(code)

    def _with_a_tensor(self, node: cst.BinaryOperation, updated: cst.BinaryOperation) -> cst.BinaryOperation:
        """A list beside a tensor is one in TensorFlow; torch takes numbers alone."""
        for side in ("left", "right"):
            kind = self._kinds.of(getattr(node, side))
            was = getattr(updated, side)
            if kind in (SIZES, SHAPE):
                updated = updated.with_changes(**{side: self.made(f"torch.as_tensor({source(was)})")})
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
            is_same = isinstance(compared.operator, cst.Equal)
            operator = cst.Is() if is_same else cst.IsNot()
            changed = updated_node.comparisons[0].with_changes(operator=operator)
            self.changed(original_node, "x == y  ->  x is y, as TensorFlow 1 compares tensors")
            return updated_node.with_changes(comparisons=[changed])
        return updated_node

    def _has(self, package: cst.BaseExpression, name: str, wanted: bool) -> cst.BaseExpression:
        path = f"{self.symbol(package)}.{name}".removeprefix("tf.")
        self.note(package, f"tf.{path}", "torch")
        return cst.Name(str((path not in GONE) is wanted))

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


def _is_shape(node: cst.BaseExpression) -> bool:
    return isinstance(node, cst.Attribute) and node.attr.value == "shape"


def _home(code: str) -> How:
    if code.startswith("torch.") or code[:1] in '"N':
        return "torch"
    return "torchscope.tf1" if "." in code else "torchscope"


def _bound(names: list[str], arguments: Sequence[cst.Arg]) -> dict[str, cst.BaseExpression] | None:
    """Arguments by TensorFlow's names, or ``None`` where they cannot be told."""
    found: dict[str, cst.BaseExpression] = {}
    for n, argument in enumerate(arguments):
        name = argument.keyword.value if argument.keyword else names[n] if n < len(names) else None
        if argument.star or name is None or (argument.keyword and not names_of(names, name)) or name in found:
            return None
        found[names_of(names, name) or name] = argument.value
    return found


def names_of(names: list[str], name: str) -> str | None:
    """The name that a rule has for an argument: functions of one argument have several names for it."""
    if name in names:
        return name
    return "x" if name in ("features", "logits", "tensor", "input") and "x" in names else None


def rewritten(text: str, path: str, recorded: Recorded | None = None, *, records: bool = False) -> Ported:
    """The text of a file, ported.

    Args:
        path: what the file is called in messages.
        recorded: the kinds of arguments that a run has shown, by line and column.
        records: write code that tells the kinds of its arguments to ``__kind__``.
    """
    wrapper = MetadataWrapper(cst.parse_module(text))
    positions = wrapper.resolve(PositionProvider)
    nowhere = CodePosition(0, 0)

    def position(node: cst.CSTNode) -> CodePosition:
        found = positions.get(node)
        return nowhere if found is None else found.start

    ported = Ported(path, text)
    names, bindings = Names(), Bindings()
    wrapper.module.visit(names)
    wrapper.module.visit(bindings)
    hidden = {"torch", "tf1"} & names.bound
    if hidden and names.imports:
        mend = f"It has a name of its own, {sorted(hidden)[0]}, that the ported file needs. Rename it first."
        raise ArgumentValueError.of("FILE", path, mend)
    rewriter = Rewriter(names, Kinds(names, bindings, position, recorded), bindings, ported, records=records)
    rewriter.position = position
    ported.code = wrapper.module.visit(rewriter).code if names.imports else text
    return ported


Position = Callable[[cst.CSTNode], CodePosition]
