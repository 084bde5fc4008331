"""Entering a scope and getting two existing variables, against an ``nn.Module`` that reads two of its parameters.

    python benchmarks/get_variable.py [--layers 10] [--rounds 60]

Both models are built, hold the same tensors, run no operation, and return the parameters they read; the results are
compared before anything is timed. Rounds are interleaved, and the figures are medians over the rounds, per layer, with
the call of the whole model in them. A ratio below 1 means that torchscope is the faster one.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from torchscope import ScopedModule, get_variable, variable_scope

Pair = tuple[torch.Tensor, torch.Tensor]
SHAPE = [2, 3]


class Layer(nn.Module):
    def __init__(self, weights: nn.Parameter, biases: nn.Parameter) -> None:
        super().__init__()
        self.weights = weights
        self.biases = biases

    def forward(self) -> Pair:
        return self.weights, self.biases


class Modules(nn.Module):
    """The rival: one child module per layer."""

    def __init__(self, scoped: ScopedModule, layers: int) -> None:
        super().__init__()
        held = scoped.variables
        pairs = [(held[f"layer_{i}/weights"], held[f"layer_{i}/biases"]) for i in range(layers)]
        self.layers = nn.ModuleList(Layer(*pair) for pair in pairs)

    def forward(self) -> list[Pair]:
        return [layer() for layer in self.layers]


def scoped_model(layers: int, *, with_shapes: bool) -> ScopedModule:
    names = [f"layer_{i}" for i in range(layers)]

    def checked() -> Pair:
        return get_variable("weights", SHAPE), get_variable("biases", SHAPE)

    def unchecked() -> Pair:
        return get_variable("weights"), get_variable("biases")

    def build_checked() -> list[Pair]:
        pairs = []
        for name in names:
            with variable_scope(name):
                pairs.append(checked())
        return pairs

    def build_unchecked() -> list[Pair]:
        pairs = []
        for name in names:
            with variable_scope(name):
                pairs.append(unchecked())
        return pairs

    model = ScopedModule(build_checked).build()
    if not with_shapes:
        model.fn = build_unchecked
    return model


def median_times(functions: dict[str, Callable[[], object]], rounds: int, layers: int) -> dict[str, float]:
    """Nanoseconds per layer of each function, interleaved."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    repeat = max(1, 3000 // layers)
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.perf_counter_ns()
            for _ in range(repeat):
                function()
            times[name].append((time.perf_counter_ns() - start) / repeat / layers)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=60)
    args = parser.parse_args()

    checked = scoped_model(args.layers, with_shapes=True)
    unchecked = scoped_model(args.layers, with_shapes=False)
    unchecked.load_state_dict(checked.state_dict())
    modules = Modules(checked, args.layers)
    for (a, b), (c, d), (e, f) in zip(checked(), modules(), unchecked(), strict=True):
        assert (a is c, b is d, torch.equal(a, e), torch.equal(b, f)) == (True, True, True, True)

    functions: dict[str, Callable[[], object]] = {
        "nn.Module child, two parameters": modules,
        "scope + two gets": unchecked,
        "scope + two gets, shapes checked": checked,
    }
    times = median_times(functions, args.rounds, args.layers)
    rival = next(iter(times.values()))
    print(f"{args.layers} layers, {args.rounds} interleaved rounds, torch {torch.__version__}")
    for name, nanoseconds in times.items():
        print(f"{name:34} {nanoseconds:8.0f} ns per layer   ratio {nanoseconds / rival:.2f}")


if __name__ == "__main__":
    main()
