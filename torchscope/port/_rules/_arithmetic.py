"""Arithmetic, comparisons and functions by element."""

from __future__ import annotations

from collections.abc import Collection

from .._kinds import ITEMS, NUMBER, SHAPE, SIZES, TENSOR, UNKNOWN, Kind
from .._rule import Rule, Use, methods, rule

_OPERATORS = {
    "add": "+",
    "subtract": "-",
    "multiply": "*",
    "divide": "/",
    "pow": "**",
    "mod": "%",
    "equal": "==",
    "not_equal": "!=",
    "less": "<",
    "less_equal": "<=",
    "greater": ">",
    "greater_equal": ">=",
    "logical_and": "&",
    "logical_or": "|",
    "logical_xor": "^",
}
_METHODS = (
    "abs exp log log1p expm1 sqrt rsqrt square sin cos tan asin acos atan sinh cosh floor ceil round sign erf erfc"
)
_METHODS += " reciprocal lgamma digamma tanh sigmoid negative"
_OTHER_METHODS = {"negative": "neg"}
_FUNCTIONS = {
    "nn.relu": "torch.relu",
    "nn.relu6": "F.relu6",
    "nn.elu": "F.elu",
    "nn.selu": "F.selu",
    "nn.softplus": "F.softplus",
    "nn.softsign": "F.softsign",
    "nn.log_sigmoid": "F.logsigmoid",
    "nn.swish": "F.silu",
    "is_nan": "torch.isnan",
    "is_inf": "torch.isinf",
    "is_finite": "torch.isfinite",
}


_OF_BOOLS = {"&": "and", "|": "or"}


def _by_operator(operator: str) -> Rule:
    def rewritten(use: Use) -> str:
        kinds = use.kind("x"), use.kind("y")
        if kinds == (NUMBER, NUMBER):
            return f"{use.operand('x')} {_OF_BOOLS.get(operator, operator)} {use.operand('y')}"
        x, y = (use.operand(each) if use.kind(each) in (TENSOR, NUMBER) else use.tensor(each) for each in "xy")
        if kinds == (TENSOR, UNKNOWN):
            y = use.operand("y")  # a list would be refused by torch
        return f"{x} {operator} {y}"

    return rewritten


for _name, _operator in _OPERATORS.items():
    rule(_name, "x, y, name")(_by_operator(_operator))


_OF_NUMBERS = {"sqrt", "exp", "log", "sin", "cos", "tanh"}


def _by_method(method: str) -> Rule:
    def rewritten(use: Use) -> str:
        if use.kind("x") == NUMBER and method in _OF_NUMBERS:
            return f"math.{method}({use.code('x')})"
        return f"{use.tensor('x')}.{method}()"

    return rewritten


for _name in _METHODS.split():
    rule(_name, "x, name")(_by_method(_OTHER_METHODS.get(_name, _name)))


def _by_function(function: str) -> Rule:
    return lambda use: f"{function}({use.argument('x')})"


for _name, _function in _FUNCTIONS.items():
    rule(_name, "x, name")(_by_function(_function))


@rule("logical_not", "x, name")
def logical_not(use: Use) -> str:
    return f"not {use.operand('x')}" if use.kind("x") == NUMBER else f"~{use.tensor('x')}"


@rule("maximum", "x, y, name")
def maximum(use: Use) -> str:
    return _bounded(use, "maximum", "min")


@rule("minimum", "x, y, name")
def minimum(use: Use) -> str:
    return _bounded(use, "minimum", "max")


def _bounded(use: Use, function: str, bound: str) -> str:
    x, y = use.kind("x"), use.kind("y")
    if x == y == NUMBER:
        return f"{function[:3]}({use.code('x')}, {use.code('y')})"
    if y == NUMBER:
        return f"{use.tensor('x')}.clamp({bound}={use.code('y')})"
    return f"tf1.{function}({use.code('x')}, {use.code('y')})"  # torch halves the gradient where both are equal


@rule("clip_by_value", "t, clip_value_min, clip_value_max, name")
def clip_by_value(use: Use) -> str:
    return f"{use.tensor('t')}.clamp({use.code('clip_value_min')}, {use.code('clip_value_max')})"


@rule("squared_difference", "x, y, name")
def squared_difference(use: Use) -> str:
    return f"({use.tensor('x')} - {use.operand('y')}).square()"


@rule("add_n", "inputs, name")
def add_n(use: Use) -> str:
    return f"sum({use.code('inputs')})"


@rule("matmul", "a, b, transpose_a, transpose_b, adjoint_a, adjoint_b, a_is_sparse, b_is_sparse, output_type, name")
def matmul(use: Use) -> str | None:
    sides = []
    for side in "ab":
        code = use.tensor(side)
        for flag, ending in ((f"transpose_{side}", "mT"), (f"adjoint_{side}", "mH")):
            if flag in use:
                if not use.is_literal(flag):
                    return None
                code += f".{ending}" if use.value(flag) else ""
        sides.append(code)
    return " @ ".join(sides)


@rule("cast", "x, dtype, name")
def cast(use: Use) -> str:
    if use.kind("x") in (NUMBER, SIZES, SHAPE):
        return f"torch.as_tensor({use.code('x')}, dtype={use.code('dtype')})"
    return f"{use.tensor('x')}.to({use.code('dtype')})"


methods("x, name", {"to_float": "float()", "to_double": "double()", "to_int64": "long()"})


@rule("tensordot", "a, b, axes, name")
def tensordot(use: Use) -> str:
    return f"torch.tensordot({use.code('a')}, {use.code('b')}, dims={use.code('axes')})"


def elementwise(operator: str, left: str, right: str, kinds: tuple[Kind, Kind], taken: Collection[str]) -> str:
    """Arithmetic of what ``tf.shape`` gave: sizes here, of which torch's operators would make longer ones."""
    free = [name for name in ("n", "m", "size", "other", "size_", "other_") if name not in taken]
    lists = (SHAPE, SIZES, ITEMS)  # anything else is taken as a number: of a list, torch refuses what comes of it
    if kinds[1] not in lists:
        return f"[{free[0]} {operator} {right} for {free[0]} in {left}]"
    if kinds[0] not in lists:
        return f"[{left} {operator} {free[0]} for {free[0]} in {right}]"
    return f"[{free[0]} {operator} {free[1]} for {free[0]}, {free[1]} in zip({left}, {right}, strict=True)]"
