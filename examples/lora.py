"""A classifier of handwritten digits, and an update of low rank that brings it to digits it has never seen.

    python examples/lora.py [--steps N] [--device cpu|cuda|auto] [--rank N] [--out PNG]

A small convolutional network learns the digits that scikit-learn ships, 8 by 8 pixels. Then its pictures are turned by
a quarter and inverted, and it reads hardly any. With its weights frozen, an update of low rank is trained on 400 of the
turned pictures; the program prints the accuracy before and after on others, the size of the update beside that of the
network, and that the network itself is as it was (half a minute on two cores).

Needs the extra ``examples``: python -m pip install -c constraints.txt -e '.[examples]'
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from torchscope import ScopedModule, layers, variable_scope
from torchscope.tools import lora

# The model -----------------------------------------------------------------------------------------------------------


def network(images: Tensor) -> Tensor:
    """Images [batch, 1, 8, 8] to scores [batch, 10]."""
    x = layers.conv2d(images, 32, 3, padding=1).relu()
    x = layers.conv2d(x, 64, 3, stride=2, padding=1).relu()
    x = layers.conv2d(x, 64, 3, stride=2, padding=1).relu()
    return layers.dense(layers.dense(x.flatten(1), 128).relu(), 10)


def plain(images: Tensor) -> Tensor:
    """The network in its scope."""
    with variable_scope("digits"):
        return network(images)


def adapted(adapter: lora) -> ScopedModule:
    """The same network, whose weights get an update: the getter of the scope does it."""

    def forward(images: Tensor) -> Tensor:
        with variable_scope("digits", custom_getter=adapter):
            return network(images)

    return ScopedModule(forward, seed=0)


# Learning ------------------------------------------------------------------------------------------------------------


def digits(device: torch.device) -> tuple[Tensor, Tensor]:
    """All digits in a random order, float32 [1797, 1, 8, 8] in 0 to 1, and what they are, int64 [1797]."""
    from sklearn.datasets import load_digits

    data = load_digits()
    order = torch.randperm(len(data.target), generator=torch.Generator().manual_seed(0))
    images = torch.from_numpy(data.images).to(torch.float32)[order, None] / 16
    return images.to(device), torch.from_numpy(data.target)[order].to(device)


def turned(images: Tensor) -> Tensor:
    """The images turned by a quarter, black on white."""
    return 1 - images.rot90(1, (2, 3))


def learn(model: ScopedModule, images: Tensor, labels: Tensor, steps: int, rate: float, title: str) -> None:
    """Train what has a gradient."""
    from tqdm import trange

    optimizer = torch.optim.Adam(model.select("**", trainable=True).parameters(), lr=rate)
    numbers = torch.Generator().manual_seed(0)
    with trange(steps, desc=title, unit="step", file=sys.stderr) as progress:
        for step in progress:
            chosen = torch.randint(len(images), (64,), generator=numbers).to(images.device)
            loss = F.cross_entropy(model(images[chosen]), labels[chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if step % 20 == 0:
                progress.set_postfix(loss=f"{loss.item():.4f}")


@torch.no_grad()
def accuracy(model: ScopedModule, images: Tensor, labels: Tensor) -> float:
    """The share of images that are read right."""
    return float((model(images).argmax(1) == labels).float().mean())


# What is printed and drawn -------------------------------------------------------------------------------------------


def save_picture(out: Path, images: Tensor, before: Tensor, after: Tensor) -> None:
    """Draw turned digits with what is read before and after."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 10, figsize=(10, 2.6))
    for axis, image, was, now in zip(axes.flat, images, before.tolist(), after.tolist(), strict=True):
        axis.imshow(image[0].numpy(force=True), cmap="gray", vmin=0, vmax=1)
        axis.set_title(f"{was} → {now}", fontsize=10)
        axis.set_axis_off()
    figure.suptitle("What is read of turned digits, before the update and after it", fontsize=10)
    figure.tight_layout()
    figure.savefig(out, dpi=100)
    plt.close(figure)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=400, metavar="N", help="of either training (default: 400)")
    parser.add_argument("--rank", type=int, default=4, metavar="N", help="of the update (default: 4)")
    parser.add_argument("--device", choices=["cpu", "cuda", "auto"], default="auto")
    parser.add_argument("--out", type=Path, default=Path("lora.png"), metavar="PNG", help="where the picture goes")
    args = parser.parse_args()
    if args.steps < 0:
        parser.error(f"--steps must not be negative, not {args.steps}")
    if args.rank < 1:
        parser.error(f"--rank must be positive, not {args.rank}")
    if not args.out.parent.is_dir():
        parser.error(f"--out: no such folder: {args.out.parent}")
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: no CUDA device is available; use --device cpu or auto")
    return args


def main() -> None:
    """Learn the digits, then the turned ones by an update alone."""
    args = parse()
    device = torch.device("cuda" if args.device != "cpu" and torch.cuda.is_available() else "cpu")
    images, labels = digits(device)
    shown, hidden = slice(0, 1200), slice(1200, None)

    base = ScopedModule(plain, seed=0, device=device).build(images[:1])
    learn(base, images[shown], labels[shown], args.steps, 1e-3, "digits")

    adapter = lora(args.rank, alpha=2 * args.rank)
    model = adapted(adapter).to(device).build(images[:1])
    model.load_state_dict(base.state_dict(), strict=False)  # the weights of the network; the update begins at nothing
    model.select("**", exclude="**/lora_*").freeze()
    few, others = turned(images[:400]), turned(images[hidden])
    before = accuracy(model, others, labels[hidden])
    was = model(others[:20]).argmax(1)
    learn(model, few, labels[:400], args.steps, 3e-3, "turned digits")

    update = adapter.state_dict(model)
    weights = sum(variable.numel() for variable in base.variables.values())
    print(model.summary(depth=2))
    print(f"digits read right                            {accuracy(base, images[hidden], labels[hidden]):.1%}")
    print(f"turned digits read right, before the update  {before:.1%}")
    print(f"turned digits read right, after it           {accuracy(model, others, labels[hidden]):.1%}")
    size = sum(tensor.numel() for tensor in update.values())
    print(f"numbers in the update                        {size:,} of {weights:,}, {size / weights:.1%}")
    same = all(torch.equal(v, model.variables[path]) for path, v in base.variables.items())
    print(f"the network is as it was                     {same}")
    save_picture(args.out, others[:20], was, model(others[:20]).argmax(1))
    print(f"picture saved to {args.out}")


if __name__ == "__main__":
    main()
