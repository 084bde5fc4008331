"""Normalizations, activations, cross entropies and lookups of ``torchscope.tf1.nn``, judged by TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.tf1.judge import array_of, flat, same, tensorflow
from torchscope import ArgumentTypeError, ArgumentValueError
from torchscope.tf1 import nn

FLOATS = [torch.float64, torch.float32]
SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=4)


def probabilities(*shape: int) -> np.ndarray[Any, Any]:
    numbers = np.random.default_rng(1).random(shape)
    return np.asarray(numbers / numbers.sum(-1, keepdims=True))


IDS = np.array([[0, 4], [3, 3]])
CASES: dict[str, tuple[Callable[..., Any], list[Any]]] = {
    "moments of some axes": (lambda tf, x: tf.nn.moments(x, [0, 2]), [[3, 4, 5]]),
    "moments that keep their axes": (lambda tf, x: tf.nn.moments(x, [-1], keep_dims=True), [[3, 4]]),
    "moments of no axis": (lambda tf, x: tf.nn.moments(x, [])[0], [[3, 4]]),
    "weighted moments": (
        lambda tf, x, w: tf.nn.weighted_moments(x, [0, 1], w),
        [[3, 4, 2], np.random.default_rng(0).random((3, 1, 2))],
    ),
    "weighted moments that keep their axes": (
        lambda tf, x, w: tf.nn.weighted_moments(x, [0], w, keepdims=True),
        [[3, 4], np.random.default_rng(0).random((3, 4))],
    ),
    "batch normalization": (
        lambda tf, x, m, v, o, s: tf.nn.batch_normalization(x, m, v * v, o, s, 1e-3),
        [[2, 3, 4], [4], [4], [4], [4]],
    ),
    "batch normalization without offset and scale": (
        lambda tf, x, m: tf.nn.batch_normalization(x, m, m * m, None, None, 1e-3),
        [[2, 3, 4], [4]],
    ),
    "the old name of batch normalization": (
        lambda tf, x, m, b, g: tf.nn.batch_norm_with_global_normalization(x, m, m * m, b, g, 1e-3, True),
        [[2, 3, 3, 4], [4], [4], [4]],
    ),
    "the old name of batch normalization, without a scale": (
        lambda tf, x, m, b, g: tf.nn.batch_norm_with_global_normalization(x, m, m * m, b, g, 1e-3, False),
        [[2, 3, 3, 4], [4], [4], [4]],
    ),
    "l2_normalize over an axis": (lambda tf, x: tf.nn.l2_normalize(x, 1), [[3, 4]]),
    "l2_normalize over all": (lambda tf, x: tf.nn.l2_normalize(x), [[3, 4]]),
    "l2_normalize by its old name of axes": (lambda tf, x: tf.nn.l2_normalize(x, dim=[0, 1], epsilon=9.0), [[3, 4, 2]]),
    "leaky_relu": (lambda tf, x: tf.nn.leaky_relu(x), [[30]]),
    "leaky_relu with a slope": (lambda tf, x: tf.nn.leaky_relu(x, 0.3), [[30]]),
    "crelu": (lambda tf, x: tf.nn.crelu(x), [[3, 4]]),
    "crelu of an axis": (lambda tf, x: tf.nn.crelu(x, axis=0), [[3, 4]]),
    "bias_add": (lambda tf, x, b: tf.nn.bias_add(x, b), [[2, 3, 4], [4]]),
    "bias_add in the other order": (lambda tf, x, b: tf.nn.bias_add(x, b, data_format="NCHW"), [[2, 3, 4, 5], [3]]),
    "xw_plus_b": (lambda tf, x, w, b: tf.nn.xw_plus_b(x, w, b), [[2, 3], [3, 4], [4]]),
    "relu_layer": (lambda tf, x, w, b: tf.nn.relu_layer(x, w, b), [[2, 3], [3, 4], [4]]),
    "top_k": (lambda tf, x: tf.nn.top_k(x, 2), [[3, 5]]),
    "top_k of equal entries": (lambda tf, x: tf.nn.top_k(x, 3), [np.array([[2, 1, 2, 2, 1], [0, 0, 0, 0, 0]])]),
    "top_k of one": (lambda tf, x: tf.nn.top_k(x), [[5]]),
    "l2_loss": (lambda tf, x: tf.nn.l2_loss(x), [[3, 5]]),
    "softmax": (lambda tf, x: tf.nn.softmax(x), [[3, 5]]),
    "softmax over an axis": (lambda tf, x: tf.nn.softmax(x, axis=0), [[3, 5]]),
    "log_softmax": (lambda tf, x: tf.nn.log_softmax(x, dim=0), [[3, 5]]),
    "softmax cross entropy": (
        lambda tf, x, p: tf.nn.softmax_cross_entropy_with_logits(labels=p, logits=x),
        [[2, 3, 4], probabilities(2, 3, 4)],
    ),
    "softmax cross entropy with a gradient of the labels": (
        lambda tf, x, p: tf.nn.softmax_cross_entropy_with_logits_v2(labels=p, logits=x),
        [[3, 4], probabilities(3, 4)],
    ),
    "softmax cross entropy over another axis": (
        lambda tf, x, p: tf.nn.softmax_cross_entropy_with_logits(labels=p, logits=x, dim=1),
        [[3, 4, 2], probabilities(3, 4, 2)],
    ),
    "softmax cross entropy of labels that add up to nothing": (
        lambda tf, x, p: tf.nn.softmax_cross_entropy_with_logits_v2(p, x),
        [[2, 3], np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 0.0]])],
    ),
    "sparse softmax cross entropy": (
        lambda tf, x, ids: tf.nn.sparse_softmax_cross_entropy_with_logits(labels=ids, logits=x),
        [[2, 2, 5], IDS],
    ),
    "sigmoid cross entropy": (
        lambda tf, x, p: tf.nn.sigmoid_cross_entropy_with_logits(labels=p, logits=x * 20),
        [[2, 3, 4], probabilities(2, 3, 4)],
    ),
    "sigmoid cross entropy at zero": (
        lambda tf, x, p: tf.nn.sigmoid_cross_entropy_with_logits(labels=p, logits=x),
        [np.zeros((3, 4)), probabilities(3, 4)],
    ),
    "weighted cross entropy": (
        lambda tf, x, p: tf.nn.weighted_cross_entropy_with_logits(targets=p, logits=x * 20, pos_weight=3.0),
        [[3, 4], probabilities(3, 4)],
    ),
    "embedding_lookup": (lambda tf, t, ids: tf.nn.embedding_lookup(t, ids), [[5, 3], IDS]),
    "embedding_lookup in rows of two axes": (lambda tf, t, ids: tf.nn.embedding_lookup(t, ids), [[5, 3, 2], IDS]),
    "embedding_lookup in parts by turns": (
        lambda tf, a, b, ids: tf.nn.embedding_lookup([a, b], ids),
        [[3, 4], [2, 4], IDS],
    ),
    "embedding_lookup in parts one after the other": (
        lambda tf, a, b, ids: tf.nn.embedding_lookup([a, b], ids, partition_strategy="div"),
        [[3, 4], [2, 4], IDS],
    ),
    "embedding_lookup of short rows": (lambda tf, t, ids: tf.nn.embedding_lookup(t, ids, max_norm=1.0), [[5, 3], IDS]),
}


# TensorFlow keeps these slopes as ``float32`` whatever the tensor's dtype.
HAVE_SINGLE_PRECISION = ("leaky_relu", "leaky_relu with a slope")
IN_SINGLE_PRECISION = {"rtol": 1e-6, "atol": 1e-6}


@pytest.mark.parametrize("dtype", FLOATS, ids=["float64", "float32"])
@pytest.mark.parametrize("case", CASES)
def test_functions_are_tensorflows(case: str, dtype: torch.dtype) -> None:
    function, shapes = CASES[case]
    same(function, *shapes, dtype=dtype, **(IN_SINGLE_PRECISION if case in HAVE_SINGLE_PRECISION else {}))


@settings(max_examples=60)
@given(SHAPES, st.data())
def test_moments_are_tensorflows_over_any_axes(shape: list[int], data: st.DataObject) -> None:
    axes = data.draw(st.lists(st.integers(-len(shape), len(shape) - 1), min_size=1, unique_by=lambda n: n % len(shape)))
    keep = data.draw(st.booleans())
    same(lambda tf, x: tf.nn.moments(x, axes, keep_dims=keep), shape)
    same(lambda tf, x: tf.nn.l2_normalize(x, axes), shape)


@settings(max_examples=40)
@given(
    st.integers(1, 3), st.integers(1, 4), st.integers(1, 5), st.booleans(), st.booleans(), st.sampled_from([1e-3, 1e-6])
)
def test_fused_batch_norm_is_tensorflows(
    batch: int, size: int, channels: int, training: bool, first: bool, epsilon: float
) -> None:
    """TensorFlow's CPU has ``float32`` alone, and the other order of axes not at all: it is given channels last."""

    def function(tf: Any, x: Any, scale: Any, offset: Any, mean: Any, variance: Any) -> Any:
        given = {} if training else {"mean": mean, "variance": variance}
        ours = isinstance(x, Tensor)
        if ours and first:
            x = x.movedim(-1, 1)
        order = "NCHW" if ours and first else "NHWC"
        y, *moments = tf.nn.fused_batch_norm(
            x, scale, offset, **given, epsilon=epsilon, is_training=training, data_format=order
        )
        y = y.movedim(1, -1) if ours and first else y
        return y if batch * size == 1 or not training else (y, *(each * 1.0 for each in moments))

    spread = np.random.default_rng(2).random(channels) + 0.1
    shapes = [[batch, size, 2, channels], [channels], [channels], [channels], spread]
    same(function, *shapes, dtype=torch.float32, gradients=False, rtol=1e-4, atol=1e-4)
    if batch * size > 1:  # the gradient of one number that was normalized by itself and a neighbour is all rounding
        same(lambda *given: flat(function(*given))[0], *shapes, dtype=torch.float32, rtol=2e-3, atol=2e-3)


