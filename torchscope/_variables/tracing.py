"""Whether something is tracing: then nothing may be created, for what tensors hold is not real."""

from __future__ import annotations

from typing import NoReturn

import torch

from .._names.paths import nearest
from .._torch import (
    branch_depth,
    fakes_tensors,
    in_backward,
    is_fx_symbolic_tracing,
    may_change_what_is_outside,
    runs_at_trace_time,
    traces_by_make_fx,
    transforms,
)
from ..errors import TracingError, VariableNotFoundError


def tracer() -> str | None:
    """The name of what is tracing the code that runs now, or ``None``.

    ``torch.func`` transforms count: a tensor made inside ``vmap`` or ``grad`` belongs to the transform.
    """
    if torch.compiler.is_compiling():
        return "torch.compile or torch.export"
    if torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]
        return "torch.jit.trace"
    if fakes_tensors():
        return "fake tensors"
    if traces_by_make_fx():
        return "make_fx"
    if transforms():
        return "a torch.func transform (vmap, grad, jvp, ...)"
    if is_fx_symbolic_tracing():
        return "torch.fx.symbolic_trace"
    if in_backward():
        return "autograd's backward (is a function checkpointed? then take checkpoint from torchscope.recompute)"
    return None


@runs_at_trace_time
def refuse(path: str, owner: str, tracer: str) -> NoReturn:
    """Say "build first", also from inside code that ``torch.compile`` is tracing."""
    raise TracingError.of(path, owner, tracer)


@runs_at_trace_time
def refuse_new_in_branch(path: str, owner: str) -> NoReturn:
    """Say, likewise, that a call that is building cannot create in a branch that is traced."""
    raise TracingError.of_new_in_branch(path, owner)


@runs_at_trace_time
def refuse_in_block(what: str) -> NoReturn:
    """Say, likewise, that something differs from scope to scope, and the code is compiled once for all of them."""
    raise TracingError.of_block(what)


@runs_at_trace_time
def refuse_missing(path: str, owner: str, existing: tuple[str, ...]) -> NoReturn:
    """Say which paths there are, likewise."""
    raise VariableNotFoundError.of_built(path, owner, nearest(path, existing))


@runs_at_trace_time
def is_foreign_branch(depth: int) -> bool:
    """Whether the compiler traces a branch that a call of this depth does not lie in: what it notes would be lost."""
    return not may_change_what_is_outside() and branch_depth() != depth


@runs_at_trace_time
def refuse_in_branch(path: str, owner: str) -> NoReturn:
    """Say that the function is not wrapped by ``torchscope.control_flow.branch``, likewise."""
    raise TracingError.of_branch(path, owner)
