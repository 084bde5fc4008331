"""Lines of TensorFlow 1, ported: their values are TensorFlow's. The lines are those of the table of symbols."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.tf1.judge import tensorflow
from tests.tf1.symbols import LINES
from torchscope import ScopedModule
from torchscope.port import port

NAMES = ("x", "y", "p", "i", "j", "b", "c", "m", "n", "v", "k")
TUPLE = "x * (1.0, 2.0, 3.0, 4.0)"
MORE = [
    "tf.reduce_sum(x, [0, 1], keepdims=True)",
    "tf.reduce_max(x, keepdims=True)",
    "tf.reduce_prod(x, -1)",
    "tf.maximum(x, 0.0)",
    "tf.minimum(0.5, x)",
    "tf.matmul(x, y, transpose_a=True)",
    "tf.gather(x, i[0], axis=0)",
    "tf.gather(x, [3, 0, 0], axis=1)",
    "tf.concat([tf.shape(x), [7]], 0) * 2",
    "tf.shape(x) + tf.shape(y)",
    "tf.range(10, 2, -3)",
    "tf.lin_space(0.0, 1.0, 5)",
    "tf.reciprocal(p) + tf.negative(x) + tf.erf(x)",
    "tf.clip_by_value(x, -0.5, tf.reduce_max(y))",
    "tf.squared_difference(x, 2.0)",
    "tf.div(i, 2)",
    "tf.stack([x, y], axis=-1)",
    "tf.expand_dims(x, -1) + tf.reshape(y, [3, 4, 1])",
    "tf.zeros([2, 3], tf.int32)",
    "tf.cast(x > 0, tf.float32) * x[:, :1]",
    "tf.cumprod(x, axis=1)",
    "tf.argsort(x)",
    "tf.norm(x, ord=1)",
    "tf.constant(2.0, shape=[2, 2])",
    "tf.transpose(tf.tile(x, [1, 2]), [1, 0])",
    "tf.logical_and(b, tf.logical_not(c))",
    "tf.where(b, x, tf.zeros_like(x))",
    TUPLE,
]


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray[Any, Any]]:
    random = np.random.default_rng(5)
    floats = {name: random.standard_normal((3, 4)).astype(np.float32) for name in "xy"}
    integers = {name: random.integers(1, 3, (3, 4)).astype(np.int32) for name in "ij"}
    bools = {name: random.random((3, 4)) > 0.5 for name in "bc"}
    square = {name: (random.standard_normal((3, 3)) + 3 * np.eye(3)).astype(np.float32) for name in "mn"}
    return {
        **floats,
        "p": np.abs(floats["x"]) + 0.5,
        **integers,
        **bools,
        **square,
        "v": floats["x"][0],
        "k": np.array([2, 0]),
    }


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("line", [*(line for line, _ in LINES.values()), *MORE])
def test_a_line_gives_tensorflows_values(line: str, known: bool, arrays: dict[str, np.ndarray[Any, Any]]) -> None:
    """With and without knowing which names are tensors."""
    tf = tensorflow()
    if line == TUPLE and not known:
        pytest.skip("a tuple beside what may be no tensor stays; torch refuses it")
    with tf.Graph().as_default(), tf.Session() as session:
        theirs = session.run(eval(line, {"tf": tf}, {name: tf.constant(arrays[name]) for name in NAMES}))
    made = "".join(f"    {name} = tf.identity({name})\n" for name in NAMES) if known else ""
    ported = port(f"import tensorflow as tf\ndef f({', '.join(NAMES)}):\n{made}    return {line}\n")
    assert not ported.left
    found: dict[str, Any] = {}
    exec(ported.code, found)
    ours = ScopedModule(found["f"])(*(torch.from_numpy(arrays[name]) for name in NAMES))
    assert isinstance(ours, Tensor | tuple | list | float | int), ported.code
    for mine, its in zip(_several(ours), _several(theirs), strict=True):
        np.testing.assert_allclose(np.asarray(mine), np.asarray(its), rtol=1e-5, atol=1e-6, err_msg=ported.code)


def _several(value: Any) -> list[Any]:
    if isinstance(value, (tuple, list)) and any(isinstance(each, (Tensor, np.ndarray)) for each in value):
        return list(value)
    return [value]
