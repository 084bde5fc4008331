"""The model of the contract: a filter of two layers that two images share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from torchscope import ScopedModule, constant_initializer, get_variable, variable_scope

PATHS = [
    "image_filters/conv1/weights",
    "image_filters/conv1/biases",
    "image_filters/conv2/weights",
    "image_filters/conv2/biases",
]


def conv_relu(x: Tensor, kernel_shape: list[int], bias_shape: list[int]) -> Tensor:
    weights = get_variable("weights", kernel_shape)
    biases = get_variable("biases", bias_shape, initializer=constant_initializer(0.0))
    return F.relu(F.conv2d(x, weights, biases, padding="same"))


def my_image_filter(images: Tensor) -> Tensor:
    with variable_scope("conv1"):
        x = conv_relu(images, [32, 3, 5, 5], [32])
    with variable_scope("conv2"):
        return conv_relu(x, [32, 32, 5, 5], [32])


class ImageFilters(ScopedModule):
    """The contract's example, to the letter."""

    def forward(self, image1: Tensor, image2: Tensor) -> tuple[Tensor, Tensor]:
        with variable_scope("image_filters") as scope:
            result1 = my_image_filter(image1)
            scope.reuse_variables()
            result2 = my_image_filter(image2)
        return result1, result2


def images() -> tuple[Tensor, Tensor]:
    """Two small batches of one image: float32 [1, 3, 8, 8]."""
    return torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8)
