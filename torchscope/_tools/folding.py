"""A summary as a page whose scopes fold, for notebooks."""

from __future__ import annotations

from html import escape

from .outline import Node
from .summary import Summary

# Every row is a grid of the same columns, so that they stand below each other at any depth; a name is indented in it.
_STYLE = """
.torchscope-summary { font: 13px/1.6 ui-monospace, monospace; overflow-x: auto; }
.torchscope-summary .row { display: grid; grid-template-columns: %s; column-gap: 1.5em; width: max-content;
  min-width: 100%%; }
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
_OPEN = 2  # levels that are unfolded at first


def page(summary: Summary) -> str:
    """The summary as HTML, all of the tree in it; to the depth that was asked for, it is unfolded."""
    columns = summary.columns()
    style = _STYLE % " ".join(["minmax(16em, 1fr)", *["max-content" if c.title == "shape" else "6em" for c in columns]])
    style = style.replace("max-content 6em", "16em 6em", 1)
    opened = _OPEN if summary.depth is None else summary.depth
    head = _row(["", *(column.title for column in columns)], "row head")
    totals = "".join(f"<p>{escape(line)}</p>" for line in summary.totals())
    body = _node(summary, summary.tree, 0, opened)
    return f'<div class="torchscope-summary"><style>{style}</style>{head}{body}{totals}</div>'


def _node(summary: Summary, node: Node, deep: int, opened: int) -> str:
    cells = ["  " * deep + summary.label(node), *(column.cell(node) for column in summary.columns())]
    if not node.children:
        frozen = node.is_variable and not node.trainable
        cells[0] = f"  {cells[0]}"  # where the others have a triangle
        return _row(cells, "row frozen" if frozen else "row")
    inside = "".join(_node(summary, child, deep + 1, opened) for child in node.children)
    return f"<details{' open' * (deep < opened)}><summary>{_row(cells, 'row')}</summary>{inside}</details>"


def _row(cells: list[str], kind: str) -> str:
    return f'<div class="{kind}">{"".join(f"<span>{escape(cell)}</span>" for cell in cells)}</div>'
