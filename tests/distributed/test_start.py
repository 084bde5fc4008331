"""The same start on all processes; those that would start apart are found out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.distributed.tensor import Replicate, Shard

from tests.distributed.models import RULES, assert_same_start, loss, tokens, whole
from tests.distributed.processes import assert_passed, mesh_of
from torchscope import ScopedModule, get_module, get_variable
from torchscope.distributed import shard
from torchscope.errors import ArgumentValueError

pytestmark = pytest.mark.no_cover


def bit_equal(folder: Path) -> None:
    """Sharded or not, in any order of creation, drawn by torch's functions or ours, on meta and then filled."""
    count = dist.get_world_size()

    def forward(order):
        for name in order:
            get_variable(name, [8, 8], initializer=torch.nn.init.normal_ if name == "a" else None)
        get_module("dense", torch.nn.Linear, 8, 8)
        get_variable("value", initializer=lambda: torch.randn(8))

    rules = {"a": Shard(0), "b": Shard(1), "value": Shard(0), "dense.weight": Shard(1), "**": Replicate()}
    expected = ScopedModule(forward, seed=3).build("ab")
    sharded = shard(ScopedModule(forward, seed=3), mesh_of(tp=count), rules).build("ba")
    with torch.device("meta"):
        on_meta = shard(ScopedModule(forward, seed=3), mesh_of(tp=count), rules).build("ab")
    on_meta.to_empty(device="cpu").reset_parameters()
    changed = shard(ScopedModule(forward, seed=3), mesh_of(tp=count), rules).build("ab")
    with torch.no_grad():
        for parameter in changed.parameters():
            parameter.zero_()
    changed.reset_parameters()
    for model in (sharded, on_meta, changed):
        found, wanted = model.state_dict(), expected.state_dict()
        assert found.keys() == wanted.keys()
        for key, tensor in wanted.items():
            assert torch.equal(whole(found[key]), tensor), key


def apart(folder: Path) -> None:
    torch.manual_seed(dist.get_rank())
    model = ScopedModule(lambda: get_variable("w", [3]))
    dist.barrier()
    if dist.get_rank() == 0:
        model.build()
        dist.barrier()
    else:
        dist.barrier()  # the first process built it first
        with pytest.raises(ArgumentValueError, match="Process 1 of 2 would start .* from other numbers") as caught:
            model.build()
        assert "seed=" in str(caught.value)
        assert "torch.manual_seed" in str(caught.value)
        assert not model.built
        assert not model.variables.specs


def alike(folder: Path) -> None:
    """One number on all processes, several modules, some on one process alone; a seed of each process's own."""
    torch.manual_seed(5)
    first, second = (ScopedModule(lambda: get_variable("v", [3])).build() for _ in range(2))
    assert not torch.equal(first.variables["v"], second.variables["v"])
    if dist.get_rank() == 0:
        ScopedModule(lambda: get_variable("alone", [3])).build()
    ScopedModule(lambda: get_variable("own", [3]), seed=dist.get_rank()).build()


def agreed(folder: Path) -> None:
    torch.manual_seed(dist.get_rank())
    model = shard(ScopedModule(loss), mesh_of(dp=2, tp=2), {p: {"tp": how} for p, how in RULES.items()}).build(tokens())
    seeds = [torch.zeros((), dtype=torch.int64) for _ in range(4)]
    dist.all_gather(seeds, torch.tensor(model.variables.seed))
    assert len({int(seed) for seed in seeds}) == 1
    assert_same_start(model, ScopedModule(loss, seed=model.variables.seed).build(tokens()))


CASES = {
    "bit-equal on two": (2, bit_equal),
    "bit-equal on four": (4, bit_equal),
    "processes that would start apart are found out": (2, apart),
    "processes that start alike are not": (2, alike),
    "without a seed all take that of the first process": (4, agreed),
}


@pytest.mark.parametrize("case", CASES)
def test_the_start_of_processes(case: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert_passed(__file__, CASES, case, tmp_path_factory)
