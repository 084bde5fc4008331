"""``tf.contrib.layers``, slim and ``arg_scope`` of ``torchscope.tf1``, judged by the package ``tf_slim``."""

from __future__ import annotations

import copy
import importlib
import threading
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.releases.limits import beyond_torch_before
from tests.tf1.judge import Theirs, array_of, same_distribution, same_model
from torchscope import ArgumentTypeError, ArgumentValueError, ScopedModule, get_variable, tf1
from torchscope.tf1 import slim

IMAGE = [2, 7, 6, 3]


def regularized(tf: Any, layer: Callable[[Any], Any]) -> Any:
    """A layer that is given a regularizer, in a scope that has another."""
    with tf.variable_scope("regularized", regularizer=lambda w: tf.nn.l2_loss(w)):
        return layer(tf.slim.l2_regularizer(0.1))


CASES: dict[str, tuple[Callable[..., Any], list[Any]]] = {
    "fully_connected": (lambda tf, x: tf.slim.fully_connected(x, 4), [[2, 3]]),
    "fully_connected of three axes": (lambda tf, x: tf.slim.fully_connected(x, 4, activation_fn=None), [[2, 5, 3]]),
    "linear": (lambda tf, x: tf.slim.linear(tf.slim.linear(x, 4), 5, scope="two"), [[2, 3]]),
    "without biases": (lambda tf, x: tf.slim.fully_connected(x, 4, biases_initializer=None), [[2, 3]]),
    "regularized": (
        lambda tf, x: tf.slim.fully_connected(
            x,
            4,
            weights_regularizer=tf.slim.l2_regularizer(0.1),
            biases_regularizer=tf.slim.l1_l2_regularizer(0.2, 0.3),
        ),
        [[2, 3]],
    ),
    "normalized, with parameters": (
        lambda tf, x: tf.slim.fully_connected(
            x, 4, normalizer_fn=tf.slim.batch_norm, normalizer_params={"decay": 0.9, "scale": True}
        ),
        [[3, 3]],
    ),
    "regularizers of its own beside the scope's": (
        lambda tf, x: regularized(
            tf,
            lambda l2: tf.slim.separable_conv2d(
                tf.slim.conv2d(x, 4, 3, weights_regularizer=l2, biases_regularizer=l2), 4, 3, 2, weights_regularizer=l2
            ),
        ),
        [IMAGE],
    ),
    "regularizers of its own in place of the scope's": (
        lambda tf, x: regularized(
            tf,
            lambda l2: tf.slim.bias_add(
                tf.slim.separable_conv2d(x, None, 3, 2, weights_regularizer=l2, biases_initializer=None), regularizer=l2
            ),
        ),
        [IMAGE],
    ),
    "not trained": (lambda tf, x: tf.slim.conv2d(x, 4, 3, trainable=False), [IMAGE]),
    "conv1d": (lambda tf, x: tf.slim.conv1d(x, 4, 3), [[2, 7, 3]]),
    "conv2d": (lambda tf, x: tf.slim.conv2d(x, 4, [3, 2], stride=2), [IMAGE]),
    "conv2d, valid, at a rate": (lambda tf, x: tf.slim.conv2d(x, 4, 3, padding="VALID"), [IMAGE]),
    "conv3d": (lambda tf, x: tf.slim.conv3d(x, 4, 2), [[1, 4, 4, 3, 2]]),
    "convolution by its axes": (lambda tf, x: tf.slim.convolution(x, 4, 3, scope="c"), [IMAGE]),
    "conv2d_transpose": (lambda tf, x: tf.slim.conv2d_transpose(x, 4, [3, 3], stride=2), [IMAGE]),
    "conv2d_transpose, valid": (lambda tf, x: tf.slim.conv2d_transpose(x, 4, 3, 2, "VALID"), [IMAGE]),
    "conv3d_transpose": (lambda tf, x: tf.slim.conv3d_transpose(x, 4, 2, 2), [[1, 2, 3, 2, 2]]),
    "separable_conv2d": (
        lambda tf, x: tf.slim.separable_conv2d(x, 4, 3, 2, weights_regularizer=tf.slim.l2_regularizer(0.1)),
        [IMAGE],
    ),
    "separable_conv2d without a pointwise one": (
        lambda tf, x: tf.slim.separable_conv2d(x, None, 3, 2, stride=2),
        [IMAGE],
    ),
    "separable_conv2d, normalized": (
        lambda tf, x: tf.slim.separable_conv2d(x, None, 3, normalizer_fn=tf.slim.batch_norm),
        [IMAGE],
    ),
    "bias_add": (lambda tf, x: tf.slim.bias_add(x, activation_fn=tf.nn.l2_loss), [[2, 3]]),
    "layer_norm": (lambda tf, x: tf.slim.layer_norm(x), [[2, 3, 4]]),
    "layer_norm over the last axis": (lambda tf, x: tf.slim.layer_norm(x, begin_norm_axis=-1), [[2, 3, 4]]),
    "layer_norm that scales two axes": (
        lambda tf, x: tf.slim.layer_norm(x, begin_params_axis=1, begin_norm_axis=2),
        [[2, 3, 4]],
    ),
    "layer_norm without a scale": (lambda tf, x: tf.slim.layer_norm(x, scale=False, scope="n"), [[2, 3]]),
    "instance_norm": (lambda tf, x: tf.slim.instance_norm(x), [IMAGE]),
    "instance_norm, channels first": (lambda tf, x: tf.slim.instance_norm(x, data_format="NCHW"), [IMAGE]),
    "max_pool2d": (lambda tf, x: tf.slim.max_pool2d(x, [2, 3]), [IMAGE]),
    "max_pool2d, same": (lambda tf, x: tf.slim.max_pool2d(x, 3, 1, "SAME"), [IMAGE]),
    "avg_pool2d": (lambda tf, x: tf.slim.avg_pool2d(x, 3, padding="SAME"), [IMAGE]),
    "max_pool3d": (
        lambda tf, x: tf.slim.max_pool3d(tf.cast(x, "float32") if hasattr(tf, "Graph") else x.float(), 2),
        [[1, 4, 4, 3, 2]],
    ),
    "dropout that does not train": (lambda tf, x: tf.slim.dropout(x, is_training=False), [[2, 3]]),
    "flatten": (lambda tf, x: tf.slim.flatten(x), [IMAGE]),
    "softmax": (lambda tf, x: tf.slim.softmax(x), [[2, 3]]),
    "unit_norm": (lambda tf, x: tf.slim.unit_norm(x, 1), [[2, 3]]),
    "maxout": (lambda tf, x: tf.slim.maxout(x, 2), [[2, 6]]),
    "maxout of another axis": (lambda tf, x: tf.slim.maxout(x, 2, axis=1), [[2, 4, 3]]),
    "repeat": (lambda tf, x: tf.slim.repeat(x, 3, tf.slim.conv2d, 4, [3, 3], scope="block"), [IMAGE]),
    "repeat by its default names": (lambda tf, x: tf.slim.repeat(x, 2, tf.slim.conv2d, 4, 1), [IMAGE]),
    "stack": (lambda tf, x: tf.slim.stack(x, tf.slim.conv2d, [(4, 3), [5, 1]], scope="s"), [IMAGE]),
    "stack by its default names": (lambda tf, x: tf.slim.stack(x, tf.slim.fully_connected, [4, 5]), [[2, 3]]),
    "collections of variables": (
        lambda tf, x: tf.slim.conv2d(x, 4, 3, variables_collections={"weights": ["w", "mine"], "biases": ["mine"]}),
        [IMAGE],
    ),
    "collections of all variables": (lambda tf, x: tf.slim.conv2d(x, 4, 3, variables_collections=["mine"]), [IMAGE]),
    "reuse": (
        lambda tf, x: tf.slim.conv2d(tf.slim.conv2d(x, 3, 3, scope="a"), 3, 3, scope="a", reuse=True),
        [IMAGE],
    ),
    "arg_scope": (lambda tf, x: residual(tf, x), [IMAGE]),
    "model_variable": (lambda tf, x: x * tf.slim.model_variable("scale", [3], x.dtype), [[2, 3]]),
}


