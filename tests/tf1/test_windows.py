"""Convolutions and pools of ``torchscope.tf1.nn``, judged by TensorFlow: values and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from torchscope import ArgumentTypeError, ArgumentValueError, ScopedModule, get_variable
from torchscope.tf1 import nn

TOLERANCE = {torch.float64: {"rtol": 1e-11, "atol": 1e-11}, torch.float32: {"rtol": 2e-5, "atol": 2e-5}}
Draw = Callable[..., Any]


@pytest.fixture(scope="module")
def tf() -> Any:
    return pytest.importorskip("tensorflow")


def both(
    tf: Any,
    theirs: Callable[..., Any],
    ours: Callable[..., Tensor],
    dtype: torch.dtype,
    shapes: list[list[int]],
    rank: int,
    first: bool,
    *,
    gradients: bool = True,
) -> None:
    """Hold ours against theirs on random tensors, of which the first is the image; theirs has its channels last.

    TensorFlow has no gradients of windows at a rate on a CPU: there, values alone.
    """
    numbers = np.random.default_rng(0)
    arrays = [numbers.standard_normal(shape) for shape in shapes]
    name = str(dtype).partition(".")[2]
    given = [tf.constant(array, name) for array in arrays]
    weights = numbers.standard_normal(theirs(*given).shape)

    def judged() -> list[Tensor]:
        """TensorFlow's value and gradients."""
        with tf.GradientTape() as tape:
            for each in given:
                tape.watch(each)
            expected = theirs(*given)
            loss = tf.reduce_sum(expected * tf.constant(weights, name))
        answers = [expected, *(tape.gradient(loss, given) if gradients else [])]
        return [torch.tensor(answer.numpy(), device="cpu") for answer in answers]

    tensors = [torch.tensor(array, dtype=dtype, device="cpu", requires_grad=True) for array in arrays]
    image = tensors[0].movedim(-1, 1) if first else tensors[0]
    found = ours(image, *tensors[1:])
    found = found.movedim(1, -1) if first else found
    (found * torch.tensor(weights, dtype=dtype, device="cpu")).sum().backward()
    answers = [found, *(tensor.grad for tensor in tensors)]
    expected = judged()
    # On a CPU with other work, TensorFlow's gradient of a 3-D convolution was once 0 at places where it never is alone.
    again = judged()
    if not all(torch.equal(one, other) for one, other in zip(expected, again, strict=True)):
        expected = judged()
    for answer, right in zip(answers, expected, strict=False):
        torch.testing.assert_close(answer, right, **TOLERANCE[dtype])


@st.composite
def windows(draw: Draw, rank: int) -> dict[str, Any]:
    """An image, a window, strides or rates (TensorFlow takes one of them), a padding, and the order of axes."""
    image = [draw(st.integers(1, 9 if rank < 3 else 5)) for _ in range(rank)]
    window = [draw(st.integers(1, 4 if rank < 3 else 3)) for _ in range(rank)]
    padding = draw(st.sampled_from(["SAME", "VALID"]))
    dilated = rank < 3 and draw(st.booleans())
    strides = [1 if dilated else draw(st.integers(1, 3)) for _ in range(rank)]
    rate = draw(st.integers(1, 3)) if dilated else 1
    if padding == "VALID":
        image = [max(n, (k - 1) * rate + 1) for n, k in zip(image, window, strict=True)]
    return {
        "image": image,
        "window": window,
        "strides": strides,
        "rate": rate,
        "padding": padding,
        "first": draw(st.booleans()),
        "channels": draw(st.integers(1, 3)),
        "out": draw(st.integers(1, 3)),
        "batch": draw(st.integers(1, 2)),
        "dtype": draw(st.sampled_from([torch.float64, torch.float32])),
    }


def in_order(first: bool, rank: int, image: list[int]) -> tuple[list[int], str]:
    """Strides and the like in the order of axes that is asked for, and its name."""
    last = {1: "NWC", 2: "NHWC", 3: "NDHWC"}[rank]
    return ([1, 1, *image], f"NC{last[1:-1]}") if first else ([1, *image, 1], last)


CONVOLUTIONS = {1: "conv1d", 2: "conv2d", 3: "conv3d"}


@pytest.mark.parametrize("rank", CONVOLUTIONS)
def test_convolutions_are_tensorflows(rank: int, tf: Any) -> None:
    @settings(max_examples=60)
    @given(windows(rank))
    def holds(case: dict[str, Any]) -> None:
        rates = [case["rate"]] * rank
        if rank == 3:  # with larger ones, TensorFlow's convolution on a CPU does not begin at the first element
            case["strides"] = [min(step, k) for step, k in zip(case["strides"], case["window"], strict=True)]
        strides, data_format = in_order(case["first"], rank, case["strides"])
        theirs: Any = {"data_format": in_order(False, rank, [])[1]}
        if rank == 1:
            theirs.update(stride=case["strides"], dilations=rates)
        else:
            theirs.update(strides=[1, *case["strides"], 1], dilations=[1, *rates, 1])
        both(
            tf,
            lambda x, k: getattr(tf.nn, CONVOLUTIONS[rank])(x, k, padding=case["padding"], **theirs),
            lambda x, k: getattr(nn, CONVOLUTIONS[rank])(
                x, k, strides, case["padding"], data_format=data_format, dilations=rates
            ),
            case["dtype"],
            [[case["batch"], *case["image"], case["channels"]], [*case["window"], case["channels"], case["out"]]],
            rank,
            case["first"],
            gradients=case["rate"] == 1,
        )

    holds()


