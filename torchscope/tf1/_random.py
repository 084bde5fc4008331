"""Random tensors of ``tf``: torch's numbers in TensorFlow's distributions; seeds are ``torch.manual_seed``'s."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import ArgumentValueError
from ._axes import not_yet

Shape = Sequence[int] | Tensor


def _sizes(shape: Shape) -> list[int]:
    return [int(n) for n in shape]


def random_uniform(
    shape: Shape,
    minval: float = 0,
    maxval: float | None = None,
    dtype: torch.dtype = torch.float32,
    seed: int | None = None,
    name: str | None = None,
) -> Tensor:
    """``tf.random_uniform``: in ``[minval, maxval)``; of integers too, for which ``maxval`` has to be given.

    >>> random_uniform([2], 3, 4, torch.int32)
    tensor([3, 3], dtype=torch.int32)

    Raises:
        ArgumentValueError: integers without ``maxval``.
        NotImplementedError: a seed: set torch's own, for TensorFlow's numbers are its own.
    """
    not_yet("random_uniform", seed=seed)
    if not dtype.is_floating_point:
        if maxval is None:
            raise ArgumentValueError.of("maxval", None, "Say up to which integer.")
        return torch.randint(int(minval), int(maxval), _sizes(shape), dtype=dtype)
    return torch.rand(_sizes(shape), dtype=dtype) * ((1 if maxval is None else maxval) - minval) + minval


def random_normal(
    shape: Shape,
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: torch.dtype = torch.float32,
    seed: int | None = None,
    name: str | None = None,
) -> Tensor:
    """``tf.random_normal``: ``torch.randn(shape) * stddev + mean``.

    >>> random_normal([2], stddev=0.0)
    tensor([0., 0.])
    """
    not_yet("random_normal", seed=seed)
    return torch.randn(_sizes(shape), dtype=dtype) * stddev + mean


def truncated_normal(
    shape: Shape,
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: torch.dtype = torch.float32,
    seed: int | None = None,
    name: str | None = None,
) -> Tensor:
    """``tf.truncated_normal``: none farther than two deviations from the mean.

    >>> truncated_normal([1000]).abs().max() <= 2
    tensor(True)
    """
    not_yet("truncated_normal", seed=seed)
    return torch.nn.init.trunc_normal_(torch.empty(_sizes(shape), dtype=dtype), 0.0, 1.0, -2.0, 2.0) * stddev + mean


def multinomial(
    logits: Tensor,
    num_samples: int,
    seed: int | None = None,
    name: str | None = None,
    output_dtype: torch.dtype = torch.int64,
) -> Tensor:
    """``tf.multinomial``: classes drawn by their logits, with replacement; torch's takes probabilities, without.

    >>> multinomial(torch.tensor([[0.0, 100.0]]), 3)
    tensor([[1, 1, 1]])
    """
    not_yet("multinomial", seed=seed)
    return torch.multinomial(torch.softmax(logits, -1), num_samples, replacement=True).to(output_dtype)


def random_crop(value: Tensor, size: Shape, seed: int | None = None, name: str | None = None) -> Tensor:
    """``tf.random_crop``: a part of this size from anywhere.

    >>> random_crop(torch.ones(4, 4, 3), [2, 2, 3]).shape
    torch.Size([2, 2, 3])

    Raises:
        ArgumentValueError: a size beyond the tensor's.
    """
    not_yet("random_crop", seed=seed)
    sizes = _sizes(size)
    if len(sizes) != value.dim() or any(not 0 < n <= most for n, most in zip(sizes, value.shape, strict=True)):
        raise ArgumentValueError.of("size", sizes, f"The tensor has {tuple(value.shape)}.")
    for axis, (n, most) in enumerate(zip(sizes, value.shape, strict=True)):
        value = value.narrow(axis, int(torch.randint(most - n + 1, ())), n)
    return value


def random_shuffle(value: Tensor, seed: int | None = None, name: str | None = None) -> Tensor:
    """``tf.random_shuffle``: its rows in another order.

    >>> random_shuffle(torch.tensor([1, 2])).sort().values
    tensor([1, 2])
    """
    not_yet("random_shuffle", seed=seed)
    return value[torch.randperm(value.shape[0], device=value.device)]
