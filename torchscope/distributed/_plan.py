"""``plan``: what a mesh of processes would hold and send, found out on one process and the meta device."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor

from .._modules.scoped_module import ScopedModule
from .._scopes.scope import Selects, as_patterns
from .._tools.plan import Optimizer, explained, inputs_on_meta, on_meta, training_of
from .._tools.summary import size
from .._torch import imagined_processes, mix_with_plain, tree_leaves
from .._variables.store import VariableStore
from ..errors import ArgumentTypeError, ArgumentValueError
from ._placements import Placements
from ._rules import Axes, Rules
from ._shard import shard
from ._traffic import Traffic
from ._units import units_of


@dataclass
class Plan:
    """What each process of a mesh holds, in bytes, and receives in one step of training.

    Attributes:
        mesh: the sizes of its dimensions.
        parameters, gradients, optimizer: what the first process holds, which has no less than the others.
        gathered: of the largest unit of FSDP2, while it is used, beside what is held.
        received: by kind of collective, in a step; see :class:`Traffic`.
    """

    mesh: dict[str, int]
    parameters: int
    gradients: int
    optimizer: int
    gathered: int = 0
    received: dict[str, int] = field(default_factory=dict)

    @property
    def held(self) -> int:
        """Parameters, gradients and the optimizer's state."""
        return self.parameters + self.gradients + self.optimizer

    def __str__(self) -> str:
        mesh = " x ".join(f"{name} {count}" for name, count in self.mesh.items())
        lines = [
            f"{math.prod(self.mesh.values())} processes, {mesh}; each",
            f"  holds     {size(self.parameters)} of parameters, {size(self.gradients)} of gradients, "
            f"{size(self.optimizer)} of the optimizer's state: {size(self.held)}",
        ]
        if self.gathered:
            lines.append(f"  gathers   {size(self.gathered)} at most, beside that")
        told = ", ".join(f"{size(count)} by {kind}" for kind, count in self.received.items() if count)
        lines.append(f"  receives  {told or 'nothing'} in a step")
        return "\n".join(lines)


def plan(
    model: ScopedModule,
    *args: object,
    mesh: Mapping[str, int],
    rules: Rules | None = None,
    axes: Axes | None = None,
    inputs: Placements | None = None,
    fsdp: str | None = None,
    scopes: Selects | None = None,
    optimizer: Optimizer = "AdamW",
) -> Plan:
    """Say what each process of a mesh would hold and receive, before there is any.

    The module runs forward and backward on the meta device, as the first of processes that are not there, so nothing is
    allocated, sent or waited for; a step of the optimizer tells what that holds. FSDP2's part is worked out from its
    units. Activations are not in it.

    >>> import torch
    >>> from torch.distributed.tensor import Shard
    >>> from torchscope import ScopedModule, get_variable
    >>> def mlp(x):
    ...     return torch.relu(x @ get_variable("up", [64, 256])) @ get_variable("down", [256, 64])
    >>> rules = {"up": Shard(1), "down": Shard(0)}
    >>> print(plan(ScopedModule(mlp), torch.ones(8, 64), mesh={"tp": 4}, rules=rules))
    4 processes, tp 4; each
      holds     32.0 KiB of parameters, 32.0 KiB of gradients, 64.0 KiB of the optimizer's state: 128.0 KiB
      receives  3.0 KiB by all-reduce in a step

    Args:
        model: the module, built or not; it stays as it is.
        *args: what one process would be given, on any device.
        mesh: the sizes of the dimensions of the mesh, by name.
        rules, axes, inputs: as of :func:`shard`, for the dimensions other than ``fsdp``.
        fsdp: the dimension along which FSDP2 shards; none by default.
        scopes: its units, as of :func:`fully_shard_scopes`; by default the module is one.
        optimizer: one of ``torch.optim``, or its name.

    Raises:
        ArgumentValueError: an argument does not fit; processes run already, of which this one may be one.
    """
    if not isinstance(model, ScopedModule):
        raise ArgumentTypeError.of("model", model, "Give a ScopedModule.")
    sizes = _sizes(mesh)
    if fsdp is not None and fsdp not in sizes:
        raise ArgumentValueError.of("fsdp", fsdp, f"The mesh has {', '.join(sizes)}.")
    if dist.is_initialized():
        raise ArgumentValueError.of("mesh", sizes, "Processes are running here: plan in a process without them.")
    others = tuple(name for name in sizes if name != fsdp)
    if scopes is not None and fsdp is None:
        raise ArgumentValueError.of("scopes", scopes, "They are units of FSDP2: say along which dimension, fsdp='dp'.")
    if not others and not (rules is None and axes is None and inputs is None):
        raise ArgumentValueError.of("mesh", sizes, "No dimension is left beside fsdp for rules, axes and inputs.")
    alone = imagined_processes(math.prod(sizes.values()))
    with alone, explained(model.variables.owner), _sharding_kept(model), on_meta(model), torch.random.fork_rng([]):
        whole = init_device_mesh("cpu", tuple(sizes.values()), mesh_dim_names=tuple(sizes))
        if others:
            shard(model, whole[others], rules, axes=axes, inputs=inputs)
        given = inputs_on_meta(args)
        model.build(*given)
        with Traffic() as traffic:
            outputs = [each for each in tree_leaves(model(*given)) if isinstance(each, Tensor) and each.requires_grad]
            torch.autograd.backward(outputs, [torch.ones_like(each) for each in outputs])
        held, gathered = _parts(model, sizes.get(fsdp or "", 1), scopes, traffic.received)
    training = training_of(held, optimizer)
    parameters = sum(parameter.numel() * parameter.itemsize for parameter in held)
    return Plan(sizes, parameters, training.gradients, training.state, gathered, traffic.received)


