"""Functions of ``tf.nn`` between layers: activations, biases, dropout, the largest entries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import ArgumentValueError
from .._axes import axis_of, either, not_yet

_FIRST = ("NCHW", "NCW", "NCDHW", "NC")
_LAST = (None, "NHWC", "NWC", "NDHWC", "N...C")


def leaky_relu(features: Tensor, alpha: float = 0.2, name: str | None = None) -> Tensor:
    """``tf.nn.leaky_relu``, whose slope is 0.2 by default, and torch's is 0.01.

    >>> leaky_relu(torch.tensor([-1.0, 1.0]))
    tensor([-0.2000,  1.0000])
    """
    return F.leaky_relu(features, alpha)


def crelu(features: Tensor, name: str | None = None, axis: int = -1) -> Tensor:
    """``tf.nn.crelu``: ReLU of a tensor and of its negative, side by side; no function of torch does it.

    >>> crelu(torch.tensor([-1.0, 2.0]))
    tensor([0., 2., 1., 0.])
    """
    return torch.relu(torch.cat([features, -features], axis_of("axis", axis, features.dim())))


def bias_add(value: Tensor, bias: Tensor, data_format: str | None = None, name: str | None = None) -> Tensor:
    """``tf.nn.bias_add``: a bias for each channel. ``value + bias`` does it where the channels are last.

    >>> bias_add(torch.zeros(1, 2, 1, 1), torch.tensor([1.0, 2.0]), "NCHW").flatten()
    tensor([1., 2.])

    Raises:
        ArgumentValueError: no such order of axes, or another number of channels.
    """
    if data_format not in (*_FIRST, *_LAST):
        raise ArgumentValueError.of("data_format", data_format, "Use 'NHWC' or 'NCHW'.")
    axis = 1 if data_format in _FIRST else value.dim() - 1
    if value.dim() < 2 or bias.dim() != 1 or bias.shape[0] != value.shape[axis]:
        mend = f"For {tuple(value.shape)} in order {data_format or 'NHWC'}, give one number for each channel."
        raise ArgumentValueError.of("the shape of the bias", tuple(bias.shape), mend)
    return value + bias.view(-1, *[1] * (value.dim() - 1 - axis))


def xw_plus_b(x: Tensor, weights: Tensor, biases: Tensor, name: str | None = None) -> Tensor:
    """``tf.nn.xw_plus_b``: [batch, in] times [in, out], plus [out]. ``torch.addmm(biases, x, weights)`` in torch.

    >>> xw_plus_b(torch.ones(1, 2), torch.ones(2, 3), torch.ones(3))
    tensor([[3., 3., 3.]])
    """
    return torch.addmm(biases, x, weights)


def relu_layer(x: Tensor, weights: Tensor, biases: Tensor, name: str | None = None) -> Tensor:
    """``tf.nn.relu_layer``: ReLU of :func:`xw_plus_b`.

    >>> relu_layer(-torch.ones(1, 2), torch.ones(2, 3), torch.ones(3))
    tensor([[0., 0., 0.]])
    """
    return torch.relu(xw_plus_b(x, weights, biases))


def dropout(
    x: Tensor,
    keep_prob: Tensor | float | None = None,
    noise_shape: Sequence[int | None] | None = None,
    seed: int | None = None,
    name: str | None = None,
    rate: Tensor | float | None = None,
) -> Tensor:
    """``tf.nn.dropout``: each element is kept with probability ``keep_prob``, and divided by it; in training or not.

    ``torch.nn.functional.dropout`` takes the probability of dropping, and asks ``training``.

    >>> dropout(torch.ones(1000), keep_prob=0.8, noise_shape=[1]).unique().numel()
    1

    Args:
        x: of a floating dtype.
        keep_prob: in (0, 1], a number or a scalar tensor; or ``rate``, of which it is 1 minus.
        noise_shape: which elements fall together: broadcasts to the shape of ``x``.

    Raises:
        ArgumentValueError: a probability outside of its range, or both or none given, or an integer tensor.
        NotImplementedError: a seed: set torch's own, for TensorFlow's numbers are its own.
    """
    not_yet("dropout", seed=seed)
    if rate is None and keep_prob is None:
        raise ArgumentValueError.of("keep_prob", None, "Give keep_prob or rate.")
    if rate is not None and keep_prob is not None:
        raise ArgumentValueError.of(
            "rate", rate, f"It is 1 - keep_prob, and keep_prob={keep_prob!r}: give one of them."
        )
    if not x.is_floating_point():
        raise ArgumentValueError.of("x", x.dtype, "Dropout scales what it keeps: give a floating dtype.")
    keep = 1 - rate if rate is not None else keep_prob
    assert keep is not None
    if not isinstance(keep, Tensor):
        if not 0 < keep <= 1:
            raise ArgumentValueError.of(*_given(keep_prob, rate), "Keep with a probability in (0, 1].")
        if keep == 1:
            return x
        if noise_shape is None:
            return F.dropout(x, 1 - keep)
    shape = list(x.shape) if noise_shape is None else _noise(noise_shape, x)
    kept = torch.rand(shape, dtype=x.dtype, device=x.device) < keep
    return x / keep * kept


def _given(keep_prob: object, rate: object) -> tuple[str, object]:
    return ("rate", rate) if rate is not None else ("keep_prob", keep_prob)


def _noise(noise_shape: Sequence[int | None], x: Tensor) -> list[int]:
    """The shape of the noise; ``None`` in it means the size that the tensor has there."""
    shape, own = list(noise_shape), list(x.shape)[x.dim() - len(noise_shape) :]
    if len(shape) > x.dim() or any(n not in (None, 1, size) for n, size in zip(shape, own, strict=True)):
        mend = f"It broadcasts to the shape of x, {tuple(x.shape)}: give 1 or the same size."
        raise ArgumentValueError.of("noise_shape", noise_shape, mend)
    return [size if n is None else n for n, size in zip(shape, own, strict=True)]


class TopKV2(NamedTuple):
    """What ``top_k`` gives, under TensorFlow's names."""

    values: Tensor
    indices: Tensor


