"""Which variable is laid out how: rules by pattern, and a table of axes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import Replicate, Shard
from torch.distributed.tensor.placement_types import Placement

from .._names.paths import nearest
from .._names.patterns import Patterns, selecting, selector
from .._scopes.scope import VariableScope, as_patterns
from .._variables.spec import VariableSpec
from ..errors import ArgumentTypeError, ArgumentValueError
from ._placements import Placements, for_shape, on_mesh, refuse_unknown_dimension

How = Placements | Callable[[VariableSpec], Placements]
Pattern = str | VariableScope
Rules = Mapping[str, How] | Mapping[Pattern | tuple[Pattern, ...], How]
Axes = Mapping[str, str | None]


class Rule(NamedTuple):
    """One rule: the patterns, as they were written and as they select, and what they say."""

    written: object
    patterns: Patterns
    how: How

    def placements(self, mesh: DeviceMesh, spec: VariableSpec) -> tuple[Placement, ...]:
        """What it says of a variable."""
        return placements_of(self.how, mesh, spec)


def placements_of(how: How, mesh: DeviceMesh, spec: VariableSpec) -> tuple[Placement, ...]:
    """What a rule or a scope says of a variable, held against the mesh and the variable's shape."""
    said = how(spec) if callable(how) else how
    return for_shape(on_mesh(mesh, said, f"the placement of '{spec.path}'"), spec.path, spec.shape)


class Table:
    """Rules by pattern, the first that selects a path decides; of other paths, the names of their axes do."""

    def __init__(self, mesh: DeviceMesh, owner: str, rules: Rules | None, axes: Axes | None) -> None:
        self.mesh, self.owner, self.axes = mesh, owner, axes
        if rules is not None and not (isinstance(rules, Mapping) and rules):
            raise ArgumentTypeError.of("rules", rules, 'Give a dict of patterns and placements: {"**": Replicate()}.')
        self.rules = [Rule(written, as_patterns(written, "rules"), how) for written, how in (rules or {}).items()]
        for rule in self.rules:
            if not callable(rule.how):
                on_mesh(mesh, rule.how, f"rules[{rule.written!r}]")
        if axes is not None and not isinstance(axes, Mapping):
            raise ArgumentTypeError.of("axes", axes, 'Give a dict of names of axes: {"mlp": "tp", "embed": None}.')
        for dimension in (axes or {}).values():
            if dimension is not None:
                refuse_unknown_dimension(mesh, dimension, "axes")

    def placements(self, spec: VariableSpec) -> tuple[Placement, ...]:
        """How a variable is laid out.

        Raises:
            ArgumentValueError: nothing says, or what says does not fit.
        """
        for rule in self.rules:
            if selector(rule.patterns, [spec.path])(spec.path):
                return rule.placements(self.mesh, spec)
        if self.axes is not None and spec.axes is not None:
            return self._by_axes(self.axes, spec)
        if self.rules and self.axes is None:
            written = [rule.written for rule in self.rules]
            mend = f"None of them selects '{spec.path}'. Add a last one for the rest, such as \"**\": Replicate()."
            raise ArgumentValueError.of("rules", written, mend)
        return (Replicate(),) * self.mesh.ndim

    def _by_axes(self, table: Axes, spec: VariableSpec) -> tuple[Placement, ...]:
        found: dict[str, int] = {}
        for axis, name in enumerate(spec.axes or ()):
            if name is None:
                continue
            if name not in table:
                mend = (
                    f"It is an axis of '{spec.path}', and the table has {', '.join(table)}. Add it, with None perhaps."
                )
                raise ArgumentValueError.of("axes", name, mend)
            dimension = table[name]
            if dimension is None:
                continue
            if dimension in found:
                mend = f"Two axes of '{spec.path}', {spec.axes}, are on '{dimension}'. Let one of them be None."
                raise ArgumentValueError.of("axes", spec.axes, mend)
            found[dimension] = axis
        return on_mesh(self.mesh, {dimension: Shard(axis) for dimension, axis in found.items()}, "axes")

    def check(self, specs: Collection[VariableSpec]) -> None:
        """Hold the rules against all variables that there are.

        Raises:
            ArgumentValueError: a rule selects nothing, or nothing that an earlier one did not take; or two that
                overlap say different things and neither is the more general one.
        """
        paths = [spec.path for spec in specs]
        named = {name for spec in specs for name in spec.axes or ()}
        for name, dimension in (self.axes or {}).items():
            if dimension is not None and name not in named:
                near = nearest(name, sorted(filter(None, named)))
                hint = f"Nearest: {', '.join(near)}." if near else "get_variable(..., axes=...) names them."
                raise ArgumentValueError.of("axes", name, f"No variable of {self.owner} has such an axis. {hint}")
        taken: dict[str, int] = {}
        selected: list[set[str]] = []
        for number, rule in enumerate(self.rules):
            selects = selecting(rule.patterns, paths, self.owner, "rules")
            mine = {path for path in paths if selects(path)}
            selected.append(mine)
            if mine <= taken.keys():
                earlier = self.rules[taken[min(mine)]].written
                mend = f"{earlier!r} comes before it and takes '{min(mine)}'. Put the more special rule first."
                raise ArgumentValueError.of("rules", rule.written, mend)
            self._refuse_at_odds(number, selected, specs)
            taken.update({path: number for path in mine if path not in taken})

    def _refuse_at_odds(self, number: int, selected: list[set[str]], specs: Collection[VariableSpec]) -> None:
        rule, mine = self.rules[number], selected[number]
        for other, theirs in zip(self.rules[:number], selected, strict=False):
            if theirs <= mine:  # the later one is the general one
                continue
            both = mine & theirs
            for spec in (each for each in specs if each.path in both):
                first, second = other.placements(self.mesh, spec), rule.placements(self.mesh, spec)
                if first != second and not self._decided_before(number, selected, spec.path):
                    mend = (
                        f"Both select '{spec.path}', for {_said(first)} and {_said(second)}, and neither is more "
                        "general than the other. Write a rule for it before them."
                    )
                    raise ArgumentValueError.of("rules", (other.written, rule.written), mend)

    def _decided_before(self, number: int, selected: list[set[str]], path: str) -> bool:
        """Whether a rule that is more special than both decides: the first that selects the path lies in both."""
        first = next(n for n, paths in enumerate(selected) if path in paths)
        return all(selected[first] <= paths for n, paths in enumerate(selected[: number + 1]) if path in paths)


def _said(placements: tuple[Placement, ...]) -> str:
    return " x ".join(map(repr, placements))
