"""The same start on all processes: one seed that they agree on, and the same of what they are told."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh

from .._torch import is_as_noted, shared_notes
from ..errors import ArgumentValueError

_agreed: dict[str, int] = {}  # how many modules of a name this process found a seed for


def agreed_seed(mesh: DeviceMesh, owner: str) -> int:
    """A seed that the first process of a mesh draws from torch's generator; the others draw one too, and take the
    first.

    Raises:
        ArgumentValueError: processes beside this mesh, of a larger one perhaps, agreed on another one.
    """
    seed = torch.randint(2**63 - 1, (), device="cpu").to(mesh.device_type)
    for dimension in range(mesh.ndim):  # along the first axis, then from those along the next
        group = mesh.get_group(dimension)
        dist.broadcast(seed, src=dist.get_global_rank(group, 0), group=group)
    _refuse_other_meshes(int(seed), owner)
    return int(seed)


def _refuse_other_meshes(seed: int, owner: str) -> None:
    notes = shared_notes()
    if notes is None:
        return
    _agreed[owner] = _agreed.get(owner, 0) + 1
    if not is_as_noted(notes, f"seed/{owner}/{_agreed[owner]}", str(seed)):
        mend = (
            f"{owner} has no seed, and processes beside this mesh agreed on another one for it. Give it a seed=, or "
            "call torch.manual_seed with one number on all processes before shard."
        )
        raise ArgumentValueError.of("seed", None, mend)


def refuse_different(mesh: DeviceMesh, told: Mapping[str, object]) -> None:
    """Refuse what processes of a mesh are told differently.

    Raises:
        ArgumentValueError: the message says which argument it is.
    """
    mine = torch.tensor([_digest(value) for value in told.values()], dtype=torch.int64, device=mesh.device_type)
    for name, is_same in zip(told, same_along(mesh, mine, range(mesh.ndim)), strict=True):
        if not is_same:
            mend = "It is another one on another process of the mesh; all have to be told the same."
            raise ArgumentValueError.of(name, told[name], mend)


def same_along(mesh: DeviceMesh, mine: Tensor, dimensions: range | list[int]) -> list[bool]:
    """Of each number of a vector, whether all processes along some dimensions of a mesh have it alike."""
    same = torch.ones_like(mine, dtype=torch.bool)
    for dimension in dimensions:
        if dist.get_backend(mesh.get_group(dimension)) == "fake":  # of processes that are not there
            continue
        theirs = gathered(mesh, dimension, mine)
        same &= (theirs == mine).all(0)
    return [bool(each) for each in same]


def gathered(mesh: DeviceMesh, dimension: int, mine: Tensor) -> Tensor:
    """The vectors of all processes along a dimension, one row each."""
    rows = [torch.empty_like(mine) for _ in range(mesh.size(dimension))]
    dist.all_gather(rows, mine, group=mesh.get_group(dimension))
    return torch.stack(rows)


def _digest(value: object) -> int:
    """A number for a value as it is written; of functions it has the names."""
    written = repr(_written(value)).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(written, digest_size=8).digest(), "little", signed=True)


def _written(value: object) -> object:
    if isinstance(value, Mapping):
        return [(_written(key), _written(each)) for key, each in value.items()]
    return getattr(value, "__qualname__", type(value).__qualname__) if callable(value) else repr(value)
