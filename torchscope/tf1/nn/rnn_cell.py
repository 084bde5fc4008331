"""``tf.nn.rnn_cell``: cells of recurrent networks."""

from ..rnn import BasicLSTMCell as BasicLSTMCell
from ..rnn import BasicRNNCell as BasicRNNCell
from ..rnn import DropoutWrapper as DropoutWrapper
from ..rnn import GRUCell as GRUCell
from ..rnn import LSTMCell as LSTMCell
from ..rnn import LSTMStateTuple as LSTMStateTuple
from ..rnn import MultiRNNCell as MultiRNNCell
from ..rnn import ResidualWrapper as ResidualWrapper
from ..rnn import RNNCell as RNNCell
