"""One run of a root: what was got in it, and what it created, so that a run that fails can be undone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.autograd import profiler as _profiler
from torch.compiler import is_dynamo_compiling

from ._path_tree import OUTSIDE, TracedNode
from ._store import Undo, VariableStore, take_back
from ._tracing import tracer

_NOTHING: dict[str, Tensor | None] = {}


class Call:
    """The record of one run of a root's forward, or of one ``with root.as_default():`` block.

    In plain words: a call is a TensorFlow 1 graph that is being built. ``got`` says which variables this graph has so
    far, and the rules of reuse look there; the tensors themselves live on in the root between calls.
    """

    __slots__ = (
        "careful",
        "collected",
        "counts",
        "got",
        "joins",
        "kept",
        "last",
        "op_names",
        "outer",
        "parameters",
        "profiled",
        "remembered",
        "root",
        "scope",
        "sets_built",
        "store",
        "tree",
        "undo",
    )

    moment: Any = None  # of a call that goes on with an earlier one, see recompute.py

    kept: list[tuple[VariableStore, dict[str, bool]]]  # what is not to be taken back: others got it and completed
    scope: Any  # the innermost open scope; each scope knows the one that was open around it
    last: Any  # the scope entered last; each scope knows the one entered before it

    def __init__(self, root: object, store: VariableStore, outer: Call | None) -> None:
        self.root = root
        self.store = store
        self.outer = outer  # the call that this one interrupts
        self.got: dict[str, bool] = {}  # a set in the order of getting
        # template -> its state; path -> how it is cut; manager -> its default name; scope -> its children; BY_PATH
        self.remembered: Any = {}
        self.counts: Any = None  # of scopes by path, worked out if asked for; likewise the names of operations
        self.op_names: Any = None
        self.collected: dict[str, list[tuple[str, Any]]] | None = None  # what add_to_collection added in this call
        self.undo: Undo | None = None  # how to undo what it created; None: it may not create
        self.parameters: Mapping[str, Tensor | None] = store._parameters
        if is_dynamo_compiling():
            if store.provisional:  # their first get leaves the short way, which completes the declaration
                self.parameters = {path: p for path, p in self.parameters.items() if path not in store.provisional}
            self.tree: Any = TracedNode("", self.parameters, store)
            self.profiled = False
        else:
            self.tree = store.tree
            self.profiled = _profiler._is_profiler_enabled and tracer() is None
        self.careful = self.profiled  # whether scopes are entered the long way

    def start_building(self, *, sets_built: bool) -> None:
        """Allow this call to create variables, unless something is tracing."""
        if tracer() is not None:
            return
        self.sets_built = sets_built
        self.joins = self._call_around()
        self.undo = []
        self.kept = []
        # Every get of a building call goes the long way, under the store's lock, since what it creates may be undone.
        self.parameters = _NOTHING
        self.tree = self.tree or OUTSIDE
        self.careful = True
        with self.store.lock:
            self.store.building_calls.append(self)

    def _call_around(self) -> Call | None:
        """The building run that this one is a part of, of this root or of one around it: they are undone together."""
        call = self.outer
        while call is not None and (call.undo is None or not call.sets_built):
            call = call.outer
        return call

    def finish_building(self) -> None:
        """Keep what this call created; a complete run of the root builds it."""
        assert self.undo is not None
        store, around = self.store, self.joins
        with store.lock:
            store.building_calls.remove(self)
            if around is None or around.store is not store:
                self._own_what_was_got()
                if self.sets_built and not store.built:
                    store.set_built(True)
                    self.undo.append((store, None, lambda: store.set_built(False)))
            if around is not None and around.undo is not None:
                around.undo += self.undo
                around.kept += self.kept
            self.undo = None

    def _own_what_was_got(self) -> None:
        """This call is complete: what it got stays, also if another that is still running made it and fails."""
        for call in self.store.building_calls:
            call.kept.append((self.store, self.got))

    def undo_building(self) -> None:
        """Take back what this call created, but for what another building call has got meanwhile: that is its now."""
        assert self.undo is not None
        while True:
            with self.store.lock:
                if not self.undo:
                    self.store.building_calls.remove(self)  # until now, who completes says here what is to be kept
                    self.undo = None
                    return
                store, path, undo = self.undo.pop()
            with store.lock:
                if any(store is of and path in got for of, got in self.kept):
                    continue
                heirs = [call for call in store.building_calls if call is not self and path in call.got]
                if heirs:
                    heirs[0].undo.append((store, path, undo))
                else:
                    take_back(store, path, undo)
