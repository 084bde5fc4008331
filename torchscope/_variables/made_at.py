"""Where in the user's code something was made."""

from __future__ import annotations

import contextlib
import os
import sys

import torch

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def caller() -> str:
    """``file:line`` of the nearest frame outside this package, the file relative to the working directory if below."""
    if torch.compiler.is_compiling():  # it cannot look at frames
        return "compiled code"
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    file = frame.f_code.co_filename
    with contextlib.suppress(OSError):  # the working directory may be gone
        file = file.removeprefix(os.getcwd() + os.sep)
    return f"{file}:{frame.f_lineno}"
