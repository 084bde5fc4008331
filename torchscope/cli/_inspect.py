"""``torchscope inspect``: what is in a checkpoint."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Mapping

from .._names.paths import scopes_of
from ..checkpoint import Entry, open
from ..checkpoint._entry import dtype_name
from ..checkpoint._roles import role
from ._common import GLOB, refuse_empty_filter, selected, show

HELP = "list the arrays of a checkpoint: paths, shapes, dtypes, bytes"
EXAMPLES = """examples:
  torchscope inspect model.ckpt-1000
  torchscope inspect model.ckpt-1000 --variables --tree
  torchscope inspect model.ckpt-1000 --filter 'encoder/**/kernel'
  torchscope inspect weights.safetensors --json
"""
EXIT_CODES = "0 done"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="a prefix, a file, or a folder with a file called 'checkpoint'")
    parser.add_argument("--filter", default="", metavar="GLOB", help=GLOB)
    parser.add_argument(
        "--variables", action="store_true", help="without slots of optimizers, counts of steps, averages and the like"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--tree", action="store_true", help="scopes with what is below them, and their sums")
    form.add_argument("--json", action="store_true", help="one JSON object, by path")


def run(args: argparse.Namespace) -> int:
    saved = open(args.file)
    refuse_empty_filter(args.filter, saved)
    arrays = selected(saved, args.filter)
    if args.variables:
        arrays = {path: entry for path, entry in arrays.items() if role(path) is None}
    if args.json:
        facts = [
            {"shape": list(entry.shape), "dtype": dtype_name(entry.dtype), "bytes": entry.nbytes}
            for entry in arrays.values()
        ]
        lines = [f"{json.dumps(path)}: {json.dumps(fact)}" for path, fact in zip(arrays, facts, strict=True)]
        print("{" + ",\n ".join(lines) + "}")
        return 0
    rows = list(_tree(arrays)) if args.tree else [_row(path, entry) for path, entry in arrays.items()]
    show(("path", "shape", "dtype", "bytes", "role"), rows)
    elements, size = sum(entry.numel for entry in arrays.values()), sum(e.nbytes or 0 for e in arrays.values())
    print(f"{_count(len(arrays))}, {elements:,} elements, {size:,} bytes")
    return 0


Row = tuple[str, object, str, str, str]


def _row(name: str, entry: Entry) -> Row:
    size = "" if entry.nbytes is None else f"{entry.nbytes:,}"
    return name, list(entry.shape), dtype_name(entry.dtype), size, role(entry.path) or ""


def _count(arrays: int) -> str:
    return f"{arrays} array{'s' * (arrays != 1)}"


def _tree(arrays: Mapping[str, Entry]) -> Iterator[Row]:
    """Each scope, with what is below it together, then the arrays in it; with slots, ``w`` may be both."""
    counts, sizes = Counter[str](), Counter[str]()
    for path, entry in arrays.items():
        for scope in scopes_of(path):
            counts[scope] += 1
            sizes[scope] += entry.nbytes or 0
    shown = set()
    for path in sorted(arrays, key=lambda path: path.split("/")):
        scopes = scopes_of(path)
        for depth, scope in enumerate(scopes):
            if scope not in shown:
                shown.add(scope)
                yield "  " * depth + scope.rpartition("/")[2] + "/", _count(counts[scope]), "", f"{sizes[scope]:,}", ""
        yield _row("  " * len(scopes) + path.rpartition("/")[2], arrays[path])
