"""Arrays of ``tf`` that torch cuts, joins and picks in another way."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ArgumentTypeError, ArgumentValueError
from ._axes import axis_of, either


def pad(
    tensor: Tensor,
    paddings: Sequence[Sequence[int]] | Tensor,
    mode: str = "CONSTANT",
    name: str | None = None,
    constant_values: float = 0,
) -> Tensor:
    """``tf.pad``: a pair of numbers for each axis, from the first one on; torch has them from the last one on.

    >>> pad(torch.tensor([[1, 2, 3]]), [[0, 0], [2, 1]], "REFLECT")
    tensor([[3, 2, 1, 2, 3, 2]])

    Args:
        paddings: [axes, 2], how many are put before and behind.
        mode: ``"CONSTANT"``, ``"REFLECT"``, without the border itself, or ``"SYMMETRIC"``, with it; in any case.

    Raises:
        ArgumentValueError: another number of pairs, negative ones, more than there is to reflect, or no such mode.
    """
    pairs = [[int(n) for n in pair] for pair in (paddings.tolist() if isinstance(paddings, Tensor) else paddings)]
    if len(pairs) != tensor.dim() or any(len(pair) != 2 or min(pair) < 0 for pair in pairs):
        raise ArgumentValueError.of("paddings", pairs, f"Give {tensor.dim()} pairs of numbers, none negative.")
    kind = mode.upper()
    if kind == "CONSTANT":
        return F.pad(tensor, [n for pair in reversed(pairs) for n in pair], value=constant_values)
    if kind not in ("REFLECT", "SYMMETRIC"):
        raise ArgumentValueError.of("mode", mode, "Use 'CONSTANT', 'REFLECT' or 'SYMMETRIC'.")
    skipped = 1 if kind == "REFLECT" else 0
    for axis, (before, after) in enumerate(pairs):
        size = tensor.shape[axis]
        if max(before, after) > size - skipped:
            mend = f"Axis {axis} has {size} elements: {kind} puts at most {size - skipped} on a side."
            raise ArgumentValueError.of("paddings", pairs, mend)
        if before or after:
            own = torch.arange(size, device=tensor.device)
            left = own[skipped : skipped + before].flip(0)
            right = own[size - skipped - after : size - skipped].flip(0)
            tensor = tensor.index_select(axis, torch.cat([left, own, right]))
    return tensor


def where(condition: Tensor, x: Tensor | None = None, y: Tensor | None = None, name: str | None = None) -> Tensor:
    """``tf.where``: a vector as the condition picks whole rows, where torch would broadcast it along the last axis.

    Without ``x`` and ``y``, the places that are true, [count, axes], as ``int64``.

    >>> where(torch.tensor([True, False]), torch.zeros(2, 2), torch.ones(2, 2))
    tensor([[0., 0.],
            [1., 1.]])

    Raises:
        ArgumentValueError: one of ``x`` and ``y`` alone, or shapes that TensorFlow refuses.
    """
    if x is None and y is None:
        return condition.nonzero()
    if x is None or y is None or x.shape != y.shape:
        found = None if x is None else tuple(x.shape), None if y is None else tuple(y.shape)
        raise ArgumentValueError.of("the shapes of x and y", found, "Give two tensors of one shape.")
    if condition.shape == x.shape or condition.dim() == 0:
        return torch.where(condition, x, y)
    if condition.dim() != 1 or x.dim() < 1 or condition.shape[0] != x.shape[0]:
        mend = f"For {tuple(x.shape)} give the same shape, or one for each row."
        raise ArgumentValueError.of("the shape of the condition", tuple(condition.shape), mend)
    return torch.where(condition.view(-1, *[1] * (x.dim() - 1)), x, y)


def one_hot(
    indices: Tensor,
    depth: int,
    on_value: float | Tensor | None = None,
    off_value: float | Tensor | None = None,
    axis: int | None = None,
    dtype: torch.dtype | None = None,
    name: str | None = None,
) -> Tensor:
    """``tf.one_hot``: floats, and nothing for an index that is out of range; torch's gives integers, and an error.

    >>> one_hot(torch.tensor([1, -1]), 2)
    tensor([[0., 1.],
            [0., 0.]])

    Args:
        on_value, off_value: 1 and 0 by default.
        axis: where the new axis is; the last one by default.
        dtype: by default that of the values, else ``float32``.
    """
    if indices.is_floating_point():
        raise ArgumentTypeError.of("indices", indices.dtype, "Give integers.")
    new = -1 if axis is None else axis
    place = axis_of("axis", new, indices.dim() + 1)
    shape = [depth if each == place else 1 for each in range(indices.dim() + 1)]
    there = indices.unsqueeze(place) == torch.arange(depth, device=indices.device).view(shape)
    if dtype is None:
        dtype = next((_dtype_of(each) for each in (on_value, off_value) if each is not None), torch.float32)
    on, off = (
        torch.as_tensor(default if given is None else given, dtype=dtype, device=indices.device)
        for given, default in ((on_value, 1), (off_value, 0))
    )
    return torch.where(there, on, off)


def _dtype_of(value: float | Tensor) -> torch.dtype:
    """The dtype that TensorFlow gives a value."""
    if isinstance(value, Tensor):
        return value.dtype
    return torch.bool if isinstance(value, bool) else torch.int32 if isinstance(value, int) else torch.float32


def gather_nd(params: Tensor, indices: Tensor, name: str | None = None, batch_dims: int = 0) -> Tensor:
    """``tf.gather_nd``: for each row of indices, what is there; no function of torch does it.

    >>> gather_nd(torch.tensor([[1, 2], [3, 4]]), torch.tensor([[0, 1], [1, 0]]))
    tensor([2, 3])

    Args:
        indices: ``[*shape, axes]``, integers.

    Raises:
        ArgumentValueError: more of them than there are axes.
        NotImplementedError: ``batch_dims``.
    """
    if batch_dims:
        raise NotImplementedError(f"gather_nd(batch_dims={batch_dims}) is not there yet.\nIndex each example.")
    depth = indices.shape[-1]
    if depth > params.dim():
        raise ArgumentValueError.of("the shape of the indices", tuple(indices.shape), f"There are {params.dim()} axes.")
    return params[_places(indices, params.shape)] if depth else params.expand(*indices.shape[:-1], *params.shape)


def _places(indices: Tensor, shape: Sequence[int]) -> tuple[Tensor, ...]:
    """An index for each axis; a negative one is beyond its end, and so an error of torch's."""
    each = indices.long().unbind(-1)
    return tuple(torch.where(one < 0, size, one) for one, size in zip(each, shape, strict=False))


