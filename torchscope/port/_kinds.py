"""What an expression of TensorFlow 1 code can be: the kinds of values that decide which line of torch is right."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

Kind = Literal["tensor", "number", "sizes", "shape", "list", "items", "text", "none", "other", "unknown"]
TENSOR: Kind = "tensor"
NUMBER: Kind = "number"  # of Python: an int, a float, a bool
SIZES: Kind = "sizes"  # a list or tuple of numbers
SHAPE: Kind = "shape"  # sizes that are a tensor in TensorFlow: arithmetic goes by element
LIST: Kind = "list"  # of tensors
ITEMS: Kind = "items"  # a list or tuple of what cannot be told
TEXT: Kind = "text"
NONE: Kind = "none"
OTHER: Kind = "other"  # something else that is known: a scope, a function
UNKNOWN: Kind = "unknown"

Recorded = dict[tuple[int, int], set[Kind]]


def joined(kinds: Iterable[Kind]) -> Kind:
    """What is one of several kinds. What is a tensor or nothing is a tensor where it is used."""
    several = set(kinds)
    if len(several) > 1:
        several -= {NONE}
    return next(iter(several)) if len(several) == 1 else UNKNOWN


def joins_sizes(kinds: Iterable[Kind]) -> bool:
    """Whether what ``tf.concat`` joins, of these kinds, are sizes."""
    every = set(kinds)
    return every <= {SIZES, SHAPE, ITEMS} and bool(every & {SIZES, SHAPE})


def stacks_numbers(kinds: Iterable[Kind]) -> bool:
    """Whether what ``tf.stack`` puts side by side, of these kinds, are numbers: then it makes sizes."""
    every = set(kinds)
    return NUMBER in every and every <= {NUMBER, UNKNOWN}


# Functions of TensorFlow's that are Python's of numbers alone.
KEEP_NUMBERS = {
    *("add", "subtract", "multiply", "divide", "pow", "mod"),
    *("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"),
    *("logical_and", "logical_or", "logical_not", "maximum", "minimum", "sqrt", "exp", "log", "sin", "cos", "tanh"),
}
