"""Loading a checkpoint into a module by name: first all is planned and checked, then it is written."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from .. import _names
from .._module import ScopedModule
from .._scope import VariableScope
from .._store import VariableStore
from ..errors import ArgumentTypeError, ArgumentValueError, CheckpointError, InvalidNameError
from ._entry import Entry, dtype_name
from ._layout import RULES, Layout, Rules, Shape, fitting, undecided, write
from ._open import Checkpoint, open
from ._report import LoadReport
from ._roles import AVERAGE, role, variable_name

AssignmentMap = Mapping[str, str | VariableScope | Tensor]
Rename = Mapping[str, str] | Iterable[tuple[str, str]]


class _Target(NamedTuple):
    """A variable that exists: its shape and dtype, and the tensors that it is made of."""

    shape: Shape
    dtype: torch.dtype
    pieces: list[tuple[Tensor, int, int]]  # each with the axis that the variable is cut along, and where it begins
    computed: bool = False  # from others: what is written into it is lost


class _Step(NamedTuple):
    """What to load into one variable."""

    path: str
    entry: Entry
    rule: str
    target: _Target | None  # None: the variable is still to be made


def load_checkpoint(
    module: ScopedModule,
    path: str | os.PathLike[str] | Checkpoint,
    assignment_map: AssignmentMap | None = None,
    *,
    rename: Rename | None = None,
    strict: bool = True,
    prefer_ema: bool | None = None,
    layout: Layout = None,
) -> LoadReport:
    """Load a checkpoint into a module: its variables have the names that they had in TensorFlow.

    >>> from torchscope import ScopedModule, get_variable, variable_scope
    >>> from torchscope.checkpoint import load_checkpoint
    >>> def forward():
    ...     with variable_scope("image_filters/conv1"):
    ...         return get_variable("weights", [8, 3, 5, 5]), get_variable("biases", [8])
    >>> model = ScopedModule(forward).build()
    >>> print(load_checkpoint(model, "tests/data/image_filters.ckpt", {"image_filters/conv1": "image_filters/conv1"}))
    2 loaded, 0 refused, 0 missing, 0 unused, 0 skipped
    loaded  image_filters/conv1/weights  <- image_filters/conv1/weights  conv: (5, 5, 3, 8) -> (8, 3, 5, 5)
    loaded  image_filters/conv1/biases   <- image_filters/conv1/biases

    A module that was never built gets its variables from the checkpoint; its first call then holds the code against
    them. Nothing is written unless everything could be read and fits, and nothing is read into memory twice.

    Args:
        module: the module, not sharded yet.
        path: whatever :func:`open` takes, or what it returned.
        assignment_map: from names or scopes of the checkpoint to those of the module, as in TensorFlow's
            ``init_from_checkpoint``: ``{"old/scope/": "new/scope/", "w": "a/w", "/": "tower/"}``, the trailing slash as
            you like. Only what it names is loaded. By default names are the same on both sides, and all are loaded.
        rename: regular expressions and what ``re.sub`` puts in their place, in order, for each name of the checkpoint
            before anything else: ``{"weights$": "kernel"}``.
        strict: raise if a variable is left without an array, an array without a variable, or one does not fit.
            ``False`` loads what fits and reports the rest.
        prefer_ema: take ``<name>/ExponentialMovingAverage`` where there is one, instead of ``<name>``.
        layout: the order of axes, as the name of a rule for all, or patterns of paths with a rule each. ``"same"``
            leaves an array as it is; ``"dense"`` is ``[in, out]`` to ``[out, in]``; ``"conv"`` is ``[*k, in, out]`` to
            ``[out, in, *k]``, for transposed convolutions ``[*k, out, in]`` to ``[in, out, *k]``; ``"depthwise"`` is
            ``[*k, in, multiplier]`` to ``[in * multiplier, 1, *k]``; ``"lstm"`` is TensorFlow's kernel or bias with
            gates i, j, f, o along its last axis to torch's i, f, g, o along the first. A rule leaves arrays of a rank
            that it is not for as they are. Without one it is inferred from the shapes where only one fits, and where
            several do, as with a square kernel, you are asked.

    Slots of optimizers, counts of steps and moving averages that no variable has the name of are left out and named.
    Floating dtypes are converted to the variable's.

    Returns:
        What was done with each variable and array.

    Raises:
        CheckpointError: strict, and something does not fit: the message is the whole report, ``error.report`` is it. Or
            the file is damaged. The module is then as it was.
        ArgumentValueError: ``assignment_map`` names what is not there; no such rule; ``rename`` makes two names one.
    """
    if not isinstance(module, ScopedModule):
        raise ArgumentTypeError.of("module", module, "Give a ScopedModule; another module loads a state_dict.")
    saved = path if isinstance(path, Checkpoint) else open(path)
    store, rules = module.variables, Rules(layout)
    names = renamed(saved, rename)
    targets = _targets(store, names)
    report = LoadReport()
    steps = []
    sources = _sources(store, targets, names, assignment_map)
    for target, name in sources.items():
        if prefer_ema and name + AVERAGE in names:
            name += AVERAGE
        if name not in names:
            report.missing.append(target)
            continue
        entry = saved[names[name]]
        rule, words = _rule_for(target, entry, targets.get(target), rules)
        if rule is None:
            report.refused[target] = entry.path, words
            continue
        steps.append(_Step(target, entry, rule, targets.get(target)))
        report.loaded[target] = entry.path, words
    used = {entry for entry, _ in (*report.loaded.values(), *report.refused.values())}
    for name, array in names.items():
        if array in used or assignment_map is not None:
            continue
        what = role(array)
        if what is None and prefer_ema and name + AVERAGE in names and name in sources.values():
            what = "its moving average is taken"
        if what is None:
            report.unused.append(array)
        else:
            report.skipped[array] = what
    if strict and not report.complete:
        error = CheckpointError.of(
            saved.file, "it does not fit the module, and nothing was loaded", f"{report}\n{_how_to_mend(report)}"
        )
        error.report = report
        raise error
    _write(store, steps)
    report.done = True
    store.made_strictly = strict and assignment_map is None and not store.built and bool(store.specs)
    return report


def _how_to_mend(report: LoadReport) -> str:
    ways = []
    if report.missing or report.unused:
        ways.append("rename= and assignment_map= match names")
    if report.refused:
        ways.append("layout= says the order of axes")
    return f"{', '.join(ways)}, and strict=False loads what fits."


# Names -------------------------------------------------------------------------------------------------------------


def renamed(saved: Checkpoint, rename: Rename | None) -> dict[str, str]:
    """Each array of the checkpoint by the name that it goes by here."""
    patterns = list(rename.items() if isinstance(rename, Mapping) else rename or ())
    names: dict[str, str] = {}
    for array in saved:
        name = variable_name(array)
        for pattern, put in patterns:
            try:
                name = re.sub(pattern, put, name)
            except re.error as error:
                raise ArgumentValueError.of("rename", pattern, f"It is no regular expression: {error}.") from None
        if name in names:
            mend = f"It makes '{name}' of both '{names[name]}' and '{array}'."
            raise ArgumentValueError.of("rename", rename, mend)
        names[name] = array
    return names


def _targets(store: VariableStore, names: Mapping[str, str]) -> dict[str, _Target]:
    """Each variable that a checkpoint may hold: parameters, buffers that are saved, and what is in layers.

    A variable in parts is one, as TensorFlow saves it, unless the checkpoint has its parts by name.
    """
    targets: dict[str, _Target] = {}
    whole = {path: parts for path, parts in store.parts.items() if f"{path}/part_0" not in names}
    of = {f"{path}/part_{n}": (path, n) for path, parts in whole.items() for n in range(len(parts.sizes))}
    for spec, tensor in store.select():
        if not spec.persistent:
            continue
        path, n = of.get(spec.path, (spec.path, 0))
        computed = spec.path not in store._parameters and spec.path not in store._buffers
        if path != spec.path:
            parts = whole[path]
            target = targets.setdefault(path, _Target(parts.shape, tensor.dtype, []))
            target.pieces.append((tensor, parts.axis, sum(parts.sizes[:n])))
        else:
            targets[path] = _Target(tuple(tensor.shape), tensor.dtype, [(tensor, 0, 0)], computed)
    for name, tensor in store._of_modules(""):
        targets[name] = _Target(tuple(tensor.shape), tensor.dtype, [(tensor, 0, 0)])
    return targets


def mapped(names: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """What an assignment map makes of the names of a checkpoint, where there is no module: new name -> name."""
    return _sources(None, {}, names, given)


def _sources(
    store: VariableStore | None, targets: Mapping[str, _Target], names: Mapping[str, str], given: AssignmentMap | None
) -> dict[str, str]:
    """For each variable to be loaded, the name of its array, whether there is one or not."""
    built = store is not None and store.built
    new = [] if built else [name for name, array in names.items() if role(array) is None]
    if given is None:
        return {path: path for path in (*targets, *new)}
    sources: dict[str, str] = {}
    for asked, to in given.items():
        if not isinstance(asked, str):
            raise ArgumentTypeError.of("assignment_map", asked, "Its keys are names or scopes of the checkpoint.")
        source, target = asked.strip("/"), _target(store, to)
        if source in names:
            if built and target not in targets:
                mend = f"The module has no variable '{target}'. {_nearest(target, targets)}"
                raise ArgumentValueError.of("assignment_map", {asked: to}, mend)
            sources[target] = source
            continue
        if not any(_is_below(name, source) for name in names):
            mend = f"The checkpoint has no '{source}', neither array nor scope. {_nearest(source, names)}"
            raise ArgumentValueError.of("assignment_map", {asked: to}, mend)
        rests = [path.removeprefix(target).strip("/") for path in targets if _is_below(path, target)]
        rests += [name.removeprefix(source).strip("/") for name in new if _is_below(name, source)]
        if not rests:
            mend = f"The module has no variables below '{target}'. {_nearest(target, targets)}"
            raise ArgumentValueError.of("assignment_map", {asked: to}, mend)
        sources.update({_names.join(target, rest): _names.join(source, rest) for rest in rests})
    return sources


def _is_below(path: str, scope: str) -> bool:
    return not scope or path.startswith(scope + "/")


def _target(store: VariableStore | None, to: object) -> str:
    if isinstance(to, Tensor) and store is not None:
        return store.path_of(to)
    if isinstance(to, VariableScope):
        return to.name
    if not isinstance(to, str):
        raise ArgumentTypeError.of("assignment_map", to, "Its values are names or scopes of the module.")
    return to.strip("/")


def _nearest(name: str, existing: Iterable[str]) -> str:
    near = ", ".join(f"'{path}'" for path in _names.nearest(name, existing))
    return f"The nearest: {near}." if near else ""


# Shapes ------------------------------------------------------------------------------------------------------------


def _rule_for(path: str, entry: Entry, target: _Target | None, rules: Rules) -> tuple[str | None, str]:
    """The rule by which an array becomes a variable, and how it does in words; or ``None``, and why it cannot."""
    if entry.dtype is bytes:
        return None, "it holds strings"
    asked = rules.asked(path, entry.shape)
    if target is None:
        return _rule_for_new(path, entry, asked)
    if target.computed:
        return None, "the variable is computed (parametrized or pruned)"
    if any(tensor.is_meta for tensor, _, _ in target.pieces):
        return None, "the variable is on the meta device: call to_empty(device=...) first"
    if not _casts(entry.dtype, target.dtype):
        return None, f"{dtype_name(entry.dtype)} does not become {dtype_name(target.dtype)}"
    wanted = target.shape
    fits = [asked] if asked else fitting(entry.shape, wanted)
    if not fits:
        return None, f"{entry.shape} is not {wanted} in any layout that could be meant"
    if len(fits) > 1:
        return None, f"{entry.shape} may be {' or '.join(map(repr, fits))}: say which, layout={{'{path}': ...}}"
    made = RULES[fits[0]].shape(entry.shape)
    if made != wanted:
        return None, f"layout {fits[0]!r} makes {made} of {entry.shape}, and the variable is {wanted}"
    parts = f"in {len(target.pieces)} parts" if len(target.pieces) > 1 else ""
    return fits[0], ", ".join(filter(None, (_how(fits[0], entry, wanted, target.dtype), parts)))


def _rule_for_new(path: str, entry: Entry, asked: str | None) -> tuple[str | None, str]:
    try:
        _names.check(path)
    except InvalidNameError as error:
        return None, str(error)
    if asked is None and undecided(entry.shape):
        return None, "the module is not built, so nothing tells the order of axes: build it, or say layout='same'"
    rule = asked or "same"
    return rule, _how(rule, entry, RULES[rule].shape(entry.shape), entry.dtype)


def _casts(found: torch.dtype, wanted: torch.dtype) -> bool:
    if found.is_floating_point and wanted.is_floating_point:
        return True
    try:
        return found == wanted or (torch.promote_types(found, wanted) == wanted and found != torch.bool)
    except RuntimeError:  # no promotion is defined for some narrow dtypes
        return False


def _how(rule: str, entry: Entry, wanted: Shape, dtype: torch.dtype) -> str:
    moved = f"{rule}: {entry.shape} -> {wanted}" if rule != "same" else ""
    cast = f"{dtype_name(entry.dtype)} -> {dtype_name(dtype)}" if entry.dtype != dtype else ""
    return ", ".join(filter(None, (moved, cast)))


# Writing -----------------------------------------------------------------------------------------------------------


def _write(store: VariableStore, steps: list[_Step]) -> None:
    """Read and check everything once, then write: a damaged file must not leave a module half loaded."""
    for step in _shown(steps, "checking"):
        step.entry.read()
    made: list[str] = []
    with store.lock, torch.no_grad():
        try:
            for step in _shown(steps, "loading"):
                value = step.entry.read()
                if step.target is None:
                    made.append(step.path)
                    shape = RULES[step.rule].shape(step.entry.shape)
                    like = torch.empty(shape, dtype=value.dtype, device="meta")
                    write(step.rule, value, store.make_like(step.path, like))
                elif len(step.target.pieces) == 1:
                    write(step.rule, value, step.target.pieces[0][0])
                else:
                    value = RULES[step.rule].convert(value)
                    for tensor, axis, start in step.target.pieces:
                        tensor.copy_(value.narrow(axis, start, tensor.shape[axis]))
        except BaseException:
            for path in made:
                store.drop(path)
            raise


def _shown(steps: list[_Step], what: str) -> Iterator[_Step]:
    """The steps, with a progress bar if standard error is a terminal."""
    try:
        from tqdm import tqdm
    except ImportError:
        return iter(steps)
    return iter(tqdm(steps, desc=what, unit="variable", disable=None, leave=False))
