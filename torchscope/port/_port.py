"""Porting of a file: reading it, refusing what is no TensorFlow 1, and rewriting it."""

from __future__ import annotations

import ast
import contextlib
import functools
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

from ..errors import ArgumentValueError
from ._kinds import Recorded
from ._python2 import as_python3
from ._result import Mode, Ported
from ._rewrite import rewritten

_TF2 = re.compile(r"\btf\.function\b|\bGradientTape\b|\btf\.Module\b|class \w+\(tf\.keras\.Model\)")


def port(text: str, path: str = "<text>", *, recorded: Recorded | None = None, mode: Mode = "plain") -> Ported:
    """TensorFlow 1 source as source of torchscope and torch.

    >>> print(port("import tensorflow as tf\\n\\ndef loss(x, y):\\n    return tf.reduce_sum(tf.square(x - y))\\n").code)
    from torchscope import tf1
    <BLANKLINE>
    def loss(x, y):
        return tf1.convert_to_tensor(x - y).square().sum()
    <BLANKLINE>

    Args:
        text: the source of a file.
        path: what it is called in messages.
        recorded: the kinds of arguments that a run has shown, by line and column.
        mode: what the code tells when it runs: the kinds of its arguments, or the value of each call.

    Raises:
        ArgumentValueError: it does not parse, is written for TensorFlow 2, or needs a name that it has for itself.
    """
    found = None if re.search(r"compat\.v1|\btf\.(get_variable|placeholder|Session)\b", text) else _TF2.search(text)
    if found and "tensorflow" in text:
        mend = (
            f"It is written for TensorFlow 2 ({found[0]}), whose modules are objects. Port that to nn.Module by hand."
        )
        raise ArgumentValueError.of("FILE", path, mend)
    text = re.sub(r"\A((?:.*\n)?#.*?coding[:=]\s*)[-\w.]+", r"\1utf-8", text)  # as it will be written
    newline = "\r\n" if "\r\n" in text else "\n"
    try:
        with _deep():
            python3, lines = as_python3(text.replace("\r\n", "\n"), path)
            ported = rewritten(python3, path, recorded, mode)
            ast.parse(ported.code)
    except RecursionError:
        raise ArgumentValueError.of_what_it_gave("FILE", path, "an expression in it is too long to be read.") from None
    except SyntaxError as error:
        told = f"line {error.lineno} of what it became is no Python; please report it: {error.text}"
        raise ArgumentValueError.of_what_it_gave("FILE", path, told) from None
    ported.before, ported.code = text, ported.code.replace("\n", newline)
    if lines:
        ported.changed["Python 2  ->  Python 3"] = lines
        divisions = [] if "import division" in text else divided(python3)
        if divisions:
            ported.changed["/ of two integers gave an integer in Python 2: look whether // is meant"] = divisions
    return ported


@contextlib.contextmanager
def _deep() -> Iterator[None]:
    """Allow as deep a recursion as long functions need: each line may lead to the one before it."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, 20_000))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


@functools.lru_cache(maxsize=64)
def port_text(text: str, path: str) -> Ported:
    """Likewise, remembered by what the file holds."""
    return port(text, path)


def read(path: Path) -> str:
    """The text of a file.

    Raises:
        OSError: it cannot be read.
        ArgumentValueError: it is no text.
    """
    try:
        with tokenize.open(path) as file:  # as Python reads it: in UTF-8, or as its first lines say
            encoding = file.encoding
        return path.read_bytes().decode(encoding)
    except (UnicodeDecodeError, SyntaxError):
        raise ArgumentValueError.of("FILE", str(path), "It is no text in UTF-8, or in what it says itself.") from None


def divided(text: str) -> list[int]:
    """The lines where something is divided by what may be an integer."""
    found = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div))
    sides = ((node.lineno, (node.left, node.right)) for node in found)
    return sorted({line for line, both in sides if not any(_is_float(each) for each in both)})


def _is_float(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, float)
