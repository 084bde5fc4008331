"""By which rule an array becomes a variable, or why it cannot."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from .._names import paths
from .._variables.conversion import converts
from .._variables.store import VariableStore
from ..errors import InvalidNameError
from ._entry import Entry, dtype_name
from ._layout import RULES, Rules, Shape, fitting, undecided
from ._recurrent import Recurrent
from ._roles import is_ours
from ._targets import Target


def rule_for(
    store: VariableStore, path: str, entry: Entry, target: Target | None, rules: Rules, recurrent: Recurrent
) -> tuple[str | None, str]:
    """The rule by which an array becomes a variable, and how it does in words; or ``None``, and why it cannot."""
    if entry.dtype is bytes:
        return None, "it holds strings"
    asked, problem = recurrent.asked(rules, entry, path)
    if problem is not None:
        return None, problem
    asked = asked or ("same" if is_ours(entry.path) else None)
    if target is None and path in store.module_made_at:
        return None, "a module that get_module made lives there"
    if target is None:
        return _rule_for_new(path, entry, asked, recurrent.rule(entry, path))
    if target.computed:
        return None, "the variable is computed (parametrized or pruned)"
    if any(tensor.is_meta for tensor, _, _ in target.pieces):
        return None, "the variable is on the meta device: call to_empty(device=...) first"
    if any(size > 1 and not stride for tensor, _, _ in target.pieces for size, stride in _axes(tensor)):
        return None, "the variable is an expanded tensor, of which many elements are one"
    if not converts(entry.dtype, target.dtype):
        return None, f"{dtype_name(entry.dtype)} does not become {dtype_name(target.dtype)}"
    wanted = target.shape
    exactly = asked is not None and (RULES[asked].takes(entry.shape) or rules.names(path))
    fits = [str(asked)] if exactly else _fits(path, entry, target, recurrent)
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


def _fits(path: str, entry: Entry, target: Target, recurrent: Recurrent) -> list[str]:
    """The rules that could be meant; one, where the order of the gates is known on both sides."""
    if target.torchs_gates and recurrent.known(entry) not in (0, target.torchs_gates):
        return []  # a GRU is no LSTM, whatever the shapes are
    rule = recurrent.rule(entry, path, into_torchs=target.torchs_gates)
    fits = fitting(entry.shape, target.shape, rule)
    return [rule] if rule in fits and target.torchs_gates and recurrent.known(entry) else fits


def _rule_for_new(path: str, entry: Entry, asked: str | None, gates: str | None) -> tuple[str | None, str]:
    try:
        paths.check_path(path)
    except InvalidNameError as error:
        return None, f"{str(error).splitlines()[0]} Use rename="
    applies = asked is not None and RULES[asked].takes(entry.shape)
    if not applies and undecided(entry.shape, gates):
        how = f"say layout={{'{path}': '{gates}'}}" if gates is not None else "build it, or say layout='same'"
        return None, f"the module is not built, so nothing tells the order of axes: {how}"
    rule = str(asked) if applies else "same"
    return rule, _how(rule, entry, RULES[rule].shape(entry.shape), entry.dtype)


def _axes(tensor: Tensor) -> Iterator[tuple[int, int]]:
    """The size and the stride of each axis; nothing of a tensor without strides."""
    return zip(tensor.shape, tensor.stride() if tensor.layout == torch.strided else (), strict=False)


def _how(rule: str, entry: Entry, wanted: Shape, dtype: torch.dtype) -> str:
    moved = f"{rule}: {entry.shape} -> {wanted}" if rule != "same" else ""
    cast = f"{dtype_name(entry.dtype)} -> {dtype_name(dtype)}" if entry.dtype != dtype else ""
    return ", ".join(filter(None, (moved, cast)))
