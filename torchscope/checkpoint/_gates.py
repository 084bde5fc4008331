"""The order of gates: where the kernel of TensorFlow's LSTM becomes torch's."""

from __future__ import annotations

import torch
from torch import Tensor

# For each order of gates along the last axis of TensorFlow's arrays, the places in it of the gates in torch's order.
GATES = {
    "lstm": (0, 2, 1, 3),  # i, j, f, o: torch has i, f, g, o, and its g is j
    "conv_lstm": (0, 2, 1, 3),  # the same, of a convolution
    "keras_gru": (1, 0, 2),  # z, r, h: torch has r, z, n, and its n is h
}


def split(rule: str, tensor: Tensor) -> list[Tensor]:
    """The gates along the first axis of what torch has, in torch's order."""
    places = GATES[rule]
    axes = (-1, *([-2] if tensor.dim() > 1 else []), *range(tensor.dim() - 2))
    gates = tensor.permute(axes).chunk(len(places))
    return [gates[place] for place in places]


def reordered(rule: str, tensor: Tensor) -> Tensor:
    """The same as one tensor."""
    return torch.cat(split(rule, tensor))
