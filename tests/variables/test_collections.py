"""What is in a collection, who puts it there, and what a call that fails leaves of it."""

from __future__ import annotations

import enum
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from torchscope import (
    ArgumentTypeError,
    ArgumentValueError,
    InitializerError,
    ScopedModule,
    get_buffer,
    get_module,
    get_variable,
    variable_scope,
)


class Tagging(ScopedModule):
    def forward(self, fail: bool) -> Tensor:
        w = get_variable("w", [2])
        self.add_to_collection("slow", w)
        assert not fail
        return w


@pytest.mark.parametrize("existing", [False, True])
def test_a_building_call_that_fails_leaves_no_variable_in_a_collection(existing: bool) -> None:
    model = Tagging()
    if existing:
        with model.as_default():
            get_variable("w", [2])
    with pytest.raises(AssertionError):
        model(True)
    with model.building():
        ScopedModule.add_to_collection(model, "other", 1)
    assert model.get_collection("slow") == []
    w = model(False)
    assert [each is w for each in model.get_collection("slow")] == [True]


def test_a_variable_that_is_deleted_is_in_no_collection() -> None:
    model = Tagging()
    model(False)
    del model.variables["w"]
    model.variables["w"] = nn.Parameter(torch.ones(2))
    assert model.get_collection("slow") == []


def test_a_parameter_of_a_layer_is_put_into_a_collection_as_any_variable() -> None:
    model = ScopedModule(lambda: get_module("layer", nn.Linear, 2, 2)).build()
    layer: Any = model.variables._modules["layer"]
    weight = layer.weight
    model.add_to_collection("slow", weight)
    model.add_to_collection("slow", weight)
    assert [each is weight for each in model.get_collection("slow")] == [True]
    assert model.get_collection("slow", "layer") == model.get_collection("slow")


