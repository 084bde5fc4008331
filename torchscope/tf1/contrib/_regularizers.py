"""The regularizers of ``tf.contrib.layers``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from ..._modules.scoped_module import current_module
from ..._variables.spec import REGULARIZATION_LOSSES, Regularizer
from ...errors import ArgumentValueError
from ..nn._activations import l2_loss


def _scaled(scale: float, loss: Callable[[Tensor], Tensor]) -> Regularizer:
    """A regularizer that scales a loss; a scale of zero turns it off.

    Raises:
        ArgumentValueError: a scale that is an int, or negative.
    """
    if isinstance(scale, int) or not scale >= 0:
        raise ArgumentValueError.of("scale", scale, "Give a float that is not negative.")
    return lambda weights: None if scale == 0 else scale * loss(weights)


def l1_regularizer(scale: float, scope: str | None = None) -> Regularizer:
    """``tf.contrib.layers.l1_regularizer``: ``scale`` times the sum of absolute values.

    >>> import torch
    >>> l1_regularizer(0.5)(torch.tensor([1.0, -3.0]))
    tensor(2.)

    Raises:
        ArgumentValueError: a scale that is an int, or negative; 0.0 turns it off.
    """
    return _scaled(scale, lambda weights: weights.abs().sum())


def l2_regularizer(scale: float, scope: str | None = None) -> Regularizer:
    """``tf.contrib.layers.l2_regularizer``: ``scale`` times half the sum of squares.

    The ``weight_decay`` of torch's optimizers is the gradient of the same, but of all that they train.

    >>> import torch
    >>> l2_regularizer(0.5)(torch.tensor([1.0, -3.0]))
    tensor(2.5000)

    Raises:
        ArgumentValueError: a scale that is an int, or negative; 0.0 turns it off.
    """
    return _scaled(scale, l2_loss)


def l1_l2_regularizer(scale_l1: float = 1.0, scale_l2: float = 1.0, scope: str | None = None) -> Regularizer:
    """``tf.contrib.layers.l1_l2_regularizer``: both; 0.0 turns one off.

    >>> import torch
    >>> l1_l2_regularizer(0.5, 0.5)(torch.tensor([1.0, -3.0]))
    tensor(4.5000)
    """
    return sum_regularizer([l1_regularizer(scale_l1), l2_regularizer(scale_l2)])


def sum_regularizer(regularizer_list: Sequence[Regularizer | None], scope: str | None = None) -> Regularizer:
    """``tf.contrib.layers.sum_regularizer``: the sum of what several return."""
    given = [each for each in regularizer_list if each is not None]

    def total(weights: Tensor) -> Tensor | None:
        losses = [loss for each in given if (loss := each(weights)) is not None]
        return sum(losses[1:], losses[0]) if losses else None

    return total


def apply_regularization(regularizer: Regularizer, weights_list: Sequence[Tensor] | None = None) -> Tensor:
    """``tf.contrib.layers.apply_regularization``: the losses of some variables, summed and put into the collection.

    Args:
        weights_list: by default the collection ``"weights"``.

    Raises:
        ArgumentValueError: no variables.
    """
    weights = current_module().get_collection("weights") if weights_list is None else weights_list
    losses = [loss for each in weights if (loss := regularizer(each)) is not None]
    if not losses:
        raise ArgumentValueError.of("weights_list", weights_list, "Give variables that the regularizer has a loss for.")
    total = sum(losses[1:], losses[0])
    current_module().add_to_collection(REGULARIZATION_LOSSES, total)
    return total
