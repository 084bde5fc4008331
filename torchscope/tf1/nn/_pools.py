"""Pools of ``tf.nn``, on TensorFlow's axes."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import ArgumentTypeError, ArgumentValueError
from .._axes import not_yet
from ._windows import FORMATS, Padding, Pads, Sizes, channels_first, from_torch, pads, refuse_too_small, sizes, to_torch

_MAX_POOLS: dict[int, Callable[..., Tensor]] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_AVERAGES: dict[int, Callable[..., Tensor]] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def max_pool(
    value: Tensor,
    ksize: Sizes,
    strides: Sizes,
    padding: Padding,
    data_format: str = "NHWC",
    name: str | None = None,
) -> Tensor:
    """``tf.nn.max_pool``: of [batch, height, width, channels]; what ``"SAME"`` puts around is never the largest.

    ``torch.nn.functional.max_pool2d`` pads both sides by the same number.

    >>> max_pool(-torch.ones(1, 5, 5, 1), ksize=[1, 3, 3, 1], strides=[1, 2, 2, 1], padding="SAME").flatten().unique()
    tensor([-1.])

    Raises:
        ArgumentValueError: shapes, strides or names that TensorFlow refuses.
    """
    return _max_pool(2, value, ksize, strides, padding, data_format)


def max_pool3d(
    input: Tensor,
    ksize: Sizes,
    strides: Sizes,
    padding: Padding,
    data_format: str = "NDHWC",
    name: str | None = None,
) -> Tensor:
    """``tf.nn.max_pool3d``: see :func:`max_pool`.

    >>> max_pool3d(torch.ones(1, 4, 4, 4, 2), 2, 2, "SAME").shape
    torch.Size([1, 2, 2, 2, 2])
    """
    return _max_pool(3, input, ksize, strides, padding, data_format)


def avg_pool(
    value: Tensor,
    ksize: Sizes,
    strides: Sizes,
    padding: str,
    data_format: str = "NHWC",
    name: str | None = None,
) -> Tensor:
    """``tf.nn.avg_pool``: of [batch, height, width, channels]; what ``"SAME"`` puts around does not count.

    ``torch.nn.functional.avg_pool2d`` counts what it pads, unless it is told otherwise, and pads both sides alike.

    >>> avg_pool(torch.ones(1, 5, 5, 1), ksize=2, strides=2, padding="SAME").flatten().unique()
    tensor([1.])

    Raises:
        ArgumentValueError: shapes, strides or names that TensorFlow refuses.
    """
    return _average(2, value, ksize, strides, padding, data_format)


def avg_pool3d(
    input: Tensor,
    ksize: Sizes,
    strides: Sizes,
    padding: str,
    data_format: str = "NDHWC",
    name: str | None = None,
) -> Tensor:
    """``tf.nn.avg_pool3d``: see :func:`avg_pool`.

    >>> avg_pool3d(torch.ones(1, 4, 4, 4, 2), 2, 2, "SAME").shape
    torch.Size([1, 2, 2, 2, 2])
    """
    return _average(3, input, ksize, strides, padding, data_format)


def pool(
    input: Tensor,
    window_shape: Sizes,
    pooling_type: str,
    padding: str,
    dilation_rate: Sizes | None = None,
    strides: Sizes | None = None,
    name: str | None = None,
    data_format: str | None = None,
) -> Tensor:
    """``tf.nn.pool``: the largest or the mean of each window, in one to three dimensions, also at a rate.

    >>> pool(torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1), [2], "MAX", "VALID").flatten()
    tensor([2., 3.])

    Args:
        window_shape, strides, dilation_rate: one, or one for each axis of the image.
        pooling_type: ``"MAX"`` or ``"AVG"``.

    Raises:
        ArgumentValueError: shapes, strides or names that TensorFlow refuses.
        NotImplementedError: averages at a rate.
    """
    rank = input.dim() - 2
    if rank not in FORMATS:
        raise ArgumentValueError.of("the shape of the input", tuple(input.shape), "Give three to five axes.")
    steps = 1 if strides is None else strides
    if pooling_type == "MAX":
        return _max_pool(rank, input, window_shape, steps, padding, data_format, dilation_rate)
    if pooling_type != "AVG":
        raise ArgumentValueError.of("pooling_type", pooling_type, "Use 'MAX' or 'AVG'.")
    if dilation_rate is not None and set(sizes("dilation_rate", dilation_rate, rank, first=False)) != {1}:
        not_yet("pool", dilation_rate=dilation_rate)
    return _average(rank, input, window_shape, steps, padding, data_format)


def _pooled(
    rank: int,
    value: Tensor,
    ksize: Sizes,
    strides: Sizes,
    padding: Padding,
    data_format: str | None,
    rate: Sizes | None = None,
) -> tuple[Tensor, bool, tuple[tuple[int, ...], ...], Pads]:
    """A tensor in torch's axes, whether it came so, its windows, strides and rates, and what is put around."""
    first = channels_first(value, rank, data_format)
    x = to_torch(value, first=first)
    window, steps = sizes("ksize", ksize, rank, first=first), sizes("strides", strides, rank, first=first)
    rates = sizes("dilation_rate", rate, rank, first=first)
    around = pads(padding, x.shape[2:], window, steps, rates, first=first)
    refuse_too_small(x, window, rates, around)
    return x, first, (window, steps, rates), around


def _max_pool(
    rank: int,
    value: Tensor,
    ksize: Sizes,
    strides: Sizes,
    padding: Padding,
    data_format: str | None,
    rate: Sizes | None = None,
) -> Tensor:
    x, first, (window, steps, rates), around = _pooled(rank, value, ksize, strides, padding, data_format, rate)
    if around.torchs_pools_take(window):
        return from_torch(_MAX_POOLS[rank](x, window, steps, around.before, rates), first=first)
    least = -math.inf if x.is_floating_point() else torch.iinfo(x.dtype).min
    return from_torch(_MAX_POOLS[rank](around.put(x, least), window, steps, 0, rates), first=first)


def _average(rank: int, value: Tensor, ksize: Sizes, strides: Sizes, padding: str, data_format: str | None) -> Tensor:
    if not isinstance(padding, str):
        raise ArgumentTypeError.of("padding", padding, "Use 'SAME' or 'VALID'.")
    x, first, (window, steps, _), around = _pooled(rank, value, ksize, strides, padding, data_format)
    pool = _AVERAGES[rank]
    if rank < 3 and around.torchs_pools_take(window):  # in three dimensions torch forgets that it pads
        return from_torch(pool(x, window, steps, around.before, count_include_pad=False), first=first)
    counted = pool(around.put(torch.ones_like(x[:1, :1]), 0), window, steps)
    return from_torch(pool(around.put(x, 0), window, steps) / counted, first=first)
