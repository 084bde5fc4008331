"""Processes that would start from other numbers are found out where a module is built."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from .._torch import is_as_noted, shared_notes
from .._variables.module_tree import tensors_of
from .._variables.sharding import is_sharded
from .._variables.store import VariableStore
from ..errors import ArgumentValueError

_SOME = 64  # elements of a tensor that are looked at one by one; of all there is the sum
_built: dict[str, int] = {}  # how many modules of the same variables this process built


def refuse_apart(store: VariableStore) -> None:
    """Refuse a module that was just built, without a seed, from other numbers than on the process that built it first.

    Nothing waits for another process: the first one leaves a note, the others read it.

    Raises:
        ArgumentValueError: this is another one, and its numbers differ.
    """
    notes = None if store.seed is not None else shared_notes()
    if notes is None:
        return
    names, numbers = hashlib.blake2b(store.owner.encode()), hashlib.blake2b()
    for path, tensor in tensors_of(store):
        names.update(f"{path} {tuple(tensor.shape)} {tensor.dtype}\0".encode("utf-8", "surrogatepass"))
        if tensor.numel() and not tensor.is_meta and not is_sharded(tensor) and not is_lazy(tensor):
            numbers.update(first_bytes(tensor, _SOME))
            numbers.update(repr(complex(tensor.detach().sum(dtype=_widest(tensor)))).encode())
    module = names.hexdigest()
    _built[module] = _built.get(module, 0) + 1
    if not is_as_noted(notes, f"{module}/{_built[module]}", numbers.hexdigest()):
        rank, size = torch.distributed.get_rank(), torch.distributed.get_world_size()
        mend = (
            f"Process {rank} of {size} would start {store.owner} from other numbers than the process that built it "
            f"first. Give {store.owner} a seed=, or call torch.manual_seed with one number on all processes before it "
            "is built. Where each is to have its own numbers, say so: seed=rank."
        )
        raise ArgumentValueError.of("seed", None, mend)


def first_bytes(tensor: Tensor, most: int) -> bytes:
    """The first elements of a tensor as they lie in memory, to tell whether other processes have the same."""
    some = tensor.detach().reshape(-1)[:most].cpu().contiguous()
    return bytes(some.view(torch.uint8).tolist()) if some.numel() else b""


def _widest(tensor: Tensor) -> torch.dtype:
    if tensor.is_complex():
        return torch.complex128
    return torch.float64 if tensor.is_floating_point() else torch.int64
