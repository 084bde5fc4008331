"""The table of TensorFlow 1's symbols: its lines of torch are TensorFlow's, and the page says what the code says."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.tf1.judge import Theirs, array_of, flat
from tests.tf1.symbols import LINES, PAGE, covered, page, rows
from torchscope import tf1
from torchscope.tf1._lacking import TORCHS

NUMBERS = np.random.default_rng(0)
VALUES: dict[str, Any] = {
    "x": NUMBERS.standard_normal((3, 4)),
    "y": NUMBERS.standard_normal((3, 4)),
    "p": NUMBERS.random((3, 4)) + 0.1,
    "i": NUMBERS.integers(-5, 6, (3, 4)),
    "j": NUMBERS.integers(-5, 6, (3, 4)),
    "b": NUMBERS.random((3, 4)) > 0.5,
    "c": NUMBERS.random((3, 4)) > 0.5,
    "m": NUMBERS.standard_normal((3, 3)),
    "v": NUMBERS.standard_normal(4),
    "k": np.array([2, 0]),
}


@pytest.mark.parametrize("symbol", LINES)
def test_a_line_of_torch_is_tensorflows(symbol: str) -> None:
    theirs, ours = LINES[symbol]
    tf = Theirs()
    expected = flat(
        eval(
            theirs,
            {
                "tf": tf,
                **{name: tf.constant(value) for name, value in VALUES.items()},
            },
        )
    )
    names = {name: torch.tensor(value, device="cpu") for name, value in VALUES.items()}
    result = eval(ours, {"torch": torch, "F": F, **names})
    found = [np.array(result)] if isinstance(result, torch.Size) else flat(result)
    assert len(found) == len(expected)
    for own, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(array_of(own), array_of(other), rtol=1e-12)
        if isinstance(own, Tensor):
            assert str(own.dtype).partition(".")[2] == other.dtype.name


def test_each_line_of_torch_is_held_against_one_of_tensorflow() -> None:
    assert list(TORCHS) == list(LINES)


@pytest.mark.parametrize(
    ("symbol", "told"),
    {
        "reshape": r"tf.reshape: torch has a line for it, x.reshape\(2, -1\)",
        "nn.relu": r"tf.nn.relu: torch has a line for it, torch.relu\(x\)",
        "placeholder": "tf.placeholder: it needs a graph. Instead: an argument of the function",
        "train": "tf.train: it needs a graph",
        "losses.mean_pairwise_squared_error": "tf.losses.mean_pairwise_squared_error, and nothing stands for it yet",
        "image.resize_bicubic": "tf.image.resize_bicubic, and nothing stands for it yet",
        "contrib.layers.spatial_softmax": "tf.contrib.layers.spatial_softmax, and nothing stands for it yet",
    }.items(),
)
def test_what_is_not_in_tf1_says_what_to_write(symbol: str, told: str) -> None:
    def get() -> object:
        return functools.reduce(getattr, symbol.split("."), tf1)

    with pytest.raises(AttributeError, match=f"torchscope.tf1 has no {told}"):
        get()


def test_of_the_uses_that_need_no_graph_at_least_95_percent_have_a_place() -> None:
    have, wanted = covered(rows())
    assert have / wanted >= 0.95


def test_the_page_is_what_the_table_says() -> None:
    assert PAGE.read_text() == page(), "print it anew: python -m tests.tf1.symbols --write"


def test_what_is_in_tf1_is_a_name_with_a_docstring() -> None:
    from torchscope import tf1

    for row in rows():
        if row.where == "torchscope.tf1":
            found: Any = tf1
            for part in row.what.strip("`").split(".")[1:]:
                found = getattr(found, part)
            assert not callable(found) or inspect.getdoc(found), row.symbol