def test_explicit_paddings_and_groups_are_tensorflows(tf: Any) -> None:
    padding = [[0, 0], [2, 1], [0, 3], [0, 0]]
    both(
        tf,
        lambda x, k: tf.nn.conv2d(x, k, [1, 2, 1, 1], padding),
        lambda x, k: nn.conv2d(x, k, [2, 1], padding),
        torch.float64,
        [[2, 5, 6, 4], [3, 2, 4, 6]],
        2,
        first=False,
    )
    x, k = torch.randn(1, 4, 4, 6), torch.randn(3, 3, 2, 9)
    parts = [nn.conv2d(part, kernel, 1, "SAME") for part, kernel in zip(x.split(2, -1), k.split(3, -1), strict=True)]
    torch.testing.assert_close(nn.conv2d(x, k, 1, "SAME"), torch.cat(parts, -1))


def test_depthwise_and_separable_convolutions_are_tensorflows(tf: Any) -> None:
    @settings(max_examples=60)
    @given(windows(2), st.integers(1, 3), st.booleans())
    def holds(case: dict[str, Any], multiplier: int, separable: bool) -> None:
        step = case["strides"][0]  # TensorFlow wants equal ones
        if case["padding"] == "VALID":
            case["image"] = [
                max(n, (k - 1) * case["rate"] + 1) for n, k in zip(case["image"], case["window"], strict=True)
            ]
        strides, data_format = in_order(case["first"], 2, [step, step])
        rate = [case["rate"]] * 2
        shapes = [[case["batch"], *case["image"], case["channels"]], [*case["window"], case["channels"], multiplier]]
        if separable:
            shapes.append([1, 1, case["channels"] * multiplier, case["out"]])
        name = "separable_conv2d" if separable else "depthwise_conv2d"
        theirs = getattr(tf.nn, name)
        both(
            tf,
            lambda x, *k: theirs(x, *k, strides=[1, step, step, 1], padding=case["padding"], dilations=rate),
            lambda x, *k: getattr(nn, name)(x, *k, strides, case["padding"], rate, data_format=data_format),
            case["dtype"],
            shapes,
            2,
            case["first"],
        )

    holds()


