"""Calls that may create variables: how one starts and ends, and how a failed one is rolled back."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from .._scopes.call import Building, Call, Watching
from .._scopes.stack import is_part_of, pop
from .._variables.initialize import back_to, modes
from .._variables.module_tree import held_by
from .._variables.path_tree import OUTSIDE
from .._variables.sharding import is_sharded
from .._variables.store import Asker, Undo, VariableStore
from .._variables.tracing import tracer
from ..errors import VariableNotFoundError
from .same_start import refuse_apart
from .unkept import Watch

_NO_PARAMETERS: dict[str, Tensor | None] = {}


def start(call: Call, *, sets_built: bool) -> None:
    """Allow a call to create variables, unless something is tracing; if ``sets_built``, its completion builds the root.

    From here on every get of the call takes the slow path, under the store's lock, since what the call creates may be
    rolled back.
    """
    if tracer() is not None:
        return
    building = Building(sets_built=sets_built, part_of=_call_around(call), modes=modes())
    building.collected = call.store.collected
    if sets_built:
        building.loaded = [path for path, origin in list(call.store.provisional.items()) if origin == "file"]
    call.keep_own_notes()
    call.building = building  # from here on, who fails rolls back
    if sets_built and building.part_of is None:
        building.watch = Watch(call)
    call.parameters = _NO_PARAMETERS
    call.tree = call.tree or OUTSIDE
    with call.store.lock:
        call.store.building_calls.append(call)


def _call_around(call: Call) -> Call | None:
    """The nearest outer call that builds a module, this or another: if it fails, this call is rolled back with it."""
    around = call.outer
    while around is not None and (around.building is None or not around.building.sets_built):
        around = around.outer
    return around


def finish(call: Call) -> None:
    """Keep what a call created; a complete run of the root builds it.

    From then on the variables are in the order of the code, whatever they were loaded from: an optimizer's saved state
    goes to parameters by their order.
    """
    building = call.building
    assert building is not None
    watch = _unwatched(building)
    if watch is not None:
        watch.warn()  # first: where warnings are errors, the call fails
    store, around = call.store, building.part_of
    with store.lock:
        outer = None if around is None else around.building
        if call in store.building_calls:
            store.building_calls.remove(call)
        order = {**building.order, **call.keep_own_notes()}
        if building.loaded and not any(path in order for path in building.loaded):
            raise VariableNotFoundError.of_loaded(store.owner, building.loaded, list(order))
        if around is not None and outer is not None and around.store is store:
            outer.order.update(order)
        else:
            _own_what_was_got(call)
            if building.sets_built and store.sharding is not None:
                store.sharding.check(call.root)
            elif building.sets_built:
                refuse_apart(store)
            if building.sets_built and not store.built:
                building.undo.append(Undo(store, None, functools.partial(store.put_in_order, store.existing())))
                store.put_in_order(order)
                building.undo.append(Undo(store, None, lambda: store.set_built(False)))
                store.set_built(True)
        if outer is not None:
            outer.undo += building.undo
            outer.kept += building.kept
        call.building = None


def _unwatched(building: Building) -> Watching | None:
    """Stop what watches a call, and let the call forget it: they know each other."""
    watch, building.watch = building.watch, None
    if watch is not None:
        watch.stop()
    return watch


def _own_what_was_got(call: Call) -> None:
    """The call is complete: what it got stays, also if another call that is still running made it and fails."""
    for other in call.store.building_calls:
        if other.building is not None:
            other.building.kept.append((call.store, call.keep_own_notes()))


def roll_back(call: Call) -> None:
    """Take back what a failed call created, newest first, but not what a call that completed has got since.

    What another building call has got since, and has not completed, becomes that call's to take back. An entry that
    fails does not keep the others from being taken back.
    """
    building = call.building
    assert building is not None
    _unwatched(building)
    back_to(building.modes)
    with call.store.lock:  # a call inside it that is noted still was interrupted at its end
        for other in call.store.building_calls:
            if other is not call and other.building is not None and is_part_of(other, call):
                building.undo += other.building.undo
                other.building.undo = []
    failed: BaseException | None = None
    while True:
        with call.store.lock:
            if not building.undo:
                # Only now: until here, a call that completes has to be able to say in `kept` what it got.
                running = [other for other in call.store.building_calls if not is_part_of(other, call)]
                call.store.building_calls = running
                call.building = None
                break
            undo = building.undo.pop()
        for _ in range(2):  # an interrupt must not keep it from being taken back
            try:
                _roll_back_one(call, building, undo)
                break
            except BaseException as error:
                failed = failed or error
    if failed is not None:
        try:
            raise failed
        finally:
            del failed  # the frame is in its traceback: no cycle keeps what the call held


def end(call: Call) -> None:
    """End a call, however it went: take back what it created if it failed, and give its caller's scope back."""
    try:
        if call.building is not None:
            roll_back(call)
    finally:
        pop(call)


