"""``tf.losses``: losses with weights, summed in TensorFlow's ways and kept in the collection ``"losses"``."""

from __future__ import annotations

from typing import TYPE_CHECKING as _TYPE_CHECKING

import torch
from torch import Tensor

from .._modules.scoped_module import current_module
from .._scopes.stack import innermost_call
from ..errors import ArgumentValueError
from ._axes import axis_of
from ._collections import GraphKeys, get_collection
from ._lacking import lacking as _lacking
from .nn._cross_entropy import (
    sigmoid_cross_entropy_with_logits,
    softmax_cross_entropy_with_logits_v2,
    sparse_softmax_cross_entropy_with_logits,
)

__all__ = [
    "Reduction",
    "absolute_difference",
    "add_loss",
    "compute_weighted_loss",
    "cosine_distance",
    "get_losses",
    "get_regularization_loss",
    "get_regularization_losses",
    "get_total_loss",
    "hinge_loss",
    "huber_loss",
    "log_loss",
    "mean_squared_error",
    "sigmoid_cross_entropy",
    "softmax_cross_entropy",
    "sparse_softmax_cross_entropy",
]

Weights = float | Tensor
LOSSES = GraphKeys.LOSSES


class Reduction:
    """How losses become one (``tf.losses.Reduction``)."""

    NONE = "none"
    SUM = "weighted_sum"
    SUM_OVER_BATCH_SIZE = "weighted_sum_over_batch_size"
    MEAN = "weighted_mean"
    SUM_BY_NONZERO_WEIGHTS = "weighted_sum_by_nonzero_weights"
    SUM_OVER_NONZERO_WEIGHTS = SUM_BY_NONZERO_WEIGHTS

    @classmethod
    def all(cls) -> tuple[str, ...]:
        """Their names."""
        return cls.NONE, cls.SUM, cls.MEAN, cls.SUM_OVER_BATCH_SIZE, cls.SUM_BY_NONZERO_WEIGHTS


BY_WEIGHTS = Reduction.SUM_BY_NONZERO_WEIGHTS


def compute_weighted_loss(
    losses: Tensor,
    weights: Weights = 1.0,
    scope: str | None = None,
    loss_collection: str | None = LOSSES,
    reduction: str = BY_WEIGHTS,
) -> Tensor:
    """``tf.losses.compute_weighted_loss``: losses times weights, and one number of them.

    By default it is their sum over how many weights are not zero; torch's functions of losses take the mean.

    >>> compute_weighted_loss(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 0.0]))
    tensor(1.)

    Args:
        losses: of any shape.
        weights: a number, or a tensor that broadcasts to the losses: each axis has their size, or 1.
        loss_collection: where the loss is put, if a module is running.
        reduction: one of :class:`Reduction`.

    Raises:
        ArgumentValueError: weights of another shape, or no such reduction.
    """
    if reduction not in Reduction.all():
        raise ArgumentValueError.of("reduction", reduction, f"Use one of {', '.join(Reduction.all())}.")
    dtype = losses.dtype
    losses = losses if dtype == torch.float64 else losses.float()  # TensorFlow computes it so, and converts it back
    given = torch.as_tensor(weights, dtype=losses.dtype, device=losses.device)
    fits = given.dim() == 0 or (
        given.dim() == losses.dim() and all(n in (1, size) for n, size in zip(given.shape, losses.shape, strict=True))
    )
    if not fits:
        mend = f"The losses have {tuple(losses.shape)}: give a number, or as many axes of the same sizes or 1."
        raise ArgumentValueError.of("the shape of the weights", tuple(given.shape), mend)
    each = losses * given
    if reduction == Reduction.NONE:
        loss = each
    else:
        loss = each.sum()
        spread = given.expand_as(losses)
        if reduction == Reduction.MEAN:
            loss = _divided(loss, spread.sum())
        elif reduction == BY_WEIGHTS:
            loss = _divided(loss, (spread != 0).sum().to(loss.dtype))
        elif reduction == Reduction.SUM_OVER_BATCH_SIZE:
            loss = loss / max(each.numel(), 1)
    loss = loss.to(dtype)
    if loss_collection is not None and innermost_call() is not None:
        add_loss(loss, loss_collection)
    return loss


def _divided(total: Tensor, count: Tensor) -> Tensor:
    """A quotient that is zero where there is nothing to divide by."""
    return torch.where(count == 0, torch.zeros_like(total), total / torch.where(count == 0, 1, count))


