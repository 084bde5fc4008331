"""A generator and a discriminator of handwritten digits, as functions in scopes of one module.

    python examples/gan.py [--steps N] [--device cpu|cuda|auto] [--seed N] [--out PNG]

It trains on the 1,797 digits that scikit-learn ships, 8 by 8 pixels, for 1,500 steps (about two minutes on two
cores), prints how far the samples are from the digits, and saves a grid of samples.

What it shows: one discriminator that is used for real and for generated images, shared by ``reuse``; spectral norm as
the getter of its scope; an optimizer for each player, by its scope; moving averages of the generator, to sample with.

Needs the extra ``examples``: python -m pip install -c constraints.txt -e '.[examples]'
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from torchscope import ScopedModule, layers, scoped, variable_scope
from torchscope.tools import ema, spectral_norm

NOISE = 32  # numbers that a sample is made of
BATCH = 128
ROWS, COLUMNS = 8, 16  # of the grid of samples

# The players ---------------------------------------------------------------------------------------------------------


def generator(noise: Tensor) -> Tensor:
    """Noise [batch, 32] to images [batch, 1, 8, 8] in -1 to 1."""
    x = layers.dense(noise, 128 * 2 * 2).view(-1, 128, 2, 2)
    x = layers.batch_norm(x).relu()
    x = layers.batch_norm(layers.conv_transpose2d(x, 64, 4, stride=2, padding=1)).relu()
    return layers.conv_transpose2d(x, 1, 4, stride=2, padding=1).tanh()


def discriminator(images: Tensor) -> Tensor:
    """Images [batch, 1, 8, 8] to a score each, [batch]: high for real ones."""
    x = F.leaky_relu(layers.conv2d(images, 64, 3, padding=1), 0.1)
    x = F.leaky_relu(layers.conv2d(x, 128, 4, stride=2, padding=1), 0.1)
    x = F.leaky_relu(layers.conv2d(x, 128, 4, stride=2, padding=1), 0.1)
    return layers.dense(x.flatten(1), 1).squeeze(1)


class GAN(ScopedModule):
    """Both players in one module, in the scopes ``generator`` and ``discriminator``."""

    def forward(self, real: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """The scores of real images and of generated ones."""
        fake = self.sample(noise)
        with variable_scope("discriminator", custom_getter=spectral_norm()) as scope:
            of_real = discriminator(real)
        with variable_scope(scope, reuse=True):  # the same discriminator
            return of_real, discriminator(fake)

    @scoped
    def sample(self, noise: Tensor) -> Tensor:
        """Images made of noise."""
        with variable_scope("generator"):
            return generator(noise)


# Learning ------------------------------------------------------------------------------------------------------------


def digits(device: torch.device) -> Tensor:
    """All digits, float32 [1797, 1, 8, 8] in -1 to 1."""
    from sklearn.datasets import load_digits

    return torch.from_numpy(load_digits().images).to(device, torch.float32)[:, None] / 8 - 1


def learn(model: GAN, real: Tensor, average: ema, steps: int) -> None:
    """Let the players take turns; the losses are the hinge's."""
    from tqdm import trange

    players = {
        name: torch.optim.Adam(model.select(name, trainable=True).parameters(), lr=rate, betas=(0.5, 0.99))
        for name, rate in (("generator", 5e-4), ("discriminator", 1e-3))
    }
    numbers = torch.Generator().manual_seed(0)
    with trange(steps, desc="learning", unit="step", file=sys.stderr) as progress:
        for step in progress:
            batch = real[torch.randint(len(real), (BATCH,), generator=numbers).to(real.device)]
            of_real, of_fake = model(batch, torch.randn(BATCH, NOISE, generator=numbers).to(real.device))
            name = "discriminator" if step % 2 == 0 else "generator"
            loss = (1 - of_real).relu().mean() + (1 + of_fake).relu().mean() if step % 2 == 0 else -of_fake.mean()
            model.zero_grad()
            loss.backward()
            players[name].step()
            if name == "generator":
                average.update(model)
            if step % 50 < 2:
                progress.set_postfix({name: f"{loss.item():.3f}"})


def distance(samples: Tensor, real: Tensor) -> float:
    """The maximum mean discrepancy of two sets of images, by Gaussian kernels: 0 for one distribution."""

    def similar(a: Tensor, b: Tensor) -> Tensor:
        squares = torch.cdist(a.flatten(1), b.flatten(1)).square()
        return torch.stack([(-squares / (2 * width**2)).exp().mean() for width in (2.0, 4.0, 8.0)]).mean()

    return float(similar(samples, samples) + similar(real, real) - 2 * similar(samples, real))


# What is printed and drawn -------------------------------------------------------------------------------------------


def save_grid(out: Path, samples: Tensor) -> None:
    """Draw samples [count, 1, 8, 8] as a grid."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(ROWS, COLUMNS, figsize=(COLUMNS * 0.6, ROWS * 0.6))
    for axis, image in zip(axes.flat, samples, strict=True):
        axis.imshow(image[0].numpy(force=True), cmap="gray_r", vmin=-1, vmax=1)
        axis.set_axis_off()
    figure.tight_layout(pad=0.4)
    figure.savefig(out, dpi=100)
    plt.close(figure)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=1500, metavar="N", help="turns of the players (default: 1500)")
    parser.add_argument("--device", choices=["cpu", "cuda", "auto"], default="auto")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the weights (default: 0)")
    parser.add_argument("--out", type=Path, default=Path("gan.png"), metavar="PNG", help="where the grid goes")
    args = parser.parse_args()
    if args.steps < 0:
        parser.error(f"--steps must not be negative, not {args.steps}")
    if not args.out.parent.is_dir():
        parser.error(f"--out: no such folder: {args.out.parent}")
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: no CUDA device is available; use --device cpu or auto")
    return args


def main() -> None:
    """Build, learn, sample, draw."""
    args = parse()
    device = torch.device("cuda" if args.device != "cpu" and torch.cuda.is_available() else "cpu")
    real = digits(device)
    noise = torch.randn(ROWS * COLUMNS, NOISE, generator=torch.Generator().manual_seed(1)).to(device)

    model = GAN(seed=args.seed, device=device).build(real[:BATCH], noise)
    average = ema(0.995)
    average.apply(model, "generator")
    print(model.summary(real[:1], noise[:1], depth=2))

    def sampled() -> Tensor:
        with torch.no_grad(), average.applied(model):
            images: Tensor = model.eval().sample(noise)
        model.train()
        return images

    start = distance(sampled(), real)
    learn(model, real, average, args.steps)
    samples = sampled()
    print(f"distance to the digits at the start      {start:.4f}")
    print(f"distance to the digits after {args.steps:5} steps {distance(samples, real):.4f}")
    print(f"of other digits, as many                 {distance(real[: len(noise)], real):.4f}")
    save_grid(args.out, samples)
    print(f"samples saved to {args.out}")


if __name__ == "__main__":
    main()
