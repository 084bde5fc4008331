"""Running the examples as a user does: in a process of its own, or here, where what is tested is what it says."""

from __future__ import annotations

import contextlib
import io
import runpy
import subprocess
import sys
from pathlib import Path
from unittest import mock

from tests.conftest import default_device

Done = subprocess.CompletedProcess[str]


def in_a_process(program: Path, *arguments: object, cwd: Path) -> Done:
    """``python program arguments`` in a folder."""
    command = [sys.executable, str(program), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)


def in_this_process(program: Path, *arguments: object, cwd: Path) -> Done:
    """The same without the seconds that a new process takes to import torch; an exception that ends it is raised."""
    command, code = [str(program), *map(str, arguments)], 0
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", command),
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        default_device("cpu"),  # what a new process begins with
    ):
        try:
            runpy.run_path(str(program), run_name="__main__")
        except SystemExit as exit:
            code = exit.code if isinstance(exit.code, int) else 1
    return subprocess.CompletedProcess(command, code, out.getvalue(), err.getvalue())
