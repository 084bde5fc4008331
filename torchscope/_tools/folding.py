"""A tree of rows as a page that folds, for notebooks."""

from __future__ import annotations

from typing import NamedTuple

# Every row is a grid of the same columns, so that they stand below each other at any depth; a name is indented in it.
_STYLE = """
.torchscope-summary { font: 13px/1.6 ui-monospace, monospace; overflow-x: auto; }
.torchscope-summary .row { display: grid; grid-template-columns: %s; column-gap: 2ch; width: max-content; }
.torchscope-summary .row span { text-align: right; white-space: pre; }
.torchscope-summary .row span:nth-child(-n+2) { text-align: left; }
.torchscope-summary .row span:first-child { overflow: hidden; text-overflow: ellipsis; }
.torchscope-summary .head { border-bottom: 1px solid; opacity: 0.7; }
.torchscope-summary summary { cursor: pointer; list-style: none; font-weight: 600; }
.torchscope-summary summary::-webkit-details-marker { display: none; }
.torchscope-summary summary .row span:first-child::before { content: "\\25b8 "; }
.torchscope-summary details[open] > summary .row span:first-child::before { content: "\\25be "; }
.torchscope-summary .frozen { opacity: 0.6; }
.torchscope-summary p { margin: 0.6em 0 0; }
"""


class Row(NamedTuple):
    """A row of the page, and those that are folded into it.

    Attributes:
        cells: its texts, the name first.
        fades: whether it is shown paler than the others.
        opened: whether what is in it is seen at first.
    """

    cells: list[str]
    fades: bool
    opened: bool
    children: list[Row]


def page(titles: list[str], widths: list[int], root: Row, below: list[str]) -> str:
    """A tree of rows as HTML.

    Args:
        titles, widths: those of the columns, in characters.
        root: the tree.
        below: lines below it.
    """
    style = _STYLE % " ".join(f"{width}ch" for width in widths)
    from html import escape

    lines = "".join(f"<p>{escape(line)}</p>" for line in below)
    table = f"{_cells(titles, 'row head')}{_row(root)}"
    return f'<div class="torchscope-summary"><style>{style}</style>{table}{lines}</div>'


def _row(row: Row) -> str:
    if not row.children:
        first = f"  {row.cells[0]}"  # where the others have a triangle
        return _cells([first, *row.cells[1:]], "row frozen" if row.fades else "row")
    inside = "".join(map(_row, row.children))
    opened = " open" if row.opened else ""
    return f"<details{opened}><summary>{_cells(row.cells, 'row')}</summary>{inside}</details>"


def _cells(cells: list[str], kind: str) -> str:
    from html import escape

    return f'<div class="{kind}">{"".join(f"<span>{escape(cell)}</span>" for cell in cells)}</div>'
