"""Blocks of pixels as channels, and windows as rows."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from ..errors import ArgumentValueError
from .nn._windows import channels_first, from_torch, pads, sizes, to_torch


def space_to_depth(input: Tensor, block_size: int, name: str | None = None, data_format: str = "NHWC") -> Tensor:
    """``tf.space_to_depth``: blocks of pixels as channels, the block's rows outermost.

    ``torch.nn.functional.pixel_unshuffle`` has the channels outermost.

    >>> import torch
    >>> space_to_depth(torch.arange(8).view(1, 2, 2, 2), 2).flatten()
    tensor([0, 1, 2, 3, 4, 5, 6, 7])

    Raises:
        ArgumentValueError: a size that the block does not divide.
    """
    first = channels_first(input, 2, data_format)
    x = input.movedim(1, -1) if first else input
    batch, height, width, channels = x.shape
    if block_size < 2 or height % block_size or width % block_size:
        raise ArgumentValueError.of("block_size", block_size, f"It is at least 2 and divides {height} and {width}.")
    x = x.reshape(batch, height // block_size, block_size, width // block_size, block_size, channels)
    y = x.permute(0, 1, 3, 2, 4, 5).flatten(3)
    return y.movedim(-1, 1) if first else y


def depth_to_space(input: Tensor, block_size: int, name: str | None = None, data_format: str = "NHWC") -> Tensor:
    """``tf.depth_to_space``: channels as blocks of pixels, the reverse of :func:`space_to_depth`.

    ``torch.nn.functional.pixel_shuffle`` has the channels outermost.

    >>> import torch
    >>> depth_to_space(torch.arange(8).view(1, 1, 1, 8), 2).shape
    torch.Size([1, 2, 2, 2])

    Raises:
        ArgumentValueError: channels that are no multiple of a block.
    """
    first = channels_first(input, 2, data_format)
    x = input.movedim(1, -1) if first else input
    batch, height, width, channels = x.shape
    if block_size < 2 or channels % block_size**2:
        mend = f"It is at least 2, and its square divides the {channels} channels."
        raise ArgumentValueError.of("block_size", block_size, mend)
    x = x.reshape(batch, height, width, block_size, block_size, -1)
    y = x.permute(0, 1, 3, 2, 4, 5).reshape(batch, height * block_size, width * block_size, -1)
    return y.movedim(-1, 1) if first else y


def extract_image_patches(
    images: Tensor,
    ksizes: Sequence[int],
    strides: Sequence[int],
    rates: Sequence[int],
    padding: str,
    name: str | None = None,
) -> Tensor:
    """``tf.extract_image_patches``: each window as one row of channels, its pixels outermost.

    ``torch.nn.functional.unfold`` has the channels outermost, and no ``SAME``.

    >>> import torch
    >>> extract_image_patches(torch.ones(1, 4, 4, 2), [1, 2, 2, 1], [1, 2, 2, 1], [1, 1, 1, 1], "VALID").shape
    torch.Size([1, 2, 2, 8])
    """
    channels_first(images, 2, "NHWC")
    window, steps, each = (
        sizes(label, given, 2, first=False)
        for label, given in (("ksizes", ksizes), ("strides", strides), ("rates", rates))
    )
    x = to_torch(images, first=False)
    around = pads(padding, x.shape[2:], window, steps, each, first=False)
    x = around.put(x, 0)
    rows = F.unfold(x, window, dilation=each, stride=steps)
    new = [(n - (k - 1) * r - 1) // s + 1 for n, k, r, s in zip(x.shape[2:], window, each, steps, strict=True)]
    y = rows.view(x.shape[0], x.shape[1], -1, *new).transpose(1, 2).flatten(1, 2)
    return from_torch(y, first=False)
