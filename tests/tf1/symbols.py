"""The table of TensorFlow 1's symbols in public code, and what to write for each: ``docs/tf1_symbols.md``.

    python -m tests.tf1.symbols --write

``tests/data/tf1_symbols.tsv`` counts them in 28 public model codebases: the symbol, in how many of them it is, and how
many uses it has. What torchscope has under the same name is found there; a line of torch stands here beside the line of
TensorFlow that it is held against (``test_symbols.py``); what needs a graph is told what to write instead.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import NamedTuple

import torch

import torchscope
from torchscope import tf1
from torchscope.port._symbols import VALUES, public
from torchscope.tf1._graph_only import instead_of
from torchscope.tf1._lacking import TORCHS

ROOT = Path(__file__).parents[2]
COUNTS = ROOT / "tests" / "data" / "tf1_symbols.tsv"
PAGE = ROOT / "docs" / "tf1_symbols.md"

# TensorFlow's line for each of torch's, of x, y (floats, [3, 4]), p (positive floats), i, j (integers), k (indices),
# b, c (bools), m (a square matrix), v (a vector).
TENSORFLOWS: dict[str, str] = {
    "tf.abs": "tf.abs(x)",
    "tf.add": "tf.add(x, y)",
    "tf.add_n": "tf.add_n([x, y])",
    "tf.argsort": "tf.argsort(x, axis=-1)",
    "tf.broadcast_to": "tf.broadcast_to(x, [2, 3, 4])",
    "tf.cast": "tf.cast(x, tf.int32)",
    "tf.clip_by_value": "tf.clip_by_value(x, -0.5, 0.5)",
    "tf.concat": "tf.concat([x, y], 1)",
    "tf.constant": "tf.constant([1.0, 2.0], tf.float32)",
    "tf.cos": "tf.cos(x)",
    "tf.diag": "tf.diag(v)",
    "tf.divide": "tf.divide(x, p)",
    "tf.einsum": "tf.einsum('ab,cb->ac', x, y)",
    "tf.equal": "tf.equal(i, j)",
    "tf.exp": "tf.exp(x)",
    "tf.expand_dims": "tf.expand_dims(x, 1)",
    "tf.eye": "tf.eye(3, 4)",
    "tf.fill": "tf.fill([2, 3], 5.0)",
    "tf.floor": "tf.floor(x)",
    "tf.gather": "tf.gather(x, k, axis=1)",
    "tf.get_shape": "tf.shape(x)",
    "tf.greater": "tf.greater(x, y)",
    "tf.greater_equal": "tf.greater_equal(i, j)",
    "tf.less": "tf.less(x, y)",
    "tf.less_equal": "tf.less_equal(i, j)",
    "tf.log": "tf.log(p)",
    "tf.log1p": "tf.log1p(p)",
    "tf.logical_and": "tf.logical_and(b, c)",
    "tf.logical_not": "tf.logical_not(b)",
    "tf.logical_or": "tf.logical_or(b, c)",
    "tf.matmul": "tf.matmul(x, y, transpose_b=True)",
    "tf.matrix_determinant": "tf.matrix_determinant(m)",
    "tf.matrix_inverse": "tf.matrix_inverse(m)",
    "tf.mod": "tf.mod(i, 3 + j * j)",
    "tf.multiply": "tf.multiply(x, y)",
    "tf.nn.elu": "tf.nn.elu(x)",
    "tf.nn.relu": "tf.nn.relu(x)",
    "tf.nn.sigmoid": "tf.nn.sigmoid(x)",
    "tf.nn.softplus": "tf.nn.softplus(x)",
    "tf.nn.swish": "tf.nn.swish(x)",
    "tf.nn.tanh": "tf.nn.tanh(x)",
    "tf.norm": "tf.norm(x, axis=1)",
    "tf.not_equal": "tf.not_equal(i, j)",
    "tf.ones": "tf.ones([2, 3])",
    "tf.ones_like": "tf.ones_like(x)",
    "tf.pow": "tf.pow(p, 1.5)",
    "tf.range": "tf.range(2, 8, 3)",
    "tf.rank": "tf.rank(x)",
    "tf.reduce_all": "tf.reduce_all(b)",
    "tf.reduce_logsumexp": "tf.reduce_logsumexp(x, 1)",
    "tf.reduce_max": "tf.reduce_max(x, 1)",
    "tf.reduce_min": "tf.reduce_min(x, 1)",
    "tf.reduce_prod": "tf.reduce_prod(x, 1)",
    "tf.reduce_sum": "tf.reduce_sum(x, 1, keepdims=True)",
    "tf.reshape": "tf.reshape(x, [2, -1])",
    "tf.round": "tf.round(x * 2)",
    "tf.rsqrt": "tf.rsqrt(p)",
    "tf.shape": "tf.shape(x)",
    "tf.sigmoid": "tf.sigmoid(x)",
    "tf.sign": "tf.sign(x)",
    "tf.sin": "tf.sin(x)",
    "tf.size": "tf.size(x)",
    "tf.sort": "tf.sort(x, axis=-1)",
    "tf.sqrt": "tf.sqrt(p)",
    "tf.square": "tf.square(x)",
    "tf.squared_difference": "tf.squared_difference(x, y)",
    "tf.stack": "tf.stack([x, y], 1)",
    "tf.subtract": "tf.subtract(x, y)",
    "tf.tanh": "tf.tanh(x)",
    "tf.tensordot": "tf.tensordot(x, y, [[1], [1]])",
    "tf.tile": "tf.tile(x, [2, 1])",
    "tf.to_float": "tf.to_float(i)",
    "tf.to_int64": "tf.to_int64(x)",
    "tf.unstack": "tf.unstack(x, axis=1)",
    "tf.zeros": "tf.zeros([2, 3])",
    "tf.zeros_like": "tf.zeros_like(x)",
}
LINES = {symbol: (line, TORCHS[symbol]) for symbol, line in TENSORFLOWS.items()}


class Row(NamedTuple):
    """One symbol: in how many codebases it is, how often, where it is here, and what to write."""

    symbol: str
    repositories: int
    uses: int
    where: str
    what: str


def plain(symbol: str) -> str:
    """The public name of a symbol that was imported from a file of TensorFlow's; or what its value is here."""
    name = public(symbol.replace("tf.python.", "tensorflow.python.", 1))
    value = VALUES.get(name, "")
    return value if "info(" in value else name


