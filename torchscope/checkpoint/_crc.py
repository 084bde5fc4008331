"""CRC-32C, masked as LevelDB and TensorFlow store it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from .._extra import need


@functools.cache
def _crc32c() -> Callable[[Any, int], int]:
    function: Callable[[Any, int], int] = need("crc32c", "checkpoint", "Reading a TensorFlow checkpoint").crc32c
    return function


def masked_crc(*parts: Any) -> int:
    """The checksum of all parts together, as a file stores it."""
    return mask(crc(parts))


def crc(parts: Iterable[Any], before: int = 0) -> int:
    """The plain checksum of all parts together, after what has the checksum ``before``."""
    add = _crc32c()
    for part in parts:
        before = add(part, before)
    return before


def mask(checksum: int) -> int:
    """A checksum turned and moved, so that one over data that holds checksums is no weaker."""
    return (((checksum >> 15) | (checksum << 17)) + 0xA282EAD8) & 0xFFFFFFFF
