"""Loading a checkpoint into a module by name: first all is planned and checked, then it is written."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping

import torch

from .._modules.scoped_module import ScopedModule
from .._torch import end_gathering
from .._variables.store import VariableStore
from ..errors import ArgumentTypeError, ArgumentValueError, CheckpointError
from ._entry import Entry
from ._fit import rule_for
from ._layout import Layout, Rules
from ._matching import AssignmentMap, Rename, Sources, average_of, is_below, renamed, sources
from ._open import Checkpoint, open
from ._recurrent import Recurrent
from ._report import LoadReport
from ._roles import role, variable_name
from ._targets import Target, targets_of
from ._write import Step, write_all


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
        module: the module. Of a variable that is sharded, each process writes its part, and reads no more than that
            where the file has no checksums and no other dtype.
        path: whatever :func:`open` takes, or what it returned; also a file of this module's own ``state_dict``, whose
            keys are ``variables.<path>``.
        assignment_map: from names or scopes of the checkpoint to those of the module, as in TensorFlow's
            ``init_from_checkpoint``: ``{"old/scope/": "new/scope/", "w": "a/w", "/": "tower/"}``, the trailing slash as
            you like. Only what it names is loaded. By default names are the same on both sides, and all are loaded.
        rename: regular expressions and what ``re.sub`` puts in their place, in order, for each name of the checkpoint
            before anything else: ``{"weights$": "kernel"}``. ``None`` in its place leaves out the arrays with such a
            name.
        strict: raise if a variable is left without an array, an array without a variable, or one does not fit.
            ``False`` loads what fits and reports the rest; if nothing fits, it raises too.
        prefer_ema: take ``<name>/ExponentialMovingAverage`` where there is one, instead of ``<name>``.
        layout: the order of axes, as the name of a rule for all, or patterns of the module's paths with a rule each
            (``*`` within a segment, ``**`` across; of several that select a path the last one decides). ``"same"``
            leaves an array as it is; ``"dense"`` is ``[in, out]`` to ``[out, in]``; ``"conv"`` is ``[*k, in, out]`` to
            ``[out, in, *k]``, for transposed convolutions ``[*k, out, in]`` to ``[in, out, *k]``; ``"depthwise"`` is
            ``[*k, in, multiplier]`` to ``[in * multiplier, 1, *k]``. With gates along its last axis, ``"lstm"`` is
            TensorFlow 1's kernel or bias, gates i, j, f, o, to torch's i, f, g, o along the first; ``"conv_lstm"`` is
            the same of a convolution; ``"keras_gru"`` is the kernel, recurrent kernel or bias of Keras' GRU, gates z,
            r, h, to torch's r, z, n. A rule leaves arrays of a rank that it is not for as they are. Without one it is
            inferred from the shapes where only one fits, and where several do, as with a square kernel, or with the
            gates of a recurrent layer, you are asked. A module of ``layout="tf"`` keeps all as they are, but for what
            lies in layers of ``get_module``.

    Slots of optimizers, counts of steps and moving averages that no variable has the name of are left out and named.
    Floating dtypes are converted to the variable's.

    Returns:
        What was done with each variable and array.

    Raises:
        CheckpointError: strict, and something does not fit, or nothing does: the message is the whole report, and
            ``error.report`` is it. Or the file is damaged. The module is then as it was.
        ArgumentValueError: ``assignment_map`` or ``layout`` names what is not there; no such rule; ``rename`` makes
            two names one.
    """
    if not isinstance(module, ScopedModule):
        raise ArgumentTypeError.of("module", module, "Give a ScopedModule; another module loads a state_dict.")
    saved = path if isinstance(path, Checkpoint) else open(path)
    store = module.variables
    end_gathering(store)
    names, left_out = renamed(saved, rename)
    if assignment_map is not None and not (isinstance(assignment_map, Mapping) and assignment_map):
        mend = "Give a dict from names or scopes of the checkpoint to those of the module, or leave it out."
        raise ArgumentTypeError.of("assignment_map", assignment_map, mend)
    if not store.built and torch.empty(0, device=store.device).is_meta:
        mend = "It is on the meta device and not built: build it, then call to_empty(device=...)."
        raise ArgumentValueError.of("module", store.owner, mend)
    targets = targets_of(store, names)
    found = sources(store, targets, names, assignment_map, prefer_ema=bool(prefer_ema))
    rules = Rules(layout, found.of, _kept(store, found.of))
    steps, report = _planned(store, saved, names, targets, found.of, rules, bool(prefer_ema))
    report.skipped.update(dict.fromkeys(left_out, "left out by rename"))
    _account_for_the_rest(report, names, found, bool(prefer_ema))
    loads_nothing = not report.loaded and bool(targets or found.of)
    if loads_nothing or (strict and not (report.complete and (report.loaded or store.built))):
        raise _misfit(saved.file, report)
    if not write_all(store, steps, saved.file, all_there_is=strict and assignment_map is None):
        return load_checkpoint(  # another thread has built the module: now its variables are filled
            module, saved, assignment_map, rename=rename, strict=strict, prefer_ema=prefer_ema, layout=layout
        )
    report.done = True
    return report


