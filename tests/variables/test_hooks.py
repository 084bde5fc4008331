"""Whatever works by a forward pre-hook of the module that owns a weight: the same numbers as of an ``nn.Linear``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import prune, spectral_norm, weight_norm

from torchscope import ScopedModule, get_variable, scoped, variable_scope

pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated"),
    pytest.mark.filterwarnings("ignore:`torch.nn.utils.spectral_norm` is deprecated"),
]

Apply = Callable[[nn.Module, str], Any]


def half_pruned(module: nn.Module, name: str) -> Any:
    return prune.l1_unstructured(module, name, 0.5)


def twice_pruned(module: nn.Module, name: str) -> Any:
    prune.random_unstructured(module, name, 0.25)
    return prune.l1_unstructured(module, name, 0.5)


HOOKED: dict[str, Apply] = {
    "prune": half_pruned,
    "prune twice": twice_pruned,
    "weight_norm": weight_norm,
    "spectral_norm": spectral_norm,
}


def dense(x: Tensor) -> Tensor:
    with variable_scope("dense"):
        return F.linear(x, get_variable("kernel", [4, 4]), get_variable("bias", [4]))


class Dense(ScopedModule):
    def forward(self, x: Tensor) -> Tensor:
        return dense(x)

    @scoped
    def again(self, x: Tensor) -> Tensor:
        return dense(x)


def twins(apply: Apply) -> tuple[Dense, nn.Linear]:
    """Two with equal weights, to both of which the same was done."""
    plain = nn.Linear(4, 4)
    model = Dense(seed=0).build(torch.ones(2, 4))
    with torch.no_grad():
        model.variables["dense/kernel"].copy_(plain.weight)
        model.variables["dense/bias"].copy_(plain.bias)
    for module, name in ((plain, "weight"), (model.variables, "dense/kernel")):
        torch.manual_seed(0)
        apply(module, name)
    return model, plain


def train(model: nn.Module, x: Tensor, steps: int = 3) -> list[Tensor]:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    outputs = []
    for _ in range(steps):
        optimizer.zero_grad()
        output = model(x)
        output.square().mean().backward()
        optimizer.step()
        outputs.append(output.detach())
    return outputs


@pytest.fixture
def x() -> Tensor:
    return torch.linspace(-1, 1, 8).reshape(2, 4)


@pytest.mark.parametrize("apply", HOOKED.values(), ids=HOOKED)
def test_training_and_loading_a_hooked_weight_gives_the_numbers_of_a_linear(apply: Apply, x: Tensor) -> None:
    model, plain = twins(apply)
    torch.testing.assert_close(train(model, x), train(plain, x))
    doubled = {name: value * 2 for name, value in plain.state_dict().items()}
    names = {"weight": "dense/kernel", "bias": "dense/bias"}
    plain.load_state_dict(doubled)
    model.load_state_dict(
        {f"variables.{names[name.split('_')[0]]}{name[len(name.split('_')[0]) :]}": v for name, v in doubled.items()}
    )
    torch.testing.assert_close(model(x), plain(x))
    torch.testing.assert_close(model.again(x), plain(x))
    torch.testing.assert_close(model.double()(x.double()), plain.double()(x.double()))
    torch.testing.assert_close(train(model, x.double()), train(plain, x.double()))


@pytest.mark.parametrize("name", ["prune", "prune twice", "weight_norm"])  # not spectral_norm: nor a Linear with it
def test_a_compiled_module_runs_the_hooks_too(name: str, x: Tensor) -> None:
    model, plain = twins(HOOKED[name])
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="eager")
    torch.testing.assert_close(compiled(x), plain(x))
    with torch.no_grad():
        for module in (model, plain):
            for parameter in module.parameters():
                parameter.mul_(3)
    torch.testing.assert_close(compiled(x), plain(x))


@pytest.mark.parametrize("apply", HOOKED.values(), ids=HOOKED)
def test_a_block_of_as_default_begins_with_the_hooks(apply: Apply, x: Tensor) -> None:
    model, plain = twins(apply)
    with torch.no_grad():
        for module in (model, plain):
            for parameter in module.parameters():
                parameter.mul_(3)
    with model.as_default(), variable_scope("dense"):
        weight = get_variable("kernel")
    plain(x)
    torch.testing.assert_close(weight, plain.weight)


def test_a_pruning_made_permanent_is_a_plain_variable_again(x: Tensor) -> None:
    model, plain = twins(half_pruned)
    prune.remove(model.variables, "dense/kernel")
    prune.remove(plain, "weight")
    torch.testing.assert_close(train(model, x), train(plain, x))
    assert list(model.state_dict()) == ["variables.dense/bias", "variables.dense/kernel"]
