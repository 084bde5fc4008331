"""Scoped models on two processes (gloo): ten steps give the losses, and the checkpoint, of one process."""

from __future__ import annotations

import gc
import itertools
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.state_dict import get_model_state_dict
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from tests.distributed.processes import free_port
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
CASES = list(itertools.product(WRAPS, MODELS))


def process(rank: int, port: int, folder: str) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), GLOO_SOCKET_IFNAME="lo")
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    dist.init_process_group("gloo", rank=rank, world_size=2)
    for wrap, name in CASES:
        train_half(rank, name, wrap, Path(folder) / wrap / name)
        gc.collect()  # what DDP holds of the group goes before the group does
    dist.barrier()
    dist.destroy_process_group()


def train_half(rank: int, name: str, wrap: str, folder: Path) -> None:
    torch.manual_seed(0)  # for the plain layers; the scoped ones have seeds of their own
    pair = MODELS[name]
    model = pair.make()[0]
    x = inputs_of(pair)
    wrapped = WRAPS[wrap](model)
    half = tuple(t.chunk(2)[rank] for t in x)
    losses = torch.tensor(train(wrapped, half))
    dist.all_reduce(losses)
    state_dict_saver.save(get_model_state_dict(wrapped), checkpoint_id=folder / "checkpoint")
    sharded = [isinstance(p, DTensor) for p in model.parameters()]
    specs = {path: spec.shape for m in model.modules() if isinstance(m, ScopedModule) for path, spec in m.specs.items()}
    if rank == 0:
        found: dict[str, Any] = {"losses": (losses / 2).tolist(), "sharded": sharded, "specs": specs}
        torch.save(found, folder / "found.pt")


def test_ten_steps_on_two_processes_give_the_losses_of_one(tmp_path: Path) -> None:
    for wrap, name in CASES:
        (tmp_path / wrap / name).mkdir(parents=True)
    started = spawn(process, (free_port(), str(tmp_path)), nprocs=2, join=False)
    deadline = time.monotonic() + 240
    try:
        while not started.join(timeout=5):
            assert time.monotonic() < deadline, "the processes hang"
    finally:
        for running in started.processes:
            running.kill()
    for wrap, name in CASES:
        print(wrap, name)  # of a test that fails, the last one
        same_as_one_process(MODELS[name], wrap, tmp_path / wrap / name)


def same_as_one_process(pair: Pair, wrap: str, folder: Path) -> None:
    with torch.device("cpu"):  # where the processes run
        torch.manual_seed(0)
        model, by_hand, _ = pair.make()
        expected = train(by_hand, inputs_of(pair))
    found = torch.load(folder / "found.pt")
    assert found["losses"] == pytest.approx(expected, rel=1e-4)
    assert expected[-1] < expected[0] / 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this is one process
        loaded = model.state_dict()
        state_dict_loader.load(loaded, checkpoint_id=folder / "checkpoint")
    for theirs, ours in pair.names.items():
        torch.testing.assert_close(loaded[ours], by_hand.state_dict()[theirs], rtol=1e-4, atol=1e-6)
    assert found["sharded"] == [wrap != "ddp"] * len(list(model.parameters()))
    assert found["specs"] == {
        path: spec.shape for m in model.modules() if isinstance(m, ScopedModule) for path, spec in m.specs.items()
    }
