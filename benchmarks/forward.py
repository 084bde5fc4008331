"""Whole eager forwards of tiny models, against the same written by hand, and against explicit tensors in a function.

    python -m benchmarks.forward [--rounds 20] [--processes 7]

Where a process happens to lay out its memory moves such a ratio by one or two hundredths, so the figure is the median
over several processes.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import statistics
from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.timing import medians, report
from tests.models.pairs import LAYERS, TRANSFORMER, WIDTH, Pair, PlainTower, attend, batch, dense, names_of
from torchscope import ScopedModule, get_variable, variable_scope

MLP_LAYERS = 10


def mlp(x: Tensor) -> Tensor:
    for layer in range(MLP_LAYERS):
        x = torch.tanh(dense(x, 8, f"layer_{layer}"))
    return x


def mlp_of_functions(x: Tensor) -> Tensor:
    """The same, with an initializer that is a function and not an object made anew in each call."""
    for layer in range(MLP_LAYERS):
        with variable_scope(f"layer_{layer}"):
            kernel = get_variable("kernel", [8, x.shape[-1]])
            bias = get_variable("bias", [8], initializer=torch.nn.init.zeros_)
        x = torch.tanh(F.linear(x, kernel, bias))
    return x


MLP = Pair(
    "MLP",
    lambda: ScopedModule(mlp, seed=0),
    lambda: PlainTower(MLP_LAYERS, 8),
    batch(2, 8),
    names_of(**{f"layers__{n}": f"layer_{n}" for n in range(MLP_LAYERS)}),
)
MLP_OF_FUNCTIONS = replace(
    MLP, name="MLP, initializers that are functions", scoped=lambda: ScopedModule(mlp_of_functions, seed=0)
)


def explicit_mlp(state: dict[str, Tensor], x: Tensor) -> Callable[[], Tensor]:
    layers = [(state[f"layers.{n}.weight"], state[f"layers.{n}.bias"]) for n in range(MLP_LAYERS)]

    def run() -> Tensor:
        h = x
        for weight, bias in layers:
            h = torch.tanh(F.linear(h, weight, bias))
        return h

    return run


def explicit_transformer(state: dict[str, Tensor], tokens: Tensor) -> Callable[[], Tensor]:
    names = ("norm1", "norm2", "attention.qkv", "attention.out", "feed_forward.up", "feed_forward.down")
    layers = [
        [state[f"layers.{n}.{name}.{part}"] for name in names for part in ("weight", "bias")] for n in range(LAYERS)
    ]
    embedding, scale, shift = state["embedding"], state["norm.weight"], state["norm.bias"]

    def run() -> Tensor:
        x = F.embedding(tokens, embedding)
        for n1w, n1b, n2w, n2b, qw, qb, ow, ob, uw, ub, dw, db in layers:
            q, k, v = F.linear(F.layer_norm(x, (WIDTH,), n1w, n1b), qw, qb).chunk(3, -1)
            x = x + F.linear(attend(q, k, v), ow, ob)
            x = x + F.linear(F.gelu(F.linear(F.layer_norm(x, (WIDTH,), n2w, n2b), uw, ub)), dw, db)
        return F.layer_norm(x, (WIDTH,), scale, shift) @ embedding.T

    return run


# a model, what runs it with explicit tensors, and how many layers of variables it has
MODELS = (
    (MLP, explicit_mlp, MLP_LAYERS),
    (MLP_OF_FUNCTIONS, explicit_mlp, MLP_LAYERS),
    (TRANSFORMER, explicit_transformer, 6 * LAYERS + 1),
)


def measure(index: int, rounds: int) -> dict[str, float]:
    """Seconds per forward of one model: by scopes, by hand and by explicit tensors."""
    torch.set_num_threads(1)
    pair, explicit, _ = MODELS[index]
    scoped, by_hand, (x,) = pair.make()
    limit = explicit(dict(by_hand.named_parameters()), x)
    torch.testing.assert_close(scoped(x), by_hand(x))
    torch.testing.assert_close(scoped(x), limit())
    functions: dict[str, Callable[[], object]] = {
        "scoped": functools.partial(scoped, x),
        "by hand": functools.partial(by_hand, x),
        "explicit": limit,
    }
    return medians(functions, rounds, repeat=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--processes", type=int, default=7)
    args = parser.parse_args()
    for index, (pair, _, layers) in enumerate(MODELS):
        with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            runs = [pool.apply(measure, (index, args.rounds)) for _ in range(args.processes)]
        times = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        ratios = [run["scoped"] / run["by hand"] for run in runs]
        spread = f"{times['scoped'] * 1e6:.0f} us; {min(ratios):.2f} to {max(ratios):.2f} in {len(runs)} processes"
        report(f"eager forward, {pair.name}", "written by hand", statistics.median(ratios), "<= 1.00", spread)
        over = (times["scoped"] - times["explicit"]) / layers * 1e6
        theirs = (times["by hand"] - times["explicit"]) / layers * 1e6
        more = f"{over:.1f} us per layer more; by hand {theirs:.1f} us"
        report(f"eager forward, {pair.name}", "explicit tensors", times["scoped"] / times["explicit"], "reported", more)


if __name__ == "__main__":
    main()
