"""``torchscope diff``: what differs between two checkpoints."""

from __future__ import annotations

import argparse

import torch
from torch import Tensor

from ..checkpoint import Entry, open
from ..checkpoint._entry import dtype_name
from ._common import GLOB, refuse_empty_filter, selected, show

HELP = "compare two checkpoints by name: arrays, shapes, dtypes, and the largest difference"
EXAMPLES = """examples:
  torchscope diff model.ckpt-1000 model.ckpt-2000
  torchscope diff model.ckpt-1000 model.safetensors --filter encoder
"""
EXIT_CODES = "0 no difference; 1 there are differences"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", help="whatever `torchscope inspect` takes")
    parser.add_argument("b", help="likewise, of any format")
    parser.add_argument("--filter", default="", metavar="GLOB", help=GLOB)


def run(args: argparse.Namespace) -> int:
    a, b = open(args.a), open(args.b)
    refuse_empty_filter(args.filter, a, b)
    left, right = selected(a, args.filter), selected(b, args.filter)
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
    if not x.numel():
        return ""
    if not (x.is_floating_point() or x.is_complex()):
        unlike = (x.contiguous().view(torch.uint8) != y.contiguous().view(torch.uint8)) if x.dim() else x != y
        unlike = unlike.reshape(*x.shape, -1).any(-1)
    else:
        wide = torch.complex128 if x.is_complex() else torch.float64
        x, y = x.to(wide), y.to(wide)
        unlike = (x != y) & ~(x.isnan() & y.isnan())
    if not bool(unlike.any()):
        return ""
    said = f"{int(unlike.sum())} of {x.numel()} elements"
    x, y = x[unlike], y[unlike]
    one_nan = x.isnan() ^ y.isnan()
    apart = (x - y).abs()[~one_nan] if x.is_floating_point() or x.is_complex() else _apart(x, y)
    said += f", by up to {float(apart.max()):.3g}" if apart.numel() else ""
    return said + (f", {int(one_nan.sum())} NaN in one of them only" if bool(one_nan.any()) else "")


def _apart(x: Tensor, y: Tensor) -> Tensor:
    """How far whole numbers are apart, whatever their dtype."""
    return torch.tensor([float(abs(int(a) - int(b))) for a, b in zip(x.tolist(), y.tolist(), strict=True)])