def _found(package: object, symbol: str) -> object | None:
    """What a package has under a symbol's name."""
    here: object | None = package
    for part in symbol.removeprefix("tf.").replace("initializers.", "", 1).split("."):
        here = getattr(here, part, None)
    if here is None and symbol.startswith("tf.initializers."):
        return _found(torchscope, f"tf.{symbol.rpartition('.')[2]}_initializer")
    return here


def place(symbol: str) -> tuple[str, str]:
    """Where a symbol is, and what to write for it; ``("", "")`` if nothing is there yet."""
    name = plain(symbol)
    if name.startswith("torch."):
        return "torch", f"`{name}`"
    if name in LINES:
        return "torch", f"`{LINES[name][1]}`"
    path = name.removeprefix("tf.").replace("initializers.", "")
    if name == "tf.newaxis":
        return "torch", "`None`"
    last = path.rpartition(".")[2]
    if name.startswith("tf.initializers."):
        return "torchscope", f"`{last}_initializer`"
    if (found := _found(tf1, name)) is not None:
        if str(found).startswith("torch.") or found is torch.Tensor:
            return "torch", f"`torch.{last}`"
        if "." not in path and hasattr(torchscope, path):
            return "torchscope", f"`{path}`"
        return "torchscope.tf1", f"`tf1.{path}`"
    if _found(torchscope, name) is not None:
        return "torchscope", f"`{last if hasattr(torchscope, last) else f'{last}_initializer'}`"
    instead = instead_of(name)
    return ("instead", instead) if instead else ("", "")


def rows() -> list[Row]:
    """The whole table, most used first."""
    with COUNTS.open() as file:
        counted = list(csv.DictReader(file, delimiter="\t"))
    found = [Row(row["symbol"], int(row["repositories"]), int(row["uses"]), *place(row["symbol"])) for row in counted]
    return sorted(found, key=lambda row: (-row.uses, row.symbol))


def covered(table: list[Row]) -> tuple[int, int]:
    """How many uses have a place that works, of how many that need no graph."""
    wanted = [row for row in table if row.where != "instead"]
    return sum(row.uses for row in wanted if row.where), sum(row.uses for row in wanted)


def page() -> str:
    """The page of the docs."""
    table = rows()
    have, wanted = covered(table)
    graph = sum(row.uses for row in table if row.where == "instead")
    lines = [
        f"| `{row.symbol}` | {row.what} | {row.where or 'not there yet'} | {row.repositories} | {row.uses} |"
        for row in table
    ]
    return "\n".join(
        [
            "# TensorFlow 1's symbols, and what to write",
            "",
            f"The {len(table)} symbols that 28 public model codebases use, most used first: in how many, how often,",
            f"and where each is here. Of {wanted} uses that need no graph {have} have a place, {have / wanted:.1%};",
            f"the other {graph} are of graphs, sessions, training, files and logs, with what to write instead.",
            "",
            "`tf1` is `torchscope.tf1`, with TensorFlow's arguments; `F` is `torch.nn.functional`. Lines of torch",
            "are held against TensorFlow, and so are the functions of `tf1`. The page is printed by",
            "`python -m tests.tf1.symbols --write`.",
            "",
            "| symbol | what to write | where | codebases | uses |",
            "|---|---|---|---|---|",
            *lines,
            "",
        ]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the page of the docs")
    if parser.parse_args().write:
        PAGE.write_text(page())
    have, wanted = covered(rows())
    print(f"{have} of {wanted} uses ({have / wanted:.1%})")
    print("not there yet:", *(f"{row.symbol} ({row.uses})" for row in rows() if not row.where), sep="\n  ")
