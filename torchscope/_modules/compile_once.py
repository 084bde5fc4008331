"""``compile_once``: one compiled graph for a block of layers, whatever scopes it runs in.

Code that ``torch.compile`` has compiled is tied to the paths of the variables that it reads, and to what was got before
it. So a block is run here on a stand-in: a module that holds the variables below the open scope by their paths in that
scope. The stand-ins of twelve equal scopes look the same to the compiler. What the block has opened and got comes out
of the compiled code with its result, and is noted in the call that runs.
"""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable
from types import MethodType
from typing import Generic, ParamSpec, TypedDict, TypeVar, Unpack, overload
from weakref import WeakKeyDictionary

import torch

from .._names.events import BASE, Entry, Event, Left, NameEntry, outer_prefix
from .._scopes.call import Call
from .._scopes.naming import default_names, opened_nothing_yet
from .._scopes.scope import VariableScope, open_base
from .._scopes.settings import Settings
from .._scopes.stack import innermost, pop, thread, ways_to_the_stack
from .._torch import in_backward, is_dynamos
from .._variables.made_at import CALLED_FROM
from .._variables.path_tree import PathNode
from .._variables.spec import VariableSpec
from .._variables.store import Collected, VariableStore
from .._variables.tracing import tracer
from ..errors import ArgumentTypeError, ScopeError, ScopeNestingError
from .entry import Root
from .scoped_module import ScopedModule

P = ParamSpec("P")
R = TypeVar("R")

ways_to_the_stack.append(lambda: thread.stack)


class CompileOptions(TypedDict, total=False):
    """The options of ``torch.compile``, which says what they do."""

    fullgraph: bool
    dynamic: bool | None
    backend: str | Callable[..., object]
    mode: str | None
    options: dict[str, str | int | bool | Callable[..., object]] | None
    disable: bool


@overload
def compile_once(function: Callable[P, R], **options: Unpack[CompileOptions]) -> CompiledOnce[P, R]: ...
@overload
def compile_once(
    function: None = None, **options: Unpack[CompileOptions]
) -> Callable[[Callable[P, R]], CompiledOnce[P, R]]: ...
def compile_once(
    function: Callable[P, R] | None = None, **options: Unpack[CompileOptions]
) -> CompiledOnce[P, R] | Callable[[Callable[P, R]], CompiledOnce[P, R]]:
    """``torch.compile`` of a function that gets variables, with one graph for all scopes it runs in.

    A plain ``torch.compile(block)`` compiles anew in each scope, and after eight of them runs eagerly. This compiles a
    block once for all scopes that hold variables of the same names, shapes and dtypes, as regional compilation does of
    modules written by hand: a model of 24 equal blocks compiles in the time of one.

    >>> import torch
    >>> from torchscope import ScopedModule, compile_once, get_variable, variable_scope
    >>> @compile_once
    ... def block(x):
    ...     return torch.tanh(x @ get_variable("kernel", [3, 3]))
    >>> def forward(x):
    ...     for layer in range(12):
    ...         with variable_scope(f"layer_{layer}"):
    ...             x = block(x)
    ...     return x
    >>> model = ScopedModule(forward, seed=0).build(torch.ones(1, 3))  # its calls are compiled: twelve times one graph
    >>> len(list(model.parameters()))
    12

    While the module builds, in a block of ``as_default``, and while something else traces (``torch.compile`` of the
    whole model, ``torch.export``, ``vmap``), the function runs as it is. So it does, with a warning, where a custom
    getter or a partitioner is in force, or variables in parts lie below the scope.

    Args:
        function: a function, or a method, that gets variables in the scope that is open where it is called. Left out,
            as in ``@compile_once(dynamic=True)``, what is returned takes the function.
        **options: of ``torch.compile``: ``fullgraph``, ``dynamic``, ``mode``, ``backend``, ``options``.

    Returns:
        The function, to be called instead; assigned in a class body it is a method.

    Raises:
        ArgumentTypeError: it is no function.
        NoActiveModuleError: raised by its call, if no module is running in this thread.
        TracingError: raised by its call, if the function asks for what differs from scope to scope, or is the whole
            call's: the name of a scope or an operation, a scope object from outside, a collection, a custom getter, a
            template, a default name where others were opened before it. Raised by the module's call, if the function
            raised something, and that was caught outside of it: what it had got by then is not known.
    """
    if function is None:
        return lambda function: CompiledOnce(function, **options)
    return CompiledOnce(function, **options)


