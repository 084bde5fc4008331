"""``tf.contrib.layers``: its layers, normalizations, initializers and regularizers."""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from .._lacking import lacking as _lacking
from ._convolutions import conv1d as conv1d
from ._convolutions import conv2d as conv2d
from ._convolutions import conv2d_transpose as conv2d_transpose
from ._convolutions import conv3d as conv3d
from ._convolutions import conv3d_transpose as conv3d_transpose
from ._convolutions import convolution as convolution
from ._convolutions import convolution1d as convolution1d
from ._convolutions import convolution2d as convolution2d
from ._convolutions import convolution2d_transpose as convolution2d_transpose
from ._convolutions import convolution3d as convolution3d
from ._convolutions import convolution3d_transpose as convolution3d_transpose
from ._convolutions import separable_conv2d as separable_conv2d
from ._convolutions import separable_convolution2d as separable_convolution2d
from ._initializers import variance_scaling_initializer as variance_scaling_initializer
from ._initializers import xavier_initializer as xavier_initializer
from ._initializers import xavier_initializer_conv2d as xavier_initializer_conv2d
from ._layers import bias_add as bias_add
from ._layers import fully_connected as fully_connected
from ._normalization import batch_norm as batch_norm
from ._normalization import instance_norm as instance_norm
from ._normalization import layer_norm as layer_norm
from ._regularizers import apply_regularization as apply_regularization
from ._regularizers import l1_l2_regularizer as l1_l2_regularizer
from ._regularizers import l1_regularizer as l1_regularizer
from ._regularizers import l2_regularizer as l2_regularizer
from ._regularizers import sum_regularizer as sum_regularizer
from ._shapes import avg_pool2d as avg_pool2d
from ._shapes import avg_pool3d as avg_pool3d
from ._shapes import dropout as dropout
from ._shapes import elu as elu
from ._shapes import flatten as flatten
from ._shapes import linear as linear
from ._shapes import max_pool2d as max_pool2d
from ._shapes import max_pool3d as max_pool3d
from ._shapes import maxout as maxout
from ._shapes import one_hot_encoding as one_hot_encoding
from ._shapes import relu as relu
from ._shapes import relu6 as relu6
from ._shapes import repeat as repeat
from ._shapes import softmax as softmax
from ._shapes import stack as stack
from ._shapes import unit_norm as unit_norm

__all__ = [
    "apply_regularization",
    "avg_pool2d",
    "avg_pool3d",
    "batch_norm",
    "bias_add",
    "conv1d",
    "conv2d",
    "conv2d_transpose",
    "conv3d",
    "conv3d_transpose",
    "convolution",
    "convolution1d",
    "convolution2d",
    "convolution2d_transpose",
    "convolution3d",
    "convolution3d_transpose",
    "dropout",
    "elu",
    "flatten",
    "fully_connected",
    "instance_norm",
    "l1_l2_regularizer",
    "l1_regularizer",
    "l2_regularizer",
    "layer_norm",
    "linear",
    "max_pool2d",
    "max_pool3d",
    "maxout",
    "one_hot_encoding",
    "relu",
    "relu6",
    "repeat",
    "separable_conv2d",
    "separable_convolution2d",
    "softmax",
    "stack",
    "sum_regularizer",
    "unit_norm",
    "variance_scaling_initializer",
    "xavier_initializer",
    "xavier_initializer_conv2d",
]

if not _TYPE_CHECKING:  # a type checker would take any name for one
    __getattr__ = _lacking("tf.contrib.layers")
