"""What of ``tf.contrib.layers`` and slim has no variables: pools, dropout, flatten, layers that are repeated."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from ..._scopes.name_scope import name_scope
from ..._scopes.scope import VariableScope
from ..._scopes.stack import innermost_call
from ..._scopes.variable_scope import variable_scope
from ...errors import ArgumentTypeError, ArgumentValueError
from .._axes import axis_of
from .._layer import training_of
from ..layers._pools import pooled
from ..nn._activations import dropout as kept
from ..nn._windows import Sizes
from ._arg_scope import add_arg_scope
from ._layers import fully_connected, order_of
from ._utils import collect_named_outputs


def _named(scope: str | None, base: str, collections: Any, function: Callable[[], Tensor]) -> Tensor:
    """What a function returns, in a name scope, and collected; outside of a module, there are no names."""
    if innermost_call() is None and not collections:
        return function()
    with name_scope(scope, base) as name:
        return collect_named_outputs(collections, name, function())


@add_arg_scope
def max_pool2d(
    inputs: Tensor,
    kernel_size: Sizes,
    stride: Sizes = 2,
    padding: str = "VALID",
    data_format: str = "NHWC",
    outputs_collections: str | list[str] | None = None,
    scope: str | None = None,
) -> Tensor:
    """``tf.contrib.layers.max_pool2d``: its stride is 2 by default; that of torch's is its window.

    >>> max_pool2d(torch.ones(1, 6, 6, 2), 3).shape
    torch.Size([1, 2, 2, 2])
    """
    pool = functools.partial(pooled, "MAX", 2, inputs, kernel_size, stride, padding, order_of(data_format))
    return _named(scope, "MaxPool2D", outputs_collections, pool)


@add_arg_scope
def avg_pool2d(
    inputs: Tensor,
    kernel_size: Sizes,
    stride: Sizes = 2,
    padding: str = "VALID",
    data_format: str = "NHWC",
    outputs_collections: str | list[str] | None = None,
    scope: str | None = None,
) -> Tensor:
    """``tf.contrib.layers.avg_pool2d``: its stride is 2 by default; what ``SAME`` pads does not count.

    >>> avg_pool2d(torch.ones(1, 6, 6, 2), 3).shape
    torch.Size([1, 2, 2, 2])
    """
    pool = functools.partial(pooled, "AVG", 2, inputs, kernel_size, stride, padding, order_of(data_format))
    return _named(scope, "AvgPool2D", outputs_collections, pool)


@add_arg_scope
def max_pool3d(
    inputs: Tensor,
    kernel_size: Sizes,
    stride: Sizes = 2,
    padding: str = "VALID",
    data_format: str = "NDHWC",
    outputs_collections: str | list[str] | None = None,
    scope: str | None = None,
) -> Tensor:
    """``tf.contrib.layers.max_pool3d``: as :func:`max_pool2d`, in three dimensions."""
    pool = functools.partial(pooled, "MAX", 3, inputs, kernel_size, stride, padding, order_of(data_format))
    return _named(scope, "MaxPool3D", outputs_collections, pool)


@add_arg_scope
def avg_pool3d(
    inputs: Tensor,
    kernel_size: Sizes,
    stride: Sizes = 2,
    padding: str = "VALID",
    data_format: str = "NDHWC",
    outputs_collections: str | list[str] | None = None,
    scope: str | None = None,
) -> Tensor:
    """``tf.contrib.layers.avg_pool3d``: as :func:`avg_pool2d`, in three dimensions."""
    pool = functools.partial(pooled, "AVG", 3, inputs, kernel_size, stride, padding, order_of(data_format))
    return _named(scope, "AvgPool3D", outputs_collections, pool)


@add_arg_scope
def dropout(
    inputs: Tensor,
    keep_prob: float = 0.5,
    noise_shape: Sequence[int | None] | None = None,
    is_training: bool = True,
    outputs_collections: str | list[str] | None = None,
    scope: str | None = None,
    seed: int | None = None,
) -> Tensor:
    """``tf.contrib.layers.dropout``: of the probability of keeping; it trains by default.

    >>> dropout(torch.ones(2), is_training=False)
    tensor([1., 1.])
    """
    trains = training_of("is_training", is_training)
    return _named(
        scope,
        "Dropout",
        outputs_collections,
        lambda: kept(inputs, keep_prob, noise_shape, seed) if trains else inputs,
    )


@add_arg_scope
def flatten(inputs: Tensor, outputs_collections: str | list[str] | None = None, scope: str | None = None) -> Tensor:
    """``tf.contrib.layers.flatten``: ``[batch, *shape]`` to [batch, features].

    >>> flatten(torch.ones(2, 3, 4)).shape
    torch.Size([2, 12])

    Raises:
        ArgumentValueError: fewer than two axes.
    """
    if inputs.dim() < 2:
        raise ArgumentValueError.of("the shape of the inputs", tuple(inputs.shape), "Give at least two axes.")
    return _named(scope, "Flatten", outputs_collections, lambda: inputs.flatten(1))


@add_arg_scope
def softmax(logits: Tensor, scope: str | None = None) -> Tensor:
    """``slim.softmax``: over the last axis.

    >>> softmax(torch.zeros(1, 2))
    tensor([[0.5000, 0.5000]])
    """
    return torch.softmax(logits, -1)


@add_arg_scope
def one_hot_encoding(
    labels: Tensor,
    num_classes: int,
    on_value: float = 1.0,
    off_value: float = 0.0,
    outputs_collections: str | list[str] | None = None,
    scope: str | None = None,
) -> Tensor:
    """``slim.one_hot_encoding``: floats, where ``torch.nn.functional.one_hot`` gives integers.

    >>> one_hot_encoding(torch.tensor([1]), 3)
    tensor([[0., 1., 0.]])
    """
    classes = torch.arange(num_classes, device=labels.device)
    dtype = torch.get_default_dtype()

    def encoded() -> Tensor:
        there = labels.unsqueeze(-1) == classes
        return torch.where(there, on_value, off_value).to(dtype)

    return _named(scope, "OneHotEncoding", outputs_collections, encoded)


@add_arg_scope
def unit_norm(inputs: Tensor, dim: int, epsilon: float = 1e-7, scope: str | None = None) -> Tensor:
    """``tf.contrib.layers.unit_norm``: divided by its length along an axis.

    >>> unit_norm(torch.tensor([[3.0, 4.0]]), 1)
    tensor([[0.6000, 0.8000]])
    """
    axis = axis_of("dim", dim, inputs.dim())
    return inputs / (inputs.square().sum(axis, keepdim=True) + epsilon).sqrt()


@add_arg_scope
def maxout(inputs: Tensor, num_units: int, axis: int = -1, scope: str | None = None) -> Tensor:
    """``tf.contrib.layers.maxout``: the largest of each ``channels / num_units`` channels that follow one another.

    Along another axis than the last one TensorFlow takes numbers that lie side by side in memory, and so does this.

    >>> maxout(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), 2)
    tensor([[2., 4.]])

    Raises:
        ArgumentValueError: the channels are no multiple of the units.
    """
    where = axis_of("axis", axis, inputs.dim())
    if num_units < 1 or inputs.shape[where] % num_units:
        raise ArgumentValueError.of("num_units", num_units, f"It divides the {inputs.shape[where]} channels.")
    shape, each = inputs.shape, inputs.shape[where] // num_units
    return inputs.reshape(*shape[:where], num_units, *shape[where + 1 :], each).amax(-1)


def _name_of(layer: Callable[..., Any], base: str) -> str:
    """What the scopes of a layer that is repeated are called."""
    return cast(str, getattr(layer, "__name__", None) or getattr(getattr(layer, "func", None), "__name__", base))


def repeat(
    inputs: Tensor,
    repetitions: int,
    layer: Callable[..., Tensor],
    *args: Any,
    scope: str | VariableScope | None = None,
    **kwargs: Any,
) -> Tensor:
    """``slim.repeat``: the same layer several times, with variables of its own each time.

    Its scopes are ``scope/scope_1``, ``scope/scope_2``, ...; ``Repeat`` and the layer's name by default.

    >>> from torchscope import ScopedModule
    >>> def forward(x):
    ...     return repeat(x, 2, fully_connected, 3, biases_initializer=None, scope="fc")
    >>> list(ScopedModule(forward, layout="tf").build(torch.ones(1, 3)).variables)
    ['fc/fc_1/weights', 'fc/fc_2/weights']
    """
    with variable_scope(scope, "Repeat"):
        name = _name_of(layer, "repeat") if scope is None else scope
        for n in range(repetitions):
            inputs = layer(inputs, *args, scope=f"{name}_{n + 1}", **kwargs)
        return inputs


def stack(
    inputs: Tensor,
    layer: Callable[..., Tensor],
    stack_args: Sequence[Any],
    *,
    scope: str | VariableScope | None = None,
    **kwargs: Any,
) -> Tensor:
    """``slim.stack``: a layer several times, each with arguments of its own.

    >>> from torchscope import ScopedModule
    >>> def forward(x):
    ...     return stack(x, fully_connected, [4, 2], scope="fc")
    >>> ScopedModule(forward, layout="tf")(torch.ones(1, 3)).shape
    torch.Size([1, 2])

    Raises:
        ArgumentTypeError: the arguments are no list.
    """
    if not isinstance(stack_args, (list, tuple)):
        raise ArgumentTypeError.of("stack_args", stack_args, "Give a list: the arguments of each layer.")
    with variable_scope(scope, "Stack"):
        name = _name_of(layer, "stack") if scope is None else scope
        for n, each in enumerate(stack_args):
            arguments = each if isinstance(each, (list, tuple)) else [each]
            inputs = layer(inputs, *arguments, scope=f"{name}_{n + 1}", **kwargs)
        return inputs


linear = functools.partial(fully_connected, activation_fn=None)
relu = functools.partial(fully_connected, activation_fn=torch.relu)
relu6 = functools.partial(fully_connected, activation_fn=torch.nn.functional.relu6)
elu = functools.partial(fully_connected, activation_fn=torch.nn.functional.elu)
