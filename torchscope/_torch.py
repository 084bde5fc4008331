"""Private names of torch: all that the library uses stand here, each with why no public name does.

Where a release of torch lacks one, something else takes its place, and :data:`MISSING` says which. What is lost then is
said beside each; it is never a wrong number.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar, cast

import torch
from torch import Tensor

# The base of modes that see each operator. The public FlopCounterMode is one, and tells no scope what it counts.
from torch.utils._python_dispatch import TorchDispatchMode as TorchDispatchMode

if TYPE_CHECKING:
    from torch._dynamo.output_graph import SubgraphTracer
    from torch.distributed.distributed_c10d import Store

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., object])

MISSING: list[str] = []


def _find(name: str, otherwise: R) -> R:
    """A private name of torch, or what takes its place."""
    try:
        found: R = functools.reduce(getattr, name.split(".")[1:], torch)  # type: ignore[assignment]
    except AttributeError:
        MISSING.append(name)
        return otherwise
    return found


def _answering(answer: R) -> Callable[..., R]:
    """A function that always gives this answer."""
    return lambda *args: answer


# Whether autograd runs a backward pass in this thread. Public hooks tell when one ends, and nothing that one runs.
# Without it, a recompute that lost its scope is told as a get outside of all calls.
_current_graph_task_id = _find("torch._C._current_graph_task_id", _answering(-1))

# The mode of fake tensors, or of make_fx, that is active. Public is only that *some* Python mode is.
# Without it, building under one is noticed at the first tensor (see `is_fake`) and not at the first line.
_get_dispatch_mode = _find("torch._C._get_dispatch_mode", _answering(None))
_mode_keys = _find("torch._C._TorchDispatchModeKey", SimpleNamespace(FAKE=None, PROXY=None))

# The stack of transforms of torch.func, and whether a tensor belongs to one. Nothing public tells.
# Without them, a variable may be created inside vmap or grad, where torch itself refuses to keep it.
_peek_interpreter_stack = _find("torch._C._functorch.peek_interpreter_stack", _answering(None))
is_functorch_wrapped_tensor = _find("torch._C._functorch.is_functorch_wrapped_tensor", _answering(False))

# Whether torch.fx.symbolic_trace runs. torch.compiler.is_exporting and the like do not cover it.
# Without it, an initializer gets a proxy and fails.
is_fx_symbolic_tracing = _find("torch.fx._symbolic_trace.is_fx_symbolic_tracing", _answering(False))


# torch.set_grad_enabled as a plain function: the public one is an object, which takes longer to make than to switch.
set_gradients: Callable[[bool], object] = _find("torch._C._set_grad_enabled", torch.set_grad_enabled)


# How many modes look at every call of torch, `set_default_device` among them. `torch.get_default_device` takes 2 us.
# Without it, there is said to be one.
count_modes: Callable[[], int] = _find("torch._C._len_torch_function_stack", _answering(1))


class _Flag(Protocol):
    _is_profiler_enabled: bool


# The module whose flag `_is_profiler_enabled` says that a profiler runs. Asking the C++ side costs a call for each
# forward. Without it, scopes are no ranges of a profile.
profiler = cast(_Flag, torch.autograd.profiler)
if not hasattr(profiler, "_is_profiler_enabled"):
    MISSING.append("torch.autograd.profiler._is_profiler_enabled")
    profiler = cast(_Flag, SimpleNamespace(_is_profiler_enabled=False))


def in_backward() -> bool:
    """Whether autograd is running a backward pass in this thread: what runs now may be a recompute."""
    return not torch.compiler.is_compiling() and _current_graph_task_id() != -1


def fakes_tensors() -> bool:
    """Whether what is made now is a fake tensor."""
    return _mode_keys.FAKE is not None and _get_dispatch_mode(_mode_keys.FAKE) is not None


def traces_by_make_fx() -> bool:
    """Whether ``make_fx`` is tracing."""
    return _mode_keys.PROXY is not None and _get_dispatch_mode(_mode_keys.PROXY) is not None


def transforms() -> bool:
    """Whether a transform of ``torch.func`` is running."""
    return _peek_interpreter_stack() is not None


def is_fake(tensor: Tensor) -> bool:
    """Whether a tensor is a fake one; none is where their module was never imported. No public name has the class."""
    fakes = sys.modules.get("torch._subclasses.fake_tensor")
    return fakes is not None and isinstance(tensor, fakes.FakeTensor)


def compiled_from(function: object) -> Callable[..., object] | None:
    """What ``torch.compile`` was given to make this function; ``torch.compiler`` has no way to ask."""
    return getattr(function, "_torchdynamo_orig_callable", None)


def is_dynamos(error: BaseException) -> bool:
    """Whether an error is of Dynamo; its classes are in ``torch._dynamo.exc``, and no public one is above all."""
    return type(error).__module__.startswith("torch._dynamo")


def runs_at_trace_time(function: F) -> F:
    """Let Dynamo run a function instead of tracing it; what it raises then reaches the user as it is.

    Of an exception in code that it traces, Dynamo reports only that there was one. The public
    ``torch.compiler.assume_constant_result`` sets the same mark, but importing that would import all of Dynamo.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