@pytest.mark.parametrize("rank", CONVOLUTIONS)
def test_transposed_convolutions_are_tensorflows(rank: int, tf: Any) -> None:
    @settings(max_examples=60)
    @given(windows(rank))
    def holds(case: dict[str, Any]) -> None:
        if rank == 3:  # with larger ones, TensorFlow leaves numbers between the windows as it finds them
            case["strides"] = [min(step, k) for step, k in zip(case["strides"], case["window"], strict=True)]
        size = {"SAME": lambda n, k, s: -(-n // s), "VALID": lambda n, k, s: -(-(n - k + 1) // s)}[case["padding"]]
        image = [max(n, k) for n, k in zip(case["image"], case["window"], strict=True)]
        small = [size(*each) for each in zip(image, case["window"], case["strides"], strict=True)]
        strides, data_format = in_order(case["first"], rank, case["strides"])
        batch, channels = case["batch"], case["out"]
        wanted = [batch, channels, *image] if case["first"] else [batch, *image, channels]
        name = f"{CONVOLUTIONS[rank]}_transpose"
        theirs = [1, *case["strides"], 1]
        both(
            tf,
            lambda x, k: getattr(tf.nn, name)(x, k, [batch, *image, channels], theirs, case["padding"]),
            lambda x, k: getattr(nn, name)(x, k, wanted, strides, case["padding"], data_format),
            case["dtype"],
            [[batch, *small, case["channels"]], [*case["window"], channels, case["channels"]]],
            rank,
            case["first"],
        )

    holds()


POOLS = {
    "max_pool": ("max_pool2d", 2),
    "avg_pool": ("avg_pool2d", 2),
    "max_pool3d": ("max_pool3d", 3),
    "avg_pool3d": ("avg_pool3d", 3),
}


@pytest.mark.parametrize("name", POOLS)
def test_pools_are_tensorflows(name: str, tf: Any) -> None:
    theirs, rank = POOLS[name]

    @settings(max_examples=60)
    @given(windows(rank))
    def holds(case: dict[str, Any]) -> None:
        window, data_format = in_order(case["first"], rank, case["window"])
        strides, _ = in_order(case["first"], rank, case["strides"])
        both(
            tf,
            lambda x: getattr(tf.nn, theirs)(x, case["window"], case["strides"], case["padding"]),
            lambda x: getattr(nn, name)(x, window, strides, case["padding"], data_format),
            case["dtype"] if rank < 3 else torch.float32,  # TensorFlow has no other in three dimensions
            [[case["batch"], *case["image"], case["channels"]]],
            rank,
            case["first"],
        )

    holds()


def test_a_model_of_them_compiles_whole_and_is_declared_once() -> None:
    def forward(x: Tensor) -> Tensor:
        y = nn.conv2d(x, get_variable("conv", [3, 3, 3, 8]), [1, 2, 2, 1], "SAME")
        y = nn.max_pool(nn.depthwise_conv2d(y, get_variable("depth", [2, 2, 8, 1]), 1, "SAME"), 3, 2, "SAME")
        return nn.conv2d_transpose(y, get_variable("up", [2, 2, 4, 8]), [len(x), 6, 6, 4], 2, "SAME")

    x = torch.randn(2, 9, 9, 3)
    model = ScopedModule(forward, layout="tf", seed=0).build(x)
    torch.testing.assert_close(torch.compile(model, backend="aot_eager", fullgraph=True)(x), model(x))


X = torch.ones(1, 5, 5, 3)
K = torch.ones(3, 3, 3, 4)
WRONG: dict[str, tuple[Callable[[], Tensor], str]] = {
    "a padding in small letters": (lambda: nn.conv2d(X, K, 1, "same"), "padding='same'.*\nUse 'SAME', 'VALID'"),
    "an order of other axes": (
        lambda: nn.conv2d(X, K, 1, "SAME", data_format="NWC"),
        "data_format='NWC'.*\nUse 'NHWC' or 'NCHW'",
    ),
    "another number of axes": (lambda: nn.conv2d(X[0], K, 1, "SAME"), r"\(5, 5, 3\).*\nGive 4 axes, NHWC"),
    "a kernel in torch's order": (lambda: nn.conv2d(X, torch.ones(8, 3, 5, 5), 1, "SAME"), r"\[\*window, 3, out\]"),
    "groups that do not divide": (lambda: nn.conv2d(X, torch.ones(1, 1, 1, 4), 1, "SAME"), "3 groups of 1"),
    "a stride of the batch": (lambda: nn.conv2d(X, K, [2, 1, 1, 1], "SAME"), "1 for batch and channels"),
    "three strides": (lambda: nn.conv2d(X, K, [1, 1, 1], "SAME"), "Give one, 2 or 4 of them"),
    "a stride of zero": (lambda: nn.conv2d(X, K, 0, "SAME"), "Give positive ints"),
    "a window beyond the image": (lambda: nn.conv2d(X, K, 1, "VALID", dilations=3), "larger than the image of 5"),
    "a pair too few": (lambda: nn.conv2d(X, K, 1, [[0, 0], [1, 1], [0, 0]]), "Give 4 pairs"),
    "a padding of the batch": (lambda: nn.conv2d(X, K, 1, [[1, 0], [1, 1], [1, 1], [0, 0]]), "for batch and channels"),
    "a negative padding": (lambda: nn.conv2d(X, K, 1, [[0, 0], [-1, 1], [1, 1], [0, 0]]), "not negative"),
    "a depthwise kernel of others": (
        lambda: nn.depthwise_conv2d(X, torch.ones(3, 3, 2, 1), 1, "SAME"),
        "For 3 channels",
    ),
    "a pointwise window": (lambda: nn.separable_conv2d(X, torch.ones(3, 3, 3, 1), K, 1, "SAME"), r"Give \[1, 1, in"),
    "an output of another size": (
        lambda: nn.conv2d_transpose(X, torch.ones(2, 2, 4, 3), [1, 12, 10, 4], 2, "SAME"),
        r"output_shape=\[1, 12, 10, 4\].*\nA convolution SAME of that shape .* does not give \(1, 5, 5, 3\)",
    ),
    "an output of other channels": (
        lambda: nn.conv2d_transpose(X, torch.ones(2, 2, 4, 3), [1, 10, 10, 5], 2, "SAME"),
        "output_shape",
    ),
    "a transposed kernel of others": (lambda: nn.conv2d_transpose(X, K, [1, 5, 5, 3], 1, "SAME"), "out, 3]"),
    "a pool of channels": (lambda: nn.max_pool(X, [1, 2, 2, 3], 1, "SAME"), "1 for batch and channels"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_tensorflow_refuses_is_refused_with_the_reason(case: str) -> None:
    call, message = WRONG[case]
    with pytest.raises(ArgumentValueError, match=message):
        call()


def test_pairs_around_an_average_are_refused() -> None:
    with pytest.raises(ArgumentTypeError, match="Use 'SAME' or 'VALID'"):
        nn.avg_pool(X, 2, 2, [[0, 0]] * 4)  # type: ignore[arg-type]
