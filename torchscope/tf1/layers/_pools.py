"""Pools of ``tf.layers``."""

from __future__ import annotations

from torch import Tensor

from ..nn._pools import pool
from ..nn._windows import Sizes
from ._convolutions import Window


def pooled(
    kind: str, rank: int, inputs: Tensor, size: Sizes, strides: Sizes, padding: str, data_format: str | None
) -> Tensor:
    """The largest or the mean of each window, by the names that layers have for orders of axes."""
    window = Window.of(rank, size, strides, padding, data_format)
    window.channels(inputs)
    return pool(inputs, window.size, kind, window.padding, None, window.strides, data_format=window.data_format)


def average_pooling1d(
    inputs: Tensor,
    pool_size: Sizes,
    strides: Sizes,
    padding: str = "valid",
    data_format: str = "channels_last",
    name: str | None = None,
) -> Tensor:
    """``tf.layers.average_pooling1d``: of [batch, width, channels], or with channels first.

    >>> import torch
    >>> average_pooling1d(torch.ones(1, 4, 2), 2, 2).shape
    torch.Size([1, 2, 2])
    """
    return pooled("AVG", 1, inputs, pool_size, strides, padding, data_format)


def average_pooling2d(
    inputs: Tensor,
    pool_size: Sizes,
    strides: Sizes,
    padding: str = "valid",
    data_format: str = "channels_last",
    name: str | None = None,
) -> Tensor:
    """``tf.layers.average_pooling2d``: of [batch, height, width, channels], or with channels first.

    >>> import torch
    >>> average_pooling2d(torch.ones(1, 4, 4, 2), 2, 2).shape
    torch.Size([1, 2, 2, 2])
    """
    return pooled("AVG", 2, inputs, pool_size, strides, padding, data_format)


def average_pooling3d(
    inputs: Tensor,
    pool_size: Sizes,
    strides: Sizes,
    padding: str = "valid",
    data_format: str = "channels_last",
    name: str | None = None,
) -> Tensor:
    """``tf.layers.average_pooling3d``: of [batch, depth, height, width, channels], or with channels first.

    >>> import torch
    >>> average_pooling3d(torch.ones(1, 4, 4, 4, 2), 2, 2).shape
    torch.Size([1, 2, 2, 2, 2])
    """
    return pooled("AVG", 3, inputs, pool_size, strides, padding, data_format)


def max_pooling1d(
    inputs: Tensor,
    pool_size: Sizes,
    strides: Sizes,
    padding: str = "valid",
    data_format: str = "channels_last",
    name: str | None = None,
) -> Tensor:
    """``tf.layers.max_pooling1d``: of [batch, width, channels], or with channels first.

    >>> import torch
    >>> max_pooling1d(torch.ones(1, 4, 2), 2, 2).shape
    torch.Size([1, 2, 2])
    """
    return pooled("MAX", 1, inputs, pool_size, strides, padding, data_format)


def max_pooling2d(
    inputs: Tensor,
    pool_size: Sizes,
    strides: Sizes,
    padding: str = "valid",
    data_format: str = "channels_last",
    name: str | None = None,
) -> Tensor:
    """``tf.layers.max_pooling2d``: of [batch, height, width, channels], or with channels first.

    >>> import torch
    >>> max_pooling2d(torch.ones(1, 4, 4, 2), 2, 2).shape
    torch.Size([1, 2, 2, 2])
    """
    return pooled("MAX", 2, inputs, pool_size, strides, padding, data_format)


def max_pooling3d(
    inputs: Tensor,
    pool_size: Sizes,
    strides: Sizes,
    padding: str = "valid",
    data_format: str = "channels_last",
    name: str | None = None,
) -> Tensor:
    """``tf.layers.max_pooling3d``: of [batch, depth, height, width, channels], or with channels first.

    >>> import torch
    >>> max_pooling3d(torch.ones(1, 4, 4, 4, 2), 2, 2).shape
    torch.Size([1, 2, 2, 2, 2])
    """
    return pooled("MAX", 3, inputs, pool_size, strides, padding, data_format)
