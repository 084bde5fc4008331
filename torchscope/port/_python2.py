"""Python 2's statements as Python 3's, where they stand on a line of their own."""

from __future__ import annotations

import ast
import re
import warnings

from ..errors import ArgumentValueError

_PRINT = re.compile(r"^(\s*(?:[\w \t]+:\s*)?)print\s+(?!>>)([^=(].*|\(.*\)\s*%.*)$")
_PRINT_NOTHING = re.compile(r"^(\s*)print\s*$")
_EXCEPT = re.compile(r"^(\s*except\s+[\w.()\s,]*?[\w)])\s*,\s*(\w+)\s*:")
_RAISE = re.compile(r"^(\s*raise\s+[\w.]+)\s*,\s*(.+)$")
_EXEC = re.compile(r"^(\s*)exec\s+(?!\()(.+)$")
_BACKTICKS = re.compile(r"`([^`]+)`")
_OCTAL = re.compile(r"\b0([0-7]+)\b(?!\.)")


def as_python3(text: str, path: str) -> tuple[str, list[int]]:
    """The text in Python 3, and the lines that were Python 2's.

    Raises:
        ArgumentValueError: it does not parse; the message says where.
    """
    changed: list[int] = []
    lines = text.split("\n")
    while True:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of escapes in the file's own strings
                ast.parse("\n".join(lines))
        except SyntaxError as error:
            number = error.lineno or 1
            at = number - 1
            mended = _mended(lines[at]) if 0 <= at < len(lines) else None
            # The parser may tell of the line after a statement that ends in the middle.
            if mended is None and at > 0:
                at, mended = at - 1, _mended(lines[at - 1])
            if mended is None or at + 1 in changed:
                shown = lines[number - 1].strip() if number <= len(lines) else ""
                mend = f"It is no Python: line {number}: {error.msg}: {shown!r}."
                raise ArgumentValueError.of("FILE", path, mend) from None
            lines[at] = mended
            changed.append(at + 1)
        else:
            for at, line in enumerate(lines if changed else ()):
                if found := _PRINT_NOTHING.match(line):
                    lines[at] = f"{found[1]}print()"
                    changed.append(at + 1)
            return "\n".join(lines), sorted(changed)


def _mended(line: str) -> str | None:
    """A line of Python 2 as one of Python 3, if it is one of the kinds that are known."""
    if found := _PRINT.match(line):
        ends_open = found[2].rstrip().endswith(",")
        arguments = found[2].rstrip().rstrip(",")
        return f"{found[1]}print({arguments}{', end=chr(32)' if ends_open else ''})"
    if found := _EXCEPT.match(line):
        return f"{found[1]} as {found[2]}:{line[found.end() :]}"
    if found := _RAISE.match(line):
        return f"{found[1]}({found[2]})"
    if found := _EXEC.match(line):
        return f"{found[1]}exec({found[2]})"
    if _BACKTICKS.search(line):
        return _BACKTICKS.sub(r"repr(\1)", line)
    if _OCTAL.search(line) and not set(line) & set("\"'"):
        return _OCTAL.sub(r"0o\1", line)
    return None
