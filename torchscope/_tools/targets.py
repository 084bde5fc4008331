"""What the ready-made getters have in common: the variables that they are for, in a call and in a built module."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from .._names.patterns import refuse_nothing, selector
from .._scopes.scope import Selects, as_patterns, get_variable_scope
from .._variables.tensors import all_tensors
from ..errors import ArgumentValueError


class Target(NamedTuple):
    """A parameter of a module tree: its path, and the module that holds it under a name."""

    path: str
    holder: nn.Module
    name: str
    parameter: nn.Parameter


def targets(model: nn.Module, pattern: Selects, *, least_axes: int) -> list[Target]:
    """The floating parameters that a pattern selects and that have so many axes, each once.

    Raises:
        ArgumentValueError: the pattern selects nothing, or nothing of that kind.
        NotBuiltError: the module was never built.
    """
    named = list(all_tensors(model))
    owner, patterns = type(model).__name__, as_patterns(pattern, "pattern")
    refuse_nothing(patterns, [each.path for each in named], owner, "pattern")
    selects = selector(patterns, [each.path for each in named])
    found: dict[int, Target] = {}
    for each in named:
        tensor = each.tensor
        if selects(each.path) and isinstance(tensor, nn.Parameter) and _fits(tensor, least_axes):
            holder, _, name = each.key.rpartition(".")
            found.setdefault(id(tensor), Target(each.path, model.get_submodule(holder), name, tensor))
    if not found:
        mend = f"It selects no floating parameter of {owner} with {least_axes} axes or more."
        raise ArgumentValueError.of("pattern", pattern, mend)
    return list(found.values())


def is_for(tensor: Tensor, kwargs: dict[str, object], least_axes: int) -> bool:
    """Whether what a custom getter got is a floating parameter of so many axes; ``kwargs`` are those of the getter."""
    return "persistent" not in kwargs and _fits(tensor, least_axes)  # only a buffer is asked for with it


def _fits(tensor: Tensor, least_axes: int) -> bool:
    return tensor.dim() >= least_axes and (tensor.is_floating_point() or tensor.is_complex())


def relative(path: str) -> str:
    """The name that a path has in the scope that is open, for ``get_buffer`` in a custom getter.

    Raises:
        ArgumentValueError: it lies elsewhere, since another getter renamed it.
    """
    prefix = get_variable_scope()._prefix
    if not path.startswith(prefix):
        mend = f"The scope that is open is '{prefix[:-1]}': a getter around this one must not rename variables."
        raise ArgumentValueError.of("name", path, mend)
    return path[len(prefix) :]