def _sizes(mesh: Mapping[str, int]) -> dict[str, int]:
    """A mesh that is only told of."""
    if not isinstance(mesh, Mapping) or not mesh:
        raise ArgumentTypeError.of("mesh", mesh, 'Give the sizes of its dimensions by name: {"dp": 8, "tp": 4}.')
    if not all(isinstance(count, int) and count is not True and count >= 1 for count in mesh.values()):
        raise ArgumentValueError.of("mesh", dict(mesh), "Its sizes are whole numbers from 1 on.")
    if not all(isinstance(name, str) and name for name in mesh):
        raise ArgumentTypeError.of("mesh", dict(mesh), 'Its dimensions have names: {"dp": 8, "tp": 4}.')
    return dict(mesh)


@contextmanager
def _sharding_kept(model: nn.Module) -> Iterator[None]:
    """Let a module be laid out in the block alone, and plain tensors be taken beside others there alone."""
    mixed = mix_with_plain(False)
    stores = [module for module in model.modules() if isinstance(module, VariableStore)]
    before = [store.sharding for store in stores]
    try:
        yield
    finally:
        for store, sharding in zip(stores, before, strict=True):
            store.sharding = sharding
        mix_with_plain(mixed)


def _parts(
    model: ScopedModule, count: int, scopes: Selects | None, received: dict[str, int]
) -> tuple[list[nn.Parameter], int]:
    """The parameters as the first process holds them, and the bytes of the largest unit; its traffic is added."""
    store, held, units = model.variables, list[nn.Parameter](), dict[str, int]()
    paths = [] if scopes is None else units_of(store, as_patterns(scopes, "scopes"))
    for name, parameter in model.named_parameters():
        local = parameter.to_local() if isinstance(parameter, DTensor) else parameter
        rows = math.ceil(local.shape[0] / count) if local.dim() else 1
        part = torch.empty((rows, *local.shape[1:]) if local.dim() else (), dtype=local.dtype, device="meta")
        held.append(nn.Parameter(part, parameter.requires_grad))
        if count > 1 and not local.dim():
            mend = f"FSDP2 does not shard '{name.removeprefix('variables.')}', which has no axis."
            raise ArgumentValueError.of("fsdp", None, mend)
        if count > 1:
            path = name.removeprefix("variables.")
            unit = max((each for each in paths if path.startswith((f"{each}/", f"{each}."))), key=len, default="")
            here = part.numel() * part.itemsize
            units[unit] = units.get(unit, 0) + here * count
            received["all-gather"] = received.get("all-gather", 0) + here * (count - 1) * (2 if unit else 1)  # backward
            if parameter.requires_grad:
                received["reduce-scatter"] = received.get("reduce-scatter", 0) + here * (count - 1)
    return held, max(units.values(), default=0)
