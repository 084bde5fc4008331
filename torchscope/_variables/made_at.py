"""Where in the user's code something was made: the line that asked for it, and the lines that this was called from."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import warnings
from types import FrameType

import torch

_MOST = 5  # lines that are shown: of more, as in deep recursion, the first and the last
_MOST_SEEN = 50
_CUT = ", ..."
CALLED_FROM = ", called from "
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_TORCH = os.path.dirname(os.path.abspath(torch.__file__)) + os.sep
_STANDARD = os.path.dirname(os.path.abspath(os.__file__)) + os.sep
_INSTALLED = (os.sep + "site-packages" + os.sep, os.sep + "dist-packages" + os.sep)
_START_OF_A_CALL = os.path.join(_PACKAGE, "_modules", "entry.py")


def caller() -> str:
    """``"layers.py:5, called from model.py:12"``: the user's lines that lead here, the nearest first.

    They end where a call of a module began. Files below the working directory are relative to it; in a notebook the
    cell stands for the file. Lines of this package, of torch and of Python's own library are left out.
    """
    if torch.compiler.is_compiling():  # it cannot look at frames
        return "compiled code"
    return _said(tuple(_lines(sys._getframe(1))))


def place_of_caller() -> tuple[str, int]:
    """The file and the number of the nearest of these lines."""
    lines = _lines(sys._getframe(1), 1)
    return lines[0] if lines else ("unknown", 0)


def warn_if_made_elsewhere(path: str, owner: str, made_at: str) -> bool:
    """Warn if code leads by a default name to a variable that other code made.

    The ways of both are compared from the variable outwards; one of them may begin farther out.
    """
    here = caller()
    ways = zip(*(way.partition(_CUT)[0].split(CALLED_FROM) for way in (made_at, here)), strict=False)
    elsewhere = any(one != other for one, other in ways)
    if elsewhere:
        warnings.warn_explicit(
            f"'{path}' of {owner} was made at {made_at}. A default name leads to it from {here} too, since each entry "
            "point counts default names from the beginning, so the two share it. Open a scope of its own name in each, "
            "or one name in both if sharing is meant.",
            UserWarning,
            *place_of_caller(),
        )
    return elsewhere


def _lines(frame: FrameType | None, most: int = _MOST_SEEN) -> list[tuple[str, int]]:
    lines: list[tuple[str, int]] = []
    while frame is not None and len(lines) < most:
        file = frame.f_code.co_filename
        if lines and file == _START_OF_A_CALL:
            break
        users = _users.get(file)
        if users is None:
            users = _users[file] = _is_the_users(file)
        if users:
            lines.append((file, frame.f_lineno))
        frame = frame.f_back
    return lines


_users: dict[str, bool] = {}  # of files: whether they are the user's; asked for a dozen frames of each new variable


def _is_the_users(file: str) -> bool:
    if file.startswith((_PACKAGE, _TORCH, "<frozen ")):
        return False
    return not file.startswith(_STANDARD) or any(folder in file for folder in _INSTALLED)


@functools.lru_cache(maxsize=4096)  # all variables of a loop are made by the same lines: they share one text
def _said(lines: tuple[tuple[str, int], ...]) -> str:
    shown = [f"{_shown(file)}:{line}" for file, line in lines]
    if len(shown) > _MOST:
        shown[_MOST - 2 : -1] = [shown[_MOST - 2] + _CUT]
    return CALLED_FROM.join(shown) or "unknown"


def _shown(file: str) -> str:
    shell: object = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    name_of = getattr(getattr(shell, "compile", None), "format_code_name", lambda file: None)
    cell = name_of(file)  # of a notebook: ("Cell", "In[5]")
    if cell is not None:
        return " ".join(cell)
    with contextlib.suppress(OSError):  # the working directory may be gone
        return file.removeprefix(os.getcwd() + os.sep)
    return file
