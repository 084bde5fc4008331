"""Path to variable: the store answers requests by the rule of reuse."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, NoReturn, Protocol

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from .._names import paths
from .._names.patterns import Patterns, selector
from ..errors import InitializerError, VariableExistsError, VariableKindError, VariableNotFoundError
from .made_at import warn_if_made_elsewhere
from .making import complete, make
from .module_tree import ModuleTreeDict
from .path_tree import PathNode, tree_of
from .request import Request
from .reuse import Reuse, Verdict, verdict
from .sharding import is_sharded
from .spec import VariableSpec
from .tracing import refuse, refuse_missing, refuse_new_in_branch, tracer


class Undo(NamedTuple):
    """One thing that a failed call takes back; a tuple, since the garbage collector walks through all of them."""

    store: VariableStore
    path: str | None  # of a variable
    how: Callable[[], object] | None = None  # if not by dropping the path

    def take_back(self) -> None:
        """Make it undone."""
        if self.how is not None:
            self.how()
        elif self.path is not None:
            self.store.drop(self.path)


class Creating(Protocol):
    """What a call has that may create, as others see it that create at the same time."""

    undo: list[Undo]  # how to take back what it created, the oldest first
    order: dict[str, bool]  # the paths that calls inside it got of the same module
    sets_built: bool  # whether its completion builds the module
    kept: list[tuple[VariableStore, dict[str, bool]]]  # what is not to be taken back: others got it and completed


Collected = dict[str, list[tuple[str, object]]]  # collection -> the scope where a value was added, and the value


class Parts(NamedTuple):
    """How a variable was cut in parts."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    cuts: tuple[int, ...]  # how many parts along each axis
    axis: int
    sizes: tuple[int, ...]  # of the parts along the axis


class Asker(Protocol):
    """What the store needs to know of the call that asks."""

    at: int  # how many events have happened in it
    parts: dict[str, Parts] | None  # the variables that it got in parts

    compares: bool  # whether it is the first call of its entry point

    @property
    def default_named(self) -> bool: ...  # whether a scope that is open has a default name

    @property
    def store(self) -> VariableStore: ...

    @property
    def outer(self) -> Asker | None: ...  # the call that it interrupts

    def has_got(self, path: str) -> bool: ...

    def keep_own_notes(self) -> dict[str, bool]: ...  # the paths that it got, in the order of getting

    def note(self, event: str) -> None: ...  # that it got a path

    def go_back_to(self, at: int) -> None: ...  # forget what was noted since

    @property
    def building(self) -> Creating | None: ...  # None: it may not create


