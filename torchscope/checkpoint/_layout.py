"""The order of axes: TensorFlow's kernels as torch's functions want them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

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
    i, j, f, o = tensor.movedim(-1, 0).chunk(4)
    return torch.cat([i, f, j, o])


def write(rule: str, tensor: Tensor, into: Tensor) -> None:
    """Convert a tensor and write it where it belongs, without a copy of it in between."""
    if rule == "depthwise":
        by_input = tensor.permute(-2, -1, *range(tensor.dim() - 2))
        into.squeeze(1).view(by_input.shape).copy_(by_input)
    elif rule == "lstm":
        i, j, f, o = tensor.movedim(-1, 0).chunk(4)
        for gate, part in zip((i, f, j, o), into.chunk(4), strict=True):
            part.copy_(gate)
    else:
        into.copy_(RULES[rule].convert(tensor))


class Rule(NamedTuple):
    """An order of axes: what it makes of a tensor and of a shape, and which shapes it takes."""

    convert: Callable[[Tensor], Tensor]
    shape: Callable[[Shape], Shape]
    takes: Callable[[Shape], bool]


RULES = {
    "same": Rule(_same, lambda s: s, lambda s: True),
    "dense": Rule(_dense, lambda s: s[::-1], lambda s: len(s) == 2),
    "conv": Rule(_conv, lambda s: (s[-1], s[-2], *s[:-2]), lambda s: len(s) in (3, 4, 5)),
    "depthwise": Rule(_depthwise, lambda s: (s[-2] * s[-1], 1, *s[:-2]), lambda s: len(s) in (3, 4, 5)),
    "lstm": Rule(_lstm, lambda s: (s[-1], *s[:-1]), lambda s: len(s) in (1, 2) and s[-1] % 4 == 0),
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
        return found[-1] if RULES[found[-1]].takes(shape) else "same"


def fitting(found: Shape, wanted: Shape) -> list[str]:
    """The rules that make the one shape of the other, one for each way that elements can come to lie."""
    small = [min(size, 2) for size in found]
    marked = torch.arange(math.prod(small), device="cpu").reshape(small)
    ways: dict[tuple[int, ...], str] = {}
    for rule in _INFERRED:
        if RULES[rule].takes(found) and RULES[rule].shape(found) == wanted:
            ways.setdefault(tuple(RULES[rule].convert(marked).flatten().tolist()), rule)
    return list(ways.values())


def undecided(shape: Shape) -> bool:
    """Whether a shape alone, without the variable's, leaves several orders of its axes that could be meant."""
    return any(RULES[rule].takes(shape) for rule in _INFERRED if rule != "same")