def top_k(input: Tensor, k: int = 1, sorted: bool = True, name: str | None = None) -> TopKV2:
    """``tf.nn.top_k``: the largest of the last axis and where they are, as ``int32``; of equal ones, the first.

    ``torch.topk`` gives ``int64``, and of equal ones any.

    >>> top_k(torch.tensor([1.0, 3.0, 3.0]), 2)
    TopKV2(values=tensor([3., 3.]), indices=tensor([1, 2], dtype=torch.int32))

    Raises:
        ArgumentValueError: more than there are.
    """
    if input.dim() < 1 or not 0 <= k <= input.shape[-1]:
        raise ArgumentValueError.of("k", k, f"There are {input.shape[-1] if input.dim() else 'no'} entries in a row.")
    values, indices = torch.sort(input, dim=-1, descending=True, stable=True)
    return TopKV2(values[..., :k], indices[..., :k].to(torch.int32))


def in_top_k(predictions: Tensor, targets: Tensor, k: int, name: str | None = None) -> Tensor:
    """``tf.nn.in_top_k``: whether fewer than ``k`` classes are predicted to be likelier than the target.

    ``torch.topk`` gives ``k`` classes, of equal ones any; here all that equal the last one are in. A target that is no
    class is not, and none is where a prediction is not finite.

    >>> in_top_k(torch.tensor([[0.2, 0.5, 0.5], [0.9, 0.5, 0.5]]), torch.tensor([2, 2]), 1)
    tensor([ True, False])

    Args:
        predictions: [batch, classes].
        targets: [batch], integers.
    """
    known = (targets >= 0) & (targets < predictions.shape[-1])
    of_target = predictions.gather(-1, torch.where(known, targets, 0).long().unsqueeze(-1))
    likelier = (predictions > of_target).sum(-1)
    return known & (likelier < k) & predictions.isfinite().all(-1)


def l2_loss(t: Tensor, name: str | None = None) -> Tensor:
    """``tf.nn.l2_loss``: half the sum of squares; ``torch.nn.functional.mse_loss`` is a mean, and not halved.

    >>> l2_loss(torch.tensor([3.0, 4.0]))
    tensor(12.5000)
    """
    return t.square().sum() / 2


def softmax(logits: Tensor, axis: int | None = None, name: str | None = None, dim: int | None = None) -> Tensor:
    """``tf.nn.softmax``: over the last axis, unless another is given; torch's wants one.

    >>> softmax(torch.zeros(2))
    tensor([0.5000, 0.5000])
    """
    return torch.softmax(logits, either("axis", axis, "dim", dim, -1))


def log_softmax(logits: Tensor, axis: int | None = None, name: str | None = None, dim: int | None = None) -> Tensor:
    """``tf.nn.log_softmax``: over the last axis, unless another is given.

    >>> log_softmax(torch.zeros(2)).exp()
    tensor([0.5000, 0.5000])
    """
    return torch.log_softmax(logits, either("axis", axis, "dim", dim, -1))
