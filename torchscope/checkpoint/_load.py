"""Loading a checkpoint into a module by name: first all is planned and checked, then it is written."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._modules.scoped_module import ScopedModule
from .._names import paths
from .._scopes.scope import VariableScope
from .._variables.identity import in_modules, is_computed, path_of
from .._variables.store import VariableStore
from ..errors import ArgumentTypeError, ArgumentValueError, CheckpointError, InvalidNameError
from ._entry import Entry, dtype_name
from ._layout import RULES, Layout, Rules, Shape, fitting, has_gates, undecided, write
from ._open import Checkpoint, open
from ._report import LoadReport
from ._roles import AVERAGE, role, variable_name

AssignmentMap = Mapping[str, str | VariableScope | Tensor]
Rename = Mapping[str, str | None] | Iterable[tuple[str, str | None]]


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
    >>> conv1 = "image_filters/conv1"
    >>> only = {f"{conv1}/weights": f"{conv1}/weights", f"{conv1}/biases": f"{conv1}/biases"}
    >>> print(load_checkpoint(model, "tests/data/image_filters.ckpt", only))
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
            before anything else: ``{"weights$": "kernel"}``. ``None`` in its place leaves out the arrays with such a
            name.
        strict: raise if a variable is left without an array, an array without a variable, or one does not fit.
            ``False`` loads what fits and reports the rest.
        prefer_ema: take ``<name>/ExponentialMovingAverage`` where there is one, instead of ``<name>``.
        layout: the order of axes, as the name of a rule for all, or patterns of the module's paths with a rule each
            (``*`` within a segment, ``**`` across; of several that select a path the last one decides). ``"same"``
            leaves an array as it is; ``"dense"`` is ``[in, out]`` to ``[out, in]``; ``"conv"`` is ``[*k, in, out]`` to
            ``[out, in, *k]``, for transposed convolutions ``[*k, out, in]`` to ``[in, out, *k]``; ``"depthwise"`` is
            ``[*k, in, multiplier]`` to ``[in * multiplier, 1, *k]``; ``"lstm"`` is TensorFlow's kernel or bias with
            gates i, j, f, o along its last axis to torch's i, f, g, o along the first. A rule leaves arrays of a rank
            that it is not for as they are. Without one it is inferred from the shapes where only one fits, and where
            several do, as with a square kernel, or with the gates of what is called an LSTM, you are asked.

    Slots of optimizers, counts of steps and moving averages that no variable has the name of are left out and named.
    Floating dtypes are converted to the variable's.

    Returns:
        What was done with each variable and array.

    Raises:
        CheckpointError: strict, and something does not fit: the message is the whole report, ``error.report`` is it. Or
            the file is damaged. The module is then as it was.
        ArgumentValueError: ``assignment_map`` or ``layout`` names what is not there; no such rule; ``rename`` makes
            two names one.
    """
    if not isinstance(module, ScopedModule):
        raise ArgumentTypeError.of("module", module, "Give a ScopedModule; another module loads a state_dict.")
    saved = path if isinstance(path, Checkpoint) else open(path)
    store = module.variables
    names, left_out = renamed(saved, rename)
    if assignment_map is not None and not (isinstance(assignment_map, Mapping) and assignment_map):
        mend = "Give a dict from names or scopes of the checkpoint to those of the module, or leave it out."
        raise ArgumentTypeError.of("assignment_map", assignment_map, mend)
    if not store.built and torch.empty(0, device=store.device).is_meta:
        mend = "It is on the meta device and not built: build it, then call to_empty(device=...)."
        raise ArgumentValueError.of("module", store.owner, mend)
    targets = _targets(store, names)
    report = LoadReport(renamed={array: name for name, array in names.items() if name != variable_name(array)})
    steps = []
    sources, scopes = _sources(store, targets, names, assignment_map, prefer_ema=bool(prefer_ema))
    rules = Rules(layout, sources)
    for target, name in sources.items():
        name = average_of(name, names) if prefer_ema else name
        if name not in names:
            report.missing.append(target)
            continue
        entry = saved[names[name]]
        rule, words = _rule_for(store, target, entry, targets.get(target), rules)
        if rule is None:
            report.refused[target] = entry.path, words
            continue
        steps.append(_Step(target, entry, rule, targets.get(target)))
        report.loaded[target] = entry.path, words
    used = {entry for entry, _ in (*report.loaded.values(), *report.refused.values())}
    report.skipped.update(dict.fromkeys(left_out, "left out by rename"))
    for name, array in names.items():
        if array in used or not any(_is_below(name, scope) for scope in scopes):
            continue
        what = role(name)
        if what is None and prefer_ema and average_of(name, names) != name and name in sources.values():
            what = "its moving average is taken"
        if what is None:
            report.unused.append(array)
        else:
            report.skipped[array] = what
    if strict and not (report.complete and (report.loaded or store.built)):
        error = CheckpointError.of(
            saved.file, "it does not fit the module, and nothing was loaded", f"{report}\n{_how_to_mend(report)}"
        )
        error.report = report
        raise error
    _write(store, steps, saved.file)
    report.done = True
    if strict and assignment_map is None and not store.built and store.specs:
        store.made_strictly = True
    return report


