"""Every tensor of a module tree: by its path, as selections and summaries name it, and by its key in ``state_dict``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor, nn

from ..errors import NotBuiltError
from .module_tree import held_by
from .parameter_dict import COMPUTED
from .store import VariableStore


class NamedTensor(NamedTuple):
    """A parameter or buffer of a module tree.

    Attributes:
        path: that of a variable of the root; ``gru.weight_ih_l0`` in a layer of ``get_module``; what lies in another
            module follows the module's name and a dot, ``head.weight`` or ``encoder.conv/w``.
        key: its name in ``named_parameters`` and, if it is saved, in ``state_dict``.
        tensor: the tensor itself; of a variable that is computed (parametrized or pruned), what it is computed from.
        saved: whether ``state_dict`` has it.
    """

    path: str
    key: str
    tensor: Tensor
    saved: bool


def all_tensors(root: nn.Module, path: str = "", key: str = "") -> Iterator[NamedTensor]:
    """The tensors of a module and of all below it; those of its own variables first, in the order of their creation.

    A tensor that is at two places comes twice.

    Raises:
        NotBuiltError: a ScopedModule in the tree was never built.
    """
    yield from _own(root, path, key)
    for name, child in root._modules.items():
        if isinstance(child, VariableStore):
            yield from _of_store(child, path, f"{key}{name}.")
        elif child is not None:
            inside = "" if name == COMPUTED else f"{name}."  # what a weight is computed from lies below its name
            yield from all_tensors(child, f"{path}{inside}", f"{key}{name}.")


def all_modules(root: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The modules of a tree by path, the root first, but for the stores that hold variables."""
    yield path, root
    below = path and f"{path}."
    for name, child in root._modules.items():
        if isinstance(child, VariableStore):
            for layer in list(child.module_made_at):
                found = child._modules.get(layer)
                if found is not None:
                    yield from all_modules(found, f"{below}{layer}")
        elif child is not None:
            yield from all_modules(child, f"{below}{name}")


def _own(module: nn.Module, path: str, key: str) -> Iterator[NamedTensor]:
    for name, tensor in held_by(module):
        yield NamedTensor(path + name, key + name, tensor, name not in module._non_persistent_buffers_set)


def _of_store(store: VariableStore, path: str, key: str) -> Iterator[NamedTensor]:
    if not store.built and store.holds_nothing:
        raise NotBuiltError.of(store.owner)
    held = {each.path: each for each in _own(store, "", "")}
    for spec in store.declared():
        mine = held.pop(spec.path, None)
        if mine is not None:
            yield NamedTensor(path + mine.path, key + mine.key, mine.tensor, mine.saved)
        elif (computed := store.computed_by(spec.path)) is not None:
            inside = f"{key}{COMPUTED}.{spec.path}."
            yield from all_tensors(computed, f"{path}{spec.path}.", inside)
    for name, rest in held.items():  # what torch's pruning computes a variable from: w_orig and w_mask
        whole, _, part = name.rpartition("_")
        below = f"{whole}.{part}" if whole in store.specs else name
        yield NamedTensor(path + below, key + name, rest.tensor, rest.saved)
    for name in list(store.module_made_at):
        layer = store._modules.get(name)
        if layer is not None:  # another thread may have taken it back meanwhile
            yield from all_tensors(layer, f"{path}{name}.", f"{key}{name}.")
