"""Loops of ``tf``: all rounds have the variables of the first, as in a graph that has the body once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.tf1.judge import same_model
from torchscope import ScopedModule, tf1

# Each runs a layer in a loop over x of [3, 2, 4], and whatever names come after it.
LOOPS: dict[str, Callable[[Any, Any], Any]] = {
    "map_fn, a default name": lambda tf, x: tf.map_fn(lambda row: tf.layers.dense(row, 4), x),
    "map_fn, a name": lambda tf, x: tf.map_fn(lambda row: tf.layers.dense(row, 4, name="mine"), x),
    "map_fn, two layers": lambda tf, x: tf.map_fn(lambda row: tf.layers.dense(tf.layers.dense(row, 5), 4), x),
    "scan": lambda tf, x: tf.scan(lambda last, row: tf.layers.dense(last + row, 4), x, tf.zeros_like(x[0])),
    "foldl": lambda tf, x: tf.foldl(lambda last, row: tf.layers.dense(last + row, 4), x, tf.zeros_like(x[0])),
    "while_loop": lambda tf, x: tf.while_loop(
        lambda n, y: n < 3, lambda n, y: (n + 1, tf.layers.dense(y, 4)), (0, x[0])
    )[1],
    "a scope around": lambda tf, x: scoped(tf, lambda: tf.map_fn(lambda row: tf.layers.dense(row, 4), x)),
    "a scope inside": lambda tf, x: tf.map_fn(lambda row: scoped(tf, lambda: tf.layers.dense(row, 4)), x),
    "a loop in a loop": lambda tf, x: tf.map_fn(
        lambda row: tf.map_fn(lambda one: tf.layers.dense(one[None], 4)[0], row), x
    ),
}


class WithZeros:
    """``tf1`` with the one line of torch that the loops need."""

    zeros_like = staticmethod(torch.zeros_like)

    def __getattr__(self, name: str) -> Any:
        return getattr(tf1, name)


def scoped(tf: Any, layer: Callable[[], Any]) -> Any:
    with tf.variable_scope("m"):
        return layer()


def with_a_layer_after(loop: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def model(tf: Any, x: Any) -> Any:
        tf = WithZeros() if tf is tf1 else tf
        result = loop(tf, tf.layers.dense(x, 4))
        return tf.layers.dense(result, 2)

    return model


@pytest.mark.filterwarnings("ignore")  # TensorFlow's own
@pytest.mark.parametrize("case", LOOPS)
def test_a_loop_has_its_layers_once_as_in_tensorflow(case: str) -> None:
    same_model(with_a_layer_after(LOOPS[case]), [3, 2, 4])


@pytest.mark.parametrize("case", LOOPS)
def test_more_rounds_than_it_was_built_with_take_the_same_variables(case: str) -> None:
    run = with_a_layer_after(LOOPS[case])
    model = ScopedModule(lambda x: run(tf1, x), layout="tf").build(torch.ones(2, 2, 4))
    before = list(model.variables)
    model(torch.ones(5, 2, 4))
    assert list(model.variables) == before


@pytest.mark.parametrize("case", ["map_fn, a default name", "scan", "a scope inside"])
def test_a_loop_compiles_as_one_graph(case: str) -> None:
    run = with_a_layer_after(LOOPS[case])
    model = ScopedModule(lambda x: run(tf1, x), layout="tf", seed=1).build(torch.ones(3, 2, 4))
    x = torch.rand(3, 2, 4)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), model(x))


def test_a_loop_that_fails_leaves_the_module_as_it_was() -> None:
    def fail(row: Tensor) -> Tensor:
        rows.append(row)
        if len(rows) == 2:
            raise RuntimeError("of the second row")
        return tf1.layers.dense(row, 4)

    rows: list[Tensor] = []
    model = ScopedModule(lambda x: tf1.map_fn(fail, x), layout="tf")
    with pytest.raises(RuntimeError, match="of the second row"):
        model(torch.ones(3, 2, 4))
    assert not model.variables.specs
    model(torch.ones(3, 2, 4))
    assert list(model.variables) == ["dense/kernel", "dense/bias"]


def test_without_a_module_a_loop_is_pythons() -> None:
    assert tf1.map_fn(lambda row: row + 1, torch.zeros(2)).tolist() == [1, 1]


def test_identity_is_a_copy_for_operations_in_place() -> None:
    x = torch.zeros(2)
    y = tf1.identity(x)
    y += 1
    assert x.tolist() == [0, 0]
    words = ["a"]
    assert tf1.identity(words) is words
