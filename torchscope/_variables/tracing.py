"""Whether something is tracing: then nothing may be created, for what tensors hold is not real."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn, ParamSpec, TypeVar

import torch
from torch._C import _functorch, _get_dispatch_mode, _TorchDispatchModeKey

from .._names.paths import nearest
from ..errors import TracingError, VariableNotFoundError

if TYPE_CHECKING:
    from torch._dynamo.output_graph import SubgraphTracer

P = ParamSpec("P")
R = TypeVar("R")


def in_backward() -> bool:
    """Whether autograd is running a backward pass in this thread: what runs now may be a recompute."""
    return not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1


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


def refuse_new_in_branch(path: str, owner: str) -> NoReturn:
    """Say, likewise, that a call that is building cannot create in a branch that is traced."""
    raise TracingError.of_new_in_branch(path, owner)


def refuse_missing(path: str, owner: str, existing: tuple[str, ...]) -> NoReturn:
    """Say which paths there are, likewise."""
    raise VariableNotFoundError.of_built(path, owner, nearest(path, existing))


def unchecked(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function in traced code without Dynamo's check that a branch of control flow changes nothing outside it.

    What a call notes of itself is nothing that the compiled code has to do again. Dynamo knows its helper by identity,
    so it is called by its name.
    """
    if hasattr(torch._dynamo.utils, "_disable_side_effect_safety_checks_for_current_subtracer"):
        return torch._dynamo.utils._disable_side_effect_safety_checks_for_current_subtracer(function, *args, **kwargs)
    return function(*args, **kwargs)


def branch_depth() -> int:
    """How many branches of control flow Dynamo is tracing around this; 0 outside of all."""
    tracer, depth = _subgraph_tracer(), 0
    while tracer.parent is not None:
        tracer, depth = tracer.parent, depth + 1
    return depth


def refuse_in_branch(depth: int, path: str, owner: str) -> None:
    """Refuse a get in a branch that the call does not lie in itself, since what the call notes would be lost.

    Raises:
        TracingError: the function is not wrapped by ``torchscope.control_flow.branch``.
    """
    tracer = _subgraph_tracer()
    allowed = tracer.unsafe_allow_externally_visible_side_effects or tracer.allow_side_effects_in_hop
    if not allowed and branch_depth() != depth:
        raise TracingError.of_branch(path, owner)


def _subgraph_tracer() -> SubgraphTracer:
    from torch._dynamo.symbolic_convert import InstructionTranslator

    return InstructionTranslator.current_tx().output.current_tracer


# Dynamo runs a function that is marked so instead of tracing it, and what it raises reaches the user as it is. Of an
# exception in code that it traces, Dynamo reports only that there was one. torch.compiler.assume_constant_result sets
# the same mark, but importing that would import all of Dynamo.
refuse._dynamo_marked_constant = True  # type: ignore[attr-defined]
refuse_new_in_branch._dynamo_marked_constant = True  # type: ignore[attr-defined]
refuse_missing._dynamo_marked_constant = True  # type: ignore[attr-defined]
branch_depth._dynamo_marked_constant = True  # type: ignore[attr-defined]
refuse_in_branch._dynamo_marked_constant = True  # type: ignore[attr-defined]
