"""``tf.image``: resizing, cutting and turning round of images on TensorFlow's axes and pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING as _TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ArgumentValueError
from ._lacking import lacking as _lacking

__all__ = [
    "ResizeMethod",
    "central_crop",
    "crop_to_bounding_box",
    "flip_left_right",
    "flip_up_down",
    "pad_to_bounding_box",
    "per_image_standardization",
    "resize_bilinear",
    "resize_image_with_crop_or_pad",
    "resize_images",
    "resize_nearest_neighbor",
    "rgb_to_grayscale",
]


class ResizeMethod:
    """The ways of :func:`resize_images` (``tf.image.ResizeMethod``)."""

    BILINEAR = 0
    NEAREST_NEIGHBOR = 1
    BICUBIC = 2
    AREA = 3


def _new_sizes(
    images: Tensor, size: Sequence[int] | Tensor, align_corners: bool, half_pixel_centers: bool
) -> tuple[int, int]:
    """Check what a batch of images is resized by."""
    if align_corners and half_pixel_centers:
        raise ArgumentValueError.of("half_pixel_centers", True, "With align_corners=True it has no meaning.")
    sizes = _sizes(size)
    if images.dim() != 4:
        raise ArgumentValueError.of("the shape of the images", tuple(images.shape), "Give 4 axes, NHWC.")
    return sizes


def _sizes(size: Sequence[int] | Tensor) -> tuple[int, int]:
    each = [int(n) for n in size]
    if len(each) != 2 or min(each) < 1:
        raise ArgumentValueError.of("size", each, "Give [new_height, new_width], both positive.")
    return each[0], each[1]


def _sources(new: int, old: int, *, align_corners: bool, half_pixel_centers: bool, like: Tensor) -> Tensor:
    """Where the new pixels of an axis are among the old ones."""
    at = torch.arange(new, device=like.device, dtype=torch.float32)
    if align_corners and new > 1:
        return at * ((old - 1) / (new - 1))
    scale = old / new
    return (at + 0.5) * scale - 0.5 if half_pixel_centers else at * scale


def resize_bilinear(
    images: Tensor,
    size: Sequence[int] | Tensor,
    align_corners: bool = False,
    name: str | None = None,
    half_pixel_centers: bool = False,
) -> Tensor:
    """``tf.image.resize_bilinear``: the first pixel stays where it is, unless it is said otherwise; as ``float32``.

    ``torch.nn.functional.interpolate`` has pixels at their centres, ``half_pixel_centers=True`` here, or corners.

    >>> resize_bilinear(torch.tensor([0.0, 2.0]).view(1, 1, 2, 1), [1, 4]).flatten()
    tensor([0., 1., 2., 2.])

    Args:
        images: [batch, height, width, channels].
        size: [new_height, new_width].
        align_corners: the corner pixels stay where they are.
        half_pixel_centers: pixels are at their centres.

    Returns:
        [batch, new_height, new_width, channels], ``float32``, or ``float64`` of that.
    """
    height, width = _new_sizes(images, size, align_corners, half_pixel_centers)
    x = images if images.dtype == torch.float64 else images.float()
    for axis, new in ((1, height), (2, width)):
        old = x.shape[axis]
        source = _sources(new, old, align_corners=align_corners, half_pixel_centers=half_pixel_centers, like=x)
        low = source.floor()
        share = (source - low).to(x.dtype).view([-1 if each == axis else 1 for each in range(4)])
        below = x.index_select(axis, low.long().clamp(0, old - 1))
        above = x.index_select(axis, source.ceil().long().clamp(0, old - 1))
        x = below + (above - below) * share
    return x


def resize_nearest_neighbor(
    images: Tensor,
    size: Sequence[int] | Tensor,
    align_corners: bool = False,
    name: str | None = None,
    half_pixel_centers: bool = False,
) -> Tensor:
    """``tf.image.resize_nearest_neighbor``: of the pixels before it, or, with corners aligned, of the nearest one.

    ``torch.nn.functional.interpolate(mode="nearest")`` is the default here; it has no ``align_corners``.

    >>> resize_nearest_neighbor(torch.tensor([0, 2]).view(1, 1, 2, 1), [1, 4]).flatten()
    tensor([0, 0, 2, 2])

    Args:
        images, size, align_corners, half_pixel_centers: as of :func:`resize_bilinear`.

    Returns:
        [batch, new_height, new_width, channels], of the dtype of the images.
    """
    height, width = _new_sizes(images, size, align_corners, half_pixel_centers)
    for axis, new in ((1, height), (2, width)):
        old = images.shape[axis]
        at = torch.arange(new, device=images.device, dtype=torch.float32)
        if align_corners and new > 1:
            source = torch.floor(at * ((old - 1) / (new - 1)) + 0.5)
        else:
            source = torch.floor((at + (0.5 if half_pixel_centers else 0.0)) * (old / new))
        images = images.index_select(axis, source.long().clamp(0, old - 1))
    return images


def resize_images(
    images: Tensor,
    size: Sequence[int] | Tensor,
    method: int = ResizeMethod.BILINEAR,
    align_corners: bool = False,
    preserve_aspect_ratio: bool = False,
    name: str | None = None,
) -> Tensor:
    """``tf.image.resize_images``: one image or a batch of them; of the same size, they stay as they are.

    >>> resize_images(torch.ones(4, 4, 3), [2, 2], ResizeMethod.NEAREST_NEIGHBOR).shape
    torch.Size([2, 2, 3])

    Raises:
        NotImplementedError: ``BICUBIC``, ``AREA``, ``preserve_aspect_ratio``.
        ArgumentValueError: neither three nor four axes.
    """
    if preserve_aspect_ratio or method not in (ResizeMethod.BILINEAR, ResizeMethod.NEAREST_NEIGHBOR):
        what = "preserve_aspect_ratio=True" if preserve_aspect_ratio else f"method={method}"
        raise NotImplementedError(f"resize_images({what}) is not there yet.\nUse BILINEAR or NEAREST_NEIGHBOR.")
    if images.dim() not in (3, 4):
        raise ArgumentValueError.of("the shape of the images", tuple(images.shape), "Give 3 or 4 axes, NHWC.")
    batch = images if images.dim() == 4 else images.unsqueeze(0)
    if _sizes(size) == tuple(batch.shape[1:3]):
        return images
    resize = resize_bilinear if method == ResizeMethod.BILINEAR else resize_nearest_neighbor
    resized = resize(batch, size, align_corners)
    return resized if images.dim() == 4 else resized.squeeze(0)


def crop_to_bounding_box(
    image: Tensor, offset_height: int, offset_width: int, target_height: int, target_width: int
) -> Tensor:
    """``tf.image.crop_to_bounding_box``: a part of [(batch,) height, width, channels].

    >>> crop_to_bounding_box(torch.ones(4, 4, 3), 1, 1, 2, 3).shape
    torch.Size([2, 3, 3])

    Raises:
        ArgumentValueError: a box that is not inside.
    """
    height, width = image.shape[-3:-1]
    box = (offset_height, offset_width, target_height, target_width)
    inside = offset_height + target_height <= height and offset_width + target_width <= width
    if min(box[:2]) < 0 or min(box[2:]) < 1 or not inside:
        raise ArgumentValueError.of("the box", box, f"The image is {height} high and {width} wide.")
    return image.narrow(-3, offset_height, target_height).narrow(-2, offset_width, target_width)


def pad_to_bounding_box(
    image: Tensor, offset_height: int, offset_width: int, target_height: int, target_width: int
) -> Tensor:
    """``tf.image.pad_to_bounding_box``: [(batch,) height, width, channels] with zeros around it.

    >>> pad_to_bounding_box(torch.ones(1, 1, 1), 1, 0, 2, 2).flatten()
    tensor([0., 0., 1., 0.])

    Raises:
        ArgumentValueError: a box that does not hold it.
    """
    height, width = image.shape[-3:-1]
    below, right = target_height - offset_height - height, target_width - offset_width - width
    if min(offset_height, offset_width, below, right) < 0:
        box = (offset_height, offset_width, target_height, target_width)
        raise ArgumentValueError.of("the box", box, f"The image is {height} high and {width} wide.")
    return F.pad(image, [0, 0, offset_width, right, offset_height, below])


def resize_image_with_crop_or_pad(image: Tensor, target_height: int, target_width: int) -> Tensor:
    """``tf.image.resize_image_with_crop_or_pad``: the middle of an image, or zeros around it.

    >>> resize_image_with_crop_or_pad(torch.ones(4, 1, 3), 2, 3).shape
    torch.Size([2, 3, 3])
    """
    height, width = image.shape[-3:-1]
    x = crop_to_bounding_box(
        image,
        max((height - target_height) // 2, 0),
        max((width - target_width) // 2, 0),
        min(height, target_height),
        min(width, target_width),
    )
    down, right = max((target_height - height) // 2, 0), max((target_width - width) // 2, 0)
    return pad_to_bounding_box(x, down, right, target_height, target_width)


def central_crop(image: Tensor, central_fraction: float) -> Tensor:
    """``tf.image.central_crop``: the middle of an image, a fraction of its height and width.

    >>> central_crop(torch.ones(4, 8, 3), 0.5).shape
    torch.Size([2, 4, 3])

    Raises:
        ArgumentValueError: a fraction that is not in (0, 1].
    """
    if not 0 < central_fraction <= 1:
        raise ArgumentValueError.of("central_fraction", central_fraction, "Give a number in (0, 1].")
    height, width = image.shape[-3:-1]
    top, left = (int((size - size * central_fraction) / 2) for size in (height, width))
    return crop_to_bounding_box(image, top, left, height - 2 * top, width - 2 * left)


def flip_left_right(image: Tensor) -> Tensor:
    """``tf.image.flip_left_right``: of [(batch,) height, width, channels].

    >>> flip_left_right(torch.tensor([1, 2]).view(1, 2, 1)).flatten()
    tensor([2, 1])
    """
    return image.flip(-2)


def flip_up_down(image: Tensor) -> Tensor:
    """``tf.image.flip_up_down``: of [(batch,) height, width, channels].

    >>> flip_up_down(torch.tensor([1, 2]).view(2, 1, 1)).flatten()
    tensor([2, 1])
    """
    return image.flip(-3)


def per_image_standardization(image: Tensor) -> Tensor:
    """``tf.image.per_image_standardization``: mean 0 and deviation 1, which is at least ``1 / sqrt(count)``.

    >>> per_image_standardization(torch.tensor([1.0, 3.0]).view(1, 2, 1)).flatten()
    tensor([-1.,  1.])
    """
    x = image.float()
    over = list(range(x.dim() - 3, x.dim()))
    variance, mean = torch.var_mean(x, over, correction=0, keepdim=True)
    count = x.shape[-1] * x.shape[-2] * x.shape[-3]
    return (x - mean) / variance.clamp(min=1 / count).sqrt()


def rgb_to_grayscale(images: Tensor, name: str | None = None) -> Tensor:
    """``tf.image.rgb_to_grayscale``: [..., 3] to [..., 1], by the weights of the three colours.

    >>> rgb_to_grayscale(torch.ones(1, 1, 3)).shape
    torch.Size([1, 1, 1])
    """
    if images.dtype not in (torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64):
        raise NotImplementedError(f"rgb_to_grayscale of {images.dtype} is not there yet.\nGive uint8 or floats.")
    weights = torch.tensor([0.2989, 0.5870, 0.1140], device=images.device)
    if images.is_floating_point():
        return (images * weights.to(images.dtype)).sum(-1, keepdim=True)
    gray = (images.float() * (1 / 255) * weights).sum(-1, keepdim=True)
    return (gray * 255.5).to(images.dtype)


if not _TYPE_CHECKING:  # a type checker would take any name for one
    __getattr__ = _lacking("tf.image")