class VariableStore(ModuleTreeDict):
    """The variables of one root; it is ``module.variables``."""

    def __init__(self, owner: str, *, seed: int | None, device: torch.device | None, dtype: torch.dtype | None) -> None:
        super().__init__(owner, seed=seed, device=device, dtype=dtype)
        self.building: set[object] = set()  # one for each open `with module.building():`
        self.settled = False  # built and none of those open: calls create nothing
        self.made_strictly = False  # from a state_dict, strictly: a path that was not in it is missing, not new
        self.tagged: dict[str, list[str]] = {}  # collection -> paths put in by add_to_collection
        self.collected: Collected = {}  # what add_to_collection added outside of a call, or in the last one that did
        self.parts: dict[str, Parts] = {}  # path -> how a partitioner cut it
        self.building_calls: list[Asker] = []
        # of each build() that is running: path -> what a buffer, or what is frozen, is to hold again after it
        self.first_values: list[dict[str, Tensor]] = []
        self.path_of_id: dict[int, str] = {}  # a cache, see identity.py
        # the forward and the @scoped methods that were run -> what happened in the last call, see _scopes/history.py
        self.entered: dict[object, object] = {}
        self.of_other_code = False  # it was pickled: made_at may be lines of an earlier version

    def set_built(self, built: bool) -> None:
        """From now on, calls return and create no more; or, if the first call is undone, they may again."""
        self.built = built
        if built:
            self._make_listable()
        elif not self._parameters:
            self._make_unlistable()
        self.settled = built and not self.building

    def grown_tree(self) -> PathNode:
        """The tree of what calls may return at once; who comes first grows it, and it stays until something changes."""
        with self.lock:
            if self.tree is None:
                specs = (spec for spec in self.declared() if spec.path not in self.provisional)
                self.tree = tree_of(specs, self.module_made_at)
            return self.tree

    def select(self, scope: Patterns = "") -> Iterator[tuple[VariableSpec, Tensor]]:
        """The variables that ``scope``, a path or a glob, selects, in the order of their creation."""
        selected = selector(scope, self.specs)
        for spec in self.declared():
            tensor = self.find(spec.path) if selected(spec.path) else None
            if tensor is not None:  # another thread may have taken it back meanwhile
                yield spec, tensor

    # Answering requests

    def answer(self, call: Asker, request: Request) -> Tensor:
        """The variable of ``request.path``, by the rule of reuse, created if it allows that.

        Raises:
            VariableExistsError, VariableNotFoundError: what the rule of reuse says.
            VariableShapeError, VariableDtypeError, VariableKindError: it is declared otherwise.
            TracingError: it would have to be created while something is tracing.
        """
        provisional = request.path in self.provisional
        if call.building is None and not provisional:
            return self._answer(call, request)
        tracing = tracer()
        if tracing is not None:
            if provisional:
                refuse(request.path, self.owner, tracing)
            return self._answer(call, request)
        with self.lock:
            return self._answer(call, request, traced=False)

    def _answer(self, call: Asker, request: Request, *, traced: bool | None = None) -> Tensor:
        path = request.path
        spec, tensor = self.specs.get(path), self.find(path)
        if path in self.module_made_at:
            raise VariableKindError.of(path, request.kind, "module", self.module_made_at[path])
        if spec is not None and path not in self.provisional:
            spec.check(request.kind, None, None)
        is_new = self.is_new(
            call,
            path,
            request.reuse,
            got=(got := call.has_got(path)),
            exists=spec is not None and tensor is not None,
            made_at=None if spec is None else spec.made_at,
            saved=request.persistent,
            traced=traced,
        )
        if is_new:
            tensor = self._create(call, request)
        else:
            assert spec is not None
            assert tensor is not None
            if path in self.provisional:
                tensor = self._complete(call, request, spec, tensor)
            else:
                spec.check(request.kind, request.shape, request.dtype)
                compare(self, call, path, spec.made_at)
        if not got:
            call.note(path)
        return tensor

    def is_new(
        self,
        call: Asker,
        path: str,
        reuse: Reuse,
        *,
        got: bool,
        exists: bool,
        made_at: str | None,
        saved: bool = True,
        traced: bool | None = None,
    ) -> bool:
        """Whether what a call asks for is to be created (``True``) or returned (``False``), by the rule of reuse.

        Args:
            call: the call that asks.
            path, reuse: what it asks for.
            got: whether it got that before.
            exists: whether that is there.
            made_at: where in the code it was made.
            saved: whether it is part of the ``state_dict``.
            traced: whether something is tracing; left out, that is looked up if it matters.

        Raises:
            VariableExistsError, VariableNotFoundError, TracingError: the rule refuses it.
        """
        may_create = not exists and self._may_create(call, saved=saved, traced=traced)
        found = verdict(got=got, exists=exists, reuse=reuse, may_create=may_create)
        if found is Verdict.ALREADY_GOT:
            raise VariableExistsError.of(path, self.owner, made_at)
        if found is Verdict.NOTHING_TO_SHARE:
            near = paths.nearest(path, self.existing())
            raise VariableNotFoundError.of_reuse(path, self.owner, near, default_named=call.default_named)
        if found is Verdict.MAY_NOT_CREATE:
            self._refuse_to_create(call, path)
        return found is Verdict.CREATE

    def _may_create(self, call: Asker, *, saved: bool, traced: bool | None) -> bool:
        if call.building is None or self.is_replica or (tracer() is not None if traced is None else traced):
            return False
        return not (self.made_strictly and saved and call.building.sets_built)

    def _refuse_to_create(self, call: Asker, path: str) -> NoReturn:
        """Say what is in the way of creating."""
        tracing = tracer()
        if self.is_replica:
            refuse(path, self.owner, "DataParallel, whose replicas are thrown away after each call")
        if tracing is not None and self.building_calls and torch.compiler.is_compiling():
            refuse_new_in_branch(path, self.owner)
        if tracing is not None and self.settled:
            refuse_missing(path, self.owner, self.existing())
        if tracing is not None:
            refuse(path, self.owner, tracing)
        error = VariableNotFoundError.of_built if call.building is None else VariableNotFoundError.of_state_dict
        raise error(path, self.owner, paths.nearest(path, self.existing()))

    def _create(self, call: Asker, request: Request) -> Tensor:
        path = request.path
        if self._is_fsdps():
            raise VariableNotFoundError.of_sharded(path, self.owner)
        spec, tensor = make(self, request)
        if path in self.specs:
            problem = "its initializer got the very variable that it is to fill"
            raise InitializerError.of(path, problem, "Fill the tensor that the initializer is called with.")
        self.note_created(call, path, {path: tensor})  # before it is put there: an interrupt leaves nothing
        self.put(spec, tensor)
        return tensor

    def _is_fsdps(self) -> bool:
        """Whether FSDP2 has sharded what there is: what comes later, it does not know."""
        if self.fsdp_units or self.sharding is not None:
            return bool(self.fsdp_units)
        return is_sharded(next(iter(self._parameters.values()), None))

    def note_created(self, call: Asker, path: str, tensors: Mapping[str, Tensor]) -> None:
        """Note what a call created at a path, to take it back if the call fails, and to keep the first values.

        ``build`` runs a module for its variables alone: what is no trained parameter gets its first value back.
        """
        assert call.building is not None  # the rule of reuse says so
        call.building.undo.append(Undo(self, path))
        for values in self.first_values:
            for name, tensor in tensors.items():
                if not tensor.requires_grad and not tensor.is_meta and not is_lazy(tensor):
                    values[name] = tensor.detach().clone()

    def drop(self, path: str) -> None:
        """Forget ``path``."""
        super().drop(path)
        whole, _, part = path.rpartition("/")
        if part == "part_0":
            self.parts.pop(whole, None)
        for tagged in self.tagged.values():
            if path in tagged:
                tagged.remove(path)

    def _complete(self, call: Asker, request: Request, spec: VariableSpec, tensor: Tensor) -> Tensor:
        """Declare in full what a file gave."""
        if self.is_replica:
            self._refuse_to_create(call, spec.path)
        roll_back = self._snapshot(spec, tensor)
        try:
            declared, full = complete(self, request, spec, tensor)
            self.put(declared, full)
            self.provisional.pop(spec.path, None)
            if call.building is not None:
                call.building.undo.append(Undo(self, spec.path, roll_back))
        except BaseException:
            roll_back()
            raise
        return full

    def _snapshot(self, spec: VariableSpec, tensor: Tensor) -> Callable[[], None]:
        """How to roll back a variable that a file gave to what it is now."""
        requires_grad, data, order = tensor.requires_grad, tensor.data, list(self._parameters)
        origin = self.provisional[spec.path]

        def roll_back() -> None:
            tensor.data = data
            self.put(spec, tensor.requires_grad_(requires_grad))
            self.provisional[spec.path] = origin
            for path in order:  # the buffer that is a parameter again goes back to its place
                if path in self._parameters:
                    self._parameters[path] = self._parameters.pop(path)

        return roll_back

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        state.update(building=set(), settled=state["built"])
        state.update(building_calls=[], first_values=[], collected={}, path_of_id={}, entered={}, of_other_code=True)
        with self.lock:
            state["parts"], state["tagged"] = self.parts.copy(), {name: [*paths] for name, paths in self.tagged.items()}
        return state


def compare(store: VariableStore, call: Asker, path: str, made_at: str | None) -> None:
    """In the first call of an entry point, warn once if a default name leads to what other code made."""
    if call.compares and call.default_named and made_at is not None and not store.of_other_code:
        call.compares = not warn_if_made_elsewhere(path, store.owner, made_at)
