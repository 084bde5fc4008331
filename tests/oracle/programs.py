"""Random programs of scopes: small trees of statements that mean the same in TensorFlow 1 and in torchscope.

A program is a list of statements. :func:`run` walks it with a *dialect*, TensorFlow's or ours, and writes down all that
can be seen; :func:`as_code` prints it as source in either. Where the two differ on purpose (``docs/tf1.md``) a program
does not go: each such place says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from hypothesis import strategies as st

Reuse = Literal["None", "False", "True", "AUTO_REUSE"]


@dataclass(frozen=True)
class Options:
    """What a scope may be given beside its name; ``None`` is: not given."""

    reuse: Reuse = "None"
    initializer: int | None = None
    regularizer: bool = False
    dtype: str | None = None
    getter: str | None = None
    auxiliary_name_scope: bool = True
    partitioner: int | None = None  # how many parts


@dataclass(frozen=True)
class Scope:
    """``with variable_scope(...)``; ``opener`` is a name, or the number of a scope or manager seen before."""

    kind: Literal["name", "default", "jump", "again"]
    opener: Any
    options: Options
    body: tuple[Any, ...]


@dataclass(frozen=True)
class Get:
    """``get_variable``, in the current scope or through a scope object seen before."""

    name: str
    shape: tuple[int, ...] | None
    dtype: str | None
    initializer: tuple[str, int] | None
    regularizer: bool
    trainable: bool | None
    getter: str | None
    partitioner: int | None = None


@dataclass(frozen=True)
class Share:
    """``get_variable_scope().reuse_variables()``."""


@dataclass(frozen=True)
class Change:
    """``get_variable_scope().set_...(value)``."""

    setting: Literal["initializer", "dtype", "regularizer", "getter"]
    value: Any


@dataclass(frozen=True)
class NameScope:
    """``with name_scope(...)``: a name, or an exact one."""

    name: str | None
    body: tuple[Any, ...]


@dataclass(frozen=True)
class Op:
    """An operation called ``add``."""


@dataclass(frozen=True)
class Template:
    """``make_template``, of a function that gets some variables."""

    name: str
    now: bool
    unique: str | None
    getter: str | None
    body: tuple[Any, ...]


@dataclass(frozen=True)
class CallTemplate:
    """A call of a template made before."""

    number: int


Statement = Scope | Get | Share | Change | NameScope | Op | Template | CallTemplate

NAMES = st.sampled_from(["a", "b", "c", "a/b", "a_1"])
REUSE: st.SearchStrategy[Any] = st.sampled_from(["None"] * 4 + ["False", "True", "AUTO_REUSE", "AUTO_REUSE"])
# Whole numbers fill every dtype. Where an initializer fails, TensorFlow keeps the name it took for the variable.
NUMBER = st.sampled_from([1, 2])
SHAPE = st.sampled_from([None, (2,), (2,), (2,), (3,), (2, 3)])
DTYPE = st.sampled_from([None, None, None, "float32", "float64", "int32"])
GETTER = st.sampled_from([None, None, None, None, "plain", "renames", "fills"])


def _options(scope_dtypes: bool, parts: st.SearchStrategy[int | None]) -> st.SearchStrategy[Options]:
    return st.builds(
        Options,
        reuse=REUSE,
        initializer=st.none() | NUMBER,
        regularizer=st.booleans(),
        dtype=st.sampled_from([None, None, "float32", "float64"]) if scope_dtypes else st.none(),
        getter=GETTER,
        auxiliary_name_scope=st.sampled_from([True, True, True, False]),
        partitioner=parts,
    )


def _get(constants: bool, parts: st.SearchStrategy[int | None]) -> st.SearchStrategy[Get]:
    kinds = ["fill", "constant"] if constants else ["fill"]
    return st.builds(
        Get,
        name=NAMES,
        shape=SHAPE,
        dtype=DTYPE,
        initializer=st.none() | st.tuples(st.sampled_from(kinds), NUMBER),
        regularizer=st.booleans(),
        trainable=st.sampled_from([None, None, False]),
        getter=GETTER,
        partitioner=parts,
    )


def _change(scope_dtypes: bool) -> st.SearchStrategy[Change]:
    choices = [
        st.builds(Change, st.just("initializer"), st.none() | NUMBER),
        st.builds(Change, st.just("regularizer"), st.booleans()),
        st.builds(Change, st.just("getter"), GETTER),
    ]
    if scope_dtypes:
        choices.append(st.builds(Change, st.just("dtype"), st.sampled_from(["float32", "float64"])))
    return st.one_of(choices)


@st.composite
def programs(draw: st.DrawFn) -> tuple[Statement, ...]:
    """A program of up to some twenty statements, three scopes deep."""
    # TensorFlow holds a constant's get against the scope's dtype, we do not: a program has one of the two.
    scope_dtypes = draw(st.booleans())
    # TensorFlow cuts a constant without a look at its shape, we take the shape from it: again one of the two.
    parts = st.sampled_from([None, 1, 2, 2]) if scope_dtypes and draw(st.booleans()) else st.none()
    get = _get(not scope_dtypes, parts)
    simple = st.one_of(get, get, st.just(Share()), _change(scope_dtypes), st.just(Op()))
    template = st.builds(
        Template,
        NAMES,
        st.just(False) if scope_dtypes else st.booleans(),  # made now, TensorFlow's does not inherit the dtype
        st.sampled_from([None, None, "a", "t"]),
        GETTER,
        st.lists(st.one_of(get, st.just(Op())), max_size=3).map(tuple),
    )
    simple = st.one_of(simple, simple, template, st.builds(CallTemplate, st.integers(0, 3)))

    def scopes(body: st.SearchStrategy[Any]) -> st.SearchStrategy[Scope]:
        bodies = st.lists(body, max_size=4).map(tuple)
        options = st.just(Options()) | _options(scope_dtypes, parts)
        named = st.builds(Scope, st.just("name"), NAMES, options, bodies)
        default = st.builds(Scope, st.just("default"), NAMES, options, bodies)
        jump = st.builds(Scope, st.just("jump"), st.integers(0, 7), options, bodies)
        again = st.builds(Scope, st.just("again"), st.integers(0, 7), st.just(Options()), bodies)
        naming = st.builds(NameScope, st.sampled_from(["a", "b", "A", "add", "a/b", "a/", "a/b/", None, ""]), bodies)
        return st.one_of(named, named, default, jump, again, naming)

    one = scopes(simple)
    two = scopes(st.one_of(simple, one))
    three = scopes(st.one_of(simple, one, two))
    return tuple(draw(st.lists(st.one_of(simple, one, two, three), min_size=1, max_size=6)))


class Dialect(Protocol):
    """One of the two libraries, as a program needs it."""

    def scope(self, opener: Any, default: str | None, options: dict[str, Any]) -> AbstractContextManager[Any]: ...
    def get(self, get: Get, log: Callable[[Any], None]) -> Any: ...
    def option(self, name: str, value: Any, log: Callable[[Any], None]) -> Any: ...
    def current(self) -> Any: ...
    def seen_scope(self, scope: Any) -> tuple[Any, ...]: ...
    def seen_variable(self, variable: Any) -> tuple[Any, ...]: ...
    def seen_parts(self, joined: Any) -> tuple[Any, ...] | None: ...
    def summary(self) -> list[Any]: ...
    def name_scope(self, name: str | None) -> AbstractContextManager[str]: ...
    def op(self) -> str: ...
    def template(self, name: str, function: Any, now: bool, unique: str | None, getter: Any) -> Any: ...


ERRORS = (ValueError, TypeError)


class Run:
    """A program that runs in one dialect, and the log of what was seen."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.log: list[Any] = []
        self.scopes: list[Any] = []
        self.managers: list[Any] = []
        self.busy: list[Any] = []  # managers that are open, or would reuse ever after in TensorFlow
        self.variables: list[Any] = []
        self.templates: list[Any] = []

    def body(self, statements: tuple[Statement, ...]) -> None:
        for statement in statements:
            try:
                getattr(self, type(statement).__name__.lower())(statement)
            except ERRORS as error:
                kind = ValueError if isinstance(error, ValueError) else TypeError
                self.log.append(("error", kind.__name__))

    def share(self, statement: Share) -> None:
        self.dialect.current().reuse_variables()

    def change(self, change: Change) -> None:
        name = {"getter": "custom_getter"}.get(change.setting, change.setting)
        value = self.dialect.option(change.setting, change.value, self.log.append)
        getattr(self.dialect.current(), f"set_{name}")(value)

    def get(self, get: Get) -> None:
        variable = self.dialect.get(get, self.log.append)
        parts = self.dialect.seen_parts(variable)
        if parts is not None:
            self.log.append(("parts", *parts))
            return
        if not any(variable is known for known in self.variables):
            self.variables.append(variable)
        number = next(i for i, known in enumerate(self.variables) if known is variable)
        self.log.append(("variable", number, *self.dialect.seen_variable(variable)))

    def namescope(self, scope: NameScope) -> None:
        with self.dialect.name_scope(scope.name) as name:
            self.log.append(("name scope", name))
            self.body(scope.body)

    def op(self, op: Op) -> None:
        self.log.append(("op", self.dialect.op()))

    def template(self, template: Template) -> None:
        getter = self.dialect.option("getter", template.getter, self.log.append)

        def function() -> None:
            self.log.append(("in template", *self.dialect.seen_scope(self.dialect.current())))
            for statement in template.body:
                getattr(self, type(statement).__name__.lower())(statement)

        made = self.dialect.template(template.name, function, template.now, template.unique, getter)
        self.templates.append(made)

    def calltemplate(self, call: CallTemplate) -> None:
        if self.templates:
            template = self.templates[call.number % len(self.templates)]
            template()
            self.log.append(("template", *self.dialect.seen_scope(template.variable_scope)))

    def scope(self, scope: Scope) -> None:
        manager = self._manager(scope)
        if manager is None or any(manager is busy for busy in self.busy):
            return
        outer_reuse = bool(self.dialect.current().reuse)
        with manager as opened:
            if not any(manager is known for known in self.managers):
                self.managers.append(manager)
            self.busy.append(manager)
            self.scopes.append(opened)
            self.log.append(("scope", *self.dialect.seen_scope(opened), opened is self.dialect.current()))
            self.body(scope.body)
        # TensorFlow's manager object, once entered under reuse, reuses ever after, and one that jumps enters the very
        # scope of the first time with what was changed there; ours enters anew.
        if not outer_reuse and scope.kind != "jump":
            self.busy.remove(manager)
        self.log.append(("left", *self.dialect.seen_scope(self.dialect.current())))

    def _manager(self, scope: Scope) -> Any:
        given = self._given(scope.options)
        if scope.kind == "again":
            return self.managers[scope.opener % len(self.managers)] if self.managers else None
        if scope.kind == "jump":
            if not self.scopes:
                return None
            return self.dialect.scope(self.scopes[scope.opener % len(self.scopes)], None, given)
        if scope.kind == "default":
            return self.dialect.scope(None, scope.opener, given)
        return self.dialect.scope(scope.opener, None, given)

    def _given(self, options: Options) -> dict[str, Any]:
        given = {}
        for name in ("reuse", "initializer", "regularizer", "dtype", "getter", "partitioner"):
            value = getattr(options, name)
            if value not in (None, False, "None"):
                key = {"getter": "custom_getter"}.get(name, name)
                given[key] = self.dialect.option(name, value, self.log.append)
        if not options.auxiliary_name_scope:
            given["auxiliary_name_scope"] = False
        return given


