"""The options of the public functions, as ``help()`` and editors show them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from torchscope import ArgumentTypeError, ScopedModule, get_buffer, get_variable, ones_initializer, variable_scope
from torchscope._variables.sharding import ModuleSharding, Sharding
from torchscope._variables.spec import VariableSpec

OF_A_VARIABLE = "regularizer trainable collections device partitioner custom_getter constraint axes"
OF_A_SCOPE = "initializer regularizer custom_getter reuse dtype device partitioner constraint auxiliary_name_scope"
KEYWORDS: dict[Callable[..., Any], str] = {
    get_variable: OF_A_VARIABLE,
    get_buffer: "persistent device",
    variable_scope: OF_A_SCOPE,
}
SHOWN = {"persistent": True, "auxiliary_name_scope": True}  # all others are None until they are given


@pytest.mark.parametrize("function", KEYWORDS, ids=lambda function: function.__name__)
def test_help_shows_each_keyword_with_its_default(function: Callable[..., Any]) -> None:
    parameters = inspect.signature(function).parameters.values()
    keywords = {each.name: each.default for each in parameters if each.kind is each.KEYWORD_ONLY}
    assert set(keywords) == set(KEYWORDS[function].split())
    assert keywords == {name: SHOWN.get(name) for name in keywords}
    assert not [each for each in parameters if each.kind is each.VAR_KEYWORD]


@pytest.mark.parametrize("axes", ["embed", b"embed", 3, ("embed", 1), [None, True]], ids=repr)
def test_axes_are_names(axes: object) -> None:
    model = ScopedModule(lambda: get_variable("w", [2, 3], axes=axes))  # type: ignore[arg-type]
    with pytest.raises(ArgumentTypeError, match=r"axes.*\n.*Give a name or None for each axis, such as"):
        model.build()


def test_axes_may_come_from_any_iterable_and_lack_a_name() -> None:
    model = ScopedModule(lambda: get_variable("w", [2, 3], axes=(name for name in ("embed", None)))).build()
    assert model.specs["w"].axes == ("embed", None)


GIVEN: dict[str, object] = {
    "trainable": False,
    "collections": ("mine",),
    "axes": ("embed", None),
    "regularizer": torch.sum,
    "constraint": torch.relu,
}


@pytest.mark.parametrize("option", GIVEN)
def test_options_that_are_none_are_as_if_left_out_and_hide_no_other(option: str) -> None:
    others = dict.fromkeys(name for name in OF_A_VARIABLE.split() if name != option)
    options: Any = {**others, option: GIVEN[option]}
    spec = ScopedModule(lambda: get_variable("w", [2, 3], **options)).build().specs["w"]
    assert getattr(spec, option) == GIVEN[option]


class Halved(Sharding):
    """Holds the first half of a variable, as the first of two processes does."""

    def refuse_elsewhere(self, path: str, of_store: ModuleSharding | None) -> None:
        pass

    def seed(self, owner: str) -> int:
        return 0

    def place(self, spec: VariableSpec, tensor: Tensor) -> Tensor:
        return tensor[: spec.shape[0] // 2]


def test_a_layout_over_processes_is_taken_where_a_partitioner_is() -> None:
    def forward() -> None:
        get_variable("own", [4], initializer=ones_initializer(), partitioner=Halved())
        with variable_scope("scope", partitioner=Halved()):
            get_variable("w", [6])

    model = ScopedModule(forward).build()
    assert {path: tuple(variable.shape) for path, variable in model.variables.items()} == {"own": (2,), "scope/w": (3,)}
    assert model.specs["own"].shape == (4,)