def residual(tf: Any, x: Any) -> Any:
    """Blocks, nested and entered again, as slim's networks have them."""
    slim = tf.slim
    params = {"decay": 0.9, "epsilon": 1e-3, "scale": True}
    with slim.arg_scope([slim.conv2d, slim.fully_connected], weights_regularizer=slim.l2_regularizer(0.1)):
        with slim.arg_scope([slim.conv2d], normalizer_fn=slim.batch_norm, normalizer_params=params) as inner:
            y = slim.conv2d(x, 3, 3, scope="first")
            with slim.arg_scope([slim.batch_norm], is_training=False), slim.arg_scope([slim.conv2d], stride=2):
                z = slim.conv2d(y, 4, 1)
        y = slim.conv2d(x + y, 4, 3, stride=2, activation_fn=None)
    with slim.arg_scope(inner):
        return slim.conv2d(y + z, 2, 1, scope="last")


@pytest.mark.parametrize("case", CASES)
def test_layers_are_slims(case: str) -> None:
    function, shapes = CASES[case]
    same_model(
        function,
        *shapes,
        dtype=torch.float32,
        collections=["model_variables", "trainable_variables", "variables", "w", "mine"],
        rtol=2e-4,
        atol=2e-4,
    )


@settings(max_examples=60)
@given(st.data())
def test_batch_norm_is_slims(data: st.DataObject) -> None:
    rank = data.draw(st.integers(2, 5))
    shape = data.draw(st.lists(st.integers(2, 4), min_size=rank, max_size=rank))
    regularizers = data.draw(st.booleans())
    options: dict[str, Any] = {
        "decay": data.draw(st.sampled_from([0.9, 0.999])),
        "center": data.draw(st.booleans()),
        "scale": data.draw(st.booleans()),
        "is_training": data.draw(st.booleans()),
        "fused": data.draw(st.sampled_from([None, False])),
        "updates_collections": data.draw(st.sampled_from([None, "update_ops"])),
        "trainable": data.draw(st.booleans()),
    }
    weights = data.draw(st.booleans())
    if weights:
        options["batch_weights"] = np.random.default_rng(0).random(shape[0]).astype(np.float32)

    def model(tf: Any, x: Any) -> Any:
        given = dict(options)
        if weights and isinstance(x, Tensor):
            given["batch_weights"] = torch.tensor(given["batch_weights"])
        if regularizers:
            given["param_regularizers"] = {"beta": tf.slim.l2_regularizer(0.5), "gamma": tf.slim.l1_regularizer(0.5)}
        return tf.slim.batch_norm(x, **given)

    same_model(model, shape, dtype=torch.float32, rtol=1e-3, atol=1e-3)


