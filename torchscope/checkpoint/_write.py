"""Writing what was planned: everything is read and checked once before the first number is written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor

from .._variables.conversion import too_large
from .._variables.sharding import is_sharded, local_part
from .._variables.store import VariableStore
from ..errors import CheckpointError
from ._entry import Entry, dtype_name
from ._layout import RULES, write
from ._targets import Target
from ._uninterrupted import uninterrupted

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


class Step(NamedTuple):
    """What to load into one variable."""

    path: str
    entry: Entry
    rule: str
    target: Target | None  # None: the variable is still to be made


def write_all(store: VariableStore, steps: list[Step], file: str, *, all_there_is: bool) -> bool:
    """Read and check everything once, then write: a damaged file must not leave a module half loaded.

    If ``all_there_is``, code that the module runs later makes no variables besides those that the file makes.

    Returns:
        Whether it was written. It is not if a variable that was to be made was made by another thread meanwhile.
    """
    for step in _shown(steps, "checking"):
        _refuse_overflow(step, step.entry.read(), file)
    if store.lock.is_mine():  # in an initializer, which makes a variable: another thread would wait for this one
        return _write_each(store, steps, all_there_is)
    with store.lock:  # where somebody else has it, wait here, where Ctrl-C is heard
        pass
    written: list[bool] = []
    uninterrupted(lambda: written.append(_write_each(store, steps, all_there_is)))
    return written[0]


def _write_each(store: VariableStore, steps: list[Step], all_there_is: bool) -> bool:
    made: list[str] = []
    with store.lock, torch.no_grad():
        if any(step.target is None and step.path in store.specs for step in steps):
            return False
        try:
            for step in steps:  # no progress bar: an interrupt of the one above leaves tqdm's lock with the main thread
                _write_one(store, step, made)
        except BaseException:
            for path in made:
                store.drop(path)
            raise
        if all_there_is and not store.built and store.specs:
            store.made_strictly = True
    return True


def _write_one(store: VariableStore, step: Step, made: list[str]) -> None:
    value = step.entry.read()
    if step.target is None:
        made.append(step.path)
        like = torch.empty(RULES[step.rule].shape(step.entry.shape), dtype=value.dtype, device="meta")
        _write_whole(step.rule, value, store.make_like(step.path, like))
    elif len(step.target.pieces) == 1:
        _write_whole(step.rule, value, step.target.pieces[0][0])
    else:
        value = RULES[step.rule].convert(value)
        for tensor, axis, start in step.target.pieces:
            _write_whole("same", value.narrow(axis, start, tensor.shape[axis]), tensor)


def _write_whole(rule: str, value: Tensor, into: Tensor) -> None:
    """Write an array into a variable; of one that is sharded, the part that this process holds, and read only that."""
    if is_sharded(into):
        into = cast("DTensor", into)
        into.to_local().copy_(local_part(RULES[rule].convert(value), into))
    else:
        write(rule, value, into)


def _refuse_overflow(step: Step, value: Tensor, file: str) -> None:
    """Refuse a finite number that the variable's dtype cannot hold."""
    if step.target is None:  # it is made in the dtype of the file; the first get of it converts
        return
    wanted = step.target.dtype
    largest = too_large(value, wanted)
    if largest is not None:
        most = torch.finfo(wanted).max
        problem = f"it holds {largest:.6g}, and '{step.path}' of {dtype_name(wanted)} at most {most:.6g}"
        raise CheckpointError.of(file, problem, entry=step.entry.path)


def _shown(steps: list[Step], what: str) -> Iterator[Step]:
    """The steps, with a progress bar if standard error is a terminal."""
    try:
        from tqdm import tqdm
    except ImportError:
        return iter(steps)
    return iter(tqdm(steps, desc=what, unit="variable", disable=None, leave=False))
