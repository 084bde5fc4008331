"""``model.param_groups``: every trainable parameter in exactly one group of an optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from .._names.patterns import selecting
from .._scopes.scope import VariableScope, as_patterns
from .._variables.tensors import all_tensors
from ..errors import ArgumentTypeError, ArgumentValueError, first_few

Rules = Mapping[str | VariableScope | tuple[str | VariableScope, ...], Mapping[str, object]]


ParamGroup = dict[str, Any]  # as an optimizer takes it: params, name, and options of the optimizer


def param_groups(root: nn.Module, owner: str, rules: Rules) -> list[ParamGroup]:
    """What :meth:`ScopedModule.param_groups` says."""
    if not isinstance(rules, Mapping) or not rules:
        raise ArgumentTypeError.of("rules", rules, 'Give a dict of patterns and options, such as {"**": {}}.')
    wanted = [(_name(pattern), as_patterns(pattern, "rules"), options) for pattern, options in rules.items()]
    paths_of: dict[nn.Parameter, list[str]] = {}
    keys: dict[nn.Parameter, str] = {}
    for path, key, tensor, _ in all_tensors(root):
        if isinstance(tensor, nn.Parameter):
            paths_of.setdefault(tensor, []).append(path)
            keys.setdefault(tensor, key)
    existing = [path for paths in paths_of.values() for path in paths]
    groups, taken = list[ParamGroup](), dict[nn.Parameter, str]()
    for name, patterns, options in wanted:
        _check(name, options)
        selects = selecting(patterns, existing, owner, "rules")
        chosen = [parameter for parameter, paths in paths_of.items() if any(map(selects, paths))]
        mine = [p for p in chosen if p.requires_grad and p not in taken]
        if not mine:
            _refuse_empty(name, chosen, taken, owner)
        taken.update(dict.fromkeys(mine, name))
        groups.append({"name": name, "params": [(keys[p], p) for p in mine], **options})
    rest = [paths[0] for parameter, paths in paths_of.items() if parameter.requires_grad and parameter not in taken]
    if rest:
        names = first_few(rest)
        mend = 'Add a last rule for the rest, such as "**": {}, or freeze them.'
        problem = f"{len(rest)} trainable parameters of {owner} are in no group: {names}."
        raise ArgumentValueError.of("rules", [name for name, *_ in wanted], f"{problem} {mend}")
    return groups


def _name(pattern: object) -> str:
    """The name of a group: its pattern, as it was written."""
    if isinstance(pattern, tuple):
        return ", ".join(map(_name, pattern))
    return pattern.name if isinstance(pattern, VariableScope) else str(pattern)


def _check(name: str, options: object) -> None:
    if not isinstance(options, Mapping):
        raise ArgumentTypeError.of(f"rules[{name!r}]", options, "Give a dict of options of the optimizer, or {}.")
    for reserved in ("params", "name", "param_names"):
        if reserved in options:
            mend = f"{reserved!r} is written by param_groups. Give options of the optimizer alone."
            raise ArgumentValueError.of(f"rules[{name!r}]", options, mend)


def _refuse_empty(name: str, chosen: list[nn.Parameter], taken: Mapping[nn.Parameter, str], owner: str) -> None:
    earlier = dict.fromkeys(taken[parameter] for parameter in chosen if parameter in taken)
    because = f"earlier rules have them: {', '.join(map(repr, earlier))}" if earlier else "all of them are frozen"
    mend = "Put it before those, or leave it out." if earlier else "Unfreeze them first, or leave it out."
    problem = f"It selects {len(chosen)} parameters of {owner}, and {because}, so its group would be empty."
    raise ArgumentValueError.of("rules", name, f"{problem} {mend}")