def scatter_nd(indices: Tensor, updates: Tensor, shape: Sequence[int] | Tensor, name: str | None = None) -> Tensor:
    """``tf.scatter_nd``: updates put into zeros, at each row of indices; those of one place are added.

    >>> scatter_nd(torch.tensor([[1], [1]]), torch.tensor([2, 3]), [3])
    tensor([0, 5, 0])
    """
    sizes = [int(n) for n in shape]
    return updates.new_zeros(sizes).index_put(_places(indices, sizes), updates, accumulate=True)


def matrix_band_part(input: Tensor, num_lower: int, num_upper: int, name: str | None = None) -> Tensor:
    """``tf.matrix_band_part``: so many diagonals below and above the main one, all of a side if negative.

    >>> matrix_band_part(torch.ones(3, 3), -1, 0)
    tensor([[1., 0., 0.],
            [1., 1., 0.],
            [1., 1., 1.]])
    """
    band = input if num_upper < 0 else input.tril(num_upper)
    return band if num_lower < 0 else band.triu(-num_lower)


def sequence_mask(
    lengths: Tensor | Sequence[int],
    maxlen: int | Tensor | None = None,
    dtype: torch.dtype = torch.bool,
    name: str | None = None,
) -> Tensor:
    """``tf.sequence_mask``: true for the first so many of ``maxlen``, by default of the longest.

    >>> sequence_mask(torch.tensor([1, 2]), 3)
    tensor([[ True, False, False],
            [ True,  True, False]])
    """
    ends = torch.as_tensor(lengths)
    most = int(ends.max()) if maxlen is None else int(maxlen)
    return (torch.arange(most, device=ends.device) < ends.unsqueeze(-1)).to(dtype)


