"""New tensors. They are made on torch's default device, ``with torch.device(...)`` says which."""

from __future__ import annotations

from .._kinds import NUMBER, TENSOR
from .._rule import Rule, Use, converter, rule


def _filled(function: str) -> Rule:
    return lambda use: f"torch.{function}({use.spread('shape') or '()'}{use.given_as(dtype='dtype')})"


for _name in ("zeros", "ones"):
    rule(_name, "shape, dtype, name")(_filled(_name))


def _like(function: str) -> Rule:
    return lambda use: f"torch.{function}({use.argument('tensor')}{use.given_as(dtype='dtype')})"


for _name in ("zeros_like", "ones_like"):
    rule(_name, "tensor, dtype, name, optimize")(_like(_name))


@rule("fill", "dims, value, name")
def fill(use: Use) -> str:
    return f"torch.full({use.code('dims')}, {use.code('value')})"


@rule("constant", "value, dtype, shape, name, verify_shape")
def constant(use: Use) -> str | None:
    if "shape" in use:
        shape = use.spread("shape") or "()"
        return f"torch.full([{shape}], {use.code('value')}{use.given_as(dtype='dtype')})" if _is_one(use) else None
    return f"{converter(use.kind('value'))}({use.code('value')}{use.given_as(dtype='dtype')})"


def _is_one(use: Use) -> bool:
    return use.kind("value") == NUMBER and use.elements("shape") is not None


@rule("convert_to_tensor", "value, dtype, name, preferred_dtype, dtype_hint")
def convert_to_tensor(use: Use) -> str | None:
    if use.kind("value") == TENSOR and "dtype" not in use:
        return use.code("value")
    return f"torch.as_tensor({use.code('value')}{use.given_as(dtype='dtype')})" if use.kind("value") == NUMBER else None


@rule("range", "start, limit, delta, dtype, name")
def range_(use: Use) -> str:
    given = ", ".join(use.code(each) for each in ("start", "limit", "delta") if each in use)
    if "delta" in use and "limit" not in use:
        given = f"0, {given}"
    return f"torch.arange({given}{use.given_as(dtype='dtype')})"


@rule("lin_space linspace", "start, stop, num, name")
def lin_space(use: Use) -> str:
    return f"torch.linspace({use.code('start')}, {use.code('stop')}, {use.code('num')})"


@rule("eye", "num_rows, num_columns, batch_shape, dtype, name")
def eye(use: Use) -> str | None:
    if "batch_shape" in use:
        return None
    columns = f", {use.code('num_columns')}" if "num_columns" in use else ""
    return f"torch.eye({use.code('num_rows')}{columns}{use.given_as(dtype='dtype')})"
