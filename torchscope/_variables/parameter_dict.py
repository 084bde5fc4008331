"""An ``nn.ParameterDict`` that takes every path as a key and holds the declarations of its variables."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, NoReturn, TypeVar

import torch
from torch import Tensor, nn

from .._names import paths
from ..errors import NotBuiltError, VariableKindError
from .path_tree import PathNode
from .spec import Kind, Specs, VariableSpec

T = TypeVar("T")
COMPUTED = "parametrizations"  # where torch.nn.utils.parametrize keeps what it computes tensors from


class UnbuiltParameters(dict[str, Tensor | None]):
    """The empty ``_parameters`` of a root that was never built: who lists it is told that there is nothing to train.

    ``parent.parameters()`` of a plain module asks the ``_parameters`` of every module below it and nothing else, so
    this is the one place where an optimizer over a half-made tree can be caught.
    """

    def __init__(self, owner: str) -> None:
        super().__init__()
        self.owner = owner

    def items(self) -> NoReturn:
        raise NotBuiltError.of(self.owner, compiling=torch.compiler.is_compiling())

    def __reduce__(self) -> tuple[type[UnbuiltParameters], tuple[str]]:
        return UnbuiltParameters, (self.owner,)


class Lock(type(threading.RLock())):  # type: ignore[misc]
    """A re-entrant lock that can be copied and pickled: the copy is another lock, and open.

    A subclass, so that ``with`` calls the methods in C: Ctrl-C cannot come between taking the lock and the block.
    """

    def is_mine(self) -> bool:
        """Whether this thread holds it."""
        return bool(self._is_owned())

    def __reduce__(self) -> tuple[type[Lock], tuple[()]]:
        return Lock, ()

    def __reduce_ex__(self, protocol: object) -> tuple[type[Lock], tuple[()]]:
        return self.__reduce__()


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
        self._make_unlistable()
        self.lock = Lock()

    def declared(self) -> list[VariableSpec]:
        """The declarations as they are now, in order of creation: a snapshot to walk over while others build.

        ``list`` of a dict's values is one step for other threads; a comprehension over the dict is many.
        """
        return list(self.specs.values())

    @property
    def holds_nothing(self) -> bool:
        """Whether nothing lives here, neither a variable nor a module."""
        return not self.specs and not self.module_made_at

    def existing(self) -> tuple[str, ...]:
        """All paths that something lives at: variables, then modules."""
        return (*self.specs, *self.module_made_at)

    def find(self, path: str) -> Tensor | None:
        """The tensor of ``path``, or ``None``."""
        tensor: Tensor | None = self._parameters.get(path)
        if tensor is None:
            tensor = self._buffers.get(path)
        if tensor is None and path in self.specs:
            # What is computed is a property of the class, computed once: no default. Pruning sets an attribute.
            tensor = getattr(self, path) if self.computed_by(path) is not None else self.__dict__.get(path)
        return tensor

    def computed_by(self, path: str) -> nn.Module | None:
        """What ``torch.nn.utils.parametrize`` computes the variable of a path by, if it does."""
        computed = self._modules.get(COMPUTED)
        return computed[path] if isinstance(computed, nn.ModuleDict) and path in computed else None

    def put(self, spec: VariableSpec, tensor: Tensor) -> None:
        """Let ``spec.path`` be this tensor, declared so; a thread that reads the declaration finds the tensor."""
        path, known = spec.path, self.specs.get(spec.path)
        if known is not spec:
            self._clear_tree()
        if spec.kind == "parameter":
            self._make_listable()
            self._buffers.pop(path, None)
            self._parameters[path] = tensor  # type: ignore[assignment]
        else:
            self._parameters.pop(path, None)
            self._buffers[path] = tensor
            if not spec.persistent:
                self._non_persistent_buffers_set.add(path)
        if known is not spec:
            self.specs[path] = spec

    def put_module(self, path: str, module: nn.Module, made_at: str) -> None:
        """Let ``path`` be a whole module."""
        self._make_listable()
        self.module_made_at[path] = made_at  # first: by it, drop() knows a module
        self._modules = {**self._modules, path: module}  # another dict: torch may be walking over the old one
        self._clear_tree()

    def drop(self, path: str) -> None:
        """Forget ``path``."""
        if self.module_made_at.pop(path, None) is not None:
            self._modules = {name: module for name, module in self._modules.items() if name != path}
        self.specs.pop(path, None)
        self._parameters.pop(path, None)
        self._buffers.pop(path, None)
        self._non_persistent_buffers_set.discard(path)
        self._clear_tree()
        if self.holds_nothing and not self.built:
            self._make_unlistable()

    def put_in_order(self, order: Iterable[str]) -> None:
        """Let these paths come first, in this order.

        If they do not yet, other dicts take the place of those that other threads may walk over.
        """
        places = {path: place for place, path in enumerate(order)}

        def place(path: str) -> int:
            return places.get(path, len(places))

        def in_order(entries: dict[str, T]) -> dict[str, T]:
            return {path: entries[path] for path in sorted(entries, key=place)}

        held = (self.specs, self.module_made_at, self._parameters, self._buffers)
        if all(list(entries) == sorted(entries, key=place) for entries in held):
            return
        self._clear_tree()
        self._parameters, self._buffers = in_order(self._parameters), in_order(self._buffers)
        self._modules, self.module_made_at = in_order(self._modules), in_order(self.module_made_at)
        self.specs = self._keys = Specs(in_order(self.specs))  # type: ignore[assignment]

    def _make_listable(self) -> None:
        if isinstance(self._parameters, UnbuiltParameters):
            self._parameters = {}

    def _make_unlistable(self) -> None:
        self._parameters = UnbuiltParameters(self.owner)  # type: ignore[assignment]  # None stands for no parameter

    def _clear_tree(self) -> None:
        tree = self.tree
        if tree is not None:
            self.tree = None
            tree.clear()  # a call that is running may be in it

    # The mapping: the base does the rest with these

    def __getitem__(self, key: str) -> Any:
        tensor = self.find(key)
        if tensor is None:
            raise KeyError(self._missing(key))
        return tensor

    def _missing(self, key: str) -> str:
        """What there is instead of a variable of this path."""
        if key in self.module_made_at:
            return f"'{key}' of {self.owner} is a layer of get_module, model.variables.get_submodule('{key}')"
        below = [path for path in self.specs if path.startswith(f"{key}/")]
        if below:
            return f"'{key}' of {self.owner} is a scope; its variables are {', '.join(map(repr, below[:5]))}" + (
                f" and {len(below) - 5} more" if len(below) > 5 else ""
            )
        return f"{self.owner} has no variable '{key}'. {paths.say_nearest(str(key), self.existing())}".rstrip()

    def __iter__(self) -> Iterator[str]:
        return iter(list(self.specs))

    def items(self) -> Iterator[tuple[str, Any]]:
        """Each path with its tensor, of those that there are now; others may come and go meanwhile."""
        return ((path, tensor) for path in self if (tensor := self.find(path)) is not None)

    def values(self) -> Iterator[Any]:
        """Each tensor, likewise."""
        return (tensor for _, tensor in self.items())

    def __setitem__(self, key: str, value: object) -> None:
        """Put a tensor in by hand; what is no parameter becomes one, as in an ``nn.ParameterDict``."""
        if not isinstance(value, Tensor):
            raise TypeError(f"'{key}': the variables of {self.owner} are tensors, not {type(value).__name__}.")
        key = paths.check_path(key)
        known = self.specs.get(key)
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

    def __setattr__(self, name: str, value: object) -> None:
        if isinstance(value, Tensor) and name in self._buffers:
            self._buffers[name] = value.detach() if isinstance(value, nn.Parameter) else value
        elif isinstance(value, nn.Parameter) or (isinstance(value, Tensor) and name in self._parameters):
            self._parameters[name] = value  # type: ignore[assignment]
        elif isinstance(value, nn.Module):
            super().__setattr__(name, value)
        else:  # nn.Module refuses `self.training = True` where a parameter is called "training"
            object.__setattr__(self, name, value)


def spec_of_tensor(path: str, tensor: Tensor) -> VariableSpec:
    """All that a tensor alone tells of a declaration."""
    kind: Kind = "parameter" if isinstance(tensor, nn.Parameter) else "buffer"
    return VariableSpec(path, tuple(tensor.shape), tensor.dtype, kind, trainable=tensor.requires_grad)
