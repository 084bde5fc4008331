"""``Summary``: a module tree as a table, as a page that folds, and as a dict."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from .._extra import need
from ..errors import ArgumentValueError, shown
from .folding import Row, page
from .outline import Node

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.text import Text

WIDTH = 100  # characters of a line at most
_LEAST = 16  # characters that a name has at least
_MOST = 48  # characters of a name in a page at most
_OPENED = 2  # levels that are unfolded in a page at first
_DTYPES = {"float": "f", "bfloat": "bf", "int": "i", "uint": "u", "complex": "c"}


class Column(NamedTuple):
    """One column of the table."""

    title: str
    cell: Callable[[Node], str]
    most: int  # characters
    rank: int  # the lowest goes first where there is no room


class Training(NamedTuple):
    """What training with an optimizer holds beside the weights, in bytes."""

    optimizer: str
    gradients: int
    state: int


class Summary:
    """What :meth:`ScopedModule.summary` and :meth:`ScopedModule.plan` return.

    ``str()`` is a table of at most 100 columns, ``rich.print`` shows it in colors (extra ``rich``), a notebook shows
    it as a page whose scopes fold, ``to_dict()`` is for programs.

    Attributes:
        tree: the root of the tree, a :class:`Node`.
        training: what training holds beside the weights; ``None`` if no optimizer was named.
    """

    def __init__(self, tree: Node, depth: int | None = None, training: Training | None = None) -> None:
        if depth is not None and (not isinstance(depth, int) or isinstance(depth, bool) or depth < 0):
            raise ArgumentValueError.of("depth", depth, "Give how many levels to show, 0 or more, or None for all.")
        self.tree = tree
        self.depth = depth
        self.training = training

    @property
    def parameters(self) -> int:
        """How many elements all parameters have, each counted once."""
        return self.tree.elements

    @property
    def flops(self) -> int | None:
        """Floating-point operations of the whole call; ``None`` if nothing was run."""
        return self.tree.flops

    def rows(self, depth: int | None = None) -> Iterator[tuple[int, Node]]:
        """The rows of the table: how deep each lies, and what it is."""
        yield from _rows(self.tree, 0, self.depth if depth is None else depth)

    def columns(self) -> list[Column]:
        """The columns that have something to say, beside the names."""
        nodes = [node for _, node in self.rows()]
        variables = [node for node in self.tree.walk() if node.is_variable]
        ran = self.tree.outputs is not None
        columns = [Column("shape", _shape, 26, 9)]
        if len({node.dtype for node in variables}) > 1:
            columns.append(Column("dtype", _dtype, 6, 2))
        if any(node.kind == "buffer" or not node.trainable for node in variables):
            columns.append(Column("trains", _trains, 6, 5))
        columns.append(Column("params", lambda node: "" if node.same_as else count(node.elements), 11, 8))
        columns.append(Column("share", self._share, 6, 1))
        columns.append(Column("bytes", lambda node: size(node.bytes) if node.bytes else "", 10, 4))
        if any(node.local_bytes != node.bytes for node in nodes):
            columns.append(Column("here", lambda node: size(node.local_bytes) if node.bytes else "", 9, 6))
        if ran:
            columns.append(Column("FLOPs", lambda node: quantity(node.flops) if node.flops else "", 8, 7))
            columns.append(Column("reads", lambda node: "" if node.reads is None else str(node.reads), 5, 3))
        return columns

    def label(self, node: Node) -> str:
        """How a node is called: ``gru (GRU)``; of a variable that was counted elsewhere, where."""
        label = f"{node.name} ({node.type})" if node.name and node.type else node.name or node.type
        return shown(f"{label} = {node.same_as}" if node.same_as else label)

    def _share(self, node: Node) -> str:
        whole = self.tree.elements
        return f"{100 * node.elements / whole:.1f}%" if whole and node.elements else ""

    def table(self, width: int = WIDTH) -> list[tuple[str, Node | None]]:
        """The lines of the table, each with its row, in at most so many characters.

        Where names would be cut to nothing, columns go, the least important first.
        """
        columns = self.columns()
        while len(columns) > 2 and sum(self._widths(columns)[1:]) + 2 * len(columns) > width - _LEAST:
            columns.remove(min(columns, key=lambda column: column.rank))
        widths = self._widths(columns)
        widths[0] = min(widths[0], max(_LEAST, width - sum(widths[1:]) - 2 * len(columns)))
        lines: list[tuple[str, Node | None]] = [(_line(["", *(column.title for column in columns)], widths), None)]
        lines.append(("-" * (sum(widths) + 2 * len(columns)), None))
        lines += [(_line(self._cells(node, deep, columns), widths), node) for deep, node in self.rows()]
        return lines

    def _cells(self, node: Node, deep: int, columns: list[Column]) -> list[str]:
        return [("  " * deep) + self.label(node), *(column.cell(node) for column in columns)]

    def _widths(self, columns: list[Column], *, all_rows: bool = False) -> list[int]:
        """How wide each column has to be; the names first, in full."""
        rows = _rows(self.tree, 0, None) if all_rows else self.rows()
        cells = [
            ["", *(column.title for column in columns)],
            *(self._cells(node, deep, columns) for deep, node in rows),
        ]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return [widths[0], *(min(w, column.most) for w, column in zip(widths[1:], columns, strict=True))]

    def __str__(self) -> str:
        return "\n".join([*(line for line, _ in self.table()), "", *self.totals()])

    __repr__ = __str__

    def totals(self) -> list[str]:
        """The lines below the table."""
        top = self.tree
        dtypes = dict.fromkeys(str(n.dtype).removeprefix("torch.") for n in top.walk() if n.is_variable)
        line = f"{count(top.elements)} parameters, {count(top.trained)} trained; {size(top.bytes)}"
        line += f" of {', '.join(dtypes)}" if dtypes else ""
        if top.local_bytes != top.bytes:
            line += f"; {size(top.local_bytes)} on this rank"
        lines = [line]
        if top.flops is not None:
            lines.append(f"{quantity(top.flops)} FLOPs a call, forward alone")
        if self.training is not None:
            held = self.training
            whole = top.bytes + held.gradients + held.state
            lines.append(
                f"training with {held.optimizer}: {size(held.gradients)} of gradients, "
                f"{size(held.state)} of its state, {size(whole)} with the weights"
            )
        return lines

    def to_dict(self) -> dict[str, Any]:
        """The whole tree as plain data, whatever ``depth`` is; sizes in elements and bytes, shapes as lists."""
        tree = _as_dict(self.tree)
        if self.training is not None:
            tree["training"] = self.training._asdict()
        return tree

    def _repr_html_(self) -> str:
        """All of the tree as a page of which so many levels are unfolded as ``depth`` says, or two."""
        columns, opened = self.columns(), _OPENED if self.depth is None else self.depth

        def row(node: Node, deep: int) -> Row:
            children = [row(child, deep + 1) for child in node.children]
            return Row(self._cells(node, deep, columns), _fades(node), deep < opened, children)

        titles, widths = ["", *(column.title for column in columns)], self._widths(columns, all_rows=True)
        return page(titles, [min(widths[0], _MOST) + 2, *widths[1:]], row(self.tree, 0), self.totals())

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        """The table in colors: modules and scopes bold, what is not trained dim."""
        make = need("rich.text", "rich", "A summary in colors").Text
        for line, node in self.table(options.max_width):
            style = "" if node is None else "dim" if _fades(node) else "" if node.is_variable else "bold"
            yield make(line, style=style, no_wrap=True, overflow="ellipsis")
        for line in ("", *self.totals()):
            yield make(line)


def _fades(node: Node) -> bool:
    """Whether it is a variable that is not trained."""
    return node.is_variable and not node.trainable


def _rows(node: Node, deep: int, depth: int | None) -> Iterator[tuple[int, Node]]:
    yield deep, node
    if depth is None or deep < depth:
        for child in node.children:
            yield from _rows(child, deep + 1, depth)


def _line(cells: list[str], widths: list[int]) -> str:
    first, second, *rest = (_cut(cell, width) for cell, width in zip(cells, widths, strict=True))
    numbers = [cell.rjust(width) for cell, width in zip(rest, widths[2:], strict=True)]
    return "  ".join([first.ljust(widths[0]), second.ljust(widths[1]), *numbers]).rstrip()


def _cut(text: str, width: int) -> str:
    """A text that fits, without its middle if need be."""
    if len(text) <= width:
        return text
    end = (width - 1) // 2
    return f"{text[: width - 1 - end]}\N{HORIZONTAL ELLIPSIS}{text[len(text) - end :]}"


def _shape(node: Node) -> str:
    if node.shape is not None:
        return by(node.shape)
    if not node.outputs:
        return ""
    more = f" (+{len(node.outputs) - 1})" if len(node.outputs) > 1 else ""
    return f"-> {by(node.outputs[0])}{more}"


def by(shape: tuple[int, ...]) -> str:
    """A shape as it is read: ``8 x 64``; of a scalar, ``scalar``."""
    return " x ".join(map(str, shape)) or "scalar"


def _dtype(node: Node) -> str:
    name = str(node.dtype).removeprefix("torch.") if node.dtype is not None else ""
    kind = name.rstrip("0123456789")
    return _DTYPES[kind] + name[len(kind) :] if kind in _DTYPES and kind != name else name


def _trains(node: Node) -> str:
    if node.kind == "buffer":
        return "buffer"
    if node.trainable is None:
        return "part" if node.elements else ""
    return "" if node.trainable else "no"


def count(number: int) -> str:
    """A number in full, with commas; of more than nine digits, rounded."""
    return f"{number:,}" if number < 10**9 else quantity(number)


def quantity(number: int) -> str:
    """A number with a prefix of thousands: ``1.23 G``."""
    value, prefix = _scaled(number, 1000, 999.5, ("", "k", "M", "G", "T", "P", "E"))
    return f"{value:.3g} {prefix}" if prefix else f"{number}"


def size(number: int) -> str:
    """Bytes with a prefix of 1024: ``1.5 MiB``."""
    value, prefix = _scaled(number, 1024, 1023.95, ("", "Ki", "Mi", "Gi", "Ti", "Pi"))
    return f"{value:.1f} {prefix}B" if prefix else f"{number} B"


def _scaled(number: int, step: int, most: float, prefixes: tuple[str, ...]) -> tuple[float, str]:
    power = 0
    while number / step**power >= most and power < len(prefixes) - 1:
        power += 1
    return number / step**power, prefixes[power]


def _as_dict(node: Node) -> dict[str, object]:
    plain: dict[str, object] = {}
    for name, value in vars(node).items():
        if name == "children":
            plain[name] = [_as_dict(child) for child in node.children]
        elif isinstance(value, torch.dtype):
            plain[name] = str(value).removeprefix("torch.")
        elif name == "outputs" and value is not None:
            plain[name] = [list(shape) for shape in value]
        else:
            plain[name] = list(value) if isinstance(value, tuple) else value
    return plain
