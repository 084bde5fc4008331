"""Blocks that compile once: by ``compile_once``, against modules by hand of which each is compiled in place.

python -m benchmarks.regional [--blocks 24] [--rounds 30]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.timing import medians, report
from torchscope import ScopedModule, compile_once, get_variable, variable_scope

WIDTH, HEADS = 32, 4
SHAPES = {"qkv": [WIDTH, 3 * WIDTH], "out": [WIDTH, WIDTH], "up": [WIDTH, 4 * WIDTH], "down": [4 * WIDTH, WIDTH]}


def attention(x: Tensor, qkv: Tensor, out: Tensor) -> Tensor:
    q, k, v = (x @ qkv).view(*x.shape[:2], 3, HEADS, -1).permute(2, 0, 3, 1, 4)
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2) @ out


class Block(nn.Module):
    """A block of a transformer, by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out, self.up, self.down = (
            nn.Parameter(nn.init.normal_(torch.empty(shape), std=0.1)) for shape in SHAPES.values()
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + attention(F.layer_norm(x, [WIDTH]), self.qkv, self.out)
        return x + F.gelu(F.layer_norm(x, [WIDTH]) @ self.up) @ self.down


def block(x: Tensor) -> Tensor:
    """The same as a function."""
    with variable_scope("attention"):
        qkv, out = (get_variable(name, SHAPES[name]) for name in ("qkv", "out"))
        x = x + attention(F.layer_norm(x, [WIDTH]), qkv, out)
    with variable_scope("mlp"):
        up = get_variable("up", SHAPES["up"])
        return x + F.gelu(F.layer_norm(x, [WIDTH]) @ up) @ get_variable("down", SHAPES["down"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=30)
    args = parser.parse_args()
    blocks, rounds = args.blocks, args.rounds
    torch.set_num_threads(1)
    x = torch.randn(2, 8, WIDTH, requires_grad=True)
    by_hand = nn.Sequential(*(Block() for _ in range(blocks)))

    def scoped(run: Callable[[Tensor], Tensor]) -> ScopedModule:
        def forward(x: Tensor) -> Tensor:
            for i in range(blocks):
                with variable_scope(f"block_{i}"):
                    x = run(x)
            return x

        model = ScopedModule(forward).build(x)
        state = zip(model.state_dict(), by_hand.state_dict().values(), strict=True)  # both in the order of use
        model.load_state_dict(dict(state))
        return model

    def compile_ours() -> nn.Module:
        return scoped(compile_once(block, fullgraph=True))

    def compile_theirs() -> nn.Module:
        for each in by_hand:
            each.compile(fullgraph=True)
        return by_hand

    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(4):
        for name, compiled in (("theirs", compile_theirs), ("ours", compile_ours)):
            torch._dynamo.reset()
            model = compiled()
            with torch._inductor.utils.fresh_cache():
                start = time.perf_counter()
                model(x).sum().backward()
                seconds[name].append(time.perf_counter() - start)
    ours, theirs = (statistics.median(times[1:]) for times in (seconds["ours"], seconds["theirs"]))
    report(f"compile time, {blocks} equal blocks", "regional compilation", ours / theirs, "<= 1.20", f"{ours:.1f} s")
    torch._dynamo.reset()
    ours_model, theirs_model = compile_ours(), compile_theirs()
    torch.testing.assert_close(ours_model(x), theirs_model(x))
    times = medians({"ours": lambda: ours_model(x), "theirs": lambda: theirs_model(x)}, rounds, 10)
    more = f"{(times['ours'] - times['theirs']) / blocks * 1e6:.1f} us per block more"
    report(f"forward of {blocks} blocks", "regional compilation", times["ours"] / times["theirs"], "reported", more)


if __name__ == "__main__":
    main()
