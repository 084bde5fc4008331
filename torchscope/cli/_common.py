"""What the commands share: choosing arrays, and showing rows."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .. import _names
from .._table import as_text
from ..checkpoint import Checkpoint, Entry

EXIT_CODES = "Exit codes: 0 done, and for diff no difference; 1 there are differences; 2 bad input."


def selected(saved: Checkpoint, glob: str) -> dict[str, Entry]:
    """The arrays that a path or a glob selects."""
    selects = _names.selector(glob, saved)
    return {path: entry for path, entry in saved.items() if selects(path)}


def show(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows: as a table on a terminal, if rich is there, and as plain columns in a pipe."""
    if sys.stdout.isatty():
        try:
            from rich.console import Console
            from rich.table import Table
        except ImportError:
            pass
        else:
            table = Table(box=None)
            for name in header:
                table.add_column(name, overflow="fold")
            for row in rows:
                table.add_row(*map(str, row))
            Console(markup=False, highlight=False).print(table)
            return
    if rows:
        print(as_text([header, *rows]))
