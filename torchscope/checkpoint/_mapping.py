"""Tensors that are a file, mapped into memory: each a private mapping of its own."""

from __future__ import annotations

import math
from typing import Any

import torch

_LARGE = 1 << 16  # bytes from which on a tensor is mapped: there is a limit to the number of mappings


def mapped(file: str, offset: int, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor | None:
    """The tensor whose elements begin at a byte of a file; ``None`` if it is small, not aligned, or the file is gone.

    What is written into it is neither in the file nor in another tensor.
    """
    size = math.prod(shape) * dtype.itemsize
    if size < _LARGE or offset % dtype.itemsize:
        return None
    try:
        storage: Any = torch.UntypedStorage.from_file(file, False, offset + size)
    except (RuntimeError, UnicodeError):  # torch opens paths that are UTF-8
        return None
    flat = torch.empty(0, dtype=dtype, device="cpu")
    flat.set_(storage, offset // dtype.itemsize, (math.prod(shape),), (1,))
    return flat.reshape(shape)
