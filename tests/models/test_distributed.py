"""Scoped models on two processes (gloo): ten steps give the losses, and the checkpoint, of one process."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.state_dict import get_model_state_dict
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from tests.distributed.processes import assert_passed
from tests.models.pairs import NESTED, TRANSFORMER, Inputs, Pair
from torchscope import ScopedModule

STEPS = 10
pytestmark = [
    pytest.mark.no_cover,
    pytest.mark.skipif(not dist.is_available(), reason="this torch has no torch.distributed"),
]


def loss_of(model: Callable[..., Tensor], x: Inputs) -> Tensor:
    return model(*x).square().mean()


def train(model: nn.Module, x: Inputs) -> list[float]:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = loss_of(model, x)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses).tolist()


def inputs_of(pair: Pair) -> Inputs:
    """A batch that two processes can halve."""
    return tuple(torch.cat([t[:2], t[:2].flip(-1)]) for t in pair.inputs())


def ddp(model: nn.Module) -> nn.Module:
    return DistributedDataParallel(model)


def fsdp_as_a_whole(model: nn.Module) -> nn.Module:
    fully_shard(model)
    return model


def fsdp_by_scoped_module(model: nn.Module) -> nn.Module:
    for module in reversed(list(model.modules())):
        if isinstance(module, ScopedModule) or module is model:
            fully_shard(module)
    return model


WRAPS = {f.__name__: f for f in (ddp, fsdp_as_a_whole, fsdp_by_scoped_module)}
MODELS = {pair.name: pair for pair in (TRANSFORMER, NESTED)}


def same_as_one_process(wrap: str, name: str, folder: Path) -> None:
    pair = MODELS[name]
    torch.manual_seed(0)  # for the plain layers; the scoped ones have seeds of their own
    model, by_hand, _ = pair.make()
    x = inputs_of(pair)
    expected = train(by_hand, x)
    assert expected[-1] < expected[0] / 2

    wrapped = WRAPS[wrap](model)
    losses = torch.tensor(train(wrapped, tuple(t.chunk(2)[dist.get_rank()] for t in x)))
    dist.all_reduce(losses)
    assert (losses / 2).tolist() == pytest.approx(expected, rel=1e-4)
    assert [isinstance(p, DTensor) for p in model.parameters()] == [wrap != "ddp"] * len(list(by_hand.parameters()))
    assert shapes(model) == shapes(pair.make()[0])

    state_dict_saver.save(get_model_state_dict(wrapped), checkpoint_id=folder / "checkpoint")
    loaded = pair.make()[0].state_dict()
    state_dict_loader.load(loaded, checkpoint_id=folder / "checkpoint")
    for theirs, ours in pair.names.items():
        torch.testing.assert_close(loaded[ours], by_hand.state_dict()[theirs], rtol=1e-4, atol=1e-6)


def shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    stores = [module for module in model.modules() if isinstance(module, ScopedModule)]
    return {path: tuple(spec.shape) for module in stores for path, spec in module.specs.items()}


CASES = {
    f"{wrap}, {name}": (2, functools.partial(same_as_one_process, wrap, name)) for wrap in WRAPS for name in MODELS
}


@pytest.mark.parametrize("case", CASES)
def test_ten_steps_on_two_processes_give_the_losses_and_the_checkpoint_of_one(
    case: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert_passed(__file__, CASES, case, tmp_path_factory)
