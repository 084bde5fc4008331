"""The order of axes: TensorFlow's kernels as torch's functions want them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from .. import _names
from ..errors import ArgumentTypeError, ArgumentValueError

Shape = tuple[int, ...]


def _same(tensor: Tensor) -> Tensor:
    return tensor


def _dense(tensor: Tensor) -> Tensor:
    return tensor.t()


def _conv(tensor: Tensor) -> Tensor:
    return tensor.permute(-1, -2, *range(tensor.dim() - 2))


def _depthwise(tensor: Tensor) -> Tensor:
    return tensor.permute(-2, -1, *range(tensor.dim() - 2)).flatten(0, 1).unsqueeze(1)


def _lstm(tensor: Tensor) -> Tensor:
    """From the gates i, j, f, o along the last axis to torch's i, f, g, o along the first, where ``g`` is ``j``."""
    i, j, f, o = tensor.chunk(4, -1)
    return torch.cat([i, f, j, o], -1).movedim(-1, 0)


# Each with the ranks that it takes.
RULES: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Shape], bool]]] = {
    "same": (_same, lambda shape: True),
    "dense": (_dense, lambda shape: len(shape) == 2),
    "conv": (_conv, lambda shape: len(shape) in (3, 4, 5)),
    "depthwise": (_depthwise, lambda shape: len(shape) in (3, 4, 5)),
    "lstm": (_lstm, lambda shape: len(shape) in (1, 2) and shape[-1] % 4 == 0),
}
_INFERRED = ("same", "dense", "conv", "depthwise")

Layout = str | Mapping[str, str] | None


class Rules:
    """What ``layout=`` says of each path."""

    def __init__(self, layout: Layout) -> None:
        given: Any = {"": layout} if isinstance(layout, str) else layout or {}
        if not isinstance(given, Mapping):
            mend = "Give the name of a rule, or a dict from patterns of paths to names of rules."
            raise ArgumentTypeError.of("layout", layout, mend)
        for rule in given.values():
            if rule not in RULES:
                raise ArgumentValueError.of("layout", rule, f"The rules are {', '.join(map(repr, RULES))}.")
        self._rules = [(_names.selector(pattern), rule) for pattern, rule in given.items()]

    def asked(self, path: str, shape: Shape) -> str | None:
        """The rule that is asked for here; the last pattern that selects the path decides. Vectors stay as they are."""
        found = [rule for selects, rule in self._rules if selects(path)]
        if not found:
            return None
        return found[-1] if RULES[found[-1]][1](shape) else "same"


def converted_shape(rule: str, shape: Shape) -> Shape:
    """The shape that a rule makes of a shape."""
    return tuple(RULES[rule][0](torch.empty(shape, device="meta")).shape)


def fitting(found: Shape, wanted: Shape) -> list[str]:
    """The rules that make the one shape of the other, one for each way that elements can come to lie."""
    small = [min(size, 2) for size in found]
    marked = torch.arange(math.prod(small), device="cpu").reshape(small)
    ways: dict[tuple[int, ...], str] = {}
    for rule in _INFERRED:
        convert, takes = RULES[rule]
        if takes(found) and converted_shape(rule, found) == wanted:
            ways.setdefault(tuple(convert(marked).flatten().tolist()), rule)
    return list(ways.values())


def undecided(shape: Shape) -> bool:
    """Whether a shape alone, without the variable's, leaves several orders of its axes that could be meant."""
    return any(RULES[rule][1](shape) for rule in _INFERRED if rule != "same")
