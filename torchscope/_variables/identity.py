"""Tensors by identity: from one to its path, each once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from torch import Tensor, nn

from .._names.patterns import Patterns, selector
from ..errors import InitializerError, VariableNotFoundError
from .module_tree import tensors_of
from .store import VariableStore

T = TypeVar("T", bound=Tensor)


def once(tensors: Iterable[T]) -> list[T]:
    """Each tensor once: one that lies at several paths is one variable."""
    return list({id(tensor): tensor for tensor in tensors}.values())


def path_of(store: VariableStore, variable: Tensor) -> str:
    """The path of this very tensor.

    Raises:
        VariableNotFoundError: none of the variables is this object.
    """
    path = store.path_of_id.get(id(variable))
    if path is None or store.find(path) is not variable:
        store.path_of_id = {id(store.find(path)): path for path in reversed(list(store.specs))}  # the first one stays
        path = store.path_of_id.get(id(variable))
    if path is None:
        path = next((name for name, tensor, _ in in_modules(store) if tensor is variable), None)
    if path is None:
        path = next((p for p in list(store.specs) if any(leaf is variable for leaf in leaves(store, p))), None)
    if path is None:
        raise VariableNotFoundError.of_tensor(store.owner)
    return path


def holds(store: VariableStore, tensor: Tensor) -> bool:
    """Whether a tensor is a variable of this store."""
    try:
        return bool(path_of(store, tensor))
    except VariableNotFoundError:
        return False


def is_computed(store: VariableStore, path: str) -> bool:
    """Whether a variable is computed from others, by torch's parametrizations or pruning."""
    return path not in store._parameters and path not in store._buffers and path in store.specs


def refuse_computed(store: VariableStore, what: str, candidates: Iterable[str]) -> None:
    """Refuse to write into a variable that is computed from others."""
    for path in candidates:
        if is_computed(store, path):
            problem = f"it is computed (parametrized or pruned), so it cannot be {what} in place"
            raise InitializerError.of(path, problem, "Remove the parametrization first, or set what it is made of.")


def leaves(store: VariableStore, path: str) -> list[Tensor]:
    """The tensor of a path; if it is computed, what it is computed from."""
    tensor = store._parameters.get(path, store._buffers.get(path))
    if tensor is not None:
        return [tensor]
    computed = store.computed_by(path)
    if computed is not None:
        return list(computed.parameters())
    original = store._parameters.get(f"{path}_orig")
    return [] if original is None else [original]


def in_modules(store: VariableStore, scope: Patterns = "") -> Iterator[tuple[str, Tensor, bool]]:
    """The tensors of the modules that ``scope`` selects, under ``<path>.<name>``, and whether each is saved."""
    selected = selector(scope, store.existing())
    for path in list(store.module_made_at):
        module = store._modules.get(path)
        if module is not None:
            for name, tensor in tensors_of(module):
                if selected(path) or selected(f"{path}.{name}"):
                    yield f"{path}.{name}", tensor, is_saved(module, name)


def is_saved(module: nn.Module, name: str) -> bool:
    """Whether a tensor of a module tree, by its name there, is a part of the ``state_dict``."""
    holder, _, own = name.rpartition(".")
    return own not in module.get_submodule(holder)._non_persistent_buffers_set
