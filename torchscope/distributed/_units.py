"""``fully_shard_scopes``: FSDP2 with scopes as the units that are gathered and freed together."""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, ValuesView
from contextlib import contextmanager
from typing import ParamSpec, TypedDict, TypeVar, Unpack

from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, OffloadPolicy, fully_shard
from torch.distributed.tensor import Shard

from .._modules.scoped_module import ScopedModule
from .._names.paths import scopes_of
from .._names.patterns import refuse_nothing, selector
from .._scopes.scope import Selects, as_patterns
from .._variables.store import VariableStore
from ..errors import ArgumentTypeError, ArgumentValueError

P = ParamSpec("P")
R = TypeVar("R")
M = TypeVar("M", bound=ScopedModule)


class FSDPOptions(TypedDict, total=False):
    """The options of ``torch.distributed.fsdp.fully_shard``, which says what they do."""

    mesh: DeviceMesh
    reshard_after_forward: bool | int | None
    shard_placement_fn: Callable[[nn.Parameter], Shard | None]
    mp_policy: MixedPrecisionPolicy
    offload_policy: OffloadPolicy
    ignored_params: set[nn.Parameter] | None


def fully_shard_scopes(model: M, scopes: Selects, **options: Unpack[FSDPOptions]) -> M:
    """Shard a module with FSDP2, scope by scope: the variables of a scope are gathered, used and freed together.

    FSDP2 (``torch.distributed.fsdp.fully_shard``) does that module by module, and scopes are no modules. So a scope can
    be a unit where a *function* opens it: one that is marked with :func:`torchscope.tools.layer`, decorated by
    ``variable_scope``, or a template. FSDP2 sees what goes into the function and what comes out. Layers of
    ``get_module`` are units as they are. What no unit has belongs to the module as a whole.

    >>> import torch
    >>> from torch.distributed.device_mesh import init_device_mesh
    >>> from torchscope import ScopedModule, get_variable
    >>> from torchscope.tools import layer
    >>> @layer
    ... def block(x):
    ...     return x + torch.tanh(x @ get_variable("w", [4, 4]))
    >>> def forward(x):
    ...     for n in range(2):
    ...         x = block(x, scope=f"h{n}")
    ...     return x @ get_variable("out", [4, 1])
    >>> model = ScopedModule(forward, seed=0).build(torch.ones(2, 4))
    >>> torch.distributed.init_process_group(store=torch.distributed.HashStore(), rank=0, world_size=1)
    >>> mesh = init_device_mesh("cpu", (1,))  # one process, where torchrun starts several
    >>> fully_shard_scopes(model, "h*", mesh=mesh)(torch.ones(2, 4)).shape
    torch.Size([2, 1])
    >>> torch.distributed.destroy_process_group()

    Args:
        model: a module that is built, perhaps on the meta device: then ``to_empty(device=...)`` and
            ``reset_parameters()`` follow, and give the numbers of the module on one process. It may be laid out by
            :func:`shard` over another dimension of the mesh before.
        scopes: which scopes are units: patterns as in :meth:`ScopedModule.select`; of each, the outermost that it
            selects.
        **options: those of ``fully_shard``, such as ``mesh`` and ``mp_policy``.

    Returns:
        The module itself. Its ``state_dict`` has the keys that it had; make the optimizer after this.

    Raises:
        ArgumentValueError: a pattern selects no scope; no function opens a scope that it selects; the module is not
        built.
    """
    if not isinstance(model, ScopedModule):
        raise ArgumentTypeError.of("model", model, "Give a ScopedModule.")
    if not model.variables.built:
        mend = "FSDP2 shards variables that there are: build the model first, on the meta device where it is too large."
        raise ArgumentValueError.of("model", model.variables.owner, mend)
    store = model.variables
    _refuse_before(model, options)
    units = units_of(store, as_patterns(scopes, "scopes"))
    ignored = set(options.get("ignored_params") or ())
    options["ignored_params"] = ignored  # of those that are units, which it grows by, too
    for path in sorted(units, key=lambda path: -path.count("/")):  # the inner ones first
        if path in store.module_made_at:
            fully_shard(store.get_submodule(path), **options)
        else:
            ignored |= _shard_scope(store, path, units, options)
    fully_shard(model, **options)
    return model


