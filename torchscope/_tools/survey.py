"""What happens in each scope and module while a model runs: what it gives, what it costs, what is read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from .._scopes.call import Call
from .._scopes.name_scope import tensors_in
from .._scopes.scope import VariableScope
from .._scopes.stack import innermost_call, thread
from .._torch import TorchDispatchMode, attention_on_a_cpu
from .._variables.initialize import creating
from .._variables.store import VariableStore
from .._variables.tensors import all_modules

if TYPE_CHECKING:
    from typing import Protocol

    class Operator(Protocol):
        """What is used of an operator of torch."""

        overloadpacket: object

        def decompose(self, *args: object, **kwargs: object) -> object: ...

        def __call__(self, *args: object, **kwargs: object) -> object: ...


Shapes = tuple[tuple[int, ...], ...]


class Survey:
    """What was seen; scopes and modules by their paths, in the order in which they were first entered.

    Attributes:
        outputs: the shapes of what each gave last: of a module what it returned, of a scope its last operation.
        flops: floating-point operations of each, without what ran in scopes and modules inside it.
        reads: by tensor, how many operations took it; of those that are alive, whose identity no other tensor has.
    """

    def __init__(self) -> None:
        self.outputs: dict[str, Shapes] = {}
        self.flops: dict[str, int] = {}
        self.reads: WeakIdKeyDictionary = WeakIdKeyDictionary()


class _Frame(NamedTuple):
    """A module whose forward is running, and the scope that was open where it was called."""

    path: str
    call: Call | None
    scope: VariableScope | None


class _Place:
    """Where in a module tree the code of one thread is."""

    def __init__(self, root: nn.Module) -> None:
        self._root = root
        self._thread = threading.get_ident()
        self._paths: dict[int, str] = {}
        self._frames: list[_Frame] = []

    @property
    def is_here(self) -> bool:
        """Whether this is the thread that is surveyed."""
        return threading.get_ident() == self._thread

    def path_of(self, module: nn.Module) -> str | None:
        """The path of a module of the tree; ``None`` of any other."""
        path = self._paths.get(id(module))
        if path is None:  # it may have been made meanwhile
            self._paths = {id(each): path for path, each in reversed(list(all_modules(self._root)))}
            path = self._paths.get(id(module))
        return path

    def now(self) -> str | None:
        """The path of the innermost scope or module."""
        call = innermost_call()
        scope = None if call is None else call.scope
        frame = self._frames[-1] if self._frames else None
        if frame is not None and (frame.call, frame.scope) == (call, scope):
            return frame.path
        while call is not None:
            root = self.path_of(call.root)
            if root is not None:
                return f"{root}.{call.scope.name}" if root and call.scope.name else root or call.scope.name
            call = call.outer  # of a module that is not in the tree: it counts where it is called
        return None

    def enter(self, module: nn.Module, args: object) -> None:
        """A module's forward begins."""
        path = self.path_of(module) if self.is_here and not isinstance(module, VariableStore) else None
        if path is not None:
            call = innermost_call()
            self._frames.append(_Frame(path, call, None if call is None else call.scope))

    def leave(self, module: nn.Module) -> str | None:
        """A module's forward ends, by whatever way; its path."""
        path = self.path_of(module) if self.is_here and not isinstance(module, VariableStore) else None
        if path is not None and self._frames:
            self._frames.pop()
        return path


@contextmanager
def surveying(root: nn.Module) -> Iterator[Survey]:
    """Survey the calls of ``root`` in the block, in this thread."""
    found, place = Survey(), _Place(root)

    def entered(module: nn.Module, args: object) -> None:
        place.enter(module, args)

    def left(module: nn.Module, args: object, output: object) -> None:
        path = place.leave(module)
        if path is not None and output is not None:
            found.outputs[path] = _shapes(output)

    with ExitStack() as at_the_end:
        watchers = thread.stack.watchers
        at_the_end.callback(thread.stack.watch, watchers)
        thread.stack.watch((*watchers, _Layers(found)))
        for handle in (
            register_module_forward_pre_hook(entered),
            register_module_forward_hook(left, always_call=True),
        ):
            at_the_end.callback(handle.remove)
        at_the_end.enter_context(_Functions(found, place))
        at_the_end.enter_context(_Flops(found, place))
        yield found
    for module in root.modules():  # FSDP2 keeps the root in one piece until a backward
        reshard = getattr(module, "reshard", None)
        if callable(reshard):
            reshard()


class _Layers:
    """Notes what layer functions and templates return: they are scopes that say what they give."""

    def __init__(self, found: Survey) -> None:
        self._found = found

    def begins(self, root: nn.Module) -> None:
        """Modules are noted by the hooks."""

    def record(self, path: str, value: object) -> None:
        """A layer returned something."""
        self._found.outputs[path] = _shapes(value)


class _Functions(TorchFunctionMode):
    """Notes what each function of torch reads and gives."""

    def __init__(self, found: Survey, place: _Place) -> None:
        super().__init__()
        self._found, self._place = found, place

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if creating.depth or torch.compiler.is_compiling():
            return result
        made = list(tensors_in(result))
        path = self._place.now() if made else None
        if path is not None:
            for tensor in tensors_in([args, kwargs]):
                self._found.reads[tensor] = self._found.reads.get(tensor, 0) + 1  # type: ignore[no-untyped-call]
            for each in _around(path):
                self._found.outputs[each] = _shapes(made)
        return result


class _Flops(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts floating-point operations by torch's own formulas."""

    def __init__(self, found: Survey, place: _Place) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        from torch.utils.flop_counter import flop_registry

        self._formulas = {attention_on_a_cpu(): _attention, **flop_registry}
        self._found, self._place = found, place
        self._device: object = torch.ops.prim.device.default  # a question, and no operation

    def __torch_dispatch__(
        self,
        func: Operator,
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        kwargs = kwargs or {}
        formula = self._formulas.get(func.overloadpacket)
        if formula is None and func is not self._device:
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        result = func(*args, **kwargs)
        path = None if formula is None or creating.depth else self._place.now()
        if path is not None and formula is not None:
            self._found.flops[path] = self._found.flops.get(path, 0) + formula(*args, **kwargs, out_val=result)
        return result


def _attention(query: Tensor, key: Tensor, value: Tensor, *rest: object, **options: object) -> int:
    """The operations of attention, by torch's formula for its other kernels."""
    from torch.utils.flop_counter import sdpa_flop_count

    count: int = sdpa_flop_count(query.shape, key.shape, value.shape)  # type: ignore[no-untyped-call]
    return count


def _around(path: str) -> Iterator[str]:
    """A path and all that it lies in, the outermost first."""
    yield ""
    for end, character in enumerate(path):
        if character in "/.":
            yield path[:end]
    yield path


def _shapes(output: object) -> Shapes:
    values = list(output.values()) if isinstance(output, Mapping) else output
    return tuple(tuple(tensor.shape) for tensor in tensors_in(values))
