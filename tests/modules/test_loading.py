"""A module that is not built takes a file as the same module does that is built: values, dtypes, training, order."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from torchscope import (
    ScopedModule,
    ScopeError,
    TracingError,
    VariableDtypeError,
    VariableNotFoundError,
    get_buffer,
    get_module,
    get_variable,
    variable_scope,
)
from torchscope.checkpoint import load_checkpoint

DTYPES = [
    torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64, torch.bool, torch.complex64,
    torch.complex128,
]  # fmt: skip
ASKED = [None, torch.float16, torch.float32, torch.float64, torch.int64, torch.complex64]


def model_of(asked: torch.dtype | None, module_dtype: torch.dtype | None = None) -> ScopedModule:
    def forward() -> Tensor:
        return get_variable("w", [2], asked, initializer=torch.nn.init.zeros_)

    return ScopedModule(forward, dtype=module_dtype)


def loaded(model: ScopedModule, value: Tensor, how: str, folder: Path) -> ScopedModule:
    """The model with ``w`` from a file, after its first call; warnings are torch's own, of what it casts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if how == "state_dict":
            model.load_state_dict({"variables.w": value})
        else:
            torch.save({"w": value}, folder / "file.pt")
            load_checkpoint(model, folder / "file.pt")
        model()
    return model


@pytest.mark.parametrize("how", ["state_dict", "checkpoint"])
@pytest.mark.parametrize("module_dtype", [None, torch.float16, torch.float64], ids=str)
@pytest.mark.parametrize("asked", ASKED, ids=str)
@pytest.mark.parametrize("found", DTYPES, ids=str)
def test_what_was_loaded_before_the_first_call_is_what_would_have_been_loaded_after_it(
    found: torch.dtype, asked: torch.dtype | None, module_dtype: torch.dtype | None, how: str, tmp_path: Path
) -> None:
    value = torch.tensor([1 / 3, 7], dtype=torch.float64).to(found)
    try:
        built = loaded(model_of(asked, module_dtype).build(), value, how, tmp_path)
    except ScopeError:
        built = None
    kinds = [(dtype.is_floating_point, dtype.is_complex) for dtype in (found, asked or module_dtype or torch.float32)]
    if built is None or kinds[0] != kinds[1] or (found is torch.bool) != (asked is torch.bool):
        # torch's load_state_dict makes an integer a weight of a built module; asked for before, it is an error.
        with pytest.raises(VariableDtypeError, match="asked for dtype"):
            loaded(model_of(asked, module_dtype), value, how, tmp_path)
        return
    model = loaded(model_of(asked, module_dtype), value, how, tmp_path)
    ours, theirs = model.variables["w"], built.variables["w"]
    assert (ours.dtype, ours.requires_grad, type(ours)) == (theirs.dtype, theirs.requires_grad, type(theirs))
    assert torch.equal(ours, theirs)
    assert model.specs["w"].dtype == built.specs["w"].dtype == theirs.dtype


@pytest.mark.parametrize("how", ["state_dict", "checkpoint"])
@pytest.mark.parametrize(
    ("value", "asked"),
    [(torch.tensor([1e6, 1.0]), torch.float16), (torch.tensor([1.0, 1e300j], dtype=torch.complex128), torch.complex64)],
    ids=["float16", "complex64"],
)
def test_no_number_becomes_infinity(value: Tensor, asked: torch.dtype, how: str, tmp_path: Path) -> None:
    model, value = model_of(asked), value.to(torch.get_default_device())
    with pytest.raises(VariableDtypeError, match=r"cannot hold 1e\+(06|300)"):
        loaded(model, value, how, tmp_path)
    assert torch.equal(model.variables["w"], value)  # as it was before the call
    if how == "checkpoint":
        with pytest.raises(ScopeError, match=r"it holds 1e\+(06|300)"):
            loaded(model_of(asked).build(), value, how, tmp_path)


@pytest.mark.parametrize("write", ["by hand", "state_dict"])
def test_nothing_fake_is_stored(write: str) -> None:
    model = ScopedModule(lambda: get_variable("w", [2]))
    with FakeTensorMode():
        fake = torch.ones(2)
    wrapped: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        wrapped.append(tensor)
        return tensor

    torch.func.grad(keep)(torch.ones(()))
    for tensor in (fake, wrapped[0]):
        with pytest.raises(TracingError, match=r"fake tensors|torch\.func"):
            if write == "by hand":
                model.variables["w"] = tensor
            else:
                model.load_state_dict({"variables.w": tensor})
    assert list(model.variables) == []


