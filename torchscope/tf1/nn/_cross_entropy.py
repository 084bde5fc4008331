"""Cross entropies of ``tf.nn``: one loss for each example, and no mean."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import ArgumentValueError
from .._axes import either

_NONE_IGNORED = -(2**62)


def softmax_cross_entropy_with_logits(
    *,
    labels: Tensor,
    logits: Tensor,
    dim: int | None = None,
    axis: int | None = None,
    name: str | None = None,
) -> Tensor:
    """``tf.nn.softmax_cross_entropy_with_logits``: one loss for each row of probabilities; none flows into the labels.

    ``torch.nn.functional.cross_entropy`` takes the mean, has the classes second, and its gradient goes to the labels.
    The gradient is ``softmax(logits) - labels`` whatever the labels add up to: a row of zeros has no loss, but a
    gradient.

    >>> softmax_cross_entropy_with_logits(labels=torch.tensor([[0.0, 1.0]]), logits=torch.zeros(1, 2))
    tensor([0.6931])

    Args:
        labels, logits: of one shape; TensorFlow takes them by name alone.
        dim, axis: which axis has the classes; the last by default.

    Raises:
        ArgumentValueError: shapes that differ.
    """
    return softmax_cross_entropy_with_logits_v2(labels.detach(), logits, axis, dim=dim)


def softmax_cross_entropy_with_logits_v2(
    labels: Tensor, logits: Tensor, axis: int | None = None, name: str | None = None, dim: int | None = None
) -> Tensor:
    """``tf.nn.softmax_cross_entropy_with_logits_v2``: the same, with a gradient for the labels too.

    >>> softmax_cross_entropy_with_logits_v2(torch.tensor([[0.5, 0.5]]), torch.zeros(1, 2))
    tensor([0.6931])
    """
    over = either("axis", axis, "dim", dim, -1)
    assert isinstance(over, int)
    try:
        each = labels * torch.log_softmax(logits, over)
    except RuntimeError:
        mend = f"The logits have {tuple(logits.shape)}: give the same."
        raise ArgumentValueError.of("the shape of the labels", tuple(labels.shape), mend) from None
    loss = -each.sum(over)
    if not logits.requires_grad:
        return loss
    # TensorFlow's gradient is softmax - labels, also of labels that do not add up to one.
    normalizer = torch.logsumexp(logits, over)
    return loss + (1 - labels.detach().sum(over)) * (normalizer - normalizer.detach())


def sparse_softmax_cross_entropy_with_logits(*, labels: Tensor, logits: Tensor, name: str | None = None) -> Tensor:
    """``tf.nn.sparse_softmax_cross_entropy_with_logits``: one loss for each class index.

    ``torch.nn.functional.cross_entropy`` takes the mean, has the classes second, and passes over an index of -100.

    >>> sparse_softmax_cross_entropy_with_logits(labels=torch.tensor([1]), logits=torch.zeros(1, 2))
    tensor([0.6931])

    Args:
        labels: ``[*shape]``, integers that are classes.
        logits: ``[*shape, classes]``.

    Raises:
        ArgumentValueError: shapes that do not fit, or labels that are no integers.
    """
    if labels.shape != logits.shape[:-1]:
        mend = f"For logits of {tuple(logits.shape)} give {tuple(logits.shape[:-1])}."
        raise ArgumentValueError.of("the shape of the labels", tuple(labels.shape), mend)
    if labels.dtype not in (torch.int32, torch.int64):
        raise ArgumentValueError.of("labels", labels.dtype, "Give int32 or int64: the index of each class.")
    flat = logits.reshape(-1, logits.shape[-1])
    each = F.cross_entropy(flat, labels.reshape(-1).long(), reduction="none", ignore_index=_NONE_IGNORED)
    return each.view(labels.shape)


def sigmoid_cross_entropy_with_logits(*, labels: Tensor, logits: Tensor, name: str | None = None) -> Tensor:
    """``tf.nn.sigmoid_cross_entropy_with_logits``: one loss for each entry.

    ``torch.nn.functional.binary_cross_entropy_with_logits`` takes the mean, and the logits first.

    >>> sigmoid_cross_entropy_with_logits(labels=torch.ones(2), logits=torch.zeros(2))
    tensor([0.6931, 0.6931])

    Raises:
        ArgumentValueError: shapes that differ.
    """
    return _sigmoid(labels, logits, None)


def weighted_cross_entropy_with_logits(
    labels: Tensor | None = None,
    logits: Tensor | None = None,
    pos_weight: Tensor | float | None = None,
    name: str | None = None,
    targets: Tensor | None = None,
) -> Tensor:
    """``tf.nn.weighted_cross_entropy_with_logits``: the same, in which what is there weighs ``pos_weight``.

    >>> weighted_cross_entropy_with_logits(torch.ones(2), torch.zeros(2), 2.0)
    tensor([1.3863, 1.3863])
    """
    there = either("labels", labels, "targets", targets, None)
    if pos_weight is None:
        raise ArgumentValueError.of("pos_weight", None, "Give a number or a tensor.")
    return _sigmoid(there, logits, pos_weight)


def _sigmoid(labels: object, logits: Tensor | None, pos_weight: Tensor | float | None) -> Tensor:
    if not isinstance(labels, Tensor) or logits is None or labels.shape != logits.shape:
        found = tuple(labels.shape) if isinstance(labels, Tensor) else labels
        mend = f"The logits have {None if logits is None else tuple(logits.shape)}: give the same."
        raise ArgumentValueError.of("the shape of the labels", found, mend)
    if pos_weight is None:  # by where, whose gradient at 0 is TensorFlow's
        there = logits >= 0
        far = torch.log1p(torch.exp(torch.where(there, -logits, logits)))
        return torch.where(there, logits, torch.zeros_like(logits)) - logits * labels + far
    far = torch.log1p(torch.exp(-logits.abs()))  # log(1 + exp(x)) where it is not large
    return (1 - labels) * logits + (1 + (pos_weight - 1) * labels) * (far + torch.relu(-logits))
