"""Shapes, joining, cutting and picking."""

from __future__ import annotations

import libcst as cst

from .._kinds import LIST, NUMBER, SHAPE, SIZES, TENSOR, joins_sizes, stacks_numbers
from .._rule import Use, methods, operand, rule


@rule("reshape", "tensor, shape, name")
def reshape(use: Use) -> str:
    return f"{use.tensor('tensor')}.reshape({use.spread('shape') or '()'})"


methods("input, name, out_type", {"shape": "shape", "rank": "dim()", "size": "numel()", "stop_gradient": "detach()"})


@rule("concat", "values, axis, name, concat_dim")
def concat(use: Use) -> str | None:
    axis = "axis" if "axis" in use else "concat_dim"
    is_first = axis in use and use.code(axis) in ("0", "-1")
    if is_first and joins_sizes(use.kinds_of_elements("values")):
        return f"[{', '.join(unpacked(each) for each in use.operands('values'))}]"
    if use.kind("values") == NUMBER or axis not in use:  # the order of arguments before TensorFlow 1.0
        return f"torch.cat({use.code('axis')}, {use.code('values')})" if "axis" in use else None
    return f"torch.cat({use.code('values')}, {use.code(axis)})"


def unpacked(sizes: str | cst.BaseExpression) -> str:
    """Sizes inside of a list: those of a list that is written out, else with a star."""
    code = sizes if isinstance(sizes, str) else operand(sizes)
    return code[1:-1] if code.startswith("[") and code.endswith("]") and "]" not in code[:-1] else f"*{code}"


@rule("stack", "values, axis, name")
def stack(use: Use) -> str:
    if stacks_numbers(use.kinds_of_elements("values")) and "axis" not in use and "." not in use.code("values"):
        return use.code("values")  # sizes, for a shape
    return f"torch.stack({use.code('values')}{', ' + use.code('axis') if 'axis' in use else ''})"


@rule("expand_dims", "input, axis, name, dim")
def expand_dims(use: Use) -> str:
    axis = "axis" if "axis" in use else "dim"
    elements = use.elements(axis)
    at = elements[0] if elements is not None and len(elements) == 1 else use.code(axis)
    if use.kind("input") == NUMBER and at in ("0", "-1"):
        return f"[{use.code('input')}]"
    return f"{use.tensor('input')}.unsqueeze({at})"


@rule("squeeze", "input, axis, name, squeeze_dims")
def squeeze(use: Use) -> str | None:
    if "axis" in use or "squeeze_dims" in use:
        return None  # torch would leave an axis of more than one in silence
    return f"{use.tensor('input')}.squeeze()"


@rule("transpose", "a, perm, name, conjugate")
def transpose(use: Use) -> str | None:
    if "perm" not in use or "conjugate" in use:
        return None
    return f"{use.tensor('a')}.permute({use.spread('perm')})"


@rule("tile", "input, multiples, name")
def tile(use: Use) -> str:
    return f"{use.tensor('input')}.tile({use.spread('multiples')})"


@rule("broadcast_to", "input, shape, name")
def broadcast_to(use: Use) -> str:
    return f"{use.tensor('input')}.expand({use.spread('shape')})"


@rule("gather", "params, indices, validate_indices, name, axis, batch_dims")
def gather(use: Use) -> str | None:
    axis = use.value("axis") if "axis" in use and use.is_literal("axis") else 0 if "axis" not in use else None
    if "batch_dims" in use or not isinstance(axis, int) or axis < -1:
        return None
    indices = use.code("indices") if use.kind("indices") in (TENSOR, NUMBER) else use.tensor("indices")
    before = "..., " if axis == -1 else ":, " * axis
    return f"{use.tensor('params')}[{before}{indices}]"


@rule("einsum", "equation, a, b, c, d")
def einsum(use: Use) -> str:
    operands = [use.code(each) for each in "abcd" if each in use]
    return f"torch.einsum({use.code('equation')}, {', '.join(operands)})"


@rule("identity", "input, name")
def identity(use: Use) -> str | None:
    return use.code("input") if use.kind("input") in (SIZES, SHAPE, LIST) else None


@rule("diag", "diagonal, name")
def diag(use: Use) -> str:
    return f"torch.diag({use.code('diagonal')})"


@rule("matrix_determinant", "input, name")
def matrix_determinant(use: Use) -> str:
    return f"torch.linalg.det({use.code('input')})"


@rule("matrix_inverse", "input, adjoint, name")
def matrix_inverse(use: Use) -> str | None:
    return None if "adjoint" in use else f"torch.linalg.inv({use.code('input')})"


@rule("split", "value, num_or_size_splits, axis, num, name")
def split(use: Use) -> str | None:
    if use.is_literal("value") and isinstance(use.value("value"), int):  # the order of arguments before TensorFlow 1.0
        return f"tf1.split({use.code('axis')}, {use.code('num_or_size_splits')}, {use.code('value')})"
    return None
