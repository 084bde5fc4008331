"""One array of a checkpoint: what it is, and its numbers when they are asked for."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch


def dtype_name(dtype: torch.dtype | type[bytes]) -> str:
    """A dtype in a word: ``"float32"``, and ``"bytes"`` for strings."""
    return "bytes" if dtype is bytes else str(dtype).removeprefix("torch.")


class Entry:
    """An array of a checkpoint that is read when asked for.

    Attributes:
        path: its name in the checkpoint.
        shape: a tuple of ints.
        dtype: a ``torch.dtype``, or ``bytes`` for an array of strings.
    """

    __slots__ = ("_read", "dtype", "path", "shape")

    def __init__(self, path: str, shape: tuple[int, ...], dtype: Any, read: Callable[[], Any]) -> None:
        self.path, self.shape, self.dtype = path, shape, dtype
        self._read = read

    @property
    def numel(self) -> int:
        """How many elements it has."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int | None:
        """How many bytes its elements take; ``None`` for strings."""
        return None if self.dtype is bytes else self.numel * int(self.dtype.itemsize)

    def read(self) -> Any:
        """The numbers, checked against their checksum where the file has one: a ``torch.Tensor`` on the CPU.

        A large tensor is the mapped file itself where the file allows it: no memory is taken, and pages are read when
        they are touched. Writing into it changes neither the file nor what is read from it again. Strings
        come as a list of ``bytes`` in row-major order.

        Raises:
            CheckpointError: the file is damaged, cut short, or a part of it is missing.
        """
        return self._read()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        import numpy

        held = self.read()
        if isinstance(held, torch.Tensor):
            narrow = held.is_floating_point() and held.dtype not in (torch.float16, torch.float32, torch.float64)
            held = (held.float() if narrow else held).numpy()
        else:
            held = numpy.array(held, dtype=object).reshape(self.shape)
        return numpy.array(held, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        kind = "bytes" if self.dtype is bytes else str(self.dtype)
        return f"<Entry '{self.path}' {kind} {list(self.shape)}>"
