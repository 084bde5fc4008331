"""Building many small variables, against the same modules written by hand.

python -m benchmarks.building [--layers 2000] [--rounds 7]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.timing import medians, report
from torchscope import ScopedModule, get_variable, variable_scope

SIZE = 8


class Layer(nn.Module):
    """A layer by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(nn.init.xavier_uniform_(torch.empty(SIZE, SIZE)))
        self.bias = nn.Parameter(nn.init.zeros_(torch.empty(SIZE)))

    def forward(self, x: Tensor) -> Tensor:
        return x


def by_hand(layers: int) -> nn.Module:
    return nn.Sequential(*(Layer() for _ in range(layers)))


def scoped(layers: int, seed: int | None = None) -> ScopedModule:
    def forward() -> None:
        for i in range(layers):
            with variable_scope(f"layer_{i}"):
                get_variable("kernel", [SIZE, SIZE], initializer=nn.init.xavier_uniform_)
                get_variable("bias", [SIZE], initializer=nn.init.zeros_)

    return ScopedModule(forward, seed=seed).build()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(1)
    layers = args.layers

    torch.manual_seed(0)
    theirs = [*by_hand(layers).parameters()]
    torch.manual_seed(0)
    ours = [*scoped(layers).parameters()]
    assert len(ours) == len(theirs)
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))

    ways: dict[str, Callable[[], object]] = {
        "by hand": partial(by_hand, layers),
        "scoped": partial(scoped, layers),
        "seeded": partial(scoped, layers, seed=1),
    }
    times = medians(ways, args.rounds, 1)
    count = 2 * layers
    for name, must in {"scoped": "<= 2", "seeded": "<= 3"}.items():
        title = f"building {count:,} variables" + (", each from its own stream" if name == "seeded" else "")
        ratio = times[name] / times["by hand"]
        report(title, "the same modules by hand", ratio, must, f"{times[name] / count * 1e6:.0f} us per variable")


if __name__ == "__main__":
    main()
