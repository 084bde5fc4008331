"""``torchscope convert``: a checkpoint as a safetensors file."""

from __future__ import annotations

import argparse
import os
import tempfile
from typing import Any

from .._extra import need
from ..checkpoint import open
from ..checkpoint._entry import dtype_name
from ..checkpoint._layout import RULES, Rules
from ..checkpoint._load import mapped, renamed
from ..checkpoint._others import SAFETENSORS
from ..checkpoint._roles import role
from ..errors import ArgumentValueError, CheckpointError
from ._common import show

HELP = "write the variables of a checkpoint to a .safetensors file"
EXAMPLES = """examples:
  torchscope convert model.ckpt-1000 model.safetensors
  torchscope convert model.ckpt-1000 model.safetensors --rename 'weights$=kernel' --map old/=new/
  torchscope convert model.ckpt-1000 model.safetensors --layout '**/kernel=conv' --layout '**/dense/kernel=dense'
Slots of optimizers, counts of steps, moving averages and strings are left out and named; axes stay as they are unless
--layout says otherwise.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", help="whatever `torchscope inspect` takes")
    parser.add_argument("destination", help="a path that ends in .safetensors")
    parser.add_argument("--rename", action="append", default=[], metavar="PATTERN=TEXT", help="a regular expression")
    parser.add_argument("--map", action="append", default=[], metavar="FROM=TO", help="names or scopes; drops the rest")
    parser.add_argument("--layout", action="append", default=[], metavar="[GLOB=]RULE", help=", ".join(RULES))


def _pairs(option: str, given: list[str]) -> dict[str, str]:
    pairs = {}
    for each in given:
        before, equals, after = each.rpartition("=")
        if not equals:
            raise ArgumentValueError.of(option, each, "Write it with an equals sign, FROM=TO.")
        pairs[before] = after
    return pairs


def run(args: argparse.Namespace) -> int:
    if not args.destination.endswith(".safetensors"):
        raise ArgumentValueError.of("destination", args.destination, "Give a path that ends in .safetensors.")
    files: Any = need("safetensors.torch", "checkpoint", "Writing .safetensors files")
    saved = open(args.source)
    rules = Rules(_pairs("--layout", [each if "=" in each else f"={each}" for each in args.layout]))
    names = renamed(saved, _pairs("--rename", args.rename))
    targets = mapped(names, _pairs("--map", args.map)) if args.map else {name: name for name in names}
    tensors, rows = {}, []
    for name, source in targets.items():
        entry = saved[names[source]]
        left_out = "strings" if entry.dtype is bytes else role(entry.path) if not args.map else None
        if left_out:
            rows.append(("left out", entry.path, left_out))
            continue
        if entry.dtype not in SAFETENSORS.values():
            problem = f"a .safetensors file cannot hold {dtype_name(entry.dtype)}"
            raise CheckpointError.of(saved.file, problem, "Choose what to convert by --map.", entry=entry.path)
        rule = rules.asked(name, entry.shape) or "same"
        tensors[name] = RULES[rule].convert(entry.read()).contiguous()
        rows.append(("written", f"{entry.path} -> {name}", "" if rule == "same" else rule))
    # Beside the destination and then in its place: never a file that is half written.
    folder = os.path.dirname(os.path.abspath(args.destination))
    handle, beside = tempfile.mkstemp(suffix=".safetensors", dir=folder)
    os.close(handle)
    try:
        files.save_file(tensors, beside)
        os.replace(beside, args.destination)
    except BaseException:
        os.unlink(beside)
        raise
    show(("what", "array", "layout"), rows)
    print(f"{len(tensors)} arrays in {args.destination}")
    return 0
