"""Traps of porting: a line of TensorFlow 1, the line of torch that looks like it, and what each gives.

    python -m tests.oracle.traps --write

writes them into the table of ``docs/porting.md``; ``test_traps.py`` holds the page, TensorFlow and ``tf1`` to it.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from tests.tf1.judge import tensorflow
from torchscope import ScopedModule, tf1

PAGE = Path(__file__).parents[2] / "docs" / "porting.md"
BEGIN, END = "<!-- printed by python -m tests.oracle.traps --write -->", "<!-- until here -->"


class Trap(NamedTuple):
    """One trap.

    Attributes:
        what: how TensorFlow's line is written, and torch's.
        tensorflow, torch, here: what TensorFlow gives, what the nearest line of torch does, and what ``here`` does.
        instead: what to write.
    """

    what: str
    torchs: str
    tensorflow: Callable[[Any], Any]
    torch: Callable[[], Any]
    here: Callable[[], Any]
    instead: str


def _evaluated(function: Callable[[Any], Any]) -> Any:
    tf = tensorflow()
    vars(importlib.import_module("tensorflow.python.framework.ops")).setdefault("Tensor", tf.Tensor)  # for tf_slim
    with tf.Graph().as_default(), tf.Session() as session:
        result = function(tf)
        session.run(tf.global_variables_initializer())
        return session.run(result) if isinstance(result, tf.Tensor) else result


def _after_a_step(
    layer: Callable[[Any, Any], Any], shape: tuple[int, ...], average: str = "moving_variance", updates: bool = True
) -> Callable[[Any], Any]:
    """A moving average of a batch norm after one step on 1 and 3."""

    def run(tf: Any) -> Any:
        x = tf.constant(np.array([1.0, 3.0], np.float32).reshape(shape))
        y = layer(tf, x)
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            session.run([y, *(tf.get_collection(tf.GraphKeys.UPDATE_OPS) if updates else [])])
            return session.run(next(v for v in tf.global_variables() if average in v.name))

    return run


def _ours_after_a_step(
    layer: Callable[[Any, Any], Any], shape: tuple[int, ...], average: str = "moving_variance"
) -> Callable[[], Any]:
    def run() -> Any:
        x = torch.tensor([1.0, 3.0]).reshape(shape)
        model = ScopedModule(lambda x: layer(tf1, x), layout="tf")
        with model.as_default():
            layer(tf1, x)
        return next(v for path, v in model.variables.items() if average in path)

    return run


def _torchs_after_a_step() -> nn.BatchNorm1d:
    norm = nn.BatchNorm1d(1, momentum=0.1)
    norm(torch.tensor([[1.0], [3.0]]))
    return norm


def _torchs_variance() -> Any:
    return _torchs_after_a_step().running_var


def _torchs_mean() -> Any:
    return _torchs_after_a_step().running_mean


def _layers(tf: Any, x: Any) -> Any:
    return tf.layers.batch_normalization(x, momentum=0.9, training=True)


def _unmoved(tf: Any, x: Any) -> Any:
    return tf.layers.batch_normalization(x, momentum=1.0, training=True)


def _contribs(tf: Any, x: Any) -> Any:
    return (tf1.contrib.layers if tf is tf1 else __import__("tf_slim")).batch_norm(x)


def _of_small(tf: Any) -> Any:
    return _contribs(tf, torch.from_numpy(SMALL) if tf is tf1 else tf.constant(SMALL))[:, 0]


def _slim(tf: Any, x: Any, **options: Any) -> Any:
    slim = tf.contrib.slim if tf is tf1 else __import__("tf_slim")
    return slim.batch_norm(x, decay=0.9, is_training=True, **options)


def _unfused(tf: Any, x: Any) -> Any:
    return _slim(tf, x, fused=False)


def _in_place(tf: Any) -> Any:
    x = tf.constant(1.0)
    y = x
    y += 1
    return x


def _torchs_in_place() -> Any:
    x = torch.tensor(1.0)
    y = x
    y += 1
    return x


def _ours_in_place() -> Any:
    x = torch.tensor(1.0)
    y = x
    y = y + 1
    return x


def _tie(tf: Any) -> Any:
    x = tf.constant(0.0)
    return tf.gradients(tf.maximum(x, 0.2 * x), x)[0]


def _torchs_tie() -> Any:
    x = torch.tensor(0.0, requires_grad=True)
    torch.maximum(x, 0.2 * x).backward()  # type: ignore[no-untyped-call]
    return x.grad


def _ours_tie() -> Any:
    x = torch.tensor(0.0, requires_grad=True)
    tf1.maximum(x, 0.2 * x).backward()  # type: ignore[no-untyped-call]
    return x.grad


def _spread(shape: Any, dtype: Any = None, partition_info: Any = None) -> Any:
    """Weights that differ."""
    return np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape([int(n) for n in shape])


def _gru(tf: Any) -> Any:
    def tensor(value: float) -> Any:
        return torch.full((1, 2), value) if tf is tf1 else tf.fill([1, 2], value)

    cell = tf.nn.rnn_cell.GRUCell(2, kernel_initializer=_spread)
    return cell(tensor(1.0), tensor(0.5))[0]


def _torchs_gru() -> Any:
    cell = nn.GRUCell(2, 2)
    gates, candidate = torch.from_numpy(_spread((4, 4))), torch.from_numpy(_spread((4, 2)))
    with torch.no_grad():
        cell.weight_ih.copy_(torch.cat([gates[:2].T, candidate[:2].T]))
        cell.weight_hh.copy_(torch.cat([gates[2:].T, candidate[2:].T]))
        cell.bias_ih.copy_(torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0, 0.0]))  # the gates' start at 1 in TensorFlow
        cell.bias_hh.zero_()
        return cell(torch.ones(1, 2), torch.full((1, 2), 0.5))


def _stepped(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A variable that began at 1 after three steps of an optimizer of TensorFlow down its square."""

    def run(tf: Any) -> Any:
        v = tf.get_variable("v", initializer=1.0)
        step = make(tf).minimize(tf.square(v))
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            for _ in range(3):
                session.run(step)
            return session.run(v)

    return run


