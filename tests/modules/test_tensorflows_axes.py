"""What code for TensorFlow 1 brings along: its order of axes, its initializers, numpy's dtypes, no module at hand."""

from __future__ import annotations

import copy
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from torchscope import (
    ArgumentTypeError,
    ArgumentValueError,
    CheckpointError,
    InitializerError,
    NoActiveModuleError,
    ScopedModule,
    current_module,
    get_module,
    get_variable,
    glorot_uniform_initializer,
    he_uniform_initializer,
    orthogonal_initializer,
    variable_scope,
)
from torchscope.checkpoint import load_checkpoint

KERNEL = [3, 5, 40, 60]  # TensorFlow's: a window of 3 x 5, 40 inputs, 60 outputs
FANS = {"in": 15 * 40, "out": 15 * 60}


class Kernel(ScopedModule):
    options: dict[str, Any]

    def forward(self) -> Tensor:
        return get_variable("w", KERNEL, **self.options)


def module(layout: Any = "tf", **options: Any) -> ScopedModule:
    model = Kernel(seed=0, layout=layout)
    model.options = options
    return model.build()


def bound_of(model: ScopedModule) -> float:
    return max(variable.detach().abs().max().item() for variable in model.parameters())


GLOROT = math.sqrt(6 / (FANS["in"] + FANS["out"]))
HE = math.sqrt(6 / FANS["in"])


def in_two(shape: torch.Size, dtype: torch.dtype) -> list[int]:
    return [1, 1, 1, 2]


BOUNDS: dict[str, tuple[dict[str, Any], float]] = {
    "the default": ({}, GLOROT),
    "glorot": ({"initializer": glorot_uniform_initializer()}, GLOROT),
    "a class": ({"initializer": he_uniform_initializer}, HE),
    "in parts": ({"initializer": he_uniform_initializer(), "partitioner": in_two}, HE),
    "with an order of its own": (
        {"initializer": he_uniform_initializer(layout="torch")},
        math.sqrt(6 / (5 * 40 * 60)),
    ),
}


@pytest.mark.parametrize("case", BOUNDS)
def test_fans_are_read_in_the_order_that_the_module_declares(case: str) -> None:
    options, bound = BOUNDS[case]
    model = module(**options)
    assert bound * 0.999 < bound_of(model) <= bound
    before = {path: variable.detach().clone() for path, variable in model.variables.items()}
    with torch.no_grad():
        for variable in model.parameters():
            variable.zero_()
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), model):
        again.reset_parameters()
        assert all(torch.equal(again.variables[path], value) for path, value in before.items())


def test_an_orthogonal_kernel_is_orthogonal_over_its_outputs() -> None:
    model = ScopedModule(
        lambda: get_variable("w", [2, 2, 3, 5], initializer=orthogonal_initializer()), seed=0, layout="tf"
    ).build()
    matrix = model.variables["w"].reshape(12, 5)
    torch.testing.assert_close(matrix.mT @ matrix, torch.eye(5))


def test_without_a_declaration_axes_are_torchs() -> None:
    bound = math.sqrt(6 / ((3 + 5) * 40 * 60))
    assert bound * 0.999 < bound_of(module("torch")) <= bound


def test_an_order_that_is_none_is_refused() -> None:
    with pytest.raises(ArgumentValueError, match="Use 'torch'"):
        module("NHWC")


def test_a_checkpoint_is_loaded_as_it_is_but_for_torchs_layers(tmp_path: Path) -> None:
    pytest.importorskip("crc32c")

    def forward() -> None:
        with variable_scope("dense"):
            get_variable("kernel", [4, 4])
        get_module("torchs", nn.Linear, 4, 3, bias=False)

    square, other = np.arange(16, dtype=np.float32).reshape(4, 4), np.arange(12, dtype=np.float32).reshape(4, 3)
    np.savez(tmp_path / "saved.npz", **{"dense/kernel": square, "torchs.weight": other})
    model = ScopedModule(forward, layout="tf").build()
    load_checkpoint(model, tmp_path / "saved.npz")
    assert torch.equal(model.variables["dense/kernel"].cpu(), torch.from_numpy(square))
    assert torch.equal(model.variables.get_submodule("torchs").weight.cpu(), torch.from_numpy(other.T))
    load_checkpoint(model, tmp_path / "saved.npz", layout={"dense/*": "dense"})
    assert torch.equal(model.variables["dense/kernel"].cpu(), torch.from_numpy(square.T))
    with pytest.raises(CheckpointError, match="may be"):
        load_checkpoint(ScopedModule(forward).build(), tmp_path / "saved.npz")


