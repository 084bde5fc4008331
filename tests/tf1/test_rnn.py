"""Recurrent networks of ``torchscope.tf1``, judged by TensorFlow: names, order, outputs, states, gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.tf1.judge import same, same_model
from torchscope import ArgumentTypeError, ArgumentValueError, ScopedModule, get_variable, tf1
from torchscope.tf1.nn import dynamic_rnn, rnn_cell, static_rnn

CELLS: dict[str, Callable[[Any], Any]] = {
    "BasicRNNCell": lambda c: c.BasicRNNCell(3),
    "GRUCell": lambda c: c.GRUCell(3),
    "BasicLSTMCell": lambda c: c.BasicLSTMCell(3),
    "BasicLSTMCell, its state in one": lambda c: c.BasicLSTMCell(3, forget_bias=0.5, state_is_tuple=False),
    "LSTMCell": lambda c: c.LSTMCell(3),
    "LSTMCell with peepholes": lambda c: c.LSTMCell(3, use_peepholes=True, forget_bias=0.3),
    "LSTMCell with a projection": lambda c: c.LSTMCell(4, num_proj=2, proj_clip=0.2),
    "LSTMCell with all": lambda c: c.LSTMCell(
        4, use_peepholes=True, cell_clip=0.4, num_proj=2, proj_clip=0.3, state_is_tuple=False
    ),
    "MultiRNNCell": lambda c: c.MultiRNNCell([c.BasicLSTMCell(3), c.GRUCell(2), c.BasicLSTMCell(4)]),
    "ResidualWrapper": lambda c: c.ResidualWrapper(c.GRUCell(5)),
    "DropoutWrapper that keeps all": lambda c: c.DropoutWrapper(c.BasicLSTMCell(3), output_keep_prob=1.0),
    "a named cell": lambda c: c.BasicLSTMCell(3, name="mine"),
    "a stack of wrapped cells": lambda c: c.MultiRNNCell([c.DropoutWrapper(c.BasicLSTMCell(5)) for _ in range(2)]),
}
SEQUENCE = [2, 4, 5]


def lengths(tf: Any, *numbers: int) -> Any:
    return torch.tensor(numbers) if tf is tf1 else tf.constant(numbers)


@pytest.mark.parametrize("bounded", [False, True], ids=["whole sequences", "sequences that end"])
@pytest.mark.parametrize("cell", CELLS)
def test_dynamic_rnn_is_tensorflows(cell: str, bounded: bool) -> None:
    def model(tf: Any, x: Any) -> Any:
        ends = lengths(tf, 4, 2) if bounded else None
        return tf.nn.dynamic_rnn(CELLS[cell](tf.nn.rnn_cell), x, ends, dtype=x.dtype)

    same_model(model, SEQUENCE, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("cell", CELLS)
def test_static_rnn_is_tensorflows(cell: str) -> None:
    def model(tf: Any, x: Any) -> Any:
        each = list(x.unbind(1)) if tf is tf1 else tf.unstack(x, axis=1)
        return tf.nn.static_rnn(CELLS[cell](tf.nn.rnn_cell), each, dtype=x.dtype, sequence_length=lengths(tf, 1, 3))

    same_model(model, SEQUENCE, rtol=1e-11, atol=1e-11)


def steps(tf: Any, x: Any, cell: Any, scope: Any = None) -> Any:
    """A cell called by hand."""
    state = cell.zero_state(2, x.dtype)
    _, state = cell(x, state)
    with tf.variable_scope(tf.get_variable_scope(), reuse=True):
        return cell(x, state)


MODELS: dict[str, Callable[[Any, Any], Any]] = {
    "two networks of one scope": lambda tf, x: [
        tf.nn.dynamic_rnn(tf.nn.rnn_cell.BasicRNNCell(3), x, dtype=x.dtype, scope=name)[0] for name in ("a", "b")
    ],
    "time first": lambda tf, x: tf.nn.dynamic_rnn(
        tf.nn.rnn_cell.GRUCell(3), x, lengths(tf, 2, 1, 0, 2), dtype=x.dtype, time_major=True
    ),
    "both ways": lambda tf, x: tf.nn.bidirectional_dynamic_rnn(
        tf.nn.rnn_cell.GRUCell(3), tf.nn.rnn_cell.BasicLSTMCell(2), x, dtype=x.dtype
    ),
    "both ways of sequences that end": lambda tf, x: tf.nn.bidirectional_dynamic_rnn(
        tf.nn.rnn_cell.GRUCell(3), tf.nn.rnn_cell.GRUCell(3), x, lengths(tf, 4, 1), dtype=x.dtype, scope="two"
    ),
    "both ways of a list": lambda tf, x: tf.nn.static_bidirectional_rnn(
        tf.nn.rnn_cell.GRUCell(3),
        tf.nn.rnn_cell.BasicLSTMCell(2),
        list(x.unbind(1)) if tf is tf1 else tf.unstack(x, axis=1),
        dtype=x.dtype,
        sequence_length=lengths(tf, 2, 4),
    ),
    "an initial state": lambda tf, x: tf.nn.dynamic_rnn(
        tf.nn.rnn_cell.BasicLSTMCell(5),
        x,
        initial_state=tf.nn.rnn_cell.LSTMStateTuple(x[:, 0], x[:, 1]),
        scope="started",
    ),
    "one cell object for two networks": lambda tf, x: _shared(tf, x),
    "a cell called by hand": lambda tf, x: steps(tf, x[:, 0], tf.nn.rnn_cell.BasicLSTMCell(3)),
    "an encoder and a decoder": lambda tf, x: _translated(tf, x),
    "a cell of the user's": lambda tf, x: tf.nn.dynamic_rnn(_own(tf)(), x, dtype=x.dtype),
}


def _shared(tf: Any, x: Any) -> Any:
    cell = tf.nn.rnn_cell.GRUCell(5)
    outputs, state = tf.nn.dynamic_rnn(cell, x, dtype=x.dtype)
    return tf.nn.dynamic_rnn(cell, outputs, initial_state=state, scope="second")


def _translated(tf: Any, x: Any) -> Any:
    cells = tf.nn.rnn_cell
    with tf.variable_scope("encoder"):
        _, state = tf.nn.dynamic_rnn(cells.MultiRNNCell([cells.GRUCell(3) for _ in range(2)]), x, dtype=x.dtype)
    with tf.variable_scope("decoder"):
        cell = cells.MultiRNNCell([cells.GRUCell(3) for _ in range(2)])
        outputs, _ = tf.nn.dynamic_rnn(cell, x, initial_state=state)
        return tf.layers.dense(outputs, 4)


def _own(tf: Any) -> Any:
    class Scaled(tf.nn.rnn_cell.RNNCell):  # type: ignore[misc,name-defined]
        @property
        def state_size(self) -> int:
            return 5

        @property
        def output_size(self) -> int:
            return 5

        def call(self, inputs: Any, state: Any) -> Any:
            scale = tf.get_variable("scale", [5], inputs.dtype)
            output = inputs * scale + state
            return output, output

    return Scaled


@pytest.mark.parametrize("case", MODELS)
def test_networks_are_tensorflows(case: str) -> None:
    same_model(MODELS[case], SEQUENCE, rtol=1e-11, atol=1e-11)


@settings(max_examples=40)
@given(st.data())
def test_reverse_sequence_is_tensorflows(data: st.DataObject) -> None:
    rank = data.draw(st.integers(2, 4))
    shape = data.draw(st.lists(st.integers(1, 4), min_size=rank, max_size=rank))
    time, batch = data.draw(st.permutations(range(rank)))[:2]
    ends = data.draw(st.lists(st.integers(0, shape[time]), min_size=shape[batch], max_size=shape[batch]))
    same(lambda tf, x, n: tf.reverse_sequence(x, n, seq_axis=time, batch_axis=batch), shape, np.array(ends))


def test_dropout_falls_on_outputs_and_the_rest_of_the_state_and_not_on_what_an_lstm_remembers() -> None:
    kept = torch.ones(500, 4)

    def forward(x: Tensor) -> Any:
        cell = rnn_cell.DropoutWrapper(rnn_cell.BasicLSTMCell(3), 1.0, 0.5, 0.5)
        return cell(x, cell.zero_state(len(x), x.dtype))

    output, state = ScopedModule(forward, layout="tf", seed=0)(kept)
    assert (output == 0).any()
    assert (state.h == 0).any()
    assert not (state.c == 0).any()


def test_a_network_compiles_whole_and_keeps_a_graph_for_each_length() -> None:
    def forward(x: Tensor) -> Tensor:
        cell = rnn_cell.MultiRNNCell([rnn_cell.LSTMCell(3, use_peepholes=True), rnn_cell.GRUCell(4)])
        return dynamic_rnn(cell, x, torch.tensor([3, 1]), dtype=x.dtype)[0]

    x = torch.randn(2, 3, 5)
    model = ScopedModule(forward, layout="tf", seed=0).build(x)
    torch.testing.assert_close(torch.compile(model, backend="aot_eager", fullgraph=True)(x), model(x))


X = torch.ones(2, 3, 4)
WRONG: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "no state and no dtype": (lambda: dynamic_rnn(rnn_cell.GRUCell(3), X), ArgumentValueError, "give the dtype"),
    "a number for a cell": (lambda: dynamic_rnn(3, X, dtype=X.dtype), ArgumentTypeError, "Give an RNNCell"),  # type: ignore[arg-type]
    "no time": (lambda: dynamic_rnn(rnn_cell.GRUCell(3), X[0], dtype=X.dtype), ArgumentValueError, "batch, time"),
    "no steps": (lambda: dynamic_rnn(rnn_cell.GRUCell(3), X[:, :0], dtype=X.dtype), ArgumentValueError, "one step"),
    "lengths of others": (
        lambda: dynamic_rnn(rnn_cell.GRUCell(3), X, [1, 2, 3], dtype=X.dtype),
        ArgumentValueError,
        r"\(3,\).*\n.*\[2\]",
    ),
    "a tensor for a list": (
        lambda: static_rnn(rnn_cell.GRUCell(3), X, dtype=X.dtype),
        ArgumentTypeError,
        "Give a list",
    ),  # type: ignore[arg-type]
    "no cells": (lambda: rnn_cell.MultiRNNCell([]), ArgumentValueError, "at least one"),
    "a state for an LSTM in one": (
        lambda: rnn_cell.BasicLSTMCell(3)(X[0], torch.ones(3, 6)),
        ArgumentTypeError,
        r"LSTMStateTuple\(c, h\)",
    ),
    "an image": (lambda: rnn_cell.GRUCell(3)(X, X[0]), ArgumentValueError, r"Give \[batch, features\]"),
    "no units": (lambda: rnn_cell.GRUCell(0), ArgumentValueError, "positive int"),
    "shards": (lambda: rnn_cell.LSTMCell(3, num_proj_shards=2), NotImplementedError, "num_proj_shards=2"),
    "variational dropout": (
        lambda: rnn_cell.DropoutWrapper(rnn_cell.GRUCell(3), variational_recurrent=True),
        NotImplementedError,
        "variational_recurrent=True",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_refused_with_the_reason(case: str) -> None:
    call, error, message = WRONG[case]
    with pytest.raises(error, match=message):
        ScopedModule(call, layout="tf").build()


def test_a_cell_kept_from_call_to_call_has_the_variables_of_the_module_that_runs() -> None:
    cell = rnn_cell.BasicRNNCell(3)

    def forward(x: Tensor) -> Tensor:
        return dynamic_rnn(cell, x, dtype=x.dtype)[0] * get_variable("scale", [1])

    x = torch.randn(2, 3, 4)
    first = ScopedModule(forward, layout="tf", seed=0).build(x)
    second = ScopedModule(forward, layout="tf", seed=1).build(x)
    expected = first(x)
    assert not torch.equal(second(x), expected)
    assert torch.equal(first(x), expected)


def test_one_cell_in_two_layers_shares_its_variables_with_a_warning() -> None:
    def forward(x: Tensor) -> Tensor:
        cell = rnn_cell.GRUCell(4)
        with pytest.warns(UserWarning, match="share its variables"):
            return dynamic_rnn(rnn_cell.MultiRNNCell([cell, cell]), x, dtype=x.dtype)[0]

    model = ScopedModule(forward, layout="tf").build(torch.ones(2, 3, 4))
    assert len(model.variables) == 4


def test_layers_both_ways_are_those_of_one_after_the_other() -> None:
    def stacked(x: Tensor) -> Any:
        forwards, backwards = ([rnn_cell.GRUCell(3), rnn_cell.GRUCell(2)] for _ in range(2))
        return tf1.contrib.rnn.stack_bidirectional_dynamic_rnn(forwards, backwards, x, dtype=x.dtype)

    def by_hand(x: Tensor) -> Tensor:
        with tf1.variable_scope("stack_bidirectional_rnn"):
            for n, size in enumerate([3, 2]):
                with tf1.variable_scope(f"cell_{n}"):
                    cells = rnn_cell.GRUCell(size), rnn_cell.GRUCell(size)
                    x = torch.cat(tf1.nn.bidirectional_dynamic_rnn(*cells, x, dtype=x.dtype)[0], 2)
        return x

    x = torch.randn(2, 3, 4)
    models = [ScopedModule(function, layout="tf", seed=0).build(x) for function in (stacked, by_hand)]
    assert list(models[0].variables) == list(models[1].variables)
    outputs, states_fw, states_bw = models[0](x)
    torch.testing.assert_close(outputs, models[1](x))
    assert [state.shape[1] for state in (*states_fw, *states_bw)] == [3, 2, 3, 2]


def test_dropout_of_nested_states_and_a_residual_function() -> None:
    def forward(x: Tensor) -> Any:
        inner = rnn_cell.MultiRNNCell([rnn_cell.BasicLSTMCell(4), rnn_cell.GRUCell(4)])
        cell = rnn_cell.ResidualWrapper(rnn_cell.DropoutWrapper(inner, state_keep_prob=0.5), torch.maximum)
        assert cell.wrapped_cell.output_size == cell.output_size == 4
        return cell(x, cell.zero_state(len(x), x.dtype))

    output, (first, second) = ScopedModule(forward, layout="tf", seed=0)(torch.ones(300, 4))
    assert (output >= 1).all()
    assert (first.h == 0).any()
    assert not (first.c == 0).any()
    assert (second == 0).any()
