"""The transformer compiled by inductor, against the same written by hand and compiled.

python -m benchmarks.compiled [--rounds 30]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.timing import medians, report
from tests.models.pairs import TRANSFORMER, Inputs
from torchscope import ScopedModule, get_variable


class Smallest(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


def compile_time(model: Callable[..., Tensor], x: Inputs) -> tuple[Callable[..., Tensor], float]:
    """The compiled model, and the seconds that its first forward and backward took, code generation among them."""
    torch._dynamo.reset()
    start = time.perf_counter()
    compiled = torch.compile(model, fullgraph=True)
    compiled(*x).sum().backward()  # type: ignore[no-untyped-call]
    return compiled, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    args = parser.parse_args()
    torch.set_num_threads(1)
    scoped, by_hand, x = TRANSFORMER.make()

    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    with torch._inductor.utils.fresh_cache():  # the C++ compiler and its caches are warm for both after this
        compile_time(by_hand, x), compile_time(scoped, x)
    for _ in range(5):
        for name, model in (("theirs", by_hand), ("ours", scoped)):
            with torch._inductor.utils.fresh_cache():
                seconds[name].append(compile_time(model, x)[1])
    ours, theirs = (statistics.median(seconds[name]) for name in ("ours", "theirs"))
    report("compile time, transformer", "written by hand, compiled", ours / theirs, "<= 1.20", f"{ours:.1f} s")

    torch._dynamo.reset()
    compiled, rival = torch.compile(scoped, fullgraph=True), torch.compile(by_hand, fullgraph=True)
    torch.testing.assert_close(compiled(*x), rival(*x))

    def step(model: nn.Module, run: Callable[..., Tensor]) -> Callable[[], None]:
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)

        def one() -> None:
            optimizer.zero_grad()
            run(*x).square().mean().backward()  # type: ignore[no-untyped-call]
            optimizer.step()

        return one

    with torch.no_grad():
        times = medians({"ours": lambda: compiled(*x), "theirs": lambda: rival(*x)}, args.rounds, 100)
    what = f"{times['ours'] * 1e6:.0f} us"
    report(
        "compiled forward, transformer", "written by hand, compiled", times["ours"] / times["theirs"], "<= 1.02", what
    )
    times = medians({"ours": step(scoped, compiled), "theirs": step(by_hand, rival)}, args.rounds, 30)
    what = f"{times['ours'] * 1e6:.0f} us"
    report("training step, transformer", "written by hand, compiled", times["ours"] / times["theirs"], "<= 1.02", what)

    small = ScopedModule(lambda x: x * get_variable("scale", [], initializer=nn.init.ones_)).build(torch.ones(3))
    plain, one = Smallest(), torch.ones(3)
    compiled_small, compiled_plain = torch.compile(small, fullgraph=True), torch.compile(plain, fullgraph=True)
    torch.testing.assert_close(compiled_small(one), compiled_plain(one))
    with torch.no_grad():
        times = medians({"ours": lambda: compiled_small(one), "theirs": lambda: compiled_plain(one)}, args.rounds, 300)
    more = f"{(times['ours'] - times['theirs']) * 1e6:.1f} us more"
    ratio = times["ours"] / times["theirs"]
    report("a call of the smallest model, compiled", "written by hand, compiled", ratio, "reported", more)


if __name__ == "__main__":
    main()
