"""The variables of a module that a checkpoint may hold, and the tensors that they are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from .._variables.identity import in_modules, is_computed
from .._variables.store import VariableStore
from ._layout import Shape


class Target(NamedTuple):
    """A variable that exists: its shape and dtype, and the tensors that it is made of."""

    shape: Shape
    dtype: torch.dtype
    pieces: list[tuple[Tensor, int, int]]  # each with the axis that the variable is cut along, and where it begins
    computed: bool = False  # from others: what is written into it is lost


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
        targets[name] = Target(tuple(tensor.shape), tensor.dtype, [(tensor, 0, 0)])
    return targets
