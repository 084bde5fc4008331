"""TensorFlow 1's functions on torch tensors, with TensorFlow's axes and numbers.

Each has the name, the arguments and the defaults that it has in TensorFlow 1, and is here because no line of torch does
the same. Axes are TensorFlow's: images are ``[batch, height, width, channels]``, kernels ``[height, width, in, out]``.
A module that uses them says so once, ``ScopedModule(..., layout="tf")``, and loads TensorFlow's checkpoints as they
are.

Scopes and initializers are here too, under TensorFlow's names, so that ``from torchscope import tf1 as tf`` goes a long
way.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from torch import Tensor as Tensor
from torch import bfloat16 as bfloat16
from torch import bool as bool
from torch import complex64 as complex64
from torch import complex128 as complex128
from torch import float16 as float16
from torch import float32 as float32
from torch import float64 as float64
from torch import int8 as int8
from torch import int16 as int16
from torch import int32 as int32
from torch import int64 as int64
from torch import uint8 as uint8

from .._modules.template import make_template as make_template
from .._scopes.get_variable import get_local_variable as get_local_variable
from .._scopes.get_variable import get_variable as get_variable
from .._scopes.name_scope import name_scope as name_scope
from .._scopes.scope import VariableScope as VariableScope
from .._scopes.scope import get_variable_scope as get_variable_scope
from .._scopes.settings import no_regularizer as no_regularizer
from .._scopes.variable_scope import variable_scope as variable_scope
from .._variables.reuse import AUTO_REUSE as AUTO_REUSE
from ..initializers import constant_initializer as constant_initializer
from ..initializers import glorot_normal_initializer as glorot_normal_initializer
from ..initializers import glorot_uniform_initializer as glorot_uniform_initializer
from ..initializers import ones_initializer as ones_initializer
from ..initializers import orthogonal_initializer as orthogonal_initializer
from ..initializers import random_normal_initializer as random_normal_initializer
from ..initializers import random_uniform_initializer as random_uniform_initializer
from ..initializers import truncated_normal_initializer as truncated_normal_initializer
from ..initializers import uniform_unit_scaling_initializer as uniform_unit_scaling_initializer
from ..initializers import variance_scaling_initializer as variance_scaling_initializer
from ..initializers import zeros_initializer as zeros_initializer
from . import contrib as contrib
from . import image as image
from . import layers as layers
from . import losses as losses
from . import nn as nn
from ._arrays import boolean_mask as boolean_mask
from ._arrays import gather_nd as gather_nd
from ._arrays import matrix_band_part as matrix_band_part
from ._arrays import meshgrid as meshgrid
from ._arrays import one_hot as one_hot
from ._arrays import pad as pad
from ._arrays import reverse as reverse
from ._arrays import scatter_nd as scatter_nd
from ._arrays import sequence_mask as sequence_mask
from ._arrays import slice as slice
from ._arrays import split as split
from ._arrays import squeeze as squeeze
from ._arrays import transpose as transpose
from ._arrays import where as where
from ._asserts import assert_equal as assert_equal
from ._asserts import assert_greater as assert_greater
from ._asserts import assert_greater_equal as assert_greater_equal
from ._asserts import assert_less as assert_less
from ._asserts import assert_less_equal as assert_less_equal
from ._asserts import assert_rank as assert_rank
from ._blocks import depth_to_space as depth_to_space
from ._blocks import extract_image_patches as extract_image_patches
from ._blocks import space_to_depth as space_to_depth
from ._collections import GraphKeys as GraphKeys
from ._collections import add_to_collection as add_to_collection
from ._collections import add_to_collections as add_to_collections
from ._collections import get_collection as get_collection
from ._collections import global_variables as global_variables
from ._collections import local_variables as local_variables
from ._collections import model_variables as model_variables
from ._collections import name_of as name_of
from ._collections import trainable_variables as trainable_variables
from ._control_flow import case as case
from ._control_flow import cond as cond
from ._control_flow import control_dependencies as control_dependencies
from ._control_flow import foldl as foldl
from ._control_flow import foldr as foldr
from ._control_flow import group as group
from ._control_flow import identity as identity
from ._control_flow import map_fn as map_fn
from ._control_flow import no_op as no_op
from ._control_flow import scan as scan
from ._control_flow import stop_gradient as stop_gradient
from ._control_flow import while_loop as while_loop
from ._convert import convert_to_tensor as convert_to_tensor
from ._graph_only import unported as unported
from ._lacking import lacking as _lacking
from ._math import argmax as argmax
from ._math import argmin as argmin
from ._math import clip_by_global_norm as clip_by_global_norm
from ._math import clip_by_norm as clip_by_norm
from ._math import cumsum as cumsum
from ._math import div as div
from ._math import global_norm as global_norm
from ._math import maximum as maximum
from ._math import minimum as minimum
from ._math import reduce_mean as reduce_mean
from ._math import segment_mean as segment_mean
from ._math import segment_sum as segment_sum
from ._math import to_int32 as to_int32
from ._math import unsorted_segment_sum as unsorted_segment_sum
from ._random import multinomial as multinomial
from ._random import random_crop as random_crop
from ._random import random_normal as random_normal
from ._random import random_shuffle as random_shuffle
from ._random import random_uniform as random_uniform
from ._random import truncated_normal as truncated_normal
from .contrib import slim as slim
from .rnn import reverse_sequence as reverse_sequence

newaxis = None

if not _TYPE_CHECKING:  # a type checker would take any name for one
    __getattr__ = _lacking("tf")
