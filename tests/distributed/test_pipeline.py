"""Pipelines of torch over scopes: functions for the stages, or one function that says where to cut it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.distributed.pipelining import PipelineStage, ScheduleGPipe, pipe_split, pipeline

from tests.distributed.models import LENGTH, WIDTH, WORDS, block, tokens
from tests.distributed.processes import assert_passed
from torchscope import ScopedModule, get_variable

pytestmark = pytest.mark.no_cover
CPU = torch.device("cpu")


def first(x: Tensor) -> Tensor:
    words, positions = get_variable("words", [WORDS, WIDTH]), get_variable("positions", [LENGTH, WIDTH])
    return block(F.embedding(x, words) + positions, scope="h0")  # type: ignore[call-arg]


def second(x: Tensor) -> Tensor:
    return block(x, scope="h1") @ get_variable("out", [WIDTH, WORDS])  # type: ignore[call-arg]


def loss(scores: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(scores[:, :-1].flatten(0, 1), target[:, 1:].flatten())


def same_losses(stage: PipelineStage, model: torch.nn.Module) -> None:
    batch = tokens()
    whole = ScopedModule(lambda x: second(first(x)), seed=0).build(batch)
    optimizers = [torch.optim.SGD(each.parameters(), lr=0.1) for each in (whole, model)]
    schedule = ScheduleGPipe(stage, 2, loss_fn=loss)
    for _ in range(10):
        for optimizer in optimizers:
            optimizer.zero_grad()
        expected = loss(whole(batch), batch)
        expected.backward()  # type: ignore[no-untyped-call]
        losses: list[Tensor] = []
        if dist.get_rank() == 0:
            schedule.step(batch)
        else:
            schedule.step(target=batch, losses=losses)
            torch.testing.assert_close(torch.stack(losses).mean(), expected.detach(), rtol=1e-5, atol=1e-6)
        for optimizer in optimizers:
            optimizer.step()


def a_function_for_each_stage(folder: Path) -> None:
    rank, half = dist.get_rank(), tokens()[:2]
    function: Callable[[Tensor], Tensor] = (first, second)[rank]
    model = ScopedModule(function, seed=0).build(half if rank == 0 else torch.zeros(2, LENGTH, WIDTH))
    same_losses(PipelineStage(model, rank, 2, CPU), model)


def one_function_that_is_cut(folder: Path) -> None:
    def forward(x):
        x = first(x)
        pipe_split()
        return second(x)

    half = tokens()[:2]
    model = ScopedModule(forward, seed=0).build(half)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stage = pipeline(model, mb_args=(half,)).build_stage(dist.get_rank(), CPU)
    mine = ["words", "positions"] if dist.get_rank() == 0 else ["out"]
    names = [name for name, _ in stage.submod.named_parameters()]
    assert [name for name in names if "/" not in name] == [f"variables.{name}" for name in mine]
    assert all(name.startswith(f"variables.h{dist.get_rank()}/") for name in names if "/" in name)
    same_losses(stage, stage.submod)


CASES = {
    "a function for each stage": (2, a_function_for_each_stage),
    "one function, cut where it says": (2, one_function_that_is_cut),
}


@pytest.mark.parametrize("case", CASES)
def test_a_pipeline_gives_the_losses_of_one_process(case: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert_passed(__file__, CASES, case, tmp_path_factory)