def split(
    value: Tensor,
    num_or_size_splits: int | Sequence[int],
    axis: int = 0,
    num: int | None = None,
    name: str | None = None,
) -> list[Tensor]:
    """``tf.split``: into so many equal parts, or into parts of these sizes; ``torch.split`` takes the size of a part.

    >>> split(torch.tensor([1, 2, 3, 4]), 2)
    [tensor([1, 2]), tensor([3, 4])]

    Raises:
        ArgumentValueError: the parts do not make up the axis.
    """
    where = axis_of("axis", axis, value.dim())
    size = value.shape[where]
    if hasattr(num_or_size_splits, "__index__"):
        num_or_size_splits = num_or_size_splits.__index__()
        if num_or_size_splits < 1 or size % num_or_size_splits:
            raise ArgumentValueError.of("num_or_size_splits", num_or_size_splits, f"It divides {size}.")
        return list(torch.split(value, size // num_or_size_splits, where))
    sizes = [int(n) for n in num_or_size_splits]
    if sizes.count(-1) == 1:
        sizes[sizes.index(-1)] = size - sum(sizes) - 1
    if sum(sizes) != size or min(sizes, default=0) < 0:
        raise ArgumentValueError.of("num_or_size_splits", num_or_size_splits, f"They add up to {size}.")
    return list(torch.split(value, sizes, where))


def slice(
    input_: Tensor, begin: Sequence[int] | Tensor, size: Sequence[int] | Tensor, name: str | None = None
) -> Tensor:
    """``tf.slice``: from where, and how many, along each axis; -1 for all that are left.

    >>> slice(torch.tensor([[1, 2, 3]]), [0, 1], [-1, 2])
    tensor([[2, 3]])

    Raises:
        ArgumentValueError: more than there are, or another number of axes.
    """
    starts, counts = [int(n) for n in begin], [int(n) for n in size]
    if len(starts) != input_.dim() or len(counts) != input_.dim():
        raise ArgumentValueError.of("begin", starts, f"Give {input_.dim()} numbers for begin and size.")
    for axis, (start, count) in enumerate(zip(starts, counts, strict=True)):
        count = input_.shape[axis] - start if count == -1 else count
        if start < 0 or count < 0 or start + count > input_.shape[axis]:
            raise ArgumentValueError.of("begin", starts, f"Axis {axis} has {input_.shape[axis]}; size is {counts}.")
        input_ = input_.narrow(axis, start, count)
    return input_


def transpose(a: Tensor, perm: Sequence[int] | None = None, name: str | None = None) -> Tensor:
    """``tf.transpose``: the axes in this order; in reverse by default. ``torch.transpose`` swaps two.

    >>> transpose(torch.ones(2, 3, 4)).shape
    torch.Size([4, 3, 2])
    """
    order = list(range(a.dim()))[::-1] if perm is None else [axis_of("perm", int(axis), a.dim()) for axis in perm]
    if sorted(order) != list(range(a.dim())):
        raise ArgumentValueError.of("perm", perm, f"Give each of {a.dim()} axes once.")
    return a.permute(order)


def squeeze(
    input: Tensor,
    axis: int | Sequence[int] | None = None,
    name: str | None = None,
    squeeze_dims: int | Sequence[int] | None = None,
) -> Tensor:
    """``tf.squeeze``: without these axes, which must be of size 1; torch passes over others in silence.

    >>> squeeze(torch.ones(1, 2, 1), [0]).shape
    torch.Size([2, 1])

    Raises:
        ArgumentValueError: an axis of another size.
    """
    given = either("axis", axis, "squeeze_dims", squeeze_dims, None)
    if given is None or (not isinstance(given, int) and len(given) == 0):  # type: ignore[arg-type]
        return input.squeeze()
    each = [given] if isinstance(given, int) else list(given)  # type: ignore[call-overload]
    axes = [axis_of("axis", one, input.dim()) for one in each]
    if any(input.shape[one] != 1 for one in axes):
        raise ArgumentValueError.of("axis", given, f"The shape is {tuple(input.shape)}: give axes of size 1.")
    return input.squeeze(axes)


def boolean_mask(tensor: Tensor, mask: Tensor, name: str = "boolean_mask", axis: int | None = None) -> Tensor:
    """``tf.boolean_mask``: ``tensor[mask]``, from an axis on.

    >>> boolean_mask(torch.tensor([1, 2, 3]), torch.tensor([True, False, True]))
    tensor([1, 3])
    """
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        raise ArgumentTypeError.of("mask", getattr(mask, "dtype", mask), "Give a tensor of bools.")
    start = 0 if axis is None else axis_of("axis", axis, tensor.dim())
    if tuple(mask.shape) != tuple(tensor.shape[start : start + mask.dim()]) or mask.dim() == 0:
        mend = f"The tensor has {tuple(tensor.shape)} from axis {start} on."
        raise ArgumentValueError.of("the shape of the mask", tuple(mask.shape), mend)
    flat = tensor.movedim(tuple(range(start, start + mask.dim())), tuple(range(mask.dim())))[mask]
    return flat.movedim(0, start)


def meshgrid(*args: Tensor, indexing: str = "xy", name: str | None = None) -> list[Tensor]:
    """``tf.meshgrid``: the first two axes are swapped by default, as numpy has it; torch's are in order.

    >>> meshgrid(torch.arange(3), torch.arange(2))[0].shape
    torch.Size([2, 3])
    """
    if indexing not in ("xy", "ij"):
        raise ArgumentValueError.of("indexing", indexing, "Use 'xy' or 'ij'.")
    return list(torch.meshgrid(*args, indexing=indexing)) if args else []


def reverse(tensor: Tensor, axis: int | Sequence[int], name: str | None = None) -> Tensor:
    """``tf.reverse``: ``tensor.flip(axis)``.

    >>> reverse(torch.tensor([1, 2]), [0])
    tensor([2, 1])
    """
    return tensor.flip([axis] if isinstance(axis, int) else [int(each) for each in axis])
