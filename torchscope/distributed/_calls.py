"""The boundary of a module that is laid out: plain tensors go in, are ``DTensor`` tensors inside, and come out plain.

Inside, a plain tensor that the code makes (a mask, positions) counts as one that all processes have. torch has a switch
for that, which is on in a thread from its first call of such a module on: gradients need it too, and torch puts the
switch back at each step of a backward pass to what it was when that began, so nothing else could have it on there.
"""

from __future__ import annotations

import dataclasses
import hashlib
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.distributed.tensor.placement_types import Placement

from .._modules.same_start import first_bytes
from .._torch import mix_with_plain, tree_leaves, tree_map
from .._variables.module_tree import tensors_of
from .._variables.sharding import is_sharded
from ..errors import ArgumentTypeError, ArgumentValueError
from ._attention import attention_on_meta
from ._placements import Placements, for_shape, on_mesh
from ._start import gathered, same_along

R = TypeVar("R")
_SOME = 4096  # elements of an input that are looked at


class Boundary:
    """What goes in and out of the calls of a module that is laid out over a mesh."""

    def __init__(self, mesh: DeviceMesh, inputs: tuple[Placement, ...]) -> None:
        self.mesh, self.inputs = mesh, inputs
        self.everywhere = (Replicate(),) * mesh.ndim
        self.cut = [n for n, placement in enumerate(inputs) if isinstance(placement, Shard)]
        self.compared = False

    def run(
        self, function: Callable[..., R], root: object, args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> R:
        """Run a call; a module inside that is laid out too goes on with what it is given."""
        if _depth.value:
            return function(root, *args, **kwargs)
        mix_with_plain()
        leaves = tree_leaves((args, kwargs))
        if not torch.compiler.is_compiling():
            self._look_at(root, leaves)
        with _depth.deeper(), attention_on_meta(leaves):
            return self._leave(function(root, *self._enter(args), **self._enter(kwargs)))

    def _look_at(self, root: object, leaves: list[object]) -> None:
        """What compiled code does not do: compare processes, and see to the gradients."""
        tensors = [each for each in leaves if isinstance(each, Tensor) and not is_sharded(each)]
        if self.cut:
            for each in leaves:
                if dataclasses.is_dataclass(each):
                    mend = "Its tensors cannot be taken for parts of a whole. Give tensors, in tuples, lists or dicts."
                    raise ArgumentTypeError.of("an input", each, mend)
            self._refuse_uneven(tensors)
        assert isinstance(root, nn.Module)
        store: object = root._modules["variables"]
        if not self.compared and getattr(store, "built", False):
            self._refuse_different(tensors)
            self.compared = True
        reduce_gradients_once(root)

    def _refuse_uneven(self, tensors: list[Tensor]) -> None:
        """Refuse parts of a batch that are not equal: nothing tells torch where the others begin."""
        sizes = [
            each.shape[for_shape(self.inputs, "an input", tuple(each.shape))[n].dim]  # type: ignore[attr-defined]
            for each in tensors
            if each.dim() and not each.is_meta
            for n in self.cut
        ]
        mine = torch.tensor(sizes, dtype=torch.int64, device=self.mesh.device_type)
        if sizes and not all(same_along(self.mesh, mine, self.cut)):
            theirs = [gathered(self.mesh, n, mine).tolist() for n in self.cut]
            mend = f"Processes have parts of different sizes, {theirs}. Drop or fill up the last batch."
            raise ArgumentValueError.of("inputs", self.inputs, mend)

    def _refuse_different(self, tensors: list[Tensor]) -> None:
        """In the first call, hold inputs against those of the processes that should have the same."""
        if any(each.is_meta for each in tensors):
            return
        alike = [n for n in range(self.mesh.ndim) if n not in self.cut]
        digest = hashlib.blake2b(digest_size=8)
        for each in tensors:
            digest.update(str(tuple(each.shape)).encode() + first_bytes(each, _SOME))
        draws = hashlib.blake2b(bytes(torch.get_rng_state().tolist()), digest_size=8)
        numbers = [int.from_bytes(each.digest(), "little", signed=True) for each in (digest, draws)]
        mine = torch.tensor(numbers, dtype=torch.int64, device=self.mesh.device_type)
        same_inputs, same_draws = same_along(self.mesh, mine, alike)
        if not same_inputs:
            names = [(self.mesh.mesh_dim_names or range(self.mesh.ndim))[n] for n in alike]
            mend = (
                f"Along {names} all processes have to call the module with the same tensors, and they differ. Where "
                'each has its part of a batch, the mesh needs a dimension for that, and shard inputs={"dp": Shard(0)}.'
            )
            raise ArgumentValueError.of("inputs", self.inputs, mend)
        if not same_draws:
            warnings.warn(
                "torch's random generators differ between processes that hold the same tensors: dropout and the like "
                "would make them apart. Call torch.manual_seed with one number on all processes of the mesh.",
                stacklevel=2,
            )

    def _enter(self, given: R) -> R:
        def enter(each: object) -> object:
            if not isinstance(each, Tensor) or is_sharded(each):
                return each
            placements = for_shape(self._of(each, self.inputs), "an input", tuple(each.shape))
            return DTensor.from_local(each, self.mesh, placements, run_check=False)

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


def reduce_gradients_once(root: nn.Module) -> None:
    """Let the gradient of a parameter be laid out as the parameter is, as soon as it is there.

    Some come as sums that are still to be made over the processes, which every operation of an optimizer would do
    again. It is seen to in each call, since a copy or a conversion makes other parameters.
    """
    for _, parameter in tensors_of(root):
        is_new = getattr(parameter, "_post_accumulate_grad_hooks", None) is None
        if is_new and parameter.requires_grad and is_sharded(parameter) and parameter.is_leaf:
            parameter.register_post_accumulate_grad_hook(_laid_out_as_it)  # type: ignore[no-untyped-call]


def _laid_out_as_it(parameter: Tensor) -> None:
    gradient = parameter.grad
    if isinstance(parameter, DTensor) and isinstance(gradient, DTensor):
        parameter.grad = gradient.redistribute(placements=parameter.placements)


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

    Norms in parts of the sequence, between blocks whose weights are cut: ``redistribute(x, {"tp": Shard(1)})`` where
    the sequence is axis 1. ``redistribute(x, {"tp": Replicate()})`` is the remedy where torch has no rule for what an
    operation does with parts, or with a sum that is still to be made.

    >>> import torch
    >>> from torch.distributed.tensor import Shard
    >>> redistribute(torch.ones(2, 4), {"tp": Shard(1)}).shape
    torch.Size([2, 4])

    Args:
        x: the tensor.
        placements: how, as for :func:`shard`; dimensions that this mesh does not have are passed over, so a function
            runs on any.

    Raises:
        ArgumentValueError: the tensor has no such axis.
    """
    if not isinstance(x, DTensor):
        return x
    mesh = x.device_mesh
    if isinstance(placements, Mapping):
        placements = {name: how for name, how in placements.items() if name in (mesh.mesh_dim_names or ())}
    return x.redistribute(placements=for_shape(on_mesh(mesh, placements, "placements"), "x", tuple(x.shape)))
