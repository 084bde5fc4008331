"""CRC-32C, masked as LevelDB and TensorFlow store it."""

from __future__ import annotations

import functools
from collections.abc import Callable

from .._extra import need

Bytes = bytes | memoryview


@functools.cache
def _crc32c() -> Callable[[Bytes, int], int]:
    function: Callable[[Bytes, int], int] = need("crc32c", "checkpoint", "Reading a TensorFlow checkpoint").crc32c
    return function


def masked_crc(*parts: Bytes) -> int:
    """The checksum of all parts together, as a file stores it.

    It is turned and moved, so that one over data that holds checksums is no weaker.
    """
    add, checksum = _crc32c(), 0
    for part in parts:
        checksum = add(part, checksum)
    return (((checksum >> 15) | (checksum << 17)) + 0xA282EAD8) & 0xFFFFFFFF
