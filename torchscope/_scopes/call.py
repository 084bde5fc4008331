"""One run of a root: what was got in it, which scopes are open, and what it remembers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

from torch import Tensor, nn
from torch.compiler import is_dynamo_compiling

from .._names.default_names import DefaultNames
from .._names.op_names import OpNames
from .._torch import branch_depth, in_nested_region, profiler
from .._variables.path_tree import OUTSIDE, PathNode, TracedNode
from .._variables.store import Collected, Parts, Undo, VariableStore
from .._variables.tracing import refuse_in_block, tracer
from .history import History, Plan
from .settings import Settings

if TYPE_CHECKING:
    from .scope import VariableScope


class TemplateState(NamedTuple):
    """What a template is in one call."""

    scope: VariableScope | None = None
    called: bool = False  # a call of it began: from then on it shares
    variables_made: bool = False  # a call of it ended: from then on nothing new may come


class Watching(Protocol):
    """What watches a building call for layers that it makes and forgets."""

    def stop(self) -> None: ...

    def warn(self) -> None: ...


class Building:
    """What a call has that may create variables (see ``_modules/building.py``).

    Attributes:
        undo: how to take back what it created, the oldest first.
        sets_built: whether its completion builds the root.
        part_of: the building call that it is a part of: if that one fails, what this one made is taken back with it.
        modes: what creating a variable changes in the thread, as it was when the call began.
        order: the paths that calls inside it got of the same root.
        kept: what is not to be taken back: others got it and completed.
        loaded: the paths that came from a file before it, of which it has to ask for one.
        collected: what earlier calls had added to collections when it began.
        watch: what watches it for layers that it makes and does not keep.
    """

    __slots__ = ("collected", "kept", "loaded", "modes", "order", "part_of", "sets_built", "undo", "watch")

    def __init__(self, *, sets_built: bool, part_of: Call | None, modes: tuple[int, bool]) -> None:
        self.sets_built = sets_built
        self.part_of = part_of
        self.modes = modes
        self.undo: list[Undo] = []
        self.order: dict[str, bool] = {}
        self.kept: list[tuple[VariableStore, dict[str, bool]]] = []
        self.loaded: list[str] = []
        self.collected: Collected = {}
        self.watch: Watching | None = None


class Moment(NamedTuple):
    """A call as it was at one moment, for another one to go on from; what only grows is kept by its length."""

    call: Call
    scope: VariableScope
    at: int  # how many events had happened


class Call(History):
    """The record of one run of a root's forward, or of one ``with root.as_default():`` block.

    In plain words: a call is a TensorFlow 1 graph that is being built. Its history says which variables this graph has
    so far, and the rule of reuse looks there; the tensors themselves live on in the root between calls.

    Attributes:
        root, store: the module that runs, and its variables.
        function: what it runs, to be held against the last call of that.
        outer: the call that this one interrupts.
        scope: the innermost open scope; each scope knows the one around it.
        collected: what ``add_to_collection`` added in this call, by collection: the scope and the value.
        default_names, op_names: the names given in it, made when one is first asked for.
        parts: how the variables that it got in parts are cut, by path; made when first needed.
        templates: what each template is in it; made when first needed.
        moment: where another call was, if this one goes on from there (activation checkpointing).
        parameters, tree: where the fast path looks variables up. It finds nothing there while the call may create;
            while it is profiled or others may find it (``task``), no scope either.
        compares: whether what it gets below default names is held against the code that made it.
        traced: whether the compiler traced its beginning.
        in_branch: whether that was in a branch of control flow.
        is_block: whether it is a block of ``compile_once``: names and positions are those in its scope.
        failed_block: where one raised an exception in this call.
        begins_scope: whether nothing was opened or got in that scope before.
        profiled: whether open scopes are ranges of a profiler's trace.
        task: the asyncio task that it belongs to, where others of the thread may find it (``as_default``).
        building: what it needs to create variables; ``None`` if it may not.
    """

    __slots__ = (
        "begins_scope",
        "building",
        "collected",
        "compares",
        "default_names",
        "failed_block",
        "in_branch",
        "is_block",
        "moment",
        "op_names",
        "outer",
        "parameters",
        "parts",
        "profiled",
        "root",
        "scope",
        "store",
        "task",
        "templates",
        "traced",
        "tree",
    )

    scope: VariableScope
    tree: PathNode | None
    begins_scope: bool  # of a block of compile_once

    def __init__(
        self,
        root: nn.Module,
        store: VariableStore,
        outer: Call | None,
        function: object = None,
        moment: Moment | None = None,
    ) -> None:
        self.root = root
        self.store = store
        self.outer = outer
        self.moment = moment
        self.collected: Collected | None = None
        self.default_names: DefaultNames | None = None
        self.op_names: OpNames | None = None
        self.parts: dict[str, Parts] | None = None
        self.templates: dict[object, TemplateState] | None = None
        self.building: Building | None = None
        self.compares = self.is_block = self.in_branch = False
        self.begins_scope = True
        self.failed_block: str | None = None
        self.task: object = None
        self.parameters: Mapping[str, Tensor | None] = store._parameters
        self.traced = is_dynamo_compiling()
        if self.traced:
            plan: Plan | None = None
            if store.provisional:  # the fast path must not find them: their next get completes the declaration
                self.parameters = {path: p for path, p in self.parameters.items() if path not in store.provisional}
            depth = branch_depth()
            self.in_branch = depth > 0
            self.tree = TracedNode("", self.parameters, store, depth)  # type: ignore[assignment]  # it stands for a node
            self.profiled = False
        else:
            plan = store.entered.get(function)  # type: ignore[assignment]  # what _remember put there
            self.profiled = profiler._is_profiler_enabled and tracer() is None
            self.tree = OUTSIDE if self.profiled else store.tree
        self.plan, self.at, self.entries = plan, 0, None
        self.events, self.got = ([None], {}) if plan is None else (plan.events, None)

    def got_before(self, at: int) -> list[str]:
        """The paths that had been got when ``at`` events had happened."""
        mine = [event for event in self.events[:at] if isinstance(event, str)]
        return mine if self.moment is None else [*self.moment.call.got_before(self.moment.at), *mine]

    def goes_on_after(self, call: Call, at: int) -> bool:
        """Whether what is at a place among the events of a call lies before what happens here."""
        before, moment = call is self, self.moment
        while not before and moment is not None:
            before, moment = moment.call is call and at < moment.at, moment.call.moment
        return before

    def refuse_in_block(self, what: str) -> None:
        """Refuse what differs from scope to scope, in a block that is compiled once for all of them.

        Raises:
            TracingError: the call is such a block.
        """
        if self.is_block:
            refuse_in_block(what)

    def collect(self, name: str, scope: str, value: object) -> None:
        """Add a value to a collection, in a scope."""
        self.collected = self.collected or {}
        self.collected.setdefault(name, []).append((scope, value))

    @property
    def is_default_block(self) -> bool:
        """Whether it is a block of ``as_default()``, which may hold any code."""
        return self.building is not None and not self.building.sets_built and self.moment is None

    @property
    def loose(self) -> Collected:
        """What was added to collections beside variables, as it is seen here.

        A block of ``as_default()`` may hold calls of the module, as a graph that is built in parts: it sees what the
        last of these added too.
        """
        own, inside = self.collected or {}, self.store.collected
        if self.building is None or not self.is_default_block:
            return own
        if own and inside is self.building.collected:  # of before the block
            return own
        return {name: [*inside.get(name, ()), *own.get(name, ())] for name in (*inside, *own)}

    def fail_in_block(self, path: str) -> None:
        """Note that a block of ``compile_once`` raised an exception in a scope: the call must not complete."""
        self.failed_block = path
        self.collected = self.collected or {}  # calls with something collected are looked at when they end

    def refuse_name(self, what: str) -> None:
        """Refuse a name of what differs from scope to scope; likewise, and in torch's ``nested_compile_region``.

        Raises:
            TracingError: the code is compiled once for all scopes.
        """
        if self.is_block or (self.traced and in_nested_region()):
            refuse_in_block(what)

    @property
    def is_over(self) -> bool:
        """Whether it was left."""
        return self.scope is _ENDED  # type: ignore[comparison-overlap]

    @property
    def default_named(self) -> bool:
        """Whether a scope that is open was given a default name."""
        scope: VariableScope | None = self.scope
        while scope is not None and ((entry := scope._entry) is None or not entry.by_default_name):
            scope = scope._parent
        return scope is not None

    def end(self) -> None:
        """Let the call forget its scopes, which know the call: nothing is left for the garbage collector.

        Another thread may still find the call: the sentinel makes its fast paths fail, and the slow path sees that the
        call is over.
        """
        self.scope = _ENDED  # type: ignore[assignment]
        self.default_names = self.op_names = self.parts = self.templates = None


class _EndedScope:
    """A sentinel: the innermost scope of every call that is over."""

    _node = OUTSIDE
    _settings = Settings()


_ENDED = _EndedScope()


class _NoCall:
    """A sentinel: a call in which no scope is open. Scopes that were opened while no module was running have it."""

    scope = None
    profiled = False


NO_CALL: Call = _NoCall()  # type: ignore[assignment]  # it is asked for nothing else
