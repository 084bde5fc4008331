"""``tf.nn``: what has TensorFlow's axes, paddings, defaults and numbers, on torch tensors."""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from .._lacking import lacking as _lacking
from ..rnn import bidirectional_dynamic_rnn as bidirectional_dynamic_rnn
from ..rnn import dynamic_rnn as dynamic_rnn
from ..rnn import static_bidirectional_rnn as static_bidirectional_rnn
from ..rnn import static_rnn as static_rnn
from . import rnn_cell as rnn_cell
from ._activations import bias_add as bias_add
from ._activations import crelu as crelu
from ._activations import dropout as dropout
from ._activations import in_top_k as in_top_k
from ._activations import l2_loss as l2_loss
from ._activations import leaky_relu as leaky_relu
from ._activations import log_softmax as log_softmax
from ._activations import relu_layer as relu_layer
from ._activations import softmax as softmax
from ._activations import top_k as top_k
from ._activations import xw_plus_b as xw_plus_b
from ._convolutions import atrous_conv2d as atrous_conv2d
from ._convolutions import conv1d as conv1d
from ._convolutions import conv1d_transpose as conv1d_transpose
from ._convolutions import conv2d as conv2d
from ._convolutions import conv2d_transpose as conv2d_transpose
from ._convolutions import conv3d as conv3d
from ._convolutions import conv3d_transpose as conv3d_transpose
from ._convolutions import convolution as convolution
from ._convolutions import depthwise_conv2d as depthwise_conv2d
from ._convolutions import separable_conv2d as separable_conv2d
from ._cross_entropy import sigmoid_cross_entropy_with_logits as sigmoid_cross_entropy_with_logits
from ._cross_entropy import softmax_cross_entropy_with_logits as softmax_cross_entropy_with_logits
from ._cross_entropy import softmax_cross_entropy_with_logits_v2 as softmax_cross_entropy_with_logits_v2
from ._cross_entropy import sparse_softmax_cross_entropy_with_logits as sparse_softmax_cross_entropy_with_logits
from ._cross_entropy import weighted_cross_entropy_with_logits as weighted_cross_entropy_with_logits
from ._embedding import embedding_lookup as embedding_lookup
from ._normalization import batch_norm_with_global_normalization as batch_norm_with_global_normalization
from ._normalization import batch_normalization as batch_normalization
from ._normalization import fused_batch_norm as fused_batch_norm
from ._normalization import l2_normalize as l2_normalize
from ._normalization import local_response_normalization as local_response_normalization
from ._normalization import lrn as lrn
from ._normalization import moments as moments
from ._normalization import weighted_moments as weighted_moments
from ._pools import avg_pool as avg_pool
from ._pools import avg_pool3d as avg_pool3d
from ._pools import max_pool as max_pool
from ._pools import max_pool3d as max_pool3d
from ._pools import pool as pool

__all__ = [
    "atrous_conv2d",
    "avg_pool",
    "avg_pool3d",
    "batch_norm_with_global_normalization",
    "batch_normalization",
    "bias_add",
    "bidirectional_dynamic_rnn",
    "conv1d",
    "conv1d_transpose",
    "conv2d",
    "conv2d_transpose",
    "conv3d",
    "conv3d_transpose",
    "convolution",
    "crelu",
    "depthwise_conv2d",
    "dropout",
    "dynamic_rnn",
    "embedding_lookup",
    "fused_batch_norm",
    "in_top_k",
    "l2_loss",
    "l2_normalize",
    "leaky_relu",
    "local_response_normalization",
    "log_softmax",
    "lrn",
    "max_pool",
    "max_pool3d",
    "moments",
    "pool",
    "relu_layer",
    "rnn_cell",
    "separable_conv2d",
    "sigmoid_cross_entropy_with_logits",
    "softmax",
    "softmax_cross_entropy_with_logits",
    "softmax_cross_entropy_with_logits_v2",
    "sparse_softmax_cross_entropy_with_logits",
    "static_bidirectional_rnn",
    "static_rnn",
    "top_k",
    "weighted_cross_entropy_with_logits",
    "weighted_moments",
    "xw_plus_b",
]

if not _TYPE_CHECKING:  # a type checker would take any name for one
    __getattr__ = _lacking("tf.nn")
