"""States of cells: tensors, or tuples of states."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ...errors import ArgumentTypeError, ArgumentValueError
from .._nests import like

State = Tensor | tuple["State", ...] | list["State"]
Sizes = int | tuple["Sizes", ...] | list["Sizes"] | torch.Size


class LSTMStateTuple(NamedTuple):
    """``tf.nn.rnn_cell.LSTMStateTuple``: what an LSTM remembers, ``c``, and its last output, ``h``."""

    c: Tensor
    h: Tensor


def mapped(function: Callable[..., Tensor], state: State, *others: State) -> State:
    """A state of the same kind, each tensor of it made of those in its place.

    Raises:
        ArgumentTypeError: another one is of another kind.
    """
    if isinstance(state, Tensor):
        return function(state, *others)
    for other in others:
        if not isinstance(other, (tuple, list)) or len(other) != len(state):
            raise ArgumentTypeError.of("state", other, f"Give {len(state)} states, as the cell has.")
    each = [mapped(function, *parts) for parts in zip(state, *others, strict=True)]
    return like(state, each)


def zeros_of(size: Sizes, batch: int, like: Tensor) -> State:
    """A state of zeros, of the sizes that a cell says."""
    if isinstance(size, int):
        return like.new_zeros(batch, size)
    if isinstance(size, torch.Size):
        return like.new_zeros(batch, *size)
    each = [zeros_of(part, batch, like) for part in size]
    return LSTMStateTuple(*each) if isinstance(size, LSTMStateTuple) else tuple(each)


def where_running(running: Tensor, new: State, old: State) -> State:
    """The new state of the examples whose sequence goes on, and the old one of the others."""

    def chosen(after: Tensor, before: Tensor) -> Tensor:
        return torch.where(running.view(-1, *[1] * (after.dim() - 1)), after, before)

    return mapped(chosen, new, old)


def lengths_of(sequence_length: Tensor | list[int] | None, batch: int, device: torch.device) -> Tensor | None:
    """How long each sequence is, as a tensor.

    Raises:
        ArgumentValueError: not one for each example.
    """
    if sequence_length is None:
        return None
    lengths = torch.as_tensor(sequence_length, device=device)
    if lengths.shape != (batch,):
        mend = f"Give one length for each example: [{batch}]."
        raise ArgumentValueError.of("the shape of sequence_length", tuple(lengths.shape), mend)
    return lengths