class Seen(nn.Module):
    """A layer with a buffer that is saved and one that is not."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1))
        self.register_buffer("seen", torch.ones(2), persistent=False)


def test_buffers_of_a_layer_are_global_if_they_are_saved_and_local_if_not() -> None:
    model = ScopedModule(lambda: get_module("layer", Seen)).build()
    assert [tuple(v.shape) for v in model.global_variables()] == [(1,)]
    assert [tuple(v.shape) for v in model.local_variables()] == [(2,)]


def test_collections_may_come_from_a_generator_and_must_be_names() -> None:
    model = ScopedModule(lambda: get_variable("w", [2], collections=(name for name in ["mine", "variables"]))).build()
    assert model.specs["w"].collections == ("mine", "variables")
    for wrong in (5, ["mine", 5], "mine"):
        with pytest.raises(ArgumentTypeError, match="Give a list of names"):
            ScopedModule(lambda wrong=wrong: get_variable("w", [2], collections=wrong))()


def passes_on(getter: Any, name: str, *args: Any, **kwargs: Any) -> Any:
    return getter(name, *args, **{**kwargs, "reuse": "yes"})


def test_every_option_is_checked_whoever_gives_it() -> None:
    with pytest.raises(ArgumentTypeError, match="persistent cannot be 'no'"):
        ScopedModule(lambda: get_buffer("b", [2], persistent="no"))()
    with pytest.raises(ArgumentValueError, match="reuse='yes' is not allowed"):
        ScopedModule(lambda: get_variable("w", [2], custom_getter=passes_on))()


@pytest.mark.parametrize("dtype", [None, torch.float32])
def test_a_string_is_no_initializer_with_and_without_a_dtype(dtype: torch.dtype | None) -> None:
    with pytest.raises(InitializerError, match="'zeros' is a string, not an initializer"):
        ScopedModule(lambda: get_variable("w", [2], dtype, "zeros"))()


class Name(str, enum.Enum):  # noqa: UP042  # a StrEnum is shown as the string that it is
    SCOPE = "scope"
    WEIGHT = "weight"


def test_a_name_from_an_enum_is_the_string_that_it_is_everywhere() -> None:
    def forward() -> tuple[str, str]:
        with variable_scope(Name.SCOPE) as first, variable_scope(None, Name.WEIGHT) as second:
            get_variable(Name.WEIGHT, [1])
        return first.original_name_scope, second.name

    model = ScopedModule(forward)
    assert model.build()() == ("scope/", "scope/weight")
    model.variables[Name.WEIGHT] = nn.Parameter(torch.ones(1))
    assert [(type(path), path) for path in model.variables] == [(str, "scope/weight/weight"), (str, "weight")]
    assert model.specs["weight"].path == "weight"
    assert type(model.specs["weight"].path) is str


def test_a_scoped_module_in_a_layer_is_reset_by_nobody_but_itself() -> None:
    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lazy = nn.LazyLinear(2)
            self.inner = ScopedModule(lambda: get_variable("w", [1], initializer=nn.init.ones_)).build()

        def forward(self, x: Tensor) -> Tensor:
            return self.lazy(x) * self.inner()

    model = ScopedModule(lambda x: get_module("layer", Layer)(x)).build(torch.ones(1, 2))
    layer: Any = model.variables._modules["layer"]
    with torch.no_grad():
        layer.inner.variables["w"].fill_(7)
        layer.lazy.bias.fill_(7)
    model.reset_parameters()
    assert layer.inner.variables["w"].item() == 7
    assert 7 not in layer.lazy.bias.tolist()


SELECTIONS = {
    "trainable_variables": ScopedModule.trainable_variables,
    "global_variables": ScopedModule.global_variables,
    "local_variables": ScopedModule.local_variables,
    "regularization_losses": ScopedModule.regularization_losses,
    "get_collection": lambda model, scope: model.get_collection("variables", scope),
}


def gan() -> None:
    for name in ("generator", "judge"):
        with variable_scope(name), variable_scope("dense"):
            get_variable("kernel", [2])


@pytest.mark.parametrize("select", SELECTIONS.values(), ids=SELECTIONS)
@pytest.mark.parametrize("scope", ["genrator", "generator/dens", "gen", "**/kernal", "generator/dense/kernel/w"])
def test_a_selection_of_nothing_is_an_error_with_the_nearest_paths(select: Any, scope: str) -> None:
    model = ScopedModule(gan).build()
    with pytest.raises(ArgumentValueError) as raised:
        select(model, scope)
    said = str(raised.value)
    assert said.startswith(f"scope={scope!r} is not allowed here.")
    assert f"It selects none of the 2 variables of {model.variables.owner}." in said
    if scope != "gen":  # too short to be near anything
        assert "The nearest: 'generator" in said or "/kernel" in said


@pytest.mark.parametrize("select", SELECTIONS.values(), ids=SELECTIONS)
@pytest.mark.parametrize(
    "scope", [None, "", "generator", "generator/", "**/kernel", "generator/dense/kernel", "*/dense"]
)
def test_a_selection_of_something_is_none_even_if_nothing_of_it_is_in_the_collection(select: Any, scope: str) -> None:
    select(ScopedModule(gan).build(), scope)


def test_a_scope_without_variables_is_a_selection_of_nothing_too() -> None:
    model = ScopedModule(gan).build()
    with model.as_default(), variable_scope("empty") as scope:
        assert scope.trainable_variables() == []  # as in TensorFlow: what is below the scope that is open
        with pytest.raises(ArgumentValueError, match="scope='empty'"):
            model.trainable_variables(scope)


@pytest.mark.parametrize("selects", [3, ["a", 3], [b"a"], b"a", {"a": 1}], ids=repr)
def test_what_selects_nothing_by_its_kind_is_refused(selects: Any) -> None:
    with pytest.raises(ArgumentTypeError, match="Give a path, a glob, a VariableScope, or a list of these"):
        ScopedModule(gan).build().trainable_variables(selects)


def test_a_block_sees_what_the_calls_in_it_added_as_a_graph_that_is_built_in_parts() -> None:
    model = Penalized().build(torch.ones(2))
    model(torch.full((2,), 3.0))  # of before the block
    with model.as_default():
        assert model.get_collection("penalties") == [torch.tensor(6.0)]
        model(torch.ones(2)), model(torch.full((2,), 2.0))
        assert model.get_collection("penalties") == [torch.tensor(4.0)]
        model.add_to_collection("penalties", "of the block")
        assert model.get_collection("penalties") == [torch.tensor(4.0), "of the block"]
    assert model.get_collection("penalties") == [torch.tensor(4.0), "of the block"]
    with model.as_default():
        model.add_to_collection("others", "of another block")
        assert model.get_collection("penalties") == []
    assert model.get_collection("penalties") == []


def test_a_call_sees_nothing_that_was_added_before_it_also_if_it_builds() -> None:
    model = ScopedModule(lambda: model.get_collection("penalties"))
    with model.as_default():
        model.add_to_collection("penalties", "of the block")
    assert model() == []  # builds
    with model.as_default():
        model.add_to_collection("penalties", "of another block")
    assert model() == []


class Penalized(ScopedModule):
    """Adds a loss in each call."""

    def forward(self, x: Tensor) -> Tensor:
        self.add_to_collection("penalties", x.sum())
        return x


def test_a_number_among_the_losses_is_added() -> None:
    model = ScopedModule(lambda: get_variable("w", [2], initializer=nn.init.ones_, regularizer=torch.sum)).build()
    model.add_to_collection("regularization_losses", 0.5)
    assert model.regularization_loss().item() == 2.5
