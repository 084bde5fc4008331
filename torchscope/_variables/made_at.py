"""Where in the user's code something was made."""

from __future__ import annotations

import contextlib
import os
import sys

import torch

_NOT_THE_USERS = tuple(
    os.path.dirname(os.path.abspath(file)) + os.sep for file in (os.path.dirname(__file__), torch.__file__)
)


def place_of_caller() -> tuple[str, int]:
    """The file and the line of the nearest frame that is neither this package's nor torch's."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_NOT_THE_USERS):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


def caller() -> str:
    """The same as ``file:line``, the file relative to the working directory if below."""
    if torch.compiler.is_compiling():  # it cannot look at frames
        return "compiled code"
    file, line = place_of_caller()
    with contextlib.suppress(OSError):  # the working directory may be gone
        file = file.removeprefix(os.getcwd() + os.sep)
    return f"{file}:{line}"
