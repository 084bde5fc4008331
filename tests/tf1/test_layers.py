"""Layers of ``torchscope.tf1.layers``, judged by TensorFlow: names, order, collections, values, gradients, averages."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tf1.judge import same_distribution, same_model
from torchscope import (
    ArgumentTypeError,
    ArgumentValueError,
    NoActiveModuleError,
    ScopedModule,
    VariableExistsError,
    VariableShapeError,
    tf1,
)
from torchscope.tf1 import layers

IMAGE = [2, 7, 6, 3]


def regularized(tf: Any, layer: Callable[[], Any]) -> Any:
    """A layer in a scope that has a regularizer."""
    with tf.variable_scope("regularized", regularizer=lambda w: tf.nn.l2_loss(w)):
        return layer()


CASES: dict[str, tuple[Callable[..., Any], list[Any]]] = {
    "dense": (lambda tf, x: tf.layers.dense(x, 4), [[2, 3]]),
    "dense of three axes": (lambda tf, x: tf.layers.dense(x, 4, use_bias=False), [[2, 5, 3]]),
    "default names count, given names do not": (
        lambda tf, x: tf.layers.dense(tf.layers.dense(tf.layers.dense(x, 4), 5, name="mine"), 6),
        [[2, 3]],
    ),
    "a layer that is reused by its name": (
        lambda tf, x: tf.layers.dense(tf.layers.dense(x, 3, name="a"), 3, name="a", reuse=True),
        [[2, 3]],
    ),
    "a layer without a name that reuses takes the first one's": (
        lambda tf, x: tf.layers.dense(tf.layers.dense(x, 3), 3, reuse=True),
        [[2, 3]],
    ),
    "regularizers of kernel, bias and outputs": (
        lambda tf, x: tf.layers.dense(
            x,
            4,
            kernel_regularizer=lambda w: tf.nn.l2_loss(w),
            bias_regularizer=lambda w: tf.nn.l2_loss(w - 1.0),
            activity_regularizer=lambda w: tf.nn.l2_loss(w + 1.0),
        ),
        [[2, 3]],
    ),
    "a regularizer of its own beside the scope's": (
        lambda tf, x: regularized(
            tf, lambda: tf.layers.dense(x, 4, kernel_regularizer=lambda w: tf.nn.l2_loss(w - 1.0))
        ),
        [[2, 3]],
    ),
    "a layer that is not trained": (lambda tf, x: tf.layers.dense(x, 4, trainable=False), [[2, 3]]),
    "an object shares when it is called again": (
        lambda tf, x: (lambda layer: layer(layer(x)))(tf.layers.Dense(3)),
        [[2, 3]],
    ),
    "objects of one name are counted": (
        lambda tf, x: [tf.layers.Dense(3, name="fc")(x), tf.layers.Dense(4, name="fc")(x)],
        [[2, 3]],
    ),
    "objects of convolutions and norms": (
        lambda tf, x: tf.layers.BatchNormalization()(tf.layers.Conv2D(4, 3)(x), training=True),
        [IMAGE],
    ),
    "conv1d": (lambda tf, x: tf.layers.conv1d(x, 4, 3, padding="same"), [[2, 7, 3]]),
    "conv2d": (lambda tf, x: tf.layers.conv2d(x, 4, [3, 2], strides=2, padding="SAME"), [IMAGE]),
    "conv2d at a rate": (lambda tf, x: tf.layers.conv2d(x, 4, 2, dilation_rate=(2, 2))[:0], [IMAGE]),
    "conv3d": (lambda tf, x: tf.layers.conv3d(x, 4, 2, strides=(1, 2, 1)), [[1, 4, 4, 3, 2]]),
    "separable_conv1d": (lambda tf, x: tf.layers.separable_conv1d(x, 4, 3, depth_multiplier=2), [[2, 7, 3]]),
    "separable_conv1d at a stride": (
        lambda tf, x: tf.layers.separable_conv1d(x, 4, 3, strides=2, padding="same"),
        [[2, 7, 3]],
    ),
    "separable_conv2d": (lambda tf, x: tf.layers.separable_conv2d(x, 4, 3, padding="same"), [IMAGE]),
    "conv2d_transpose": (lambda tf, x: tf.layers.conv2d_transpose(x, 4, 3, strides=2, padding="same"), [IMAGE]),
    "conv2d_transpose, valid": (lambda tf, x: tf.layers.conv2d_transpose(x, 4, [3, 1], strides=[2, 2]), [IMAGE]),
    "conv3d_transpose": (lambda tf, x: tf.layers.conv3d_transpose(x, 4, 2, strides=2), [[1, 2, 3, 2, 2]]),
    "flatten": (lambda tf, x: tf.layers.dense(tf.layers.flatten(x), 2), [IMAGE]),
    "flatten with channels first": (lambda tf, x: tf.layers.flatten(x, data_format="channels_first"), [IMAGE]),
    "dropout that does not train": (lambda tf, x: tf.layers.dropout(x), [[2, 3]]),
    "initializers of a scope": (
        lambda tf, x: _in_scope(tf, lambda: tf.layers.conv2d(tf.layers.conv2d(x, 4, 3), 2, 3)),
        [IMAGE],
    ),
}
for _kind in ("average", "max"):
    CASES[f"{_kind} pooling of 1 axis"] = (
        lambda tf, x, kind=_kind: getattr(tf.layers, f"{kind}_pooling1d")(x, 3, 2),
        [[2, 7, 3]],
    )
    CASES[f"{_kind} pooling of 2 axes"] = (
        lambda tf, x, kind=_kind: getattr(tf.layers, f"{kind}_pooling2d")(x, [3, 2], (2, 1), "same"),
        [IMAGE],
    )


def _in_scope(tf: Any, function: Callable[[], Any]) -> Any:
    with tf.variable_scope("outer", regularizer=tf.nn.l2_loss, initializer=tf.constant_initializer(0.5)):
        return function()


@pytest.mark.parametrize("case", CASES)
def test_layers_are_tensorflows(case: str) -> None:
    function, shapes = CASES[case]
    same_model(function, *shapes)


@settings(max_examples=40)
@given(st.data())
def test_batch_normalization_is_tensorflows(data: st.DataObject) -> None:
    """TensorFlow's CPU fuses in ``float32`` alone, and with channels last alone; five axes it always fuses there."""
    rank = data.draw(st.integers(2, 5))
    shape = data.draw(st.lists(st.integers(2, 4), min_size=rank, max_size=rank))
    axis = data.draw(st.sampled_from([-1, rank - 1, 1])) if rank < 4 else -1
    options = {
        "momentum": data.draw(st.sampled_from([0.9, 0.99])),
        "epsilon": data.draw(st.sampled_from([1e-3, 1e-2])),
        "center": data.draw(st.booleans()),
        "scale": data.draw(st.booleans()),
        "training": data.draw(st.booleans()),
        "fused": data.draw(st.sampled_from([None, False])),
        "trainable": data.draw(st.booleans()),
    }
    same_model(
        lambda tf, x: tf.layers.batch_normalization(x, axis, **options),
        shape,
        dtype=torch.float32,
        rtol=2e-4,
        atol=2e-4,
    )


