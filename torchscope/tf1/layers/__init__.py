"""``tf.layers``: layers that make and name their variables as TensorFlow 1 does, as functions and as objects."""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from .._lacking import lacking as _lacking
from .._layer import Layer as Layer
from ._convolutions import Conv1D as Conv1D
from ._convolutions import Conv2D as Conv2D
from ._convolutions import Conv2DTranspose as Conv2DTranspose
from ._convolutions import Conv3D as Conv3D
from ._convolutions import Conv3DTranspose as Conv3DTranspose
from ._convolutions import SeparableConv1D as SeparableConv1D
from ._convolutions import SeparableConv2D as SeparableConv2D
from ._convolutions import conv1d as conv1d
from ._convolutions import conv2d as conv2d
from ._convolutions import conv2d_transpose as conv2d_transpose
from ._convolutions import conv3d as conv3d
from ._convolutions import conv3d_transpose as conv3d_transpose
from ._convolutions import separable_conv1d as separable_conv1d
from ._convolutions import separable_conv2d as separable_conv2d
from ._dense import Dense as Dense
from ._dense import dense as dense
from ._dense import dropout as dropout
from ._dense import flatten as flatten
from ._normalization import BatchNormalization as BatchNormalization
from ._normalization import batch_normalization as batch_normalization
from ._pools import average_pooling1d as average_pooling1d
from ._pools import average_pooling2d as average_pooling2d
from ._pools import average_pooling3d as average_pooling3d
from ._pools import max_pooling1d as max_pooling1d
from ._pools import max_pooling2d as max_pooling2d
from ._pools import max_pooling3d as max_pooling3d

__all__ = [
    "BatchNormalization",
    "Conv1D",
    "Conv2D",
    "Conv2DTranspose",
    "Conv3D",
    "Conv3DTranspose",
    "Dense",
    "Layer",
    "SeparableConv1D",
    "SeparableConv2D",
    "average_pooling1d",
    "average_pooling2d",
    "average_pooling3d",
    "batch_normalization",
    "conv1d",
    "conv2d",
    "conv2d_transpose",
    "conv3d",
    "conv3d_transpose",
    "dense",
    "dropout",
    "flatten",
    "max_pooling1d",
    "max_pooling2d",
    "max_pooling3d",
    "separable_conv1d",
    "separable_conv2d",
]

if not _TYPE_CHECKING:  # a type checker would take any name for one
    __getattr__ = _lacking("tf.layers")
