"""TensorFlow's functions in TensorFlow's axes, against torch's own with the channels second.

python -m benchmarks.tf1 [--size 28] [--channels 64] [--batch 8] [--rounds 15] [--eager] [--device cpu]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.timing import medians, report
from torchscope import ScopedModule
from torchscope.tf1 import layers, slim
from torchscope.tf1 import nn as tf1


class Pair(NamedTuple):
    """One thing in both ways: what a user of TensorFlow writes, and what a user of torch does."""

    ours: Callable[[Tensor], Tensor]  # of [batch, height, width, channels]
    theirs: Callable[[Tensor], Tensor]  # of [batch, channels, height, width]


def functions(channels: int) -> dict[str, Pair]:
    """Functions of ``tf.nn``, with the same weights on both sides."""
    kernel = torch.randn(3, 3, channels, channels) / channels
    depth = torch.randn(3, 3, channels, 1)
    turned = kernel.permute(3, 2, 0, 1).contiguous()
    own_depth = depth.permute(2, 3, 0, 1).contiguous()
    scale, offset = torch.rand(channels) + 0.5, torch.rand(channels)
    mean, variance = torch.zeros(channels), torch.ones(channels)
    return {
        "conv 3x3": Pair(lambda x: tf1.conv2d(x, kernel, 1, "SAME"), lambda x: F.conv2d(x, turned, padding=1)),
        "conv 3x3, stride 2": Pair(
            lambda x: tf1.conv2d(x, kernel, 2, "SAME"),
            lambda x: F.conv2d(F.pad(x, [0, 1, 0, 1]), turned, stride=2),
        ),
        "depthwise 3x3": Pair(
            lambda x: tf1.depthwise_conv2d(x, depth, 1, "SAME"),
            lambda x: F.conv2d(x, own_depth, padding=1, groups=channels),
        ),
        "transposed 3x3, stride 2": Pair(
            lambda x: tf1.conv2d_transpose(
                x, kernel, [x.shape[0], 2 * x.shape[1], 2 * x.shape[2], channels], 2, "SAME"
            ),
            lambda x: F.conv_transpose2d(x, turned, stride=2)[:, :, :-1, :-1],
        ),
        "max pool 3x3, stride 2": Pair(
            lambda x: tf1.max_pool(x, 3, 2, "SAME"),
            lambda x: F.max_pool2d(F.pad(x, [0, 1, 0, 1], value=float("-inf")), 3, 2),
        ),
        "average pool 2x2": Pair(lambda x: tf1.avg_pool(x, 2, 2, "VALID"), lambda x: F.avg_pool2d(x, 2, 2)),
        "batch norm, training": Pair(
            lambda x: tf1.fused_batch_norm(x, scale, offset)[0],
            lambda x: F.batch_norm(x, mean.clone(), variance.clone(), scale, offset, True, 0.1, 1e-3),
        ),
        "batch norm, eval": Pair(
            lambda x: tf1.fused_batch_norm(x, scale, offset, mean, variance, is_training=False)[0],
            lambda x: F.batch_norm(x, mean, variance, scale, offset, False, 0.1, 1e-3),
        ),
    }


class Residual(nn.Module):
    """A residual block by hand."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2))
        self.norm1, self.norm2 = (nn.BatchNorm2d(channels, eps=1e-3, momentum=0.001) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        return x + F.relu(self.norm2(self.conv2(y)))


def residual(x: Tensor) -> Tensor:
    """The same by slim."""
    norm = {"is_training": False, "scale": True}
    with slim.arg_scope([slim.conv2d], normalizer_fn=slim.batch_norm, normalizer_params=norm):
        y = slim.conv2d(x, x.shape[-1], 3)
        return x + slim.conv2d(y, x.shape[-1], 3)


def modules(channels: int, example: Tensor) -> dict[str, Pair]:
    """Layers that have variables, with the same weights on both sides."""
    by_slim = ScopedModule(residual, layout="tf", seed=0).build(example).eval()
    block = Residual(channels).eval()
    with torch.no_grad():
        for conv, name in ((block.conv1, "Conv"), (block.conv2, "Conv_1")):
            conv.weight.copy_(by_slim.variables[f"{name}/weights"].permute(3, 2, 0, 1))
    by_layers = ScopedModule(lambda x: layers.dense(x, channels), layout="tf", seed=0).build(example)
    linear = nn.Linear(channels, channels)
    with torch.no_grad():
        linear.weight.copy_(by_layers.variables["dense/kernel"].T)
        linear.bias.zero_()
    return {
        "dense": Pair(by_layers, lambda x: linear(x.movedim(1, -1)).movedim(-1, 1)),
        "a residual block by slim, eval": Pair(by_slim, block),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=28)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--eager", action="store_true", help="without the compiled lines")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with torch.device(args.device), torch.no_grad():
        first = torch.randn(args.batch, args.channels, args.size, args.size)
        last = first.movedim(1, -1).contiguous()
        for name, pair in {**functions(args.channels), **modules(args.channels, last)}.items():
            for way in ("eager",) if args.eager else ("eager", "compiled"):
                ours, theirs = pair if way == "eager" else map(torch.compile, pair)
                torch.testing.assert_close(ours(last).movedim(-1, 1), theirs(first), rtol=1e-3, atol=1e-3)
                each = {"ours": lambda f=ours: f(last), "theirs": lambda f=theirs: f(first)}
                times = medians(each, args.rounds, 3)
                ratio = times["ours"] / times["theirs"]
                ms = f"{times['ours'] * 1e3:.2f} ms against {times['theirs'] * 1e3:.2f}"
                report(f"{name}, channels last, {way}", "torch, channels second", ratio, "<= 1.05", ms)


if __name__ == "__main__":
    main()
