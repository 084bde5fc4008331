"""``tf.nn.rnn_cell``: cells of recurrent networks."""

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

if not _TYPE_CHECKING:  # a type checker would take any name for one
    __getattr__ = _lacking("tf.nn.rnn_cell")
