"""``torchscope inspect``: what is in a checkpoint."""

from __future__ import annotations

import argparse
import json

from ..checkpoint import open
from ..checkpoint._entry import dtype_name
from ._common import selected, show

HELP = "list the arrays of a checkpoint: paths, shapes, dtypes, bytes"
EXAMPLES = """examples:
  torchscope inspect model.ckpt-1000
  torchscope inspect model.ckpt-1000 --filter 'encoder/**/kernel'
  torchscope inspect weights.safetensors --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="a prefix, a file, or a folder with a file called 'checkpoint'")
    parser.add_argument("--filter", default="", metavar="GLOB", help="a path or a glob; * within a segment, ** across")
    parser.add_argument("--json", action="store_true", help="one JSON object, by path")


def run(args: argparse.Namespace) -> int:
    arrays = selected(open(args.file), args.filter)
    if args.json:
        facts = {
            path: {"shape": list(entry.shape), "dtype": dtype_name(entry.dtype), "bytes": entry.nbytes}
            for path, entry in arrays.items()
        }
        print(json.dumps(facts, indent=1))
        return 0
    rows = [
        (path, list(entry.shape), dtype_name(entry.dtype), "" if entry.nbytes is None else entry.nbytes)
        for path, entry in arrays.items()
    ]
    show(("path", "shape", "dtype", "bytes"), rows)
    elements = sum(entry.numel for entry in arrays.values())
    print(f"{len(arrays)} arrays, {elements} elements, {sum(e.nbytes or 0 for e in arrays.values())} bytes")
    return 0
