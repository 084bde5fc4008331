"""How variables are laid out over processes: what these floors ask of it. ``torchscope.distributed`` has the answers.

A variable that is laid out is a ``DTensor``: it has the shape that was declared, and each process holds a part. It is
made so from the first: the store hands the numbers of one new variable at a time to :meth:`Sharding.place`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Self, TypeVar, cast

import torch
from torch import Tensor, nn

from .spec import VariableSpec

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor

R = TypeVar("R")
T = TypeVar("T")


class Sharding(ABC):
    """How variables are laid out; it never changes, so copies share it."""

    @abstractmethod
    def refuse_elsewhere(self, path: str, of_store: ModuleSharding | None) -> None:
        """Raise if a module is not laid out over the processes over which a variable of it is to be."""

    @abstractmethod
    def seed(self, owner: str) -> int:
        """A seed that all processes have in common, for a module that has none."""

    @abstractmethod
    def place(self, spec: VariableSpec, tensor: Tensor) -> Tensor:
        """The part of a new variable that this process holds, from the numbers of the whole, which all have."""

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self


class ModuleSharding(Sharding):
    """How the variables of a store are laid out."""

    @abstractmethod
    def empty(self, spec: VariableSpec, device: object) -> Tensor:
        """The part of a variable without numbers, of which no process ever has the whole."""

    @abstractmethod
    def place_module(self, path: str, module: nn.Module) -> None:
        """Lay out the tensors of a layer that was just made."""

    @abstractmethod
    def check(self, root: nn.Module) -> None:
        """Raise if it does not fit the variables of a module, now that a build of it is complete."""

    @abstractmethod
    def run(
        self, function: Callable[..., R], root: object, args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> R:
        """Run a call of the module: plain tensors go in and come out."""

    @abstractmethod
    def enter_block(self) -> None:
        """A block of ``as_default()`` begins: what is in it meets the variables as they are."""


def is_sharded(tensor: Tensor | None) -> bool:
    """Whether a tensor is a ``DTensor``, of which this process may hold a part."""
    kind = type(tensor)  # of most it says enough: looking for what is not there takes torch a microsecond
    return kind is not nn.Parameter and kind is not Tensor and hasattr(tensor, "to_local")


def holds_parts(module: nn.Module) -> bool:
    """Whether a parameter or buffer that a module holds itself is sharded."""
    return any(map(is_sharded, module._parameters.values())) or any(map(is_sharded, module._buffers.values()))


def fill_part(tensor: Tensor, fill: Callable[[Tensor], object]) -> None:
    """Fill what this process holds of a ``DTensor`` with its part of what ``fill`` fills the whole with.

    The whole is there on the CPU for that moment. A tensor that is not sharded is filled as it is.
    """
    if not is_sharded(tensor):
        fill(tensor)
        return
    tensor = cast("DTensor", tensor)
    whole = torch.empty(tensor.shape, dtype=tensor.dtype, device="meta" if tensor.is_meta else "cpu")
    fill(whole)
    if not tensor.is_meta:
        tensor.to_local().copy_(local_part(whole, tensor))


def local_part(whole: Tensor, like: DTensor) -> Tensor:
    """What this process holds of a tensor that all have, if it is laid out as another; nothing is sent."""
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None).to_local()


def whole_of(tensor: Tensor) -> Tensor:
    """All of a tensor, gathered from all processes if it is laid out; of one without numbers, one without numbers."""
    if not is_sharded(tensor):
        return tensor
    laid_out = cast("DTensor", tensor)
    return torch.empty(tensor.shape, dtype=tensor.dtype, device="meta") if tensor.is_meta else laid_out.full_tensor()


def laid_out_as(
    state: Mapping[str, T], modules: Iterable[nn.Module], tensors: Iterable[tuple[str, Tensor]]
) -> Mapping[str, T]:
    """A ``state_dict`` whose plain tensors are laid out as those of the modules that they go to, by their keys."""
    if not any(map(holds_parts, modules)):  # most often: then no key is put together
        return state
    changed: dict[str, T] = {}
    for key, tensor in tensors:
        if not is_sharded(tensor):
            continue
        value = state.get(key)
        if isinstance(value, Tensor) and not is_sharded(value) and value.shape == tensor.shape:
            from torch.distributed.tensor import distribute_tensor

            laid_out = cast("DTensor", tensor)
            mesh, placements = laid_out.device_mesh, laid_out.placements
            changed[key] = distribute_tensor(value.detach(), mesh, placements, src_data_rank=None)  # type: ignore[assignment]
    if not changed:
        return state
    laid = OrderedDict({**state, **changed})
    if hasattr(state, "_metadata"):  # the versions of the modules, as torch keeps them
        laid._metadata = state._metadata  # type: ignore[attr-defined]
    return laid
