"""``variable``, ``model_variable`` and lists of variables, as ``tf.contrib.framework`` has them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..._scopes.get_variable import get_variable
from ..._scopes.scope import VariableScope
from ..._variables.request import DeviceLike, Partitioner, Shape
from ..._variables.spec import GLOBAL_VARIABLES, LOCAL_VARIABLES, TRAINABLE_VARIABLES, Initializer, Regularizer
from .._collections import get_collection
from .._layer import MODEL_VARIABLES, names_of
from ._arg_scope import add_arg_scope


@add_arg_scope
def variable(
    name: str,
    shape: Shape | None = None,
    dtype: torch.dtype | None = None,
    initializer: Initializer = None,
    regularizer: Regularizer | None = None,
    trainable: bool = True,
    collections: str | Iterable[str] | None = None,
    caching_device: None = None,
    device: DeviceLike | None = None,
    partitioner: Partitioner | None = None,
    custom_getter: Callable[..., Any] | None = None,
    use_resource: bool | None = None,
) -> Tensor:
    """``tf.contrib.framework.variable``: :func:`torchscope.get_variable` with collections as a name or a list.

    >>> import torch
    >>> from torchscope import ScopedModule
    >>> model = ScopedModule(lambda: variable("w", [2], collections="mine")).build()
    >>> len(model.get_collection("mine")), len(model.global_variables())
    (1, 1)
    """
    return get_variable(
        name,
        shape,
        dtype,
        initializer,
        regularizer=regularizer,
        trainable=trainable,
        collections=list(dict.fromkeys([GLOBAL_VARIABLES, *names_of(collections)])),
        device=device,
        partitioner=partitioner,
        custom_getter=custom_getter,
    )


@add_arg_scope
def model_variable(
    name: str,
    shape: Shape | None = None,
    dtype: torch.dtype | None = None,
    initializer: Initializer = None,
    regularizer: Regularizer | None = None,
    trainable: bool = True,
    collections: str | Iterable[str] | None = None,
    caching_device: None = None,
    device: DeviceLike | None = None,
    partitioner: Partitioner | None = None,
    custom_getter: Callable[..., Any] | None = None,
    use_resource: bool | None = None,
) -> Tensor:
    """``tf.contrib.framework.model_variable``: :func:`variable` in the collection ``"model_variables"``.

    >>> import torch
    >>> from torchscope import ScopedModule
    >>> len(ScopedModule(lambda: model_variable("w", [2])).build().get_collection("model_variables"))
    1
    """
    return variable(
        name,
        shape,
        dtype,
        initializer,
        regularizer,
        trainable,
        [MODEL_VARIABLES, *names_of(collections)],
        device=device,
        partitioner=partitioner,
        custom_getter=custom_getter,
    )


def get_variables(
    scope: str | VariableScope | None = None, suffix: str | None = None, collection: str = GLOBAL_VARIABLES
) -> list[Tensor]:
    """``tf.contrib.framework.get_variables``: those whose name begins with a scope and ends with a suffix.

    Args:
        scope: a regular expression that names begin with, or a scope.
        suffix: how they end.
        collection: of which variables.
    """
    pattern = scope.name if isinstance(scope, VariableScope) else scope or ""
    return get_collection(collection, pattern if suffix is None else f"{pattern}.*{suffix}$")


def get_model_variables(scope: str | VariableScope | None = None, suffix: str | None = None) -> list[Tensor]:
    """``tf.contrib.framework.get_model_variables``: those that layers of slim made."""
    return get_variables(scope, suffix, MODEL_VARIABLES)


def get_trainable_variables(scope: str | VariableScope | None = None, suffix: str | None = None) -> list[Tensor]:
    """``tf.contrib.framework.get_trainable_variables``."""
    return get_variables(scope, suffix, TRAINABLE_VARIABLES)


def get_local_variables(scope: str | VariableScope | None = None, suffix: str | None = None) -> list[Tensor]:
    """``tf.contrib.framework.get_local_variables``."""
    return get_variables(scope, suffix, LOCAL_VARIABLES)


def get_variables_by_suffix(suffix: str, scope: str | VariableScope | None = None) -> list[Tensor]:
    """``tf.contrib.framework.get_variables_by_suffix``."""
    return get_variables(scope, suffix)


def get_variables_by_name(given_name: str, scope: str | VariableScope | None = None) -> list[Tensor]:
    """``tf.contrib.framework.get_variables_by_name``: those whose last segment is this."""
    return get_variables(scope, f"(?<![^/]){given_name}")


def get_variables_to_restore(
    include: Sequence[str] | None = None, exclude: Sequence[str] | None = None
) -> list[Tensor]:
    """``tf.contrib.framework.get_variables_to_restore``: those below some scopes and not below others."""
    found = [each for scope in ([""] if include is None else include) for each in get_variables(scope)]
    left_out = {id(each) for scope in exclude or () for each in get_variables(scope)}
    return [each for each in found if id(each) not in left_out]
