"""TensorFlow 1's variable scopes for PyTorch: parameters made where they are used, by name, with checked sharing."""

from ._modules.compile_once import compile_once as compile_once
from ._modules.entry import scoped as scoped
from ._modules.scoped_module import ScopedModule as ScopedModule
from ._modules.scoped_module import current_module as current_module
from ._modules.submodule import get_module as get_module
from ._modules.template import make_template as make_template
from ._scopes.get_variable import get_buffer as get_buffer
from ._scopes.get_variable import get_local_variable as get_local_variable
from ._scopes.get_variable import get_variable as get_variable
from ._scopes.name_scope import get_name_scope as get_name_scope
from ._scopes.name_scope import name_ops as name_ops
from ._scopes.name_scope import name_scope as name_scope
from ._scopes.name_scope import op_name as op_name
from ._scopes.name_scope import unique_name as unique_name
from ._scopes.scope import VariableScope as VariableScope
from ._scopes.scope import get_variable_scope as get_variable_scope
from ._scopes.settings import no_regularizer as no_regularizer
from ._scopes.variable_scope import variable_scope as variable_scope
from ._variables.reuse import AUTO_REUSE as AUTO_REUSE
from .errors import ArgumentTypeError as ArgumentTypeError
from .errors import ArgumentValueError as ArgumentValueError
from .errors import CheckpointError as CheckpointError
from .errors import InitializerError as InitializerError
from .errors import InvalidNameError as InvalidNameError
from .errors import NoActiveModuleError as NoActiveModuleError
from .errors import NotBuiltError as NotBuiltError
from .errors import ScopeError as ScopeError
from .errors import ScopeNestingError as ScopeNestingError
from .errors import TracingError as TracingError
from .errors import VariableDtypeError as VariableDtypeError
from .errors import VariableExistsError as VariableExistsError
from .errors import VariableKindError as VariableKindError
from .errors import VariableNotFoundError as VariableNotFoundError
from .errors import VariableShapeError as VariableShapeError
from .initializers import constant_initializer as constant_initializer
from .initializers import glorot_normal_initializer as glorot_normal_initializer
from .initializers import glorot_uniform_initializer as glorot_uniform_initializer
from .initializers import he_normal_initializer as he_normal_initializer
from .initializers import he_uniform_initializer as he_uniform_initializer
from .initializers import identity_initializer as identity_initializer
from .initializers import lecun_normal_initializer as lecun_normal_initializer
from .initializers import lecun_uniform_initializer as lecun_uniform_initializer
from .initializers import ones_initializer as ones_initializer
from .initializers import orthogonal_initializer as orthogonal_initializer
from .initializers import random_normal_initializer as random_normal_initializer
from .initializers import random_uniform_initializer as random_uniform_initializer
from .initializers import truncated_normal_initializer as truncated_normal_initializer
from .initializers import uniform_unit_scaling_initializer as uniform_unit_scaling_initializer
from .initializers import variance_scaling_initializer as variance_scaling_initializer
from .initializers import zeros_initializer as zeros_initializer

__all__ = [
    "AUTO_REUSE",
    "ArgumentTypeError",
    "ArgumentValueError",
    "CheckpointError",
    "InitializerError",
    "InvalidNameError",
    "NoActiveModuleError",
    "NotBuiltError",
    "ScopeError",
    "ScopeNestingError",
    "ScopedModule",
    "TracingError",
    "VariableDtypeError",
    "VariableExistsError",
    "VariableKindError",
    "VariableNotFoundError",
    "VariableScope",
    "VariableShapeError",
    "compile_once",
    "constant_initializer",
    "current_module",
    "get_buffer",
    "get_local_variable",
    "get_module",
    "get_name_scope",
    "get_variable",
    "get_variable_scope",
    "glorot_normal_initializer",
    "glorot_uniform_initializer",
    "he_normal_initializer",
    "he_uniform_initializer",
    "identity_initializer",
    "lecun_normal_initializer",
    "lecun_uniform_initializer",
    "make_template",
    "name_ops",
    "name_scope",
    "no_regularizer",
    "ones_initializer",
    "op_name",
    "orthogonal_initializer",
    "random_normal_initializer",
    "random_uniform_initializer",
    "scoped",
    "truncated_normal_initializer",
    "uniform_unit_scaling_initializer",
    "unique_name",
    "variable_scope",
    "variance_scaling_initializer",
    "zeros_initializer",
]

__version__ = "0.2.0"