def _how_to_mend(report: LoadReport) -> str:
    ways = []
    if report.missing or report.unused:
        ways.append("rename= and assignment_map= match names")
    if report.refused:
        ways.append("layout= says the order of axes")
    return f"{', '.join(ways)}, and strict=False loads what fits."


# Names -------------------------------------------------------------------------------------------------------------


def renamed(saved: Checkpoint, rename: Rename | None) -> tuple[dict[str, str], list[str]]:
    """Each array of the checkpoint by the name that it goes by here, and those that are left out."""
    patterns: Any = list(rename.items() if isinstance(rename, Mapping) else rename or ())
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
        computed = is_computed(store, spec.path)
        if path != spec.path:
            parts = whole[path]
            target = targets.get(path, _Target(parts.shape, tensor.dtype, []))
            target.pieces.append((tensor, parts.axis, sum(parts.sizes[:n])))
            targets[path] = target._replace(computed=target.computed or computed)
        else:
            targets[path] = _Target(tuple(tensor.shape), tensor.dtype, [(tensor, 0, 0)], computed)
    for name, tensor in in_modules(store):
        targets[name] = _Target(tuple(tensor.shape), tensor.dtype, [(tensor, 0, 0)])
    return targets


def mapped(names: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """What an assignment map makes of the names of a checkpoint, where there is no module: new name -> name."""
    return _sources(None, {}, names, given)[0]


def _sources(
    store: VariableStore | None,
    targets: Mapping[str, _Target],
    names: Mapping[str, str],
    given: AssignmentMap | None,
    *,
    prefer_ema: bool = False,
) -> tuple[dict[str, str], list[str]]:
    """For each variable to be loaded, the name of its array, whether there is one or not; and the scopes they are in.

    In a module that is not built yet, each array of a model is for a variable.
    """
    built = store is not None and store.built
    new = [] if built else [name for name in names if role(name) is None]
    if prefer_ema and not built:  # of some there is nothing but the average
        averaged = [name.removesuffix(AVERAGE) for name in names if name.endswith(AVERAGE)]
        new += [name for name in averaged if name not in names]
    if given is None:
        return {path: path for path in (*targets, *new)}, [""]
    sources: dict[str, str] = {}
    scopes = []

    def take(target: str, source: str, asked: Any) -> None:
        if sources.setdefault(target, source) != source:
            mend = f"Both '{sources[target]}' and '{source}' would go to '{target}'."
            raise ArgumentValueError.of("assignment_map", asked, mend)

    for asked, to in given.items():
        if not isinstance(asked, str):
            raise ArgumentTypeError.of("assignment_map", asked, "Its keys are names or scopes of the checkpoint.")
        source, target = asked.strip("/"), _target(store, to)
        is_scope = any(_is_below(name, source) for name in names)
        if source in names and not (asked.endswith("/") and is_scope):
            if built and target not in targets:
                mend = f"The module has no variable '{target}'. {paths.say_nearest(target, targets)}"
                raise ArgumentValueError.of("assignment_map", {asked: to}, mend)
            take(target, source, {asked: to})
            continue
        if not is_scope:
            mend = f"The checkpoint has no '{source}', neither array nor scope. {paths.say_nearest(source, names)}"
            raise ArgumentValueError.of("assignment_map", {asked: to}, mend)
        scopes.append(source)
        rests = [path.removeprefix(target).strip("/") for path in targets if _is_below(path, target)]
        rests += [name.removeprefix(source).strip("/") for name in new if _is_below(name, source)]
        if not rests:
            mend = f"The module has no variables below '{target}'. {paths.say_nearest(target, targets)}"
            raise ArgumentValueError.of("assignment_map", {asked: to}, mend)
        for rest in rests:
            take(paths.join(target, rest), paths.join(source, rest), {asked: to})
    return sources, scopes


def _is_below(path: str, scope: str) -> bool:
    return not scope or path.startswith(scope + "/")


def _target(store: VariableStore | None, to: object) -> str:
    if isinstance(to, Tensor) and store is not None:
        return path_of(store, to)
    if isinstance(to, VariableScope):
        return to.name
    if not isinstance(to, str):
        raise ArgumentTypeError.of("assignment_map", to, "Its values are names or scopes of the module.")
    return to.strip("/")


# Shapes ------------------------------------------------------------------------------------------------------------


def _rule_for(
    store: VariableStore, path: str, entry: Entry, target: _Target | None, rules: Rules
) -> tuple[str | None, str]:
    """The rule by which an array becomes a variable, and how it does in words; or ``None``, and why it cannot."""
    if entry.dtype is bytes:
        return None, "it holds strings"
    asked = rules.asked(path)
    if target is None and path in store.module_made_at:
        return None, "a module that get_module made lives there"
    if target is None:
        return _rule_for_new(path, entry, asked)
    if target.computed:
        return None, "the variable is computed (parametrized or pruned)"
    if any(tensor.is_meta for tensor, _, _ in target.pieces):
        return None, "the variable is on the meta device: call to_empty(device=...) first"
    if not _casts(entry.dtype, target.dtype):
        return None, f"{dtype_name(entry.dtype)} does not become {dtype_name(target.dtype)}"
    wanted = target.shape
    exactly = asked is not None and (RULES[asked].takes(entry.shape) or rules.names(path))
    fits = [str(asked)] if exactly else fitting(path, entry.shape, wanted)
    if exactly and not RULES[str(asked)].takes(entry.shape):
        return None, f"layout {asked!r} is for {RULES[str(asked)].wants}, and this has shape {entry.shape}"
    if not fits:
        return None, f"{entry.shape} is not {wanted} in any layout that could be meant"
    if len(fits) > 1:
        return None, f"{entry.shape} may be {' or '.join(map(repr, fits))}: say which, layout={{'{path}': ...}}"
    made = RULES[fits[0]].shape(entry.shape)
    if made != wanted:
        return None, f"layout {asked!r} makes {made} of {entry.shape}, and the variable is {wanted}"
    parts = f"in {len(target.pieces)} parts" if len(target.pieces) > 1 else ""
    return fits[0], ", ".join(filter(None, (_how(fits[0], entry, wanted, target.dtype), parts)))


def _rule_for_new(path: str, entry: Entry, asked: str | None) -> tuple[str | None, str]:
    try:
        paths.check(path)
    except InvalidNameError as error:
        return None, str(error)
    applies = asked is not None and RULES[asked].takes(entry.shape)
    if not applies and undecided(path, entry.shape):
        how = f"say layout={{'{path}': 'lstm'}}" if has_gates(path, entry.shape) else "build it, or say layout='same'"
        return None, f"the module is not built, so nothing tells the order of axes: {how}"
    rule = str(asked) if applies else "same"
    return rule, _how(rule, entry, RULES[rule].shape(entry.shape), entry.dtype)


def _casts(found: torch.dtype, wanted: torch.dtype) -> bool:
    if found.is_floating_point and wanted.is_floating_point:
        return True
    if found == wanted or (found.is_complex and wanted.is_complex):
        return True
    whole = not (found.is_floating_point or found.is_complex or wanted.is_floating_point or wanted.is_complex)
    try:
        return whole and found != torch.bool and torch.promote_types(found, wanted) == wanted
    except RuntimeError:  # no promotion is defined for some unsigned dtypes
        return False


def _how(rule: str, entry: Entry, wanted: Shape, dtype: torch.dtype) -> str:
    moved = f"{rule}: {entry.shape} -> {wanted}" if rule != "same" else ""
    cast = f"{dtype_name(entry.dtype)} -> {dtype_name(dtype)}" if entry.dtype != dtype else ""
    return ", ".join(filter(None, (moved, cast)))


# Writing -----------------------------------------------------------------------------------------------------------


def _write(store: VariableStore, steps: list[_Step], file: str) -> None:
    """Read and check everything once, then write: a damaged file must not leave a module half loaded."""
    for step in _shown(steps, "checking"):
        _refuse_overflow(step, step.entry.read(), file)
    made: list[str] = []
    with store.lock, torch.no_grad():
        try:
            interrupt = None
            for step in _shown(steps, "loading"):
                try:
                    _write_one(store, step, made)
                except KeyboardInterrupt as error:
                    if step.target is None:  # what was made is dropped
                        raise
                    interrupt = error  # what was written cannot be taken back: go on to the end, then stop
                    _write_one(store, step, made)
            if interrupt is not None:
                raise interrupt
        except BaseException:
            for path in made:
                store.drop(path)
            raise


def _write_one(store: VariableStore, step: _Step, made: list[str]) -> None:
    value = step.entry.read()
    if step.target is None:
        made.append(step.path)
        like = torch.empty(RULES[step.rule].shape(step.entry.shape), dtype=value.dtype, device="meta")
        write(step.rule, value, store.make_like(step.path, like))
    elif len(step.target.pieces) == 1:
        write(step.rule, value, step.target.pieces[0][0])
    else:
        value = RULES[step.rule].convert(value)
        for tensor, axis, start in step.target.pieces:
            tensor.copy_(value.narrow(axis, start, tensor.shape[axis]))


def _refuse_overflow(step: _Step, value: Tensor, file: str) -> None:
    """Refuse a finite number that the variable's dtype cannot hold."""
    if step.target is None or not value.is_floating_point() or not value.numel():
        return
    most = torch.finfo(step.target.dtype).max
    if most < torch.finfo(value.dtype).max:
        largest = float(value.abs().masked_fill(value.isinf() | value.isnan(), 0).max())
        if largest > most:
            problem = f"it holds {largest:.6g}, and '{step.path}' of {dtype_name(step.target.dtype)} at most {most:.6g}"
            raise CheckpointError.of(file, problem, entry=step.entry.path)


def _shown(steps: list[_Step], what: str) -> Iterator[_Step]:
    """The steps, with a progress bar if standard error is a terminal."""
    try:
        from tqdm import tqdm
    except ImportError:
        return iter(steps)
    return iter(tqdm(steps, desc=what, unit="variable", disable=None, leave=False))
