"""TensorFlow 1's functions on torch tensors, with TensorFlow's axes and numbers.

Each has the name, the arguments and the defaults that it has in TensorFlow 1, and is here because no line of torch does
the same. Axes are TensorFlow's: images are ``[batch, height, width, channels]``, kernels ``[height, width, in, out]``.
A module that uses them says so once, ``ScopedModule(..., layout="tf")``, and loads TensorFlow's checkpoints as they
are. So far there are the convolutions and pools of ``tf.nn``.
"""

from . import nn as nn

__all__ = ["nn"]
