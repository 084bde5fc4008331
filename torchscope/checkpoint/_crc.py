"""CRC-32C, masked as LevelDB and TensorFlow store it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from .._extra import need


@functools.cache
def _crc32c() -> Callable[[Any, int], int]:
    function: Callable[[Any, int], int] = need("crc32c", "checkpoint", "Reading a TensorFlow checkpoint").crc32c
    return function


def masked_crc(*parts: Any) -> int:
    """The checksum of all parts together, as a file stores it.

    It is turned and moved, so that one over data that holds checksums is no weaker.
    """
    add, checksum = _crc32c(), 0
    for part in parts:
        checksum = add(part, checksum)
    return (((checksum >> 15) | (checksum << 17)) + 0xA282EAD8) & 0xFFFFFFFF
