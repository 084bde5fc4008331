"""Sequences through cells: ``dynamic_rnn``, ``static_rnn``, and both ways."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..._scopes.scope import VariableScope, get_variable_scope
from ..._scopes.variable_scope import variable_scope
from ...errors import ArgumentTypeError, ArgumentValueError
from ._cells import RNNCell
from ._state import State, lengths_of, where_running

Lengths = Tensor | list[int] | None
Scope = str | VariableScope | None


def reverse_sequence(
    input: Tensor,
    seq_lengths: Tensor,
    seq_axis: int | None = None,
    batch_axis: int | None = None,
    name: str | None = None,
    seq_dim: int | None = None,
    batch_dim: int | None = None,
) -> Tensor:
    """``tf.reverse_sequence``: the first so many of each sequence in reverse, and the rest as it is.

    ``torch.flip`` turns round all of it.

    >>> reverse_sequence(torch.tensor([[1, 2, 3]]), torch.tensor([2]), seq_axis=1)
    tensor([[2, 1, 3]])

    Args:
        seq_lengths: [batch].
        seq_axis, batch_axis: which axes are the sequence and the batch; the batch is the first by default.
    """
    time = seq_dim if seq_axis is None else seq_axis
    batch = (batch_dim or 0) if batch_axis is None else batch_axis
    if time is None:
        raise ArgumentValueError.of("seq_axis", None, "Say which axis is the sequence.")
    x = input.movedim((batch, time), (0, 1))
    lengths = lengths_of(seq_lengths, x.shape[0], x.device)
    assert lengths is not None
    at = torch.arange(x.shape[1], device=x.device)
    mirrored = lengths.unsqueeze(1) - 1 - at
    source = torch.where(mirrored >= 0, mirrored, at)
    index = source.view(*source.shape, *[1] * (x.dim() - 2)).expand_as(x)
    return x.gather(1, index.long()).movedim((0, 1), (batch, time))


def _start(cell: RNNCell, first: Tensor, initial_state: State | None, dtype: torch.dtype | None) -> State:
    if initial_state is not None:
        return initial_state
    if dtype is None:
        raise ArgumentValueError.of("dtype", None, "Without an initial_state, give the dtype of the state.")
    if dtype != first.dtype and not torch.is_autocast_enabled(first.device.type):
        raise ArgumentTypeError.of("dtype", dtype, f"The inputs are {first.dtype}: give that, or convert them.")
    return cell.zero_state(first.shape[0], dtype, first.device)


def _steps(cell: RNNCell, inputs: Sequence[Tensor], state: State, lengths: Tensor | None) -> tuple[list[Tensor], State]:
    """Run a cell over the inputs of all times, of one scope."""
    outputs: list[Tensor] = []
    scope = get_variable_scope()
    for time, each in enumerate(inputs):
        if time == 1:
            scope.reuse_variables()  # of cells that get their variables in each step
        output, new = cell(each, state)
        if lengths is None:
            state = new
        else:
            running = lengths > time
            output = torch.where(running.unsqueeze(1), output, torch.zeros_like(output))
            state = where_running(running, new, state)
        outputs.append(output)
    return outputs, state


def dynamic_rnn(
    cell: RNNCell,
    inputs: Tensor,
    sequence_length: Lengths = None,
    initial_state: State | None = None,
    dtype: torch.dtype | None = None,
    parallel_iterations: int | None = None,
    swap_memory: bool = False,
    time_major: bool = False,
    scope: Scope = None,
) -> tuple[Tensor, State]:
    """``tf.nn.dynamic_rnn``: a cell over a sequence, in the scope ``"rnn"``.

    The loop is Python's: ``torch.compile`` unrolls it. Past the end of a sequence outputs are zeros, and the state
    stays; with ``torch.nn.LSTM`` that takes ``pack_padded_sequence``.

    >>> from torchscope import ScopedModule
    >>> from torchscope.tf1.nn.rnn_cell import GRUCell
    >>> def forward(x):
    ...     outputs, state = dynamic_rnn(GRUCell(3), x, sequence_length=[1], dtype=x.dtype)
    ...     return outputs
    >>> model = ScopedModule(forward, layout="tf")
    >>> model(torch.ones(1, 2, 4))[0, 1], list(model.variables)[0]
    (tensor([0., 0., 0.], grad_fn=<SelectBackward0>), 'rnn/gru_cell/gates/kernel')

    Args:
        cell: an ``RNNCell``.
        inputs: [batch, time, features].
        sequence_length: [batch], how long each sequence is.
        initial_state: by default zeros, of ``dtype``.
        parallel_iterations, swap_memory: without effect.
        time_major: inputs and outputs are [time, batch, ...].
        scope: ``"rnn"`` by default.

    Returns:
        [batch, time, output_size], and the state after the last step.

    Raises:
        ArgumentValueError: neither an initial state nor a dtype, or shapes that do not fit.
    """
    _refuse_no_cell(cell)
    if inputs.dim() < 3:
        raise ArgumentValueError.of("the shape of the inputs", tuple(inputs.shape), "Give [batch, time, features].")
    with variable_scope("rnn" if scope is None else scope):
        time = 0 if time_major else 1
        each = inputs.unbind(time)
        if not each:
            raise ArgumentValueError.of("the shape of the inputs", tuple(inputs.shape), "Give at least one step.")
        lengths = lengths_of(sequence_length, inputs.shape[1 - time], inputs.device)
        outputs, state = _steps(cell, each, _start(cell, each[0], initial_state, dtype), lengths)
        return torch.stack(outputs, time), state


def static_rnn(
    cell: RNNCell,
    inputs: Sequence[Tensor],
    initial_state: State | None = None,
    dtype: torch.dtype | None = None,
    sequence_length: Lengths = None,
    scope: Scope = None,
) -> tuple[list[Tensor], State]:
    """``tf.nn.static_rnn``: a cell over a list of inputs, one for each time; otherwise as :func:`dynamic_rnn`.

    Args:
        inputs: a list of [batch, features].

    Returns:
        A list of [batch, output_size], and the state after the last step.
    """
    _refuse_no_cell(cell)
    if not isinstance(inputs, (list, tuple)) or not inputs:
        raise ArgumentTypeError.of("inputs", type(inputs).__name__, "Give a list of tensors, one for each time.")
    with variable_scope("rnn" if scope is None else scope):
        lengths = lengths_of(sequence_length, inputs[0].shape[0], inputs[0].device)
        return _steps(cell, inputs, _start(cell, inputs[0], initial_state, dtype), lengths)


def bidirectional_dynamic_rnn(
    cell_fw: RNNCell,
    cell_bw: RNNCell,
    inputs: Tensor,
    sequence_length: Lengths = None,
    initial_state_fw: State | None = None,
    initial_state_bw: State | None = None,
    dtype: torch.dtype | None = None,
    parallel_iterations: int | None = None,
    swap_memory: bool = False,
    time_major: bool = False,
    scope: Scope = None,
) -> tuple[tuple[Tensor, Tensor], tuple[State, State]]:
    """``tf.nn.bidirectional_dynamic_rnn``: one cell forwards and one backwards.

    They are in the scopes ``bidirectional_rnn/fw`` and ``bidirectional_rnn/bw``. Backwards begins at the end of each
    sequence. Arguments are those of :func:`dynamic_rnn`.

    Returns:
        The outputs of both, and the states of both.
    """
    time = 0 if time_major else 1
    with variable_scope("bidirectional_rnn" if scope is None else scope):
        with variable_scope("fw") as forwards:
            pass
        outputs_fw, state_fw = dynamic_rnn(
            cell_fw, inputs, sequence_length, initial_state_fw, dtype, time_major=time_major, scope=forwards
        )
        with variable_scope("bw") as backwards:
            pass
        outputs_bw, state_bw = dynamic_rnn(
            cell_bw,
            _reversed(inputs, sequence_length, time),
            sequence_length,
            initial_state_bw,
            dtype,
            time_major=time_major,
            scope=backwards,
        )
    return (outputs_fw, _reversed(outputs_bw, sequence_length, time)), (state_fw, state_bw)


def _reversed(x: Tensor, sequence_length: Lengths, time: int) -> Tensor:
    if sequence_length is None:
        return x.flip(time)
    lengths = torch.as_tensor(sequence_length, device=x.device)
    return reverse_sequence(x, lengths, seq_axis=time, batch_axis=1 - time)


def static_bidirectional_rnn(
    cell_fw: RNNCell,
    cell_bw: RNNCell,
    inputs: Sequence[Tensor],
    initial_state_fw: State | None = None,
    initial_state_bw: State | None = None,
    dtype: torch.dtype | None = None,
    sequence_length: Lengths = None,
    scope: Scope = None,
) -> tuple[list[Tensor], State, State]:
    """``tf.nn.static_bidirectional_rnn``: :func:`bidirectional_dynamic_rnn` of a list of inputs.

    Returns:
        A list of both outputs side by side, and the states of both.
    """
    with variable_scope("bidirectional_rnn" if scope is None else scope):
        with variable_scope("fw") as forwards:
            pass
        fw, state_fw = static_rnn(cell_fw, inputs, initial_state_fw, dtype, sequence_length, forwards)
        with variable_scope("bw") as backwards:
            pass
        turned = list(_reversed(torch.stack(list(inputs)), sequence_length, 0).unbind(0))
        bw, state_bw = static_rnn(cell_bw, turned, initial_state_bw, dtype, sequence_length, backwards)
    turned = list(_reversed(torch.stack(bw), sequence_length, 0).unbind(0))
    return [torch.cat(both, 1) for both in zip(fw, turned, strict=True)], state_fw, state_bw


def stack_bidirectional_dynamic_rnn(
    cells_fw: Sequence[RNNCell],
    cells_bw: Sequence[RNNCell],
    inputs: Tensor,
    initial_states_fw: Sequence[State] | None = None,
    initial_states_bw: Sequence[State] | None = None,
    dtype: torch.dtype | None = None,
    sequence_length: Lengths = None,
    parallel_iterations: int | None = None,
    time_major: bool = False,
    scope: Scope = None,
) -> tuple[Tensor, tuple[State, ...], tuple[State, ...]]:
    """``tf.contrib.rnn.stack_bidirectional_dynamic_rnn``: layers of :func:`bidirectional_dynamic_rnn`, side by side.

    Returns:
        The outputs of the last layer, [batch, time, both], and the states of all, forwards and backwards.
    """
    if len(cells_fw) != len(cells_bw) or not cells_fw:
        raise ArgumentValueError.of("cells_bw", cells_bw, f"Give as many as forwards, {len(cells_fw)}, at least one.")
    states_fw: list[State] = []
    states_bw: list[State] = []
    with variable_scope("stack_bidirectional_rnn" if scope is None else scope):
        for n, (forwards, backwards) in enumerate(zip(cells_fw, cells_bw, strict=True)):
            with variable_scope(f"cell_{n}"):
                outputs, (state_fw, state_bw) = bidirectional_dynamic_rnn(
                    forwards,
                    backwards,
                    inputs,
                    sequence_length,
                    None if initial_states_fw is None else initial_states_fw[n],
                    None if initial_states_bw is None else initial_states_bw[n],
                    dtype,
                    time_major=time_major,
                )
                inputs = torch.cat(outputs, 2)
            states_fw.append(state_fw)
            states_bw.append(state_bw)
    return inputs, tuple(states_fw), tuple(states_bw)


def _refuse_no_cell(cell: object) -> None:
    if not callable(cell) or not hasattr(cell, "state_size"):
        raise ArgumentTypeError.of("cell", cell, "Give an RNNCell.")
