"""What a file became: its new text, and what is to be told of it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import Literal

How = Literal["torch", "torchscope", "torchscope.tf1", "left"]
# Code that also tells the kinds of its arguments to ``__kind__``, or the value of each call to ``__site__``.
Mode = Literal["plain", "records", "sites"]


@dataclass(frozen=True)
class Found:
    """One use of TensorFlow: where, of what, where it went, and what is to be said of it."""

    line: int
    symbol: str
    how: How
    note: str = ""


@dataclass
class Ported:
    """A file that was ported.

    Attributes:
        path: the file that was read.
        before, code: its text as it was, and as it is now.
        found: every use of TensorFlow.
        changed: the lines where ``x += y`` became ``x = x + y``, and the like: how, and which.
        dropped: arguments without effect in torch that are gone: each with how many.
    """

    path: str
    before: str
    code: str = ""
    found: list[Found] = field(default_factory=list)
    changed: dict[str, list[int]] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)

    @property
    def left(self) -> list[Found]:
        """What is still TensorFlow's."""
        return [each for each in self.found if each.how == "left"]

    def count(self, how: How) -> int:
        return sum(each.how == how for each in self.found)

    @property
    def diff(self) -> str:
        """A patch from the old text to the new one."""
        old, new = self.before.splitlines(keepends=True), self.code.splitlines(keepends=True)
        return "".join(difflib.unified_diff(old, new, self.path, f"{self.path} (ported)"))