def run(program: tuple[Statement, ...], dialect: Dialect) -> list[Any]:
    """Run a program and return all that was seen."""
    running = Run(dialect)
    running.body(program)
    return [*running.log, *dialect.summary()]


def as_code(program: tuple[Statement, ...], prefix: str) -> str:
    """The program as source; ``prefix`` is ``"tf."`` or ``""``."""
    return "\n".join(_lines(program, prefix, "")) or "pass"


def _lines(statements: tuple[Statement, ...], prefix: str, indent: str) -> Iterator[str]:
    for statement in statements:
        if isinstance(statement, Share):
            yield f"{indent}{prefix}get_variable_scope().reuse_variables()"
        elif isinstance(statement, Op):
            yield f"{indent}add()"
        elif isinstance(statement, CallTemplate):
            yield f"{indent}templates[{statement.number} % len(templates)]()"
        elif isinstance(statement, Template):
            yield f"{indent}def function():"
            yield from _lines(statement.body, prefix, indent + "    ") if statement.body else [f"{indent}    pass"]
            yield (
                f"{indent}templates.append({prefix}make_template({statement.name!r}, function, {statement.now}, "
                f"{statement.unique!r}, {statement.getter}))"
            )
        elif isinstance(statement, NameScope):
            yield f"{indent}with {prefix}name_scope({statement.name!r}):"
            yield from _lines(statement.body, prefix, indent + "    ") if statement.body else [f"{indent}    pass"]
        elif isinstance(statement, Change):
            yield f"{indent}{prefix}get_variable_scope().set_{statement.setting}({_value(statement.value, prefix)})"
        elif isinstance(statement, Get):
            arguments = [repr(statement.name)]
            for name in ("shape", "dtype", "initializer", "regularizer", "trainable", "getter", "partitioner"):
                value = getattr(statement, name)
                if (value is not None and value is not False) or (name == "trainable" and value is False):
                    arguments.append(f"{name}={_value(value, prefix)}")
            yield f"{indent}{prefix}get_variable({', '.join(arguments)})"
        else:
            opener = {
                "name": repr(statement.opener),
                "default": f"None, {statement.opener!r}",
                "jump": f"scopes[{statement.opener} % len(scopes)]",
            }.get(statement.kind, "")
            given = [
                f"{name}={_value(value, prefix)}"
                for name, value in vars(statement.options).items()
                if value not in (None, False, "None") and name != "auxiliary_name_scope"
            ]
            if not statement.options.auxiliary_name_scope:
                given.append("auxiliary_name_scope=False")
            call = f"{prefix}variable_scope({', '.join([opener, *given])})"
            if statement.kind == "again":
                call = f"managers[{statement.opener} % len(managers)]"
            yield f"{indent}with {call} as scope:  # scopes.append(scope)"
            yield from _lines(statement.body, prefix, indent + "    ")
            if not statement.body:
                yield f"{indent}    pass"


def _value(value: Any, prefix: str) -> str:
    if isinstance(value, tuple) and value and value[0] == "fill":
        return f"{prefix}constant_initializer({value[1]})"
    if isinstance(value, tuple) and value and value[0] == "constant":
        return repr([float(value[1])] * 2)
    if value in ("float32", "float64", "int32"):
        return f"{'tf' if prefix else 'torch'}.{value}"
    if value == "AUTO_REUSE":
        return f"{prefix}AUTO_REUSE"
    return str(value)
