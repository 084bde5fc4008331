"""Arithmetic of ``tf`` that is another one in torch: integers, ties, axes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import ArgumentValueError
from ._axes import Axes, axes_of, axis_of, either


def reduce_mean(
    input_tensor: Tensor,
    axis: Axes = None,
    keepdims: bool | None = None,
    name: str | None = None,
    reduction_indices: Axes = None,
    keep_dims: bool | None = None,
) -> Tensor:
    """``tf.reduce_mean``: of integers too, as an integer that is cut off; over no axis, ``x`` itself.

    ``torch.mean`` refuses integers, and takes an empty list for all axes.

    >>> reduce_mean(torch.tensor([[1, 2], [4, 8]]), 0)
    tensor([2, 5])

    Args:
        axis: one or several; all by default.
    """
    given = either("axis", axis, "reduction_indices", reduction_indices, None)
    over = axes_of("axis", given, input_tensor.dim())  # type: ignore[arg-type]
    keep = bool(either("keepdims", keepdims, "keep_dims", keep_dims, False))
    if not over:
        return input_tensor
    if input_tensor.is_floating_point() or input_tensor.is_complex():
        return input_tensor.mean(over, keepdim=keep)
    total = input_tensor.sum(over, keepdim=keep, dtype=torch.int64)
    count = math.prod(input_tensor.shape[each] for each in over)
    return torch.div(total, count, rounding_mode="trunc").to(input_tensor.dtype)


def div(x: Tensor | float, y: Tensor | float, name: str | None = None) -> Tensor | float:
    """``tf.div``: as Python 2 divides: integers to the integer below. ``x / y`` gives floats in torch.

    >>> div(torch.tensor([7, -7]), 2), div(7, 2)
    (tensor([ 3, -4]), 3)
    """
    if not isinstance(x, Tensor) and not isinstance(y, Tensor):
        return x // y if isinstance(x, int) and isinstance(y, int) else x / y
    x = torch.as_tensor(x)
    whole = not x.is_floating_point() and not (isinstance(y, Tensor) and y.is_floating_point())
    return torch.div(x, y, rounding_mode="floor" if whole and not isinstance(y, float) else None)


def argmax(
    input: Tensor,
    axis: int | None = None,
    name: str | None = None,
    dimension: int | None = None,
    output_type: torch.dtype = torch.int64,
) -> Tensor:
    """``tf.argmax``: along the first axis by default; of equal ones the first, where ``torch.argmax`` gives any.

    >>> argmax(torch.tensor([1.0, 3.0, 3.0]))
    tensor(1)
    """
    where = axis_of("axis", int(either("axis", axis, "dimension", dimension, 0)), input.dim())
    known = input.nan_to_num(float("-inf"), float("inf"), float("-inf")) if input.is_floating_point() else input
    return _first(known == known.amax(where, keepdim=True), where, output_type)


def argmin(
    input: Tensor,
    axis: int | None = None,
    name: str | None = None,
    dimension: int | None = None,
    output_type: torch.dtype = torch.int64,
) -> Tensor:
    """``tf.argmin``: along the first axis by default; of equal ones the first.

    >>> argmin(torch.tensor([1.0, 1.0, 3.0]))
    tensor(0)
    """
    where = axis_of("axis", int(either("axis", axis, "dimension", dimension, 0)), input.dim())
    known = input.nan_to_num(float("inf"), float("inf"), float("-inf")) if input.is_floating_point() else input
    return _first(known == known.amin(where, keepdim=True), where, output_type)


def _first(there: Tensor, axis: int, dtype: torch.dtype) -> Tensor:
    """Where the first ``True`` of each row is; 0 without one."""
    size = there.shape[axis]
    shape = [size if each == axis else 1 for each in range(there.dim())]
    place = torch.arange(size, device=there.device).view(shape)
    first = torch.where(there, place, size).amin(axis)
    return torch.where(first == size, 0, first).to(dtype)


def cumsum(x: Tensor, axis: int = 0, exclusive: bool = False, reverse: bool = False, name: str | None = None) -> Tensor:
    """``tf.cumsum``: along the first axis by default, without the element itself, or from behind.

    >>> cumsum(torch.tensor([1, 2, 3]), exclusive=True)
    tensor([0, 1, 3])
    """
    where = axis_of("axis", axis, x.dim())
    turned = x.flip(where) if reverse else x
    if exclusive and x.shape[where]:
        zero = torch.zeros_like(turned.narrow(where, 0, 1))
        turned = torch.cat([zero, turned.narrow(where, 0, x.shape[where] - 1)], where)
    total = turned.cumsum(where, dtype=x.dtype)
    return total.flip(where) if reverse else total


def to_int32(x: Tensor, name: str = "ToInt32") -> Tensor:
    """``tf.to_int32``: ``x.int()``, cut off towards zero.

    >>> to_int32(torch.tensor([-1.7]))
    tensor([-1], dtype=torch.int32)
    """
    return x.int()


def segment_sum(data: Tensor, segment_ids: Tensor, name: str | None = None) -> Tensor:
    """``tf.segment_sum``: the sum of the rows of each segment; as many as the last one says.

    >>> segment_sum(torch.tensor([1, 2, 3]), torch.tensor([0, 0, 2]))
    tensor([3, 0, 3])
    """
    return unsorted_segment_sum(data, segment_ids, _segments(segment_ids))


def _segments(segment_ids: Tensor) -> int:
    """How many segments there are."""
    if (segment_ids[1:] < segment_ids[:-1]).any():
        raise ArgumentValueError.of("segment_ids", segment_ids.tolist(), "Sort them, or use unsorted_segment_sum.")
    return int(segment_ids[-1]) + 1 if len(segment_ids) else 0


def segment_mean(data: Tensor, segment_ids: Tensor, name: str | None = None) -> Tensor:
    """``tf.segment_mean``: the mean of the rows of each segment, and zero of none.

    >>> segment_mean(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0, 0, 2]))
    tensor([1.5000, 0.0000, 3.0000])
    """
    count = segment_sum(torch.ones_like(segment_ids), segment_ids).clamp(min=1)
    total = segment_sum(data, segment_ids)
    mode = None if data.is_floating_point() else "trunc"
    return torch.div(total, count.view(-1, *[1] * (data.dim() - 1)).to(data.dtype), rounding_mode=mode)


def unsorted_segment_sum(data: Tensor, segment_ids: Tensor, num_segments: int, name: str | None = None) -> Tensor:
    """``tf.unsorted_segment_sum``: the same in any order; rows of negative segments are left out.

    >>> unsorted_segment_sum(torch.tensor([1, 2, 3]), torch.tensor([1, -1, 1]), 2)
    tensor([0, 4])

    Args:
        data: ``[*ids, *row]``.
        segment_ids: ``[*ids]``, integers below ``num_segments``.
    """
    rows = data.reshape(-1, *data.shape[segment_ids.dim() :])
    ids = segment_ids.reshape(-1).long()
    out = data.new_zeros(num_segments + 1, *rows.shape[1:])
    return out.index_add(0, torch.where(ids < 0, num_segments, ids), rows)[:num_segments]


def global_norm(t_list: Sequence[Tensor | None], name: str | None = None) -> Tensor:
    """``tf.global_norm``: the norm of all tensors as one vector; ``None`` counts as nothing.

    >>> global_norm([torch.tensor([3.0]), None, torch.tensor([4.0])])
    tensor(5.)
    """
    norms = [torch.linalg.vector_norm(each) for each in t_list if each is not None]
    return torch.linalg.vector_norm(torch.stack(norms)) if norms else torch.tensor(0.0)


def clip_by_global_norm(
    t_list: Sequence[Tensor | None], clip_norm: Tensor | float, use_norm: Tensor | None = None, name: str | None = None
) -> tuple[list[Tensor | None], Tensor]:
    """``tf.clip_by_global_norm``: the tensors, made shorter together, and their norm before.

    ``torch.nn.utils.clip_grad_norm_`` changes gradients in place, and adds 1e-6 to the norm.

    >>> clip_by_global_norm([torch.tensor([3.0]), torch.tensor([4.0])], 1.0)
    ([tensor([0.6000]), tensor([0.8000])], tensor(5.))
    """
    norm = global_norm(t_list) if use_norm is None else use_norm
    limit = torch.as_tensor(clip_norm, dtype=norm.dtype, device=norm.device)
    scale = limit / torch.maximum(norm, limit) + (norm - norm)  # not a number, if the norm is none or infinite
    return [None if each is None else each * scale for each in t_list], norm


def maximum(x: Tensor | float, y: Tensor | float, name: str | None = None) -> Tensor:
    """``tf.maximum``, whose gradient is all for ``x`` where both are equal; ``torch.maximum`` gives half to each.

    >>> x = torch.tensor(0.0, requires_grad=True)
    >>> maximum(x, 0.2 * x).backward()
    >>> x.grad
    tensor(1.)
    """
    x, y = _two(x, y)
    return torch.where((x >= y) | (x != x), x, y)


def minimum(x: Tensor | float, y: Tensor | float, name: str | None = None) -> Tensor:
    """``tf.minimum``, whose gradient is all for ``x`` where both are equal; ``torch.minimum`` gives half to each.

    >>> minimum(torch.tensor([1.0, 3.0]), 2.0)
    tensor([1., 2.])
    """
    x, y = _two(x, y)
    return torch.where((x <= y) | (x != x), x, y)


def _two(x: Tensor | float, y: Tensor | float) -> tuple[Tensor, Tensor]:
    """Both as tensors; a number has the dtype of the other one."""
    like = x if isinstance(x, Tensor) else y
    if isinstance(like, Tensor):
        x, y = (torch.as_tensor(each, dtype=like.dtype, device=like.device) for each in (x, y))
    return torch.as_tensor(x), torch.as_tensor(y)


def clip_by_norm(t: Tensor, clip_norm: Tensor | float, axes: Axes = None, name: str | None = None) -> Tensor:
    """``tf.clip_by_norm``: a tensor made shorter, if it is longer than ``clip_norm``; by axes, if some are given.

    >>> clip_by_norm(torch.tensor([3.0, 4.0]), 1.0)
    tensor([0.6000, 0.8000])
    """
    over = axes_of("axes", axes, t.dim())
    squares = t.square().sum(over, keepdim=True)
    norm = torch.where(squares > 0, torch.where(squares > 0, squares, torch.ones_like(squares)).sqrt(), squares)
    limit = torch.as_tensor(clip_norm, dtype=t.dtype, device=t.device)
    return t * limit / maximum(norm, limit)
