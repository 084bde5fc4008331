"""Names that are paths, and names that are not."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from torchscope import InvalidNameError, ScopedModule, get_module, get_variable, variable_scope
from torchscope._names.paths import _ATTRIBUTES, check, nearest

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
    "double quote": ('a"b', "character '\"' at position 1"),
    "backslash": ("a\\b", r"character '\\\\' at position 1"),
    "decomposed": ("e\u0301", "its characters are not in normal form .* for 'é': use that"),
    "micro sign": ("a/\u00b5", "its characters are not in normal form .* for 'a/μ': use that"),
    "ligature": ("\ufb01", "its characters are not in normal form .* for 'fi': use that"),
    "nothing that is seen": ("x\u200b", r"character '\\u200b' at position 1 cannot be seen"),
    "bytes": (b"w", "it is of type bytes, not a string"),
    "None": (None, "it is of type NoneType, not a string"),
}

# Names that an nn.ParameterDict refuses, breaks on, or finds as its own attributes.
ODD = [
    "keys",
    "items",
    "values",
    "a-b",
    "0",
    "größe",
    "重み",
    "é",
    "*",
    "a[0]",
    "drop",
    "x" * 300,
    "a/b/c/d/e/f",
    "~",
    "'",
]
ODD += ["{}", "%s", "self", "print", "_orig_mod"]

# Names that torch's own modules, or Python, have taken.
TAKEN = ["training", "forward", "parameters", "_parameters", "type", "state_dict", "__class__", "half", "_extra_state"]
TAKEN += ["class", "None", "import", "built", "seed", "device"]


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


@pytest.mark.parametrize("name", TAKEN)
def test_a_name_that_torch_or_python_has_taken_is_refused_at_the_root_and_works_in_a_scope(name: str) -> None:
    model = ScopedModule(lambda: get_variable(name, [2]))
    by = "Python, as a keyword" if name in ("class", "None", "import") else "torch, as an attribute of every module"
    by = "model.variables, as an attribute" if name in ("built", "seed", "device") else by
    with pytest.raises(InvalidNameError, match=f"'{name}' is no .*: at the root .* is taken by {by}; .*'{name}_'"):
        model()
    with pytest.raises(InvalidNameError, match="taken"):
        ScopedModule(lambda: get_module(name, nn.Linear, 1, 1))()
    with pytest.raises(InvalidNameError, match="taken"):
        model.variables[name] = nn.Parameter(torch.ones(2))
    with pytest.raises(RuntimeError, match="Unexpected key"):
        model.load_state_dict({f"variables.{name}": torch.ones(2)})
    with pytest.raises(InvalidNameError, match="taken"):
        ScopedModule(lambda: get_variable("w", [2], custom_getter=lambda getter, _, *a, **k: getter(name, *a, **k)))()

    def inside() -> torch.Tensor:
        with variable_scope(name):
            return get_variable(name, [2])

    assert list(ScopedModule(inside).build().variables) == [f"{name}/{name}"]


class Named(ScopedModule):
    """Two variables, of which one has a name that is given."""

    def __init__(self, name: str) -> None:
        super().__init__(seed=0)
        self.name = name

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * get_variable(self.name, [3]) + get_variable("other", [3])


def test_what_the_variables_of_a_module_hold_as_attributes_is_refused_at_the_root() -> None:
    attributes = set(vars(ScopedModule().variables)) - set(vars(nn.ParameterDict()))
    assert attributes | {"_keys"} == set(_ATTRIBUTES.split())


METHODS = ["keys", "items", "values", "drop"]  # of model.variables


@pytest.mark.parametrize("name", METHODS)
def test_where_torch_fx_finds_a_method_instead_of_a_variable_it_is_an_error(name: str) -> None:
    with pytest.raises(TypeError, match="method"):
        torch.fx.symbolic_trace(Named(name).build(torch.ones(3)))(torch.ones(3))


@pytest.mark.parametrize("use", ["export", "jit.trace", "fx", "functional_call", "strict load"])
@pytest.mark.parametrize("name", [*ODD, *(f"{name}/{name}" for name in TAKEN)])
def test_a_name_that_a_variable_may_have_works_wherever_torch_reads_it(name: str, use: str) -> None:
    x = torch.tensor([1.0, 2.0, 3.0])
    model = Named(name).build(x)
    expected = model(x)
    if use == "export":
        found = torch.export.export(model, (x,)).module()(x)
    elif use == "jit.trace":
        found = torch.jit.trace(model, (x,))(x)  # type: ignore[no-untyped-call]
    elif use == "fx" and name not in METHODS:
        found = torch.fx.symbolic_trace(model)(x)
    elif use == "functional_call":
        found = torch.func.functional_call(model, dict(model.state_dict()), (x,))
    else:  # a strict load
        other = Named(name).build(x)
        other.load_state_dict({key: value + 1 for key, value in model.state_dict().items()}, strict=True)
        found, expected = other(x), expected + x + 1
    torch.testing.assert_close(found, expected)


def test_a_name_that_is_not_ascii_compiles() -> None:
    x = torch.ones(3)
    model = Named("größe/größe").build(x)
    torch.testing.assert_close(torch.compile(model, backend="eager", fullgraph=True)(x), model(x))


SEGMENT = st.text(
    st.characters(codec="ascii", exclude_categories=["Cc", "Z"], exclude_characters='./:\\"'), min_size=1, max_size=5
)


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


def test_the_nearest_path_is_found_among_many() -> None:
    paths = [f"layer_{i}/weights" for i in range(5000)]
    assert nearest("layer_4321/weight", paths)[0] == "layer_4321/weights"


def test_of_very_many_paths_those_that_share_a_name_or_a_scope_are_looked_at() -> None:
    many = [f"layer_{number}/kernel" for number in range(3000)]
    assert nearest("layer_7/kernl", many) == ["layer_7/kernel"]
    assert nearest("layer_2999/kernell", many[:-1]) == []
    assert len(nearest("layer_70/kernel", many)) == 3