DEFAULTS: dict[str, Callable[..., Any]] = {
    "dense": lambda tf, x: tf.layers.dense(tf.layers.flatten(x), 400),
    "conv2d": lambda tf, x: tf.layers.conv2d(x, 200, 3),
    "separable_conv2d": lambda tf, x: tf.layers.separable_conv2d(x, 200, 3, depth_multiplier=40),
    "conv2d_transpose": lambda tf, x: tf.layers.conv2d_transpose(x, 200, 3),
    "conv2d with an initializer": lambda tf, x: tf.layers.conv2d(
        x, 200, 3, kernel_initializer=tf.variance_scaling_initializer(2.0, "fan_in")
    ),
    "conv2d in a scope with an initializer": lambda tf, x: _scaled(tf, x),
}


def _scaled(tf: Any, x: Any) -> Any:
    with tf.variable_scope("a", initializer=tf.variance_scaling_initializer(2.0, "fan_out")):
        return tf.layers.conv2d(x, 200, 3)


@pytest.mark.parametrize("layout", ["tf", "torch"])
@pytest.mark.parametrize("case", DEFAULTS)
def test_variables_start_from_tensorflows_distributions_whatever_the_module_declares(
    case: str, layout: Literal["tf", "torch"]
) -> None:
    same_distribution(DEFAULTS[case], [1, 5, 5, 30], layout)


def test_an_object_that_is_kept_starts_anew_in_each_call() -> None:
    layer = layers.Dense(3)
    model = ScopedModule(lambda x: layer(layer(x)), layout="tf", seed=0).build(torch.ones(2, 3))
    assert torch.equal(model(torch.ones(2, 3)), model(torch.ones(2, 3)))
    other = ScopedModule(lambda x: layer(x), layout="tf").build(torch.ones(2, 3))
    assert list(other.variables) == list(model.variables) == ["dense/kernel", "dense/bias"]
    assert layer.scope_name == "dense"


def test_half_precision_has_single_precision_norms_and_autocast_the_modules_dtype() -> None:
    def forward(x: torch.Tensor) -> torch.Tensor:
        return layers.batch_normalization(layers.dense(layers.dense(x, 4), 4), training=True)

    half = ScopedModule(forward, layout="tf").build(torch.ones(2, 3, dtype=torch.bfloat16))
    assert {path: variable.dtype for path, variable in half.variables.items()} == {
        **{f"{name}/{kind}": torch.bfloat16 for name in ("dense", "dense_1") for kind in ("kernel", "bias")},
        **{
            f"batch_normalization/{kind}": torch.float32 for kind in ("gamma", "beta", "moving_mean", "moving_variance")
        },
    }
    model = ScopedModule(forward, layout="tf").build(torch.ones(2, 3))
    with torch.autocast("cpu", torch.bfloat16):
        assert model(torch.ones(2, 3)).dtype == torch.bfloat16
    assert model(torch.ones(2, 3)).dtype == torch.float32


