"""Layers and cells that users write as TensorFlow 1 has them, and what can be asked of a layer object."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.tf1.judge import same_model
from torchscope import ArgumentTypeError, ScopedModule, tf1


def layer_of(tf: Any) -> type:
    """A layer with ``build``, written once for both sides."""

    class Affine(tf.layers.Layer):  # type: ignore[misc, name-defined]
        def build(self, input_shape: Any) -> None:
            units = int(input_shape[-1])
            self.k = self.add_variable("k", [units, 3], initializer=None, regularizer=lambda w: tf.nn.l2_loss(w))
            self.fixed = self.add_weight("fixed", [3], trainable=False)

        def call(self, inputs: Any) -> Any:
            return tf.matmul(inputs, self.k) + self.fixed

    return Affine


class WithMatmul:
    """``tf1`` with the one line of torch that the layer needs."""

    matmul = staticmethod(torch.matmul)

    def __getattr__(self, name: str) -> Any:
        return getattr(tf1, name)


def here(tf: Any) -> Any:
    return WithMatmul() if tf is tf1 else tf


def once(tf: Any, x: Any) -> Any:
    return layer_of(here(tf))()(x)


def shared(tf: Any, x: Any) -> Any:
    layer = layer_of(here(tf))(name="mine")
    return layer(x) + layer(x * 2.0)


def two(tf: Any, x: Any) -> Any:
    kind = layer_of(here(tf))
    return kind()(kind()(x))


@pytest.mark.filterwarnings("ignore")  # TensorFlow's own
@pytest.mark.parametrize("model", [once, shared, two])
def test_a_layer_with_build_is_tensorflows(model: Any) -> None:
    same_model(model, [2, 3])


class Counted(tf1.layers.Layer):
    """Notes how often ``build`` runs."""

    built = 0

    def build(self, input_shape: torch.Size) -> None:
        self.built += 1
        self.k = self.add_variable("k", [input_shape[-1]])

    def call(self, inputs: Tensor) -> Tensor:
        return inputs * self.k


def test_build_runs_once_in_each_call_of_the_module() -> None:
    layer = Counted()
    model = ScopedModule(lambda x: layer(layer(x))).build(torch.ones(2, 3))
    model(torch.ones(2, 3))
    assert layer.built == 2
    assert list(model.variables) == ["counted/k"]
    with torch.no_grad():
        model.variables["counted/k"].fill_(2.0)
    torch.testing.assert_close(model(torch.ones(2, 3)), torch.full((2, 3), 4.0))


def test_a_cell_with_build_runs_in_a_sequence_and_takes_reuse_by_its_older_name() -> None:
    class Cell(tf1.nn.rnn_cell.RNNCell):
        state_size = output_size = 3

        def __init__(self, reuse: bool | None = None) -> None:
            super().__init__(_reuse=reuse)

        def build(self, input_shape: torch.Size) -> None:
            self.k = self.add_variable("k", [input_shape[-1] + 3, 3])

        def call(self, inputs: Tensor, state: Any) -> tuple[Tensor, Tensor]:
            new = torch.tanh(torch.cat([inputs, state], 1) @ self.k)
            return new, new

    model = ScopedModule(lambda x: tf1.nn.dynamic_rnn(Cell(), x, dtype=x.dtype)[0], layout="tf")
    assert model(torch.ones(2, 4, 2)).shape == (2, 4, 3)
    assert list(model.variables) == ["rnn/cell/k"]


def test_the_variables_of_a_layer_are_its_attributes_once_it_was_called() -> None:
    def forward(x: Tensor) -> Tensor:
        layer = tf1.layers.Dense(4)
        y = layer(x)
        assert [layer.kernel, layer.bias] == layer.variables == layer.weights == layer.trainable_weights
        return y @ layer.kernel.mT  # tied

    model = ScopedModule(forward, layout="tf").build(torch.ones(2, 3))
    assert list(model.variables) == ["dense/kernel", "dense/bias"]


def test_a_layer_that_was_not_called_has_none() -> None:
    layer = tf1.layers.Dense(4)
    assert layer.variables == layer.trainable_variables == []
    with pytest.raises(
        AttributeError, match="Dense has no 'kernel': neither an attribute nor, since it was last called"
    ):
        _ = layer.kernel
    assert copy.deepcopy(layer).units == 4


@pytest.mark.filterwarnings("ignore")  # TensorFlow's own
@pytest.mark.parametrize(
    "name", ["relu", "sigmoid", "tanh", "softmax", "elu", "selu", "softplus", "softsign", "linear"]
)
def test_an_activation_by_its_name_is_tensorflows(name: str) -> None:
    same_model(lambda tf, x: tf.layers.dense(x, 4, activation=name), [2, 3])


def test_what_is_no_activation_is_refused_by_name() -> None:
    with pytest.raises(ArgumentTypeError, match="activation cannot be 'rleu', .*\nGive a function .*'relu'"):
        ScopedModule(lambda x: tf1.layers.dense(x, 4, activation="rleu")).build(torch.ones(2, 3))
    with pytest.raises(ArgumentTypeError, match="activation_fn cannot be 'relu'"):
        ScopedModule(lambda x: tf1.slim.fully_connected(x, 4, activation_fn="relu")).build(torch.ones(2, 3))


def test_a_sequence_of_another_dtype_than_its_state_is_refused_as_tensorflow_does() -> None:
    cell = tf1.nn.rnn_cell.GRUCell
    model = ScopedModule(lambda x: tf1.nn.dynamic_rnn(cell(3), x, dtype=torch.float32)[0], layout="tf")
    with pytest.raises(ArgumentTypeError, match="dtype cannot be torch.float32, .*\nThe inputs are torch.float64"):
        model(torch.ones(1, 2, 3, dtype=torch.float64))


@pytest.mark.parametrize("function", [tf1.nn.dropout, tf1.random_shuffle])
def test_a_seed_of_one_operation_says_what_to_use(function: Any) -> None:
    with pytest.raises(NotImplementedError, match=r"would not give TensorFlow's numbers.\nUse torch.manual_seed"):
        function(torch.ones(3), seed=1)
