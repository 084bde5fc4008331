"""``torchscope diff``: what differs between two checkpoints."""

from __future__ import annotations

import argparse

import torch

from ..checkpoint import Entry, open
from ..checkpoint._entry import dtype_name
from ._common import selected, show

HELP = "compare two checkpoints by name: arrays, shapes, dtypes, and the largest difference"
EXAMPLES = """examples:
  torchscope diff model.ckpt-1000 model.ckpt-2000
  torchscope diff model.ckpt-1000 model.safetensors --filter encoder
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", help="whatever `torchscope inspect` takes")
    parser.add_argument("b", help="likewise, of any format")
    parser.add_argument("--filter", default="", metavar="GLOB", help="a path or a glob")


def run(args: argparse.Namespace) -> int:
    left, right = (selected(open(file), args.filter) for file in (args.a, args.b))
    rows = []
    for path in [*left, *(path for path in right if path not in left)]:
        if path not in right:
            rows.append((path, "only in the first"))
        elif path not in left:
            rows.append((path, "only in the second"))
        else:
            difference = _difference(left[path], right[path])
            if difference:
                rows.append((path, difference))
    show(("path", "difference"), rows)
    print(f"{len(rows)} differences in {len({*left, *right})} arrays")
    return 1 if rows else 0


def _difference(a: Entry, b: Entry) -> str:
    if a.shape != b.shape:
        return f"shape {list(a.shape)} and {list(b.shape)}"
    if a.dtype != b.dtype:
        return f"dtype {dtype_name(a.dtype)} and {dtype_name(b.dtype)}"
    x, y = a.read(), b.read()
    if a.dtype is bytes:
        return "" if x == y else "other strings"
    wide = torch.complex128 if x.is_complex() else torch.float64
    x, y = x.to(wide), y.to(wide)
    unlike = (x != y) & ~(x.isnan() & y.isnan())
    if not bool(unlike.any()):
        return ""
    return f"{int(unlike.sum())} of {x.numel()} elements, by up to {float((x - y).abs()[unlike].max()):.3g}"
