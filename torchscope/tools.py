"""Tools for every day: see what a model computes inside, layers as functions, getters that are ready to use.

Most tools are methods of a model: :meth:`torchscope.ScopedModule.summary`, ``plan``, ``select``, ``param_groups``,
``tie``.
"""

from ._tools.averages import ema as ema
from ._tools.capture import Captured as Captured
from ._tools.capture import capture as capture
from ._tools.layer import layer as layer
from ._tools.lora import lora as lora
from ._tools.norms import spectral_norm as spectral_norm
from ._tools.norms import weight_norm as weight_norm
from ._tools.outline import Node as Node
from ._tools.selection import Selection as Selection
from ._tools.summary import Summary as Summary
from ._tools.summary import Training as Training

__all__ = [
    "Captured",
    "Node",
    "Selection",
    "Summary",
    "Training",
    "capture",
    "ema",
    "layer",
    "lora",
    "spectral_norm",
    "weight_norm",
]
