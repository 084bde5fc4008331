"""Rows as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .errors import shown

MOST = 120  # characters of a column


def as_text(rows: Iterable[Sequence[object]]) -> str:
    """Rows in columns as wide as they need to be, up to :data:`MOST`: one long name does not widen all rows.

    >>> print(as_text([("a/w", (2, 3)), ("a/bias", (3,))]))
    a/w     (2, 3)
    a/bias  (3,)
    """
    cells = [[shown(cell) for cell in row] for row in rows]
    widths = [max(min(len(cell), MOST) for cell in column) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in cells)
