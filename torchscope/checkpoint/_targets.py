"""The variables of a module that a checkpoint may hold, and the tensors that they are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .._variables.identity import in_modules, is_computed
from .._variables.store import VariableStore
from ._layout import Shape


class Target(NamedTuple):
    """A variable that exists: its shape and dtype, and the tensors that it is made of."""

    shape: Shape
    dtype: torch.dtype
    pieces: list[tuple[Tensor, int, int]]  # each with the axis that the variable is cut along, and where it begins
    computed: bool = False  # from others: what is written into it is lost
    torchs_gates: int = 0  # how many gates it has, if it is a weight of torch.nn.LSTM, GRU or a cell of these


def targets_of(store: VariableStore, names: Mapping[str, str]) -> dict[str, Target]:
    """Each variable that a checkpoint may hold: parameters, buffers that are saved, and what is in layers.

    A variable in parts is one, as TensorFlow saves it, unless the checkpoint has its parts by name.
    """
    targets: dict[str, Target] = {}
    whole = {path: parts for path, parts in store.parts.items() if f"{path}/part_0" not in names}
    of = {f"{path}/part_{n}": (path, n) for path, parts in whole.items() for n in range(len(parts.sizes))}
    for spec, tensor in store.select():
        if not spec.persistent:
            continue
        path, n = of.get(spec.path, (spec.path, 0))
        computed = is_computed(store, spec.path)
        if path != spec.path:
            parts = whole[path]
            target = targets.get(path, Target(parts.shape, tensor.dtype, []))
            target.pieces.append((tensor, parts.axis, sum(parts.sizes[:n])))
            targets[path] = target._replace(computed=target.computed or computed)
        else:
            targets[path] = Target(tuple(tensor.shape), tensor.dtype, [(tensor, 0, 0)], computed)
    for name, tensor, saved in in_modules(store):
        if not saved:
            continue
        gates = _gates_of(store.get_submodule(name.rpartition(".")[0])) if tensor.dim() else 0
        targets[name] = Target(tuple(tensor.shape), tensor.dtype, [(tensor, 0, 0)], torchs_gates=gates)
    return targets


def _gates_of(layer: nn.Module) -> int:
    """How many gates a layer of torch's has, if it is a recurrent one."""
    if isinstance(layer, (nn.LSTM, nn.LSTMCell)):
        return 4
    return 3 if isinstance(layer, (nn.GRU, nn.GRUCell)) else 0
