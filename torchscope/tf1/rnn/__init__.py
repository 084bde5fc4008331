"""Recurrent networks of ``tf.nn`` and ``tf.contrib.rnn``: cells, wrappers, and what runs them over sequences."""

from ._cells import BasicLSTMCell as BasicLSTMCell
from ._cells import BasicRNNCell as BasicRNNCell
from ._cells import GRUCell as GRUCell
from ._cells import LSTMCell as LSTMCell
from ._cells import MultiRNNCell as MultiRNNCell
from ._cells import RNNCell as RNNCell
from ._run import bidirectional_dynamic_rnn as bidirectional_dynamic_rnn
from ._run import dynamic_rnn as dynamic_rnn
from ._run import reverse_sequence as reverse_sequence
from ._run import stack_bidirectional_dynamic_rnn as stack_bidirectional_dynamic_rnn
from ._run import static_bidirectional_rnn as static_bidirectional_rnn
from ._run import static_rnn as static_rnn
from ._state import LSTMStateTuple as LSTMStateTuple
from ._wrappers import DropoutWrapper as DropoutWrapper
from ._wrappers import ResidualWrapper as ResidualWrapper