DEFAULTS: dict[str, Callable[..., Any]] = {
    "fully_connected": lambda tf, x: tf.slim.fully_connected(tf.slim.flatten(x), 400),
    "conv2d": lambda tf, x: tf.slim.conv2d(x, 200, 3),
    "conv2d_transpose": lambda tf, x: tf.slim.conv2d_transpose(x, 200, 3),
    "separable_conv2d": lambda tf, x: tf.slim.separable_conv2d(x, 200, 3, 40),
    "a normal xavier": lambda tf, x: tf.slim.conv2d(x, 200, 3, weights_initializer=tf.slim.xavier_initializer(False)),
    "variance scaling": lambda tf, x: tf.slim.conv2d(
        x, 200, 3, weights_initializer=tf.slim.variance_scaling_initializer()
    ),
    "variance scaling, uniform, by the outputs": lambda tf, x: tf.slim.conv2d(
        x, 200, 3, weights_initializer=tf.slim.variance_scaling_initializer(1.0, "FAN_OUT", True)
    ),
}


@pytest.mark.parametrize("layout", ["tf", "torch"])
@pytest.mark.parametrize("case", DEFAULTS)
def test_variables_start_from_slims_distributions_whatever_the_module_declares(
    case: str, layout: Literal["tf", "torch"]
) -> None:
    same_distribution(DEFAULTS[case], [1, 5, 5, 30], layout)


