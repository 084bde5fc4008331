"""Paths as strings: join them, check them, find the nearest."""

from __future__ import annotations

import difflib
import keyword
import re
import unicodedata
from collections.abc import Iterable

import torch
from torch import nn

from ..errors import InvalidNameError

# A dot splits keys, a colon ends TensorFlow's names, and quotes and backslashes break the code that torch writes.
_FORBIDDEN = re.compile(r"""[.:"\\\s\x00-\x1f\x7f-\x9f]""")
# What `model.variables` holds as an attribute, where torch.fx would find it instead of the variable.
_ATTRIBUTES = (
    "_keys building building_calls built collected device dtype entered first_values fsdp_units function_scopes"
    " is_replica layout lock made_strictly makers module_made_at of_other_code owner parts path_of_id provisional seed"
    " settled sharding specs tagged tree"
)
_HIDDEN = ("Cf", "Cs", "Co", "Cn")  # formats, halves of characters, and what is no character
_TAKEN_AT_ROOT = frozenset((*dir(nn.Module()), *_ATTRIBUTES.split(), *keyword.kwlist, "_extra_state"))


def join(prefix: str, name: str) -> str:
    """The path of ``name`` inside the scope ``prefix``; ``""`` is the root.

    >>> join("a/b", "w"), join("", "w")
    ('a/b/w', 'w')
    """
    return f"{prefix}/{name}" if prefix else name


def prefix_of(path: str) -> str:
    """What stands before a name inside a path: ``"a/b/"``, and ``""`` at the root.

    >>> prefix_of("a/b"), prefix_of("")
    ('a/b/', '')
    """
    return path and path + "/"


def check(name: object) -> str:
    """Return ``name`` if it can be a path or a part of one; raise :class:`InvalidNameError` otherwise.

    >>> check("conv1/weights")
    'conv1/weights'
    """
    if not isinstance(name, str):
        raise InvalidNameError.of(name, f"it is of type {type(name).__name__}, not a string")
    name = str.__str__(name)  # of an enum, the string that it is and not how it is shown
    if name.isascii() and name.isidentifier():
        return name
    if not name:
        raise InvalidNameError.of(name, "it is empty")
    bad = _FORBIDDEN.search(name)
    if bad:
        raise InvalidNameError.of(name, f"character {bad.group()!r} at position {bad.start()} is not allowed")
    for problem, found in (
        ("it begins with '/'", name[0] == "/"),
        ("it ends with '/'", name[-1] == "/"),
        ("the segment between the two slashes of '//' is empty", "//" in name),
    ):
        if found:
            raise InvalidNameError.of(name, problem)
    if name.isascii() or torch.compiler.is_compiling():  # what is compiled was checked when the module was built
        return name
    hidden = next((at for at, character in enumerate(name) if unicodedata.category(character) in _HIDDEN), None)
    if hidden is not None:
        raise InvalidNameError.of(name, f"character {name[hidden]!a} at position {hidden} cannot be seen")
    normal = unicodedata.normalize("NFKC", name)
    if name != normal:
        problem = f"its characters are not in normal form (NFKC), and Python takes it for {normal!r}: use that"
        raise InvalidNameError.of(name, problem)
    return name


def check_path(path: object) -> str:
    """Return ``path`` if it can be the whole path of a variable or a layer: :func:`check`, then :func:`check_whole`."""
    return check_whole(check(path))


def check_whole(path: str) -> str:
    """Return ``path`` if it can be the whole path of a variable or a layer; its parts are checked already.

    At the root a path is a plain attribute name, and torch has taken some: ``torch.export``, ``torch.jit`` and
    ``torch.fx`` write modules on which ``forward`` is the method, and code in which ``class`` is no name.

    >>> check_whole("block/training"), check_whole("keys")
    ('block/training', 'keys')
    >>> check_whole("training")
    Traceback (most recent call last):
    ...
    torchscope.errors.InvalidNameError: 'training' is no valid name: at the root of a module it is taken by ...
    """
    if path in _TAKEN_AT_ROOT:
        by = "Python, as a keyword" if keyword.iskeyword(path) else "torch, as an attribute of every module"
        by = "model.variables, as an attribute" if path in _ATTRIBUTES.split() else by
        problem = f"at the root of a module it is taken by {by}; open a scope around it, or call it '{path}_'"
        raise InvalidNameError.of(path, problem)
    return path


def scopes_of(path: str) -> list[str]:
    """The scopes that a path lies in, from the outside.

    >>> scopes_of("a/b/w"), scopes_of("w")
    (['a', 'a/b'], [])
    """
    return [path[:end] for end, character in enumerate(path) if character == "/"]


def nearest(path: str, existing: Iterable[str], most: int = 3) -> list[str]:
    """The existing paths that ``path`` may have been meant to be, best first: all of it is alike, or the last name.

    >>> nearest("conv1/weigths", ["conv1/weights", "conv2/biases"]), nearest("wieghts", ["a/b/c/d/conv1/weights"])
    (['conv1/weights'], ['a/b/c/d/conv1/weights'])
    """
    paths = list(existing)
    parent, _, last = path.rpartition("/")
    if len(paths) > 2000:  # difflib is quadratic in the length of a path: look at the likely ones only
        paths = [p for p in paths if p.endswith(last) or p.startswith(parent + "/")][:2000]
    near = difflib.get_close_matches(path, paths, n=most)
    if not near:
        by_name: dict[str, str] = {}
        for each in paths:
            by_name.setdefault(each.rpartition("/")[2], each)
        near = [by_name[name] for name in difflib.get_close_matches(last, by_name, n=most)]
    return near


def say_nearest(path: str, existing: Iterable[str]) -> str:
    """The nearest as a sentence, or nothing where none is near.

    >>> say_nearest("conv1/weigths", ["conv1/weights", "conv2/biases"])
    "The nearest: 'conv1/weights'."
    """
    near = ", ".join(f"'{path}'" for path in nearest(path, existing))
    return f"The nearest: {near}." if near else ""
