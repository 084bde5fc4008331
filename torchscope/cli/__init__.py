"""The commands of ``python -m torchscope``, also installed as ``torchscope``: one file each."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import sys
from collections.abc import Sequence

from .. import __version__
from ..errors import ScopeError, shown_by_line
from . import _convert, _diff, _inspect, _port

COMMANDS = {"inspect": _inspect, "convert": _convert, "diff": _diff, "port": _port}
# what arguments of functions are called here
OPTIONS = {"rename": "--rename", "assignment_map": "--map", "layout": "--layout"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    parser = argparse.ArgumentParser("torchscope", description="Checkpoints of TensorFlow and others, and its source.")
    parser.add_argument("--version", action="version", version=f"torchscope {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        added = commands.add_parser(
            name,
            help=command.HELP,
            description=command.HELP[0].upper() + command.HELP[1:] + ".",
            epilog=f"{command.EXAMPLES}\nexit codes: {command.EXIT_CODES}; 2 bad input",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(added)
    args = parser.parse_args(arguments)
    if sys.stdout is None or sys.stdout.closed:
        print(f"torchscope {args.command}: standard output is closed", file=sys.stderr)
        return 2
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that the terminal cannot show is shown by its escapes
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code: int = COMMANDS[args.command].run(args)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        _silence()
        return 130  # as a shell says of a command that Ctrl-C ended
    except BrokenPipeError:  # the reader of a pipe has had enough
        _silence()
        return 0
    except (ScopeError, OSError, ImportError) as error:
        said = re.sub(r"^(rename|assignment_map|layout)=", lambda found: f"{OPTIONS[found[1]]} ", str(error))
        if isinstance(error, OSError):  # it may be standard output that cannot be written, which exit tries again
            _silence()
        print(f"torchscope {args.command}: {shown_by_line(said)}", file=sys.stderr)
        return 2


def _silence() -> None:
    """Let what is still to be written to standard output go nowhere."""
    with contextlib.suppress(OSError, ValueError):  # it is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
