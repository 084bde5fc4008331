"""A step of training over processes (gloo), against modules by hand under the same wrappers, and against one process.

    python -m benchmarks.distributed [--processes 2] [--rounds 10] [--eager]

Losses are compared before anything is timed. By hand is what torch's own guides write: DDP, fully_shard of each block,
and parallelize_module with ColwiseParallel and RowwiseParallel. Bytes that a process receives are counted in one step.
"""

from __future__ import annotations

import argparse
import os
import socket
import time
import warnings
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.multiprocessing.spawn import spawn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from torchscope import ScopedModule, get_variable, variable_scope
from torchscope.distributed import Traffic, fully_shard_scopes, shard
from torchscope.tools import layer

WIDTH, HEADS, LAYERS, LENGTH, BATCH = 256, 8, 4, 64, 8


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of [batch, length, heads * size], as many heads as there are."""
    batch, length, _ = q.shape
    q, k, v = (each.view(batch, length, -1, WIDTH // HEADS).transpose(1, 2) for each in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(batch, length, -1)


class Block(nn.Module):
    """A block by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH, bias=False), nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = F.layer_norm(x, [WIDTH])
        x = x + self.out(attend(self.q(y), self.k(y), self.v(y)))
        z: Tensor = self.down(F.gelu(self.up(F.layer_norm(x, [WIDTH]))))
        return x + z


class ByHand(nn.Module):
    """Blocks by hand, and the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))

    def forward(self, x: Tensor) -> Tensor:
        for each in self.blocks:
            x = each(x)
        return x.square().mean()


def dense(x: Tensor, name: str, units: int) -> Tensor:
    return F.linear(x, get_variable(f"{name}/weight", [units, x.shape[-1]]))


@layer
def block(x: Tensor, scope: str | None = None) -> Tensor:
    """The same as a function."""
    y = F.layer_norm(x, [WIDTH])
    x = x + dense(attend(dense(y, "q", WIDTH), dense(y, "k", WIDTH), dense(y, "v", WIDTH)), "out", WIDTH)
    return x + dense(F.gelu(dense(F.layer_norm(x, [WIDTH]), "up", 4 * WIDTH)), "down", WIDTH)


def scoped(x: Tensor) -> Tensor:
    with variable_scope("blocks"):
        for n in range(LAYERS):
            x = block(x, scope=str(n))
    return x.square().mean()


class Pair(NamedTuple):
    """The same model twice, as it runs here, and which part of the batch is this process's."""

    ours: nn.Module
    theirs: nn.Module
    part: int
    parts: int


RULES = {"**/{q,k,v,up}": Shard(0), "**/{out,down}": Shard(1), "**": Replicate()}


def pair(how: str) -> Pair:
    """Both models with the same numbers, under one kind of wrapper."""
    x = torch.zeros(1, LENGTH, WIDTH)
    ours, theirs = ScopedModule(scoped, seed=0).build(x), ByHand()
    theirs.load_state_dict(
        {key.removeprefix("variables.").replace("/", "."): value for key, value in ours.state_dict().items()}
    )
    rank, count = dist.get_rank(), dist.get_world_size()
    if how == "one process":
        return Pair(ours, theirs, 0, 1)
    mesh = init_device_mesh("cpu", (count,), mesh_dim_names=("dp" if "tp" not in how else "tp",))
    if how == "ddp":
        return Pair(DistributedDataParallel(ours), DistributedDataParallel(theirs), rank, count)
    if how == "fsdp":
        fully_shard_scopes(ours, "blocks/*", mesh=mesh)
        for each in theirs.blocks:
            fully_shard(each, mesh=mesh)
        fully_shard(theirs, mesh=mesh)
        return Pair(ours, theirs, rank, count)
    shard(ours, mesh, {pattern: how for pattern, how in RULES.items() if pattern != "**"})
    plan = dict.fromkeys(("q", "k", "v", "up"), ColwiseParallel()) | dict.fromkeys(("out", "down"), RowwiseParallel())
    for each in theirs.blocks:
        parallelize_module(each, mesh, dict(plan))
    if "compiled" in how:
        return Pair(torch.compile(ours), torch.compile(theirs), 0, 1)  # type: ignore[arg-type]
    return Pair(ours, theirs, 0, 1)


def step_of(model: nn.Module, x: Tensor) -> tuple[Callable[[], Tensor], torch.optim.Optimizer]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    def step() -> Tensor:
        optimizer.zero_grad()
        loss: Tensor = model(x)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss.detach()

    return step, optimizer


def held(optimizer: torch.optim.Optimizer) -> int:
    """Bytes of parameters, gradients and the optimizer's state that this process holds."""
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    tensors = [*parameters, *(each.grad for each in parameters)]
    tensors += [value for state in optimizer.state.values() for value in state.values()]
    local = [each.to_local() if isinstance(each, DTensor) else each for each in tensors]
    return sum(each.numel() * each.itemsize for each in local)


def measure(how: str, rounds: int, alone: float | None) -> float:
    """Compare, time, and print one line; the seconds of our step."""
    torch.manual_seed(0)
    both = pair(how)
    x = torch.randn(BATCH, LENGTH, WIDTH).chunk(both.parts)[both.part]
    (ours, optimizer), (theirs, _) = step_of(both.ours, x), step_of(both.theirs, x)
    for _ in range(3):
        torch.testing.assert_close(ours(), theirs(), rtol=1e-4, atol=1e-5)
    with Traffic() as traffic:
        if "compiled" not in how:
            ours()
    times: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(rounds):
        for name, step in (("ours", ours), ("theirs", theirs)):
            if how != "one process":
                dist.barrier()
            start = time.perf_counter()
            for _ in range(3):
                step()
            times[name].append((time.perf_counter() - start) / 3)
    mine, other = median(times["ours"]), median(times["theirs"])
    if dist.get_rank() == 0:
        received = sum(traffic.received.values())
        if how == "ddp":  # C++ sends it: each gradient is reduced to all
            parameters = sum(each.numel() * each.itemsize for each in both.ours.parameters())
            received = 2 * parameters * (both.parts - 1) // both.parts
        sent = "" if "compiled" in how else f"{received / 2**20:.1f} MiB"
        against = "" if alone is None else f"{mine / alone:.2f}"
        kept = f"{held(optimizer) / 2**20:.1f} MiB"
        print(f"| {how} | {mine / other:.2f} | {mine * 1e3:.0f} ms | {against} | {kept} | {sent} |", flush=True)
    return mine


def process(rank: int, count: int, port: int, rounds: int, eager: bool) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), GLOO_SOCKET_IFNAME="lo")
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    dist.init_process_group("gloo", rank=rank, world_size=count)
    alone = None
    if rank == 0:
        print(f"| {count} processes | against by hand | a step | against one process | held | received in a step |")
        print("|---|---|---|---|---|---|", flush=True)
        alone = measure("one process", rounds, None)  # the others wait
    dist.barrier()
    for how in ("ddp", "fsdp", "tp") if eager else ("ddp", "fsdp", "tp", "tp, compiled"):
        measure(how, rounds, alone)
    dist.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--eager", action="store_true", help="without what is compiled")
    args = parser.parse_args()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    spawn(process, (args.processes, port, args.rounds, args.eager), nprocs=args.processes)  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
