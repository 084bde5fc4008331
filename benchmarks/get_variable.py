"""Entering a scope and getting two existing variables, against an ``nn.Module`` that reads two of its parameters.

    python -m benchmarks.get_variable [--layers 1 10 100 1000] [--rounds 40]

Both models are built, hold the same tensors, run no operation, and return the parameters they read; the results are
compared before anything is timed. The call of the whole model is in the figures.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch import nn

from benchmarks.timing import medians, report
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


def measure(layers: int, rounds: int) -> None:
    """Print two lines: without shapes, and with both shapes checked."""
    checked = scoped_model(layers, with_shapes=True)
    unchecked = scoped_model(layers, with_shapes=False)
    unchecked.load_state_dict(checked.state_dict())
    modules = Modules(checked, layers)
    for (a, b), (c, d), (e, f) in zip(checked(), modules(), unchecked(), strict=True):
        assert (a is c, b is d, torch.equal(a, e), torch.equal(b, f)) == (True, True, True, True)

    functions: dict[str, Callable[[], object]] = {"modules": modules, "gets": unchecked, "checked": checked}
    times = medians(functions, rounds, repeat=max(1, 3000 // layers))
    must = "<= 1.15" if layers == 1 else "<= 1.00"
    for name, what in (("gets", "scope + two gets"), ("checked", "scope + two gets, shapes checked")):
        more = f"{times[name] / layers * 1e9:.0f} ns against {times['modules'] / layers * 1e9:.0f} ns per layer"
        rival = "`nn.Module` child reading two parameters"
        report(f"{what}, {layers} layer{'s' * (layers > 1)}", rival, times[name] / times["modules"], must, more)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, nargs="+", default=[1, 10, 100, 1000])
    parser.add_argument("--rounds", type=int, default=40)
    args = parser.parse_args()
    for layers in args.layers:
        measure(layers, args.rounds)


if __name__ == "__main__":
    main()
