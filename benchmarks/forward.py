"""Whole eager forwards of tiny models, against the same written by hand, and against explicit tensors in a function.

python -m benchmarks.forward [--rounds 40]
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.timing import medians, report
from tests.models.pairs import LAYERS, TRANSFORMER, WIDTH, Pair, PlainTower, attend, batch, dense, names_of
from torchscope import ScopedModule

MLP_LAYERS = 10


def mlp(x: Tensor) -> Tensor:
    for layer in range(MLP_LAYERS):
        x = torch.tanh(dense(x, 8, f"layer_{layer}"))
    return x


MLP = Pair(
    "MLP",
    lambda: ScopedModule(mlp, seed=0),
    lambda: PlainTower(MLP_LAYERS, 8),
    batch(2, 8),
    names_of(**{f"layers__{n}": f"layer_{n}" for n in range(MLP_LAYERS)}),
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    args = parser.parse_args()
    torch.set_num_threads(1)
    # dense layers of each, and what runs them with explicit tensors
    for pair, explicit, layers in (
        (MLP, explicit_mlp, MLP_LAYERS),
        (TRANSFORMER, explicit_transformer, 6 * LAYERS + 1),
    ):
        scoped, by_hand, (x,) = pair.make()
        limit = explicit(dict(by_hand.named_parameters()), x)
        torch.testing.assert_close(scoped(x), by_hand(x))
        torch.testing.assert_close(scoped(x), limit())
        functions: dict[str, Callable[[], object]] = {
            "scoped": functools.partial(scoped, x),
            "by hand": functools.partial(by_hand, x),
            "explicit": limit,
        }
        times = medians(functions, args.rounds, repeat=100)
        ratio = times["scoped"] / times["by hand"]
        report(f"eager forward, {pair.name}", "written by hand", ratio, "<= 1.00", f"{times['scoped'] * 1e6:.0f} us")
        over = (times["scoped"] - times["explicit"]) / layers * 1e6
        theirs = (times["by hand"] - times["explicit"]) / layers * 1e6
        report(
            f"eager forward, {pair.name}",
            "explicit tensors",
            times["scoped"] / times["explicit"],
            "reported",
            f"{over:.1f} us per layer more; by hand {theirs:.1f} us",
        )


if __name__ == "__main__":
    main()
