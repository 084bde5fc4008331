"""Layers as functions, on torch's axes: each makes its variables under a scope of its own and calls torch.

They are thin: ``torch.nn.functional``, the initializers of :mod:`torchscope.initializers`, and default names that are
counted, ``dense``, ``dense_1``, ...; ``scope=`` gives a name of one's own. For TensorFlow's axes, names and numbers
there is :mod:`torchscope.tf1`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.init import ones_, zeros_

from ._modules.scoped_module import current_module
from ._scopes.get_variable import get_buffer, get_variable
from ._scopes.scope import VariableScope
from ._tools.layer import layer
from ._variables.spec import Initializer
from .errors import ArgumentValueError
from .initializers import random_normal_initializer

__all__ = [
    "attention",
    "batch_norm",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "dense",
    "embedding",
    "group_norm",
    "gru_cell",
    "layer_norm",
    "lstm_cell",
    "rms_norm",
]

Scope = str | VariableScope | None
Sizes = int | Sequence[int]
Padding = Sizes | Literal["same", "valid"]
Past = tuple[Tensor, Tensor]
_small = random_normal_initializer(stddev=0.02)


@layer
def dense(x: Tensor, units: int, *, bias: bool = True, initializer: Initializer = None, scope: Scope = None) -> Tensor:
    """``F.linear``: ``x @ kernel.T + bias``.

    >>> from torchscope import ScopedModule
    >>> model = ScopedModule(lambda x: dense(dense(x, 4).relu(), 2)).build(torch.ones(8, 3))
    >>> [(path, list(v.shape)) for path, v in model.variables.items()][:2]
    [('dense/kernel', [4, 3]), ('dense/bias', [4])]

    Args:
        x: ``[..., features]``.
        units: the size of the last axis of the result.
        bias: whether there is a bias, which begins at zero.
        initializer: of the kernel, ``[units, features]``; Glorot uniform by default, if no scope says otherwise.

    Returns:
        ``[..., units]``.
    """
    kernel = get_variable("kernel", [units, x.shape[-1]], initializer=initializer)
    return F.linear(x, kernel, _bias(units) if bias else None)


def _bias(size: int) -> Tensor:
    return get_variable("bias", [size], initializer=zeros_)


def _sizes(rank: int, sizes: Sizes, argument: str) -> list[int]:
    """A size for each axis of an image.

    Raises:
        ArgumentValueError: there are more or fewer.
    """
    each = [sizes] * rank if isinstance(sizes, int) else list(sizes)
    if len(each) != rank:
        raise ArgumentValueError.of(argument, sizes, f"Give one size, or {rank}.")
    return each


def _convolution(
    rank: int,
    x: Tensor,
    channels: int,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Padding,
    dilation: Sizes,
    groups: int,
    bias: bool,
    initializer: Initializer,
) -> Tensor:
    convolve = (F.conv1d, F.conv2d, F.conv3d)[rank - 1]
    shape = [channels, x.shape[1] // groups, *_sizes(rank, kernel_size, "kernel_size")]
    kernel = get_variable("kernel", shape, initializer=initializer)
    padded = padding if isinstance(padding, str) else _sizes(rank, padding, "padding")
    strides, dilations = _sizes(rank, stride, "stride"), _sizes(rank, dilation, "dilation")
    result: Tensor = convolve(x, kernel, _bias(channels) if bias else None, strides, padded, dilations, groups)
    return result


@layer
def conv1d(
    x: Tensor,
    channels: int,
    kernel_size: Sizes,
    *,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: int = 1,
    bias: bool = True,
    initializer: Initializer = None,
    scope: Scope = None,
) -> Tensor:
    """``F.conv1d`` of ``[batch, channels, width]``; arguments are those of :func:`conv2d`.

    >>> from torchscope import ScopedModule
    >>> ScopedModule(lambda x: conv1d(x, 4, 3, padding=1))(torch.ones(1, 2, 8)).shape
    torch.Size([1, 4, 8])
    """
    return _convolution(1, x, channels, kernel_size, stride, padding, dilation, groups, bias, initializer)


@layer
def conv2d(
    x: Tensor,
    channels: int,
    kernel_size: Sizes,
    *,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: int = 1,
    bias: bool = True,
    initializer: Initializer = None,
    scope: Scope = None,
) -> Tensor:
    """``F.conv2d``.

    >>> from torchscope import ScopedModule
    >>> ScopedModule(lambda x: conv2d(x, 4, 3, padding="same"))(torch.ones(1, 2, 8, 8)).shape
    torch.Size([1, 4, 8, 8])

    Args:
        x: ``[batch, channels, height, width]``.
        channels: how many the result has.
        kernel_size, stride, dilation: an int, or one for each axis of the image.
        padding: likewise, or ``"same"`` or ``"valid"``, as torch has them.
        groups: how many parts the channels are in that do not see one another.
        bias: whether there is a bias, which begins at zero.
        initializer: of the kernel, ``[channels, channels of x / groups, *kernel_size]``.

    Raises:
        ArgumentValueError: more or fewer sizes than axes.
    """
    return _convolution(2, x, channels, kernel_size, stride, padding, dilation, groups, bias, initializer)


@layer
def conv3d(
    x: Tensor,
    channels: int,
    kernel_size: Sizes,
    *,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: int = 1,
    bias: bool = True,
    initializer: Initializer = None,
    scope: Scope = None,
) -> Tensor:
    """``F.conv3d`` of ``[batch, channels, depth, height, width]``; arguments are those of :func:`conv2d`.

    >>> from torchscope import ScopedModule
    >>> ScopedModule(lambda x: conv3d(x, 4, 3))(torch.ones(1, 2, 8, 8, 8)).shape
    torch.Size([1, 4, 6, 6, 6])
    """
    return _convolution(3, x, channels, kernel_size, stride, padding, dilation, groups, bias, initializer)


def _transposed(
    rank: int,
    x: Tensor,
    channels: int,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Sizes,
    output_padding: Sizes,
    bias: bool,
    initializer: Initializer,
) -> Tensor:
    convolve = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[rank - 1]
    shape = [x.shape[1], channels, *_sizes(rank, kernel_size, "kernel_size")]
    kernel = get_variable("kernel", shape, initializer=initializer)
    strides, padded = _sizes(rank, stride, "stride"), _sizes(rank, padding, "padding")
    more = _sizes(rank, output_padding, "output_padding")
    result: Tensor = convolve(x, kernel, _bias(channels) if bias else None, strides, padded, more)
    return result


@layer
def conv_transpose1d(
    x: Tensor,
    channels: int,
    kernel_size: Sizes,
    *,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    bias: bool = True,
    initializer: Initializer = None,
    scope: Scope = None,
) -> Tensor:
    """``F.conv_transpose1d`` of ``[batch, channels, width]``; arguments are those of :func:`conv_transpose2d`.

    >>> from torchscope import ScopedModule
    >>> ScopedModule(lambda x: conv_transpose1d(x, 4, 2, stride=2))(torch.ones(1, 2, 8)).shape
    torch.Size([1, 4, 16])
    """
    return _transposed(1, x, channels, kernel_size, stride, padding, output_padding, bias, initializer)


@layer
def conv_transpose2d(
    x: Tensor,
    channels: int,
    kernel_size: Sizes,
    *,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    bias: bool = True,
    initializer: Initializer = None,
    scope: Scope = None,
) -> Tensor:
    """``F.conv_transpose2d``.

    >>> from torchscope import ScopedModule
    >>> ScopedModule(lambda x: conv_transpose2d(x, 4, 4, stride=2, padding=1))(torch.ones(1, 2, 8, 8)).shape
    torch.Size([1, 4, 16, 16])

    Args:
        x: ``[batch, channels, height, width]``.
        channels: how many the result has.
        kernel_size, stride, padding, output_padding: an int, or one for each axis of the image.
        bias: whether there is a bias, which begins at zero.
        initializer: of the kernel, ``[channels of x, channels, *kernel_size]``.

    Raises:
        ArgumentValueError: more or fewer sizes than axes.
    """
    return _transposed(2, x, channels, kernel_size, stride, padding, output_padding, bias, initializer)


@layer
def conv_transpose3d(
    x: Tensor,
    channels: int,
    kernel_size: Sizes,
    *,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    bias: bool = True,
    initializer: Initializer = None,
    scope: Scope = None,
) -> Tensor:
    """``F.conv_transpose3d`` of ``[batch, channels, depth, height, width]``; arguments as :func:`conv_transpose2d`.

    >>> from torchscope import ScopedModule
    >>> ScopedModule(lambda x: conv_transpose3d(x, 4, 2, stride=2))(torch.ones(1, 2, 4, 4, 4)).shape
    torch.Size([1, 4, 8, 8, 8])
    """
    return _transposed(3, x, channels, kernel_size, stride, padding, output_padding, bias, initializer)


@layer
def embedding(ids: Tensor, rows: int, size: int, *, initializer: Initializer = _small, scope: Scope = None) -> Tensor:
    """``F.embedding``: rows of a table, ``[rows, size]``, which begin normal with a deviation of 0.02.

    >>> from torchscope import ScopedModule
    >>> ScopedModule(lambda ids: embedding(ids, 10, 4))(torch.tensor([[1, 2, 3]])).shape
    torch.Size([1, 3, 4])

    Args:
        ids: integers, ``[...]``.

    Returns:
        ``[..., size]``.
    """
    return F.embedding(ids, get_variable("table", [rows, size], initializer=initializer))


@layer
def layer_norm(x: Tensor, *, eps: float = 1e-5, bias: bool = True, scope: Scope = None) -> Tensor:
    """``F.layer_norm`` over the last axis, with a gain ``gamma`` and a shift ``beta``.

    >>> from torchscope import ScopedModule
    >>> list(ScopedModule(layer_norm).build(torch.ones(2, 3)).variables)
    ['layer_norm/gamma', 'layer_norm/beta']
    """
    size = x.shape[-1]
    gamma = get_variable("gamma", [size], initializer=ones_)
    beta = get_variable("beta", [size], initializer=zeros_) if bias else None
    return F.layer_norm(x, (size,), gamma, beta, eps)


@layer
def rms_norm(x: Tensor, *, eps: float | None = None, scope: Scope = None) -> Tensor:
    """``F.rms_norm`` over the last axis, with a gain ``gamma``.

    >>> from torchscope import ScopedModule
    >>> ScopedModule(rms_norm)(torch.full((1, 2), 3.0)).round().tolist()
    [[1.0, 1.0]]
    """
    return F.rms_norm(x, (x.shape[-1],), get_variable("gamma", [x.shape[-1]], initializer=ones_), eps)


@layer
def group_norm(x: Tensor, groups: int, *, eps: float = 1e-5, scope: Scope = None) -> Tensor:
    """``F.group_norm`` of ``[batch, channels, ...]``, with ``gamma`` and ``beta`` for each channel.

    >>> from torchscope import ScopedModule
    >>> ScopedModule(lambda x: group_norm(x, 2))(torch.ones(1, 4, 8, 8)).shape
    torch.Size([1, 4, 8, 8])
    """
    gamma = get_variable("gamma", [x.shape[1]], initializer=ones_)
    return F.group_norm(x, groups, gamma, get_variable("beta", [x.shape[1]], initializer=zeros_), eps)


@layer
def batch_norm(
    x: Tensor,
    *,
    momentum: float = 0.1,
    eps: float = 1e-5,
    training: bool | None = None,
    scope: Scope = None,
) -> Tensor:
    """``F.batch_norm`` of ``[batch, channels, ...]``, with ``gamma`` and ``beta`` and running statistics as buffers.

    >>> from torchscope import ScopedModule
    >>> model = ScopedModule(batch_norm)
    >>> _ = model(torch.full((2, 3), 5.0))
    >>> [(path, v.tolist()) for path, v in model.variables.items()][2]
    ('batch_norm/mean', [0.5, 0.5, 0.5])

    Args:
        momentum: how much of a batch goes into the running statistics.
        training: whether statistics are the batch's and move the running ones; by default what ``model.train()`` and
            ``model.eval()`` say.
    """
    size = x.shape[1]
    gamma = get_variable("gamma", [size], initializer=ones_)
    beta = get_variable("beta", [size], initializer=zeros_)
    mean, variance = get_buffer("mean", [size], initializer=zeros_), get_buffer("variance", [size], initializer=ones_)
    trains = current_module().training if training is None else training
    return F.batch_norm(x, mean, variance, gamma, beta, trains, momentum, eps)


@layer
def attention(
    x: Tensor,
    heads: int,
    *,
    context: Tensor | None = None,
    past: Past | None = None,
    mask: Tensor | None = None,
    causal: bool = False,
    dropout: float = 0.0,
    bias: bool = True,
    scope: Scope = None,
) -> tuple[Tensor, Past]:
    """``F.scaled_dot_product_attention`` with its four projections, ``query``, ``key``, ``value`` and ``output``.

    >>> from torchscope import ScopedModule
    >>> model = ScopedModule(lambda x, past=None: attention(x, 2, past=past, causal=True)).build(torch.ones(1, 5, 8))
    >>> first, past = model(torch.ones(1, 5, 8))
    >>> one_more, past = model(torch.ones(1, 1, 8), past)
    >>> one_more.shape, past[0].shape
    (torch.Size([1, 1, 8]), torch.Size([1, 2, 6, 4]))

    Args:
        x: ``[batch, time, features]``; ``heads`` divides the features.
        context: ``[batch, other time, other features]``, what keys and values are made of; ``x`` by default.
        past: keys and values of before, which those of now are put behind.
        mask: a bool that says where to look, or floats to add to the scores, of two axes or more; it broadcasts to
            ``[batch, heads, time, time of the keys]``.
        causal: whether nothing looks ahead; also behind a past.
        dropout: the probability of leaving out a weight, where the module trains.

    Returns:
        ``[batch, time, features]``, and keys and values, ``[batch, heads, time of the keys, features / heads]``.

    Raises:
        ArgumentValueError: the heads do not divide the features; or ``causal`` beside a mask.
    """
    batch, time, features = x.shape
    if features % heads:
        raise ArgumentValueError.of("heads", heads, f"Give a divisor of the features, {features}.")
    if causal and mask is not None:
        raise ArgumentValueError.of("causal", causal, "There is a mask already: let it say all.")
    source = x if context is None else context
    query = _split(dense(x, features, bias=bias, scope="query"), heads)
    key = _split(dense(source, features, bias=bias, scope="key"), heads)
    value = _split(dense(source, features, bias=bias, scope="value"), heads)
    if past is not None:
        key, value = torch.cat([past[0], key], 2), torch.cat([past[1], value], 2)
    if causal and past is not None:
        mask = torch.ones(time, key.shape[2], dtype=torch.bool, device=x.device).tril(key.shape[2] - time)
    probability = dropout if current_module().training else 0.0
    seen = F.scaled_dot_product_attention(query, key, value, mask, probability, causal and mask is None)
    return dense(seen.transpose(1, 2).reshape(batch, time, features), features, bias=bias, scope="output"), (key, value)


def _split(x: Tensor, heads: int) -> Tensor:
    return x.view(*x.shape[:2], heads, x.shape[2] // heads).transpose(1, 2)


@layer
def lstm_cell(x: Tensor, state: tuple[Tensor, Tensor], *, scope: Scope = None) -> tuple[Tensor, Tensor]:
    """One step of an LSTM, with the gates and the order of ``torch.nn.LSTMCell`` (input, forget, cell, output).

    >>> from torchscope import ScopedModule
    >>> h, c = ScopedModule(lstm_cell)(torch.ones(1, 3), (torch.zeros(1, 4), torch.zeros(1, 4)))
    >>> h.shape
    torch.Size([1, 4])

    Args:
        x: ``[batch, features]``.
        state: ``(h, c)``, each ``[batch, units]``.

    Returns:
        The new ``(h, c)``. To run over time, get it by one scope with ``reuse``, or by ``make_template``.
    """
    h, c = state
    from_x, from_h = _gates(x, h, 4)
    i, f, g, o = (from_x + from_h).chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


@layer
def gru_cell(x: Tensor, h: Tensor, *, scope: Scope = None) -> Tensor:
    """One step of a GRU, with the gates and the order of ``torch.nn.GRUCell`` (reset, update, new).

    >>> from torchscope import ScopedModule
    >>> ScopedModule(gru_cell)(torch.ones(1, 3), torch.zeros(1, 4)).shape
    torch.Size([1, 4])

    Args:
        x: ``[batch, features]``.
        h: the state, ``[batch, units]``.

    Returns:
        The new state.
    """
    from_x, from_h = _gates(x, h, 3)
    (r, z, n), (hr, hz, hn) = from_x.chunk(3, -1), from_h.chunk(3, -1)
    update = (z + hz).sigmoid()
    return (1 - update) * (n + (r + hr).sigmoid() * hn).tanh() + update * h


def _gates(x: Tensor, h: Tensor, gates: int) -> tuple[Tensor, Tensor]:
    """What all gates of a cell get from the inputs and from the state."""
    units = gates * h.shape[-1]
    from_x = F.linear(x, get_variable("kernel", [units, x.shape[-1]]), _bias(units))
    recurrent_bias = get_variable("recurrent_bias", [units], initializer=zeros_)
    return from_x, F.linear(h, get_variable("recurrent_kernel", [units, h.shape[-1]]), recurrent_bias)
