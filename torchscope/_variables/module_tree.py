"""A store as a part of torch's module tree: what ``.to()``, ``state_dict``, copies and replicas do with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, Protocol, Self

import torch
from torch import Tensor, nn

from .._names import paths
from .._torch import end_gathering
from ..errors import NotBuiltError
from ..initializers import Layout
from .conversion import refuse_unreal
from .initialize import plain_mode
from .parameter_dict import PathParameterDict, UnbuiltParameters, spec_of_tensor
from .sharding import ModuleSharding, Sharding, laid_out_as, whole_of
from .spec import VariableSpec

# Where a variable comes from whose declaration the next get completes: that decides what may become of its tensor.
Origin = Literal["file", "by hand", "pickle"]


class Maker(Protocol):
    """What made a module of ``get_module``; it makes the same again."""

    def __call__(self, path: str, seed: int | None, device: torch.device | None) -> nn.Module: ...


class ModuleTreeDict(PathParameterDict):
    """The paths of a root, with what torch asks of every module in a tree: convert, load, save, replicate, copy.

    Attributes:
        seed, device, dtype: those of the root, for variables that are given none; ``.to()`` and the like set them.
        layout: the order of axes of its variables, for fans and foreign checkpoints.
        provisional: paths that are not declared in full, and where they come from; the next get completes that.
        makers: of the modules of ``get_module``, by path; the next get of a path brings back what pickle lost.
        sharding: how its variables are laid out over processes; ``None`` if each has all of them.
        function_scopes: the paths of scopes that functions opened, which FSDP2 can run as units.
        fsdp_units: the modules that stand for such scopes.
        is_replica: whether it is a copy on another device for the time of one call, by ``DataParallel``.
    """

    layout: Layout

    def __init__(self, owner: str, *, seed: int | None, device: torch.device | None, dtype: torch.dtype | None) -> None:
        super().__init__(owner)
        self.seed = seed
        self.layout = "torch"
        self.device = device
        self.dtype = dtype
        self.provisional: dict[str, Origin] = {}
        self.makers: dict[str, Maker] = {}
        self.sharding: ModuleSharding | None = None
        self.function_scopes: set[str] = set()
        self.fsdp_units: dict[str, nn.Module] = {}
        self.is_replica = False

    def find_whole(self, path: str) -> Tensor | None:
        """All of the tensor of ``path``, or ``None``."""
        tensor = self.find(path)
        return None if tensor is None else whole_of(tensor)

    def share_seed(self, sharding: Sharding) -> None:
        """Let all processes draw the same numbers; a module without a seed takes that of the first process."""
        if self.seed is None:
            self.seed = sharding.seed(self.owner)

    def drop(self, path: str) -> None:
        """Forget ``path``."""
        self.provisional.pop(path, None)
        self.makers.pop(path, None)
        super().drop(path)

    @contextmanager
    def _walked(self) -> Iterator[None]:
        """Let torch walk over the tensors: none comes or goes meanwhile, and an empty store is plainly empty."""
        with self.lock:
            if not isinstance(self._parameters, UnbuiltParameters):
                yield
                return
            self._parameters = {}
            try:
                yield
            finally:
                if not self._parameters:
                    self._make_unlistable()

    # Hooks

    def run_pre_hooks(self) -> None:
        """Run the forward pre-hooks of the store, which has no forward: a call of its root stands for one.

        It is by such hooks that ``torch.nn.utils.prune`` and the hook-based ``weight_norm`` and ``spectral_norm``
        compute a weight anew before each forward.
        """
        for number, hook in self._forward_pre_hooks.items():
            if number in self._forward_pre_hooks_with_kwargs:
                hook(self, (), {})
            else:
                hook(self, ())

    # Converting

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Convert the variables, and remember the new device and dtype for those that are made later.

        A tensor that has several paths is one tensor afterwards too.
        """
        probe = torch.empty(0, dtype=self.dtype, device=self.device)
        moved = fn(probe)
        if not self.built and moved.device.type == "cpu" and moved.is_shared():  # type: ignore[no-untyped-call]
            raise NotBuiltError.of_sharing(self.owner)
        tied = self.tied()
        with self._walked():
            super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
            for path, first in tied.items():
                self._parameters[path] = self._parameters[first]
        if moved.dtype != probe.dtype:
            self.dtype = moved.dtype
        if moved.device != probe.device:
            self.device = moved.device
        return self

    def tied(self) -> dict[str, str]:
        """Of the paths that a parameter has beside its first one, what the first is."""
        if isinstance(self._parameters, UnbuiltParameters):
            return {}
        parameters = list(self._parameters.values())
        if len(set(map(id, parameters))) == len(parameters):  # most often
            return {}
        held, first = list(self._parameters.items()), dict[int, str]()
        return {path: first[id(p)] for path, p in held if p is not None and first.setdefault(id(p), path) != path}

    # Loading and saving

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, local_metadata: dict[str, Any], *more: Any
    ) -> None:
        """Load; a store that was never built first makes its variables from what is there."""
        if self.fsdp_units:
            end_gathering(self)
        with self.lock, self._walked():  # one hold: a call meanwhile would meet variables without their numbers
            if not self.built:
                self._make_from(state_dict, prefix, local_metadata)
            mine = ((prefix + path, tensor) for path, tensor in held_by(self))
            laid_out = laid_out_as(state_dict, [self], mine)
            super()._load_from_state_dict(laid_out, prefix, local_metadata, *more)

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        """Save, and note beside torch's version number what is no trainable parameter: an unbuilt module reads it."""
        if self.fsdp_units:
            end_gathering(self)
        with self._walked():
            super()._save_to_state_dict(destination, prefix, keep_vars)
            metadata = getattr(destination, "_metadata", {}).get(prefix[:-1])
            if metadata is not None:
                metadata["buffers"] = list(self._buffers)
                metadata["frozen"] = [spec.path for spec in self.declared() if not spec.trainable]

    def _make_from(self, state_dict: Mapping[str, Any], prefix: str, metadata: dict[str, Any]) -> None:
        for key, tensor in state_dict.items():
            path = key.removeprefix(prefix)
            if not key.startswith(prefix) or path in self.specs or not isinstance(tensor, Tensor):
                continue
            try:
                paths.check_path(path)
            except ValueError:
                continue  # torch reports it as an unexpected key
            parameter = path not in metadata.get("buffers", ())
            self.make_like(path, tensor, parameter=parameter, trainable=path not in metadata.get("frozen", ()))

    def make_like(
        self,
        path: str,
        tensor: Tensor,
        *,
        parameter: bool = True,
        trainable: bool = True,
    ) -> Tensor:
        """Make a variable of a tensor's shape and dtype, without its values, for the next get to declare in full.

        It has the module's dtype already if that loses no digit; a narrower one waits for what the code declares.
        """
        refuse_unreal(path, self.owner, tensor)
        with plain_mode():
            differentiable = tensor.is_floating_point() or tensor.is_complex()
            dtype = tensor.dtype
            if self.dtype and tensor.is_floating_point() and torch.promote_types(dtype, self.dtype) == self.dtype:
                dtype = self.dtype
            if self.sharding is None:
                made = torch.empty(tensor.shape, dtype=dtype, device=self.device)
            else:
                whole = VariableSpec(path, tuple(tensor.shape), dtype, "parameter" if parameter else "buffer")
                made = self.sharding.empty(whole, self.device)
            refuse_unreal(path, self.owner, made)
            if parameter:
                made = nn.Parameter(made, differentiable and trainable)
        self.put(spec_of_tensor(path, made), made)
        self.provisional[path] = "file"
        return made

    # Copies

    def _replicate_for_data_parallel(self) -> Self:
        replica: Self = super()._replicate_for_data_parallel()  # type: ignore[no-untyped-call]
        replica.is_replica = True
        return replica

    def __setitem__(self, key: str, value: object) -> None:
        if isinstance(value, Tensor):
            refuse_unreal(key, self.owner, value)
        key = paths.check_path(key)
        new = key not in self.specs
        super().__setitem__(key, value)
        if new:
            self.provisional[key] = "by hand"

    def __setattr__(self, name: str, value: object) -> None:
        if isinstance(value, Tensor) and self.__dict__.get("is_replica"):  # torch puts plain tensors into a replica
            (self._buffers if name in self._buffers else self._parameters)[name] = value  # type: ignore[assignment]
        else:
            super().__setattr__(name, value)

    def __getstate__(self) -> dict[str, Any]:
        # Under the lock, and of copies: another thread may be building while this one saves.
        with self.lock:
            state = self.__dict__.copy()
            state["tree"] = None
            state["specs"] = state["_keys"] = self.specs.copy()
            for name in ("module_made_at", "_modules", "provisional", "makers"):
                state[name] = state[name].copy()
            for tensors in ("_parameters", "_buffers"):
                if not isinstance(state[tensors], UnbuiltParameters):
                    state[tensors] = state[tensors].copy()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        # What a store had not before 0.3.
        new: dict[str, object] = {"layout": "torch", "sharding": None, "function_scopes": set(), "fsdp_units": {}}
        super().__setstate__({**new, **state})  # type: ignore[no-untyped-call]
        self.provisional |= {spec.path: "pickle" for spec in self.declared() if spec.lost_callables}
        self.makers = {path: maker for path, maker in self.makers.items() if maker is not None}


def tensors_of(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The parameters and buffers of a module tree with their names, also where a ScopedModule in it is not built."""
    for prefix, part in module.named_modules():
        for name, tensor in held_by(part):
            yield f"{prefix}.{name}" if prefix else name, tensor


def held_by(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The parameters and buffers that one module holds itself, also if it is the store of one that is not built."""
    unbuilt = isinstance(module._parameters, UnbuiltParameters)  # it is empty, and says so to whoever lists it
    parameters = () if unbuilt else tuple(module._parameters.items())
    for name, tensor in (*parameters, *module._buffers.items()):
        if tensor is not None:
            yield name, tensor