def end_points(tf: Any, x: Any) -> Any:
    slim = tf.slim
    with tf.variable_scope("net"), slim.arg_scope([slim.conv2d, slim.max_pool2d], outputs_collections="ends"):
        y = slim.max_pool2d(slim.conv2d(x, 4, 3, scope="conv1"), 2, scope="pool1")
        slim.conv2d(y, 2, 1)
        return slim.utils.convert_collection_to_dict("ends") if hasattr(slim, "utils") else None


def test_outputs_are_collected_by_slims_names() -> None:
    tf = Theirs()
    x = torch.ones(IMAGE)
    ends: dict[str, Tensor] = ScopedModule(lambda x: end_points(tf1, x), layout="tf")(x)
    with tf.Graph().as_default():
        utils = importlib.import_module("tf_slim.layers.utils")
        end_points(tf, tf.ones(IMAGE))
        expected = utils.convert_collection_to_dict("ends")
        assert list(ends) == list(expected) == ["net/conv1", "net/pool1", "net/Conv"]
        assert [list(each.shape) for each in ends.values()] == [each.shape.as_list() for each in expected.values()]


def test_variables_are_found_by_slims_names() -> None:
    def forward(tf: Any, x: Any) -> list[list[str]]:
        slim = tf.slim
        with tf.variable_scope("net"):
            slim.conv2d(x, 4, 3, normalizer_fn=slim.batch_norm, scope="conv")
        slim.conv2d(x, 4, 3, scope="network")
        found = [
            slim.get_variables("net"),
            slim.get_variables("net/"),
            slim.get_variables(suffix="weights"),
            slim.get_model_variables("net/conv"),
            slim.get_variables_by_name("weights"),
            slim.get_variables_by_suffix("ta"),
            slim.get_trainable_variables(),
            slim.get_variables_to_restore(exclude=["net/"]),
            tf.trainable_variables("network"),
            tf.get_collection(tf.GraphKeys.GLOBAL_VARIABLES, "n.*w"),
            tf.model_variables(),
        ]
        name = (lambda v: v.op.name) if hasattr(tf, "Graph") else current_module().variable_name
        return [[name(each) for each in each_list] for each_list in found]

    from torchscope import current_module

    tf = Theirs()
    with tf.Graph().as_default():
        expected = forward(tf, tf.ones(IMAGE))
    found = ScopedModule(lambda x: forward(tf1, x), layout="tf")(torch.ones(IMAGE))
    assert found == expected


@pytest.mark.parametrize(
    "regularizer",
    [
        "l1_regularizer(0.3)",
        "l2_regularizer(0.3)",
        "l1_l2_regularizer(0.2, 0.4)",
        "l1_l2_regularizer(0.0, 0.4)",
        "sum_regularizer([l1_regularizer(0.1), None, l2_regularizer(0.2)])",
        "l1_regularizer(0.0)",
        "l1_l2_regularizer(0.0, 0.0)",
    ],
)
def test_regularizers_are_slims(regularizer: str) -> None:
    tf = Theirs()
    weights = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    ours = eval(regularizer, vars(slim).copy())(torch.tensor(weights))
    with tf.Graph().as_default(), tf.Session() as session:
        theirs = eval(regularizer, {name: getattr(tf.slim, name) for name in slim.__all__ if hasattr(tf.slim, name)})(
            tf.constant(weights)
        )
        assert (ours is None) == (theirs is None)
        if theirs is not None:
            np.testing.assert_allclose(array_of(ours), session.run(theirs), rtol=1e-6)


