"""``torchscope convert``: a checkpoint as a safetensors file."""

from __future__ import annotations

import argparse

from ..checkpoint._convert import write_safetensors
from ..checkpoint._layout import RULES
from ..errors import ArgumentValueError
from ._common import show

HELP = "write the variables of a checkpoint to a .safetensors file"
EXAMPLES = """examples:
  torchscope convert model.ckpt-1000 model.safetensors
  torchscope convert model.ckpt-1000 model.safetensors --rename 'weights$=kernel' --map old/=new/
  torchscope convert model.ckpt-1000 model.safetensors --layout '**/kernel=conv' --layout '**/dense/kernel=dense'
  torchscope convert model.ckpt-1000 model.safetensors --prefer-ema --drop '^discriminator/'
Options that take a value may be repeated. Slots of optimizers, counts of steps, moving averages and strings are left
out and named; axes stay as they are unless --layout says otherwise. A file that is there already is replaced and
leaves its permissions; of a symbolic link, the file that it leads to is replaced.
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
    renamed = _pairs("--rename", args.rename)
    both = next((pattern for pattern in args.drop if pattern in renamed), None)
    if both is not None:
        raise ArgumentValueError.of(
            "--drop", both, "--rename has the same pattern: what it finds is dropped or renamed."
        )
    rows = write_safetensors(
        args.source,
        args.destination,
        rename={**renamed, **dict.fromkeys(args.drop)},
        assignment_map=_pairs("--map", args.map),
        layout=_pairs("--layout", [each if "=" in each else f"={each}" for each in args.layout]),
        prefer_ema=args.prefer_ema,
    )
    show(("what", "array", "how"), rows)
    print(f"{sum(what == 'written' for what, _, _ in rows)} arrays in {args.destination}")
    return 0
