"""The order of axes: TensorFlow's kernels as torch's functions want them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._names.paths import say_nearest
from .._names.patterns import selector
from ..errors import ArgumentTypeError, ArgumentValueError
from ._gates import GATES, reordered, split

Shape = tuple[int, ...]


def _same(tensor: Tensor) -> Tensor:
    return tensor


def _dense(tensor: Tensor) -> Tensor:
    return tensor.t()


def _conv(tensor: Tensor) -> Tensor:
    return tensor.permute(-1, -2, *range(tensor.dim() - 2))


def _by_input(tensor: Tensor) -> Tensor:
    """``[*k, in, multiplier]`` as ``[in, multiplier, *k]``."""
    return tensor.permute(-2, -1, *range(tensor.dim() - 2))


def _depthwise(tensor: Tensor) -> Tensor:
    return _by_input(tensor).flatten(0, 1).unsqueeze(1)


def write(rule: str, tensor: Tensor, into: Tensor) -> None:
    """Convert a tensor and write it where it belongs, without a copy of it in between."""
    if rule == "depthwise":
        by_input = _by_input(tensor)
        into.view(by_input.shape).copy_(by_input)
    elif rule in GATES:
        for gate, part in zip(split(rule, tensor), into.chunk(len(GATES[rule])), strict=True):
            part.copy_(gate)
    else:
        into.copy_(RULES[rule].convert(tensor))


class Rule(NamedTuple):
    """An order of axes: what it makes of a tensor and of a shape, and which shapes it takes, also in words."""

    convert: Callable[[Tensor], Tensor]
    shape: Callable[[Shape], Shape]
    takes: Callable[[Shape], bool]
    wants: str


def _has_window(shape: Shape) -> bool:
    return len(shape) in (3, 4, 5)


def _splits(gates: int, ranks: tuple[int, ...], shape: Shape) -> bool:
    return len(shape) in ranks and shape[-1] % gates == 0


RULES = {
    "same": Rule(_same, lambda s: s, lambda s: True, "any shape"),
    "dense": Rule(_dense, lambda s: s[::-1], lambda s: len(s) == 2, "two axes"),
    "conv": Rule(_conv, lambda s: (s[-1], s[-2], *s[:-2]), _has_window, "three to five axes"),
    "depthwise": Rule(_depthwise, lambda s: (s[-2] * s[-1], 1, *s[:-2]), _has_window, "three to five axes"),
    **{
        rule: Rule(
            functools.partial(reordered, rule),
            lambda s: (s[-1], *s[-2:-1], *s[:-2]),
            functools.partial(_splits, len(places), (3, 4, 5) if rule == "conv_lstm" else (1, 2)),
            f"{'three to five' if rule == 'conv_lstm' else 'one or two'} axes, the last a multiple of {len(places)}",
        )
        for rule, places in GATES.items()
    },
}
_INFERRED = ("same", "dense", "conv", "depthwise")  # from shapes; orders of gates by names

Layout = str | Mapping[str, str] | None


class Rules:
    """What ``layout=`` says of each path."""

    def __init__(self, layout: Layout, paths: Collection[str], kept: Collection[str] = ()) -> None:
        """``kept`` are paths that have TensorFlow's axes, unless ``layout`` says otherwise."""
        self._kept = kept
        given: Any = {"": layout} if isinstance(layout, str) else layout or {}
        if not isinstance(given, Mapping):
            mend = "Give the name of a rule, or a dict from patterns of paths to names of rules."
            raise ArgumentTypeError.of("layout", layout, mend)
        self._rules = []
        self._given = given
        for pattern, rule in given.items():
            if not isinstance(pattern, str) or not isinstance(rule, str):
                mend = "Give a dict from patterns of paths to names of rules, both as text."
                raise ArgumentTypeError.of("layout", {pattern: rule}, mend)
            if rule not in RULES:
                mend = f"The rules are {', '.join(map(repr, RULES))}; a dict goes from patterns of paths to them."
                raise ArgumentValueError.of("layout", {pattern: rule} if pattern else rule, mend)
            selects = selector(pattern, paths)
            if pattern and not any(map(selects, paths)):
                mend = f"The pattern selects none of the {len(paths)} variables. {say_nearest(pattern, paths)}"
                raise ArgumentValueError.of("layout", {pattern: rule}, mend)
            self._rules.append((pattern, selects, rule))

    def asked(self, path: str) -> str | None:
        """The rule that is asked for here: of the patterns that select the path, the last one decides."""
        return self._deciding(path)[1]

    def is_for_all(self, path: str) -> bool:
        """Whether the rule that is asked for here was asked for everything."""
        return self._deciding(path)[0] in ("", "**")

    def _deciding(self, path: str) -> tuple[str | None, str | None]:
        """The last pattern that selects the path, and its rule."""
        found = [(pattern, rule) for pattern, selects, rule in self._rules if selects(path)]
        return found[-1] if found else ("", "same") if path in self._kept else (None, None)

    def names(self, path: str) -> bool:
        """Whether this very path is given, not a pattern: then the rule must be one for it."""
        return path in self._given


def applied(asked: str, shape: Shape) -> str:
    """What becomes of a rule for many where an array is not of its kind: that stays as it is, as a bias does."""
    return asked if RULES[asked].takes(shape) else "same"


def fitting(found: Shape, wanted: Shape, gates: str | None) -> list[str]:
    """The rules that make the one shape of the other, one for each way that elements can come to lie.

    Args:
        found, wanted: the shapes of the array and of the variable.
        gates: the rule that may be needed for gates, see ``_gates.py``.
    """
    small = [min(size, 2) for size in found]
    marked = torch.arange(math.prod(small), device="cpu").reshape(small)
    ways: dict[tuple[int, ...], str] = {}
    for rule in _INFERRED:
        if RULES[rule].takes(found) and RULES[rule].shape(found) == wanted:
            ways.setdefault(tuple(RULES[rule].convert(marked).flatten().tolist()), rule)
    return [*ways.values(), *([gates] if gates is not None and RULES[gates].shape(found) == wanted else [])]


def undecided(shape: Shape, gates: str | None) -> bool:
    """Whether a shape alone, without the variable's, leaves several orders of its axes that could be meant."""
    return gates is not None or any(RULES[rule].takes(shape) for rule in _INFERRED if rule != "same")
