"""The normalizations of ``tf.contrib.layers`` and slim."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.init import ones_, zeros_

from ..._scopes.scope import VariableScope
from ..._scopes.variable_scope import variable_scope
from ..._variables.reuse import Reuse
from ..._variables.spec import Initializer, Regularizer
from ...errors import ArgumentValueError
from .._axes import not_yet
from .._collections import GraphKeys
from .._layer import Activation, Collections, Making, dtype_of, training_of
from ..layers._normalization import is_fused, normalized, updated
from ..nn._normalization import batch_normalization, moments, weighted_moments
from ._arg_scope import add_arg_scope
from ._layers import finished, order_of

UPDATE_OPS = GraphKeys.UPDATE_OPS
_INITIALIZERS: dict[str, Initializer] = {
    "beta": zeros_,
    "gamma": ones_,
    "moving_mean": zeros_,
    "moving_variance": ones_,
}


@add_arg_scope
def batch_norm(
    inputs: Tensor,
    decay: float = 0.999,
    center: bool = True,
    scale: bool = False,
    epsilon: float = 0.001,
    activation_fn: Activation = None,
    param_initializers: Mapping[str, Initializer] | None = None,
    param_regularizers: Mapping[str, Regularizer] | None = None,
    updates_collections: str | None = UPDATE_OPS,
    is_training: bool = True,
    reuse: Reuse | None = None,
    variables_collections: Collections = None,
    outputs_collections: str | list[str] | None = None,
    trainable: bool = True,
    batch_weights: Tensor | None = None,
    fused: bool | None = None,
    data_format: str = "NHWC",
    zero_debias_moving_mean: bool = False,
    scope: str | VariableScope | None = None,
    renorm: bool = False,
    renorm_clipping: None = None,
    renorm_decay: float = 0.99,
    adjustment: None = None,
) -> Tensor:
    """``tf.contrib.layers.batch_norm``, ``slim.batch_norm``: by moments of the batch, or else by moving averages.

    Its defaults are neither those of ``tf.layers`` nor torch's: it trains, has no ``gamma``, and a decay of 0.999. The
    averages move at once, whatever ``updates_collections`` says: as in TensorFlow with ``None``.

    >>> from torchscope import ScopedModule
    >>> model = ScopedModule(lambda x: batch_norm(x, is_training=False), layout="tf").build(torch.ones(4, 2))
    >>> list(model.variables)
    ['BatchNorm/beta', 'BatchNorm/moving_mean', 'BatchNorm/moving_variance']

    Args:
        inputs: ``[batch, *image, channels]``, or the order of ``data_format``; of a floating dtype.
        decay: how much of a moving average stays.
        center, scale: whether there is a ``beta``, a ``gamma``.
        epsilon: what is added to the variance.
        activation_fn: a function of the outputs.
        param_initializers, param_regularizers: by the names of the variables.
        updates_collections: which of TensorFlow's ways is taken. They differ in the order of ``beta`` and ``gamma`` and
            in the divisor of the moving variance, which may count one element less.
        is_training: a bool, ``current_module().training`` for example.
        reuse, scope: as of :func:`torchscope.variable_scope`; ``"BatchNorm"`` by default.
        variables_collections: further collections of the variables; for all, or by their names.
        outputs_collections: collections that the outputs are added to, under the scope's name.
        trainable: whether ``beta`` and ``gamma`` have gradients; if not, TensorFlow's way by ``tf.layers`` leaves the
            averages as they are in training too.
        batch_weights: [batch], how much each example counts in the moments.
        fused: ``False`` for what TensorFlow does without its fused kernels.

    Raises:
        ArgumentTypeError: ``is_training`` is no bool.
        ArgumentValueError: shapes or names that TensorFlow refuses.
        NotImplementedError: ``renorm``, ``adjustment``, ``zero_debias_moving_mean``.
    """
    not_yet("batch_norm", renorm=renorm, adjustment=adjustment, zero_debias_moving_mean=zero_debias_moving_mean)
    axis = 1 if order_of(data_format) == "channels_first" else inputs.dim() - 1
    trains, rank = training_of("is_training", is_training), inputs.dim()
    if not 2 <= rank <= 5:
        raise ArgumentValueError.of("the shape of the inputs", tuple(inputs.shape), "Give 2 to 5 axes.")
    # TensorFlow has three ways: its kernel of slim's own, the layer of tf.layers, and plain operations.
    others = rank == 2 or updates_collections != UPDATE_OPS
    by_kernel = fused is not False and batch_weights is None and rank in (2, 4) and others
    by_layer = not by_kernel and batch_weights is None and updates_collections == UPDATE_OPS
    unbiased = by_kernel or (by_layer and fused is not False and is_fused(inputs, 1 if axis == 1 else -1))
    regularizers = param_regularizers or {} if by_kernel or by_layer else {}  # plain operations forget them
    with variable_scope(scope, "BatchNorm", reuse=reuse):
        making = Making(trainable, model=True, collections=variables_collections)
        dtype = dtype_of(inputs, at_least_single=by_kernel or by_layer)
        first = {**_INITIALIZERS, **(param_initializers or {})}
        order = [name for name, wanted in (("beta", center), ("gamma", scale)) if wanted]
        made = {
            name: making.weight(name, [inputs.shape[axis]], dtype, first[name], regularizers.get(name), alone=by_kernel)
            for name in (reversed(order) if by_layer else order)
        }
        averages = _averages(making, inputs.shape[axis], dtype, first)
        affine = (made.get("gamma"), made.get("beta"))
        if batch_weights is not None and trains:
            outputs = _weighted(inputs, batch_weights, affine, averages, axis, decay, epsilon)
        else:
            outputs = normalized(
                inputs,
                *affine,
                averages,
                axis=axis,
                momentum=decay,
                epsilon=epsilon,
                training=trains,
                unbiased=unbiased,
                moves=trainable or not by_layer,
            )
        return finished(outputs, None, None, activation_fn, outputs_collections)


def _averages(
    making: Making, size: int, dtype: torch.dtype | None, first: Mapping[str, Initializer]
) -> tuple[Tensor, Tensor]:
    mean = making.average("moving_mean", size, dtype, first["moving_mean"])
    return mean, making.average("moving_variance", size, dtype, first["moving_variance"])


def _weighted(
    inputs: Tensor,
    batch_weights: Tensor,
    affine: tuple[Tensor | None, Tensor | None],
    averages: tuple[Tensor, Tensor],
    axis: int,
    decay: float,
    epsilon: float,
) -> Tensor:
    """Batch normalization in which each example counts as its weight says."""
    if batch_weights.shape != inputs.shape[:1]:
        mend = f"Give one for each example: [{inputs.shape[0]}]."
        raise ArgumentValueError.of("the shape of batch_weights", tuple(batch_weights.shape), mend)
    over = [each for each in range(inputs.dim()) if each != axis]
    weights = batch_weights.view(-1, *[1] * (inputs.dim() - 1))
    mean, variance = weighted_moments(inputs, over, weights, keepdims=True)
    updated(averages[0], mean.flatten(), decay)
    updated(averages[1], variance.flatten(), decay)
    gamma, beta = (None if each is None else each.view(mean.shape) for each in affine)
    return batch_normalization(inputs, mean, variance, beta, gamma, epsilon)


@add_arg_scope
def layer_norm(
    inputs: Tensor,
    center: bool = True,
    scale: bool = True,
    activation_fn: Activation = None,
    reuse: Reuse | None = None,
    variables_collections: Collections = None,
    outputs_collections: str | list[str] | None = None,
    trainable: bool = True,
    begin_norm_axis: int = 1,
    begin_params_axis: int = -1,
    scope: str | VariableScope | None = None,
) -> Tensor:
    """``tf.contrib.layers.layer_norm``: over all axes but the batch, scaled along the last one.

    Its epsilon is 1e-12. ``torch.nn.LayerNorm`` normalizes and scales the axes that it is given, with 1e-5.

    >>> from torchscope import ScopedModule
    >>> list(ScopedModule(layer_norm).build(torch.ones(1, 2)).variables)
    ['LayerNorm/beta', 'LayerNorm/gamma']

    Args:
        inputs: ``[batch, *shape]``, of a floating dtype.
        begin_norm_axis: the first axis that is normalized.
        begin_params_axis: the first axis that ``beta`` and ``gamma`` have.

    Raises:
        ArgumentValueError: an axis that there is not.
    """
    rank = inputs.dim()
    begin = begin_norm_axis + rank if begin_norm_axis < 0 else begin_norm_axis
    if not (0 <= begin < rank and -rank <= begin_params_axis < rank):
        name, found = "begin_norm_axis", begin_norm_axis
        if 0 <= begin < rank:
            name, found = "begin_params_axis", begin_params_axis
        raise ArgumentValueError.of(name, found, f"The inputs have {rank} axes.")
    with variable_scope(scope, "LayerNorm", reuse=reuse):
        making = Making(trainable, model=True, collections=variables_collections)
        shape, dtype = list(inputs.shape[begin_params_axis:]), dtype_of(inputs)
        beta = making.weight("beta", shape, dtype, zeros_) if center else None
        gamma = making.weight("gamma", shape, dtype, ones_) if scale else None
        epsilon = 1e-3 if inputs.dtype == torch.float16 else 1e-12
        over = inputs.shape[begin:]
        if list(over) == shape:
            outputs = F.layer_norm(inputs, over, gamma, beta, epsilon)
        else:
            outputs = F.layer_norm(inputs, over, None, None, epsilon)
            outputs = outputs if gamma is None else outputs * gamma
            outputs = outputs if beta is None else outputs + beta
        return finished(outputs, None, None, activation_fn, outputs_collections)


@add_arg_scope
def instance_norm(
    inputs: Tensor,
    center: bool = True,
    scale: bool = True,
    epsilon: float = 1e-6,
    activation_fn: Activation = None,
    param_initializers: Mapping[str, Initializer] | None = None,
    reuse: Reuse | None = None,
    variables_collections: Collections = None,
    outputs_collections: str | list[str] | None = None,
    trainable: bool = True,
    data_format: str = "NHWC",
    scope: str | VariableScope | None = None,
) -> Tensor:
    """``tf.contrib.layers.instance_norm``: of each image and channel by its own moments, scaled along the channels.

    ``torch.nn.InstanceNorm2d`` has no scale by default, its channels second, and an epsilon of 1e-5.

    >>> from torchscope import ScopedModule
    >>> list(ScopedModule(instance_norm).build(torch.ones(1, 3, 3, 2)).variables)
    ['InstanceNorm/beta', 'InstanceNorm/gamma']

    Args:
        inputs: ``[batch, *image, channels]``, or the order of ``data_format``; of a floating dtype.
        epsilon: what is added to the variance.
        param_initializers: by ``"beta"`` and ``"gamma"``.
    """
    axis = 1 if order_of(data_format) == "channels_first" else inputs.dim() - 1
    with variable_scope(scope, "InstanceNorm", reuse=reuse):
        making = Making(trainable, model=True, collections=variables_collections)
        first, dtype, size = {**_INITIALIZERS, **(param_initializers or {})}, dtype_of(inputs), inputs.shape[axis]
        beta = making.weight("beta", [size], dtype, first["beta"]) if center else None
        gamma = making.weight("gamma", [size], dtype, first["gamma"]) if scale else None
        shape = [size if each == axis else 1 for each in range(inputs.dim())]
        over = [each for each in range(1, inputs.dim()) if each != axis]
        mean, variance = moments(inputs, over, keep_dims=True)
        beta, gamma = (None if each is None else each.view(shape) for each in (beta, gamma))
        outputs = batch_normalization(inputs, mean, variance, beta, gamma, epsilon)
        return finished(outputs, None, None, activation_fn, outputs_collections)
