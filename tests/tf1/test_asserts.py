"""``tf.assert_*``: what holds passes, what does not is told, in eager and in compiled code."""

from __future__ import annotations

import pytest
import torch

from torchscope import ArgumentValueError, tf1

HOLD = {
    "assert_equal": (2, 2),
    "assert_less": (1, 2),
    "assert_less_equal": (2, 2),
    "assert_greater": (3, 2),
    "assert_greater_equal": (2, 2),
}


@pytest.mark.parametrize("name", HOLD)
def test_what_holds_passes_and_what_does_not_is_told(name: str) -> None:
    check = getattr(tf1, name)
    x, y = HOLD[name]
    wrong = (y + 1, y) if "less" in name or name == "assert_equal" else (y - 1, y)
    assert check(x, y) is None
    assert check([x, x], y) is None
    assert check(torch.tensor([x, x]), torch.tensor(y)) is None
    assert check(x, torch.tensor([y])) is None
    with pytest.raises(ArgumentValueError, match="too far: It has to be"):
        check(*wrong, message="too far")
    with pytest.raises(ArgumentValueError, match="It has to be"):
        check(torch.tensor([x, wrong[0]]), wrong[1])


def test_a_compiled_assertion_holds_when_it_runs() -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        tf1.assert_less(x, 10)
        return x + 1

    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    assert compiled(torch.tensor([1.0])).tolist() == [2.0]
    with pytest.raises(RuntimeError, match="does not hold"):
        compiled(torch.tensor([11.0]))


def test_the_rank_of_a_tensor() -> None:
    tf1.assert_rank(torch.ones(2, 3), 2)
    with pytest.raises(ArgumentValueError, match="it has to have 3 axes"):
        tf1.assert_rank(torch.ones(2, 3), 3)
