"""The initializers of ``tf.contrib.layers``, whose normal ones are not those of ``tf.variance_scaling_initializer``."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import ArgumentValueError
from ...initializers import OurInitializer, fans, random_uniform_initializer, truncated_normal_initializer


@dataclass(unsafe_hash=True)
class variance_scaling_initializer(OurInitializer):
    """``tf.contrib.layers.variance_scaling_initializer``: variance ``factor / n``, ``n`` being a fan of the variable.

    Of the normal that is cut off, the deviation is ``sqrt(1.3 * factor / n)`` before the cut, where
    :class:`torchscope.variance_scaling_initializer` has 1.2925.

    >>> import torch
    >>> variance_scaling_initializer(seed=1)(torch.empty(100, 100)).std().round(decimals=2)
    tensor(0.1400)

    Args:
        factor: the variance times the fan.
        mode: ``"FAN_IN"``, ``"FAN_OUT"`` or ``"FAN_AVG"``, in TensorFlow's axes.
        uniform: a uniform distribution in place of a normal one.

    Raises:
        ArgumentValueError: another mode.
    """

    factor: float = 2.0
    mode: str = "FAN_IN"
    uniform: bool = False
    seed: int | None = None
    dtype: torch.dtype | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mode not in ("FAN_IN", "FAN_OUT", "FAN_AVG"):
            raise ArgumentValueError.of("mode", self.mode, "Use 'FAN_IN', 'FAN_OUT' or 'FAN_AVG'.")

    def __call__(self, tensor: Tensor, generator: torch.Generator | None = None) -> Tensor:
        fan_in, fan_out = fans(tensor.shape, "tf")
        n = {"FAN_IN": fan_in, "FAN_OUT": fan_out, "FAN_AVG": (fan_in + fan_out) / 2}[self.mode]
        if self.uniform:
            limit = math.sqrt(3 * self.factor / n)
            return random_uniform_initializer(-limit, limit, self.seed)(tensor, generator)
        return truncated_normal_initializer(0.0, math.sqrt(1.3 * self.factor / n), self.seed)(tensor, generator)


def xavier_initializer(
    uniform: bool = True, seed: int | None = None, dtype: torch.dtype | None = None
) -> variance_scaling_initializer:
    """``tf.contrib.layers.xavier_initializer``: variance ``1 / fan_avg``; what its layers start from.

    >>> import torch
    >>> xavier_initializer(seed=1)(torch.empty(3, 3)).abs().max() <= 1
    tensor(True)
    """
    return variance_scaling_initializer(1.0, "FAN_AVG", uniform, seed, dtype)


xavier_initializer_conv2d = xavier_initializer
