"""What all windows over images share: strides, paddings and orders of axes as TensorFlow 1 gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from ...errors import ArgumentTypeError, ArgumentValueError

Sizes = int | Sequence[int]
Padding = str | Sequence[Sequence[int]]

FORMATS = {1: ("NWC", "NCW"), 2: ("NHWC", "NCHW"), 3: ("NDHWC", "NCDHW")}  # channels last, and first


class Pads(NamedTuple):
    """How many elements are put before and after each axis of an image."""

    before: tuple[int, ...]
    after: tuple[int, ...]

    def even(self) -> bool:
        """Whether both sides get as many: torch's functions take that themselves."""
        return all(n == m for n, m in zip(self.before, self.after, strict=True))

    def torchs_pools_take(self, window: Sequence[int]) -> bool:
        """Whether torch's pools pad so themselves: both sides by as many, at most half a window."""
        return self.even() and all(2 * n <= k for n, k in zip(self.before, window, strict=True))

    def put(self, x: Tensor, value: float) -> Tensor:
        """The tensor ``[batch, channels, *image]`` with that many elements of a value around it."""
        if not any(self.before) and not any(self.after):
            return x
        each = [n for pair in zip(reversed(self.before), reversed(self.after), strict=True) for n in pair]
        return F.pad(x, each, value=value)


def channels_first(x: Tensor, rank: int, data_format: str | None) -> bool:
    """Whether a tensor has its channels before the image.

    Raises:
        ArgumentValueError: no such order, or a tensor of another number of axes.
    """
    last, first = FORMATS[rank]
    if data_format not in (None, last, first):
        raise ArgumentValueError.of("data_format", data_format, f"Use {last!r} or {first!r}.")
    if x.dim() != rank + 2:
        mend = f"Give {rank + 2} axes, {data_format or last}."
        raise ArgumentValueError.of("the shape of the input", tuple(x.shape), mend)
    return data_format == first


def to_torch(x: Tensor, *, first: bool) -> Tensor:
    """A view with the channels before the image; where they lie last in memory, they still do."""
    return x if first else x.movedim(-1, 1)


def from_torch(y: Tensor, *, first: bool) -> Tensor:
    """The view back."""
    return y if first else y.movedim(1, -1)


def sizes(name: str, given: Sizes | None, rank: int, *, first: bool, whole: bool = True) -> tuple[int, ...]:
    """Strides, rates or sizes of windows: one for all axes of the image, one for each, or, where that is taken, one for
    each of the whole tensor.

    Raises:
        ArgumentValueError: another number of them, one that is not positive, or batch and channels have others than 1.
    """
    each = (1,) if given is None else (given,) if isinstance(given, int) else tuple(given)
    each = tuple(n.__index__() if hasattr(n, "__index__") and not isinstance(n, bool) else n for n in each)
    if not all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in each):
        raise ArgumentValueError.of(name, given, "Give positive ints.")
    if len(each) == 1:
        return each * rank
    if len(each) == rank:
        return each
    if len(each) != rank + 2 or not whole:
        raise ArgumentValueError.of(
            name, given, f"Give one{',' if whole else ' or'} {rank}{f' or {rank + 2}' * whole} of them."
        )
    image, others = (each[2:], each[:2]) if first else (each[1:-1], (each[0], each[-1]))
    if others != (1, 1):
        raise ArgumentValueError.of(
            name, given, "TensorFlow takes windows over images alone: 1 for batch and channels."
        )
    return image


def pads(
    padding: Padding,
    image: Sequence[int],
    window: Sequence[int],
    strides: Sequence[int],
    rates: Sequence[int],
    *,
    first: bool,
) -> Pads:
    """What ``padding`` means for images of this size.

    ``"SAME"`` makes ``ceil(size / stride)`` of a size; of an odd number of elements, the one more comes behind.

    Raises:
        ArgumentValueError, ArgumentTypeError: no such padding.
    """
    rank = len(image)
    if padding == "VALID":
        return Pads((0,) * rank, (0,) * rank)
    if padding == "SAME":
        spans = [(k - 1) * rate + 1 for k, rate in zip(window, rates, strict=True)]
        total = [
            max((-(-n // stride) - 1) * stride + span - n, 0)
            for n, span, stride in zip(image, spans, strides, strict=True)
        ]
        return Pads(tuple(n // 2 for n in total), tuple(n - n // 2 for n in total))
    mend = "Use 'SAME', 'VALID', or a pair of ints for each axis."
    if isinstance(padding, str):
        raise ArgumentValueError.of("padding", padding, mend)
    try:
        pairs = [tuple(n.__index__() for n in pair) for pair in padding]
    except (TypeError, AttributeError):
        raise ArgumentTypeError.of("padding", padding, mend) from None
    others = pairs[:2] if first else [pairs[0], pairs[-1]] if pairs else []
    if len(pairs) != rank + 2 or any(len(pair) != 2 for pair in pairs) or any(any(pair) for pair in others):
        mend = f"Give {rank + 2} pairs, (0, 0) for batch and channels."
        raise ArgumentValueError.of("padding", padding, mend)
    inside = pairs[2:] if first else pairs[1:-1]
    if any(n < 0 for pair in inside for n in pair):
        raise ArgumentValueError.of("padding", padding, "Give numbers that are not negative.")
    return Pads(tuple(pair[0] for pair in inside), tuple(pair[1] for pair in inside))


def refuse_too_small(x: Tensor, window: Sequence[int], rates: Sequence[int], around: Pads) -> None:
    """Refuse a window that reaches over an image."""
    for size, k, rate, before, after in zip(x.shape[2:], window, rates, *around, strict=True):
        if size + before + after < (k - 1) * rate + 1:
            mend = f"The window of {k} at rate {rate} is larger than the image of {size}: use 'SAME'."
            raise ArgumentValueError.of("padding", "VALID", mend)
