"""Nests of tensors: tuples, lists and named tuples."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

N = TypeVar("N")


def like(kind: N, parts: Iterable[object]) -> N:
    """Parts as a tuple, a list or a named tuple, as another one is."""
    make = type(kind)
    return make(*parts) if hasattr(kind, "_fields") else make(parts)  # type: ignore[call-arg]
