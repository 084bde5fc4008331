"""Whole models in TensorFlow 1's way: a checkpoint of its Saver, the numbers at eval, and one step of training.

Each is written once, as TensorFlow 1 code, and run by both.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.tf1.judge import Theirs, array_of
from torchscope import ScopedModule, tf1
from torchscope.checkpoint import load_checkpoint

RATE = 0.05


def residual_network(tf: Any, x: Any, training: bool) -> Any:
    """Bottleneck blocks with pre-activation, as slim's ResNet v2 has them."""
    slim = tf.slim

    def bottleneck(inputs: Any, depth: int, inner: int, stride: int, scope: str) -> Any:
        with tf.variable_scope(scope, "bottleneck_v2"):
            preact = slim.batch_norm(inputs, activation_fn=tf_relu(tf), scope="preact")
            if depth == inputs.shape[3]:
                shortcut = inputs if stride == 1 else slim.max_pool2d(inputs, [1, 1], stride=stride, scope="shortcut")
            else:
                shortcut = slim.conv2d(
                    preact,
                    depth,
                    [1, 1],
                    stride=stride,
                    normalizer_fn=None,
                    activation_fn=None,
                    scope="shortcut",
                )
            residual = slim.conv2d(preact, inner, [1, 1], stride=1, scope="conv1")
            residual = slim.conv2d(residual, inner, 3, stride=stride, scope="conv2")
            residual = slim.conv2d(
                residual, depth, [1, 1], stride=1, normalizer_fn=None, activation_fn=None, scope="conv3"
            )
            return shortcut + residual

    norm = {"decay": 0.9, "epsilon": 1e-5, "scale": True, "is_training": training}
    with (
        slim.arg_scope(
            [slim.conv2d],
            weights_regularizer=slim.l2_regularizer(1e-3),
            weights_initializer=slim.variance_scaling_initializer(),
            normalizer_fn=slim.batch_norm,
        ),
        slim.arg_scope([slim.batch_norm], **norm),
        slim.arg_scope([slim.max_pool2d], padding="SAME"),
        tf.variable_scope("resnet_v2"),
    ):
        with slim.arg_scope([slim.conv2d], activation_fn=None, normalizer_fn=None):
            net = slim.conv2d(x, 8, 7, stride=2, scope="conv1")
        net = slim.max_pool2d(net, [3, 3], stride=2, scope="pool1")
        for number, (depth, inner, stride) in enumerate([(16, 4, 1), (32, 8, 2)], 1):
            with tf.variable_scope(f"block{number}"):
                net = bottleneck(net, depth, inner, 1, "unit_1")
                net = bottleneck(net, depth, inner, stride, "unit_2")
        net = slim.batch_norm(net, activation_fn=tf_relu(tf), scope="postnorm")
        net = tf.reduce_mean(net, [1, 2], keep_dims=True)
        return slim.conv2d(net, 5, [1, 1], activation_fn=None, normalizer_fn=None, scope="logits")


def detector_head(tf: Any, x: Any, training: bool) -> Any:
    """Darknet's convolutions, a route with an upsampled map, and two outputs, as YOLO v3 by tf.layers has them."""

    def convolved(inputs: Any, filters: int, size: int, strides: int = 1) -> Any:
        if strides > 1:
            begin = (size - 1) // 2
            inputs = tf.pad(inputs, [[0, 0], [begin, size - 1 - begin], [begin, size - 1 - begin], [0, 0]])
        outputs = tf.layers.conv2d(
            inputs, filters, size, strides, padding="SAME" if strides == 1 else "VALID", use_bias=False
        )
        outputs = tf.layers.batch_normalization(outputs, momentum=0.9, epsilon=1e-5, training=training)
        return tf.nn.leaky_relu(outputs, alpha=0.1)

    with tf.variable_scope("detector"):
        net = convolved(x, 8, 3)
        net = convolved(net, 16, 3, strides=2)
        route = convolved(net, 8, 1)
        net = convolved(route, 16, 3, strides=2)
        with tf.variable_scope("head"):
            large = tf.layers.conv2d(net, 6, 1, bias_initializer=tf.zeros_initializer())
            net = convolved(net, 8, 1)
            net = tf.image.resize_nearest_neighbor(net, (2 * net.shape[1], 2 * net.shape[2]))
            net = tf.layers.separable_conv2d(joined(tf, [net, route]), 8, 3, padding="same")
            small = tf.layers.conv2d(net, 6, 1)
    return [large, small]


