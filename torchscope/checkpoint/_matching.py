"""Which array is for which variable: renames, moving averages and assignment maps."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from torch import Tensor

from .._names import paths
from .._scopes.scope import VariableScope
from .._variables.identity import path_of
from .._variables.store import VariableStore
from ..errors import ArgumentTypeError, ArgumentValueError
from ._open import Checkpoint
from ._roles import AVERAGE, role, variable_name

AssignmentMap = Mapping[str, str | VariableScope | Tensor]
Rename = Mapping[str, str | None] | Iterable[tuple[str, str | None]]


def renamed(saved: Checkpoint, rename: Rename | None) -> tuple[dict[str, str], list[str]]:
    """Each array of the checkpoint by the name that it goes by here, and those that are left out."""
    patterns = list(rename.items() if isinstance(rename, Mapping) else rename or ())
    for pair in patterns:
        if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str)) or not (
            pair[1] is None or isinstance(pair[1], str)
        ):
            mend = "Give a dict from regular expressions to the text that takes their place, or None."
            raise ArgumentTypeError.of("rename", rename, mend)
    names: dict[str, str] = {}
    left_out = []
    for array in saved:
        name = _renamed(variable_name(array), patterns)
        if name is not None and name.endswith(AVERAGE):  # it goes by the name of its variable
            variable = _renamed(variable_name(array).removesuffix(AVERAGE), patterns)
            name = None if variable is None else variable + AVERAGE
        if name is None:
            left_out.append(array)
        elif name in names:
            mend = f"It makes '{name}' of both '{names[name]}' and '{array}'."
            raise ArgumentValueError.of("rename", rename, mend)
        else:
            names[name] = array
    return names, left_out


def _renamed(name: str, patterns: list[tuple[str, str | None]]) -> str | None:
    for pattern, put in patterns:
        try:
            if put is not None:
                name = re.sub(pattern, put, name)
            elif re.search(pattern, name):
                return None
        except (re.error, IndexError) as error:
            mend = f"It is no regular expression with what goes in its place: {error}."
            raise ArgumentValueError.of("rename", {pattern: put}, mend) from None
    return name


def average_of(name: str, names: Mapping[str, str]) -> str:
    """The name of the moving average of an array, if there is one, else its own."""
    return name + AVERAGE if name + AVERAGE in names else name


class Sources(NamedTuple):
    """For each variable to be loaded the name of its array, whether there is one or not; and the scopes they are in."""

    of: dict[str, str]
    scopes: list[str]


def mapped(names: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """What an assignment map makes of the names of a checkpoint, where there is no module: new name -> name."""
    return sources(None, (), names, given).of


def sources(
    store: VariableStore | None,
    targets: Collection[str],
    names: Mapping[str, str],
    given: AssignmentMap | None,
    *,
    prefer_ema: bool = False,
) -> Sources:
    """Where each of the variables ``targets`` comes from.

    In a module that is not built yet, each array of a model is for a variable.
    """
    built = store is not None and store.built
    new = [] if built else _new_variables(names, prefer_ema=prefer_ema)
    if given is None:
        return Sources({path: path for path in (*targets, *new)}, [""])
    found = Sources({}, [])
    for asked, to in given.items():
        if not isinstance(asked, str):
            raise ArgumentTypeError.of("assignment_map", asked, "Its keys are names or scopes of the checkpoint.")
        try:
            scope, pairs = _mapped(asked, _target(store, to), targets, names, new, built=built)
            found.scopes.extend([] if scope is None else [scope])
            for target, source in pairs:
                if found.of.setdefault(target, source) != source:
                    raise _MapError(f"Both '{found.of[target]}' and '{source}' would go to '{target}'.")
        except _MapError as error:
            raise ArgumentValueError.of("assignment_map", {asked: to}, str(error)) from None
    return found


class _MapError(Exception):
    """What is wrong with one entry of an assignment map."""


def _new_variables(names: Mapping[str, str], *, prefer_ema: bool) -> list[str]:
    """The variables that a module without any gets: one for each array that is no slot, average or the like."""
    new = [name for name in names if role(name) is None]
    if prefer_ema:  # of some there is nothing but the average
        averaged = [name.removesuffix(AVERAGE) for name in names if name.endswith(AVERAGE)]
        new += [name for name in averaged if name not in names]
    return new


def _mapped(
    asked: str, target: str, targets: Collection[str], names: Mapping[str, str], new: list[str], *, built: bool
) -> tuple[str | None, list[tuple[str, str]]]:
    """One entry of an assignment map: the scope that it maps, if it is one, and each variable with its array's name."""
    source = asked.strip("/")
    is_scope = any(is_below(name, source) for name in names)
    if source in names and not (asked.endswith("/") and is_scope):
        if built and target not in targets:
            raise _MapError(f"The module has no variable '{target}'. {paths.say_nearest(target, targets)}")
        return None, [(target, source)]
    if not is_scope:
        near = paths.say_nearest(source, names)
        raise _MapError(f"The checkpoint has no '{source}', neither array nor scope. {near}")
    rests = [path.removeprefix(target).strip("/") for path in targets if is_below(path, target)]
    rests += [name.removeprefix(source).strip("/") for name in new if is_below(name, source)]
    if not rests:
        raise _MapError(f"The module has no variables below '{target}'. {paths.say_nearest(target, targets)}")
    return source, [(paths.join(target, rest), paths.join(source, rest)) for rest in rests]


def is_below(path: str, scope: str) -> bool:
    return not scope or path.startswith(scope + "/")


def _target(store: VariableStore | None, to: object) -> str:
    if isinstance(to, Tensor) and store is not None:
        return path_of(store, to)
    if isinstance(to, VariableScope):
        return to.name
    if not isinstance(to, str):
        raise ArgumentTypeError.of("assignment_map", to, "Its values are names or scopes of the module.")
    return to.strip("/")