def _torchs_steps(kind: Callable[..., torch.optim.Optimizer], **options: float) -> Callable[[], Any]:
    def run() -> Any:
        v = nn.Parameter(torch.ones(()))
        optimizer = kind([v], **options)
        for _ in range(3):
            optimizer.zero_grad()
            v.square().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return v

    return run


def _rmsprop_by_hand() -> Any:
    v, average = 1.0, 1.0
    for _ in range(3):
        gradient = 2 * v
        average = 0.9 * average + 0.1 * gradient**2
        v -= 0.1 * gradient / (average + 1e-10) ** 0.5
    return v


def _adam_by_hand() -> Any:
    v, mean, square = 1.0, 0.0, 0.0
    for step in range(1, 4):
        gradient = 2 * v
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        rate = 0.1 * (1 - 0.999**step) ** 0.5 / (1 - 0.9**step)
        v -= rate * mean / (square**0.5 + 0.1)
    return v


ROW = np.array([[[[0.0], [1.0]]]], np.float32)
SMALL = np.array([[0.0], [0.02]], np.float32)
PLANES = np.array([[[1.0, 2.0], [3.0, 6.0]]], np.float32)


def _of_row(tf: Any) -> Any:
    x = torch.from_numpy(ROW) if tf is tf1 else tf.constant(ROW)
    return tf.image.resize_bilinear(x, [1, 4])[0, 0, :, 0]


def _normed(tf: Any) -> Any:
    x = torch.from_numpy(PLANES) if tf is tf1 else tf.constant(PLANES)
    layers = tf1.contrib.layers if tf is tf1 else __import__("tf_slim")
    return layers.layer_norm(x)[0, 0]


