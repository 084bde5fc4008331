"""``tf.contrib``: what published models use of it."""

from . import framework as framework
from . import layers as layers
from . import rnn as rnn
from . import slim as slim

__all__ = ["framework", "layers", "rnn", "slim"]
