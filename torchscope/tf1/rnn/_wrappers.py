"""Cells around cells: dropout and residual connections."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..._scopes.scope import VariableScope
from .._axes import not_yet
from .._nests import like
from ..nn._activations import dropout
from ._cells import RNNCell
from ._state import LSTMStateTuple, Sizes, State, mapped

KeepProb = float | Tensor


class _Wrapper(RNNCell):
    """A cell that has no scope of its own."""

    def __init__(self, cell: RNNCell) -> None:
        super().__init__()
        self._cell = cell

    @property
    def wrapped_cell(self) -> RNNCell:
        """The cell inside."""
        return self._cell

    @property
    def state_size(self) -> Sizes:  # type: ignore[override]
        """Of the cell inside."""
        return self._cell.state_size

    @property
    def output_size(self) -> int:  # type: ignore[override]
        """Of the cell inside."""
        return self._cell.output_size

    def zero_state(
        self, batch_size: int, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> State:
        """That of the cell inside."""
        return self._cell.zero_state(batch_size, dtype, device)


class DropoutWrapper(_Wrapper):
    """``tf.nn.rnn_cell.DropoutWrapper``: dropout of what goes into a cell and comes out, by probabilities of keeping.

    What an LSTM remembers, ``c``, is kept: of its state, ``h`` alone falls. It drops whether a module trains or not.

    >>> DropoutWrapper(RNNCell(), output_keep_prob=0.5).wrapped_cell.name is None
    True

    Raises:
        NotImplementedError: ``variational_recurrent``, ``seed``, ``dropout_state_filter_visitor``.
    """

    def __init__(
        self,
        cell: RNNCell,
        input_keep_prob: KeepProb = 1.0,
        output_keep_prob: KeepProb = 1.0,
        state_keep_prob: KeepProb = 1.0,
        variational_recurrent: bool = False,
        input_size: Sizes | None = None,
        dtype: torch.dtype | None = None,
        seed: int | None = None,
        dropout_state_filter_visitor: None = None,
    ) -> None:
        not_yet(
            "DropoutWrapper",
            variational_recurrent=variational_recurrent,
            seed=seed,
            dropout_state_filter_visitor=dropout_state_filter_visitor,
        )
        super().__init__(cell)
        self._input, self._output, self._state = input_keep_prob, output_keep_prob, state_keep_prob

    def __call__(  # type: ignore[override]  # a cell takes its state in the second place
        self, inputs: Tensor, state: State, scope: str | VariableScope | None = None
    ) -> tuple[Tensor, State]:
        output, new = self._cell(dropout(inputs, self._input), state, scope)
        return dropout(output, self._output), self._dropped(new)

    def _dropped(self, state: State) -> State:
        if isinstance(state, LSTMStateTuple):
            return LSTMStateTuple(state.c, dropout(state.h, self._state))
        if isinstance(state, Tensor):
            return dropout(state, self._state)
        return like(state, [self._dropped(each) for each in state])


class ResidualWrapper(_Wrapper):
    """``tf.nn.rnn_cell.ResidualWrapper``: what goes into a cell is added to what comes out.

    Args:
        residual_fn: a function of both in place of the sum.
    """

    def __init__(self, cell: RNNCell, residual_fn: Callable[[Tensor, Tensor], Tensor] | None = None) -> None:
        super().__init__(cell)
        self._residual_fn = residual_fn

    def __call__(  # type: ignore[override]  # a cell takes its state in the second place
        self, inputs: Tensor, state: State, scope: str | VariableScope | None = None
    ) -> tuple[Tensor, State]:
        output, new = self._cell(inputs, state, scope)
        if self._residual_fn is not None:
            return self._residual_fn(inputs, output), new
        added = mapped(torch.add, inputs, output)
        assert isinstance(added, Tensor)
        return added, new
