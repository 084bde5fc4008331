"""``make_template``: a function whose variables are made by its first call and shared by all later ones."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from torch import Tensor

from . import _names, _scope
from ._request import Getter, checked, refuse_late
from ._scope import VariableScope, innermost
from ._spec import caller
from .errors import ArgumentTypeError


def make_template(
    name_: str,
    func_: Callable[..., Any],
    create_scope_now_: bool = False,
    unique_name_: str | None = None,
    custom_getter_: Getter | None = None,
    **kwargs: Any,
) -> Template:
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


class Template:
    """What :func:`make_template` returns."""

    def __init__(
        self, name: str, function: Callable[..., Any], unique_name: str | None, custom_getter: Getter | None
    ) -> None:
        if not callable(function):
            raise ArgumentTypeError.of("func_", function, "Give a function.")
        refuse_late(function, "Give a function that returns its result")
        self._name = _names.check(name)
        self._unique_name = unique_name if unique_name is None else _names.check(unique_name)
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
        return self._state()[0]

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

    def _state(self) -> tuple[VariableScope | None, bool]:
        """Its scope in the running call, and whether its variables are made there."""
        call = innermost("A template")._call
        state: tuple[VariableScope | None, bool] = call.remembered.get(self, (None, False))
        return state

    def _remember(self, scope: VariableScope, variables_made: bool) -> None:
        innermost("A template")._call.remembered[self] = (scope, variables_made)

    def _manager(self, **options: Any) -> _scope.variable_scope:
        return _scope.variable_scope(self._unique_name, self._name, custom_getter=self._custom_getter, **options)

    def _open_scope(self) -> None:
        outer = innermost("make_template(create_scope_now_=True)")
        with self._manager(auxiliary_name_scope=False) as scope:
            # TensorFlow opens no name scope here, and takes the relative name for the original one.
            scope._original = scope._name.removeprefix(outer._prefix)
            self._remember(scope, variables_made=False)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function in the template's scope."""
        scope, variables_made = self._state()
        manager = self._manager() if scope is None else _scope.variable_scope(scope, reuse=variables_made)
        with manager as opened:
            if scope is None:
                scope = opened
                self._remember(scope, variables_made=False)
            try:
                result = self._function(*args, **kwargs)
            except Exception as error:
                error.add_note(f"in template '{self._name}', made at {self._made_at}")
                raise
            self._remember(scope, variables_made=True)
            return result

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """As a method: the instance is the function's first argument."""
        return self if instance is None else functools.partial(self, instance)

    def __repr__(self) -> str:
        return f"<Template '{self._name}' made at {self._made_at}>"
