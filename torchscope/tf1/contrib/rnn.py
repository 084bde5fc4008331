"""``tf.contrib.rnn``: the cells of ``tf.nn.rnn_cell``, and what runs them."""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from .._lacking import lacking as _lacking
from ..rnn import BasicLSTMCell as BasicLSTMCell
from ..rnn import BasicRNNCell as BasicRNNCell
from ..rnn import DropoutWrapper as DropoutWrapper
from ..rnn import GRUCell as GRUCell
from ..rnn import LSTMCell as LSTMCell
from ..rnn import LSTMStateTuple as LSTMStateTuple
from ..rnn import MultiRNNCell as MultiRNNCell
from ..rnn import ResidualWrapper as ResidualWrapper
from ..rnn import RNNCell as RNNCell
from ..rnn import stack_bidirectional_dynamic_rnn as stack_bidirectional_dynamic_rnn
from ..rnn import static_bidirectional_rnn as static_bidirectional_rnn
from ..rnn import static_rnn as static_rnn

if not _TYPE_CHECKING:  # a type checker would take any name for one
    __getattr__ = _lacking("tf.contrib.rnn")
