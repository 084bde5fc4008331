"""Custom getters: what they see, what they may change, and in which order they are called."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from torchscope import (
    AUTO_REUSE,
    ArgumentTypeError,
    ArgumentValueError,
    InvalidNameError,
    ScopedModule,
    VariableExistsError,
    VariableShapeError,
    get_buffer,
    get_local_variable,
    get_variable,
    get_variable_scope,
    ones_initializer,
    variable_scope,
    zeros_initializer,
)


def logging(log: list[Any], label: str) -> Any:
    def getter(getter: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        log.append((label, name))
        return getter(name, *args, **kwargs)

    return getter


def test_the_inner_getter_is_called_first_and_its_getter_is_the_outer_one() -> None:
    log: list[Any] = []

    def forward() -> None:
        with variable_scope("o", custom_getter=logging(log, "outer")):
            with variable_scope("i", custom_getter=logging(log, "inner")) as scope:
                get_variable("v", [1])
            with variable_scope("x"):
                get_variable("v", [1])
        with variable_scope(scope, custom_getter=logging(log, "jump"), reuse=True):
            get_variable("v", [1])

    ScopedModule(forward)()
    assert log == [
        *[("inner", "o/i/v"), ("outer", "o/i/v")],
        ("outer", "o/x/v"),
        *[("jump", "o/i/v"), ("inner", "o/i/v"), ("outer", "o/i/v")],
    ]


def test_the_getter_of_one_variable_takes_the_place_of_the_scopes() -> None:
    log: list[Any] = []

    def forward() -> None:
        with variable_scope("o", custom_getter=logging(log, "scope")):
            get_variable("v", [1], custom_getter=logging(log, "own"))

    ScopedModule(forward)()
    assert log == [("own", "o/v")]


def test_a_getter_sees_the_filled_in_request() -> None:
    seen: list[dict[str, Any]] = []

    def look(getter: Any, name: str, **kwargs: Any) -> Any:
        seen.append(kwargs)
        return getter(name, **kwargs)

    fill, loss, project = ones_initializer(), torch.sum, torch.abs

    def forward() -> None:
        with variable_scope("a", initializer=fill, regularizer=loss, constraint=project, custom_getter=look):
            get_variable("v", [1], trainable=False, collections=["mine"], device="cpu")
            get_buffer("b", [2], torch.int64, zeros_initializer())

    ScopedModule(forward, dtype=torch.float64)()
    cpu = torch.device("cpu")
    assert seen == [
        {
            "shape": [1],
            "dtype": torch.float64,
            "initializer": fill,
            "device": "cpu",
            "reuse": False,
            "collections": ["mine"],
            "regularizer": loss,
            "constraint": project,
            "partitioner": None,
            "trainable": False,
        },
        {
            "shape": [2],
            "dtype": torch.int64,
            "initializer": zeros_initializer(),
            "device": None,
            "reuse": False,
            "collections": None,
            "trainable": False,
            "persistent": True,
        },
    ]
    assert cpu == torch.device(seen[0]["device"])


def test_a_getter_may_rename_change_arguments_and_return_any_tensor() -> None:
    def normalized(getter: Any, name: str, shape: Any, **kwargs: Any) -> Any:
        direction = getter(name + "/v", shape, **kwargs)
        scale = getter(name + "/g", [shape[0], 1], **{**kwargs, "initializer": ones_initializer()})
        return scale * direction / direction.norm(dim=1, keepdim=True)

    def forward() -> torch.Tensor:
        with variable_scope("d", custom_getter=normalized):
            weight: torch.Tensor = get_variable("w", [2, 3])
        return weight

    model = ScopedModule(forward)
    weight = model()
    assert list(model.variables) == ["d/w/v", "d/w/g"]
    assert torch.allclose(weight.norm(dim=1), torch.ones(2))
    weight.sum().backward()
    assert all(variable.grad is not None for variable in model.parameters())
    assert torch.equal(model(), weight)


def test_a_getter_that_passes_the_dtype_on_does_not_ask_for_it() -> None:
    log: list[Any] = []

    def forward() -> None:
        w = get_variable("w", [1], torch.float64)
        with variable_scope("", reuse=True, custom_getter=logging(log, "")):
            assert get_variable("w") is w

    ScopedModule(forward)()


def test_a_getter_that_stores_in_another_dtype_casts() -> None:
    def in_float32(getter: Any, name: str, shape: Any, dtype: Any, **kwargs: Any) -> Any:
        return getter(name, shape, torch.float32, **kwargs).to(dtype)

    def forward() -> torch.Tensor:
        with variable_scope("", dtype=torch.float16, custom_getter=in_float32):
            w: torch.Tensor = get_variable("w", [2])
        return w

    model = ScopedModule(forward)
    assert [model().dtype for _ in range(2)] == [torch.float16] * 2
    assert model.variables["w"].dtype is torch.float32


def test_the_rules_of_reuse_hold_behind_a_getter() -> None:
    def forward(share: bool) -> None:
        with variable_scope("a", custom_getter=logging([], "")) as scope:
            get_variable("w", [1])
            if share:
                scope.reuse_variables()
            get_variable("w", [1])

    model = ScopedModule(forward)
    model(True)
    for _ in range(2):
        with pytest.raises(VariableExistsError, match="'a/w' was already got in this call"):
            model(False)


def test_a_getter_may_ask_for_sharing() -> None:
    def auto(getter: Any, name: str, **kwargs: Any) -> Any:
        return getter("one", **{**kwargs, "reuse": AUTO_REUSE})

    def forward() -> bool:
        with variable_scope("a", custom_getter=auto):
            return get_variable("x", [1]) is get_variable("y", [1])

    assert ScopedModule(forward)()


def test_getters_see_buffers_and_local_variables() -> None:
    log: list[Any] = []

    def forward() -> None:
        get_variable_scope().set_custom_getter(logging(log, "g"))
        get_buffer("b", [1])
        get_local_variable("l", [1])
        get_variable_scope().get_variable("v", [1])

    model = ScopedModule(forward)
    model()
    assert log == [("g", "b"), ("g", "l"), ("g", "v")]
    assert list(model.state_dict()) == ["variables.v", "variables.b"]


def test_a_getter_or_partitioner_that_is_set_later_is_asked_for_variables_that_are_there() -> None:
    log: list[Any] = []

    def forward(sets: str) -> Tensor:
        with variable_scope("a") as scope:
            if sets == "getter":
                scope.set_custom_getter(logging(log, "g"))
            if sets == "partitioner":
                scope.set_partitioner(lambda **kwargs: [2])
            return get_variable("w", [2])

    model = ScopedModule(forward).build("nothing")
    for _ in range(3):  # the first call of a built module, and those that are held against it
        assert model("getter") is model.variables["a/w"]
    assert log == [("g", "a/w")] * 3
    with pytest.raises(ArgumentValueError, match="exists in one piece"):
        model("partitioner")


def test_what_a_getter_asks_for_is_checked() -> None:
    def forward(getter: Any) -> None:
        with variable_scope("a", custom_getter=getter):
            get_variable("w", [1])

    def bad_name(getter: Any, name: str, **kwargs: Any) -> Any:
        return getter("a.b", **kwargs)

    def bad_shape(getter: Any, name: str, **kwargs: Any) -> Any:
        return getter(name, **{**kwargs, "shape": [-1]})

    def bad_dtype(getter: Any, name: str, **kwargs: Any) -> Any:
        return getter(name, **{**kwargs, "dtype": "float16"})

    for getter, error in (
        (bad_name, InvalidNameError),
        (bad_shape, VariableShapeError),
        (bad_dtype, ArgumentTypeError),
    ):
        with pytest.raises(error):
            ScopedModule(forward)(getter)


def test_a_getter_is_shown_what_is_trained_and_passing_it_on_changes_nothing() -> None:
    """TensorFlow shows ``trainable=True`` where nothing was said, and ``False`` for a local variable."""
    seen = {}

    def getter(getter: Any, name: str, *args: Any, trainable: Any = None, **kwargs: Any) -> Any:
        seen[name] = trainable
        return getter(name, *args, trainable=trainable, **kwargs)

    def forward() -> None:
        with variable_scope("", custom_getter=getter):
            get_variable("real", [1])
            get_variable("integer", [1], torch.int64)
            get_variable("frozen", [1], trainable=False)
            get_buffer("buffer", [1])

    model = ScopedModule(forward).build()
    assert seen == {"real": True, "integer": True, "frozen": False, "buffer": False}
    assert [spec.path for spec in model.specs.values() if spec.trainable] == ["real"]
