"""``tf.convert_to_tensor``: whatever TensorFlow takes as a tensor, as one."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor


def convert_to_tensor(
    value: object,
    dtype: torch.dtype | None = None,
    name: str | None = None,
    preferred_dtype: torch.dtype | None = None,
) -> Tensor:
    """``tf.convert_to_tensor``: a number, an array, or a list with tensors in it, as one tensor, with gradients.

    ``torch.as_tensor`` takes no list of tensors with more than one element, and cuts the gradient of others.

    >>> convert_to_tensor([torch.tensor([1.0, 2.0]), [3.0, 4.0]])
    tensor([[1., 2.],
            [3., 4.]])

    Args:
        value: what is to become a tensor; a tensor stays as it is.
        dtype: of what is no tensor.
    """
    if isinstance(value, Tensor):
        return value
    if isinstance(value, (list, tuple)) and _has_tensors(value):
        first = next(each for each in _leaves(value) if isinstance(each, Tensor))
        wanted = first.dtype if dtype is None else dtype
        return torch.stack([convert_to_tensor(each, wanted).to(first.device) for each in value])
    return torch.as_tensor(value, dtype=dtype)


def _leaves(value: list[object] | tuple[object, ...]) -> Iterator[object]:
    for each in value:
        if isinstance(each, (list, tuple)):
            yield from _leaves(each)
        else:
            yield each


def _has_tensors(value: list[object] | tuple[object, ...]) -> bool:
    return any(isinstance(each, Tensor) for each in _leaves(value))
