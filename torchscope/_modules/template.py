"""``make_template``: a function whose variables are made by its first call and shared by all later ones."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import MethodType
from typing import Any, Generic, ParamSpec, TypeVar, overload

from torch import Tensor

from .._names import paths
from .._scopes.arguments import Getter, checked, refuse_late
from .._scopes.call import TemplateState
from .._scopes.scope import VariableScope
from .._scopes.stack import innermost, thread
from .._scopes.units import as_unit
from .._scopes.variable_scope import variable_scope
from .._tools.capture import report
from .._variables.made_at import caller
from ..errors import ArgumentTypeError, VariableNotFoundError

P = ParamSpec("P")
R = TypeVar("R")


@overload
def make_template(
    name_: str,
    func_: Callable[P, R],
    create_scope_now_: bool = False,
    unique_name_: str | None = None,
    custom_getter_: Getter | None = None,
) -> Template[P, R]: ...


@overload
def make_template(
    name_: str,
    func_: Callable[..., R],
    create_scope_now_: bool = False,
    unique_name_: str | None = None,
    custom_getter_: Getter | None = None,
    **kwargs: object,
) -> Template[..., R]: ...


def make_template(
    name_: str,
    func_: Callable[..., R],
    create_scope_now_: bool = False,
    unique_name_: str | None = None,
    custom_getter_: Getter | None = None,
    **kwargs: object,
) -> Template[..., R]:
    """Give a function variables of its own: the first call in a call of the module makes them, later ones share.

    >>> from torchscope import ScopedModule, get_variable, make_template
    >>> def scale(x, by):
    ...     return x * by * get_variable("w", [])
    >>> def forward(x):
    ...     double = make_template("scale", scale, by=2.0)
    ...     other = make_template("scale", scale, by=2.0)
    ...     return double(double(x)) + other(x)
    >>> list(ScopedModule(forward).build(1.0).variables)
    ['scale/w', 'scale_1/w']

    Args:
        name_: the name of its scope, made unique among the scopes opened in the parent.
        func_: the function.
        create_scope_now_: open the scope here; otherwise where the template is first called.
        unique_name_: a name that is taken as it is; two templates of the same one share their variables' paths.
        custom_getter_: wraps the making of its variables, as in :class:`torchscope.variable_scope`.
        **kwargs: arguments of the function that are given to it in every call.

    Returns:
        A :class:`Template`, to be called as the function; assigned in a class body it is a method.

    Raises:
        ArgumentTypeError, ArgumentValueError, InvalidNameError: a name or function that cannot be.
        NoActiveModuleError: ``create_scope_now_`` while no module is running.

    The behaviour is that of ``tf.make_template``; as each call of a module is a graph of its own, a template that lives
    longer (made in ``__init__``, say) starts anew in each.
    """
    if kwargs:
        func_ = functools.partial(func_, **kwargs)
    template = Template(name_, func_, unique_name_, custom_getter_)
    if create_scope_now_:
        template._open_scope()
    return template


class Template(Generic[P, R]):
    """What :func:`make_template` returns."""

    def __init__(
        self, name: str, function: Callable[P, R], unique_name: str | None, custom_getter: Getter | None
    ) -> None:
        if not callable(function):
            raise ArgumentTypeError.of("func_", function, "Give a function.")
        refuse_late(function, "Give a function that returns its result")
        self._name = paths.check(name)
        self._unique_name = unique_name if unique_name is None else paths.check(unique_name)
        self._function = function
        self._custom_getter = checked("custom_getter", custom_getter)
        self._made_at = caller()

    @property
    def name(self) -> str:
        """The name it was given."""
        return self._name

    @property
    def variable_scope(self) -> VariableScope | None:
        """Its scope in the call that is running; ``None`` before the first call of the template in it."""
        return self._state().scope

    @property
    def variables(self) -> list[Tensor]:
        """The saved variables of its scope, in the module that is running."""
        scope = self.variable_scope
        return [] if scope is None else scope.global_variables()

    @property
    def trainable_variables(self) -> list[Tensor]:
        """Those of :attr:`variables` that have a gradient."""
        scope = self.variable_scope
        return [] if scope is None else scope.trainable_variables()

    def _state(self) -> TemplateState:
        """What it is in the running call."""
        call = innermost("A template")._call
        call.refuse_in_block("A template")
        templates = call.templates
        return TemplateState() if templates is None else templates.get(self, TemplateState())

    def _remember(self, state: TemplateState) -> None:
        call = innermost("A template")._call
        call.templates = call.templates or {}
        call.templates[self] = state

    def _manager(self, *, auxiliary_name_scope: bool = True) -> AbstractContextManager[VariableScope]:
        return variable_scope(
            self._unique_name, self._name, custom_getter=self._custom_getter, auxiliary_name_scope=auxiliary_name_scope
        )

    def _open_scope(self) -> None:
        outer = innermost("make_template(create_scope_now_=True)")
        with self._manager(auxiliary_name_scope=False) as scope:
            # TensorFlow opens no name scope here, and takes the relative name for the original one.
            scope._original = scope.name.removeprefix(outer._prefix)
            self._remember(TemplateState(scope))

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function in the template's scope."""
        state = self._state()
        manager = self._manager() if state.scope is None else variable_scope(state.scope, reuse=state.called)
        with manager as opened:
            state = state._replace(scope=state.scope or opened)
            self._remember(state._replace(called=True))  # already now: a template that calls itself shares
            try:
                result = as_unit(opened, functools.partial(self._run, state))(*args, **kwargs)
            except Exception as error:
                self._remember(state)
                error.add_note(f"in template '{self._name}', made at {self._made_at}")
                raise
            self._remember(state._replace(called=True, variables_made=True))
            if thread.stack.watchers:
                report(opened.name, result)
            return result

    def _run(self, state: TemplateState, *args: P.args, **kwargs: P.kwargs) -> R:
        call = innermost("A template")._call
        specs, before = call.store.specs, call.at
        result = self._function(*args, **kwargs)
        if state.variables_made:  # TensorFlow's check counts trainable variables only
            for path in call.got_since(before):
                if path in specs and specs[path].trainable:
                    raise VariableNotFoundError.of_template(path, call.store.owner, self._name)
        return result

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """As a method: the instance is the function's first argument."""
        return self if instance is None else MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<Template '{self._name}' made at {self._made_at}>"