class CompiledOnce(Generic[P, R]):
    """What :func:`compile_once` returns."""

    def __init__(self, function: Callable[P, R], **options: Unpack[CompileOptions]) -> None:
        if not callable(function):
            raise ArgumentTypeError.of("function", function, "Give the function that is the block.")
        self._function, self._options = function, options
        self._compiled = torch.compile(_runner(function), **options)
        self._stand_ins: WeakKeyDictionary[VariableStore, dict[str, _StandIn]] = WeakKeyDictionary()
        self._warned = False
        functools.update_wrapper(self, function, updated=())

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function, compiled."""
        if torch.compiler.is_compiling():
            return self._function(*args, **kwargs)
        scope = innermost(f"{self!r}, a function of compile_once(),")
        call, prefix = scope._call, scope._prefix
        if not call.store.settled or _must_not_compile(call):
            return self._function(*args, **kwargs)
        held = self._stand_in(call.store, prefix)
        if held.is_provisional(call.store):  # a get completes what pickle lost
            return self._function(*args, **kwargs)
        if not scope._settings.plain or held.has_parts:
            self._warn(scope)
            return self._function(*args, **kwargs)
        got = () if scope._settings.reuse else tuple(rel for path, rel in held.all_paths if call.has_got(path))
        state = (scope._settings, got, opened_nothing_yet(scope))
        try:
            result, events, collected = self._compiled(call.root, held.module.variables, state, args, kwargs)
        except BaseException as error:
            call.fail_in_block(prefix[:-1])
            found = _of_scopes(error)
            if found is None:
                raise
            found.add_note(f"in a block of compile_once: paths are those inside '{prefix[:-1]}'")
            raise found from None
        _note(scope, events, collected)
        return result

    def __repr__(self) -> str:
        return f"<{getattr(self._function, '__qualname__', self._function)}, compiled once>"

    def _stand_in(self, store: VariableStore, prefix: str) -> _StandIn:
        """The stand-in for a scope, with the tensors that the module has now."""
        tree, known = store.grown_tree(), self._stand_ins.setdefault(store, {})
        held = known.get(prefix)
        if held is None or held.tree is not tree or not held.has_the_layers_of(store):
            held = known[prefix] = _StandIn(store, tree, prefix)
        held.refresh(store)
        return held

    def _warn(self, scope: VariableScope) -> None:
        if not self._warned:
            self._warned = True
            why = "a custom getter or a partitioner is in force" if not scope._settings.plain else "there are parts"
            warnings.warn(f"compile_once does not compile in '{scope._prefix[:-1]}': {why} there.", stacklevel=3)

    def __get__(self, instance: object, owner: type | None = None) -> Callable[..., R]:
        """As a method: the instance is the function's first argument."""
        return self if instance is None else MethodType(self, instance)

    def __reduce__(self) -> str | tuple[object, ...]:
        name = getattr(self._function, "__qualname__", "")
        found: object = sys.modules.get(getattr(self._function, "__module__", ""))
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is self:  # a decorated function: by its name, which is now this
            return str(name)
        return functools.partial(CompiledOnce, **self._options), (self._function,)


class _StandIn:
    """The variables and layers below a scope by their paths in it, as a module of their own."""

    def __init__(self, store: VariableStore, tree: PathNode, prefix: str) -> None:
        self.tree = tree  # of the store: another one means that the store has changed
        self.module = ScopedModule(_no_forward)
        specs = [spec for spec in store.declared() if spec.path.startswith(prefix)]
        self.paths = [(spec.path, spec.path[len(prefix) :]) for spec in specs]
        self.has_parts = any(path.startswith(prefix) or path + "/" == prefix for path in store.parts)
        held = self.module.variables
        held.owner = f"a block of {store.owner}"
        for spec, (path, relative) in zip(specs, self.paths, strict=True):
            tensor = store.find(path)
            assert tensor is not None
            held.put(_declared(spec, relative), tensor)
        self.layers = {path: store._modules.get(path) for path in store.module_made_at if path.startswith(prefix)}
        for path, layer in self.layers.items():
            if layer is not None:
                held.put_module(path[len(prefix) :], layer, _nearest(store.module_made_at[path]))
        self.all_paths = [*self.paths, *((path, path[len(prefix) :]) for path in self.layers)]
        held.set_built(True)

    def has_the_layers_of(self, store: VariableStore) -> bool:
        """Whether the layers of ``get_module`` are those of now: some tools put others in their places."""
        return all(store._modules.get(path) is layer for path, layer in self.layers.items())

    def is_provisional(self, store: VariableStore) -> bool:
        """Whether something is not declared in full: the next get does that, on the module itself."""
        if store.provisional and any(path in store.provisional for path, _ in self.paths):
            return True
        return any(path not in store.makers for path in self.layers)

    def refresh(self, store: VariableStore) -> None:
        """Take the tensors that the store has now: some put others in their places."""
        held = self.module.variables
        for path, relative in self.paths:
            tensor = store.find(path)
            tensors = held._buffers if relative in held._buffers else held._parameters
            if tensors[relative] is not tensor:
                tensors[relative] = tensor  # type: ignore[assignment]  # a tensor may stand for a parameter


