"""What a rule of rewriting is: a call of a symbol of TensorFlow, its arguments by name, and what it becomes."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Final

import libcst as cst
from libcst.metadata import CodePosition

from ._kinds import NUMBER, SHAPE, SIZES, TENSOR, Kind

Rule = Callable[["Use"], str | None]
_EMPTY: Final = cst.Module([])
# Arguments that change no number: names of operations, and checks of graphs.
WITHOUT_EFFECT = {"name", "validate_indices", "a_is_sparse", "b_is_sparse", "parallel_iterations", "swap_memory"}

RULES: dict[str, tuple[list[str], Rule]] = {}
"""The rule of each symbol, with the names of TensorFlow's arguments in order."""


def rule(symbols: str, arguments: str) -> Callable[[Rule], Rule]:
    """Make a function the rule of some symbols (without ``tf.``), whose arguments have these names.

    The function returns the source of an expression, or ``None`` where it has no line that is surely right.
    """

    def register(function: Rule) -> Rule:
        for symbol in symbols.split():
            RULES[f"tf.{symbol}"] = [each.strip() for each in arguments.split(",")], function
        return function

    return register


def methods(arguments: str, lines: Mapping[str, str]) -> None:
    """Make rules of symbols that are an attribute or a method of their first argument: ``{"rank": "dim()"}``."""
    first = arguments.partition(",")[0]

    def ending(line: str) -> Rule:
        return lambda use: f"{use.tensor(first)}.{line}"

    for symbol, line in lines.items():
        rule(symbol, arguments)(ending(line))


class Use:
    """One call, as a rule sees it."""

    def __init__(
        self,
        arguments: dict[str, cst.BaseExpression],
        written: dict[str, cst.BaseExpression],
        kind: Callable[[cst.BaseExpression], Kind],
    ) -> None:
        self._arguments = arguments  # as they are rewritten
        self._written = written  # as they were
        self._kind = kind

    def __contains__(self, name: str) -> bool:
        """Whether an argument was given, and not as ``None``."""
        given = self._arguments.get(name)
        return given is not None and not (isinstance(given, cst.Name) and given.value == "None")

    def code(self, name: str) -> str:
        """The source of an argument."""
        return source(self._arguments[name])

    def kind(self, name: str) -> Kind:
        return self._kind(self._written[name])

    def kinds_of_elements(self, name: str) -> list[Kind]:
        """The kinds of what is written in a list."""
        given = self._written[name]
        return [self._kind(each.value) for each in given.elements] if isinstance(given, (cst.List, cst.Tuple)) else []

    def operand(self, name: str) -> str:
        """The source of an argument, fit to stand beside an operator or before a dot."""
        return operand(self._arguments[name])

    def tensor(self, name: str) -> str:
        """The source of an argument as a tensor, before a dot: of what may be none, made one."""
        if self.kind(name) == TENSOR:
            return self.operand(name)
        return f"{converter(self.kind(name))}({self.code(name)})"

    def argument(self, name: str) -> str:
        """Likewise, as an argument of a function."""
        return self.code(name) if self.kind(name) == TENSOR else self.tensor(name)

    def code_or(self, name: str, default: object) -> str:
        """The source of an argument, or of its default."""
        return self.code(name) if name in self else str(default)

    def value(self, name: str) -> object:
        """An argument that is a literal; raises ``ValueError`` if it is none."""
        try:
            return ast.literal_eval(self.code(name))
        except (SyntaxError, TypeError) as error:
            raise ValueError(name) from error

    def is_literal(self, name: str) -> bool:
        try:
            self.value(name)
        except ValueError:
            return False
        return True

    def elements(self, name: str) -> list[str] | None:
        """The source of each element of an argument that is written as a list or tuple."""
        given = self._arguments[name]
        if not isinstance(given, (cst.List, cst.Tuple)):
            return None
        return [f"*{source(e.value)}" if isinstance(e, cst.StarredElement) else source(e.value) for e in given.elements]

    def operands(self, name: str) -> list[str]:
        """The source of each element of a list, fit to stand behind a star."""
        given = self._arguments[name]
        return [operand(each.value) for each in given.elements] if isinstance(given, (cst.List, cst.Tuple)) else []

    def is_name(self, name: str) -> bool:
        """Whether an argument may be written twice: it is a name, or one of an object."""
        return isinstance(self._arguments[name], (cst.Name, cst.Attribute))

    def spread(self, name: str) -> str:
        """Sizes as the arguments of a method: those of a list one by one."""
        elements = self.elements(name)
        return ", ".join(elements) if elements else self.code(name)

    def given_as(self, **names: str) -> str:
        """The arguments that were given, as keywords under the names that torch has for them."""
        return "".join(f", {names[name]}={self.code(name)}" for name in names if name in self)


def converter(kind: Kind) -> str:
    """The function that makes a tensor of what is none: torch's own of numbers, one that keeps gradients else."""
    return "torch.as_tensor" if kind in (NUMBER, SIZES, SHAPE) else "tf1.convert_to_tensor"


def telling(teller: str, at: CodePosition, value: cst.BaseExpression) -> cst.Call:
    """A call that tells a value, and where it stands, to a function, which gives it back."""
    call = cst.parse_expression(f"{teller}(({at.line}, {at.column}), 0)")
    assert isinstance(call, cst.Call)
    return call.with_changes(args=[call.args[0], cst.Arg(value)])


def source(node: cst.BaseExpression) -> str:
    return _EMPTY.code_for_node(node).strip()


def operand(node: cst.BaseExpression) -> str:
    code = source(node)
    simple = (cst.Name, cst.Attribute, cst.Call, cst.Subscript, cst.List, cst.SimpleString, cst.Integer, cst.Float)
    return code if node.lpar or isinstance(node, simple) else f"({code})"
