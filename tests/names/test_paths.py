"""Names that are paths, names that are not, and what a scope selects."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from torchscope import ArgumentValueError, InvalidNameError, ScopedModule, get_variable, variable_scope
from torchscope._names.paths import check, nearest, refuse_nothing, selector

REFUSED = {
    "empty": ("", "it is empty"),
    "dot": ("a.b", r"character '\.' at position 1"),
    "colon": ("w:0", r"character ':' at position 1"),
    "space": ("a b", r"character ' ' at position 1"),
    "newline": ("a\n", r"character '\\n' at position 1"),
    "no-break space": ("a\u00a0b", r"character '\\xa0' at position 1"),
    "control": ("a\x07", r"character '\\x07' at position 1"),
    "delete": ("\x7f", r"character '\\x7f' at position 0"),
    "leading slash": ("/a", "it begins with '/'"),
    "trailing slash": ("a/", "it ends with '/'"),
    "double slash": ("a//b", "the segment between the two slashes of '//' is empty"),
    "only a slash": ("/", "it begins with '/'"),
    "bytes": (b"w", "it is of type bytes, not a string"),
    "None": (None, "it is of type NoneType, not a string"),
}

# Names that an nn.ParameterDict refuses, breaks on, or finds as its own attributes.
ODD = ["keys", "items", "values", "training", "forward", "parameters", "_parameters", "_keys", "specs", "lock", "built"]
ODD += ["device", "dtype", "seed", "type", "state_dict", "__class__", "a-b", "0", "größe", "重み", "*", "a[0]", "drop"]
ODD += ["x" * 300, "a/b/c/d/e/f", "~", "\\", "'", '"', "{}", "%s"]


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("use", ["variable", "scope"])
def test_a_refused_name_says_what_is_wrong_with_it(name: str, use: str) -> None:
    asked, problem = REFUSED[name]

    def forward() -> None:
        if use == "variable":
            get_variable(asked, [1])  # type: ignore[arg-type]
        elif asked == "":  # the root, at the root; refused inside
            with variable_scope("a"), variable_scope(asked):
                pass
        elif isinstance(asked, str):
            with variable_scope(asked):
                pass
        else:
            raise InvalidNameError.of(asked, problem)

    with pytest.raises(InvalidNameError, match=f"is no valid name: {problem}"):
        ScopedModule(forward)()


@pytest.mark.parametrize("name", ODD)
def test_an_odd_name_works_as_variable_scope_and_key(name: str) -> None:
    def forward() -> tuple[torch.Tensor, torch.Tensor]:
        first = get_variable(name, [2])
        with variable_scope(name + "_"):
            return first, get_variable(name, [2])

    model = ScopedModule(forward)
    first, second = model()
    assert model.training
    assert list(model.variables) == [name, f"{name}_/{name}"]
    assert list(model.state_dict()) == [f"variables.{name}", f"variables.{name}_/{name}"]
    assert model()[0] is first is model.variables[name]
    other = ScopedModule(forward)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other()[1], second)
    assert len(model.eval().half().variables) == 2


SEGMENT = st.text(st.characters(exclude_categories=["Cc", "Cs", "Z"], exclude_characters="./:"), min_size=1, max_size=5)


@given(st.lists(SEGMENT, min_size=1, max_size=4))
def test_joined_segments_are_a_name(segments: list[str]) -> None:
    path = "/".join(segments)
    assert check(path) == path


@given(st.text(max_size=8))
def test_every_text_is_a_name_or_is_refused_as_one(text: str) -> None:
    try:
        assert check(text) == text
        assert all(segment for segment in text.split("/"))
    except InvalidNameError as error:
        assert repr(text) in str(error)


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
    "D.w": [],
}


@pytest.mark.parametrize("scope", SELECTED)
def test_a_scope_selects_by_path_and_not_by_prefix(scope: str) -> None:
    paths = ["D", "D/w", "D/a/w", "D_pre/w", "E/a/w"]
    assert [path for path in paths if selector(scope)(path)] == SELECTED[scope]


def test_the_nearest_path_is_found_among_many() -> None:
    paths = [f"layer_{i}/weights" for i in range(5000)]
    assert nearest("layer_4321/weight", paths)[0] == "layer_4321/weights"


def test_of_very_many_paths_those_that_share_a_name_or_a_scope_are_looked_at() -> None:
    many = [f"layer_{number}/kernel" for number in range(3000)]
    assert nearest("layer_7/kernl", many) == ["layer_7/kernel"]
    assert nearest("layer_2999/kernell", many[:-1]) == []
    assert len(nearest("layer_70/kernel", many)) == 3


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
