"""Whether something is tracing: then nothing may be created, for what tensors hold is not real."""

from __future__ import annotations

from typing import NoReturn

import torch
from torch._C import _functorch, _get_dispatch_mode, _TorchDispatchModeKey

from .._names.paths import nearest
from ..errors import TracingError, VariableNotFoundError


def in_backward() -> bool:
    """Whether autograd is running a backward pass in this thread: what runs now may be a recompute."""
    return torch._C._current_graph_task_id() != -1


def tracer() -> str | None:
    """The name of what is tracing the code that runs now, or ``None``.

    ``torch.func`` transforms count: a tensor made inside ``vmap`` or ``grad`` belongs to the transform.
    """
    if torch.compiler.is_compiling():
        return "torch.compile or torch.export"
    if torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]
        return "torch.jit.trace"
    if _get_dispatch_mode(_TorchDispatchModeKey.FAKE) is not None:
        return "fake tensors"
    if _get_dispatch_mode(_TorchDispatchModeKey.PROXY) is not None:
        return "make_fx"
    if _functorch.peek_interpreter_stack() is not None:
        return "a torch.func transform (vmap, grad, jvp, ...)"
    if torch.fx._symbolic_trace.is_fx_symbolic_tracing():
        return "torch.fx.symbolic_trace"
    if in_backward():
        return "autograd's backward (is a function checkpointed? then take checkpoint from torchscope.recompute)"
    return None


def refuse(path: str, owner: str, tracer: str) -> NoReturn:
    """Say "build first", also from inside code that ``torch.compile`` is tracing."""
    raise TracingError.of(path, owner, tracer)


def refuse_missing(path: str, owner: str, existing: tuple[str, ...]) -> NoReturn:
    """Say which paths there are, likewise."""
    raise VariableNotFoundError.of_built(path, owner, nearest(path, existing))


# Dynamo runs a function that is marked so instead of tracing it, and what it raises reaches the user as it is. Of an
# exception in code that it traces, Dynamo reports only that there was one. torch.compiler.assume_constant_result sets
# the same mark, but importing that would import all of Dynamo.
refuse._dynamo_marked_constant = True  # type: ignore[attr-defined]
refuse_missing._dynamo_marked_constant = True  # type: ignore[attr-defined]