def _wide(labels: Tensor, predictions: Tensor) -> tuple[Tensor, Tensor]:
    """Both as ``float32``, or ``float64`` where they are that, and of one shape."""
    if labels.shape != predictions.shape:
        mend = f"The predictions have {tuple(predictions.shape)}: give the same."
        raise ArgumentValueError.of("the shape of the labels", tuple(labels.shape), mend)
    dtype = torch.float64 if torch.float64 in (labels.dtype, predictions.dtype) else torch.float32
    return labels.to(dtype), predictions.to(dtype)


def absolute_difference(
    labels: Tensor,
    predictions: Tensor,
    weights: Weights = 1.0,
    scope: str | None = None,
    loss_collection: str | None = LOSSES,
    reduction: str = BY_WEIGHTS,
) -> Tensor:
    """``tf.losses.absolute_difference``: ``|predictions - labels|``; see :func:`compute_weighted_loss`.

    >>> absolute_difference(torch.zeros(2), torch.tensor([1.0, 3.0]))
    tensor(2.)
    """
    labels, predictions = _wide(labels, predictions)
    return compute_weighted_loss((predictions - labels).abs(), weights, scope, loss_collection, reduction)


def mean_squared_error(
    labels: Tensor,
    predictions: Tensor,
    weights: Weights = 1.0,
    scope: str | None = None,
    loss_collection: str | None = LOSSES,
    reduction: str = BY_WEIGHTS,
) -> Tensor:
    """``tf.losses.mean_squared_error``: ``(predictions - labels) ** 2``; see :func:`compute_weighted_loss`.

    >>> mean_squared_error(torch.zeros(2), torch.tensor([1.0, 3.0]))
    tensor(5.)
    """
    labels, predictions = _wide(labels, predictions)
    return compute_weighted_loss((predictions - labels).square(), weights, scope, loss_collection, reduction)


def huber_loss(
    labels: Tensor,
    predictions: Tensor,
    weights: Weights = 1.0,
    delta: float = 1.0,
    scope: str | None = None,
    loss_collection: str | None = LOSSES,
    reduction: str = BY_WEIGHTS,
) -> Tensor:
    """``tf.losses.huber_loss``: square up to ``delta``, and a line beyond; see :func:`compute_weighted_loss`.

    >>> huber_loss(torch.zeros(2), torch.tensor([1.0, 3.0]))
    tensor(1.5000)
    """
    labels, predictions = _wide(labels, predictions)
    error = (predictions - labels).abs()
    within = error.clamp(max=delta)
    each = 0.5 * within.square() + delta * (error - within)
    return compute_weighted_loss(each, weights, scope, loss_collection, reduction)


def hinge_loss(
    labels: Tensor,
    logits: Tensor,
    weights: Weights = 1.0,
    scope: str | None = None,
    loss_collection: str | None = LOSSES,
    reduction: str = BY_WEIGHTS,
) -> Tensor:
    """``tf.losses.hinge_loss``: of labels that are 0 or 1; see :func:`compute_weighted_loss`.

    >>> hinge_loss(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 3.0]))
    tensor(1.)
    """
    labels, logits = _wide(labels, logits)
    each = torch.relu(1 - (2 * labels - 1) * logits)
    return compute_weighted_loss(each, weights, scope, loss_collection, reduction)


def log_loss(
    labels: Tensor,
    predictions: Tensor,
    weights: Weights = 1.0,
    epsilon: float = 1e-7,
    scope: str | None = None,
    loss_collection: str | None = LOSSES,
    reduction: str = BY_WEIGHTS,
) -> Tensor:
    """``tf.losses.log_loss``: of probabilities; see :func:`compute_weighted_loss`.

    ``torch.nn.functional.binary_cross_entropy`` adds no epsilon, and cuts the logarithm off at -100.

    >>> log_loss(torch.ones(1), torch.tensor([0.5]))
    tensor(0.6931)
    """
    labels, predictions = _wide(labels, predictions)
    each = -labels * (predictions + epsilon).log() - (1 - labels) * (1 - predictions + epsilon).log()
    return compute_weighted_loss(each, weights, scope, loss_collection, reduction)


def cosine_distance(
    labels: Tensor,
    predictions: Tensor,
    axis: int | None = None,
    weights: Weights = 1.0,
    scope: str | None = None,
    loss_collection: str | None = LOSSES,
    reduction: str = BY_WEIGHTS,
    dim: int | None = None,
) -> Tensor:
    """``tf.losses.cosine_distance``: of unit vectors along an axis, which stays with size 1.

    >>> cosine_distance(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), axis=1)
    tensor(1.)
    """
    labels, predictions = _wide(labels, predictions)
    given = dim if axis is None else axis
    if given is None:
        raise ArgumentValueError.of("axis", None, "Say along which axis the vectors are.")
    each = 1 - (labels * predictions).sum(axis_of("axis", given, labels.dim()), keepdim=True)
    return compute_weighted_loss(each, weights, scope, loss_collection, reduction)