def _must_not_compile(call: Call) -> bool:
    """Whether a call may create, or something traces it; or it recomputes, in backward, what ran so."""
    if call.moment is not None and not call.moment.call.parameters:
        return True
    return call.building is not None or (tracer() is not None and not in_backward())


def _no_forward() -> None:
    """A stand-in is never called itself."""


def _declared(spec: VariableSpec, relative: str) -> VariableSpec:
    """A declaration, but for what differs from scope to scope, and what only new variables need."""
    made_at = None if spec.made_at is None else _nearest(spec.made_at)
    return VariableSpec(relative, spec.shape, spec.dtype, spec.kind, spec.trainable, spec.persistent, made_at=made_at)


def _nearest(made_at: str) -> str:
    return made_at.partition(CALLED_FROM)[0]


def _runner(function: Callable[..., R]) -> Callable[..., tuple[R, list[Event], Collected | None]]:
    """What is compiled: the function in a call of its own, on a stand-in."""

    def block(
        root: Root,
        store: VariableStore,
        state: tuple[Settings, tuple[str, ...], bool],
        args: tuple[object, ...],
        kwargs: dict[str, object],
    ) -> tuple[R, list[Event], Collected | None]:
        settings, got, begins = state
        call = Call(root, store, thread.stack.call)
        call.is_block, call.begins_scope = True, begins
        call.got = dict.fromkeys(got, True)
        base = open_base(call)
        base._settings = settings
        try:
            result = function(*args, **kwargs)
            if call.scope is not base:
                raise ScopeNestingError.of("a function of compile_once", f"'{call.scope._prefix[:-1]}'")
            return result, [_plain(event) for event in call.events[: call.at]], call.collected
        finally:
            pop(call)

    # A code object of its own: torch.compile keeps what it compiled, and counts recompilations, by code object.
    block.__code__ = block.__code__.replace(co_name=block.__name__)
    return block


def _plain(event: Event | None) -> Event:
    """An event without the place in the stand-in that it may be."""
    if isinstance(event, (str, Entry, NameEntry, Left)):
        return event
    assert event is not None
    outer = outer_prefix(event.prefix)
    return Entry(event.prefix, outer, event.prefix[len(outer) : -1])


def _note(scope: VariableScope, events: list[Event], collected: Collected | None) -> None:
    """Note in the call that runs what a block has opened, got and collected in a scope."""
    call, prefix = scope._call, scope._prefix
    at = {BASE: scope._at}
    for number, event in enumerate(events):
        at[number] = call.at
        if isinstance(event, str):
            if not call.has_got(prefix + event):
                call.note(prefix + event)
        elif isinstance(event, Entry):
            if event.is_object or "/" in event.prefix[len(event.outer) : -1]:
                default_names(call).by_path = True
            again = at[event.again] if isinstance(event.again, int) else event.again
            call.note(event._replace(prefix=prefix + event.prefix, outer=prefix + event.outer, again=again))
        elif isinstance(event, NameEntry):
            call.note(NameEntry(event.asked, at[event.within]))
        elif isinstance(event, Left):
            call.note(Left(at[event.entered_at]))
    for name, values in (collected or {}).items():
        for where, value in values:
            call.collect(name, f"{prefix}{where}".rstrip("/"), value)


def _of_scopes(error: BaseException | None) -> ScopeError | None:
    """The error of a scope, also if Dynamo has wrapped it into its own, without what Dynamo has added."""
    while error is not None and is_dynamos(error) and not isinstance(error, ScopeError):
        error = error.__cause__ or error.__context__
    if not isinstance(error, ScopeError):
        return None
    error.args = (str(error).partition("\n\nfrom user code:")[0],)
    return error
