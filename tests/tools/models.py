"""A model that has everything that tools have to get along with."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from torchscope import ScopedModule, get_buffer, get_module, get_variable, variable_scope


def dense(x: Tensor, units: int, name: str) -> Tensor:
    with variable_scope(name):
        return x @ get_variable("kernel", [x.shape[-1], units]) + get_variable("bias", [units])


class Encoder(ScopedModule):
    """A module with variables of its own, to be put into another."""

    def forward(self, x: Tensor) -> Tensor:
        return dense(x, 4, "inner").tanh()


class Everything(ScopedModule):
    """Variables that are shared, frozen and of integers, both kinds of buffers, a layer, other modules.

    Its call takes ``x`` of shape ``[batch, 4]``.
    """

    def __init__(self, **options: int) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self.encoder = Encoder()
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        with variable_scope("tower") as tower:
            x = dense(x, 4, "first")
            tower.reuse_variables()
            x = dense(x, 4, "first")
        with variable_scope("tail"):
            get_variable("steps", [], torch.int64)
            fixed = get_variable("fixed", [4], trainable=False)
            mean, last = get_buffer("mean", [4]), get_buffer("last", [4], persistent=False)
            x = get_module("gru", nn.GRU, 4, 4)((x + fixed - mean + last)[:, None])[0][:, 0]
        result: Tensor = self.head(self.encoder(x))
        return result


def everything() -> Everything:
    """The model, built."""
    return Everything(seed=1).build(torch.ones(3, 4))


OWN = ["tower/first/kernel", "tower/first/bias", "tail/steps", "tail/fixed", "tail/mean", "tail/last"]
GRU = [f"tail/gru.{kind}_{of}_l0" for kind in ("weight", "bias") for of in ("ih", "hh")]
OTHERS = ["encoder.inner/kernel", "encoder.inner/bias", "head.weight", "head.bias"]
PATHS = [*OWN, *GRU, *OTHERS]


def in_a_process_group(folder: Path, run: Callable[[], None]) -> None:
    """Run a function in a process group of this process.

    What it made is gone before the group is: the end of gloo's threads, in a model's, can wait for Python for ever.
    """
    store = torch.distributed.FileStore(str(folder / "store"), 1)  # type: ignore[attr-defined]
    torch.distributed.init_process_group("gloo", rank=0, world_size=1, store=store)
    try:
        run()
    finally:
        gc.collect()
        torch.distributed.destroy_process_group()
