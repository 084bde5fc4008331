"""What the ready-made getters have in common: the variables that they are for, in a call and in a built module."""

from __future__ import annotations

from typing import NamedTuple, cast

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from .._names.patterns import selecting
from .._scopes.scope import Selects, as_patterns
from .._variables.sharding import is_sharded
from .._variables.tensors import NamedTensor, all_tensors
from ..errors import ArgumentTypeError, ArgumentValueError


class Target(NamedTuple):
    """A parameter of a module tree: its path, and the module that holds it under a name."""

    path: str
    holder: nn.Module
    name: str
    parameter: nn.Parameter


def targets(model: nn.Module, pattern: Selects, *, least_axes: int) -> list[Target]:
    """The floating parameters that a pattern selects and that have so many axes, each once.

    What a parametrization computes a weight from is none, so that nothing is applied twice.

    Raises:
        ArgumentValueError: the pattern selects nothing, or nothing of that kind; or a parameter that is at other paths
            too, of which one alone cannot be computed from something else.
        NotBuiltError: the module was never built.
    """
    if not isinstance(model, nn.Module):
        raise ArgumentTypeError.of("model", model, "Give the module.")
    named = list(all_tensors(model))
    owner, patterns = type(model).__name__, as_patterns(pattern, "pattern")
    selects = selecting(patterns, [each.path for each in named], owner, "pattern")
    found: dict[int, Target] = {}
    paths: dict[int, list[str]] = {}
    for each in named:
        tensor = each.tensor
        paths.setdefault(id(tensor), []).append(each.path)
        fits = isinstance(tensor, nn.Parameter) and not is_lazy(tensor) and _fits(tensor, least_axes)
        if fits and not _is_part(each) and selects(each.path):
            holder, _, name = each.key.rpartition(".")
            parameter = cast(nn.Parameter, tensor)
            found.setdefault(id(tensor), Target(each.path, model.get_submodule(holder), name, parameter))
    if not found:
        mend = f"It selects no floating parameter of {owner} with {least_axes} axes or more"
        raise ArgumentValueError.of("pattern", pattern, f"{mend} that is not computed from others already.")
    tied = [paths[identity] for identity in found if len(paths[identity]) > 1]
    if least_axes and tied:
        names = " and ".join(f"'{path}'" for path in tied[0])
        mend = f"{names} are one variable: leave it out by a narrower pattern, or do not tie it."
        raise ArgumentValueError.of("pattern", pattern, mend)
    if least_axes and any(is_sharded(target.parameter) for target in found.values()):
        mend = "It selects sharded parameters: apply it before fully_shard or whatever shards them."
        raise ArgumentValueError.of("pattern", pattern, mend)
    return list(found.values())


def _is_part(named: NamedTensor) -> bool:
    """Whether it is what a weight is computed from: of a parametrization, or a low-rank update beside its weight."""
    return "parametrizations." in named.key or named.path.endswith(("/lora_a", "/lora_b"))


def is_for(tensor: Tensor, kwargs: dict[str, object], least_axes: int) -> bool:
    """Whether what a custom getter got is a floating parameter of so many axes; ``kwargs`` are those of the getter."""
    return "persistent" not in kwargs and _fits(tensor, least_axes)  # only a buffer is asked for with it


def _fits(tensor: Tensor, least_axes: int) -> bool:
    floating = tensor.is_floating_point() or tensor.is_complex()
    return floating and tensor.dim() >= least_axes and tensor.numel() > 0