def _planned(
    store: VariableStore,
    saved: Checkpoint,
    names: Mapping[str, str],
    targets: Mapping[str, Target],
    found: Mapping[str, str],
    rules: Rules,
    prefer_ema: bool,
) -> tuple[list[Step], LoadReport]:
    """What is to be done for each variable, and the report of what fits."""
    report = LoadReport(renamed={array: name for name, array in names.items() if name != variable_name(array)})
    steps, recurrent, tied = [], Recurrent(saved), store.tied()
    for target, name in found.items():
        name = average_of(name, names) if prefer_ema else name
        first = tied.get(target, "")
        array_of_first = names.get(found.get(first, ""))
        if name not in names and array_of_first is None:
            report.missing.append(target)
            continue
        if name not in names:
            report.loaded[target] = str(array_of_first), f"it is one tensor with '{first}'"
            continue
        entry = saved[names[name]]
        if array_of_first is not None and not _same(entry, saved[array_of_first]):
            report.refused[target] = entry.path, f"it is one tensor with '{first}', whose array is another"
            continue
        rule, words = rule_for(store, target, entry, targets.get(target), rules, recurrent)
        if rule is None:
            report.refused[target] = entry.path, words
            continue
        steps.append(Step(target, entry, rule, targets.get(target)))
        report.loaded[target] = entry.path, words
    return steps, report


def _kept(store: VariableStore, paths: Collection[str]) -> list[str]:
    """Those of the paths whose arrays have the axes that the module declares: all but what lies in torch's layers."""
    layers = tuple(f"{path}." for path in store.module_made_at)
    return [path for path in paths if not path.startswith(layers)] if store.layout == "tf" else []


def _same(entry: Entry, other: Entry) -> bool:
    """Whether two arrays are equal, which are for one tensor."""
    return entry.shape == other.shape and entry.dtype == other.dtype and bool(torch.equal(entry.read(), other.read()))


def _account_for_the_rest(report: LoadReport, names: Mapping[str, str], found: Sources, prefer_ema: bool) -> None:
    """Say of each array that no variable is loaded from whether it is unused, or skipped and why."""
    used = {entry for entry, _ in (*report.loaded.values(), *report.refused.values())}
    wanted = set(found.of.values())
    for name, array in names.items():
        if array in used or not any(is_below(name, scope) for scope in found.scopes):
            continue
        what = role(name)
        if what is None and prefer_ema and average_of(name, names) != name and name in wanted:
            what = "its moving average is taken"
        if what is None:
            report.unused.append(array)
        else:
            report.skipped[array] = what


def _misfit(file: str, report: LoadReport) -> CheckpointError:
    """The error of a checkpoint that does not fit; no frame keeps it, and with it what was opened, in a cycle."""
    problem = "it does not fit the module, and nothing was loaded"
    error = CheckpointError.of(file, problem, f"{report}\n{_how_to_mend(report)}")
    error.report = report
    return error


def _how_to_mend(report: LoadReport) -> str:
    ways = []
    if report.missing or report.unused:
        ways.append("rename= and assignment_map= match names")
    if report.refused:
        ways.append("layout= says the order of axes")
    if not report.loaded:  # strict=False would load nothing either
        return f"{' and '.join(ways) or 'The file has no array for a variable'}."
    return f"{', '.join(ways)}, and strict=False loads what fits."
