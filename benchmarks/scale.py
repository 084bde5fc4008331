"""What grows with the number of variables: building them, saving, loading, moving and copying them, and memory.

Beside it, what a call keeps of each scope that it opens until it ends.

python -m benchmarks.scale [--variables 100000] [--rounds 5]
"""

from __future__ import annotations

import argparse
import copy
import gc
import statistics
import time
import tracemalloc
from collections.abc import Callable

import torch
from torch import nn

from benchmarks.timing import medians, report
from torchscope import AUTO_REUSE, ScopedModule, get_variable, variable_scope


def build(variables: int) -> ScopedModule:
    """A module with this many variables of two elements, each in a scope of its own."""

    def forward() -> None:
        for i in range(variables):
            with variable_scope(f"layer_{i}"):
                get_variable("weights", [2], initializer=nn.init.zeros_)

    return ScopedModule(forward).build()


class Flat(nn.Module):
    """The rival: an ``nn.ParameterDict`` with the same keys and equal tensors."""

    def __init__(self, scoped: ScopedModule) -> None:
        super().__init__()
        self.variables = nn.ParameterDict(
            {path: nn.Parameter(v.detach().clone()) for path, v in scoped.variables.items()}
        )


def allocated(make: Callable[[], object]) -> int:
    """How many bytes Python has allocated for what a function makes or leaves behind, while that is there."""
    gc.collect()
    tracemalloc.start()
    made = make()
    gc.collect()
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del made
    return kept


def bytes_per_variable(variables: int) -> float:
    """What Python allocates for a module that was built and called, beyond its parameters; their paths are in it."""
    nn.Parameter(torch.zeros(2))  # whatever is imported or cached late is there now

    def with_library() -> ScopedModule:
        model = build(variables)
        model()
        assert len(model.variables) == variables
        return model

    def alone() -> list[nn.Parameter]:
        return [nn.Parameter(nn.init.zeros_(torch.empty(2))) for _ in range(variables)]

    return (allocated(with_library) - allocated(alone)) / variables


def of_one_name() -> None:
    with variable_scope("layer", reuse=AUTO_REUSE):
        get_variable("weights", [2], initializer=nn.init.zeros_)


def of_a_default_name() -> None:
    with variable_scope(None, "layer"):
        pass


def bytes_per_scope(scopes: int, open_one: Callable[[], None]) -> float:
    """What a block of ``as_default`` keeps of each scope that a loop in it opens."""

    def loop(count: int) -> None:
        for _ in range(count):
            open_one()

    with ScopedModule(open_one).as_default():
        loop(100)
        return allocated(lambda: loop(scopes)) / scopes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variables", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    most = args.variables
    torch.set_num_threads(1)

    build(100)
    costs: dict[int, list[float]] = {most // 100: [], most // 10: [], most: []}
    for _ in range(max(3, args.rounds // 2)):
        for count, seconds in costs.items():
            for _ in range(1 if count == most else 3):
                gc.collect()
                start = time.perf_counter()
                build(count)
                seconds.append((time.perf_counter() - start) / count)
    least = statistics.median(costs[most // 100])
    for count in (most // 10, most):
        cost = statistics.median(costs[count])
        more = f"{cost * 1e6:.0f} us per variable"
        report(f"building {count:,} variables", f"the same with {most // 100:,}", cost / least, "<= 1.30", more)

    scoped = build(most)
    flat = Flat(scoped)
    state = scoped.state_dict()
    assert set(state) == set(flat.state_dict())
    uses: dict[str, Callable[[nn.Module], object]] = {
        "state_dict": lambda model: model.state_dict(),
        "load_state_dict": lambda model: model.load_state_dict(state),
        "to(float64) and back": lambda model: model.to(torch.float64).to(torch.float32),
        "deepcopy": copy.deepcopy,
    }
    for name, use in uses.items():
        times = medians({"ours": lambda u=use: u(scoped), "flat": lambda u=use: u(flat)}, args.rounds, 1)  # type: ignore[misc]
        more = f"{times['ours']:.2f} s"
        report(f"{name}, {most:,} variables", "flat `nn.ParameterDict`", times["ours"] / times["flat"], "<= 1.10", more)
    print(f"| memory per variable beyond the parameter | | {bytes_per_variable(most // 10):.0f} bytes | <= 600 | |")
    for open_one, must in ((of_one_name, "<= 16"), (of_a_default_name, "reported")):
        what = f"memory until a call ends per scope {open_one.__name__.replace('_', ' ')}"
        print(f"| {what} | | {bytes_per_scope(most // 2, open_one):.0f} bytes | {must} | |")


if __name__ == "__main__":
    main()
