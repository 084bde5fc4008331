"""A filter of two layers that two photographs share: functions that make their parameters where they use them.

    python examples/image_filter.py [IMAGE1 IMAGE2] [--device cpu|cuda|auto] [--steps N] [--out PNG] [--graph DIR]

Without images it takes the two photographs that scikit-learn ships. The filter learns, on both images at once, to take
noise away, for 100 steps (ten seconds to a minute); ``--steps 0`` leaves it untrained. It prints the variables, how
often each was used, and the loss, and it saves a picture. With ``--graph DIR`` it saves the graph of one call too, for
TensorBoard and as an SVG drawing.

Needs the extra ``examples``: python -m pip install -c constraints.txt -e '.[examples]'; ``--graph`` needs ``graphviz``
and ``tensorboard`` too.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from torchscope import ScopedModule, constant_initializer, get_variable, variable_scope
from torchscope.graph import record_graph

SIDE = 256  # photographs are brought to at most this many pixels on their longer side
NOISE = 0.15  # standard deviation of the noise; pixels are in [0, 1]
CROP = 96  # side of the squares that the filter learns on


# The model ----------------------------------------------------------------------------------------------------------


def conv_relu(x: Tensor, kernel_shape: list[int], bias_shape: list[int]) -> Tensor:
    """A convolution with its own weights and biases: whichever the open scopes say."""
    weights = get_variable("weights", kernel_shape)
    biases = get_variable("biases", bias_shape, initializer=constant_initializer(0.0))
    return F.relu(F.conv2d(x, weights, biases, padding="same"))


def my_image_filter(images: Tensor) -> Tensor:
    """Feature maps of images: float32 [batch, 3, height, width] to [batch, 32, height, width]."""
    with variable_scope("conv1"):  # conv1/weights, conv1/biases
        x = conv_relu(images, [32, 3, 5, 5], [32])
    with variable_scope("conv2"):  # conv2/weights, conv2/biases
        return conv_relu(x, [32, 32, 5, 5], [32])


def filter_both(image1: Tensor, image2: Tensor) -> tuple[Tensor, Tensor]:
    """One filter for two images: the second use shares the variables of the first, and says so."""
    with variable_scope("image_filters") as scope:
        result1 = my_image_filter(image1)
        scope.reuse_variables()  # from here on: the same four parameters
        result2 = my_image_filter(image2)
    return result1, result2


class ImageFilters(ScopedModule):
    """The module that owns the four variables."""

    def forward(self, image1: Tensor, image2: Tensor) -> tuple[Tensor, Tensor]:
        return filter_both(image1, image2)


def denoised(noisy: Tensor, maps: Tensor) -> Tensor:
    """The noisy image with what the feature maps found taken off, three channels at a time.

    The filter has four variables and no more, so its 32 maps are read in a fixed way: the first 15 add to the colours,
    the next 15 take away, by averages of five.
    """
    batch, _, height, width = maps.shape
    signed = maps[:, :30].reshape(batch, 2, 5, 3, height, width).mean(2)
    return noisy + signed[:, 0] - signed[:, 1]


# Learning ------------------------------------------------------------------------------------------------------------


def crops(image: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Random squares of an image [3, height, width]: [count, 3, side, side]."""
    _, height, width = image.shape
    side = min(CROP, height, width)
    tops = torch.randint(height - side + 1, (count,), generator=generator).tolist()
    lefts = torch.randint(width - side + 1, (count,), generator=generator).tolist()
    return torch.stack([image[:, y : y + side, x : x + side] for y, x in zip(tops, lefts, strict=True)])


def add_noise(images: Tensor, generator: torch.Generator) -> Tensor:
    """The images with Gaussian noise, drawn on the CPU so that every device sees the same."""
    return images + NOISE * torch.randn(images.shape, generator=generator).to(images.device)


def loss_of(model: ImageFilters, clean: list[Tensor], noisy: list[Tensor]) -> Tensor:
    """Mean squared error of both images together."""
    maps = model(*noisy)
    return torch.stack([F.mse_loss(denoised(n, m), c) for c, n, m in zip(clean, noisy, maps, strict=True)]).mean()


def learn(model: ImageFilters, photographs: list[Tensor], steps: int) -> None:
    """Train on random squares of both photographs at once."""
    from tqdm import trange

    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    generator = torch.Generator().manual_seed(1)
    with trange(steps, desc="learning", unit="step", file=sys.stderr) as progress:
        for _ in progress:
            clean = [crops(photograph, 2, generator) for photograph in photographs]
            loss = loss_of(model, clean, [add_noise(images, generator) for images in clean])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            progress.set_postfix(loss=f"{loss.item():.5f}")


# What is read, printed and drawn -------------------------------------------------------------------------------------


class UsageError(Exception):
    """A mistake in what the program was given: one line and exit code 2."""


def read_images(paths: list[str]) -> list[Tensor]:
    """The photographs as float32 [3, height, width] in [0, 1]."""
    from PIL import Image, UnidentifiedImageError

    pictures = []
    for path in paths:
        try:
            with Image.open(path) as opened:
                pictures.append(opened.convert("RGB"))
        except FileNotFoundError:
            raise UsageError(f"no such file: {path}") from None
        except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
            raise UsageError(f"not an image that can be read: {path} ({error})") from None
    if not paths:
        from sklearn.datasets import load_sample_images

        pictures = [Image.fromarray(image) for image in load_sample_images().images]
    for picture in pictures:
        picture.thumbnail((SIDE, SIDE))
    return [
        torch.frombuffer(bytearray(p.tobytes()), dtype=torch.uint8).reshape(p.height, p.width, 3).permute(2, 0, 1) / 255
        for p in pictures
    ]


