"""Layers that a forward makes, runs and forgets: their weights are new in every call, and nothing trains them.

``nn.Linear(4, 4)(x)`` inside a forward is a mistake that no error follows from. While a module builds, torch's global
hooks tell which layers are constructed and run; afterwards those are told of that nobody has kept. A module that is
built runs without the hooks.
"""

from __future__ import annotations

import threading
import warnings
import weakref

from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.utils.hooks import RemovableHandle

from .._scopes.call import Call
from .._variables.initialize import creating
from .._variables.made_at import place_of_caller
from .._variables.module_tree import held_by, tensors_of
from .._variables.store import VariableStore

_watches: list[Watch] = []  # those whose hooks are there


class Watch:
    """The hooks that watch one building call. What an interrupt kept from being stopped, the next watch stops."""

    def __init__(self, call: Call) -> None:
        self._call, self._thread = call, threading.get_ident()
        self._made: dict[int, weakref.ref[nn.Module]] = {}  # the layers that got a parameter in this call
        self._ran: list[tuple[weakref.ref[nn.Module], tuple[str, str, int]]] = []  # with the class, the file and line
        self._handles: list[RemovableHandle] = []
        for watch in [watch for watch in _watches if watch._call.building is None]:
            watch.stop()
        _watches.append(self)
        self._handles.append(hooks.register_module_parameter_registration_hook(self._note_made))
        self._handles.append(hooks.register_module_module_registration_hook(self._note_store))
        self._handles.append(hooks.register_module_forward_pre_hook(self._note_run))

    def _runs_here(self) -> bool:
        return self._call.building is not None and threading.get_ident() == self._thread

    def _note_made(self, module: nn.Module, name: str, tensor: Tensor | None) -> None:
        if tensor is not None and self._runs_here():
            self._made[id(module)] = weakref.ref(module)

    def _note_store(self, module: nn.Module, name: str, submodule: nn.Module | None) -> None:
        if isinstance(submodule, VariableStore) and self._runs_here():  # a ScopedModule, which has no variables yet
            self._made[id(module)] = weakref.ref(module)

    def _note_run(self, module: nn.Module, inputs: object) -> None:
        made = self._made.get(id(module))
        if made is not None and made() is module and self._runs_here() and self._has_own_weights(module):
            self._ran.append((made, (_named(module), *place_of_caller())))

    def _has_own_weights(self, module: nn.Module) -> bool:
        """Whether it runs with weights of its own: not in a factory, nor with variables put in their places."""
        if creating.depth:
            return False
        variables = {id(tensor) for _, tensor in held_by(self._call.store)}
        own = [tensor for _, tensor in tensors_of(module) if isinstance(tensor, nn.Parameter)]
        is_scoped = isinstance(getattr(module, "variables", None), VariableStore)
        return is_scoped or any(not p.is_meta and id(p) not in variables for p in own)

    def stop(self) -> None:
        """Take the hooks away."""
        while self._handles:
            self._handles[-1].remove()
            self._handles.pop()
        if self in _watches:
            _watches.remove(self)

    def warn(self) -> None:
        """Say which of the layers that ran nobody has kept."""
        owner = self._call.store.owner
        forgotten = dict.fromkeys(where for layer, where in self._ran if layer() is None)
        for name, file, line in forgotten:
            warnings.warn_explicit(
                f"{name.removeprefix('nn.')} was made and run inside a call of {owner}, and nothing kept it: each call "
                f"will make new weights that no optimizer sees. Write get_module('name', {name}, ...), or make it in "
                "__init__.",
                UserWarning,
                file,
                line,
            )


def _named(layer: nn.Module) -> str:
    """The class of a layer as its user writes it."""
    name = type(layer).__name__
    return f"nn.{name}" if getattr(nn, name, None) is type(layer) else name
