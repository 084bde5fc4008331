"""The layers of ``tf.contrib.layers`` and slim that have weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.init import zeros_

from ..._scopes.scope import VariableScope, get_variable_scope
from ..._scopes.variable_scope import variable_scope
from ..._variables.reuse import Reuse
from ..._variables.spec import Initializer, Regularizer
from ...errors import ArgumentTypeError, ArgumentValueError
from .._layer import Activation, Collections, Making, dtype_of
from ..layers._dense import dense_by
from ..nn._activations import bias_add as biased
from ._arg_scope import add_arg_scope
from ._initializers import xavier_initializer
from ._utils import collect_named_outputs

Normalizer = Callable[..., Tensor] | None
Params = Mapping[str, Any] | None

_NAMES = {
    "bias": "biases",
    "kernel": "weights",
    "depthwise_kernel": "depthwise_weights",
    "pointwise_kernel": "pointwise_weights",
}
_FORMATS = (None, "NWC", "NCW", "NHWC", "NCHW", "NDHWC", "NCDHW")
XAVIER = xavier_initializer()


def making_of(trainable: bool, collections: Collections) -> Making:
    """How slim's layers make their variables."""
    return Making(trainable, _NAMES, model=True, collections=collections)


def order_of(data_format: str | None) -> str:
    """An order of axes by the name that ``tf.layers`` has for it.

    Raises:
        ArgumentValueError: there is none of that name.
    """
    if data_format not in _FORMATS:
        raise ArgumentValueError.of("data_format", data_format, "Use 'NHWC' or 'NCHW', or what fits the axes.")
    return "channels_first" if data_format is not None and data_format.startswith("NC") else "channels_last"


def bias_of(
    normalizer_fn: Normalizer, initializer: Initializer, regularizer: Regularizer | None
) -> tuple[Initializer, Regularizer | None, None] | None:
    """How a layer makes its biases; it has none if it is normalized."""
    return None if normalizer_fn or initializer is None else (initializer, regularizer, None)


def finished(
    outputs: Tensor, normalizer_fn: Normalizer, normalizer_params: Params, activation_fn: Activation, collections: Any
) -> Tensor:
    """The outputs of a layer, normalized and activated; its scope is open."""
    if normalizer_fn is not None:
        outputs = normalizer_fn(outputs, **(normalizer_params or {}))
    if not callable(activation_fn) and activation_fn is not None:
        raise ArgumentTypeError.of("activation_fn", activation_fn, "Give a function of the outputs, or None.")
    if activation_fn is not None:
        outputs = activation_fn(outputs)
    return collect_named_outputs(collections, get_variable_scope().name, outputs) if collections else outputs


@add_arg_scope
def fully_connected(
    inputs: Tensor,
    num_outputs: int,
    activation_fn: Activation = torch.relu,
    normalizer_fn: Normalizer = None,
    normalizer_params: Params = None,
    weights_initializer: Initializer = XAVIER,
    weights_regularizer: Regularizer | None = None,
    biases_initializer: Initializer = zeros_,
    biases_regularizer: Regularizer | None = None,
    reuse: Reuse | None = None,
    variables_collections: Collections = None,
    outputs_collections: str | list[str] | None = None,
    trainable: bool = True,
    scope: str | VariableScope | None = None,
) -> Tensor:
    """``tf.contrib.layers.fully_connected``: ``relu(inputs @ weights + biases)``, or normalized instead of the biases.

    ``torch.nn.Linear`` has no activation, keeps ``[out, in]`` and starts from another distribution.

    >>> from torchscope import ScopedModule
    >>> model = ScopedModule(lambda x: fully_connected(x, 3), layout="tf").build(torch.ones(1, 2))
    >>> list(model.variables)
    ['fully_connected/weights', 'fully_connected/biases']

    Args:
        inputs: ``[*shape, in]``, of a floating dtype.
        num_outputs: how many outputs.
        activation_fn: a function of the outputs, or ``None``.
        normalizer_fn: called with the outputs and ``normalizer_params``; there are no biases then.
        weights_initializer, biases_initializer: without the latter, there are no biases.
        weights_regularizer, biases_regularizer: functions of the variable that return its loss.
        reuse, scope: as of :func:`torchscope.variable_scope`; ``"fully_connected"``, ``"fully_connected_1"``, ... by
            default.
        variables_collections: further collections of the variables; for all, or by ``"weights"`` and ``"biases"``.
        outputs_collections: collections that the outputs are added to, under the scope's name.
        trainable: whether the variables have gradients.
    """
    with variable_scope(scope, "fully_connected", reuse=reuse):
        bias = bias_of(normalizer_fn, biases_initializer, biases_regularizer)
        kernel = (weights_initializer, weights_regularizer, None)
        outputs = dense_by(making_of(trainable, variables_collections), inputs, num_outputs, kernel, bias)
        return finished(outputs, normalizer_fn, normalizer_params, activation_fn, outputs_collections)


@add_arg_scope
def bias_add(
    inputs: Tensor,
    activation_fn: Activation = None,
    initializer: Initializer = zeros_,
    regularizer: Regularizer | None = None,
    reuse: Reuse | None = None,
    variables_collections: Collections = None,
    outputs_collections: str | list[str] | None = None,
    trainable: bool = True,
    data_format: str = "NHWC",
    scope: str | VariableScope | None = None,
) -> Tensor:
    """``tf.contrib.layers.bias_add``: biases for each channel, by default below ``"BiasAdd"``.

    >>> from torchscope import ScopedModule
    >>> list(ScopedModule(bias_add).build(torch.ones(1, 2)).variables)
    ['BiasAdd/biases']
    """
    axis = 1 if order_of(data_format) == "channels_first" else -1
    with variable_scope(scope, "BiasAdd", reuse=reuse):
        size = inputs.shape[axis]
        making = making_of(trainable, variables_collections)
        biases = making.weight("bias", [size], dtype_of(inputs), initializer, regularizer, alone=True)
        return finished(biased(inputs, biases, data_format), None, None, activation_fn, outputs_collections)