def _roll_back_one(call: Call, building: Building, undo: Undo) -> None:
    store, path = undo.store, undo.path
    with store.lock:
        if any(store is of and path in got for of, got in building.kept):
            return
        heirs = [other for other in store.building_calls if not is_part_of(other, call) and _has_got(other, path)]
        if heirs and heirs[0].building is not None:
            heirs[0].building.undo.append(undo)
        else:
            undo.take_back()


def drop_loaded(store: VariableStore, known: Collection[str]) -> None:
    """Take back what a ``state_dict`` made beside ``known`` paths, but not what a call has got since."""
    with store.lock:
        for path in set(store.provisional) - set(known):
            if not any(_has_got(call, path) for call in store.building_calls):
                store.drop(path)


def _has_got(call: Asker, path: str | None) -> bool:
    """Whether a call that is still building has got a path, itself or in a call inside it that is complete."""
    return path in call.keep_own_notes() or (call.building is not None and path in call.building.order)


@contextmanager
def open_for_building(store: VariableStore) -> Iterator[None]:
    """Let the calls in the block create variables although the module is built."""
    block = object()
    try:
        with store.lock:
            store.building.add(block)
            store.settled = False
        yield
    finally:
        try:
            _close(store, block)
        except BaseException:  # an interrupt: calls must not go on creating variables
            _close(store, block)
            raise


def _close(store: VariableStore, block: object) -> None:
    with store.lock:
        store.building.discard(block)
        store.settled = store.built and not store.building


@contextmanager
def state_kept(root: nn.Module) -> Iterator[None]:
    """Run the block for the variables that it makes, and not for its effects on buffers and frozen parameters.

    Snapshots of these are taken before and written back after; of a buffer that is created meanwhile, the snapshot is
    its first value (the store notes it in ``first_values``). If several builds of one module run at once, a later one
    takes the snapshots of the earlier ones for its own: they are from before any dry run.
    """
    stores = {name: module for name, module in root.named_modules() if isinstance(module, VariableStore)}
    first: dict[str, dict[str, Tensor]] = {name: {} for name in stores}
    before: dict[str, Tensor] = {}
    try:
        for name, store in stores.items():
            with store.lock:
                first[name].update((path, value) for values in store.first_values for path, value in values.items())
                store.first_values.append(first[name])
        before.update((name, state.detach().clone()) for name, state in _state(root))
        for name, values in first.items():
            for key, value in before.items():
                if key.startswith(name + "."):
                    values.setdefault(key.removeprefix(name + "."), value)
        yield
    finally:
        try:
            _write_back(root, stores, first, before)
        except BaseException:  # an interrupt: once more, and from the beginning
            _write_back(root, stores, first, before)
            raise
        finally:
            try:
                _forget(stores, first)  # last: a build that starts before takes these snapshots over
            except BaseException:
                _forget(stores, first)
                raise


def _forget(stores: dict[str, VariableStore], first: dict[str, dict[str, Tensor]]) -> None:
    for name, store in stores.items():
        with store.lock:
            store.first_values = [values for values in store.first_values if values is not first[name]]


def _write_back(
    root: nn.Module,
    stores: dict[str, VariableStore],
    first: dict[str, dict[str, Tensor]],
    before: dict[str, Tensor],
) -> None:
    for name, store in stores.items():
        with store.lock:
            before.update({f"{name}.{path}": value for path, value in first[name].items()})
    with torch.no_grad():
        for name, state in _state(root):
            kept = before.get(name)
            if kept is None or kept.shape != state.shape or state.is_meta:
                continue
            if is_sharded(kept) and not is_sharded(state):  # FSDP2 gathered it for the call, and keeps the parts
                continue
            if not torch.equal(kept, state):
                state.copy_(kept)


def _state(root: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of the module tree that no optimizer trains, by name: buffers and parameters without gradient."""
    for prefix, module in root.named_modules():
        for name, tensor in held_by(module):
            if not tensor.requires_grad and not is_lazy(tensor):
                yield f"{prefix}.{name}", tensor
