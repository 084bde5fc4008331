"""One run of a root: what was got in it, and what it created, so that a run that fails can be undone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ._store import VariableStore
from ._tracing import tracer

if TYPE_CHECKING:
    from ._spec import VariableSpec

_NOTHING: dict[str, Tensor | None] = {}


class Call:
    """The record of one run of a root's forward, or of one ``with root.as_default():`` block.

    In plain words: a call is a TensorFlow 1 graph that is being built. ``got`` says which variables this graph has so
    far, and the rules of reuse look there; the tensors themselves live on in the root between calls.
    """

    __slots__ = (
        "default_names",
        "got",
        "joins",
        "last",
        "op_names",
        "outer",
        "parameters",
        "root",
        "sets_built",
        "specs",
        "store",
        "templates",
        "undo",
        "collected",
    )

    def __init__(self, root: object, store: VariableStore, outer: Call | None) -> None:
        self.root = root
        self.store = store
        self.outer = outer  # the call that this one interrupts
        self.got: dict[str, bool] = {}  # a set in the order of getting
        self.parameters: Mapping[str, Tensor | None] = store._parameters
        if store.provisional:  # their first get leaves the short way and completes the declaration
            self.parameters = {path: p for path, p in self.parameters.items() if path not in store.provisional}
        self.specs: dict[str, VariableSpec] = store.specs
        self.last: Any = None  # the scope entered last; each scope knows the one entered before it
        self.default_names: Any = None  # worked out if asked for; likewise the names of operations
        self.op_names: Any = None
        self.templates: Any = {}  # template -> (its scope, whether its variables are made)
        self.collected: dict[str, list[tuple[str, Any]]] | None = None  # what add_to_collection added in this call
        self.undo: list[tuple[str, Callable[[], None]]] | None = None  # how to undo what it created; None: may not

    def start_building(self, *, sets_built: bool) -> None:
        """Allow this call to create variables, unless something is tracing."""
        if tracer() is not None:
            return
        self.sets_built = sets_built
        self.joins = self._call_around()
        self.undo = []
        # Every get of a building call goes the long way, under the store's lock, since what it creates may be undone.
        self.parameters = _NOTHING
        with self.store.lock:
            self.store.building_calls.append(self)

    def _call_around(self) -> Call | None:
        """The run of the same root that this one is a part of: the two are built, or undone, together."""
        call = self.outer
        while call is not None and not (call.store is self.store and call.undo is not None and call.sets_built):
            call = call.outer
        return call

    def finish_building(self) -> None:
        """Keep what this call created; a complete run of the root builds it."""
        assert self.undo is not None
        with self.store.lock:
            self.store.building_calls.remove(self)
            if self.joins is not None:
                assert self.joins.undo is not None
                self.joins.undo += self.undo
            elif self.sets_built:
                self.store.set_built()
            self.undo = None

    def undo_building(self) -> None:
        """Take back what this call created, but for what another building call has got meanwhile: that is its now."""
        assert self.undo is not None
        with self.store.lock:
            self.store.building_calls.remove(self)
            for path, undo in reversed(self.undo):
                heir = next((call for call in self.store.building_calls if path in call.got), None)
                if heir is None:
                    undo()
                else:
                    heir.undo.append((path, undo))
            self.undo = None