def unchecked(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function in traced code without Dynamo's check that a branch of control flow changes nothing outside it.

    What a call notes of itself is nothing that the compiled code has to do again. Dynamo knows its helper by identity,
    so it is called by its name. Without it, branches cannot get variables.
    """
    if hasattr(torch._dynamo.utils, "_disable_side_effect_safety_checks_for_current_subtracer"):
        return torch._dynamo.utils._disable_side_effect_safety_checks_for_current_subtracer(function, *args, **kwargs)
    return function(*args, **kwargs)


@runs_at_trace_time
def branch_depth() -> int:
    """How many branches of control flow Dynamo is tracing around this; 0 outside of all. Nothing public tells."""
    tracer, depth = _subgraph_tracer(), 0
    while tracer is not None and tracer.parent is not None:
        tracer, depth = tracer.parent, depth + 1
    return depth


@runs_at_trace_time
def may_change_what_is_outside() -> bool:
    """Whether the branch that Dynamo is tracing may have side effects; outside of branches all may."""
    tracer = _subgraph_tracer()
    allowed = ("unsafe_allow_externally_visible_side_effects", "allow_side_effects_in_hop")
    return tracer is None or any(getattr(tracer, name, False) for name in allowed)


@runs_at_trace_time
def in_nested_region() -> bool:
    """Whether Dynamo is tracing a function of ``torch.compiler.nested_compile_region``. Nothing public tells.

    Without it, code there may branch on the name of a scope, of which torch takes one branch for all.
    """
    tracer = _subgraph_tracer()
    while tracer is not None:
        target = getattr(tracer, "source_target", None)
        if getattr(target, "__name__", "") == "invoke_subgraph":
            return True
        tracer = tracer.parent
    return False


def _subgraph_tracer() -> SubgraphTracer | None:
    """Dynamo's tracer of the innermost branch, or of what is around all; ``None`` where this release has no such."""
    try:
        from torch._dynamo.symbolic_convert import InstructionTranslator

        return InstructionTranslator.current_tx().output.current_tracer
    except (ImportError, AttributeError):
        return None


@contextlib.contextmanager
def compiling_without_prints() -> Iterator[None]:
    """Let ``torch.compile`` leave out ``print`` where it would break the graph, as far as this torch can."""
    config = torch._dynamo.config
    if not hasattr(config, "ignore_logging_functions"):
        yield
        return
    with config.patch(ignore_logging_functions={print}):
        yield


def assert_when_it_runs(condition: Tensor, message: str) -> None:
    """Raise ``RuntimeError`` where compiled code finds a tensor false; on a GPU, some time after it ran."""
    torch._assert_async(condition, message)


def tree_leaves(tree: object) -> list[object]:
    """The leaves of nested containers, likewise."""
    from torch.utils import _pytree

    found: list[object] = _pytree.tree_leaves(tree)
    return found


def tree_map(function: Callable[[object], object], tree: R) -> R:
    """What nested containers are with a function of each leaf. torch's own is in a private module."""
    from torch.utils import _pytree

    result: R = _pytree.tree_map(function, tree)
    return result


def shared_notes() -> Store | None:
    """The store by which the processes of the default group found each other: what one writes, the others can read.

    Without it, processes that start from other numbers are not found out. ``None`` where there are no others.
    """
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return None
    find = getattr(torch.distributed.distributed_c10d, "_get_default_store", None)
    alone = torch.distributed.get_world_size() == 1
    return None if alone or find is None else cast("Store", find())


def is_as_noted(notes: Store, key: str, mine: str) -> bool:
    """Whether a note is the one that the first process left under a key, if this is another one; nobody waits."""
    try:
        first = notes.compare_set(f"torchscope/{key}", "", mine)
    except RuntimeError:  # the store of processes that are imagined has no notes
        return True
    return bytes(first).decode() == mine


def group_size(group: object) -> int:
    """How many processes are in the group of a collective, which an operator is given by name or as what C++ has."""
    from torch.distributed import distributed_c10d

    if isinstance(group, str):
        return int(distributed_c10d._resolve_process_group(group).size())  # type: ignore[attr-defined, arg-type]
    return int(distributed_c10d.ProcessGroup.unbox(group).size())  # type: ignore[arg-type]


@contextlib.contextmanager
def imagined_processes(count: int) -> Iterator[None]:
    """Let this be the first of so many processes that are not there: collectives change nothing and wait for nobody."""
    import torch.testing._internal.distributed.fake_pg as fake  # which makes the backend known

    assert fake
    notes = torch.distributed.HashStore()  # type: ignore[attr-defined]  # public all the same
    torch.distributed.init_process_group("fake", store=notes, rank=0, world_size=count)
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


def end_gathering(root: torch.nn.Module) -> None:
    """Let FSDP2 put the parts of its parameters where they are while nothing runs, as it does before a ``state_dict``.

    After a forward without gradients the gathered ones may still be there, and what is written into them would be lost.
    """
    for module in root.modules():
        for hook in list(module._state_dict_pre_hooks.values()):
            if (getattr(hook, "__module__", None) or "").startswith("torch.distributed.fsdp"):
                hook(module, "", False)


@runs_at_trace_time
def mix_with_plain(mix: bool = True) -> bool:
    """Let operations of this thread take plain tensors beside ``DTensor`` tensors, as replicated ones.

    The public ``implicit_replication`` is a context that compiled code cannot have and that a backward pass is outside
    of. Returns whether they did before.
    """
    from torch.distributed.tensor import DTensor

    before: bool = DTensor._op_dispatcher._allow_implicit_replication
    DTensor._op_dispatcher._allow_implicit_replication = mix
    return before


def attention_on_a_cpu() -> object:
    """The operator of attention that torch's table of operations and costs lacks; without it, it costs nothing."""
    return getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", None)


def attention_of_gradients_on_a_cpu() -> object:
    """The operator of its backward pass."""
    return getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu_backward", None)
