"""``tf.layers.batch_normalization``."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.init import ones_, zeros_

from ..._scopes.scope import VariableScope
from ..._variables.reuse import Reuse
from ..._variables.spec import Constraint, Initializer, Regularizer
from .._axes import axes_of, not_yet
from .._layer import Layer, as_function, dtype_of, training_of
from ..nn._normalization import by_moments, by_own_moments


def updated(average: Tensor, value: Tensor, momentum: float) -> None:
    """Move a moving average towards a value, in place and at once."""
    with torch.no_grad():
        average.lerp_(value.to(average.dtype), 1 - momentum)


def normalized(
    inputs: Tensor,
    gamma: Tensor | None,
    beta: Tensor | None,
    averages: tuple[Tensor, Tensor],
    *,
    axis: int,
    momentum: float,
    epsilon: float,
    training: bool,
    unbiased: bool,
    moves: bool = True,
) -> Tensor:
    """Batch normalization, by the moments of the batch, towards which the averages move, or by the averages.

    Args:
        moves: whether the averages do, in training.
        unbiased: whether the moving variance counts one element less in its divisor, as TensorFlow's fused kernels do.
    """
    if not training:
        return by_moments(inputs, *averages, gamma, beta, epsilon, axis=axis)
    y, mean, variance, count = by_own_moments(inputs, gamma, beta, epsilon, axis=axis)
    if not moves or not count:
        return y
    updated(averages[0], mean, momentum)
    updated(averages[1], variance if unbiased else variance * ((count - 1) / count), momentum)
    return y


def is_fused(inputs: Tensor, axis: int | Sequence[int]) -> bool:
    """Whether TensorFlow's fused kernels take a tensor: images whose channels are first or last, not in float64."""
    rank = inputs.dim()
    one = axis if isinstance(axis, int) else axis[0]
    return rank in (4, 5) and inputs.dtype != torch.float64 and one in (-3, -1, 1, 3) and one % rank in (1, rank - 1)


class BatchNormalization(Layer):
    """``tf.layers.BatchNormalization``: :func:`batch_normalization` as an object; see :class:`Layer`."""

    def __init__(
        self,
        axis: int | Sequence[int] = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Initializer = zeros_,
        gamma_initializer: Initializer = ones_,
        moving_mean_initializer: Initializer = zeros_,
        moving_variance_initializer: Initializer = ones_,
        beta_regularizer: Regularizer | None = None,
        gamma_regularizer: Regularizer | None = None,
        beta_constraint: Constraint | None = None,
        gamma_constraint: Constraint | None = None,
        training: bool = False,
        trainable: bool = True,
        name: str | VariableScope | None = None,
        reuse: Reuse | None = None,
        renorm: bool = False,
        renorm_clipping: None = None,
        renorm_momentum: float = 0.99,
        fused: bool | None = None,
        virtual_batch_size: int | None = None,
        adjustment: None = None,
    ) -> None:
        not_yet("batch_normalization", renorm=renorm, virtual_batch_size=virtual_batch_size, adjustment=adjustment)
        super().__init__(trainable, name, reuse)
        self.axis = axis
        self.momentum = momentum
        self.epsilon = epsilon
        self.fused = fused
        self.training = training
        self._gamma = (gamma_initializer, gamma_regularizer, gamma_constraint) if scale else None
        self._beta = (beta_initializer, beta_regularizer, beta_constraint) if center else None
        self._averages = (moving_mean_initializer, moving_variance_initializer)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Normalize a tensor, by its own moments if ``training``."""
        trains = training_of("training", self.training if training is None else training)
        axes = axes_of("axis", self.axis, inputs.dim())
        if len(axes) != 1:
            not_yet("batch_normalization", axis=self.axis)
        dtype, size, making = dtype_of(inputs, at_least_single=True), inputs.shape[axes[0]], self.making
        unbiased = self.fused is not False and is_fused(inputs, self.axis)
        gamma = None if self._gamma is None else making.weight("gamma", [size], dtype, *self._gamma)
        beta = None if self._beta is None else making.weight("beta", [size], dtype, *self._beta)
        mean = making.average("moving_mean", size, dtype, self._averages[0])
        variance = making.average("moving_variance", size, dtype, self._averages[1])
        return normalized(
            inputs,
            gamma,
            beta,
            (mean, variance),
            axis=axes[0],
            momentum=self.momentum,
            epsilon=self.epsilon,
            training=trains,
            unbiased=unbiased,
            moves=self.trainable,
        )


@as_function(BatchNormalization)
def batch_normalization() -> None:
    """``tf.layers.batch_normalization``: by moving averages, or in training by the moments of the batch.

    Its variables are ``gamma``, ``beta`` and the buffers ``moving_mean`` and ``moving_variance`` below
    ``batch_normalization``. In training the averages move at once, where TensorFlow puts that into the collection
    ``UPDATE_OPS``, and forgets it if nothing runs it: ``get_collection(UPDATE_OPS)`` is empty here.

    ``torch.nn.BatchNorm2d`` has its channels second, calls ``1 - momentum`` what is ``momentum`` here, an epsilon of
    1e-5, and asks the module whether it trains; here it is said by ``training=``, which is ``False`` by default.

    >>> from torchscope import ScopedModule
    >>> model = ScopedModule(lambda x: batch_normalization(x, training=True), layout="tf")
    >>> model(torch.tensor([[1.0], [3.0]])).flatten()
    tensor([-0.9995,  0.9995], grad_fn=<ViewBackward0>)
    >>> model.variables["batch_normalization/moving_mean"]
    tensor([0.0200])

    Args:
        inputs: of a floating dtype; its variables are ``float32`` where that is of half precision.
        axis: the axis of the features.
        momentum: how much of a moving average stays.
        epsilon: what is added to the variance.
        center, scale: whether there is a ``beta``, a ``gamma``.
        beta_initializer, gamma_initializer, moving_mean_initializer, moving_variance_initializer: zeros, ones, zeros,
            ones by default.
        training: a bool, ``current_module().training`` for example.
        trainable: whether ``gamma`` and ``beta`` have gradients; if not, the averages stay in training too.
        name: the scope; by default ``"batch_normalization"``, ``"batch_normalization_1"``, ...
        reuse: as of :func:`torchscope.variable_scope`.
        fused: ``False`` for the moving variance that TensorFlow has without its fused kernels; those divide by one
            element less, and are used by default for images whose channels are first or last.

    Raises:
        ArgumentTypeError: ``training`` is no bool.
        NotImplementedError: ``renorm``, ``virtual_batch_size``, ``adjustment``, or several axes.
    """