def test_fused_batch_norm_of_one_element_is_its_offset() -> None:
    y, mean, variance = nn.fused_batch_norm(torch.full((1, 1, 1, 2), 7.0), torch.ones(2), torch.tensor([1.0, 2.0]))
    assert y.flatten().tolist() == [1, 2]
    assert mean.tolist() == [7, 7]
    assert variance.tolist() == [0, 0]


@settings(max_examples=30)
@given(st.integers(0, 3), st.integers(1, 6), st.floats(0.5, 2), st.floats(0.1, 2), st.floats(0.25, 2))
def test_local_response_normalization_is_tensorflows(
    radius: int, channels: int, bias: float, alpha: float, beta: float
) -> None:
    same(
        lambda tf, x: tf.nn.lrn(x, radius, bias, alpha, beta),
        [1, 2, 3, channels],
        dtype=torch.float32,
        rtol=1e-4,
        atol=1e-4,
    )


@settings(max_examples=40)
@given(st.integers(1, 4), st.integers(2, 5), st.integers(0, 3))
def test_in_top_k_is_tensorflows_with_ties_and_targets_that_are_no_class(rows: int, classes: int, k: int) -> None:
    numbers = np.random.default_rng(rows * 100 + classes * 10 + k)
    predictions = numbers.integers(0, 3, (rows, classes)).astype(np.float32)
    predictions[0, 0] = np.inf
    targets = numbers.integers(-1, classes + 1, rows)
    expected = tensorflow().nn.in_top_k(predictions, targets, k)
    found = nn.in_top_k(torch.tensor(predictions), torch.tensor(targets), k)
    np.testing.assert_array_equal(array_of(found), array_of(expected))


