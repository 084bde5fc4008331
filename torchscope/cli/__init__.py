"""The commands of ``python -m torchscope``, also installed as ``torchscope``: one file each."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from ..errors import ScopeError
from . import _convert, _diff, _inspect
from ._common import EXIT_CODES

COMMANDS = {"inspect": _inspect, "convert": _convert, "diff": _diff}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    parser = argparse.ArgumentParser(
        "torchscope", description="Checkpoints of TensorFlow and others.", epilog=EXIT_CODES
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        added = commands.add_parser(
            name,
            help=command.HELP,
            description=command.HELP[0].upper() + command.HELP[1:] + ".",
            epilog=f"{command.EXAMPLES}\n{EXIT_CODES}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(added)
    args = parser.parse_args(arguments)
    try:
        code: int = COMMANDS[args.command].run(args)
        return code
    except BrokenPipeError:  # the reader of a pipe has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ScopeError, OSError, ImportError) as error:
        print(f"torchscope {args.command}: {error}", file=sys.stderr)
        return 2
