"""``model.tie``: two paths, one variable, whatever is done with the module."""

from __future__ import annotations

import copy
import io
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from torchscope import (
    ArgumentTypeError,
    ArgumentValueError,
    ScopedModule,
    VariableNotFoundError,
    get_buffer,
    get_variable,
)

TOKENS = torch.tensor([1, 3, 2])


def language_model(tokens: Tensor) -> Tensor:
    x = get_variable("embedding", [10, 4])[tokens]
    get_variable("other", [4, 10]), get_buffer("table", [10, 4]), get_variable("whole", [10, 4], torch.float64)
    return x @ get_variable("output", [10, 4]).mT


def tied() -> ScopedModule:
    model = ScopedModule(language_model, seed=1).build(TOKENS)
    model.tie("output", "embedding")
    return model


def test_both_paths_are_one_variable_with_the_values_of_the_second() -> None:
    model = ScopedModule(language_model, seed=1).build(TOKENS)
    embedding = model.variables["embedding"].detach().clone()
    model.tie("output", "embedding")
    assert model.variables["output"] is model.variables["embedding"]
    assert torch.equal(model.variables["output"], embedding)
    torch.testing.assert_close(model(TOKENS), embedding[TOKENS] @ embedding.mT)


def test_it_is_one_parameter_and_two_keys() -> None:
    model = tied()
    assert [name for name, _ in model.named_parameters()].count("variables.output") == 0
    assert {"variables.output", "variables.embedding"} <= set(model.state_dict())


def test_a_step_moves_both_by_the_gradient_of_both_uses() -> None:
    model = tied()
    free = model.variables["embedding"].detach().clone().requires_grad_()
    (free[TOKENS] @ free.mT).square().sum().backward()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(TOKENS).square().sum().backward()
    torch.testing.assert_close(model.variables["embedding"].grad, free.grad)
    optimizer.step()
    assert model.variables["output"] is model.variables["embedding"]


def pickled(model: ScopedModule) -> Any:
    return pickle.loads(pickle.dumps(model))


def saved(model: ScopedModule) -> Any:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def converted(model: ScopedModule) -> Any:
    return model.double().float()


def emptied(model: ScopedModule) -> Any:
    model.to("meta").to_empty(device="cpu").reset_parameters()
    return model


@pytest.mark.parametrize("what", [copy.deepcopy, pickled, saved, converted, emptied])
def test_it_stays_tied(what: Any) -> None:
    model = what(tied())
    assert model.variables["output"] is model.variables["embedding"]
    embedding = model.variables["embedding"]
    torch.testing.assert_close(model(TOKENS), embedding[TOKENS] @ embedding.mT)


def test_it_compiles_as_one_graph() -> None:
    model = tied()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(TOKENS), model(TOKENS))


def test_its_state_loads_into_another_that_is_tied() -> None:
    model, other = tied(), ScopedModule(language_model, seed=2).build(TOKENS)
    other.tie("output", "embedding")
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(other(TOKENS), model(TOKENS))
    assert other.variables["output"] is other.variables["embedding"]


def test_safetensors_saves_it_once_and_loads_it(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    model, other = tied(), ScopedModule(language_model, seed=2).build(TOKENS)
    other.tie("output", "embedding")
    safetensors.save_model(model, str(tmp_path / "model.safetensors"))
    safetensors.load_model(other, str(tmp_path / "model.safetensors"))
    torch.testing.assert_close(other(TOKENS), model(TOKENS))


def test_those_that_were_tied_to_it_go_with_it() -> None:
    def forward() -> None:
        for name in "abc":
            get_variable(name, [2])

    model = ScopedModule(forward).build()
    model.tie("b", "a")
    model.tie("a", "c")
    assert len({id(v) for v in model.variables.values()}) == 1
    model.tie("a", "b")  # they are one already
    assert len(list(model.parameters())) == 1


REFUSED: dict[str, tuple[str, str, type[Exception], str]] = {
    "no such variable": (
        "outptu",
        "embedding",
        VariableNotFoundError,
        "'outptu' is no variable of .* itself.*\n.*'output'",
    ),
    "no such other": ("output", "embeding", VariableNotFoundError, "'embeding' is no variable of"),
    "another shape": (
        "other",
        "embedding",
        ArgumentValueError,
        r"shape \(4, 10\) and 'embedding' \(10, 4\)",
    ),
    "another dtype": ("whole", "embedding", ArgumentValueError, "'whole' has dtype torch.float64 and"),
    "a buffer": ("table", "embedding", ArgumentValueError, "path='table' .*\nIt is a buffer"),
    "to a buffer": ("output", "table", ArgumentValueError, "to='table' .*\nIt is a buffer"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_one_is_refused_and_nothing_changes(case: str) -> None:
    path, to, error, message = REFUSED[case]
    model = ScopedModule(language_model).build(TOKENS)
    before = dict(model.variables.items())
    with pytest.raises(error, match=message):
        model.tie(path, to)
    assert all(model.variables[name] is tensor for name, tensor in before.items())


def test_a_parametrized_variable_is_refused() -> None:
    model = ScopedModule(language_model).build(TOKENS)
    torch.nn.utils.parametrizations.weight_norm(model.variables, "output")
    with pytest.raises(ArgumentValueError, match="It is computed from others"):
        model.tie("output", "embedding")


def test_a_path_is_a_string() -> None:
    model = ScopedModule(language_model).build(TOKENS)
    with pytest.raises(ArgumentTypeError, match="Give the path of a variable"):
        model.tie("output", model.variables["embedding"])  # type: ignore[arg-type]
