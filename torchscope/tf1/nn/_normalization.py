"""Moments and normalizations of ``tf.nn``."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import ArgumentValueError
from .._axes import Axes, axes_of, either, not_yet
from ._windows import channels_first

_HALF = (torch.float16, torch.bfloat16)
_LEAST = torch.finfo(torch.float32).tiny  # torch refuses an epsilon of zero


def moments(
    x: Tensor,
    axes: Axes,
    shift: None = None,
    name: str | None = None,
    keep_dims: bool | None = None,
    keepdims: bool | None = None,
) -> tuple[Tensor, Tensor]:
    """``tf.nn.moments``: mean and variance over axes; of half precision, computed in ``float32``.

    ``torch.var`` divides by one element less than there are, unless it is told otherwise.

    >>> moments(torch.tensor([[1.0, 3.0], [2.0, 6.0]]), [0])
    (tensor([1.5000, 4.5000]), tensor([0.2500, 2.2500]))

    Args:
        x: of a floating dtype.
        axes: one or several; ``[]`` gives ``x`` and zeros.
        shift: without effect, as in TensorFlow.
        keep_dims, keepdims: whether the axes stay, with size 1.
    """
    over = axes_of("axes", axes, x.dim())
    keep = bool(either("keep_dims", keep_dims, "keepdims", keepdims, False))
    if not over:
        return x, torch.zeros_like(x)
    wide = x.float() if x.dtype in _HALF else x
    variance, mean = torch.var_mean(wide, over, correction=0, keepdim=keep)
    return mean.to(x.dtype), variance.to(x.dtype)


def weighted_moments(
    x: Tensor,
    axes: Axes,
    frequency_weights: Tensor | float,
    name: str | None = None,
    keep_dims: bool | None = None,
    keepdims: bool | None = None,
) -> tuple[Tensor, Tensor]:
    """``tf.nn.weighted_moments``: :func:`moments` in which each element counts as often as its weight says.

    >>> weighted_moments(torch.tensor([1.0, 4.0]), [0], torch.tensor([2.0, 1.0]))
    (tensor(2.), tensor(2.))

    Args:
        frequency_weights: broadcasts to the shape of ``x``.
    """
    over = axes_of("axes", axes, x.dim())
    keep = bool(either("keep_dims", keep_dims, "keepdims", keepdims, False))
    wide = x.float() if x.dtype in _HALF else x
    weights = torch.as_tensor(frequency_weights, dtype=wide.dtype, device=x.device).expand_as(wide)
    if over:
        total = weights.sum(over, keepdim=True)
        mean = (weights * wide).sum(over, keepdim=True) / total
        variance = (weights * (wide - mean).square()).sum(over, keepdim=True) / total
    else:
        mean, variance = wide, torch.zeros_like(wide)
    if not keep:
        mean, variance = (each.squeeze(over) if over else each for each in (mean, variance))
    return mean.to(x.dtype), variance.to(x.dtype)


def batch_normalization(
    x: Tensor,
    mean: Tensor,
    variance: Tensor,
    offset: Tensor | None,
    scale: Tensor | None,
    variance_epsilon: float,
    name: str | None = None,
) -> Tensor:
    """``tf.nn.batch_normalization``: ``(x - mean) / sqrt(variance + epsilon) * scale + offset``, all broadcast.

    ``torch.nn.functional.batch_norm`` takes its own moments of the batch, and has the channels second.

    >>> two, one, five = torch.tensor(2.0), torch.tensor(1.0), torch.tensor(5.0)
    >>> batch_normalization(torch.tensor([1.0, 3.0]), two, one, None, five, 0.0)
    tensor([-5.,  5.])
    """
    factor = torch.rsqrt(variance + variance_epsilon)
    if scale is not None:
        factor = factor * scale
    shift = -mean * factor if offset is None else offset - mean * factor
    return x * factor.to(x.dtype) + shift.to(x.dtype)


def batch_norm_with_global_normalization(
    t: Tensor | None = None,
    m: Tensor | None = None,
    v: Tensor | None = None,
    beta: Tensor | None = None,
    gamma: Tensor | None = None,
    variance_epsilon: float | None = None,
    scale_after_normalization: bool | None = None,
    name: str | None = None,
    input: Tensor | None = None,
    mean: Tensor | None = None,
    variance: Tensor | None = None,
) -> Tensor:
    """``tf.nn.batch_norm_with_global_normalization``: :func:`batch_normalization`, of which the scale may be left out.

    >>> one, two = torch.ones(1), 2 * torch.ones(1)
    >>> batch_norm_with_global_normalization(two, one, one, one, two, 0.0, True)
    tensor([3.])
    """
    x = either("t", t, "input", input, None)
    center, spread = either("m", m, "mean", mean, None), either("v", v, "variance", variance, None)
    for name_, each in (("t", x), ("m", center), ("v", spread), ("beta", beta), ("gamma", gamma)):
        if not isinstance(each, Tensor):
            raise ArgumentValueError.of(name_, each, "Give a tensor.")
    scale = gamma if scale_after_normalization else None
    return batch_normalization(x, center, spread, beta, scale, variance_epsilon or 0.0)  # type: ignore[arg-type]


def fused_batch_norm(
    x: Tensor,
    scale: Tensor,
    offset: Tensor,
    mean: Tensor | None = None,
    variance: Tensor | None = None,
    epsilon: float = 0.001,
    data_format: str = "NHWC",
    is_training: bool = True,
    name: str | None = None,
    exponential_avg_factor: float = 1.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """``tf.nn.fused_batch_norm``: an image normalized by its own moments or by given ones, and those moments.

    The variance that is returned in training has one element less in its divisor, as torch's running variance has.

    >>> y, mean, variance = fused_batch_norm(torch.tensor([1.0, 3.0]).view(2, 1, 1, 1), torch.ones(1), torch.zeros(1))
    >>> y.flatten(), mean, variance
    (tensor([-0.9995,  0.9995]), tensor([2.]), tensor([2.]))

    Args:
        x: [batch, height, width, channels], or the order of ``data_format``.
        scale, offset, mean, variance: [channels].
        data_format: ``"NHWC"`` or ``"NCHW"``.

    Returns:
        The image, mean and variance; no gradient goes through the latter two, as in TensorFlow.

    Raises:
        ArgumentValueError: moments are missing where they are used, or another number of axes.
    """
    if exponential_avg_factor != 1.0:
        not_yet("fused_batch_norm", exponential_avg_factor=exponential_avg_factor)
    first = channels_first(x, 2, data_format)
    if is_training:
        return by_own_moments(x, scale, offset, epsilon, axis=1 if first else -1)[:3]
    if mean is None or variance is None:
        raise ArgumentValueError.of("is_training", is_training, "Without training, give mean and variance.")
    return (
        by_moments(x, mean, variance, scale, offset, epsilon, axis=1 if first else -1),
        mean,
        variance,
    )


def by_own_moments(
    x: Tensor, scale: Tensor | None, offset: Tensor | None, epsilon: float, *, axis: int
) -> tuple[Tensor, Tensor, Tensor, int]:
    """A tensor normalized by moments over all axes but one; mean, unbiased variance, and of how many elements."""
    image = _as_image(x, axis)
    channels = image.shape[1]
    count = image.numel() // max(channels, 1)
    epsilon = max(epsilon, _LEAST)
    dtype = torch.float32 if x.dtype in _HALF else x.dtype
    mean, variance = (torch.zeros(channels, dtype=dtype, device=x.device) for _ in range(2))
    if count > 1:
        y = F.batch_norm(image, mean, variance, scale, offset, True, 1.0, epsilon)
        return _as_it_was(y, x, axis), mean, variance, count
    # Of one element, or none, torch's function refuses to take moments.
    mean = image.detach().flatten().to(dtype) if count else mean
    zero = image - image
    y = zero if scale is None else zero * _along(scale, image).to(x.dtype)
    y = y if offset is None else y + _along(offset, image).to(x.dtype)
    return _as_it_was(y, x, axis), mean, variance, count


def by_moments(
    x: Tensor,
    mean: Tensor,
    variance: Tensor,
    scale: Tensor | None,
    offset: Tensor | None,
    epsilon: float,
    *,
    axis: int,
) -> Tensor:
    """A tensor normalized by given moments of one axis, to which no gradient goes."""
    y = F.batch_norm(
        _as_image(x, axis), mean.detach(), variance.detach(), scale, offset, False, 0.0, max(epsilon, _LEAST)
    )
    return _as_it_was(y, x, axis)


def _as_image(x: Tensor, axis: int) -> Tensor:
    """A view with the axis second; of a last axis a flat image, which torch is fast at where channels lie last."""
    if axis in (-1, x.dim() - 1) and x.dim() != 4:
        return x.reshape(1, x.shape[:-1].numel(), 1, x.shape[-1]).movedim(-1, 1)
    return x.movedim(axis, 1)


def _as_it_was(y: Tensor, x: Tensor, axis: int) -> Tensor:
    if axis in (-1, x.dim() - 1) and x.dim() != 4:
        return y.movedim(1, -1).reshape(x.shape)
    return y.movedim(1, axis)


def _along(values: Tensor, image: Tensor) -> Tensor:
    return values.view(1, -1, *[1] * (image.dim() - 2))


def l2_normalize(
    x: Tensor, axis: Axes = None, epsilon: float = 1e-12, name: str | None = None, dim: Axes = None
) -> Tensor:
    """``tf.nn.l2_normalize``: ``x / sqrt(max(sum(x ** 2), epsilon))`` over axes; without any, over all.

    ``torch.nn.functional.normalize`` has its epsilon for the norm, 1e-12, and not for its square, and has axis 1.

    >>> l2_normalize(torch.tensor([[3.0, 4.0], [0.0, 0.0]]), 1)
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    given = either("axis", axis, "dim", dim, None)
    over = axes_of("axis", given, x.dim())  # type: ignore[arg-type]
    total = x.square().sum(over, keepdim=True) if over else x.square()
    return x * torch.rsqrt(total.clamp(min=epsilon))


def local_response_normalization(
    input: Tensor,
    depth_radius: int = 5,
    bias: float = 1.0,
    alpha: float = 1.0,
    beta: float = 0.5,
    name: str | None = None,
) -> Tensor:
    """``tf.nn.lrn``: ``x / (bias + alpha * s) ** beta``, ``s`` the sum of squares of ``2 * depth_radius + 1`` channels.

    ``torch.nn.functional.local_response_norm`` divides ``alpha`` by the number of channels that it sums, counts that
    number and not a radius, and has other defaults.

    >>> lrn(torch.ones(1, 1, 1, 3), depth_radius=1, beta=1.0).flatten()
    tensor([0.3333, 0.2500, 0.3333])

    Args:
        input: [batch, height, width, channels].

    Raises:
        ArgumentValueError: not four axes.
    """
    channels_first(input, 2, "NHWC")
    width = 2 * depth_radius + 1
    squares = F.pad(input.square(), [depth_radius, depth_radius])
    total = torch.stack([squares.narrow(-1, n, input.shape[-1]) for n in range(width)]).sum(0)
    return input * (bias + alpha * total).pow(-beta)


lrn = local_response_normalization
