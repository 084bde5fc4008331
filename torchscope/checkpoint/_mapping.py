"""Files as they were when they were opened, and tensors that are such a file, mapped into memory."""

from __future__ import annotations

import math
import os
from typing import Any

import torch

from ..errors import CheckpointError

_LARGE = 1 << 16  # bytes from which on a tensor is mapped: there is a limit to the number of mappings


class Opened:
    """A file as it was when it was opened, whatever its path leads to since."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._identity, self._state = self._look()

    def _look(self) -> tuple[tuple[int, int], tuple[int, int]]:
        found = os.stat(self.file)
        return (found.st_dev, found.st_ino), (found.st_size, found.st_mtime_ns)

    def is_there(self) -> bool:
        """Whether its path still leads to it; if not, what is held of it is what it was.

        Raises:
            CheckpointError: it was written into since.
        """
        try:
            identity, state = self._look()
        except OSError:
            return False
        if identity != self._identity:
            return False
        if state != self._state:
            raise CheckpointError.of(self.file, "it was written into since it was opened", "Open it again.")
        return True


def mapped(opened: Opened, offset: int, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor | None:
    """The tensor whose elements begin at a byte of a file; ``None`` if it is small, not aligned, or the file is gone.

    Each is a private mapping: what is written into it is neither in the file nor in another tensor.
    """
    size = math.prod(shape) * dtype.itemsize
    if not opened.is_there() or size < _LARGE or offset % dtype.itemsize:
        return None
    try:
        storage: Any = torch.UntypedStorage.from_file(opened.file, False, offset + size)
    except (RuntimeError, UnicodeError):  # torch opens paths that are UTF-8
        return None
    flat = torch.empty(0, dtype=dtype, device="cpu")
    flat.set_(storage, offset // dtype.itemsize, (math.prod(shape),), (1,))
    return flat.reshape(shape)
