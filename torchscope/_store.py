"""Path to variable: create, return, check. The store knows no scopes; a :class:`Request` tells it all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, Self, cast

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from . import _names
from ._initialize import fill, gives_value, plain_mode, settle, stream_of, value_of
from ._parameter_dict import PathParameterDict, UnbuiltParameters, spec_of_tensor, tensors_of
from ._path_tree import PathNode, tree_of
from ._request import Request
from ._spec import VariableSpec, caller, shared
from ._tracing import refuse, refuse_missing, tracer
from .errors import (
    ArgumentValueError,
    InitializerError,
    NotBuiltError,
    VariableDtypeError,
    VariableExistsError,
    VariableKindError,
    VariableNotFoundError,
)

# The collections that follow from the declarations alone, under the strings of tf.GraphKeys.
TRAINABLE_VARIABLES = "trainable_variables"
GLOBAL_VARIABLES = "variables"
LOCAL_VARIABLES = "local_variables"
REGULARIZATION_LOSSES = "regularization_losses"


# What may have to be taken back: the store, the path (None: the store's being built), and how (None: drop the path).
# A new variable is one small entry: what the garbage collector has to walk through grows with their number.
Undo = list[tuple["VariableStore", str | None, Callable[[], None] | None]]


class Asker(Protocol):
    """What the store needs to know of the call that asks."""

    got: dict[str, bool]
    undo: Undo | None
    sets_built: bool


class VariableStore(PathParameterDict):
    """The variables of one root; it is ``module.variables``."""

    def __init__(self, owner: str, *, seed: int | None, device: Any, dtype: torch.dtype | None) -> None:
        super().__init__(owner)
        self.seed = seed
        self.device = device
        self.dtype = dtype
        self.building = 0  # how many `with module.building():` are open
        self.settled = False  # built and none of those open: calls create nothing
        self.made_strictly = False  # from a state_dict, strictly: a path that was not in it is missing, not new
        self.provisional: set[str] = set()  # paths whose declaration the next get completes
        self.tagged: dict[str, list[str]] = {}  # collection -> paths put in by add_to_collection
        self.collected: dict[str, list[tuple[str, Any]]] = {}  # collection -> (scope, value), likewise
        self.parts: dict[str, Any] = {}  # path -> how a partitioner cut it
        self.makers: dict[
            str, Callable[..., nn.Module]
        ] = {}  # of the modules of get_module; the next get of a path brings back what pickle lost
        self.building_calls: list[Any] = []
        # of each build() that is running: path -> what a buffer, or what is frozen, is to hold again after it
        self.first_values: list[dict[str, Tensor]] = []
        self._path_of: dict[int, str] = {}

    def set_built(self, built: bool) -> None:
        """From now on, calls return and create no more; or, if the first call is undone, they may again."""
        self.built = built
        if not self._parameters:
            self._parameters = {} if built else UnbuiltParameters(self.owner)
        self.settled = built and not self.building

    def set_building(self, change: int) -> None:
        """One more (1) or one fewer (-1) ``with module.building():`` is open."""
        with self.lock:
            self.building += change
            self.settled = self.built and not self.building

    def grown_tree(self) -> PathNode:
        """The tree of what calls may return at once; who comes first grows it, and it stays until something changes."""
        with self.lock:
            if self.tree is None:
                specs = (spec for spec in self.declared() if spec.path not in self.provisional)
                self.tree = tree_of(specs, self.module_made_at)
            return self.tree

    # Answering requests

    def answer(self, call: Asker, request: Request) -> Tensor:
        """The variable of ``request.path``, by the rules of reuse, created if they allow it.

        Raises:
            VariableExistsError, VariableNotFoundError: what the rules of reuse say.
            VariableShapeError, VariableDtypeError, VariableKindError: it is declared otherwise.
            TracingError: it would have to be created while something is tracing.
        """
        if call.undo is None and request.path not in self.provisional:
            return self._answer(call, request)
        tracing = tracer()
        if tracing is not None:
            if request.path in self.provisional:
                refuse(request.path, self.owner, tracing)
            return self._answer(call, request)
        with self.lock:
            return self._answer(call, request)

    def _answer(self, call: Asker, request: Request) -> Tensor:
        path = request.path
        spec, tensor = self.specs.get(path), self.find(path)
        if path in self.module_made_at:
            raise VariableKindError.of(path, request.kind, "module", self.module_made_at[path])
        if path in call.got and not request.reuse:
            raise VariableExistsError.of(path, self.owner, spec.made_at if spec else None)
        if spec is None or tensor is None:
            tensor = self._create(call, request)
        elif path in self.provisional:
            tensor = self._complete(call, request, spec, tensor)
        else:
            spec.check(request.kind, request.shape, request.dtype)
        call.got[path] = True
        return tensor

    def _create(self, call: Asker, request: Request) -> Tensor:
        path = request.path
        if request.reuse is True:
            raise VariableNotFoundError.of_reuse(path, self.owner, _names.nearest(path, self.specs))
        tracing = tracer()
        if tracing is not None and self.settled:
            refuse_missing(path, self.owner, tuple(self.specs))
        if tracing is not None:
            refuse(path, self.owner, tracing)
        if call.undo is None:
            raise VariableNotFoundError.of_built(path, self.owner, _names.nearest(path, self.specs))
        if self.made_strictly and request.persistent and call.sets_built:
            raise VariableNotFoundError.of_state_dict(path, self.owner, _names.nearest(path, self.specs))
        spec, tensor = self._make(request)
        for values in self.first_values:
            if not tensor.requires_grad:
                values[path] = tensor.clone()
        self.put(spec, tensor)
        call.undo.append((self, path, None))
        return tensor

    def _make(self, request: Request) -> tuple[VariableSpec, Tensor]:
        path, initializer = request.path, settle(request.initializer)
        with plain_mode():
            if request.shape is None:
                value = value_of(path, initializer, request.dtype, self.seed)
                spec = self._spec_of(request, initializer, tuple(value.shape), value.dtype)
            else:
                dtype = request.dtype or request.default_dtype or self.default_dtype()
                spec = self._spec_of(request, initializer, request.shape, dtype)
            tensor = self._empty(request, spec.shape, spec.dtype)
            if type(tensor) is not Tensor:
                refuse(path, self.owner, f"tensors of type {type(tensor).__name__}")
            if request.shape is None:
                tensor.copy_(value)
            else:
                fill(tensor, path, initializer, self.seed)
            if spec.kind == "parameter":
                tensor = nn.Parameter(tensor, requires_grad=spec.trainable)
        return spec, tensor

    def _empty(self, request: Request, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=self.device if request.device is None else request.device)

    def default_dtype(self) -> torch.dtype:
        """The dtype of a variable that neither argument nor scope gives one: the module's, else torch's default."""
        return self.dtype or torch.get_default_dtype()

    def _spec_of(self, request: Request, initializer: Any, shape: tuple[int, ...], dtype: torch.dtype) -> VariableSpec:
        differentiable = dtype.is_floating_point or dtype.is_complex
        if request.trainable and not differentiable:
            raise VariableDtypeError.of_trainable(request.path, dtype)
        collections = request.collections
        if collections is None:
            collections = (GLOBAL_VARIABLES if request.persistent else LOCAL_VARIABLES,)
        return VariableSpec(
            path=request.path,
            shape=shared(shape),
            dtype=dtype,
            kind=request.kind,
            trainable=differentiable if request.trainable is None else request.trainable,
            persistent=request.persistent,
            initializer=initializer,
            from_value=request.shape is None and gives_value(initializer),
            regularizer=request.regularizer,
            constraint=request.constraint,
            collections=collections,
            made_at=caller(),
        )

    def _complete(self, call: Asker, request: Request, spec: VariableSpec, tensor: Tensor) -> Tensor:
        """Declare in full a variable that came from a state_dict, or whose callables pickle lost."""
        path, requires_grad, data, order = request.path, tensor.requires_grad, tensor.data, list(self._parameters)
        undeclared = spec.made_at is None
        dtype = request.dtype or (request.default_dtype if undeclared else None)
        casts = undeclared and dtype is not None and dtype.is_floating_point and spec.dtype.is_floating_point
        spec.check(spec.kind if undeclared else request.kind, request.shape, None if casts else request.dtype)
        declared = self._spec_of(
            request, settle(request.initializer), spec.shape, dtype if casts and dtype else spec.dtype
        )
        if casts and self.dtype is None:  # as loading into a built module would have done
            tensor.data = data.to(dtype)

        def undo() -> None:
            tensor.data = data
            self.put(spec, tensor.requires_grad_(requires_grad))
            self.provisional.add(path)
            for key in order:  # the buffer that is a parameter again goes back to its place
                self._parameters[key] = self._parameters.pop(key)

        full = tensor
        if undeclared and request.kind == "buffer":
            full = tensor.detach()
        elif undeclared and not isinstance(tensor, nn.Parameter):
            full = nn.Parameter(tensor, requires_grad=declared.trainable)
        elif undeclared and request.trainable is False:
            tensor.requires_grad_(False)
        self.put(declared, full)
        self.provisional.discard(path)
        if call.undo is not None:
            call.undo.append((self, path, undo))
        return full

    def drop(self, path: str) -> None:
        self.provisional.discard(path)
        self.makers.pop(path, None)
        super().drop(path)

    # As a part of the module tree

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Convert the variables, and remember where to and to what, for those that are not made yet."""
        super()._apply(fn, recurse)
        probe = torch.empty(0, dtype=self.dtype, device=self.device)
        moved = fn(probe)
        if moved.dtype != probe.dtype:
            self.dtype = moved.dtype
        if moved.device != probe.device:
            self.device = moved.device
        return self

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: Any, *more: Any) -> None:
        """Load; a store that was never built first makes its variables from what is there."""
        if not self.built:
            with self.lock:
                self._make_from(state_dict, prefix, local_metadata)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *more)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        """Save, and note beside torch's version number what is no trainable parameter: an unbuilt module reads it."""
        with self.lock:
            super()._save_to_state_dict(destination, prefix, keep_vars)
            metadata = getattr(destination, "_metadata", {}).get(prefix[:-1])
            if metadata is not None:
                metadata["buffers"] = list(self._buffers)
                metadata["frozen"] = [spec.path for spec in self.declared() if not spec.trainable]

    def _make_from(self, state_dict: Any, prefix: str, metadata: dict[str, Any]) -> None:
        for key, tensor in state_dict.items():
            path = key.removeprefix(prefix)
            if not key.startswith(prefix) or path in self.specs or not isinstance(tensor, Tensor):
                continue
            try:
                _names.check(path)
            except ValueError:
                continue  # torch reports it as an unexpected key
            parameter = path not in metadata.get("buffers", ())
            self.make_like(path, tensor, parameter=parameter, trainable=path not in metadata.get("frozen", ()))

    def make_like(self, path: str, tensor: Tensor, *, parameter: bool = True, trainable: bool = True) -> Tensor:
        """Make a variable of a tensor's shape and dtype, without its values, for the next get to declare in full."""
        with plain_mode():
            differentiable = tensor.is_floating_point() or tensor.is_complex()
            dtype = self.dtype if self.dtype and tensor.is_floating_point() else tensor.dtype
            made = torch.empty(tensor.shape, dtype=dtype, device=self.device)
            if parameter:
                made = nn.Parameter(made, differentiable and trainable)
        self.put(spec_of_tensor(path, made), made)
        self.provisional.add(path)
        return made

    def _replicate_for_data_parallel(self) -> VariableStore:
        replica: VariableStore = super()._replicate_for_data_parallel()  # type: ignore[no-untyped-call]
        replica.__class__ = _Replica
        return replica

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        state.update(building=0, building_calls=[], collected={}, _path_of={}, first_values=[], settled=state["built"])
        state["provisional"], state["makers"] = self.provisional.copy(), self.makers.copy()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self.provisional |= {spec.path for spec in self.declared() if spec.lost_callables}
        self.makers = {path: maker for path, maker in self.makers.items() if maker is not None}

    # Everything at once

    def select(self, scope: str = "") -> Iterator[tuple[VariableSpec, Tensor]]:
        """The variables that ``scope``, a path or a glob, selects, in the order of their creation."""
        selected = _names.selector(scope, self.specs)
        for spec in self.declared():
            tensor = self.find(spec.path) if selected(spec.path) else None
            if tensor is not None:  # another thread may have taken it back meanwhile
                yield spec, tensor

    def path_of(self, variable: Tensor) -> str:
        """The path of this very tensor.

        Raises:
            VariableNotFoundError: none of the variables is this object.
        """
        path = self._path_of.get(id(variable))
        if path is None or self.find(path) is not variable:
            self._path_of = {id(self.find(path)): path for path in list(self.specs)}
            path = self._path_of.get(id(variable))
        if path is None:
            path = next((name for name, tensor in self._of_modules("") if tensor is variable), None)
        if path is None:
            path = next((p for p in list(self.specs) if any(leaf is variable for leaf in self._leaves(p))), None)
        if path is None:
            raise VariableNotFoundError.of_tensor(self.owner)
        return path

    def _leaves(self, path: str) -> list[Tensor]:
        """The tensor of a path; if it is computed, by torch's parametrizations or pruning, what it is computed from."""
        tensor = self._parameters.get(path, self._buffers.get(path))
        if tensor is not None:
            return [tensor]
        parametrized: Any = self._modules.get("parametrizations", {})
        if path in parametrized:
            return list(parametrized[path].parameters())
        original = self._parameters.get(f"{path}_orig")
        return [] if original is None else [original]

    def _of_modules(self, scope: str) -> Iterator[tuple[str, Tensor]]:
        """The tensors of the modules that ``scope`` selects, under ``<path>.<name>``."""
        selected = _names.selector(scope, (*self.specs, *self.module_made_at))
        for path in list(self.module_made_at):
            if selected(path):
                for name, tensor in tensors_of(self._modules[path]):  # type: ignore[arg-type]
                    yield f"{path}.{name}", tensor

    def holds(self, tensor: Tensor) -> bool:
        """Whether a tensor is a variable of this store."""
        try:
            return bool(self.path_of(tensor))
        except VariableNotFoundError:
            return False

    def collection(self, name: str, scope: str, loose: dict[str, list[tuple[str, Any]]]) -> list[Any]:
        """What is in a collection below ``scope``: variables first, then the values in ``loose``."""
        tagged = self.tagged.get(name, ())
        variables: list[Any] = []
        trainable = name == TRAINABLE_VARIABLES
        for spec, variable in self.select(scope):
            leaves = [leaf for leaf in self._leaves(spec.path) if leaf.requires_grad] if trainable else []
            if leaves:
                variables += leaves
            elif name in spec.collections or spec.path in tagged:
                variables.append(variable)
        if trainable:
            variables += [tensor for _, tensor in self._of_modules(scope) if tensor.requires_grad]
        if name == GLOBAL_VARIABLES:
            variables += [tensor for _, tensor in self._of_modules(scope)]
        losses = self.regularization_losses(scope) if name == REGULARIZATION_LOSSES else []
        selected = _names.selector(scope, self.specs)
        return variables + losses + [value for where, value in loose.get(name, ()) if selected(where)]

    def regularization_losses(self, scope: str) -> list[Tensor]:
        """One loss per regularized variable, computed from today's values."""
        self._refuse_undeclared("regularizers")
        losses = []
        for spec, variable in self.select(scope):
            loss = spec.regularizer(variable) if spec.regularizer is not None else None
            if loss is not None:
                if not isinstance(loss, Tensor) or loss.dim():
                    mend = f"It is the loss of '{spec.path}': a regularizer returns a scalar tensor, or None."
                    raise ArgumentValueError.of("the regularizer's result", loss, mend)
                losses.append(loss)
        return losses

    def _refuse_parametrized(self, what: str, paths: Iterable[str]) -> None:
        for path in paths:
            if path not in self._parameters and path not in self._buffers:
                problem = f"it is computed (parametrized or pruned), so it cannot be {what} in place"
                raise InitializerError.of(path, problem, "Remove the parametrization first, or set what it is made of.")

    def _refuse_undeclared(self, what: str) -> None:
        if not self.built and any(self.specs[path].made_at is None for path in self.provisional):
            raise NotBuiltError.of_undeclared(self.owner, what)

    def apply_constraints(self) -> None:
        """Project in place every variable that was declared with a constraint."""
        self._refuse_undeclared("constraints")
        with torch.no_grad():
            constrained = [spec.path for spec in self.declared() if spec.constraint is not None]
            self._refuse_parametrized("projected", constrained)
            for spec, variable in self.select():
                projected = spec.constraint(variable) if spec.constraint is not None else None
                if projected is None or projected is variable:
                    continue
                if not isinstance(projected, Tensor) or projected.shape != variable.shape:
                    mend = f"It projects '{spec.path}': a constraint returns a tensor of the variable's shape, or None."
                    raise ArgumentValueError.of("the constraint's result", projected, mend)
                variable.copy_(projected)

    def reset(self) -> None:
        """Fill every variable anew, in place, as its declaration says."""
        unknown = [spec.path for spec in self.declared() if spec.path in self.provisional]
        unknown += [path for path in list(self.module_made_at) if path not in self.makers]
        if unknown:
            problem = f"{len(unknown)} variables of {self.owner} have no known initializer, this one first"
            mend = "They came from a state_dict, or pickle lost the function: call the module once before resetting."
            raise InitializerError.of(unknown[0], problem, mend)
        self._refuse_parametrized("filled", list(self.specs))
        with plain_mode():
            for spec, variable in self.select():
                if spec.from_value:
                    variable.copy_(value_of(spec.path, spec.initializer, None, self.seed))
                else:
                    fill(variable.detach(), spec.path, spec.initializer, self.seed)
            for path in list(self.module_made_at):
                self._reset_module(path, cast(nn.Module, self._modules[path]))

    def _reset_module(self, path: str, module: nn.Module) -> None:
        """Give the tensors of a layer the numbers of one that is made anew; a ScopedModule inside has its own reset."""
        held = _own_tensors(module)
        made = self._made_anew(path, held)
        if made is None:  # by its own means, parts before the whole
            with stream_of(path, self.seed):
                for part in reversed(list(module.modules())):
                    getattr(part, "reset_parameters", lambda: None)()
            return
        if [(name, t.shape) for name, t in held.items()] != [(name, t.shape) for name, t in made.items()]:
            mend = "Remove what was added to it (a parametrization, say) first, or fill it yourself."
            raise InitializerError.of(path, "this layer has other tensors now than its factory makes", mend)
        for name, tensor in held.items():
            tensor.copy_(made[name])

    def _made_anew(self, path: str, held: dict[str, Tensor]) -> dict[str, Tensor] | None:
        """The tensors of a layer made anew; ``None`` if it is sharded, or has its numbers from its first input."""
        if any(type(tensor) not in (Tensor, nn.Parameter) for tensor in held.values()):
            return None
        device = next((tensor.device for tensor in held.values()), None)
        made = _own_tensors(self.makers[path](path, self.seed, device))
        return None if any(map(is_lazy, made.values())) else made


def _own_tensors(module: nn.Module) -> dict[str, Tensor]:
    """The tensors of a module with their names, but for those of a ScopedModule in it."""
    others = tuple(f"{name}." for name, part in module.named_modules() if isinstance(part, VariableStore))
    return {name: tensor for name, tensor in tensors_of(module) if not name.startswith(others)}


def take_back(store: VariableStore, path: str | None, undo: Callable[[], None] | None) -> None:
    """Undo one entry of an :data:`Undo`."""
    if undo is not None:
        undo()
    elif path is not None:
        store.drop(path)


class _Replica(VariableStore):
    """A replica made by ``torch.nn.parallel.replicate``: it holds copies on another device for the time of a call."""

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Tensor):
            (self._buffers if name in self._buffers else self._parameters)[name] = value  # type: ignore[assignment]
        else:
            super().__setattr__(name, value)

    def _create(self, call: Asker, request: Request) -> Tensor:
        refuse(request.path, self.owner, "DataParallel, whose replicas are thrown away after each call")
        raise AssertionError("refuse always raises")

    def _complete(self, call: Asker, request: Request, spec: VariableSpec, tensor: Tensor) -> Tensor:
        return self._create(call, request)