def regularizer(w: Tensor) -> Tensor:
    return w.square().sum()


def constraint(w: Tensor) -> Tensor:
    return w.clamp(max=0.5)


@pytest.mark.parametrize("built", [False, True])
def test_a_variable_put_in_by_hand_is_declared_by_the_next_get(built: bool) -> None:
    def forward() -> Any:
        return get_variable("w", [2], regularizer=regularizer, constraint=constraint, trainable=False) if asks else None

    asks = not built
    model = ScopedModule(forward)
    if built:
        model.build()
    put = nn.Parameter(torch.ones(2))
    model.variables["w"] = put
    asks = True
    assert model() is put
    assert not put.requires_grad
    assert model.specs["w"].made_at is not None
    assert [loss.item() for loss in model.regularization_losses()] == [2]
    model.apply_constraints()
    assert put.tolist() == [0.5, 0.5]


def two_layers(x: Tensor) -> Tensor:
    with variable_scope("zeta"):
        x = x * get_variable("w", [3])
        x = get_module("linear", nn.Linear, 3, 3)(x) + get_buffer("shift", [3], initializer=torch.nn.init.ones_)
    with variable_scope("alpha"):
        return (x * get_variable("w", [3]) + get_buffer("shift", [3], initializer=torch.nn.init.ones_)).square().sum()


def train(model: ScopedModule, optimizer: torch.optim.Optimizer, x: Tensor) -> float:
    for _ in range(5):
        optimizer.zero_grad()
        loss = model(x)
        loss.backward()
        optimizer.step()
    return loss.item()


@pytest.mark.parametrize("first", ["call", "build", "building"])
def test_the_first_complete_call_leaves_the_order_of_the_code(first: str) -> None:
    """An optimizer's saved state goes to parameters by their order."""
    x = torch.linspace(1, 2, 3)
    model = ScopedModule(two_layers, seed=0).build(x)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    train(model, optimizer, x)
    state = {key: value.clone() for key, value in sorted(model.state_dict().items())}
    moments = copy.deepcopy(optimizer.state_dict())
    expected = train(model, optimizer, x)

    other = ScopedModule(two_layers, seed=0)
    other.load_state_dict({key: value for key, value in state.items() if "linear" not in key}, strict=False)
    assert next(iter(other.variables)) == "alpha/shift"
    if first == "build":
        other.build(x)
    elif first == "call":
        other(x)
    else:
        with other.building():
            other(x)
    assert [name for name, _ in other.named_parameters()] == [name for name, _ in model.named_parameters()]
    assert list(other.state_dict()) == list(model.state_dict())
    assert list(other.specs) == list(model.specs)
    other.load_state_dict(state)
    resumed = torch.optim.Adam(other.parameters(), lr=0.1)
    resumed.load_state_dict(moments)
    assert train(other, resumed, x) == expected


def test_a_first_call_that_fails_leaves_the_order_of_the_file() -> None:
    class Outer(ScopedModule):
        def __init__(self) -> None:
            super().__init__()
            self.inner = ScopedModule(two_layers, seed=0)

        def forward(self, x: Tensor, fail: bool) -> Tensor:
            x = self.inner(x)
            assert not fail
            return x

    x = torch.ones(3)
    state = ScopedModule(two_layers, seed=0).build(x).state_dict()
    model = Outer()
    model.inner.load_state_dict(dict(sorted((k, v) for k, v in state.items() if "linear" not in k)), strict=False)
    before = list(model.inner.variables)
    with pytest.raises(AssertionError):
        model(x, True)
    assert list(model.inner.variables) == before
    assert not model.inner.built
    model(x, False)
    assert list(model.inner.variables) != before


@pytest.mark.parametrize("found", [torch.int64, torch.float32, torch.float64])
def test_a_get_without_a_shape_leaves_what_was_loaded_as_it_is(found: torch.dtype) -> None:
    model = ScopedModule(lambda: get_variable("w"))
    model.load_state_dict({"variables.w": torch.ones(2, dtype=found)})
    assert model().dtype == found


def test_a_state_dict_of_which_the_code_asks_for_nothing_is_refused() -> None:
    def forward() -> None:
        with variable_scope("a"):
            get_variable("w", [2])

    model = ScopedModule(forward)
    model.load_state_dict({"variables.model/a/w": torch.ones(2)}, strict=False)
    with pytest.raises(
        VariableNotFoundError, match=r"Nothing of the state_dict .*\nIt has 'model/a/w'; the code asks for 'a/w'"
    ):
        model()
    assert not model.built
    assert list(model.variables) == ["model/a/w"]
