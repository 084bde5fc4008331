"""Arrays, arithmetic, images, losses and control flow of ``torchscope.tf1``, judged by TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tf1.judge import Theirs, array_of, same
from torchscope import ArgumentTypeError, ArgumentValueError, ScopedModule, tf1
from torchscope.tf1 import image, losses

INTS = np.array([[7, -7, 2], [-3, 5, 0]])
TIES = np.array([[1, 3, 3, 0], [2, 2, 2, 2], [-1, -5, -1, -5]])
BOOLS = np.array([True, False, True])
UP = np.array([0, 0, 2, 5])
CASES: dict[str, tuple[Callable[..., Any], list[Any]]] = {
    "clip_by_global_norm": (lambda tf, x, y: tf.clip_by_global_norm([x, y], 0.5), [[3, 4], [2]]),
    "clip_by_global_norm of what is short": (lambda tf, x, y: tf.clip_by_global_norm([x, None, y], 1e3), [[3, 4], [2]]),
    "clip_by_global_norm by another's norm": (
        lambda tf, x, y: tf.clip_by_global_norm([x], 0.5, use_norm=tf.global_norm([y])),
        [[3, 4], [2]],
    ),
    "maximum, ties and gradients": (lambda tf, x, y: tf.maximum(x, y * x), [[3, 4], [3, 4]]),
    "maximum of what is equal": (
        lambda tf, x: tf.maximum(x, x * 1) + tf.maximum(1.0 * x, 0 * x),
        [np.array([0.0, 1.0])],
    ),
    "maximum of a number": (lambda tf, x: tf.maximum(0.0, x) + tf.maximum(x, 0.0), [np.array([0.0, 1.0, -1.0])]),
    "minimum of what is equal": (lambda tf, x: tf.minimum(x, 0.5 * x), [np.array([0.0, 1.0, -1.0])]),
    "maximum of integers": (lambda tf, x: tf.maximum(x, 2), [INTS]),
    "clip_by_norm": (lambda tf, x: tf.clip_by_norm(x, 0.5), [[3, 4]]),
    "clip_by_norm by axes": (lambda tf, x: tf.clip_by_norm(x, 1.5, axes=[1]), [[3, 4]]),
    "clip_by_norm of what is short": (lambda tf, x: tf.clip_by_norm(x, 1e3), [[3, 4]]),
    "convert_to_tensor of tensors": (lambda tf, x, y: tf.convert_to_tensor([[x, y], [y, x]]), [[2], [2]]),
    "convert_to_tensor of tensors and numbers": (lambda tf, x: tf.convert_to_tensor([x[0], 1.0, x[1]]), [[2]]),
    "global_norm": (lambda tf, x, y: tf.global_norm([x, y]), [[3, 4], [2]]),
    "reduce_mean": (lambda tf, x: tf.reduce_mean(x, 1), [[3, 4]]),
    "reduce_mean over all": (lambda tf, x: tf.reduce_mean(x), [[3, 4]]),
    "reduce_mean that keeps its axes": (lambda tf, x: tf.reduce_mean(x, [0, -1], keep_dims=True), [[3, 4, 2]]),
    "reduce_mean over no axis": (lambda tf, x: tf.reduce_mean(x, []), [[3, 4]]),
    "reduce_mean of integers": (lambda tf, x: tf.reduce_mean(x, reduction_indices=[1]), [INTS]),
    "reduce_mean of small integers, whose sum is large": (
        lambda tf, x: tf.reduce_mean(x, 0),
        [np.full((4, 2), 200, np.uint8)],
    ),
    "reduce_mean of large integers": (lambda tf, x: tf.reduce_mean(x), [np.array([2**31 - 1] * 2, np.int32)]),
    "cumsum without itself, of large and small ones": (
        lambda tf, x: tf.cumsum(x, exclusive=True),
        [np.array([1.0, 1e17, 1.0, np.inf])],
    ),
    "argmax passes over what is no number": (lambda tf, x: tf.argmax(x), [np.array([1.0, np.nan, 3.0, np.nan])]),
    "argmin passes over what is no number": (lambda tf, x: tf.argmin(x), [np.array([np.nan, 1.0, -3.0])]),
    "segment_mean of integers": (lambda tf, x, ids: tf.segment_mean(x, ids), [np.array([1, 2, 4, 4]), UP]),
    "one_hot of bools": (lambda tf, x: tf.one_hot(x, 3, on_value=True, off_value=False), [INTS]),
    "squeeze of an empty list": (lambda tf, x: tf.squeeze(x, []), [[1, 3, 1]]),
    "rgb_to_grayscale": (lambda tf, x: tf.image.rgb_to_grayscale(x), [[4, 5, 3]]),
    "rgb_to_grayscale of bytes": (
        lambda tf, x: tf.image.rgb_to_grayscale(x),
        [np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)],
    ),
    "scan of pairs": (
        lambda tf, x, y: tf.scan(lambda a, b: (a[0] + b, a[1] * 0.5), x, initializer=(y, y)),
        [[4, 3], [3]],
    ),
    "div of integers": (lambda tf, x: tf.div(x, 2), [INTS]),
    "div of floats": (lambda tf, x, y: tf.div(x, y), [[3], [3]]),
    "argmax": (lambda tf, x: tf.argmax(x), [[3, 4]]),
    "argmax of equal ones": (lambda tf, x: tf.argmax(x, 1), [TIES]),
    "argmax by its old name of axes": (lambda tf, x: tf.argmax(x, dimension=1), [TIES]),
    "argmin of equal ones": (lambda tf, x: tf.argmin(x, axis=-1), [TIES]),
    "cumsum": (lambda tf, x: tf.cumsum(x), [[3, 4]]),
    "cumsum without itself": (lambda tf, x: tf.cumsum(x, 1, exclusive=True), [[3, 4]]),
    "cumsum from behind": (lambda tf, x: tf.cumsum(x, axis=-1, reverse=True), [[3, 4]]),
    "cumsum from behind, without itself": (lambda tf, x: tf.cumsum(x, 0, True, True), [[3, 4]]),
    "to_int32": (lambda tf, x: tf.to_int32(x * 5), [[30]]),
    "segment_sum": (lambda tf, x, ids: tf.segment_sum(x, ids), [[4, 3], UP]),
    "segment_mean": (lambda tf, x, ids: tf.segment_mean(x, ids), [[4, 3], UP]),
    "unsorted_segment_sum": (lambda tf, x, ids: tf.unsorted_segment_sum(x, ids, 4), [[4, 3], np.array([3, -1, 0, 3])]),
    "unsorted_segment_sum of two axes": (
        lambda tf, x, ids: tf.unsorted_segment_sum(x, ids, 3),
        [[2, 2, 3], np.array([[2, 0], [0, 0]])],
    ),
    "pad": (lambda tf, x: tf.pad(x, [[1, 2], [0, 3]]), [[3, 4]]),
    "pad with a value": (lambda tf, x: tf.pad(x, [[1, 0], [0, 1]], constant_values=5), [[3, 4]]),
    "pad by reflection": (lambda tf, x: tf.pad(x, [[2, 1], [3, 0]], "REFLECT"), [[3, 4]]),
    "pad by reflection with the border": (lambda tf, x: tf.pad(x, [[3, 1], [0, 4]], "symmetric"), [[3, 4]]),
    "where of one shape": (lambda tf, x, y: tf.where(x > y, x, y), [[3, 4], [3, 4]]),
    "where by rows": (lambda tf, x, y, c: tf.where(c, x, y), [[3, 3], [3, 3], BOOLS]),
    "where without values": (lambda tf, x: tf.where(x > 2), [INTS]),
    "one_hot out of range": (lambda tf, x: tf.one_hot(x, 3), [INTS]),
    "one_hot of an axis": (lambda tf, x: tf.one_hot(x, 3, axis=0), [INTS]),
    "one_hot with values": (lambda tf, x: tf.one_hot(x, 3, on_value=5.0, off_value=-1.0, axis=1), [INTS]),
    "one_hot with integer values": (lambda tf, x: tf.one_hot(x, 3, 2, 1), [INTS]),
    "gather_nd": (lambda tf, x, i: tf.gather_nd(x, i), [[3, 4, 2], np.array([[0, 1], [2, 3], [2, 3]])]),
    "gather_nd of elements": (lambda tf, x, i: tf.gather_nd(x, i), [[3, 4], np.array([[[0, 1]], [[2, 3]]])]),
    "scatter_nd adds": (lambda tf, x, i: tf.scatter_nd(i, x, [4, 3]), [[3, 3], np.array([[1], [3], [1]])]),
    "matrix_band_part": (lambda tf, x: tf.matrix_band_part(x, 1, 0), [[2, 4, 3]]),
    "matrix_band_part of a whole side": (lambda tf, x: tf.matrix_band_part(x, -1, 1), [[4, 4]]),
    "sequence_mask": (lambda tf, n: tf.sequence_mask(n), [np.array([1, 0, 3])]),
    "sequence_mask of floats": (lambda tf, n: tf.sequence_mask(n, 4, tf.int32), [np.array([[1, 0], [3, 9]])]),
    "split": (lambda tf, x: tf.split(x, 2, 1), [[3, 4]]),
    "split by sizes": (lambda tf, x: tf.split(x, [1, 2, 1], axis=-1), [[3, 4]]),
    "split by sizes of which one is the rest": (lambda tf, x: tf.split(x, [1, -1]), [[3, 4]]),
    "slice": (lambda tf, x: tf.slice(x, [1, 0], [2, -1]), [[3, 4]]),
    "transpose": (lambda tf, x: tf.transpose(x), [[2, 3, 4]]),
    "transpose of an order": (lambda tf, x: tf.transpose(x, [1, 2, 0]), [[2, 3, 4]]),
    "squeeze": (lambda tf, x: tf.squeeze(x), [[1, 3, 1]]),
    "squeeze of an axis": (lambda tf, x: tf.squeeze(x, [0]), [[1, 3, 1]]),
    "squeeze by its old name": (lambda tf, x: tf.squeeze(x, squeeze_dims=[-1]), [[1, 3, 1]]),
    "boolean_mask": (lambda tf, x, m: tf.boolean_mask(x, m), [[3, 4], BOOLS]),
    "boolean_mask of an axis": (lambda tf, x, m: tf.boolean_mask(x, m, axis=1), [[4, 3, 2], BOOLS]),
    "meshgrid": (lambda tf, x, y: tf.meshgrid(x, y), [[3], [4]]),
    "reverse": (lambda tf, x: tf.reverse(x, [0, -1]), [[3, 4]]),
    "space_to_depth": (lambda tf, x: tf.space_to_depth(x, 2), [[2, 4, 6, 3]]),
    "depth_to_space": (lambda tf, x: tf.depth_to_space(x, 2), [[2, 2, 3, 12]]),
    "central_crop": (lambda tf, x: tf.image.central_crop(x, 0.6), [[7, 9, 3]]),
    "resize_image_with_crop_or_pad": (lambda tf, x: tf.image.resize_image_with_crop_or_pad(x, 5, 12), [[2, 8, 9, 3]]),
    "flips": (lambda tf, x: [tf.image.flip_left_right(x), tf.image.flip_up_down(x)], [[4, 5, 3]]),
    "resize_images of one image": (lambda tf, x: tf.image.resize_images(tf_float(tf, x), [3, 7]), [[4, 5, 3]]),
    "scan": (lambda tf, x: tf.scan(lambda a, b: a * 0.5 + b, x), [[4, 3]]),
    "scan from a value": (lambda tf, x, y: tf.scan(lambda a, b: a + b[0], x, initializer=y), [[4, 3], [3]]),
    "scan from behind": (lambda tf, x: tf.scan(lambda a, b: a * 0.5 + b, x, reverse=True), [[4, 3]]),
    "foldl": (lambda tf, x: tf.foldl(lambda a, b: a * 0.5 + b, x), [[4, 3]]),
    "foldr": (lambda tf, x: tf.foldr(lambda a, b: a * 0.5 + b, x), [[4, 3]]),
    "map_fn": (lambda tf, x: tf.map_fn(lambda row: row * row, x), [[4, 3]]),
    "map_fn of pairs": (
        lambda tf, x, y: tf.map_fn(lambda row: row[0] * row[1], (x, y), dtype=x.dtype),
        [[4, 3], [4, 1]],
    ),
    "while_loop": (
        lambda tf, x: tf.while_loop(lambda n, y: n < 3, lambda n, y: [n + 1, y * 1.5], [0, x])[1],
        [[3]],
    ),
    "while_loop with an end": (
        lambda tf, x: tf.while_loop(lambda n, y: n < 9, lambda n, y: (n + 1, y * 1.5), (0, x), maximum_iterations=2)[1],
        [[3]],
    ),
    "cond": (lambda tf, x: tf.cond(x[0] > 0, lambda: x * 2, lambda: x * 3), [[3]]),
    "case": (lambda tf, x: tf.case([(x[0] > 9, lambda: x), (x[0] < 9, lambda: x * 5)], default=lambda: x * 2), [[3]]),
}


def tf_float(tf: Any, x: Any) -> Any:
    return x.float() if tf is tf1 else tf.cast(x, tf.float32)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("case", CASES)
def test_functions_are_tensorflows(case: str, dtype: torch.dtype) -> None:
    Theirs()  # without its warnings
    function, given_ = CASES[case]
    loose = {"rtol": 1e-5, "atol": 1e-5} if "resize" in case or "grayscale" in case else {}
    same(function, *given_, dtype=dtype, **loose)


@settings(max_examples=60)
@given(st.data())
def test_resizing_is_tensorflows(data: st.DataObject) -> None:
    Theirs()
    name = data.draw(st.sampled_from(["resize_bilinear", "resize_nearest_neighbor"]))
    align, half = data.draw(st.sampled_from([(False, False), (True, False), (False, True)]))
    size = [data.draw(st.integers(1, 9)) for _ in range(2)]
    shape = [data.draw(st.integers(1, 2)), *(data.draw(st.integers(1, 7)) for _ in range(2)), 2]
    same(
        lambda tf, x: getattr(tf.image, name)(x, size, align_corners=align, half_pixel_centers=half),
        shape,
        dtype=torch.float32,
    )


@settings(max_examples=40)
@given(st.data())
def test_patches_are_tensorflows(data: st.DataObject) -> None:
    Theirs()
    window, strides, rates = ([1, *(data.draw(st.integers(1, 3)) for _ in range(2)), 1] for _ in range(3))
    padding = data.draw(st.sampled_from(["SAME", "VALID"]))
    shape = [data.draw(st.integers(1, 2)), *(data.draw(st.integers(7, 9)) for _ in range(2)), 2]
    same(lambda tf, x: tf.extract_image_patches(x, window, strides, rates, padding), shape, dtype=torch.float32)


def test_standardization_is_tensorflows() -> None:
    Theirs()
    for x in (np.random.default_rng(0).standard_normal((4, 5, 3)), np.ones((2, 2, 1))):
        same(lambda tf, image_: tf.image.per_image_standardization(image_), x, dtype=torch.float32)


def test_losses_of_bytes_and_of_half_precision_are_computed_in_single_precision() -> None:
    Theirs()
    numbers = np.array([1, 200], np.uint8), np.array([5, 100], np.uint8)
    for name in ("mean_squared_error", "absolute_difference", "huber_loss"):
        same(lambda tf, x, y, name=name: getattr(tf.losses, name)(x, y), *numbers)
    same(
        lambda tf, x: tf.losses.mean_squared_error(x * 0, x),
        np.array([300.0]),
        dtype=torch.float16,
        gradients=False,
    )


def test_states_of_a_scan_are_named_tuples_and_dicts_too() -> None:
    cell = tf1.nn.rnn_cell.BasicLSTMCell(3)

    def forward(x: torch.Tensor) -> Any:
        states = tf1.scan(lambda state, each: cell(each, state)[1], x, initializer=cell.zero_state(2, x.dtype))
        return states, tf1.map_fn(lambda row: {"twice": row["a"] * 2}, {"a": x})

    states, rows = ScopedModule(forward, layout="tf")(torch.ones(4, 2, 3))
    assert states.c.shape == (4, 2, 3)
    torch.testing.assert_close(rows["twice"], torch.full((4, 2, 3), 2.0))


LOSSES: dict[str, Callable[..., Any]] = {
    "absolute_difference": lambda f, x, y, **o: f.absolute_difference(y, x, **o),
    "mean_squared_error": lambda f, x, y, **o: f.mean_squared_error(y, x, **o),
    "huber_loss": lambda f, x, y, **o: f.huber_loss(y, x, delta=0.7, **o),
    "hinge_loss": lambda f, x, y, **o: f.hinge_loss(y, x, **o),
    "sigmoid_cross_entropy": lambda f, x, y, **o: f.sigmoid_cross_entropy(y, x, label_smoothing=0.2, **o),
    "compute_weighted_loss": lambda f, x, y, **o: f.compute_weighted_loss(x * y, **o),
}


@settings(max_examples=80)
@given(st.data())
def test_losses_are_tensorflows_with_any_weights_and_reductions(data: st.DataObject) -> None:
    Theirs()
    name = data.draw(st.sampled_from(sorted(LOSSES)))
    kind = data.draw(st.sampled_from([None, "number", "nothing", "rows", "all"]))
    shape = [data.draw(st.integers(1, 3)), data.draw(st.integers(1, 4))]
    weights = {
        None: np.float64(1.0),
        "number": np.float64(0.3),
        "nothing": np.float64(0.0),
        "rows": np.random.default_rng(1).integers(0, 2, [shape[0], 1]).astype(np.float64),
        "all": np.random.default_rng(1).integers(0, 2, shape) * 0.7,
    }[kind]
    reduction = data.draw(st.sampled_from(sorted(losses.Reduction.all())))
    labels = np.random.default_rng(2).integers(0, 2, shape).astype(np.float64)

    def function(tf: Any, x: Any, y: Any, w: Any) -> Any:
        return LOSSES[name](tf.losses, x, y, weights=w, reduction=reduction)

    # TensorFlow computes losses in float32 whatever it is given.
    same(function, shape, labels, np.asarray(weights), dtype=torch.float32, gradients=kind is None)


MORE_LOSSES: dict[str, tuple[Callable[..., Any], list[Any]]] = {
    "log_loss": (lambda tf, p, y: tf.losses.log_loss(y, p), [np.array([0.2, 0.9]), np.array([0.0, 1.0])]),
    "cosine_distance": (lambda tf, x, y: tf.losses.cosine_distance(x, y, axis=1), [[3, 4], [3, 4]]),
    "softmax_cross_entropy": (
        lambda tf, x, y: tf.losses.softmax_cross_entropy(y, x, label_smoothing=0.1),
        [[3, 4], np.eye(4)[:3]],
    ),
    "sparse_softmax_cross_entropy": (
        lambda tf, x, y: tf.losses.sparse_softmax_cross_entropy(y, x),
        [[3, 4], np.array([0, 3, 1])],
    ),
    "sparse_softmax_cross_entropy of a column": (
        lambda tf, x, y: tf.losses.sparse_softmax_cross_entropy(y, x),
        [[3, 4], np.array([[0], [3], [1]])],
    ),
}


@pytest.mark.parametrize("case", MORE_LOSSES)
def test_losses_are_tensorflows(case: str) -> None:
    Theirs()
    function, given_ = MORE_LOSSES[case]
    same(function, *given_, dtype=torch.float32, gradients="cosine" not in case)


def total(tf: Any, x: Any) -> Any:
    tf.losses.mean_squared_error(tf.layers.dense(x, 3, kernel_regularizer=tf.nn.l2_loss), x)
    with tf.variable_scope("second"):
        tf.losses.absolute_difference(tf.layers.dense(x, 3, bias_regularizer=tf.nn.l2_loss), x)
    return [
        len(tf.losses.get_losses()),
        len(tf.losses.get_losses("second")),
        len(tf.losses.get_regularization_losses()),
        len(tf.losses.get_regularization_losses("second")),
    ]


def test_losses_are_collected_by_their_scopes_and_summed() -> None:
    tf = Theirs()
    with tf.Graph().as_default():
        expected = total(tf, tf.ones([2, 3]))
    model = ScopedModule(lambda x: (total(tf1, x), tf1.losses.get_total_loss(), tf1.losses.get_regularization_loss()))
    found, everything, regularized = model(torch.ones(2, 3))
    assert found == expected == [2, 1, 2, 1]
    parts = [*model.get_collection("losses"), *model.regularization_losses()]
    torch.testing.assert_close(everything, torch.stack(parts).sum())
    torch.testing.assert_close(regularized, model.regularization_loss())


def test_random_tensors_have_tensorflows_distributions() -> None:
    tf = Theirs()
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(1)
        for bounded, function in (
            (True, lambda t: t.random_uniform([20_000], 2.0, 5.0)),
            (False, lambda t: t.random_normal([20_000], 1.0, 2.0)),
            (True, lambda t: t.truncated_normal([20_000], 1.0, 2.0)),
            (True, lambda t: t.random_uniform([20_000], 2, 6, t.int32)),
        ):
            expected, found = session.run(function(tf)), array_of(function(tf1))
            assert found.dtype == expected.dtype
            assert abs(found.mean() - expected.mean()) < 0.1
            assert abs(found.std() - expected.std()) < 0.05
            assert not bounded or abs(found.min() - expected.min()) < 0.1
    draws = tf1.multinomial(torch.tensor([[0.0, 1.0]]), 20_000)
    assert draws.dtype == torch.int64
    assert abs(draws.float().mean().item() - torch.softmax(torch.tensor([0.0, 1.0]), 0)[1].item()) < 0.02
    image_ = torch.arange(60.0).view(4, 5, 3)
    part = tf1.random_crop(image_, [2, 3, 3])
    assert part.shape == (2, 3, 3)
    assert set(part.flatten().tolist()) <= set(image_.flatten().tolist())
    assert sorted(tf1.random_shuffle(torch.arange(9)).tolist()) == list(range(9))


X = torch.ones(2, 3)
WRONG: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "pairs for other axes": (lambda: tf1.pad(X, [[1, 1]]), ArgumentValueError, "Give 2 pairs"),
    "more than there is to reflect": (
        lambda: tf1.pad(X, [[0, 0], [3, 0]], "REFLECT"),
        ArgumentValueError,
        "Axis 1 has 3 elements: REFLECT puts at most 2",
    ),
    "no such way to pad": (lambda: tf1.pad(X, [[0, 0]] * 2, "EDGE"), ArgumentValueError, "'SYMMETRIC'"),
    "a condition that would be broadcast": (
        lambda: tf1.where(torch.ones(3, dtype=torch.bool), X, X),
        ArgumentValueError,
        r"\(3,\).*\nFor \(2, 3\) give the same shape, or one for each row",
    ),
    "one value for where": (lambda: tf1.where(X > 0, X), ArgumentValueError, "two tensors of one shape"),
    "parts that do not make up an axis": (lambda: tf1.split(X, 2, 1), ArgumentValueError, "It divides 3"),
    "sizes that do not add up": (lambda: tf1.split(X, [1, 1], 1), ArgumentValueError, "add up to 3"),
    "more than there are": (lambda: tf1.slice(X, [0, 1], [2, 3]), ArgumentValueError, "Axis 1 has 3"),
    "an axis that is not one": (lambda: tf1.squeeze(X, 0), ArgumentValueError, "axes of size 1"),
    "an axis twice": (lambda: tf1.transpose(X, [0, 0]), ArgumentValueError, "each of 2 axes once"),
    "a mask of numbers": (lambda: tf1.boolean_mask(X, X), ArgumentTypeError, "bools"),
    "a mask of another shape": (lambda: tf1.boolean_mask(X, X[0] > 0), ArgumentValueError, r"\(2, 3\) from axis 0"),
    "a block that does not divide": (
        lambda: tf1.space_to_depth(torch.ones(1, 3, 4, 1), 2),
        ArgumentValueError,
        "divides 3 and 4",
    ),
    "an image for a batch": (
        lambda: image.resize_bilinear(torch.ones(2, 2, 1), [2, 2]),
        ArgumentValueError,
        "Give 4 axes",
    ),
    "three sizes": (lambda: image.resize_images(torch.ones(2, 2, 1), [2, 2, 1]), ArgumentValueError, "both positive"),
    "a vector as an image": (lambda: image.resize_images(X, [2, 2]), ArgumentValueError, "Give 3 or 4 axes"),
    "a box that does not hold it": (
        lambda: image.pad_to_bounding_box(torch.ones(3, 3, 1), 1, 0, 3, 3),
        ArgumentValueError,
        "3 high and 3 wide",
    ),
    "a fraction of nothing": (lambda: image.central_crop(torch.ones(3, 3, 1), 0), ArgumentValueError, r"\(0, 1\]"),
    "no vectors": (lambda: losses.cosine_distance(X, X), ArgumentValueError, "along which axis"),
    "corners and centres": (
        lambda: image.resize_bilinear(torch.ones(1, 2, 2, 1), [2, 2], True, half_pixel_centers=True),
        ArgumentValueError,
        "half_pixel_centers",
    ),
    "another way to resize": (
        lambda: image.resize_images(torch.ones(2, 2, 1), [3, 3], image.ResizeMethod.BICUBIC),
        NotImplementedError,
        "method=2",
    ),
    "a box that is not inside": (
        lambda: image.crop_to_bounding_box(torch.ones(3, 3, 1), 2, 0, 2, 2),
        ArgumentValueError,
        "3 high and 3 wide",
    ),
    "labels of another shape": (
        lambda: losses.mean_squared_error(X, X[:, :1]),
        ArgumentValueError,
        r"\(2, 3\).*\nThe predictions have \(2, 1\)",
    ),
    "weights that would be broadcast": (
        lambda: losses.mean_squared_error(X, X, torch.ones(3)),
        ArgumentValueError,
        r"weights=\(3,\).*\nThe losses have \(2, 3\)",
    ),
    "no such reduction": (lambda: losses.hinge_loss(X, X, reduction="mean"), ArgumentValueError, "weighted_mean"),
    "no condition that holds": (lambda: tf1.case([(False, lambda: 1)]), ArgumentValueError, "give a default"),
    "two conditions that hold": (
        lambda: tf1.case([(True, lambda: 1), (True, lambda: 2)], exclusive=True),
        ArgumentValueError,
        "2 conditions hold",
    ),
    "a missing branch": (lambda: tf1.cond(False, lambda: 1), ArgumentTypeError, "false_fn"),
    "a body that returns less": (
        lambda: tf1.while_loop(lambda a, b: True, lambda a, b: a, [1, 2]),
        ArgumentValueError,
        "It returns 2",
    ),
    "integers without an end": (
        lambda: tf1.random_uniform([2], dtype=torch.int32),
        ArgumentValueError,
        "up to which integer",
    ),
    "a seed": (lambda: tf1.random_normal([2], seed=3), NotImplementedError, "seed=3"),
    "segments that are not sorted": (
        lambda: tf1.segment_sum(X, torch.tensor([1, 0])),
        ArgumentValueError,
        "unsorted_segment_sum",
    ),
    "an index from behind": (lambda: tf1.gather_nd(X, torch.tensor([[-1]])), IndexError, "out of bounds|out of range"),
    "a place from behind": (
        lambda: tf1.scatter_nd(torch.tensor([[-1]]), X[0, :1], [3]),
        IndexError,
        "out of bounds|out of range",
    ),
    "classes that are no integers": (lambda: tf1.one_hot(X, 3), ArgumentTypeError, "Give integers"),
    "no losses": (lambda: ScopedModule(losses.get_total_loss)(), ArgumentValueError, "No loss was added"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_refused_with_the_reason(case: str) -> None:
    call, error, message = WRONG[case]
    with pytest.raises(error, match=message):
        call()