TRAPS = [
    Trap("`y = x; y += 1`, and then `x`", "the same", _in_place, _torchs_in_place, _ours_in_place, "`y = y + 1`"),
    Trap(
        "moving variance of `tf.layers.batch_normalization`, of 1 and 3 in 4-D",
        "`nn.BatchNorm1d`",
        _after_a_step(_layers, (2, 1, 1, 1)),
        _torchs_variance,
        _ours_after_a_step(_layers, (2, 1, 1, 1)),
        "`tf1.layers.batch_normalization`",
    ),
    Trap(
        "the same in 2-D: biased",
        "`nn.BatchNorm1d`",
        _after_a_step(_layers, (2, 1)),
        _torchs_variance,
        _ours_after_a_step(_layers, (2, 1)),
        "`tf1.layers.batch_normalization`",
    ),
    Trap(
        "of `slim.batch_norm`, in 2-D too: unbiased",
        "`nn.BatchNorm1d`",
        _after_a_step(_slim, (2, 1)),
        _torchs_variance,
        _ours_after_a_step(_slim, (2, 1)),
        "`tf1.slim.batch_norm`",
    ),
    Trap(
        "of `slim.batch_norm(fused=False)`: biased",
        "`nn.BatchNorm1d`",
        _after_a_step(_unfused, (2, 1, 1, 1)),
        _torchs_variance,
        _ours_after_a_step(_unfused, (2, 1, 1, 1)),
        "`tf1.slim.batch_norm`",
    ),
    Trap(
        "moving mean of `tf.layers.batch_normalization`, of 1 and 3, where nothing runs `UPDATE_OPS`",
        "`nn.BatchNorm1d`",
        _after_a_step(_layers, (2, 1), "moving_mean", updates=False),
        _torchs_mean,
        _ours_after_a_step(_unmoved, (2, 1), "moving_mean"),
        "`tf1.layers.batch_normalization(momentum=1.0)`",
    ),
    Trap(
        "of `contrib.layers.batch_norm`, whose decay is 0.999",
        "`nn.BatchNorm1d`",
        _after_a_step(_contribs, (2, 1), "moving_mean"),
        _torchs_mean,
        _ours_after_a_step(_contribs, (2, 1), "moving_mean"),
        "`tf1.contrib.layers.batch_norm`",
    ),
    Trap(
        "`contrib.layers.batch_norm` of 0 and 0.02: no gamma, epsilon 0.001",
        "`nn.BatchNorm1d`",
        _of_small,
        lambda: nn.BatchNorm1d(1)(torch.from_numpy(SMALL))[:, 0],
        lambda: ScopedModule(lambda: _of_small(tf1), layout="tf")().detach(),
        "`tf1.contrib.layers.batch_norm`",
    ),
    Trap(
        "`tf.nn.leaky_relu(-1.0)`",
        "`F.leaky_relu`",
        lambda tf: tf.nn.leaky_relu(tf.constant(-1.0)),
        lambda: F.leaky_relu(torch.tensor(-1.0)),
        lambda: tf1.nn.leaky_relu(torch.tensor(-1.0)),
        "`tf1.nn.leaky_relu`",
    ),
    Trap(
        "gradient of `tf.maximum(x, 0.2 * x)` at 0",
        "`torch.maximum`",
        _tie,
        _torchs_tie,
        _ours_tie,
        "`tf1.maximum`",
    ),
    Trap(
        "`contrib.layers.layer_norm` of [[1, 2], [3, 6]]: over all axes but the first",
        "`F.layer_norm(x, x.shape[-1:])`",
        _normed,
        lambda: F.layer_norm(torch.from_numpy(PLANES), (2,))[0, 0],
        lambda: ScopedModule(lambda: _normed(tf1), layout="tf")().detach(),
        "`tf1.contrib.layers.layer_norm`",
    ),
    Trap(
        "`tf.div(-7, 2)`",
        "`x / y`",
        lambda tf: tf.div(tf.constant(-7), 2),
        lambda: torch.tensor(-7) / 2,
        lambda: tf1.div(torch.tensor(-7), 2),
        "`tf1.div`",
    ),
    Trap(
        "`tf.reduce_mean([1, 2])` of integers",
        "`x.float().mean()`",
        lambda tf: tf.reduce_mean(tf.constant([1, 2])),
        lambda: torch.tensor([1, 2]).float().mean(),
        lambda: tf1.reduce_mean(torch.tensor([1, 2])),
        "`tf1.reduce_mean`",
    ),
    Trap(
        "`GRUCell`: the reset gate before the product",
        "`nn.GRUCell`",
        _gru,
        _torchs_gru,
        lambda: ScopedModule(lambda: _gru(tf1), layout="tf")().detach(),
        "`tf1.nn.rnn_cell.GRUCell`",
    ),
    Trap(
        "`tf.nn.l2_normalize([1e-8])`: epsilon of the square",
        "`F.normalize`",
        lambda tf: tf.nn.l2_normalize(tf.constant([1e-8]), 0),
        lambda: F.normalize(torch.tensor([1e-8]), dim=0),
        lambda: tf1.nn.l2_normalize(torch.tensor([1e-8]), 0),
        "`tf1.nn.l2_normalize`",
    ),
    Trap(
        "`tf.one_hot([2], 2)`, out of range",
        "`F.one_hot`",
        lambda tf: tf.one_hot(tf.constant([2]), 2),
        lambda: _error(lambda: F.one_hot(torch.tensor([2]), 2)),
        lambda: tf1.one_hot(torch.tensor([2]), 2),
        "`tf1.one_hot`",
    ),
    Trap(
        "`tf.image.resize_bilinear` of 0, 1 to 4",
        '`F.interpolate(mode="bilinear")`',
        _of_row,
        lambda: F.interpolate(torch.from_numpy(ROW).permute(0, 3, 1, 2), (1, 4), mode="bilinear")[0, 0, 0],
        lambda: _of_row(tf1),
        "`tf1.image.resize_bilinear`",
    ),
    Trap(
        "1 after three steps of `AdagradOptimizer(0.1)` down its square",
        "`torch.optim.Adagrad(lr=0.1)`",
        _stepped(lambda tf: tf.train.AdagradOptimizer(0.1)),
        _torchs_steps(torch.optim.Adagrad, lr=0.1),
        _torchs_steps(torch.optim.Adagrad, lr=0.1, initial_accumulator_value=0.1, eps=0.0),
        "`Adagrad(initial_accumulator_value=0.1, eps=0)`",
    ),
    Trap(
        "of `RMSPropOptimizer(0.1)`: its average begins at 1 and keeps 0.9, its epsilon of 1e-10 is in the root",
        "`torch.optim.RMSprop(lr=0.1)`",
        _stepped(lambda tf: tf.train.RMSPropOptimizer(0.1)),
        _torchs_steps(torch.optim.RMSprop, lr=0.1),
        _rmsprop_by_hand,
        "an optimizer of one's own: torch's adds epsilon to the root",
    ),
    Trap(
        "of `AdamOptimizer(0.1, epsilon=0.1)`: epsilon beside the root that is not corrected yet",
        "`torch.optim.Adam(lr=0.1, eps=0.1)`",
        _stepped(lambda tf: tf.train.AdamOptimizer(0.1, epsilon=0.1)),
        _torchs_steps(torch.optim.Adam, lr=0.1, eps=0.1),
        _adam_by_hand,
        "`Adam` for small epsilons, of which nothing is seen",
    ),
    Trap(
        "`tf.reduce_sum` of integers of 32 bits, in bits",
        "`x.sum()`",
        lambda tf: tf.reduce_sum(tf.constant([1, 2])).dtype.size * 8,
        lambda: torch.tensor([1, 2], dtype=torch.int32).sum().itemsize * 8,
        lambda: torch.tensor([1, 2], dtype=torch.int32).sum(dtype=torch.int32).itemsize * 8,
        "`x.sum(dtype=x.dtype)`",
    ),
    Trap(
        "`tf.constant(1.0) == tf.constant(1.0)`: the same object?",
        "`x == y`",
        lambda tf: _identity(tf),
        lambda: bool(torch.tensor(1.0) == torch.tensor(1.0)),
        lambda: torch.tensor(1.0) is torch.tensor(1.0),
        "`x is y`",
    ),
]


