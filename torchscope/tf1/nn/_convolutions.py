"""Convolutions of ``tf.nn``, on TensorFlow's axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ...errors import ArgumentValueError
from .._axes import either, not_yet
from ._windows import FORMATS, Padding, Pads, Sizes, channels_first, from_torch, pads, refuse_too_small, sizes, to_torch

_CONVOLUTIONS: dict[int, Callable[..., Tensor]] = {1: torch.conv1d, 2: torch.conv2d, 3: torch.conv3d}
_TRANSPOSED: dict[int, Callable[..., Tensor]] = {
    1: torch.conv_transpose1d,
    2: torch.conv_transpose2d,
    3: torch.conv_transpose3d,
}


def conv1d(
    value: Tensor,
    filters: Tensor,
    stride: Sizes,
    padding: Padding,
    use_cudnn_on_gpu: bool | None = None,
    data_format: str | None = None,
    name: str | None = None,
    *,
    dilations: Sizes | None = None,
) -> Tensor:
    """``tf.nn.conv1d``: [batch, width, in] and [window, in, out] to [batch, new_width, out].

    ``torch.nn.functional.conv1d`` has no ``"SAME"`` at a stride, and its ``padding="same"`` puts the element more in
    front where TensorFlow puts it behind.

    >>> conv1d(torch.ones(1, 5, 1), torch.ones(2, 1, 1), 2, "SAME").flatten()
    tensor([2., 2., 1.])

    Args:
        value, filters: of one floating dtype.
        stride, dilations: one, or one for each axis of the image.
        padding: ``"SAME"``, ``"VALID"``, or a pair for each axis of ``value``.
        data_format: ``"NWC"`` or ``"NCW"``.

    Raises:
        ArgumentValueError: shapes, strides or names that TensorFlow refuses.
    """
    return _convolution(1, value, filters, stride, padding, data_format, dilations, "stride")


def conv2d(
    input: Tensor,
    filter: Tensor,
    strides: Sizes,
    padding: Padding,
    use_cudnn_on_gpu: bool = True,
    data_format: str = "NHWC",
    dilations: Sizes | None = None,
    name: str | None = None,
) -> Tensor:
    """``tf.nn.conv2d``: [batch, height, width, in] and [height, width, in, out] to [batch, new_height, new_width, out].

    ``torch.nn.functional.conv2d`` takes other axes, ``[out, in, height, width]`` for the kernel, and pads both sides by
    the same number: at stride 2, ``"SAME"`` is another window there.

    >>> conv2d(torch.ones(1, 4, 4, 3), torch.ones(3, 3, 3, 8), strides=[1, 2, 2, 1], padding="SAME").shape
    torch.Size([1, 2, 2, 8])

    Args:
        input, filter: of one floating dtype; channels may be in groups.
        strides, dilations: one, two (height and width), or four.
        padding: ``"SAME"``, ``"VALID"``, or four pairs.
        data_format: ``"NHWC"`` or ``"NCHW"``.

    Raises:
        ArgumentValueError: shapes, strides or names that TensorFlow refuses.
    """
    return _convolution(2, input, filter, strides, padding, data_format, dilations)


def conv3d(
    input: Tensor,
    filter: Tensor,
    strides: Sizes,
    padding: Padding,
    data_format: str = "NDHWC",
    dilations: Sizes | None = None,
    name: str | None = None,
) -> Tensor:
    """``tf.nn.conv3d``: [batch, depth, height, width, in] and [depth, height, width, in, out]; see :func:`conv2d`.

    >>> conv3d(torch.ones(1, 4, 4, 4, 2), torch.ones(3, 3, 3, 2, 5), strides=[1, 2, 2, 2, 1], padding="SAME").shape
    torch.Size([1, 2, 2, 2, 5])
    """
    return _convolution(3, input, filter, strides, padding, data_format, dilations)


def atrous_conv2d(value: Tensor, filters: Tensor, rate: int, padding: Padding, name: str | None = None) -> Tensor:
    """``tf.nn.atrous_conv2d``: :func:`conv2d` of [batch, height, width, in] with a window that leaves out pixels.

    >>> atrous_conv2d(torch.ones(1, 6, 6, 1), torch.ones(3, 3, 1, 1), 2, "VALID").shape
    torch.Size([1, 2, 2, 1])
    """
    return _convolution(2, value, filters, 1, padding, "NHWC", rate)


def depthwise_conv2d(
    input: Tensor,
    filter: Tensor,
    strides: Sizes,
    padding: Padding,
    rate: Sizes | None = None,
    name: str | None = None,
    data_format: str | None = None,
    dilations: Sizes | None = None,
) -> Tensor:
    """``tf.nn.depthwise_conv2d``: each of the channels by windows of its own.

    [batch, height, width, in] and [height, width, in, multiplier] to [batch, new_height, new_width, in * multiplier].
    In torch it is a convolution of ``in`` groups with the kernel ``[in * multiplier, 1, height, width]``.

    >>> depthwise_conv2d(torch.ones(1, 4, 4, 3), torch.ones(2, 2, 3, 2), [1, 1, 1, 1], "VALID").shape
    torch.Size([1, 3, 3, 6])

    Raises:
        ArgumentValueError: shapes, strides or names that TensorFlow refuses.
    """
    first = channels_first(input, 2, data_format)
    x = to_torch(input, first=first)
    if filter.dim() != 4 or filter.shape[2] != x.shape[1]:
        mend = f"For {x.shape[1]} channels give [height, width, {x.shape[1]}, multiplier]."
        raise ArgumentValueError.of("the shape of the filter", tuple(filter.shape), mend)
    kernel = filter.permute(2, 3, 0, 1).flatten(0, 1).unsqueeze(1)
    rates: Sizes | None = either("rate", rate, "dilations", dilations, None)  # type: ignore[assignment]
    y = _convolved(2, x, kernel, strides, padding, rates, first=first, groups=x.shape[1])
    return from_torch(y, first=first)


def separable_conv2d(
    input: Tensor,
    depthwise_filter: Tensor,
    pointwise_filter: Tensor,
    strides: Sizes,
    padding: Padding,
    rate: Sizes | None = None,
    name: str | None = None,
    data_format: str | None = None,
    dilations: Sizes | None = None,
) -> Tensor:
    """``tf.nn.separable_conv2d``: :func:`depthwise_conv2d`, then [1, 1, in * multiplier, out] over the channels.

    >>> separable_conv2d(torch.ones(1, 4, 4, 3), torch.ones(3, 3, 3, 2), torch.ones(1, 1, 6, 5), 1, "SAME").shape
    torch.Size([1, 4, 4, 5])
    """
    if pointwise_filter.dim() != 4 or pointwise_filter.shape[:2] != (1, 1):
        mend = "Give [1, 1, in * multiplier, out]."
        raise ArgumentValueError.of("the shape of the pointwise filter", tuple(pointwise_filter.shape), mend)
    rates: Sizes | None = either("rate", rate, "dilations", dilations, None)  # type: ignore[assignment]
    y = depthwise_conv2d(input, depthwise_filter, strides, padding, rates, data_format=data_format)
    return conv2d(y, pointwise_filter, 1, "VALID", data_format=data_format or "NHWC")


def conv1d_transpose(
    input: Tensor,
    filters: Tensor,
    output_shape: Sequence[int],
    strides: Sizes,
    padding: str = "SAME",
    data_format: str = "NWC",
    dilations: Sizes | None = None,
    name: str | None = None,
) -> Tensor:
    """``tf.nn.conv1d_transpose``: see :func:`conv2d_transpose`.

    >>> conv1d_transpose(torch.ones(1, 3, 1), torch.ones(2, 4, 1), [1, 6, 4], 2, "SAME").shape
    torch.Size([1, 6, 4])
    """
    not_yet("conv1d_transpose", dilations=dilations)
    return _transposed(1, input, filters, output_shape, strides, padding, data_format)


def conv2d_transpose(
    value: Tensor,
    filter: Tensor,
    output_shape: Sequence[int],
    strides: Sizes,
    padding: str = "SAME",
    data_format: str = "NHWC",
    name: str | None = None,
) -> Tensor:
    """``tf.nn.conv2d_transpose``: the gradient of :func:`conv2d`, with a kernel [height, width, out, in].

    ``torch.nn.functional.conv_transpose2d`` takes its size from the paddings, cuts off the same on both sides, and has
    ``[in, out, height, width]``.

    >>> conv2d_transpose(torch.ones(1, 3, 3, 8), torch.ones(3, 3, 4, 8), [1, 6, 6, 4], [1, 2, 2, 1], "SAME").shape
    torch.Size([1, 6, 6, 4])

    Args:
        value: [batch, height, width, in].
        filter: [height, width, out, in].
        output_shape: [batch, new_height, new_width, out], in the order of ``data_format``.
        strides: one, two or four.
        padding: ``"SAME"`` or ``"VALID"``.
        data_format: ``"NHWC"`` or ``"NCHW"``.

    Raises:
        ArgumentValueError: shapes, strides or names that TensorFlow refuses.
    """
    return _transposed(2, value, filter, output_shape, strides, padding, data_format)


def conv3d_transpose(
    value: Tensor,
    filter: Tensor,
    output_shape: Sequence[int],
    strides: Sizes,
    padding: str = "SAME",
    data_format: str = "NDHWC",
    name: str | None = None,
) -> Tensor:
    """``tf.nn.conv3d_transpose``: see :func:`conv2d_transpose`.

    >>> conv3d_transpose(torch.ones(1, 2, 2, 2, 3), torch.ones(2, 2, 2, 1, 3), [1, 4, 4, 4, 1], 2, "SAME").shape
    torch.Size([1, 4, 4, 4, 1])
    """
    return _transposed(3, value, filter, output_shape, strides, padding, data_format)


def convolution(
    input: Tensor,
    filter: Tensor,
    padding: Padding,
    strides: Sizes | None = None,
    dilation_rate: Sizes | None = None,
    name: str | None = None,
    data_format: str | None = None,
) -> Tensor:
    """``tf.nn.convolution``: :func:`conv1d`, :func:`conv2d` or :func:`conv3d`, by the number of axes.

    >>> convolution(torch.ones(1, 4, 4, 3), torch.ones(3, 3, 3, 8), "SAME").shape
    torch.Size([1, 4, 4, 8])
    """
    rank = input.dim() - 2
    if rank not in FORMATS:
        raise ArgumentValueError.of("the shape of the input", tuple(input.shape), "Give three to five axes.")
    return _convolution(rank, input, filter, 1 if strides is None else strides, padding, data_format, dilation_rate)


def _convolution(
    rank: int,
    value: Tensor,
    kernel: Tensor,
    strides: Sizes,
    padding: Padding,
    data_format: str | None,
    dilations: Sizes | None,
    name: str = "strides",
) -> Tensor:
    first = channels_first(value, rank, data_format)
    x = to_torch(value, first=first)
    channels = x.shape[1]
    if kernel.dim() != rank + 2 or not kernel.shape[-2] or channels % kernel.shape[-2]:
        mend = f"For {channels} channels give [*window, {channels}, out], with {rank} axes of the window."
        raise ArgumentValueError.of("the shape of the filter", tuple(kernel.shape), mend)
    groups = channels // kernel.shape[-2]
    if kernel.shape[-1] % groups:
        mend = f"{channels} channels are {groups} groups of {kernel.shape[-2]}: give a multiple of that as outputs."
        raise ArgumentValueError.of("the shape of the filter", tuple(kernel.shape), mend)
    kernel = kernel.permute(-1, -2, *range(rank))
    return from_torch(
        _convolved(rank, x, kernel, strides, padding, dilations, first=first, groups=groups, name=name), first=first
    )


def _convolved(
    rank: int,
    x: Tensor,
    kernel: Tensor,
    strides: Sizes,
    padding: Padding,
    dilations: Sizes | None,
    *,
    first: bool,
    groups: int,
    name: str = "strides",
) -> Tensor:
    """A convolution of torch, of torch's axes, with TensorFlow's paddings."""
    steps = sizes(name, strides, rank, first=first)
    rates = sizes("dilations", dilations, rank, first=first)
    around = pads(padding, x.shape[2:], kernel.shape[2:], steps, rates, first=first)
    refuse_too_small(x, kernel.shape[2:], rates, around)
    even = around.even()
    inside = around.before if even else 0
    x = x if even else around.put(x, 0)
    if kernel.device.type != "cuda":  # on a CPU, some of torch's convolutions have no gradient for a view
        kernel = kernel.contiguous()
    return _CONVOLUTIONS[rank](x, kernel, None, steps, inside, rates, groups)


def _transposed(
    rank: int,
    value: Tensor,
    kernel: Tensor,
    output_shape: Sequence[int],
    strides: Sizes,
    padding: str,
    data_format: str | None,
) -> Tensor:
    first = channels_first(value, rank, data_format)
    x = to_torch(value, first=first)
    if padding not in ("SAME", "VALID"):
        raise ArgumentValueError.of("padding", padding, "Use 'SAME' or 'VALID'.")
    if kernel.dim() != rank + 2 or kernel.shape[-1] != x.shape[1]:
        mend = f"For {x.shape[1]} channels give [*window, out, {x.shape[1]}], with {rank} axes of the window."
        raise ArgumentValueError.of("the shape of the filter", tuple(kernel.shape), mend)
    steps = sizes("strides", strides, rank, first=first)
    shape = tuple(int(n) for n in output_shape)
    wanted, channels = (shape[2:], shape[1:2]) if first else (shape[1:-1], shape[-1:])
    fits = len(shape) == rank + 2 and shape[0] == x.shape[0] and channels == (kernel.shape[-2],)
    ones = (1,) * rank
    around = pads(padding, wanted, kernel.shape[:rank], steps, ones, first=first) if fits else None
    if around is None or tuple(x.shape[2:]) != _sizes_after(wanted, kernel.shape[:rank], steps, around):
        mend = f"A convolution {padding} of that shape at strides {steps} does not give {tuple(value.shape)}."
        raise ArgumentValueError.of("output_shape", list(shape), mend)
    kernel = kernel.permute(-1, -2, *range(rank)).contiguous()  # as in _convolved; here on a GPU too
    y = _TRANSPOSED[rank](x, kernel, None, steps)
    for axis, (before, size) in enumerate(zip(around.before, wanted, strict=True), 2):
        y = y.narrow(axis, before, min(size, y.shape[axis] - before))
    missing = [size - n for size, n in zip(wanted, y.shape[2:], strict=True)]
    return from_torch(Pads((0,) * rank, tuple(missing)).put(y, 0), first=first)


def _sizes_after(image: Sequence[int], window: Sequence[int], steps: Sequence[int], around: Pads) -> tuple[int, ...]:
    each = zip(image, window, steps, *around, strict=True)
    return tuple((n + before + after - k) // step + 1 for n, k, step, before, after in each)