def test_half_precision_takes_its_moments_in_single_precision() -> None:
    x = np.random.default_rng(0).standard_normal((500, 2)) + 30
    for dtype in (torch.float16, torch.bfloat16):
        same(lambda tf, x: tf.nn.moments(x, [0]), x, dtype=dtype, gradients=False)


def test_dropout_keeps_the_mean_and_falls_together_where_noise_says_so() -> None:
    x = torch.ones(20_000, 2)
    for kept in (nn.dropout(x, 0.8), nn.dropout(x, keep_prob=torch.tensor(0.8)), nn.dropout(x, rate=0.2)):
        assert set(kept.unique().tolist()) == {0.0, 1.25}
        torch.testing.assert_close(kept.mean(), torch.tensor(1.0), atol=0.02, rtol=0)
    columns = nn.dropout(x, 0.5, noise_shape=[None, 1])
    assert torch.equal(columns[:, 0], columns[:, 1])
    assert nn.dropout(x, 1.0) is x
    gradient = torch.autograd.grad(nn.dropout(x.requires_grad_(), 0.5, [20_000, 1]).sum(), x)[0]
    assert set(gradient.unique().tolist()) == {0.0, 2.0}


X = torch.ones(2, 3)
WRONG: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "an axis that there is not": (
        lambda: nn.moments(X, [2]),
        ArgumentValueError,
        r"axes=\[2\].*\n.* 2 axes: give -2 to 1",
    ),
    "an axis twice": (lambda: nn.moments(X, [0, -2]), ArgumentValueError, "each axis once"),
    "an axis by its name": (lambda: nn.moments(X, "x"), ArgumentTypeError, "Give an int"),  # type: ignore[arg-type]
    "an argument under both names": (lambda: nn.softmax(X, axis=0, dim=0), ArgumentValueError, "same as dim=0"),
    "a bias for other channels": (
        lambda: nn.bias_add(X, torch.ones(2)),
        ArgumentValueError,
        "one number for each channel",
    ),
    "an order of other axes": (lambda: nn.bias_add(X, X[0], "HWC"), ArgumentValueError, "Use 'NHWC' or 'NCHW'"),
    "a probability of zero": (lambda: nn.dropout(X, 0.0), ArgumentValueError, r"keep_prob=0.0.*\n.*\(0, 1\]"),
    "dropout without a probability": (lambda: nn.dropout(X), ArgumentValueError, "Give keep_prob or rate"),
    "dropout with two of them": (lambda: nn.dropout(X, 0.5, rate=0.5), ArgumentValueError, "give one of them"),
    "dropout of integers": (lambda: nn.dropout(X.int(), 0.5), ArgumentValueError, "floating dtype"),
    "noise of another shape": (
        lambda: nn.dropout(X, 0.5, [2]),
        ArgumentValueError,
        r"broadcasts to the shape of x, \(2, 3\)",
    ),
    "a seed": (lambda: nn.dropout(X, 0.5, seed=1), NotImplementedError, r"dropout\(seed=1\)"),
    "more than there are": (lambda: nn.top_k(X, 4), ArgumentValueError, "There are 3 entries"),
    "labels of another shape": (
        lambda: nn.sigmoid_cross_entropy_with_logits(labels=X[0], logits=X),
        ArgumentValueError,
        r"shape of the labels=\(3,\).*\n.*\(2, 3\): give the same",
    ),
    "classes as numbers": (
        lambda: nn.sparse_softmax_cross_entropy_with_logits(labels=X[:, 0], logits=X),
        ArgumentValueError,
        "int32 or int64",
    ),
    "a class for each number": (
        lambda: nn.sparse_softmax_cross_entropy_with_logits(labels=X.int(), logits=X),
        ArgumentValueError,
        r"For logits of \(2, 3\) give \(2,\)",
    ),
    "no parts": (lambda: nn.embedding_lookup([], X.int()), ArgumentValueError, "at least one part"),
    "another way to count": (
        lambda: nn.embedding_lookup([X, X], X.int(), "by"),
        ArgumentValueError,
        "Use 'mod' or 'div'",
    ),
    "no moments": (
        lambda: nn.fused_batch_norm(torch.ones(1, 2, 2, 3), X[0], X[0], is_training=False),
        ArgumentValueError,
        "give mean and variance",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_refused_with_the_reason(case: str) -> None:
    call, error, message = WRONG[case]
    with pytest.raises(error, match=message):
        call()


def test_a_class_of_minus_one_hundred_is_an_error_and_not_passed_over() -> None:
    with pytest.raises(IndexError):
        nn.sparse_softmax_cross_entropy_with_logits(labels=torch.tensor([-100]), logits=torch.zeros(1, 3))


@pytest.mark.parametrize("wrong", [6, -1, 5])
def test_an_id_that_is_no_row_is_an_error_and_no_other_row(wrong: int) -> None:
    ids = torch.tensor([0, wrong])
    for table in ([torch.ones(3, 2), torch.ones(2, 2)], torch.ones(5, 2), torch.ones(5, 2, 2)):
        with pytest.raises(IndexError):
            nn.embedding_lookup(table, ids)
