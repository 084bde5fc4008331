"""Variables in parts: a partitioner says how a variable is cut along one axis, and each part is a variable of its own.

The parts of ``w`` are ``w/part_0``, ``w/part_1``, ...; who asks for ``w`` gets them joined.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import torch
from torch import Tensor

from ..errors import ArgumentValueError, VariableDtypeError, VariableKindError, VariableShapeError
from ..initializers import Layout
from .initialize import as_declared, copied, fill, is_constant, value_of
from .making import default_dtype
from .request import Cut, Partitioner, Request
from .sharding import Sharding
from .spec import Initializer
from .store import Asker, Parts


class PartInitializer:
    """Fills one part with its slice of the whole, so that fans and constants are those of the whole variable."""

    def __init__(
        self, initializer: Initializer, path: str, shape: tuple[int, ...], axis: int, start: int, layout: Layout
    ) -> None:
        self.initializer, self.layout = as_declared(path, initializer), layout
        self.path, self.shape, self.axis, self.start = path, shape, axis, start

    def __call__(self, part: Tensor) -> None:
        """Fill ``part``."""
        whole = part.new_empty(self.shape)
        fill(whole, self.path, self.initializer, seed=None, layout=self.layout)
        part.copy_(whole.narrow(self.axis, self.start, part.shape[self.axis]))

    def __repr__(self) -> str:
        return f"<part of {self.initializer!r}>"


def answer(call: Asker, request: Request, partitioner: Partitioner | None) -> Tensor:
    """The variable that is asked for: in one, or joined from its parts."""
    path, store = request.path, call.store
    if isinstance(partitioner, Sharding):
        request.sharding, partitioner = partitioner, None
    here = None if call.parts is None else call.parts.get(path)  # got in this call
    made = here or (store.parts.get(path) if f"{path}/part_0" in store.specs else None)
    if partitioner is not None and request.shape is None and request.initializer is not None:
        request = _with_shape_of_constant(request)
    if partitioner is None and made is not None and request.reuse is True:
        _check(call, request, made)
        return _joined(call, request, made)
    if partitioner is None or request.shape == () or request.kind == "buffer":
        if made is not None or call.has_got(f"{path}/part_0"):
            mend = f"'{path}' was made in parts. Give the same partitioner, or share it with reuse=True."
            raise ArgumentValueError.of("partitioner", partitioner, mend)
        return store.answer(call, request)
    if path in store.module_made_at:
        raise VariableKindError.of(path, request.kind, "module", store.module_made_at[path])
    if path in store.specs:
        mend = f"'{path}' exists in one piece. Ask for it without a partitioner."
        raise ArgumentValueError.of("partitioner", partitioner, mend)
    return _in_parts(call, request, partitioner, here, made)


def _in_parts(call: Asker, request: Request, partitioner: Cut, here: Parts | None, made: Parts | None) -> Tensor:
    """The variable that is asked for with a partitioner.

    Whether it may be got again is asked of the rule of reuse for the whole, whether it exists for each part.
    """
    path, store = request.path, call.store
    made_at = store.specs[f"{path}/part_0"].made_at if made is not None else None
    store.is_new(call, path, request.reuse, got=here is not None, exists=True, made_at=made_at)
    if made is not None:
        _check(call, request, made)
    parts = here if here is not None and request.shape is None else _parts(call, request, partitioner)
    if made is not None and parts.cuts != made.cuts:
        _refuse_other_cuts(path, parts.cuts, made.cuts)
    with _all_or_nothing(call):
        joined = _joined(call, request, parts)
    call.parts = call.parts or {}
    call.parts[path] = parts
    if store.parts.get(path) != parts:  # a branch that torch traces may change nothing that is there before it
        store.parts[path] = parts
    return joined


def _check(call: Asker, request: Request, made: Parts) -> None:
    """Hold a request against how the variable was cut."""
    made_at = call.store.specs[f"{request.path}/part_0"].made_at
    if request.shape is not None and request.shape != made.shape:
        raise VariableShapeError.of(request.path, request.shape, made.shape, made_at)
    if request.dtype is not None and request.dtype != made.dtype:
        raise VariableDtypeError.of(request.path, request.dtype, made.dtype, made_at)


def _with_shape_of_constant(request: Request) -> Request:
    """A constant has a shape and a dtype of its own; of another initializer they are not known."""
    if not is_constant(request.initializer):
        return request
    value = value_of(request.path, as_declared(request.path, request.initializer), request.dtype)
    filled = functools.partial(copied, value=value)
    return replace(request, shape=tuple(value.shape), dtype=value.dtype, initializer=filled)


def _parts(call: Asker, request: Request, partitioner: Cut) -> Parts:
    path, shape = request.path, request.shape
    if shape is None:
        raise ArgumentValueError.of("shape", None, f"'{path}' is asked for in parts: only its shape tells which.")
    dtype = request.dtype or request.default_dtype or default_dtype(call.store)
    cuts = _cuts(request, partitioner, dtype)
    axis = cuts.index(max(cuts))
    count = cuts[axis]
    size, more = divmod(shape[axis], count)
    if f"{path}/part_{count}" in call.store.specs:
        existing = sum(f"{path}/part_{n}" in call.store.specs for n in range(len(call.store.specs)))
        _refuse_other_cuts(path, cuts, tuple(existing if a == axis else 1 for a in range(len(cuts))))
    return Parts(shape, dtype, cuts, axis, tuple(size + (n < more) for n in range(count)))


def _cuts(request: Request, partitioner: Cut, dtype: torch.dtype) -> tuple[int, ...]:
    shape = torch.Size(request.shape or ())
    cuts = partitioner(shape=shape, dtype=dtype)
    mend = f"Give, for '{request.path}' of shape {tuple(shape)}, the number of parts per axis: 1 but for one axis."
    try:
        counts = tuple(count.__index__() for count in cuts)
    except (TypeError, AttributeError):
        raise ArgumentValueError.of("the partitioner's result", cuts, mend) from None
    too_many = any(count > max(size, 1) for count, size in zip(counts, shape, strict=False))
    if len(counts) != len(shape) or min(counts) < 1 or too_many or sum(count > 1 for count in counts) > 1:
        raise ArgumentValueError.of("the partitioner's result", cuts, mend)
    return counts


def _refuse_other_cuts(path: str, asked: tuple[int, ...], found: tuple[int, ...]) -> None:
    mend = f"'{path}' was made in {found} parts. Give the partitioner that it was made with."
    raise ArgumentValueError.of("the partitioner's result", asked, mend)


def _joined(call: Asker, request: Request, parts: Parts) -> Tensor:
    tensors, start = [], 0
    for number, size in enumerate(parts.sizes):
        shape = (*parts.shape[: parts.axis], size, *parts.shape[parts.axis + 1 :])
        layout = call.store.layout
        initializer = PartInitializer(request.initializer, request.path, parts.shape, parts.axis, start, layout)
        part = replace(request, path=f"{request.path}/part_{number}", shape=shape, initializer=initializer)
        tensors.append(call.store.answer(call, part))
        start += size
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors, parts.axis)


@contextmanager
def _all_or_nothing(call: Asker) -> Iterator[None]:
    """Take back the parts that were made and got if a later one fails."""
    at = call.at
    around = nullcontext() if call.building is None else call.store.lock
    with around:
        undo = [] if call.building is None else call.building.undo
        made = len(undo)
        try:
            yield
        except BaseException:
            while len(undo) > made:
                undo.pop().take_back()
            call.go_back_to(at)
            raise
