"""``torchscope convert``: a checkpoint as a safetensors file."""

from __future__ import annotations

import argparse
import os
import tempfile
from typing import Any

from torch import Tensor

from .._extra import need
from ..checkpoint import Entry, open
from ..checkpoint._entry import dtype_name
from ..checkpoint._layout import RULES, Rules, applied
from ..checkpoint._load import average_of, mapped, renamed
from ..checkpoint._others import SAFETENSORS
from ..checkpoint._roles import role
from ..errors import ArgumentValueError, CheckpointError
from ._common import show

HELP = "write the variables of a checkpoint to a .safetensors file"
EXAMPLES = """examples:
  torchscope convert model.ckpt-1000 model.safetensors
  torchscope convert model.ckpt-1000 model.safetensors --rename 'weights$=kernel' --map old/=new/
  torchscope convert model.ckpt-1000 model.safetensors --layout '**/kernel=conv' --layout '**/dense/kernel=dense'
  torchscope convert model.ckpt-1000 model.safetensors --prefer-ema --drop '^discriminator/'
Options that take a value may be repeated. Slots of optimizers, counts of steps, moving averages and strings are left
out and named; axes stay as they are unless --layout says otherwise. A file that is there already is replaced.
"""
EXIT_CODES = "0 done"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    def repeated(option: str, form: str, text: str) -> None:
        parser.add_argument(option, action="append", default=[], metavar=form, help=text)

    parser.add_argument("source", help="whatever `torchscope inspect` takes")
    parser.add_argument("destination", help="a path that ends in .safetensors")
    repeated("--rename", "PATTERN=TEXT", "replace what a regular expression finds in names, before anything else")
    repeated("--drop", "PATTERN", "leave out the arrays in whose names a regular expression is found")
    repeated("--map", "FROM=TO", "a name or scope of the checkpoint and its new one; only what is mapped is written")
    repeated("--layout", "[GLOB=]RULE", f"of arrays by their new names, or of all: {', '.join(RULES)}")
    parser.add_argument("--prefer-ema", action="store_true", help="take moving averages where there are some")


def _pairs(option: str, given: list[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for each in given:
        before, equals, after = each.rpartition("=")
        if not equals:
            raise ArgumentValueError.of(option, each, "Write it with an equals sign, FROM=TO.")
        if pairs.setdefault(before, after) != after:
            raise ArgumentValueError.of(option, each, f"'{before}' was given '{pairs[before]}' already.")
    return pairs


def run(args: argparse.Namespace) -> int:
    folder = os.path.dirname(os.path.abspath(args.destination))
    if not args.destination.endswith(".safetensors"):
        raise ArgumentValueError.of("destination", args.destination, "Give a path that ends in .safetensors.")
    if not os.path.isdir(folder):
        raise ArgumentValueError.of("destination", args.destination, f"There is no folder '{folder}'.")
    files: Any = need("safetensors.torch", "checkpoint", "Writing .safetensors files")
    saved = open(args.source)
    names, dropped = renamed(saved, {**_pairs("--rename", args.rename), **dict.fromkeys(args.drop)})
    targets = mapped(names, _pairs("--map", args.map)) if args.map else {name: name for name in names}
    rules = Rules(_pairs("--layout", [each if "=" in each else f"={each}" for each in args.layout]), targets)
    tensors, storages, rows = {}, set[int](), [("left out", array, "dropped") for array in dropped]
    for name, source in targets.items():
        entry = saved[names[average_of(source, names) if args.prefer_ema else source]]
        left_out = None if args.map else _left_out(saved[names[source]])
        if left_out:
            rows.append(("left out", saved[names[source]].path, left_out))
            continue
        if name == "__metadata__":
            raise CheckpointError.of(saved.file, "a .safetensors file cannot hold an array of this name", entry=name)
        if entry.dtype not in SAFETENSORS.values():
            problem = f"a .safetensors file cannot hold {dtype_name(entry.dtype)}"
            raise CheckpointError.of(saved.file, problem, "Leave it out by --drop.", entry=entry.path)
        rule = applied(rules.asked(name) or "same", entry.shape)
        tensors[name] = _alone(RULES[rule].convert(entry.read()), storages)
        moved = f"{rule}: {list(entry.shape)} -> {list(tensors[name].shape)}" if rule != "same" else ""
        rows.append(("written", entry.path if entry.path == name else f"{entry.path} -> {name}", moved))
    # Beside the destination and then in its place: never a file that is half written.
    handle, beside = tempfile.mkstemp(suffix=".safetensors", dir=folder)
    os.close(handle)
    try:
        files.save_file(tensors, beside)
        os.chmod(beside, 0o666 & ~_umask())
        os.replace(beside, args.destination)
    except BaseException as error:
        os.unlink(beside)
        if isinstance(error, files.SafetensorError):
            raise CheckpointError.of(args.destination, f"it cannot be written: {error}") from None
        raise
    show(("what", "array", "how"), rows)
    print(f"{len(tensors)} arrays in {args.destination}")
    return 0


def _alone(tensor: Tensor, storages: set[int]) -> Tensor:
    """A tensor as its bytes lie in a file, sharing memory with none before it: tied weights are written twice."""
    tensor = tensor.resolve_conj().resolve_neg().contiguous()
    if tensor.untyped_storage().data_ptr() in storages:
        tensor = tensor.clone()
    storages.add(tensor.untyped_storage().data_ptr())
    return tensor


def _umask() -> int:
    """What this process takes from the permissions of the files that it makes; it can only be read by setting it."""
    umask = os.umask(0)
    os.umask(umask)
    return umask


def _left_out(entry: Entry) -> str | None:
    return "strings" if entry.dtype is bytes else role(entry.path)
