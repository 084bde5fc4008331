"""``tf.layers.dense``, ``dropout`` and ``flatten``."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.init import zeros_

from ..._scopes.scope import VariableScope
from ..._variables.reuse import Reuse
from ..._variables.spec import Constraint, Initializer, Regularizer
from ...errors import ArgumentValueError
from .._layer import Activation, Layer, Making, activated, as_function, dtype_of, positive, training_of
from ..nn._activations import dropout as kept


def dense_by(
    making: Making,
    inputs: Tensor,
    units: int,
    kernel: tuple[Initializer, Regularizer | None, Constraint | None],
    bias: tuple[Initializer, Regularizer | None, Constraint | None] | None,
) -> Tensor:
    """A matrix product over the last axis, and a bias; the variables are in the scope that is open.

    Raises:
        ArgumentValueError: inputs without an axis of features.
    """
    if inputs.dim() < 2:
        mend = "Give at least two axes, [batch, features]."
        raise ArgumentValueError.of("the shape of the inputs", tuple(inputs.shape), mend)
    dtype = dtype_of(inputs)
    weights = making.weight("kernel", [inputs.shape[-1], positive("units", units)], dtype, *kernel)
    if bias is None:
        return inputs @ weights
    biases = making.weight("bias", [weights.shape[1]], dtype, *bias)
    return torch.nn.functional.linear(inputs, weights.T, biases)


class Dense(Layer):
    """``tf.layers.Dense``: :func:`dense` as an object, which shares its variables when it is called again.

    >>> from torchscope import ScopedModule
    >>> def forward(x):
    ...     layer = Dense(3)
    ...     return layer(x) + layer(x)
    >>> list(ScopedModule(forward, layout="tf").build(torch.ones(1, 2)).variables)
    ['dense/kernel', 'dense/bias']
    """

    def __init__(
        self,
        units: int,
        activation: Activation = None,
        use_bias: bool = True,
        kernel_initializer: Initializer = None,
        bias_initializer: Initializer = zeros_,
        kernel_regularizer: Regularizer | None = None,
        bias_regularizer: Regularizer | None = None,
        activity_regularizer: Regularizer | None = None,
        kernel_constraint: Constraint | None = None,
        bias_constraint: Constraint | None = None,
        trainable: bool = True,
        name: str | VariableScope | None = None,
        reuse: Reuse | None = None,
    ) -> None:
        super().__init__(trainable, name, reuse)
        self.units = units
        self.activation = activation
        self._activity_regularizer = activity_regularizer
        self._kernel = (kernel_initializer, kernel_regularizer, kernel_constraint)
        self._bias = (bias_initializer, bias_regularizer, bias_constraint) if use_bias else None

    def call(self, inputs: Tensor) -> Tensor:
        """``[*shape, in]`` to ``[*shape, units]``."""
        outputs = dense_by(self.making, inputs, self.units, self._kernel, self._bias)
        return activated(outputs, self.activation, self._activity_regularizer)


@as_function(Dense)
def dense() -> None:
    """``tf.layers.dense``: ``inputs @ kernel + bias``, whose variables are ``dense/kernel`` and ``dense/bias``.

    ``torch.nn.Linear`` keeps ``[out, in]`` and starts from another distribution.

    >>> from torchscope import ScopedModule
    >>> model = ScopedModule(lambda x: dense(dense(x, 8, torch.relu), 3), layout="tf").build(torch.ones(1, 2))
    >>> {path: tuple(variable.shape) for path, variable in model.variables.items()}
    {'dense/kernel': (2, 8), 'dense/bias': (8,), 'dense_1/kernel': (8, 3), 'dense_1/bias': (3,)}

    Args:
        inputs: ``[*shape, in]``, of a floating dtype.
        units: how many outputs.
        activation: a function of the outputs.
        use_bias: whether there is one.
        kernel_initializer: by default the scope's, else Glorot uniform; the bias begins with zeros.
        kernel_regularizer, bias_regularizer: functions of the variable that return its loss.
        activity_regularizer: a function of the outputs whose value, divided by the size of the batch, is put into the
            collection ``"regularization_losses"``.
        kernel_constraint, bias_constraint: functions of the variable that return its projection.
        trainable: whether the variables have gradients.
        name: the scope; by default ``"dense"``, ``"dense_1"``, ...
        reuse: as of :func:`torchscope.variable_scope`.

    Returns:
        ``[*shape, units]``.

    Raises:
        ArgumentValueError, ArgumentTypeError: units, shapes or dtypes that TensorFlow refuses.
    """


def dropout(
    inputs: Tensor,
    rate: float = 0.5,
    noise_shape: Sequence[int | None] | None = None,
    seed: int | None = None,
    training: bool = False,
    name: str | None = None,
) -> Tensor:
    """``tf.layers.dropout``: of the probability of dropping, and without effect unless ``training=True`` is said.

    ``torch.nn.functional.dropout`` trains by default.

    >>> dropout(torch.ones(2), 0.5)
    tensor([1., 1.])
    """
    if not training_of("training", training):
        return inputs
    return kept(inputs, noise_shape=noise_shape, seed=seed, rate=rate)


def flatten(inputs: Tensor, name: str | None = None, data_format: str = "channels_last") -> Tensor:
    """``tf.layers.flatten``: ``[batch, *shape]`` to [batch, features]; with channels first, they are put last before.

    ``torch.flatten`` joins the batch too, unless it is told otherwise.

    >>> flatten(torch.ones(2, 3, 4)).shape
    torch.Size([2, 12])
    """
    if data_format not in ("channels_last", "channels_first"):
        raise ArgumentValueError.of("data_format", data_format, "Use 'channels_last' or 'channels_first'.")
    if inputs.dim() < 2:
        return inputs.unsqueeze(-1)
    x = inputs.movedim(1, -1) if data_format == "channels_first" and inputs.dim() > 2 else inputs
    return x.flatten(1)