def test_arg_scope_holds_in_its_block_alone_nested_after_an_exception_and_in_its_thread() -> None:
    @slim.add_arg_scope
    def scaled(x: int, by: int = 1, plus: int = 0) -> int:
        return x * by + plus

    with slim.arg_scope([scaled], by=2) as twice:
        assert scaled(3) == 6
        with slim.arg_scope([scaled], plus=1), slim.arg_scope([scaled], by=5):
            assert scaled(3) == 16
            with slim.arg_scope(twice):
                assert scaled(3) == 6
        seen: list[int] = []
        thread = threading.Thread(target=lambda: seen.append(scaled(3)))
        thread.start()
        thread.join()
        assert seen == [3]
        with pytest.raises(KeyError), slim.arg_scope([scaled], by=7):
            raise KeyError
        assert scaled(3) == 6
        with pytest.raises(KeyboardInterrupt), slim.arg_scope([scaled], by=7):
            raise KeyboardInterrupt
        assert scaled(3) == 6
    assert scaled(3) == 3


def test_functions_of_one_name_have_defaults_of_their_own() -> None:
    def make() -> Callable[..., int]:
        @slim.add_arg_scope
        def block(x: int = 0) -> int:
            return x

        return block

    first, second = make(), make()
    with slim.arg_scope([first], x=5):
        assert (first(), second()) == (5, 0)


WRONG: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "a function for a list": (lambda: slim.arg_scope(slim.conv2d, stride=2), ArgumentTypeError, "Give a list"),  # type: ignore[arg-type]
    "a function that was not decorated": (lambda: slim.arg_scope([print], end=""), ArgumentValueError, "add_arg_scope"),
    "an argument that it does not take": (
        lambda: slim.arg_scope([slim.conv2d], strides=2),
        ArgumentValueError,
        r"strides=2.*\nconvolution2d takes inputs, num_outputs, kernel_size, stride, ",
    ),
    "more defaults for a block": (
        lambda: slim.arg_scope(slim.current_arg_scope(), stride=2),
        ArgumentValueError,
        "takes no further defaults",
    ),
    "an int as a scale": (lambda: slim.l2_regularizer(1), ArgumentValueError, "Give a float"),
    "a negative scale": (lambda: slim.l1_regularizer(-1.0), ArgumentValueError, "not negative"),
    "an order of other axes": (
        lambda: slim.conv2d(torch.ones(IMAGE), 3, 3, data_format="HWC"),
        ArgumentValueError,
        "'NHWC'",
    ),
    "an image for a sequence": (lambda: slim.conv1d(torch.ones(IMAGE), 3, 3), ArgumentValueError, "Give 3 axes"),
    "training by a tensor": (
        lambda: slim.batch_norm(torch.ones(2, 3), is_training=torch.tensor(True)),  # type: ignore[arg-type]
        ArgumentTypeError,
        "is_training",
    ),
    "renorm": (lambda: slim.batch_norm(torch.ones(2, 3), renorm=True), NotImplementedError, "renorm=True"),
    "weights for other examples": (
        lambda: slim.batch_norm(torch.ones(2, 3), batch_weights=torch.ones(3)),
        ArgumentValueError,
        r"\(3,\).*\nGive one for each example: \[2\]",
    ),
    "an axis that there is not": (
        lambda: slim.layer_norm(torch.ones(2, 3), begin_norm_axis=2),
        ArgumentValueError,
        "begin_norm_axis=2.*\nThe inputs have 2 axes",
    ),
    "channels that do not divide": (lambda: slim.maxout(torch.ones(2, 3), 2), ArgumentValueError, "divides the 3"),
    "one argument for a stack": (
        lambda: slim.stack(torch.ones(2, 3), slim.fully_connected, 3),  # type: ignore[arg-type]
        ArgumentTypeError,
        "Give a list",
    ),
    "a mode in small letters": (
        lambda: slim.variance_scaling_initializer(mode="fan_in"),
        ArgumentValueError,
        "'FAN_IN'",
    ),
    "an output without a name": (
        lambda: named(torch.ones(1)),
        ArgumentValueError,
        "collect_named_outputs",
    ),
}


