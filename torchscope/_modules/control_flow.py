"""Variables in the functions that ``torch.cond``, ``while_loop``, ``scan`` and the like compile as branches."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from .._scopes.stack import innermost
from .._torch import in_backward
from ..errors import ArgumentTypeError, NoActiveModuleError
from .snapshot import Snapshot

P = ParamSpec("P")
R = TypeVar("R")


def branch(function: Callable[P, R]) -> Callable[P, R]:
    """The function, for an operator of control flow to run: it may get variables, in the scope that is open now.

    Such an operator traces a function once or several times, and refuses whatever this changes outside itself, which
    includes what a call notes of itself (Dynamo's "HOP: Unsafe side effect"). A branch starts from what was got and
    opened before it, each time it is traced, and what it gets, opens and adds to collections is forgotten at its end.
    So two branches may get the same variable, and so may, unchecked, what comes after them; default names go on behind
    a branch as if it had not run: give the layers in a branch names of their own. A ``ScopedModule`` may be called in a
    branch without this.

    Torch traces branches also in eager code, and nothing can be created while something traces. Get the variables
    before the operator, or run the branches in plain code while the module is built, as here::

        class Gated(ScopedModule):
            def forward(self, x):
                a, b = branch(self.open), branch(self.shut)
                if not self.built:  # both make their variables, in plain code
                    return torch.where(x.sum() > 0, a(x), b(x))
                return torch.cond(x.sum() > 0, a, b, (x,))

            def open(self, x):
                return x * get_variable("scale", [])

            def shut(self, x):
                return x * 0

    >>> from torchscope import ScopedModule, get_variable
    >>> def forward():
    ...     w = branch(lambda: get_variable("w", [2]))
    ...     return w() is w()
    >>> ScopedModule(forward)()
    True

    Raises:
        NoActiveModuleError: no module is running in this thread; or the call is over when the branch runs.
        ArgumentTypeError: it is no function.
    """
    if not callable(function):
        raise ArgumentTypeError.of("function", function, "Give the function that is the branch.")
    scope = innermost("branch()")

    @functools.wraps(function)
    def resumed(*args: P.args, **kwargs: P.kwargs) -> R:
        if scope._call.is_over:
            raise NoActiveModuleError.of("a function that branch() wrapped", in_backward=in_backward())
        with Snapshot(scope).resumed(may_create=True):
            return function(*args, **kwargs)

    return resumed
