"""Patterns: which paths a path or a glob selects."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable

from ..errors import ArgumentValueError
from .paths import say_nearest, scopes_of

_GLOB = re.compile(r"\*\*/?|\*|\?|\[!?[^\]]+\]")


def literal(path: str) -> str:
    """The glob that selects this path and nothing else, whatever characters it has."""
    return re.sub(r"([*?\[])", r"[\1]", path)


def selector(scope: str, existing: Iterable[str] = ()) -> Callable[[str], bool]:
    """A test for the paths that ``scope``, a path or a glob, selects: the path itself and everything below it.

    Where something exists at the very path, it is that and not a glob: ``h[0]`` is a name as good as any.

    ``*``, ``?`` and ``[...]`` stay within one segment, ``**`` crosses slashes, ``""`` selects everything.

    >>> [p for p in ("D/w", "D_pre/w", "D/a/w") if selector("D")(p)]
    ['D/w', 'D/a/w']
    >>> [p for p in ("h0/w", "h1/b", "h1/attn/w") if selector("h*/w")(p)], selector("**/w")("h1/attn/w")
    (['h0/w'], True)
    """
    scope = scope.removesuffix("/")
    if not scope:
        return lambda path: True
    below = scope + "/"

    def is_at(path: str) -> bool:
        return path == scope or path.startswith(below)

    if not _GLOB.search(scope) or any(map(is_at, existing)):
        return is_at
    try:
        matches = re.compile(_glob_pattern(scope) + r"(/.*)?", re.DOTALL).fullmatch
    except re.error as error:
        raise ArgumentValueError.of("scope", scope, f"It is no glob: {error}.") from None
    return lambda path: matches(path) is not None


def _glob_pattern(glob: str) -> str:
    wild = {"**/": "(.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts, start = [], 0
    for found in _GLOB.finditer(glob):
        token = found.group()
        parts.append(re.escape(glob[start : found.start()]))
        parts.append(wild.get(token) or _glob_class(token[1:-1]))
        start = found.end()
    return "".join(parts) + re.escape(glob[start:])


def _glob_class(characters: str) -> str:
    negated = characters.startswith("!")
    escaped = re.sub(r"([\\^\[&~|])", r"\\\1", characters[negated:])
    return f"(?!/)[{'^' if negated else ''}{escaped}]"


def refuse_nothing(scope: str, existing: Collection[str], owner: str, argument: str = "scope") -> None:
    """Refuse a path or a glob that selects nothing: who trains, freezes or loads by it would do nothing in silence.

    Raises:
        ArgumentValueError: none of ``existing`` is selected; the message has the nearest.
    """
    if scope and not any(map(selector(scope, existing), existing)):
        scopes = dict.fromkeys(scope for path in existing for scope in scopes_of(path))
        near = say_nearest(scope.replace("**/", "").replace("*", ""), (*scopes, *existing))
        raise ArgumentValueError.of(
            argument, scope, f"It selects none of the {len(existing)} variables of {owner}. {near}"
        )
