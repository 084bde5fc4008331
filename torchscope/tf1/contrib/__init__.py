"""``tf.contrib``: what published models use of it."""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from .._lacking import lacking as _lacking
from . import framework as framework
from . import layers as layers
from . import rnn as rnn
from . import slim as slim

__all__ = ["framework", "layers", "rnn", "slim"]

if not _TYPE_CHECKING:  # a type checker would take any name for one
    __getattr__ = _lacking("tf.contrib")