def _refuse_before(model: ScopedModule, options: FSDPOptions) -> None:
    """Find what FSDP2 would fail at half-way.

    Raises:
        ArgumentTypeError, ArgumentValueError: the message says what it is.
    """
    owner, mesh, sharding = model.variables.owner, options.get("mesh"), model.variables.sharding
    if isinstance(model, FSDPModule):
        raise ArgumentValueError.of("model", owner, "FSDP2 has it already. Name all units in one call.")
    if mesh is not None and not isinstance(mesh, DeviceMesh):
        raise ArgumentTypeError.of("mesh", mesh, "Give a DeviceMesh, such as init_device_mesh('cpu', (2,)).")
    if sharding is not None:
        theirs: object = getattr(sharding, "mesh", None)
        known = set(theirs.mesh_dim_names or ()) if isinstance(theirs, DeviceMesh) else set()
        mine = set(mesh.mesh_dim_names or ()) if mesh is not None else known
        if not mine or mine & known:
            mend = (
                f"{owner} is laid out over {sorted(known)}. Give another dimension of the same mesh: mesh=mesh['dp']."
            )
            raise ArgumentValueError.of("mesh", mesh, mend)
    ignored = options.get("ignored_params") or ()
    for name, parameter in model.named_parameters():
        if not parameter.dim() and parameter not in ignored:
            path = name.removeprefix("variables.")
            mend = f"FSDP2 does not shard '{path}', which has no axis. Make it a vector, or put it in ignored_params."
            raise ArgumentValueError.of("model", owner, mend)


def units_of(store: VariableStore, patterns: str | tuple[str, ...]) -> list[str]:
    """The outermost scopes and layers that each pattern selects.

    Raises:
        ArgumentValueError: a pattern selects none, or a scope that no function opens.
    """
    existing = dict.fromkeys(scope for path in store.existing() for scope in scopes_of(path))
    existing |= dict.fromkeys(store.module_made_at)
    refuse_nothing(patterns, list(existing), store.owner, "scopes", "scopes")
    found = dict[str, None]()
    for pattern in (patterns,) if isinstance(patterns, str) else patterns:
        selects = selector(pattern, existing)
        found |= {path: None for path in existing if selects(path) and not selects(path.rpartition("/")[0])}
    for path in found:
        if path in store.fsdp_units:
            raise ArgumentValueError.of("scopes", path, "It is a unit already.")
        if path not in store.module_made_at and path not in store.function_scopes:
            mend = (
                f"No function opens '{path}', and FSDP2 has to know what goes in and comes out. Mark the function that "
                f"makes its variables with @torchscope.tools.layer and call it with scope={path.rpartition('/')[2]!r}."
            )
            raise ArgumentValueError.of("scopes", path, mend)
    return list(found)


def _shard_scope(store: VariableStore, path: str, units: Iterable[str], options: FSDPOptions) -> set[nn.Parameter]:
    """Make a scope a unit, without what lies in the units inside, and give its parameters."""
    inner = tuple(f"{unit}/" for unit in units if unit.startswith(f"{path}/"))
    ignored = options.get("ignored_params") or ()
    mine = [
        name
        for name, parameter in store._parameters.items()
        if name.startswith(f"{path}/") and not name.startswith(inner) and parameter not in ignored
    ]
    unit = Unit(store, mine)
    own: FSDPOptions = {**options, "ignored_params": None}  # which it does not list
    with unit.parameters_listed():
        fully_shard(unit, **own)
        sharded = set(unit.parameters(recurse=False))
    store._modules = {**store._modules, f"{path}/": unit}
    store.fsdp_units[path] = unit
    return sharded


class Unit(nn.Module):
    """The module that stands for a scope: FSDP2 puts its parameters, gathered and in parts, to where the store has
    them.

    It lists them to FSDP2 alone. To all else it is an empty module, whose name no path can have, so that nothing is
    saved, moved or counted twice.
    """

    def __init__(self, store: VariableStore, paths: list[str]) -> None:
        super().__init__()
        self._parameters = _Below(store, paths)  # type: ignore[assignment]  # None stands for no parameter

    def forward(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function whose scope it is."""
        return function(*args, **kwargs)

    @contextmanager
    def parameters_listed(self) -> Iterator[None]:
        """Let it have parameters, in the block."""
        below = self._parameters
        assert isinstance(below, _Below)
        below.listed = True
        try:
            yield
        finally:
            below.listed = False


class _Below(dict[str, Tensor | None]):
    """The parameters of a store at some paths, as the ``_parameters`` of a module."""

    def __init__(self, store: VariableStore, paths: list[str]) -> None:
        super().__init__()
        self.store, self.paths, self.listed = store, paths, False

    def _now(self) -> dict[str, Tensor | None]:
        return {path: self.store._parameters[path] for path in self.paths} if self.listed else {}

    def __getitem__(self, path: str) -> Tensor | None:
        return self.store._parameters[path]

    def __setitem__(self, path: str, parameter: Tensor | None) -> None:
        self.store._parameters[path] = parameter  # type: ignore[assignment]

    def __contains__(self, path: object) -> bool:
        return path in self.paths

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())

    def keys(self) -> KeysView[str]:  # type: ignore[override]
        return self._now().keys()

    def values(self) -> ValuesView[Tensor | None]:  # type: ignore[override]
        return self._now().values()

    def items(self) -> ItemsView[str, Tensor | None]:  # type: ignore[override]
        return self._now().items()