def _identity(tf: Any) -> bool:
    """As TensorFlow 1 compares; TensorFlow 2 has a switch for it."""
    tf.disable_tensor_equality()
    try:
        return bool(tf.constant(1.0) == tf.constant(1.0))
    finally:
        tf.enable_tensor_equality()


def _error(function: Callable[[], Any]) -> str:
    try:
        return str(function())
    except RuntimeError:
        return "an error"


def shown(value: Any) -> str:
    """A value in the table."""
    if isinstance(value, (bool, str)):
        return str(value)
    flat = [float(each) for each in np.asarray(value.detach() if hasattr(value, "detach") else value).ravel()]
    return ", ".join(f"{each + 0.0:.4g}" for each in flat)


def table() -> str:
    """The table of the page."""
    rows = ["| TensorFlow 1 | gives | torch's line | gives | write |", "|---|---|---|---|---|"]
    for trap in TRAPS:
        cells = (trap.what, shown(_evaluated(trap.tensorflow)), trap.torchs, shown(trap.torch()), trap.instead)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def page(text: str) -> str:
    """The page with the table in its place."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    return f"{before}{begin}\n\n{table()}\n\n{end}{after}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the table of the page")
    if parser.parse_args().write:
        PAGE.write_text(page(PAGE.read_text()))
    print(table())