def choose_device(name: str) -> torch.device:
    """The device of this name; ``auto`` is CUDA where there is some."""
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise UsageError("--device cuda: no CUDA device is available; use --device cpu or auto")
    return torch.device("cuda" if name == "cuda" or (name == "auto" and available) else "cpu")


def count_uses(model: ImageFilters, images: list[Tensor]) -> Counter[str]:
    """How often one run gets each variable: a custom getter sees every request on its way."""
    uses: Counter[str] = Counter()

    def count(getter: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        uses[name] += 1
        return getter(name, *args, **kwargs)

    with torch.no_grad(), model.as_default(), variable_scope("", custom_getter=count):
        filter_both(*images)
    return uses


def print_variables(model: ImageFilters, uses: Counter[str]) -> None:
    """A table of the variables: path, shape, number of elements, uses in one call."""
    rows = [
        (path, " x ".join(map(str, spec.shape)), f"{model.variables[path].numel():,}", str(uses[path]))
        for path, spec in model.specs.items()
    ]
    total = sum(variable.numel() for variable in model.variables.values())
    rows = [("variable", "shape", "elements", "uses"), *rows, (f"{len(model.specs)} variables", "", f"{total:,}", "")]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for path, shape, count, used in rows:
        print(f"{path:{widths[0]}}  {shape:{widths[1]}}  {count:>{widths[2]}}  {used:>{widths[3]}}")


def save_picture(out: Path, rows: list[tuple[Tensor, Tensor, Tensor, Tensor]]) -> None:
    """Draw, per photograph, the noisy image, the filtered one, the original, and three feature maps."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    titles = ["noisy", "filtered", "original", "feature map 1", "feature map 2", "feature map 3"]
    figure, axes = plt.subplots(len(rows), len(titles), figsize=(18, 2.6 * len(rows)), squeeze=False)
    for line, (noisy, filtered, original, maps) in zip(axes, rows, strict=True):
        strongest = maps.std((1, 2)).argsort(descending=True)[:3]
        error = f"\nerror {F.mse_loss(filtered, original).item():.5f}"
        before = f"\nerror {F.mse_loss(noisy, original).item():.5f}"
        for axis, title, image in zip(line[:3], titles, (noisy, filtered, original), strict=False):
            axis.imshow(image.clamp(0, 1).permute(1, 2, 0).numpy(force=True))
            axis.set_title(title + {"noisy": before, "filtered": error}.get(title, ""), fontsize=10)
        for axis, title, index in zip(line[3:], titles[3:], strongest, strict=True):
            axis.imshow(maps[index].numpy(force=True), cmap="magma")
            axis.set_title(title, fontsize=10)
        for axis in line:
            axis.set_axis_off()
    figure.tight_layout()
    figure.savefig(out, dpi=80)
    plt.close(figure)


def save_graph(model: ImageFilters, images: list[Tensor], folder: Path) -> None:
    """Draw the operations of one call, in their scopes, with the variables that they read."""
    with torch.no_grad(), record_graph() as graph:
        model(*images)
    try:
        graph.write_tensorboard(folder)
        (folder / "graph.svg").write_text(graph.to_svg())
    except ImportError as error:
        raise UsageError(f"--graph: {error}") from None


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], formatter_class=argparse.HelpFormatter)
    parser.add_argument("images", nargs="*", metavar="IMAGE", help="two image files; by default scikit-learn's two")
    parser.add_argument("--device", choices=["cpu", "cuda", "auto"], default="auto")
    parser.add_argument(
        "--steps", type=int, default=100, metavar="N", help="learn for N steps to take noise away (default: 100)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("image_filter.png"), metavar="PNG", help="where the picture goes"
    )
    parser.add_argument(
        "--graph", type=Path, metavar="DIR", help="also write the model's graph there, for TensorBoard and as graph.svg"
    )
    args = parser.parse_args()
    if len(args.images) not in (0, 2):
        parser.error(f"give two images or none, not {len(args.images)}")
    if args.steps < 0:
        parser.error(f"--steps must not be negative, not {args.steps}")
    if not args.out.parent.is_dir():
        parser.error(f"--out: no such folder: {args.out.parent}")
    if args.graph and args.graph.exists() and not args.graph.is_dir():
        parser.error(f"--graph: not a folder: {args.graph}")
    return args


def main() -> None:
    """Read, build, learn, print, draw."""
    args = parse()
    device = choose_device(args.device)
    photographs = [image.to(device) for image in read_images(args.images)]

    model = ImageFilters(seed=0, device=device)
    model.build(*(image[None] for image in photographs))  # makes the variables: now there is something to train

    clean = [image[None] for image in photographs]
    noisy = [add_noise(images, torch.Generator().manual_seed(0)) for images in clean]
    with torch.no_grad():
        start = loss_of(model, clean, noisy).item()
    if args.steps:
        learn(model, photographs, args.steps)
    with torch.no_grad():
        end = loss_of(model, clean, noisy).item()
        maps = model(*noisy)

    print_variables(model, count_uses(model, noisy))
    print(f"loss at the start       {start:.5f}")
    print(f"loss after {args.steps:5} steps  {end:.5f}")
    images = zip(noisy, map(denoised, noisy, maps), clean, maps, strict=True)
    save_picture(args.out, [(n[0], f[0], c[0], m[0]) for n, f, c, m in images])
    print(f"picture saved to {args.out}")
    if args.graph:
        save_graph(model, noisy, args.graph)
        print(f"graph saved to {args.graph}: look at graph.svg, or run tensorboard --logdir {args.graph}")


if __name__ == "__main__":
    try:
        main()
    except UsageError as error:
        print(f"image_filter.py: {error}", file=sys.stderr)
        sys.exit(2)
