"""The convolutions of ``tf.contrib.layers`` and slim."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import ParamSpec

import torch
from torch import Tensor
from torch.nn.init import zeros_

from ..._scopes.scope import VariableScope
from ..._scopes.variable_scope import variable_scope
from ..._variables.reuse import Reuse
from ..._variables.spec import Initializer, Regularizer
from ...errors import ArgumentValueError
from .._layer import Activation, Collections, dtype_of, show_as
from ..layers._convolutions import Window, convolve, separate, transpose, with_bias
from ..nn._convolutions import depthwise_conv2d
from ..nn._windows import Sizes
from ._arg_scope import add_arg_scope
from ._layers import XAVIER, Normalizer, Params, bias_of, finished, making_of, order_of

P = ParamSpec("P")


def _with(function: Callable[P, Tensor], **fixed: object) -> Callable[[Callable[[], None]], Callable[P, Tensor]]:
    """A function with some arguments fixed, named and described by what is decorated.

    Defaults that ``arg_scope`` has for the function itself are not for what is made of it.
    """

    def decorate(described: Callable[[], None]) -> Callable[P, Tensor]:
        def of_fixed(*args: P.args, **kwargs: P.kwargs) -> Tensor:
            return function(*args, **kwargs, **fixed)  # type: ignore[arg-type]  # each of its own type

        own = inspect.signature(function)
        shown = [each for each in own.parameters.values() if each.name not in fixed]
        show_as(of_fixed, described, own.replace(parameters=shown))
        return add_arg_scope(of_fixed)

    return decorate


def convolution(
    inputs: Tensor,
    num_outputs: int,
    kernel_size: Sizes,
    stride: Sizes = 1,
    padding: str = "SAME",
    data_format: str | None = None,
    rate: Sizes = 1,
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
    conv_dims: int | None = None,
) -> Tensor:
    """``tf.contrib.layers.convolution``: a convolution in one to three dimensions, by the axes of the inputs.

    It is ``SAME`` and has a ReLU by default; otherwise as :func:`fully_connected`. The default scope is ``"Conv"``.

    >>> from torchscope import ScopedModule
    >>> model = ScopedModule(lambda x: convolution(x, 8, [3, 3]), layout="tf").build(torch.ones(1, 5, 5, 2))
    >>> {path: tuple(variable.shape) for path, variable in model.variables.items()}
    {'Conv/weights': (3, 3, 2, 8), 'Conv/biases': (8,)}

    Args:
        kernel_size, stride, rate: one, or one for each axis of the image.
        padding: ``"SAME"`` or ``"VALID"``.
        data_format: ``"NHWC"``, ``"NCHW"`` and the like.
        conv_dims: how many axes the image has to have.

    Raises:
        ArgumentValueError: shapes, sizes or names that TensorFlow refuses.
    """
    rank = inputs.dim() - 2
    if rank not in (1, 2, 3) or conv_dims not in (None, rank):
        mend = f"Give {'3 to 5' if conv_dims is None else conv_dims + 2} axes."
        raise ArgumentValueError.of("the shape of the inputs", tuple(inputs.shape), mend)
    window = Window.of(rank, kernel_size, stride, padding, order_of(data_format), rate)
    with variable_scope(scope, "Conv", reuse=reuse):
        making = making_of(trainable, variables_collections)
        outputs = convolve(making, inputs, num_outputs, window, (weights_initializer, weights_regularizer, None))
        bias = bias_of(normalizer_fn, biases_initializer, biases_regularizer)
        outputs = with_bias(making, outputs, window, bias)
        return finished(outputs, normalizer_fn, normalizer_params, activation_fn, outputs_collections)


@_with(convolution, conv_dims=1)
def convolution1d() -> None:
    """``tf.contrib.layers.conv1d``: :func:`convolution` of [batch, width, in]."""


@_with(convolution, conv_dims=2)
def convolution2d() -> None:
    """``tf.contrib.layers.conv2d``, ``slim.conv2d``: :func:`convolution` of [batch, height, width, in].

    >>> from torchscope import ScopedModule
    >>> ScopedModule(lambda x: conv2d(x, 8, 3, stride=2), layout="tf")(torch.ones(1, 5, 5, 2)).shape
    torch.Size([1, 3, 3, 8])
    """


@_with(convolution, conv_dims=3)
def convolution3d() -> None:
    """``tf.contrib.layers.conv3d``: :func:`convolution` of [batch, depth, height, width, in]."""


def _transposed(
    inputs: Tensor,
    num_outputs: int,
    kernel_size: Sizes,
    stride: Sizes = 1,
    padding: str = "SAME",
    data_format: str | None = None,
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
    *,
    rank: int = 2,
    base_name: str = "Conv2d_transpose",
) -> Tensor:
    """A transposed convolution of an image of this many axes."""
    window = Window.of(rank, kernel_size, stride, padding, order_of(data_format))
    with variable_scope(scope, base_name, reuse=reuse):
        making = making_of(trainable, variables_collections)
        outputs = transpose(making, inputs, num_outputs, window, (weights_initializer, weights_regularizer, None))
        bias = bias_of(normalizer_fn, biases_initializer, biases_regularizer)
        outputs = with_bias(making, outputs, window, bias)
        return finished(outputs, normalizer_fn, normalizer_params, activation_fn, outputs_collections)


@_with(_transposed, rank=2, base_name="Conv2d_transpose")
def convolution2d_transpose() -> None:
    """``tf.contrib.layers.conv2d_transpose``: a transposed convolution, its weights [height, width, out, in].

    With ``"SAME"`` the image becomes ``stride`` times as large. The default scope is ``"Conv2d_transpose"``; otherwise
    as :func:`convolution`.

    >>> from torchscope import ScopedModule
    >>> ScopedModule(lambda x: conv2d_transpose(x, 8, 3, stride=2), layout="tf")(torch.ones(1, 3, 3, 2)).shape
    torch.Size([1, 6, 6, 8])
    """


@_with(_transposed, rank=3, base_name="Conv3d_transpose")
def convolution3d_transpose() -> None:
    """``tf.contrib.layers.conv3d_transpose``: as :func:`conv2d_transpose`, of [batch, depth, height, width, in]."""


@add_arg_scope
def separable_convolution2d(
    inputs: Tensor,
    num_outputs: int | None,
    kernel_size: Sizes,
    depth_multiplier: int = 1,
    stride: Sizes = 1,
    padding: str = "SAME",
    data_format: str = "NHWC",
    rate: Sizes = 1,
    activation_fn: Activation = torch.relu,
    normalizer_fn: Normalizer = None,
    normalizer_params: Params = None,
    weights_initializer: Initializer = XAVIER,
    pointwise_initializer: Initializer = None,
    weights_regularizer: Regularizer | None = None,
    biases_initializer: Initializer = zeros_,
    biases_regularizer: Regularizer | None = None,
    reuse: Reuse | None = None,
    variables_collections: Collections = None,
    outputs_collections: str | list[str] | None = None,
    trainable: bool = True,
    scope: str | VariableScope | None = None,
) -> Tensor:
    """``tf.contrib.layers.separable_conv2d``: a depthwise convolution, and with ``num_outputs`` a pointwise one.

    Its variables are ``depthwise_weights``, ``pointwise_weights`` and ``biases``, by default below
    ``"SeparableConv2d"``; otherwise as :func:`convolution`.

    >>> from torchscope import ScopedModule
    >>> model = ScopedModule(lambda x: separable_conv2d(x, None, 3), layout="tf").build(torch.ones(1, 5, 5, 2))
    >>> list(model.variables)
    ['SeparableConv2d/depthwise_weights', 'SeparableConv2d/biases']

    Args:
        num_outputs: how many outputs; ``None`` for a depthwise convolution alone.
        depth_multiplier: how many windows each channel has.
        pointwise_initializer: by default that of the weights.
    """
    window = Window.of(2, kernel_size, stride, padding, order_of(data_format), rate)
    with variable_scope(scope, "SeparableConv2d", reuse=reuse):
        making = making_of(trainable, variables_collections)
        kernel = (weights_initializer, weights_regularizer, None)
        if num_outputs is not None:
            point = (weights_initializer if pointwise_initializer is None else pointwise_initializer, kernel[1], None)
            outputs = separate(making, inputs, num_outputs, window, depth_multiplier, kernel, point)
        else:
            shape = [*window.size, window.channels(inputs), depth_multiplier]
            weights = making.weight("depthwise_kernel", shape, dtype_of(inputs), *kernel, alone=True)
            outputs = depthwise_conv2d(
                inputs, weights, window.strides, window.padding, window.rates, data_format=window.data_format
            )
        bias = bias_of(normalizer_fn, biases_initializer, biases_regularizer)
        outputs = with_bias(making, outputs, window, bias)
        return finished(outputs, normalizer_fn, normalizer_params, activation_fn, outputs_collections)


convolution = add_arg_scope(convolution)
conv1d, conv2d, conv3d = convolution1d, convolution2d, convolution3d
conv2d_transpose, conv3d_transpose = convolution2d_transpose, convolution3d_transpose
separable_conv2d = separable_convolution2d
