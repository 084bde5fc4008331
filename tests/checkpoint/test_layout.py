"""The rules of axes as functions: shapes and tensors agree, and what is written is what is converted."""

from __future__ import annotations

import pytest
import torch

from torchscope.checkpoint._layout import RULES, write


def numbers(*shape: int) -> torch.Tensor:
    return torch.arange(float(torch.Size(shape).numel())).reshape(shape)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("window", [1, 2, 3])
def test_a_rule_makes_the_shape_that_it_says_and_writes_what_it_converts(rule: str, window: int) -> None:
    shape = (*(5, 4, 6)[:window], 2, 12) if rule in ("conv", "depthwise", "conv_lstm") else (2, 12)
    assert RULES[rule].takes(shape)
    converted = RULES[rule].convert(numbers(*shape))
    assert tuple(converted.shape) == RULES[rule].shape(shape)
    written = torch.empty(converted.shape)
    write(rule, numbers(*shape), written)
    assert torch.equal(written, converted)
    assert sorted(written.flatten().tolist()) == numbers(*shape).flatten().tolist()


def test_a_depthwise_kernel_has_a_filter_for_each_channel_and_multiple_of_it() -> None:
    """TensorFlow's output channel ``channel * multiplier + m`` is the filter ``[:, :, channel, m]``."""
    kernel = numbers(5, 4, 2, 3)
    made = RULES["depthwise"].convert(kernel)
    for channel in range(2):
        for multiple in range(3):
            assert torch.equal(made[channel * 3 + multiple, 0], kernel[:, :, channel, multiple])


RANKS = {"same": range(7), "dense": [2], "lstm": [1, 2], "keras_gru": [1, 2]}  # others: a window of one to three axes
WORDS = {"same": "any shape", "dense": "two axes", "lstm": "one or two axes", "keras_gru": "one or two axes"}


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_takes_arrays_of_as_many_axes_as_it_says(rule: str) -> None:
    taken = [rank for rank in range(7) if RULES[rule].takes((12,) * rank)]
    assert taken == list(RANKS.get(rule, [3, 4, 5]))
    assert RULES[rule].wants.startswith(WORDS.get(rule, "three to five axes"))


@pytest.mark.parametrize(("rule", "gates"), [("lstm", 4), ("conv_lstm", 4), ("keras_gru", 3)])
def test_gates_lie_along_the_last_axis(rule: str, gates: int) -> None:
    before = (2, 3) if rule == "conv_lstm" else ()
    assert [size for size in range(1, 13) if RULES[rule].takes((*before, size))] == list(range(gates, 13, gates))
