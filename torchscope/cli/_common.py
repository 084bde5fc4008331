"""What the commands share: choosing arrays, and showing rows."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .._names.paths import say_nearest
from .._names.patterns import selector
from .._table import as_text
from ..checkpoint import Checkpoint, Entry
from ..errors import ArgumentValueError, shown

GLOB = "a path and what is below it, or a glob: * within a segment, ** across"


def selected(saved: Checkpoint, glob: str) -> dict[str, Entry]:
    """The arrays that a path or a glob selects."""
    selects = selector(glob, saved)
    return {path: entry for path, entry in saved.items() if selects(path)}


def refuse_empty_filter(glob: str, *checkpoints: Checkpoint) -> None:
    """Refuse a filter that selects nothing in any of the checkpoints: a typo must not look like an answer."""
    if glob and not any(selected(saved, glob) for saved in checkpoints):
        paths = [path for saved in checkpoints for path in saved]
        mend = f"It selects no array. {say_nearest(glob, paths)}"
        raise ArgumentValueError.of("--filter", glob, mend)


def show(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows: as a table on a terminal, if rich is there, and as plain columns in a pipe."""
    if sys.stdout.isatty():
        try:
            from rich.console import Console
            from rich.table import Table
        except ImportError:
            pass
        else:
            cells = [[shown(cell) for cell in row] for row in rows]
            table = Table(box=None, pad_edge=False)
            for name in header:
                table.add_column(name, no_wrap=True, justify="right" if name == "bytes" else "left")
            for row in cells:
                table.add_row(*row)
            # As wide as its rows: a terminal wraps a long line better than a table breaks a path.
            console = Console(markup=False, highlight=False)
            enough = sum(max(map(len, column)) + 2 for column in zip(header, *cells, strict=True))
            unlimited = console.options.update(max_width=enough)
            console.width = max(console.width, console.measure(table, options=unlimited).maximum)
            console.print(table, soft_wrap=True)
            return
    if rows:
        print(as_text([header, *rows]))
