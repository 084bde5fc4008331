"""The code of a page of the documentation as one program: what is typed at ``>>>``, and the blocks between fences."""

from __future__ import annotations

import doctest
import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(ROOT.glob("docs/*.md")) + sorted(ROOT.glob("docs/howto/*.md"))
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page: Path) -> list[str]:
    """The blocks between fences that are Python."""
    return [code for language, code in _FENCED.findall(page.read_text()) if language == "python"]


def program(page: Path, *, with_errors: bool = True) -> str:
    """All the code of a page, in its order; lines that are shown to fail may do so, or be left out."""
    parts: list[str] = []
    at = 0
    text = page.read_text()
    for fenced in _FENCED.finditer(text):
        parts += _typed(text[at : fenced.start()], with_errors=with_errors)
        if fenced[1] == "python":
            parts.append(fenced[2])
        at = fenced.end()
    parts += _typed(text[at:], with_errors=with_errors)
    return "\n".join(parts)


def _typed(text: str, *, with_errors: bool) -> list[str]:
    parts = []
    for example in doctest.DocTestParser().get_examples(text):
        if example.exc_msg is None:
            parts.append(example.source)
        elif with_errors:
            parts.append(f"try:\n{textwrap.indent(example.source, '    ')}except Exception:\n    pass\n")
    return parts
