"""The variables of a module, or of one scope, over the processes of a mesh."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NoReturn, TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, distribute_tensor, empty
from torch.distributed.tensor.placement_types import Placement

from .._torch import mix_with_plain
from .._variables.module_tree import held_by
from .._variables.sharding import ModuleSharding, Sharding, is_sharded
from .._variables.spec import Kind, VariableSpec
from .._variables.store import VariableStore
from .._variables.tensors import NamedTensor, all_tensors
from ..errors import ArgumentValueError, NotBuiltError
from ._calls import Boundary, reduce_gradients_once
from ._placements import on_mesh
from ._rules import How, Table, placements_of
from ._start import agreed_seed

R = TypeVar("R")


class OnMesh(Sharding):
    """What a scope and a module have in common: they lay a variable out as :meth:`placements` says."""

    def __init__(self, mesh: DeviceMesh) -> None:
        self.mesh = mesh

    def placements(self, spec: VariableSpec) -> tuple[Placement, ...]:
        """How a variable is laid out."""
        raise NotImplementedError

    def seed(self, owner: str) -> int:
        return agreed_seed(self.mesh, owner)

    def place(self, spec: VariableSpec, tensor: Tensor) -> Tensor:
        if isinstance(tensor, DTensor):  # it was loaded before its scope said how
            return tensor.redistribute(self.mesh, self.placements(spec))
        return distribute_tensor(tensor, self.mesh, self.placements(spec), src_data_rank=None)

    def empty(self, spec: VariableSpec, device: object) -> Tensor:
        placements = self.placements(spec)
        with torch.device(self.mesh.device_type if device is None else torch.device(str(device))):
            return empty(spec.shape, dtype=spec.dtype, device_mesh=self.mesh, placements=placements)

    def __reduce__(self) -> NoReturn:
        raise TypeError("A mesh belongs to running processes: save the state_dict of the module, not the module.")


class OfScope(OnMesh):
    """One placement for all variables of a scope, or for one variable: what ``partitioner=`` is given."""

    def __init__(self, mesh: DeviceMesh, how: How) -> None:
        super().__init__(mesh)
        if not callable(how) or isinstance(how, nn.Module):
            on_mesh(mesh, how, "the placement")
        self.how = how

    def placements(self, spec: VariableSpec) -> tuple[Placement, ...]:
        return placements_of(self.how, self.mesh, spec)

    def refuse_elsewhere(self, path: str, of_store: ModuleSharding | None) -> None:
        if not isinstance(of_store, OnMesh):
            mend = f"'{path}' would be laid out over a mesh, and its module is not. Call shard(model, mesh) first."
            raise ArgumentValueError.of("partitioner", self, mend)
        if of_store.mesh != self.mesh:
            mend = f"'{path}' is asked for on this mesh, and its module is on {of_store.mesh}."
            raise ArgumentValueError.of("partitioner", self, mend)

    def __repr__(self) -> str:
        return f"<shard {self.how} on {self.mesh}>"


class OfModule(OnMesh, ModuleSharding):
    """The variables of one ScopedModule, by the rules of the module that it is a part of."""

    def __init__(self, table: Table, boundary: Boundary, prefix: str) -> None:
        super().__init__(table.mesh)
        self.table, self.boundary, self.prefix = table, boundary, prefix

    def placements(self, spec: VariableSpec) -> tuple[Placement, ...]:
        return self.table.placements(replace(spec, path=self.prefix + spec.path))

    def refuse_elsewhere(self, path: str, of_store: ModuleSharding | None) -> None:
        """A module's own is where the module is."""

    def place_module(self, path: str, module: nn.Module) -> None:
        for prefix, part in module.named_modules(prefix=path):
            for name, tensor in list(held_by(part)):
                if not is_sharded(tensor):
                    placed = self.place(spec_of(f"{prefix}.{name}", tensor), tensor.detach())
                    put(part, name, as_before(tensor, placed))

    def check(self, root: nn.Module) -> None:
        if not self.prefix:  # the last that is complete
            self.table.check(specs_of(root))
        reduce_gradients_once(root)  # compiled calls do not see to it

    def run(
        self, function: Callable[..., R], root: object, args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> R:
        return self.boundary.run(function, root, args, kwargs)

    def enter_block(self) -> None:
        mix_with_plain()


def as_before(tensor: Tensor, placed: Tensor) -> Tensor:
    """What takes the place of a tensor: a parameter, if it was one."""
    return nn.Parameter(placed, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else placed


def put(module: nn.Module, name: str, placed: Tensor) -> None:
    """Let another tensor be that of a name, a parameter or a buffer as before."""
    held = module._parameters if isinstance(placed, nn.Parameter) else module._buffers
    held[name] = placed  # type: ignore[assignment]


def spec_of(path: str, tensor: Tensor) -> VariableSpec:
    """What a rule is told of a tensor that is no variable of ``get_variable``."""
    kind: Kind = "parameter" if isinstance(tensor, nn.Parameter) else "buffer"
    return VariableSpec(path, tuple(tensor.shape), tensor.dtype, kind, trainable=tensor.requires_grad)


def tensors_that_are(model: nn.Module) -> list[NamedTensor]:
    """The tensors of a module tree; none as long as a ScopedModule in it is still to be built."""
    try:
        return list(all_tensors(model))
    except NotBuiltError:
        return []


def specs_of(model: nn.Module) -> list[VariableSpec]:
    """What all tensors of a module tree were declared as; of those in layers, what they are."""
    declared = {
        prefix.removesuffix("variables") + spec.path: spec
        for prefix, store in model.named_modules()
        if isinstance(store, VariableStore)
        for spec in store.declared()
    }
    found = []
    for each in tensors_that_are(model):
        spec = declared.get(each.path)
        found.append(spec_of(each.path, each.tensor) if spec is None else replace(spec, path=each.path))
    return found
