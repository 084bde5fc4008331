"""Activation checkpointing of functions that get variables: the scope goes with the function into the recompute.

>>> from torchscope.recompute import checkpoint, keep_scope
"""

from ._modules.recompute import checkpoint as checkpoint
from ._modules.recompute import keep_scope as keep_scope

__all__ = ["checkpoint", "keep_scope"]
