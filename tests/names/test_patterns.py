"""What a path or a glob selects."""

from __future__ import annotations

import pytest

from torchscope import ArgumentValueError
from torchscope._names.patterns import refuse_nothing, selector

SELECTED = {
    "": ["D", "D/w", "D/a/w", "D_pre/w", "E/a/w"],
    "D": ["D", "D/w", "D/a/w"],
    "D/": ["D", "D/w", "D/a/w"],
    "D/w": ["D/w"],
    "D*": ["D", "D/w", "D/a/w", "D_pre/w"],
    "?": ["D", "D/w", "D/a/w", "E/a/w"],
    "*/w": ["D/w", "D_pre/w"],
    "**/w": ["D/w", "D/a/w", "D_pre/w", "E/a/w"],
    "*/a": ["D/a/w", "E/a/w"],
    "[DE]/a": ["D/a/w", "E/a/w"],
    "[!D]/a": ["E/a/w"],
    "d": [],
    "D.w": ["D/w"],
    "{,D}": ["D", "D/w", "D/a/w"],
    "{D,E}/{a,b}": ["D/a/w", "E/a/w"],
}


@pytest.mark.parametrize("scope", SELECTED)
def test_a_scope_selects_by_path_and_not_by_prefix(scope: str) -> None:
    paths = ["D", "D/w", "D/a/w", "D_pre/w", "E/a/w"]
    assert [path for path in paths if selector(scope)(path)] == SELECTED[scope]


def test_what_exists_at_the_very_path_is_selected_and_not_what_it_would_mean_as_a_glob() -> None:
    paths = ["h[0]/w", "h0/w"]
    assert [path for path in paths if selector("h[0]", paths)(path)] == ["h[0]/w"]
    assert [path for path in paths if selector("h[0]", paths[1:])(path)] == ["h0/w"]


def test_a_glob_that_is_none_is_refused() -> None:
    with pytest.raises(ArgumentValueError, match="It is no glob"):
        selector("[z-a]")


@pytest.mark.parametrize("scope", ["", "a", "a/w", "*/w", "**/w", "a/"])
def test_a_selection_of_something_is_not_refused(scope: str) -> None:
    refuse_nothing(scope, ["a/w", "b/c/w"], "Model")


@pytest.mark.parametrize("scope", ["aa", "a/v", "*/v", "w", "c"])
def test_a_selection_of_nothing_is_refused(scope: str) -> None:
    with pytest.raises(ArgumentValueError, match="It selects none of the 2 variables of Model"):
        refuse_nothing(scope, ["a/w", "b/c/w"], "Model")