def named(value: Tensor) -> Any:
    tf1.add_to_collection("ends", value)
    return slim.utils.convert_collection_to_dict("ends")


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_refused_with_the_reason(case: str) -> None:
    call, error, message = WRONG[case]
    with pytest.raises(error, match=message):
        ScopedModule(call, layout="tf").build()


@pytest.mark.parametrize("training", [True, False])
def test_a_network_of_slim_compiles_whole_and_moves_its_averages(training: bool) -> None:
    def forward(x: Tensor) -> Tensor:
        with slim.arg_scope([slim.batch_norm], is_training=training):
            return residual(tf1, x) * get_variable("scale", [2])

    torch.manual_seed(0)
    x = torch.randn(IMAGE)
    model = ScopedModule(forward, layout="tf", seed=0).build(x)
    twin = copy.deepcopy(model)
    compiled = torch.compile(twin, backend="aot_eager", fullgraph=True)
    for _ in range(2):
        torch.testing.assert_close(compiled(x), model(x))
    for path, value in model.variables.items():
        torch.testing.assert_close(twin.variables[path], value)
    assert model.variables["first/BatchNorm/moving_mean"].any() == training


@beyond_torch_before(2, 13, "Dynamo cannot tell a tensor that it makes from a variable")
def test_collected_outputs_and_losses_are_there_in_a_compiled_model() -> None:
    def forward(x: Tensor) -> tuple[Tensor, list[str]]:
        y = slim.fully_connected(x, 4, weights_regularizer=slim.l2_regularizer(0.5), outputs_collections="ends")
        ends = slim.utils.convert_collection_to_dict("ends")
        return y + sum(tf1.get_collection("regularization_losses")), list(ends)

    x = torch.ones(2, 3)
    model = ScopedModule(forward, layout="tf", seed=0).build(x)
    expected, names = model(x)
    found, compiled_names = torch.compile(model, backend="aot_eager", fullgraph=True)(x)
    torch.testing.assert_close(found, expected)
    assert names == compiled_names == ["fully_connected"]


def test_small_helpers_for_shapes_and_collections() -> None:
    utils = slim.utils
    assert utils.two_element_tuple(3) == utils.two_element_tuple([3, 3]) == (3, 3)
    assert utils.last_dimension((2, 5)) == utils.channel_dimension((2, 5, 7), "channels_first") == 5
    assert utils.channel_dimension((2, 5, 7), "channels_last") == 7
    assert utils.get_variable_collections({"weights": ["a"]}, "weights") == ["a"]
    assert utils.get_variable_collections({"weights": ["a"]}, "biases") == []
    assert utils.get_variable_collections("all", "biases") == ["all"]
    with pytest.raises(ArgumentValueError, match="one number, or two"):
        utils.two_element_tuple([1, 2, 3])
    with pytest.raises(ArgumentValueError, match="at least 3 axes"):
        utils.last_dimension((2, 5), 3)


def test_a_regularizer_is_applied_to_a_list_and_collected() -> None:
    def forward(x: Tensor) -> Any:
        slim.fully_connected(x, 2, variables_collections={"weights": ["weights"]})
        total = slim.apply_regularization(slim.l2_regularizer(0.5))
        return total, tf1.get_collection("regularization_losses")

    total, losses = ScopedModule(forward, layout="tf", seed=0)(torch.ones(1, 3))
    assert len(losses) == 1
    torch.testing.assert_close(losses[0], total)
    with pytest.raises(ArgumentValueError, match="Give variables"):
        ScopedModule(lambda: slim.apply_regularization(slim.l2_regularizer(0.5), [])).build()
