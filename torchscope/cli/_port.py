"""``torchscope port``: TensorFlow 1 source as source of torchscope and torch, with a proof."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .._extra import need
from ..errors import ArgumentValueError, ScopeError

if TYPE_CHECKING:
    from types import ModuleType

HELP = "port TensorFlow 1 source to torchscope and torch"
EXAMPLES = """examples:
  torchscope port modeling.py -o ported
  torchscope port modeling.py --diff
  torchscope port modeling.py -o ported --call 'modeling.logits(tokens)' --check model.ckpt recorded.npz
--call is an expression of the ported files, by their names, and of the arrays in IO.npz; or a file with a function
`call` whose parameters are the names of arrays. What it gives - a tensor, several in order, or a dict - is compared
with the other arrays there. One run of it also tells which arguments are tensors, so that more becomes plain torch.
"""
EXIT_CODES = "0 all done; 1 something is left, without partner, or differs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="TensorFlow 1 source")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="where to write the ported files")
    parser.add_argument("--call", metavar="FILE_OR_EXPRESSION", help="what to run")
    parser.add_argument(
        "--check",
        nargs="+",
        type=Path,
        metavar=("CHECKPOINT", "IO.npz"),
        help="prove it by weights and recorded arrays",
    )
    parser.add_argument("--tolerance", type=float, default=1e-5, help="of a difference, relative to the largest value")
    parser.add_argument("--backend", default="inductor", help="what compiles the model in a check (torch.compile)")
    parser.add_argument("--diff", action="store_true", help="print a patch instead of writing")
    parser.add_argument("--json", action="store_true", help="print the report for programs")
    parser.add_argument("--force", action="store_true", help="write over files that are there")


def run(args: argparse.Namespace) -> int:
    if args.output is None and not args.diff and args.check is None:
        raise ArgumentValueError.of("-o", None, "Say where to write, or ask for --diff or --check.")
    if args.check is not None and len(args.check) > 2:
        raise ArgumentValueError.of("--check", str(args.check[2]), "Give a checkpoint, and at most one IO.npz.")
    need("libcst", "port", "torchscope port")
    tool, report = _room("_tool"), _room("_report")
    if args.output is not None:
        for file in args.files:
            if not file.is_file():
                raise FileNotFoundError(f"{file}: there is no such file.")
        tool.refuse_existing(tool.destinations(args.files, args.output), force=args.force)
    checkpoint, io = (*(args.check or ()), None, None)[:2]
    try:
        ported, checked = tool.port_files(
            args.files,
            call=args.call,
            checkpoint=checkpoint,
            io=io,
            tolerance=args.tolerance,
            backend=args.backend,
        )
    except ScopeError:
        if args.call is not None or checkpoint is not None:  # what the files need is told all the same
            print("\n".join(report.lines(tool.port_files(args.files)[0], None)), file=sys.stderr)
        raise
    if args.diff:
        sys.stdout.writelines(each.diff for each in ported)
    if args.output is not None:
        tool.write(ported, args.output, force=args.force)
    if args.json:
        print(json.dumps(report.data(ported, checked), indent=2))
    elif not args.diff:
        print("\n".join(report.lines(ported, checked)))
    done = not any(each.left for each in ported) and (checked is None or checked.passed)
    return 0 if done else 1


def _room(name: str) -> ModuleType:
    """A module of ``torchscope.port``, whose packages the other commands do without."""
    return importlib.import_module(f"torchscope.port.{name}")
