"""Placements: what users write of how one variable is laid out, held against a mesh and a shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import Partial, Replicate, Shard
from torch.distributed.tensor.placement_types import Placement

from ..errors import ArgumentTypeError, ArgumentValueError

Placements = Placement | Sequence[Placement] | Mapping[str, Placement]


def on_mesh(mesh: DeviceMesh, given: object, argument: str) -> tuple[Placement, ...]:
    """One placement for each dimension of a mesh.

    Args:
        mesh: the mesh.
        given: a placement, for a mesh of one dimension; one for each dimension; or a dict from names of dimensions to
            placements, where those that are left out replicate. ``Replicate()`` alone is all of them.
        argument: what it is called in messages.

    Raises:
        ArgumentTypeError, ArgumentValueError: it is something else, or names what the mesh does not have.
    """
    if isinstance(given, Replicate):
        return (given,) * mesh.ndim
    if isinstance(given, Placement):
        if mesh.ndim != 1:
            mend = f"{_described(mesh)}. Say along which: {{{_names(mesh)[-1]!r}: {given!r}}}, or one for each."
            raise ArgumentValueError.of(argument, given, mend)
        given = (given,)
    elif isinstance(given, Mapping):
        for name in given:
            refuse_unknown_dimension(mesh, name, argument)
        given = tuple(given.get(name, Replicate()) for name in _names(mesh))
    if not isinstance(given, Sequence) or not all(isinstance(each, Placement) for each in given):
        mend = 'Give a placement of torch.distributed.tensor, one for each dimension of the mesh, or {"tp": Shard(0)}.'
        raise ArgumentTypeError.of(argument, given, mend)
    if len(given) != mesh.ndim:
        mend = f"{_described(mesh)}. Give one placement for each."
        raise ArgumentValueError.of(argument, given, mend)
    if any(isinstance(each, Partial) for each in given):
        raise ArgumentValueError.of(argument, given, "A variable has its values: use Shard(axis) and Replicate().")
    return tuple(given)


def for_shape(placements: tuple[Placement, ...], path: str, shape: tuple[int, ...]) -> tuple[Placement, ...]:
    """The same for a variable of this shape, with axes from the first on.

    Raises:
        ArgumentValueError: it has no such axis.
    """
    found = []
    for placement in placements:
        if isinstance(placement, Shard):
            if not -len(shape) <= placement.dim < len(shape):
                mend = (
                    f"'{path}' has the shape {shape}: {f'an axis from 0 to {len(shape) - 1}' if shape else 'no axis'}."
                )
                raise ArgumentValueError.of("the placement", placement, mend)
            placement = Shard(placement.dim % len(shape))
        found.append(placement)
    return tuple(found)


def refuse_unknown_dimension(mesh: DeviceMesh, name: object, argument: str) -> None:
    """Refuse a name that no dimension of the mesh has."""
    if name not in _names(mesh):
        raise ArgumentValueError.of(argument, name, f"{_described(mesh)}.")


def _names(mesh: DeviceMesh) -> tuple[str, ...]:
    return mesh.mesh_dim_names or tuple(f"dimension {n}" for n in range(mesh.ndim))


def _described(mesh: DeviceMesh) -> str:
    sizes = ", ".join(f"{name} of {size}" for name, size in zip(_names(mesh), mesh.shape, strict=True))
    unnamed = "" if mesh.mesh_dim_names else " (init_device_mesh(..., mesh_dim_names=...) names them)"
    return f"The mesh has {sizes}{unnamed}"
