"""``shard``: the variables of a module over the processes of a mesh, by pattern, by axis or by scope."""

from __future__ import annotations

from typing import cast, overload

from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import Replicate, distribute_tensor
from torch.distributed.tensor.placement_types import Placement

from .._modules.scoped_module import ScopedModule
from .._variables.initialize import plain_mode
from .._variables.sharding import Sharding, is_sharded
from .._variables.store import VariableStore
from ..errors import ArgumentTypeError, ArgumentValueError
from ._attention import teach_attention
from ._calls import Boundary
from ._placements import Placements, on_mesh
from ._rules import Axes, How, Rules, Table
from ._sharding import OfModule, OfScope, as_before, put, specs_of, tensors_that_are
from ._start import refuse_different


@overload
def shard(
    model: ScopedModule,
    mesh: DeviceMesh,
    rules: Rules | None = None,
    *,
    axes: Axes | None = None,
    inputs: Placements | None = None,
) -> ScopedModule: ...


@overload
def shard(model: DeviceMesh, mesh: How, /) -> Sharding: ...


def shard(
    model: ScopedModule | DeviceMesh,
    mesh: DeviceMesh | How,
    rules: Rules | None = None,
    *,
    axes: Axes | None = None,
    inputs: Placements | None = None,
) -> ScopedModule | Sharding:
    """Lay the variables of a module out over the processes of a mesh, as ``DTensor`` tensors, each with its part of
    them.

    A module that is not built yet makes each variable in parts from the first: no process ever holds more than one of
    them as a whole, and that only while it is filled. The numbers are those of the module on one process, bit by bit:
    each process draws the stream of ``seed=`` and keeps its part. A module without a seed takes one that the first
    process draws from torch's generator. A module that is built, or loaded, gives all processes the numbers of the
    first one.

    Its calls take plain tensors and give plain tensors. Inside, functions are written as for one process: torch works
    out for each operation what has to be sent, and a plain tensor that the code makes counts as the same on all
    processes.

    >>> import torch
    >>> from torch.distributed.device_mesh import init_device_mesh
    >>> from torch.distributed.tensor import Shard
    >>> from torchscope import ScopedModule, get_variable, variable_scope
    >>> def mlp(x):
    ...     with variable_scope("mlp"):
    ...         hidden = torch.relu(x @ get_variable("up", [x.shape[-1], 8]))
    ...         return hidden @ get_variable("down", [8, x.shape[-1]])
    >>> torch.distributed.init_process_group(store=torch.distributed.HashStore(), rank=0, world_size=1)
    >>> mesh = init_device_mesh("cpu", (1,), mesh_dim_names=("tp",))  # one process, where torchrun starts several
    >>> model = shard(ScopedModule(mlp, seed=0), mesh, {"**/up": Shard(1), "**/down": Shard(0)}).build(torch.ones(2, 4))
    >>> {path: variable.placements for path, variable in model.variables.items()}
    {'mlp/up': (Shard(dim=1),), 'mlp/down': (Shard(dim=0),)}
    >>> torch.distributed.destroy_process_group()

    With a mesh and a placement alone it gives a ``partitioner`` for the variables of a scope, or one variable, of a
    module that is laid out: ``variable_scope("mlp", partitioner=shard(mesh, Shard(0)))``.

    Args:
        model: the module, or the mesh.
        mesh: a ``DeviceMesh``; where the first argument is the mesh, a placement.
        rules: patterns as in :meth:`ScopedModule.select`, each with how what it selects is laid out. The first pattern
            that selects a variable decides, and every variable has to be selected by one. A placement is
            ``Shard(axis)`` or ``Replicate()``; on a mesh of several dimensions one for each of them, or ``{"tp":
            Shard(0)}``, where the others replicate; or a function of the :class:`VariableSpec` that gives one of these.
            Without rules and ``axes``, all variables are replicated but for those of scopes that say otherwise.
        axes: a table from names of axes, as ``get_variable(axes=("embed", "mlp"))`` gives them, to the dimension of
            the mesh along which such an axis is cut, or ``None``. For variables that no rule selects.
        inputs: how tensors that the module is called with are parts of a whole: ``{"dp": Shard(0)}`` if each process of
            the dimension ``dp`` has its part of the batch. What the call gives is then a part likewise, but for numbers
            without axes. By default all processes have the same inputs.

    Returns:
        The module itself; make its optimizer, FSDP2 units and compiled version after this.

    Raises:
        ArgumentValueError: a rule selects nothing, or nothing that an earlier one leaves; two rules overlap, say
        different
            things and neither is the more general; an axis or a dimension of the mesh does not exist; a variable is in
            no rule. Of a module that is not built, its build raises that, and is rolled back.
        ArgumentTypeError: an argument is something else.

    The idea is that of the partitioners of TensorFlow 1, and of the logical axes of T5X and Flax.
    """
    if isinstance(model, DeviceMesh):
        return OfScope(model, cast("How", mesh))
    if not isinstance(model, ScopedModule):
        raise ArgumentTypeError.of("model", model, "Give a ScopedModule, or a mesh and a placement for one scope.")
    if not isinstance(mesh, DeviceMesh):
        raise ArgumentTypeError.of("mesh", mesh, "Give a DeviceMesh, such as init_device_mesh('cpu', (2,)).")
    stores = {name.removesuffix("variables"): m for name, m in model.named_modules() if isinstance(m, VariableStore)}
    for store in stores.values():
        if (store.sharding is not None and store.built) or any(map(is_sharded, store.values())):
            mend = f"The variables of {store.owner} are laid out already: shard a module once, and before FSDP2."
            raise ArgumentValueError.of("model", store.owner, mend)
    table = Table(mesh, model.variables.owner, rules, axes)
    boundary = Boundary(mesh, on_mesh(mesh, Replicate() if inputs is None else inputs, "inputs"))
    teach_attention()
    seeds = [store.seed for store in stores.values()]
    refuse_different(mesh, {"seed": seeds, "rules": rules, "axes": axes, "inputs": inputs})
    if model.variables.built:
        table.check(specs_of(model))
    _lay_out_what_is_there(model, table)
    for prefix, store in stores.items():
        store.sharding = OfModule(table, boundary, prefix)
        if store.built:
            store.share_seed(store.sharding)  # what is filled anew is the same everywhere too
    return model


def _lay_out_what_is_there(model: ScopedModule, table: Table) -> None:
    """Lay out the variables of a module that is built, or was loaded: those of the first process go to all."""
    how: dict[int, tuple[Placement, ...]] = {}
    first: dict[int, str] = {}
    for spec, each in zip(specs_of(model), tensors_that_are(model), strict=True):
        placements = table.placements(spec)
        if how.setdefault(id(each.tensor), placements) != placements:
            mend = f"'{each.path}' and '{first[id(each.tensor)]}' are one variable. Let the rules say the same of both."
            raise ArgumentValueError.of("rules", [rule.written for rule in table.rules], mend)
        first.setdefault(id(each.tensor), each.path)
    modules, placed = dict(model.named_modules()), dict[int, Tensor]()
    with plain_mode():
        for each in tensors_that_are(model):
            tensor = each.tensor
            if id(tensor) not in placed:
                whole = distribute_tensor(tensor.detach(), table.mesh, how[id(tensor)])
                placed[id(tensor)] = as_before(tensor, whole)
            module, _, name = each.key.rpartition(".")
            put(modules[module], name, placed[id(tensor)])