def sigmoid_cross_entropy(
    multi_class_labels: Tensor,
    logits: Tensor,
    weights: Weights = 1.0,
    label_smoothing: float = 0,
    scope: str | None = None,
    loss_collection: str | None = LOSSES,
    reduction: str = BY_WEIGHTS,
) -> Tensor:
    """``tf.losses.sigmoid_cross_entropy``: of each class on its own; smoothed labels move towards a half.

    >>> sigmoid_cross_entropy(torch.ones(2), torch.zeros(2))
    tensor(0.6931)
    """
    labels, logits = _wide(multi_class_labels, logits)
    labels = labels * (1 - label_smoothing) + 0.5 * label_smoothing if label_smoothing > 0 else labels
    each = sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
    return compute_weighted_loss(each, weights, scope, loss_collection, reduction)


def softmax_cross_entropy(
    onehot_labels: Tensor,
    logits: Tensor,
    weights: Weights = 1.0,
    label_smoothing: float = 0,
    scope: str | None = None,
    loss_collection: str | None = LOSSES,
    reduction: str = BY_WEIGHTS,
) -> Tensor:
    """``tf.losses.softmax_cross_entropy``: of probabilities of classes; no gradient flows into the labels.

    >>> softmax_cross_entropy(torch.tensor([[0.0, 1.0]]), torch.zeros(1, 2))
    tensor(0.6931)
    """
    labels, logits = _wide(onehot_labels, logits)
    if label_smoothing > 0:
        labels = labels * (1 - label_smoothing) + label_smoothing / labels.shape[1]
    each = softmax_cross_entropy_with_logits_v2(labels.detach(), logits)
    return compute_weighted_loss(each, weights, scope, loss_collection, reduction)


def sparse_softmax_cross_entropy(
    labels: Tensor,
    logits: Tensor,
    weights: Weights = 1.0,
    scope: str | None = None,
    loss_collection: str | None = LOSSES,
    reduction: str = BY_WEIGHTS,
) -> Tensor:
    """``tf.losses.sparse_softmax_cross_entropy``: of the index of a class.

    >>> sparse_softmax_cross_entropy(torch.tensor([1]), torch.zeros(1, 2))
    tensor(0.6931)
    """
    flat = labels.squeeze(-1) if labels.dim() == logits.dim() and labels.shape[-1] == 1 else labels
    given = weights
    if isinstance(weights, Tensor) and weights.dim() == flat.dim() + 1 and weights.shape[-1] == 1:
        given = weights.squeeze(-1)
    each = sparse_softmax_cross_entropy_with_logits(labels=flat, logits=logits)
    return compute_weighted_loss(each, given, scope, loss_collection, reduction)


def add_loss(loss: Tensor, loss_collection: str | None = LOSSES) -> None:
    """``tf.losses.add_loss``: put a loss into a collection of the module that is running."""
    if loss_collection is not None:
        current_module().add_to_collection(loss_collection, loss)


def get_losses(scope: str | None = None, loss_collection: str = LOSSES) -> list[Tensor]:
    """``tf.losses.get_losses``: those of the call that is running."""
    return get_collection(loss_collection, scope)


def get_regularization_losses(scope: str | None = None) -> list[Tensor]:
    """``tf.losses.get_regularization_losses``: one for each regularized variable, and those that layers added."""
    return get_collection(GraphKeys.REGULARIZATION_LOSSES, scope)


def get_regularization_loss(scope: str | None = None, name: str = "total_regularization_loss") -> Tensor:
    """``tf.losses.get_regularization_loss``: their sum, zero of none."""
    losses = get_regularization_losses(scope)
    return sum(losses[1:], losses[0]) if losses else torch.zeros(())


def get_total_loss(
    add_regularization_losses: bool = True, name: str = "total_loss", scope: str | None = None
) -> Tensor:
    """``tf.losses.get_total_loss``: the sum of all losses of the call, with those of regularizers.

    >>> from torchscope import ScopedModule
    >>> def forward(x):
    ...     mean_squared_error(torch.zeros(2), x)
    ...     absolute_difference(torch.zeros(2), x)
    ...     return get_total_loss()
    >>> ScopedModule(forward)(torch.ones(2))
    tensor(2.)

    Raises:
        ArgumentValueError: there are none.
    """
    losses = get_losses(scope) + (get_regularization_losses(scope) if add_regularization_losses else [])
    if not losses:
        raise ArgumentValueError.of("scope", scope, "No loss was added there in this call.")
    return sum(losses[1:], losses[0])


if not _TYPE_CHECKING:  # a type checker would take any name for one
    __getattr__ = _lacking("tf.losses")
