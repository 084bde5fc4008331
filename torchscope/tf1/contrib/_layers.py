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
from ...errors import ArgumentValueError
from .._layer import Activation, Collections, Making, dtype_of
from ..layers._convolutions import Window, convolve, separate, transpose, with_bias
from ..layers._dense import dense_by
from ..nn._activations import bias_add as biased
from ..nn._convolutions import depthwise_conv2d
from ..nn._windows import Sizes
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


def _making(trainable: bool, collections: Collections) -> Making:
    return Making(trainable, _NAMES, model=True, collections=collections)


def order_of(data_format: str | None) -> str:
    """An order of axes by the name that ``tf.layers`` has for it.

    Raises:
        ArgumentValueError: there is none of that name.
    """
    if data_format not in _FORMATS:
        raise ArgumentValueError.of("data_format", data_format, "Use 'NHWC' or 'NCHW', or what fits the axes.")
    return "channels_first" if data_format is not None and data_format.startswith("NC") else "channels_last"


def finished(
    outputs: Tensor, normalizer_fn: Normalizer, normalizer_params: Params, activation_fn: Activation, collections: Any
) -> Tensor:
    """The outputs of a layer, normalized and activated; its scope is open."""
    if normalizer_fn is not None:
        outputs = normalizer_fn(outputs, **(normalizer_params or {}))
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
        bias = None if normalizer_fn or biases_initializer is None else (biases_initializer, biases_regularizer, None)
        kernel = (weights_initializer, weights_regularizer, None)
        outputs = dense_by(_making(trainable, variables_collections), inputs, num_outputs, kernel, bias)
        return finished(outputs, normalizer_fn, normalizer_params, activation_fn, outputs_collections)


@add_arg_scope
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
        making = _making(trainable, variables_collections)
        outputs = convolve(making, inputs, num_outputs, window, (weights_initializer, weights_regularizer, None))
        if not normalizer_fn and biases_initializer is not None:
            outputs = with_bias(making, outputs, window, (biases_initializer, biases_regularizer, None))
        return finished(outputs, normalizer_fn, normalizer_params, activation_fn, outputs_collections)


@add_arg_scope
def convolution1d(
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
) -> Tensor:
    """``tf.contrib.layers.conv1d``: :func:`convolution` of [batch, width, in]."""
    return convolution(**locals(), conv_dims=1)


@add_arg_scope
def convolution2d(
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
) -> Tensor:
    """``tf.contrib.layers.conv2d``, ``slim.conv2d``: :func:`convolution` of [batch, height, width, in].

    >>> from torchscope import ScopedModule
    >>> ScopedModule(lambda x: conv2d(x, 8, 3, stride=2), layout="tf")(torch.ones(1, 5, 5, 2)).shape
    torch.Size([1, 3, 3, 8])
    """
    return convolution(**locals(), conv_dims=2)


@add_arg_scope
def convolution3d(
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
) -> Tensor:
    """``tf.contrib.layers.conv3d``: :func:`convolution` of [batch, depth, height, width, in]."""
    return convolution(**locals(), conv_dims=3)


@add_arg_scope
def convolution2d_transpose(
    inputs: Tensor,
    num_outputs: int,
    kernel_size: Sizes,
    stride: Sizes = 1,
    padding: str = "SAME",
    data_format: str = "NHWC",
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
    """``tf.contrib.layers.conv2d_transpose``: a transposed convolution, its weights [height, width, out, in].

    With ``"SAME"`` the image becomes ``stride`` times as large. The default scope is ``"Conv2d_transpose"``; otherwise
    as :func:`convolution`.

    >>> from torchscope import ScopedModule
    >>> ScopedModule(lambda x: conv2d_transpose(x, 8, 3, stride=2), layout="tf")(torch.ones(1, 3, 3, 2)).shape
    torch.Size([1, 6, 6, 8])
    """
    return _transposed(2, "Conv2d_transpose", **locals())


@add_arg_scope
def convolution3d_transpose(
    inputs: Tensor,
    num_outputs: int,
    kernel_size: Sizes,
    stride: Sizes = 1,
    padding: str = "SAME",
    data_format: str = "NDHWC",
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
    """``tf.contrib.layers.conv3d_transpose``: as :func:`conv2d_transpose`, of [batch, depth, height, width, in]."""
    return _transposed(3, "Conv3d_transpose", **locals())


def _transposed(rank: int, base_name: str, inputs: Tensor, num_outputs: int, **options: Any) -> Tensor:
    order = order_of(options["data_format"])
    window = Window.of(rank, options["kernel_size"], options["stride"], options["padding"], order)
    with variable_scope(options["scope"], base_name, reuse=options["reuse"]):
        making = _making(options["trainable"], options["variables_collections"])
        kernel = (options["weights_initializer"], options["weights_regularizer"], None)
        outputs = transpose(making, inputs, num_outputs, window, kernel)
        if not options["normalizer_fn"] and options["biases_initializer"] is not None:
            bias = (options["biases_initializer"], options["biases_regularizer"], None)
            outputs = with_bias(making, outputs, window, bias)
        ends = ("normalizer_fn", "normalizer_params", "activation_fn", "outputs_collections")
        return finished(outputs, *(options[name] for name in ends))


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
        making = _making(trainable, variables_collections)
        kernel = (weights_initializer, weights_regularizer, None)
        if num_outputs is not None:
            point = (weights_initializer if pointwise_initializer is None else pointwise_initializer, kernel[1], None)
            outputs = separate(making, inputs, num_outputs, window, depth_multiplier, kernel, point)
        else:
            shape = [*window.size, window.channels(inputs), depth_multiplier]
            weights = making.weight("depthwise_kernel", shape, dtype_of(inputs), *kernel)
            outputs = depthwise_conv2d(
                inputs, weights, window.strides, window.padding, window.rates, data_format=window.data_format
            )
        if not normalizer_fn and biases_initializer is not None:
            outputs = with_bias(making, outputs, window, (biases_initializer, biases_regularizer, None))
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
    order_of(data_format)
    with variable_scope(scope, "BiasAdd", reuse=reuse):
        size = inputs.shape[1 if data_format.startswith("NC") else -1]
        making = _making(trainable, variables_collections)
        biases = making.weight("bias", [size], dtype_of(inputs), initializer, regularizer)
        return finished(biased(inputs, biases, data_format), None, None, activation_fn, outputs_collections)


conv1d, conv2d, conv3d = convolution1d, convolution2d, convolution3d
conv2d_transpose, conv3d_transpose = convolution2d_transpose, convolution3d_transpose
separable_conv2d = separable_convolution2d
