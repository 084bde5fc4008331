"""The rules of rewriting, a file for each family: a call of TensorFlow's and the line of torch that it becomes."""

from . import _arithmetic as _arithmetic
from . import _arrays as _arrays
from . import _creation as _creation
from . import _graph as _graph
from . import _reductions as _reductions
