"""Sums, means and the like, along axes."""

from __future__ import annotations

from .._rule import Rule, Use, rule

_ARGUMENTS = "input_tensor, axis, keepdims, name, reduction_indices, keep_dims"
_METHODS = {"sum": "sum", "mean": "mean", "max": "amax", "min": "amin", "all": "all", "any": "any"}


def _axes(use: Use) -> str | None:
    """The arguments of torch's method; ``None`` where it has none that are surely the same."""
    axis = "axis" if "axis" in use else "reduction_indices"
    if axis in use and use.code(axis) in ("[]", "()"):  # torch reduces over all
        return None
    arguments = [use.code(axis)] if axis in use else []
    for keep in ("keepdims", "keep_dims"):
        if keep in use and not (use.is_literal(keep) and not use.value(keep)):
            if not arguments:  # then torch's method takes no keepdim
                if not use.is_name("input_tensor"):
                    return None
                arguments = [f"tuple(range({use.tensor('input_tensor')}.dim()))"]
            arguments.append(f"keepdim={use.code(keep)}")
    return ", ".join(arguments)


def _reduction(method: str) -> Rule:
    def rewritten(use: Use) -> str | None:
        axes = _axes(use)
        return None if axes is None else f"{use.tensor('input_tensor')}.{method}({axes})"

    return rewritten


for _name, _method in _METHODS.items():
    rule(f"reduce_{_name}", _ARGUMENTS)(_reduction(_method))


@rule("reduce_prod", _ARGUMENTS)
def reduce_prod(use: Use) -> str | None:
    axes = _axes(use)
    axis = "axis" if "axis" in use else "reduction_indices"
    if axes is None or (axis in use and not (use.is_literal(axis) and isinstance(use.value(axis), int))):
        return None
    return f"{use.tensor('input_tensor')}.prod({axes})"


@rule("reduce_logsumexp", _ARGUMENTS)
def reduce_logsumexp(use: Use) -> str | None:
    axes = _axes(use)
    x = use.tensor("input_tensor")
    if axes is None or not (axes or use.is_name("input_tensor")):
        return None
    return f"{x}.logsumexp({axes or f'tuple(range({x}.dim()))'})"


@rule("norm", "tensor, ord, axis, keepdims, name, keep_dims")
def norm(use: Use) -> str | None:
    is_one_axis = "axis" not in use or (use.is_literal("axis") and isinstance(use.value("axis"), int))
    if "ord" in use and not is_one_axis:  # then it is of matrices
        return None
    if "ord" in use and use.code("ord") not in ("2", "1", "'euclidean'", '"euclidean"'):
        return None
    order = ", ord=1" if "ord" in use and use.code("ord") == "1" else ""
    keep = use.given_as(keepdims="keepdim", keep_dims="keepdim")
    return f"torch.linalg.vector_norm({use.tensor('tensor')}{order}{use.given_as(axis='dim')}{keep})"


@rule("argsort", "values, axis, direction, stable, name")
def argsort(use: Use) -> str | None:
    if "direction" in use:
        return None
    return f"{use.tensor('values')}.argsort(dim={use.code_or('axis', -1)}, stable=True)"


@rule("sort", "values, axis, direction, name")
def sort(use: Use) -> str | None:
    return None if "direction" in use else f"{use.tensor('values')}.sort({use.code_or('axis', -1)})[0]"


@rule("unstack", "value, num, axis, name")
def unstack(use: Use) -> str:
    return f"list({use.tensor('value')}.unbind({use.code_or('axis', '')}))"


@rule("cumprod", "x, axis, exclusive, reverse, name")
def cumprod(use: Use) -> str | None:
    if "exclusive" in use or "reverse" in use:
        return None
    return f"{use.tensor('x')}.cumprod({use.code_or('axis', 0)})"
