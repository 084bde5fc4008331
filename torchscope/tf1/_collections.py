"""Collections of the module that is running, under TensorFlow's names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor

from .._modules.scoped_module import current_module
from .._scopes.scope import get_variable_scope
from .._variables.collections import losses_of
from .._variables.spec import GLOBAL_VARIABLES, LOCAL_VARIABLES, REGULARIZATION_LOSSES, TRAINABLE_VARIABLES
from ..errors import ArgumentTypeError, VariableNotFoundError
from ._layer import MODEL_VARIABLES, names_of


class GraphKeys:
    """The names of TensorFlow's collections (``tf.GraphKeys``).

    >>> GraphKeys.TRAINABLE_VARIABLES
    'trainable_variables'
    """

    GLOBAL_VARIABLES = GLOBAL_VARIABLES
    VARIABLES = GLOBAL_VARIABLES
    LOCAL_VARIABLES = LOCAL_VARIABLES
    MODEL_VARIABLES = MODEL_VARIABLES
    TRAINABLE_VARIABLES = TRAINABLE_VARIABLES
    MOVING_AVERAGE_VARIABLES = "moving_average_variables"
    REGULARIZATION_LOSSES = REGULARIZATION_LOSSES
    LOSSES = "losses"
    UPDATE_OPS = "update_ops"
    WEIGHTS = "weights"
    BIASES = "biases"
    ACTIVATIONS = "activations"
    GLOBAL_STEP = "global_step"
    SUMMARIES = "summaries"


def get_collection(key: str, scope: str | None = None) -> list[Any]:
    """What is in a collection of the module that is running (``tf.get_collection``); outside, ask the module.

    As in a graph that is being built: of the module's own variables, those that this call has got so far; in a block of
    ``as_default()`` all that there are. ``UPDATE_OPS`` is empty: moving averages move where they are used.

    >>> import torch
    >>> from torchscope import ScopedModule, get_variable
    >>> def forward():
    ...     get_variable("w", [2])
    ...     return len(get_collection(GraphKeys.TRAINABLE_VARIABLES, scope="w")), get_collection(GraphKeys.UPDATE_OPS)
    >>> ScopedModule(forward)()
    (1, [])

    Args:
        key: its name.
        scope: a regular expression that the names of variables begin with; of other values, the names of the scopes
            that they were added in, with a slash.

    Raises:
        NoActiveModuleError: no module is running in this thread.
        ArgumentTypeError: the scope is no text.
    """
    module = current_module()
    scope = "" if scope is None else scope
    if not isinstance(scope, str):
        raise ArgumentTypeError.of("scope", scope, "Give a regular expression as text, or scope.name.")
    begins = re.compile(scope).match if scope else _with_nothing
    got = _got()
    found: list[Any] = []
    if key == REGULARIZATION_LOSSES:
        selected = (each for each in module.variables.select() if begins(each[0].path))
        found += losses_of(each for each in selected if got is None or each[0].path in got)
    else:
        found += [each for each in module.get_collection(key) if _is_there(each, begins, got)]
    return found + [value for where, value in _collected(key) if begins(f"{where}/")]


def _with_nothing(name: str) -> bool:
    """Whether a name begins with nothing."""
    return True


def _collected(key: str) -> list[tuple[str, object]]:
    """What this call added to a collection beside variables, and where."""
    return get_variable_scope()._call.loose.get(key, [])


def _got() -> set[str] | None:
    """The paths that this call has got so far; ``None`` in a block of ``as_default()``, which may hold any code."""
    call = get_variable_scope()._call
    if call.is_default_block:
        return None
    return set(call.got_before(call.at))


def _is_there(value: object, begins: Callable[[str], object], got: set[str] | None) -> bool:
    """Whether a value is a variable that this call knows so far, and its name begins so."""
    module = current_module()
    try:
        path = module.variable_name(value) if isinstance(value, Tensor) else None
    except VariableNotFoundError:
        return False
    return path is not None and begins(path) is not None and (got is None or path in got or path not in module.specs)


def add_to_collection(name: str, value: object) -> None:
    """Add a value to a collection of the module that is running (``tf.add_to_collection``).

    See :meth:`torchscope.ScopedModule.add_to_collection`.
    """
    current_module().add_to_collection(name, value)


def add_to_collections(names: str | Iterable[str] | None, value: object) -> None:
    """Add a value to several collections (``tf.add_to_collections``)."""
    for name in names_of(names):
        add_to_collection(name, value)


def trainable_variables(scope: str | None = None) -> list[Tensor]:
    """The parameters with gradients of the module that is running (``tf.trainable_variables``).

    Args:
        scope: a regular expression that their names begin with.
    """
    return get_collection(TRAINABLE_VARIABLES, scope)


def global_variables(scope: str | None = None) -> list[Tensor]:
    """All saved variables of the module that is running (``tf.global_variables``)."""
    return get_collection(GLOBAL_VARIABLES, scope)


def local_variables(scope: str | None = None) -> list[Tensor]:
    """The variables that are not saved of the module that is running (``tf.local_variables``)."""
    return get_collection(LOCAL_VARIABLES, scope)


def model_variables(scope: str | None = None) -> list[Tensor]:
    """The variables that layers of slim made (``tf.model_variables``)."""
    return get_collection(MODEL_VARIABLES, scope)


def name_of(variable: Tensor) -> str:
    """The name that a variable of the module that is running has in TensorFlow, its path with ``:0`` (``v.name``).

    For code that chooses by names; a tensor of torch has no name of its own. Outside of a call ask the module,
    :meth:`torchscope.ScopedModule.variable_name`, which says the path alone.

    >>> from torchscope import ScopedModule, get_variable
    >>> def forward():
    ...     get_variable("kernel", [2])
    ...     get_variable("bias", [2])
    ...     return [name_of(v) for v in trainable_variables() if "bias" not in name_of(v)]
    >>> ScopedModule(forward)()
    ['kernel:0']

    Raises:
        NoActiveModuleError: no module is running in this thread.
        VariableNotFoundError: the tensor is no variable of it.
    """
    return f"{current_module().variable_name(variable)}:0"
