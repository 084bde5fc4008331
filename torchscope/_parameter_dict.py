"""An ``nn.ParameterDict`` that takes every path as a key and holds the declarations of its variables."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NoReturn, Self

from torch import Tensor, nn

from . import _names
from ._path_tree import PathNode
from ._spec import Kind, Specs, VariableSpec
from .errors import NotBuiltError, VariableKindError


class UnbuiltParameters(dict[str, Any]):
    """The empty ``_parameters`` of a root that was never built: who lists it is told that there is nothing to train.

    ``parent.parameters()`` of a plain module asks the ``_parameters`` of every module below it and nothing else, so
    this is the one place where an optimizer over a half-made tree can be caught.
    """

    def __init__(self, owner: str) -> None:
        super().__init__()
        self.owner = owner

    def items(self) -> NoReturn:
        raise NotBuiltError.of(self.owner)

    def __reduce__(self) -> tuple[Any, ...]:
        return UnbuiltParameters, (self.owner,)


class Lock:
    """A re-entrant lock that can be copied and pickled: the copy is another lock, and open."""

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[Any, ...]:
        return Lock, ()


class PathParameterDict(nn.ParameterDict):
    """``module.variables`` as a mapping: path to parameter or buffer, and ``specs``, path to declaration.

    Its base stores a key as an attribute, refuses ``"keys"`` and breaks on ``"training"``. This class reaches its
    tensors as entries of ``_parameters`` and ``_buffers`` and never as attributes, so every path is a key, and the
    keys of the ``state_dict`` are the paths.
    """

    specs: dict[str, VariableSpec]
    tree: PathNode | None  # the specs as scopes find them; None: to be grown when a call starts that needs it

    def __init__(self, owner: str) -> None:
        super().__init__()
        self.owner = owner  # the root's name in messages
        self.built = False
        self.specs = Specs()
        self.tree = None
        self.module_made_at: dict[str, str] = {}  # the modules of get_module, by path: where in the code
        self._keys = self.specs  # type: ignore[assignment]  # one table of contents for the base and for us
        self._parameters = UnbuiltParameters(owner)
        self.lock = Lock()

    def declared(self) -> list[VariableSpec]:
        """The declarations as they are now, in order of creation: a snapshot to walk over while others build.

        ``list`` of a dict's values is one step for other threads; a comprehension over the dict is many.
        """
        return list(self.specs.values())

    def find(self, path: str) -> Tensor | None:
        """The tensor of ``path``, or ``None``."""
        tensor: Tensor | None = self._parameters.get(path)
        if tensor is None:
            tensor = self._buffers.get(path)
        if tensor is None and path in self.specs:  # torch.nn.utils.parametrize makes it a property of the class
            tensor = getattr(self, path, None)
        return tensor

    def put(self, spec: VariableSpec, tensor: Tensor) -> None:
        """Let ``spec.path`` be this tensor, declared so."""
        path = spec.path
        if self.specs.get(path) is not spec:
            self._clear_tree()
            self.specs[path] = spec
        if spec.kind == "parameter":
            if isinstance(self._parameters, UnbuiltParameters):
                self._parameters = {}
            self._buffers.pop(path, None)
            self._parameters[path] = tensor  # type: ignore[assignment]
        else:
            self._parameters.pop(path, None)
            self._buffers[path] = tensor
            if not spec.persistent:
                self._non_persistent_buffers_set.add(path)

    def put_module(self, path: str, module: nn.Module, made_at: str) -> None:
        """Let ``path`` be a whole module."""
        if isinstance(self._parameters, UnbuiltParameters):
            self._parameters = {}
        self._modules = {**self._modules, path: module}  # another dict: torch may be walking over the old one
        self.module_made_at[path] = made_at
        self._clear_tree()

    def drop(self, path: str) -> None:
        """Forget ``path``."""
        if self.module_made_at.pop(path, None) is not None:
            self._modules = {name: module for name, module in self._modules.items() if name != path}
        self._parameters.pop(path, None)
        self._buffers.pop(path, None)
        self._non_persistent_buffers_set.discard(path)
        self.specs.pop(path, None)
        self._clear_tree()
        if not self.specs and not self.module_made_at and not self.built:
            self._parameters = UnbuiltParameters(self.owner)

    def _clear_tree(self) -> None:
        tree, self.tree = self.tree, None
        if tree is not None:  # a call that is running may be in it
            tree.clear()

    # The mapping: the base does the rest with these three

    def __getitem__(self, key: str) -> Any:
        tensor = self.find(key)
        if tensor is None:
            raise KeyError(key)
        return tensor

    def __setitem__(self, key: str, value: Any) -> None:
        """Put a tensor in by hand; what is no parameter becomes one, as in an ``nn.ParameterDict``."""
        if not isinstance(value, Tensor):
            raise TypeError(f"'{key}': the variables of {self.owner} are tensors, not {type(value).__name__}.")
        known = self.specs.get(_names.check(key))
        if key in self.module_made_at:
            raise VariableKindError.of(key, "parameter", "module", self.module_made_at[key])
        buffer = known is not None and known.kind == "buffer" and not isinstance(value, nn.Parameter)
        if not buffer and not isinstance(value, nn.Parameter):
            value = nn.Parameter(value, requires_grad=value.is_floating_point() or value.is_complex())
        spec = spec_of_tensor(key, value)
        if known is not None:  # what was declared of it beside its shape and dtype stays
            same = (known.shape, known.dtype, known.kind) == (spec.shape, spec.dtype, spec.kind)
            spec = known if same else replace(known, shape=spec.shape, dtype=spec.dtype, kind=spec.kind)
        with self.lock:
            self.put(spec, value)

    def __delitem__(self, key: str) -> None:
        if key not in self.specs:
            raise KeyError(key)
        with self.lock:
            self.drop(key)

    # The module: a path must never be taken for an attribute, nor an attribute for a path

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Tensor) and name in self._buffers:
            self._buffers[name] = value.detach() if isinstance(value, nn.Parameter) else value
        elif isinstance(value, nn.Parameter) or (isinstance(value, Tensor) and name in self._parameters):
            self._parameters[name] = value  # type: ignore[assignment]
        elif isinstance(value, nn.Module):
            super().__setattr__(name, value)
        else:  # nn.Module refuses `self.training = True` where a parameter is called "training"
            object.__setattr__(self, name, value)

    # The module: torch's own walks over `_parameters` find nothing wrong with an empty store

    @contextmanager
    def _walked(self) -> Iterator[None]:
        """Let torch walk over the tensors: none comes or goes meanwhile, and an empty store is plainly empty."""
        with self.lock:
            unbuilt = self._parameters
            if not isinstance(unbuilt, UnbuiltParameters):
                yield
                return
            self._parameters = {}
            try:
                yield
            finally:
                if not self._parameters:
                    self._parameters = unbuilt

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        with self._walked():
            super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        with self._walked():
            super()._save_to_state_dict(destination, prefix, keep_vars)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        with self._walked():
            super()._load_from_state_dict(*args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        # Under the lock, and of copies: another thread may be building while this one saves.
        with self.lock:
            state = self.__dict__.copy()
            state["tree"] = None
            state["specs"] = state["_keys"] = self.specs.copy()
            state["module_made_at"], state["_modules"] = self.module_made_at.copy(), self._modules.copy()
            for tensors in ("_parameters", "_buffers"):
                if not isinstance(state[tensors], UnbuiltParameters):
                    state[tensors] = state[tensors].copy()
        return state


def tensors_of(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The parameters and buffers of a module tree with their names, also where a ScopedModule in it is not built."""
    for prefix, part in module.named_modules():
        held: list[dict[str, Any]] = [part._parameters, part._buffers]
        for tensors in held:
            for name in dict.keys(tensors):
                tensor = dict.get(tensors, name)
                if tensor is not None:
                    yield f"{prefix}.{name}" if prefix else name, tensor


def spec_of_tensor(path: str, tensor: Tensor) -> VariableSpec:
    """All that a tensor alone tells of a declaration."""
    kind: Kind = "parameter" if isinstance(tensor, nn.Parameter) else "buffer"
    return VariableSpec(path, tuple(tensor.shape), tensor.dtype, kind, trainable=tensor.requires_grad)
