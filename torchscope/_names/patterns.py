"""Patterns: which paths a path, a glob or several of them select."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable

from ..errors import ArgumentValueError
from .paths import say_nearest, scopes_of

Patterns = str | tuple[str, ...]  # paths and globs; of several, what any of them selects
_GLOB = re.compile(r"\*\*/?|\*|\?|\[!?[^\]]+\]")
_BRACES = re.compile(r"(?<!\[)\{([^{}]*,[^{}]*)\}")


def literal(path: str) -> str:
    """The glob that selects this path and nothing else, whatever characters it has.

    >>> literal("h[0]/{a,b}")
    'h[[]0]/[{]a,b}'
    """
    return re.sub(r"([*?\[{])", r"[\1]", path)


def selector(scope: Patterns, existing: Iterable[str] = ()) -> Callable[[str], bool]:
    """A test for the paths that ``scope`` selects: the path itself and everything below it.

    ``*``, ``?`` and ``[...]`` stay within one segment, ``**`` crosses slashes, ``{a,b}`` is either, ``""`` selects
    everything. Where something exists at the very path, it is that and not a glob: ``h[0]`` is a name as good as any.
    A dot counts as a slash, in patterns as in the name of a tensor in a layer, ``gru.weight_ih_l0``.

    >>> [p for p in ("D/w", "D_pre/w", "D/a/w") if selector("D")(p)]
    ['D/w', 'D/a/w']
    >>> [p for p in ("h0/w", "h1/b", "h1/attn/w") if selector("h*/w")(p)], selector("**/w")("h1/attn/w")
    (['h0/w'], True)
    >>> [p for p in ("a/gamma", "a/beta", "a/gru.beta") if selector("**/{beta,bias}")(p)]
    ['a/beta', 'a/gru.beta']
    """
    if not isinstance(scope, str):
        return _any(selector(each, existing) for each in scope)
    scope = scope.removesuffix("/")
    if not scope:
        return lambda path: True
    below = scope + "/"

    def is_at(path: str) -> bool:
        return path == scope or path.startswith(below)

    if any(map(is_at, existing)):
        return _slashed(is_at)
    if "." in scope:
        return _any([_slashed(is_at), selector(scope.replace(".", "/"), existing)])
    if _BRACES.search(scope):
        return _any(selector(each, existing) for each in _alternatives(scope))
    return _slashed(_matcher(scope) if _GLOB.search(scope) else is_at)


def _matcher(scope: str) -> Callable[[str], bool]:
    try:
        matches = re.compile(_glob_pattern(scope) + r"(/.*)?", re.DOTALL).fullmatch
    except re.error as error:
        raise ArgumentValueError.of("scope", scope, f"It is no glob: {error}.") from None
    return lambda path: matches(path) is not None


def _slashed(selects: Callable[[str], bool]) -> Callable[[str], bool]:
    """The same test, to which the name of a tensor in a layer is a path as well."""
    return lambda path: selects(path) or ("." in path and selects(path.replace(".", "/")))


def _any(tests: Iterable[Callable[[str], bool]]) -> Callable[[str], bool]:
    each = list(tests)
    return lambda path: any(selects(path) for selects in each)


def _alternatives(glob: str) -> list[str]:
    """A glob for each choice of its braces, the inner ones first."""
    braces = _BRACES.search(glob)
    if braces is None:
        return [glob]
    before, after = glob[: braces.start()], glob[braces.end() :]
    choices = [choice for choice in braces[1].split(",") if before + choice + after]  # nothing would be everything
    return [each for choice in choices for each in _alternatives(before + choice + after)]


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


def selecting(
    scope: Patterns, existing: Collection[str], owner: str, argument: str = "scope", what: str = "variables"
) -> Callable[[str], bool]:
    """A test as :func:`selector` gives it, of a pattern that selects something of ``existing``.

    Raises:
        ArgumentValueError: it selects nothing, as :func:`refuse_nothing` says.
    """
    refuse_nothing(scope, existing, owner, argument, what)
    return selector(scope, existing)


def refuse_nothing(
    scope: Patterns, existing: Collection[str], owner: str, argument: str = "scope", what: str = "variables"
) -> None:
    """Refuse a pattern that selects nothing: who trains, freezes or loads by it would do nothing in silence.

    ``what`` is what the paths of ``existing`` are of.

    Raises:
        ArgumentValueError: none of ``existing`` is selected; the message has the nearest.
    """
    if not isinstance(scope, str):
        for each in scope:
            refuse_nothing(each, existing, owner, argument, what)
    if not scope and not isinstance(scope, str):
        raise ArgumentValueError.of(argument, list(scope), "Give one path or glob at least.")
    if scope and isinstance(scope, str) and not any(map(selector(scope, existing), existing)):
        scopes = (inside for path in existing for inside in scopes_of(path.replace(".", "/")))
        near = say_nearest(re.sub(r"\*\*/|[*{}]", "", scope), dict.fromkeys((*scopes, *existing)))
        anywhere = "" if scope.startswith("**/") or not any(map(selector(f"**/{scope}"), existing)) else f"**/{scope}"
        hint = f"At any depth it is {anywhere!r}. " if anywhere else ""
        raise ArgumentValueError.of(
            argument, scope, f"It selects none of the {len(existing)} {what} of {owner}. {hint}{near}"
        )