# Functions of a shape


def of_shape(shape: list[int], dtype: torch.dtype | None = None, partition_info: object = None) -> Tensor:
    return torch.arange(math.prod(shape), dtype=dtype).reshape(shape)


class OfShape:
    def __call__(self, shape: list[int], dtype: torch.dtype | None = None) -> np.ndarray[Any, Any]:
        return np.arange(math.prod(shape)).reshape(shape).astype(np.float32)


@pytest.mark.parametrize("initializer", [of_shape, OfShape(), OfShape, lambda shape, dtype: of_shape(shape)])
def test_an_initializer_may_be_a_function_of_a_shape(initializer: Any) -> None:
    def forward() -> None:
        get_variable("w", [2, 3], initializer=initializer)
        with variable_scope("inner", initializer=initializer):
            get_variable("v", [4], torch.float64)

    model = ScopedModule(forward).build()
    assert model.variables["w"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert model.variables["inner/v"].tolist() == [0, 1, 2, 3]
    assert model.variables["inner/v"].dtype is torch.float64
    with torch.no_grad():
        model.variables["w"].zero_()
    model.reset_parameters()
    assert model.variables["w"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_function_of_a_shape_draws_from_the_stream_of_its_variable() -> None:
    def drawn(*names: str) -> dict[str, Tensor]:
        def forward() -> None:
            for name in names:
                get_variable(name, [3], initializer=lambda shape, dtype=None: torch.randn(shape, dtype=dtype))

        return dict(ScopedModule(forward, seed=5).build().variables.items())

    one, other = drawn("a", "b"), drawn("b", "more", "a")
    assert torch.equal(one["a"], other["a"])
    assert torch.equal(one["b"], other["b"])
    assert not torch.equal(one["a"], one["b"])


WRONG = {
    "another shape": lambda shape, dtype: torch.zeros(7),
    "another kind": lambda shape, dtype: torch.zeros(shape, dtype=torch.complex64),
    "no tensor": lambda shape, dtype: "zeros",
}


@pytest.mark.parametrize("case", WRONG)
def test_a_function_of_a_shape_that_gives_something_else_is_told(case: str) -> None:
    with pytest.raises(InitializerError, match="'w'.*the initializer"):
        ScopedModule(lambda: get_variable("w", [2], initializer=WRONG[case])).build()


# Dtypes of numpy


@pytest.mark.parametrize("dtype", [np.float64, np.dtype("float64"), np.int32, np.bool_])
def test_dtypes_of_numpy_are_those_of_torch(dtype: Any) -> None:
    def forward() -> None:
        get_variable("w", [2], dtype)
        with variable_scope("inner", dtype=dtype):
            get_variable("v", [2])

    wanted = torch.from_numpy(np.empty(0, dtype)).dtype
    model = ScopedModule(forward).build()
    assert [variable.dtype for variable in model.variables.values()] == [wanted, wanted]
    model()
    assert ScopedModule(lambda: get_variable("w", [2]), dtype=dtype).build().variables["w"].dtype is wanted


@pytest.mark.parametrize("dtype", ["float32", float, np.str_, np.dtype("U3"), object])
def test_what_is_no_dtype_of_torch_is_told(dtype: Any) -> None:
    with pytest.raises(ArgumentTypeError, match=r"Give a torch\.dtype"):
        ScopedModule(lambda: get_variable("w", [2], dtype)).build()


# The module that is running


def test_the_current_module_is_the_innermost_one_that_runs() -> None:
    found: list[object] = []
    inner = ScopedModule(lambda: found.append(current_module()))

    def forward() -> None:
        found.append(current_module())
        inner()
        found.append(current_module())

    outer = ScopedModule(forward)
    outer()
    assert found == [outer, inner, outer]
    with pytest.raises(NoActiveModuleError, match="current_module"):
        current_module()
