"""The rewriting of one file: each use of TensorFlow by its rule, by its own name in torchscope, or left with a note."""

from __future__ import annotations

from collections.abc import Sequence

import libcst as cst
from libcst.metadata import MetadataWrapper

from ..errors import ArgumentValueError
from ..tf1._graph_only import instead_of
from . import _rules
from ._bindings import Bindings
from ._expressions import PACKAGES, Expressions
from ._inference import Inference, read_names
from ._kinds import LIST, NUMBER, SHAPE, SIZES, TENSOR, UNKNOWN, Recorded
from ._names import Names, dotted
from ._result import How, Mode, Ported
from ._rule import RULES, WITHOUT_EFFECT, Use, source
from ._symbols import VALUES, is_namespace, of_tf1, of_torchscope, parameters_of

assert _rules  # imported for what they register
# Arguments of TensorFlow's scopes and variables that torch has nothing for.
_OF_VARIABLES = {"use_resource", "validate_shape", "synchronization", "aggregation", "caching_device", "expected_shape"}
_LOGGERS = {
    "info": "info",
    "warn": "warning",
    "warning": "warning",
    "error": "error",
    "debug": "debug",
    "fatal": "critical",
}


class Rewriter(Expressions):
    """Rewrites a file whose names are known."""

    def __init__(self, names: Names, kinds: Inference, bindings: Bindings, ported: Ported, mode: Mode) -> None:
        super().__init__(names, kinds, bindings, ported, mode)
        self._tells_sites = mode == "sites"
        self._whole: set[cst.CSTNode] = set()  # chains a.b.c that are symbols, whole
        self._callees: set[cst.CSTNode] = set()

    def visit_Call(self, node: cst.Call) -> None:
        self._callees.add(node.func)

    def visit_Attribute(self, node: cst.Attribute) -> bool:
        if self.symbol(node) is None:
            return True
        self._whole.add(node)
        return False

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

    # Calls

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.BaseExpression:
        call = self._rewritten(original_node, updated_node)
        if self._tells_sites and self.symbol(original_node.func) and self._kinds.of(original_node) in (TENSOR, LIST):
            return self._told(original_node, call, "__site__")
        return call

    def _rewritten(self, original_node: cst.Call, updated_node: cst.Call) -> cst.BaseExpression:
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
            self.keep_comments(original_node, code)
            self.note(
                original_node,
                symbol,
                "torchscope.tf1" if code.startswith("tf1.") and "tf1.convert_to_tensor(" not in code else "torch",
            )
            return self.made(code)
        graph_only = instead_of(symbol) if of_tf1(symbol) is None else None
        ours = None if graph_only else self._ours(symbol, original_node.func)
        if ours is None:
            self.leave(original_node, symbol, called=symbol in RULES)
            return updated_node
        self.note(original_node, symbol, _home(ours))
        self.packages.update(PACKAGES.findall(ours))
        arguments = self._without(self._as_tensors(symbol, original_node, updated_node), _OF_VARIABLES)
        return updated_node.with_changes(func=cst.parse_expression(ours), args=arguments)

    def _by_rule(self, symbol: str, node: cst.Call, updated: cst.Call) -> str | None:
        if symbol not in RULES:
            return None
        names, rule = RULES[symbol]
        keep = [n for n, each in enumerate(node.args) if not self._is_handed_on(each)]
        if len(keep) < len(node.args):
            around = self._functions[-1]
            if not isinstance(around, cst.FunctionDef) or not self._bindings.gives_no_more(around):
                return None
            self.changed(node, "*args and **kwargs are no more handed on to TensorFlow's function")
        written = _bound(names, [node.args[n] for n in keep])
        given = _bound(names, [updated.args[n] for n in keep])
        if written is None or given is None:
            return None
        if "dtype" in given:
            given["dtype"] = self.as_dtype(given["dtype"])
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
            if name == "dtype":
                argument = argument.with_changes(value=self.as_dtype(argument.value))
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


def rewritten(text: str, path: str, recorded: Recorded | None = None, mode: Mode = "plain") -> Ported:
    """The text of a file, ported.

    Args:
        path: what the file is called in messages.
        recorded: the kinds of arguments that a run has shown, by line and column.
        mode: what the code tells when it runs.
    """
    wrapper = MetadataWrapper(cst.parse_module(text))
    ported = Ported(path, text)
    names, bindings, kinds, position = read_names(wrapper, recorded)
    if names.stars:
        mend = f"It imports * from {names.stars[0]}: nothing tells which names are TensorFlow's. Import them by name."
        raise ArgumentValueError.of("FILE", path, mend)
    hidden = {"torch", "tf1", "math"} & names.bound - names.imported
    if hidden and names.imports:
        mend = f"It has a name of its own, {sorted(hidden)[0]}, that the ported file needs. Rename it first."
        raise ArgumentValueError.of("FILE", path, mend)
    rewriter = Rewriter(names, kinds, bindings, ported, mode)
    rewriter.position = position
    ported.code = wrapper.module.visit(rewriter).code if names.imports else text
    return ported
