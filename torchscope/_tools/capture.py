"""``capture``: what layer functions, modules and operations return, by path."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from torch import Tensor, nn
from torch.compiler import is_compiling

from .._names.paths import say_nearest
from .._names.patterns import Patterns, refuse_nothing, selector
from .._scopes.call import Call
from .._scopes.name_scope import name_ops
from .._scopes.scope import Selects, as_patterns
from .._scopes.stack import innermost_call, outermost, thread
from .._torch import in_backward
from .._variables.tensors import all_modules
from ..errors import ArgumentTypeError, ArgumentValueError, ScopeNestingError

Value = Any  # whatever a layer or module returns


class Captured(Mapping[str, Value]):
    """What a :class:`capture` block has seen: by path what was returned there; a list, where it was more than once.

    It is filled while the block runs, and keeps what it has after it.
    """

    def __init__(self) -> None:
        self._found: dict[str, list[Value]] = {}

    def __getitem__(self, path: str) -> Value:
        if path not in self._found:
            raise KeyError(f"{path!r} was not captured. {say_nearest(path, self._found)}".rstrip())
        found = self._found[path]
        return found[0] if len(found) == 1 else list(found)

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def every(self, path: str) -> list[Value]:
        """What was returned at a path, as a list also if it was once."""
        return list(self._found[path])

    def __repr__(self) -> str:
        return f"<Captured: {', '.join(self._found) or 'nothing'}>"


class _Recorder:
    """One open block: what it selects, and what it has found."""

    def __init__(self, patterns: Patterns, found: Captured) -> None:
        self._selects = selector(patterns)
        self._found = found._found
        self._thread = threading.get_ident()
        self._watched: dict[int, nn.Module] = {}
        self.seen: dict[str, bool] = {}
        self.at_the_end = ExitStack()

    def begins(self, root: nn.Module) -> None:
        """Watch the modules of a tree, by hooks that go when the block ends."""
        for path, module in all_modules(root):
            if path and id(module) not in self._watched:
                self._watched[id(module)] = module
                self.at_the_end.callback(module.register_forward_hook(functools.partial(self._ran, path)).remove)

    def _ran(self, path: str, module: nn.Module, args: object, output: object) -> None:
        if is_compiling() or threading.get_ident() != self._thread or innermost_call() is None or in_backward():
            return
        self.record(path, output)

    def record(self, path: str, value: object) -> None:
        """Keep a value if its path is selected; in compiled code all are kept until the block ends."""
        self.seen[path] = True
        if is_compiling() or self._selects(path):
            self._found.setdefault(path, []).append(value)

    def end(self) -> None:
        """Forget what compiled code recorded and is not selected, and watch no more."""
        self.at_the_end.close()
        for path in [path for path in self._found if not self._selects(path)]:
            del self._found[path]


class capture:
    """Keep what is returned inside a model, by path: of layer functions, modules and, if asked for, operations.

    Layer functions are those of :func:`layer` and templates; modules are those of ``get_module`` and those that are
    attributes, with what is in them. Paths are those of :meth:`ScopedModule.select`. What is returned is kept as it is,
    with its gradient; ``value.retain_grad()`` in the block keeps that too. Several blocks may be open; each sees what
    runs in its thread.

    Under ``torch.compile`` layer functions and templates are captured too, by a compilation of its own for calls inside
    of such blocks; modules and operations are not: run the model eagerly for these. What is captured there is an output
    of the compiled code beside the others: a loss of it has its gradients, and the gradient of another output does not
    pass through it, so ``retain_grad()`` gives ``None``.

    >>> import torch
    >>> from torchscope import ScopedModule, get_variable, variable_scope
    >>> from torchscope.tools import capture, layer
    >>> @layer
    ... def dense(x, units):
    ...     return x @ get_variable("kernel", [x.shape[-1], units])
    >>> def forward(x):
    ...     with variable_scope("encoder"):
    ...         return dense(dense(x, 4), 5)
    >>> model = ScopedModule(forward).build(torch.ones(2, 3))
    >>> with capture("encoder") as got:
    ...     y = model(torch.ones(2, 3))
    >>> list(got), got["encoder/dense_1"] is y
    (['encoder/dense', 'encoder/dense_1'], True)

    Args:
        pattern: a path, a glob, a :class:`VariableScope`, or a list of these.
        operations: whether to capture the results of torch's operations too, under the names of
            :class:`torchscope.name_ops`: ``"encoder/dense/matmul"``.

    Returns:
        From ``with``, a :class:`Captured`.

    Raises:
        ArgumentValueError: nothing that ran in the block is selected, and the block raised nothing itself; the message
            has the nearest of what ran.
        ScopeNestingError: it is left before a block that was opened inside it.
    """

    def __init__(self, pattern: Selects, *, operations: bool = False) -> None:
        self._patterns = as_patterns(pattern, "pattern")
        if not isinstance(operations, bool):
            raise ArgumentTypeError.of("operations", operations, "Give True or False.")
        self._operations = operations
        self._entered: list[_Recorder] = []

    def __enter__(self) -> Captured:
        found = Captured()
        recorder = _Recorder(self._patterns, found)
        if self._operations:
            recorder.at_the_end.enter_context(_Operations(recorder))
        self._entered.append(recorder)
        stack = thread.stack
        stack.watch((*stack.watchers, recorder))
        if stack.call is not None:  # it is opened in a call
            recorder.begins(outermost(stack.call).root)
        return found

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        watchers = thread.stack.watchers
        recorder = next(each for each in reversed(self._entered) if each in watchers)  # other threads may be in it too
        self._entered.remove(recorder)
        thread.stack.watch(tuple(each for each in watchers if each is not recorder))
        recorder.end()
        if kind is None and watchers[-1] is not recorder:
            raise ScopeNestingError.of("a capture block", "another one")
        if kind is None:
            self._refuse_nothing(list(recorder.seen))

    def _refuse_nothing(self, seen: list[str]) -> None:
        """Refuse a pattern that selected nothing of what ran, and say what may be the reason."""
        try:
            refuse_nothing(self._patterns, seen, "what ran in the block", "pattern", "layers and modules")
        except ArgumentValueError as error:
            if not self._operations:
                error.add_note("Operations are captured with capture(..., operations=True).")
            error.add_note("In compiled code there are layer functions and templates alone: call the model itself.")
            raise


def report(path: str, value: object) -> None:
    """Tell the blocks of this thread what was returned at a path of the call; a recompute tells nothing."""
    if not is_compiling() and in_backward():
        return
    call = innermost_call()
    prefix = "" if call is None else _prefix_of(call)
    for each in thread.stack.watchers:
        each.record(prefix + path, value)


def _prefix_of(call: Call) -> str:
    """What stands before the paths of a call inside others: the path of its module in the outermost one, and a dot."""
    if call.outer is None:
        return ""
    modules = all_modules(outermost(call).root)
    return next((f"{path}." for path, module in modules if module is call.root and path), "")


class _Operations(name_ops):
    """Names the operations, and records them."""

    def __init__(self, recorder: _Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def _ran(
        self, function: str, args: object, kwargs: Mapping[str, object], made: list[Tensor], *, named: bool
    ) -> str | None:
        name = super()._ran(function, args, kwargs, made, named=named)
        call = innermost_call()
        if name is not None and call is not None:
            self._recorder.record(_prefix_of(call) + name, made[0] if len(made) == 1 else tuple(made))
        return name