def tf_relu(tf: Any) -> Callable[[Any], Any]:
    return torch.relu if tf is tf1 else tf.nn.relu  # type: ignore[no-any-return]


def joined(tf: Any, tensors: list[Any]) -> Any:
    return torch.cat(tensors, 3) if tf is tf1 else tf.concat(tensors, 3)


def loss_of(tf: Any, outputs: Any) -> Any:
    each = outputs if isinstance(outputs, list) else [outputs]
    return sum(tf.nn.l2_loss(output - 0.5) for output in each)


MODELS = {"a residual network by slim": residual_network, "a detector head by tf.layers": detector_head}


def theirs(function: Callable[..., Any], x: np.ndarray[Any, Any], folder: Path) -> dict[str, Any]:
    """A checkpoint of random weights, what TensorFlow gives at eval, and all variables after a step of training."""
    tf = Theirs()
    found: dict[str, Any] = {"checkpoint": folder / "model.ckpt"}
    for training in (False, True):
        with tf.Graph().as_default(), tf.Session() as session:
            tf.set_random_seed(3)
            inputs = tf.placeholder("float32", x.shape)
            outputs = function(tf, inputs, training)
            saver = tf.train.Saver()
            if not training:
                session.run(tf.global_variables_initializer())
                # Averages and biases that a trained model would have; the same weights in each run of this test, since
                # TensorFlow's initializers draw others each time, and rounding depends on them.
                for number, variable in enumerate(tf.global_variables()):
                    shape, draw = variable.shape.as_list(), np.random.default_rng(number)
                    if variable.op.name.endswith(("kernel", "weights")):
                        value = draw.standard_normal(shape) / np.sqrt(np.prod(shape[:-1]))
                    else:
                        value = draw.random(shape) + 0.5
                    variable.load(value, session)
                saver.save(session, str(found["checkpoint"]), write_meta_graph=False)
                found["outputs"] = session.run(outputs, {inputs: x})
            else:
                saver.restore(session, str(found["checkpoint"]))
                loss = loss_of(tf, outputs) + sum(tf.get_collection("regularization_losses"))
                with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
                    step = tf.train.GradientDescentOptimizer(RATE).minimize(loss)
                found["loss"] = session.run([loss, step], {inputs: x})[0]
                found["after"] = session.run({each.op.name: each for each in tf.global_variables()})
    return found


@pytest.mark.parametrize("name", MODELS)
def test_a_model_takes_tensorflows_checkpoint_and_has_its_numbers_at_eval_and_after_a_step(
    name: str, tmp_path: Path
) -> None:
    function = MODELS[name]
    x = np.random.default_rng(1).standard_normal((2, 32, 32, 3)).astype(np.float32)
    expected = theirs(function, x, tmp_path)

    class Model(ScopedModule):
        def forward(self, images: torch.Tensor) -> Any:
            return function(tf1, images, self.training)

    images = torch.tensor(x, device="cpu")
    model = Model(layout="tf", device="cpu").build(images)
    assert load_checkpoint(model, expected["checkpoint"]).complete

    model.eval()
    for outputs in (model(images), torch.compile(copy.deepcopy(model), backend="aot_eager", fullgraph=True)(images)):
        each = outputs if isinstance(outputs, list) else [outputs]
        wanted = expected["outputs"] if isinstance(outputs, list) else [expected["outputs"]]
        for own, other in zip(each, wanted, strict=True):
            np.testing.assert_allclose(array_of(own), other, rtol=1e-5, atol=1e-5)

    model.train()
    twin = copy.deepcopy(model)
    compiled = torch.compile(twin, backend="aot_eager", fullgraph=True)
    for trained, run in ((model, model), (twin, compiled)):
        optimizer = torch.optim.SGD(trained.parameters(), lr=RATE)
        loss = loss_of(tf1, run(images)) + trained.regularization_loss()
        np.testing.assert_allclose(loss.item(), expected["loss"], rtol=1e-5)
        loss.backward()
        optimizer.step()
        assert list(trained.variables) == list(expected["after"])
        for path, value in expected["after"].items():
            np.testing.assert_allclose(array_of(trained.variables[path]), value, rtol=1e-4, atol=2e-5, err_msg=path)
