"""``tf.contrib.framework``: ``arg_scope``, and variables by their names."""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from .._lacking import lacking as _lacking
from ._arg_scope import add_arg_scope as add_arg_scope
from ._arg_scope import arg_scope as arg_scope
from ._arg_scope import arg_scope_func_key as arg_scope_func_key
from ._arg_scope import arg_scoped_arguments as arg_scoped_arguments
from ._arg_scope import current_arg_scope as current_arg_scope
from ._arg_scope import has_arg_scope as has_arg_scope
from ._variables import get_local_variables as get_local_variables
from ._variables import get_model_variables as get_model_variables
from ._variables import get_trainable_variables as get_trainable_variables
from ._variables import get_variables as get_variables
from ._variables import get_variables_by_name as get_variables_by_name
from ._variables import get_variables_by_suffix as get_variables_by_suffix
from ._variables import get_variables_to_restore as get_variables_to_restore
from ._variables import model_variable as model_variable
from ._variables import variable as variable

__all__ = [
    "add_arg_scope",
    "arg_scope",
    "arg_scope_func_key",
    "arg_scoped_arguments",
    "current_arg_scope",
    "get_local_variables",
    "get_model_variables",
    "get_trainable_variables",
    "get_variables",
    "get_variables_by_name",
    "get_variables_by_suffix",
    "get_variables_to_restore",
    "has_arg_scope",
    "model_variable",
    "variable",
]

if not _TYPE_CHECKING:  # a type checker would take any name for one
    __getattr__ = _lacking("tf.contrib.framework")
