"""The boundary of a module that is laid out: plain tensors go in, are ``DTensor`` tensors inside, and come out plain.

Inside, a plain tensor that the code makes (a mask, positions) counts as one that all processes have. torch has a switch
for that, which is on in a thread from its first call of such a module on: gradients need it too, and torch puts the
switch back at each step of a backward pass to what it was when that began, so nothing else could have it on there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Replicate
from torch.distributed.tensor.placement_types import Placement

from .._torch import mix_with_plain, tree_map
from .._variables.sharding import is_sharded
from ._attention import attention_on_meta
from ._placements import Placements, for_shape, on_mesh

R = TypeVar("R")


class Boundary:
    """What goes in and out of the calls of a module that is laid out over a mesh."""

    def __init__(self, mesh: DeviceMesh, inputs: tuple[Placement, ...]) -> None:
        self.mesh, self.inputs = mesh, inputs
        self.everywhere = (Replicate(),) * mesh.ndim

    def run(
        self, function: Callable[..., R], root: object, args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> R:
        """Run a call; a module inside that is laid out too goes on with what it is given."""
        if _depth.value:
            return function(root, *args, **kwargs)
        mix_with_plain()
        with _depth.deeper(), attention_on_meta((args, kwargs)):
            return self._leave(function(root, *self._enter(args), **self._enter(kwargs)))

    def _enter(self, given: R) -> R:
        def enter(each: object) -> object:
            if not isinstance(each, Tensor) or is_sharded(each):
                return each
            return DTensor.from_local(each, self.mesh, self._of(each, self.inputs), run_check=False)

        return tree_map(enter, given)

    def _of(self, tensor: Tensor, placements: tuple[Placement, ...]) -> tuple[Placement, ...]:
        """A number has no axis along which it could be cut."""
        return placements if tensor.dim() else self.everywhere

    def _leave(self, result: R) -> R:
        def leave(each: object) -> object:
            if not isinstance(each, DTensor):
                return each
            return each.redistribute(placements=self._of(each, self.inputs)).to_local()

        return tree_map(leave, result)


class _Depth(threading.local):
    """How many calls of modules that are laid out are running in this thread, one inside the other."""

    value = 0

    @contextmanager
    def deeper(self) -> Iterator[None]:
        self.value += 1
        try:
            yield
        finally:
            self.value -= 1


_depth = _Depth()


def redistribute(x: Tensor, placements: Placements) -> Tensor:
    """Lay out a tensor inside a module that is laid out; a plain tensor, as on one process, is returned as it is.

    Norms and dropouts in parts of the sequence, between blocks whose weights are cut: ``redistribute(x, {"tp":
    Shard(1)})`` where the sequence is axis 1.

    >>> import torch
    >>> from torch.distributed.tensor import Shard
    >>> redistribute(torch.ones(2, 4), {"tp": Shard(1)}).shape
    torch.Size([2, 4])

    Args:
        x: the tensor.
        placements: how, as for :func:`shard`.

    Raises:
        ArgumentValueError: the mesh has no such dimension, or the tensor no such axis.
    """
    if not isinstance(x, DTensor):
        return x
    mesh = x.device_mesh
    return x.redistribute(placements=for_shape(on_mesh(mesh, placements, "placements"), "x", tuple(x.shape)))
