"""The events of a call as data: the path above one, which entries end by an event, the innermost name scope."""

from __future__ import annotations

import pytest

from torchscope._names.events import BASE, Entry, Event, Left, NameEntry, innermost_name_entry, outer_prefix


@pytest.mark.parametrize(
    ("prefix", "above"),
    [("a/", ""), ("a/b/", "a/"), ("a/b/c/", "a/b/"), ("long/names/here/", "long/names/"), ("/", ""), ("", "")],
)
def test_the_prefix_above(prefix: str, above: str) -> None:
    assert outer_prefix(prefix) == above


@pytest.mark.parametrize(
    ("entry", "ends"),
    [
        (Entry("a/b/", "a/", "b"), False),
        (Entry("a/", "a/", ""), True),
        (Entry("", "", ""), True),
        (Entry("a/b/", "c/", "b", is_object=True), True),
        (Entry("a/", "a/", "", is_object=True), True),
    ],
)
def test_an_entry_that_could_be_mistaken_for_another_scope_ends_by_an_event(entry: Entry, ends: bool) -> None:
    assert entry.ends_by_event is ends


def test_an_entry_is_plain_unless_it_says_otherwise() -> None:
    entry = Entry("a/", "", "a")
    assert (entry.opens_name_scope, entry.by_default_name, entry.is_object, entry.again) == (True, False, False, None)


EVENTS: list[Event | None] = [
    NameEntry("x", BASE),
    Entry("a/", "", "a"),
    NameEntry("y", 1),
    NameEntry("z", 1),
    Left(3),
    None,
]


@pytest.mark.parametrize(
    ("end", "scope", "found"),
    [(5, 1, 2), (4, 1, 3), (3, 1, 2), (2, 1, None), (5, BASE, 0), (1, BASE, 0), (0, BASE, None)],
)
def test_the_innermost_name_scope_of_a_variable_scope(end: int, scope: int, found: int | None) -> None:
    assert innermost_name_entry(EVENTS, end, scope) == found