def test_a_model_that_keeps_layers_and_cells_is_copied_and_saved() -> None:
    class Model(ScopedModule):
        def __init__(self) -> None:
            super().__init__(layout="tf", seed=0)
            self.dense, self.cell = layers.Dense(3), tf1.nn.rnn_cell.GRUCell(3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.cell(self.dense(x), self.cell.zero_state(len(x), x.dtype))[0]  # type: ignore[arg-type]

    x = torch.ones(2, 4)
    model = Model().build(x)
    torch.testing.assert_close(copy.deepcopy(model)(x), model(x))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_built_model_may_be_converted(dtype: torch.dtype) -> None:
    def forward(x: torch.Tensor) -> torch.Tensor:
        return layers.dense(layers.flatten(layers.batch_normalization(layers.conv2d(x, 4, 3))), 3)

    model = ScopedModule(forward, layout="tf", seed=0).build(X)
    assert model.to(dtype)(X.to(dtype)).dtype == dtype


def test_an_empty_batch_passes_and_leaves_the_averages() -> None:
    model = ScopedModule(lambda x: layers.flatten(layers.batch_normalization(x, training=True)), layout="tf").build(X)
    before = copy.deepcopy(model.state_dict())
    assert model(X[:0]).shape == (0, 75)
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])


@pytest.mark.parametrize("training", [True, False])
def test_a_model_of_layers_compiles_whole_and_moves_its_averages(training: bool) -> None:
    def forward(x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(layers.batch_normalization(layers.conv2d(x, 8, 3), training=training))
        return layers.dense(layers.flatten(layers.max_pooling2d(y, 2, 2)), 3)

    torch.manual_seed(0)
    x = torch.randn(4, 8, 8, 3)
    model = ScopedModule(forward, layout="tf", seed=0).build(x)
    twin = copy.deepcopy(model)
    compiled = torch.compile(twin, backend="aot_eager", fullgraph=True)
    for _ in range(2):
        torch.testing.assert_close(compiled(x), model(x))
    for path, value in model.variables.items():
        torch.testing.assert_close(twin.variables[path], value)
    assert model.variables["batch_normalization/moving_mean"].any() == training


X = torch.ones(2, 5, 5, 3)
WRONG: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "no units": (lambda: layers.dense(X, 0), ArgumentValueError, "units=0.*\nGive a positive int"),
    "a vector": (lambda: layers.dense(X[0, 0, 0], 3), ArgumentValueError, "at least two axes"),
    "integers": (lambda: layers.dense(X.int(), 3), ArgumentTypeError, "floating dtype"),
    "a padding of neither name": (
        lambda: layers.conv2d(X, 3, 3, padding="full"),
        ArgumentValueError,
        "'same' or 'valid'",
    ),
    "an order by the name of tf.nn": (
        lambda: layers.conv2d(X, 3, 3, data_format="NHWC"),
        ArgumentValueError,
        "'channels_last' or 'channels_first'",
    ),
    "another number of axes": (
        lambda: layers.conv1d(X, 3, 3),
        ArgumentValueError,
        r"\(2, 5, 5, 3\).*\nGive 3 axes, NWC",
    ),
    "strides and rates": (lambda: layers.conv2d(X, 3, 3, 2, dilation_rate=2), ArgumentValueError, "has to be 1"),
    "three sizes for two axes": (lambda: layers.conv2d(X, 3, [3, 3, 3]), ArgumentValueError, "Give one or 2 of them"),
    "training by a tensor": (
        lambda: layers.batch_normalization(X, training=torch.tensor(True)),  # type: ignore[arg-type]
        ArgumentTypeError,
        r"Give True or False, current_module\(\).training",
    ),
    "renorm": (lambda: layers.batch_normalization(X, renorm=True), NotImplementedError, "renorm=True"),
    "two axes of features": (lambda: layers.batch_normalization(X, [1, 3]), NotImplementedError, r"axis=\[1, 3\]"),
    "an axis that there is not": (lambda: layers.batch_normalization(X, 4), ArgumentValueError, "has 4 axes"),
    "a kernel that is there in another shape": (
        lambda: [layers.dense(X, 3, name="a"), layers.dense(X, 4, name="a", reuse=True)],
        VariableShapeError,
        "a/kernel",
    ),
    "a name twice": (
        lambda: [layers.dense(X, 3, name="a"), layers.dense(X, 3, name="a")],
        VariableExistsError,
        "a/kernel",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_tensorflow_refuses_is_refused_with_the_reason(case: str) -> None:
    call, error, message = WRONG[case]
    with pytest.raises(error, match=message):
        ScopedModule(call, layout="tf").build()


def test_a_layer_outside_of_a_module_says_what_is_missing() -> None:
    with pytest.raises(NoActiveModuleError):
        layers.dense(X, 3)
