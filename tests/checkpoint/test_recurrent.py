"""Which arrays have gates whose order is not torch's, and what is asked for in vain: a table of cases."""

from __future__ import annotations

import pytest
import torch

from torchscope.checkpoint._entry import Entry
from torchscope.checkpoint._layout import Rules
from torchscope.checkpoint._recurrent import Recurrent

Shapes = dict[str, tuple[int, ...]]
KERAS_GRU: Shapes = {"g/kernel": (5, 12), "g/recurrent_kernel": (4, 12), "g/bias": (2, 12)}
KERAS_LSTM: Shapes = {"l/kernel": (5, 16), "l/recurrent_kernel": (4, 16), "l/bias": (16,)}


def entries(shapes: Shapes) -> dict[str, Entry]:
    return {path: Entry(path, shape, torch.float32, lambda: None) for path, shape in shapes.items()}


@pytest.mark.parametrize(
    ("saved", "path", "gates", "rule"),
    [
        (KERAS_GRU, "g/kernel", 0, "keras_gru"),
        (KERAS_GRU, "g/recurrent_kernel", 0, "keras_gru"),
        (KERAS_LSTM, "l/kernel", 4, None),  # it is in torch's order, also if its variable is an LSTM's of torch
        ({"rnn/lstm_cell/kernel": (7, 16)}, "rnn/lstm_cell/kernel", 0, "lstm"),
        ({"rnn/lstm_cell/bias": (16,)}, "rnn/lstm_cell/bias", 0, "lstm"),
        ({"conv_lstm_cell/kernel": (3, 7, 16)}, "conv_lstm_cell/kernel", 0, "conv_lstm"),  # along one axis
        ({"conv_lstm_cell/kernel": (3, 3, 7, 16)}, "conv_lstm_cell/kernel", 0, "conv_lstm"),
        ({"w": (5, 12)}, "w", 3, "keras_gru"),  # only its variable tells: a GRU's of torch
        ({"w": (5, 16)}, "w", 4, "lstm"),
        ({"w": (5, 12)}, "w", 2, None),
        ({"w": (5, 12)}, "w", 0, None),
        ({"lstm.weight_ih_l0": (16, 5)}, "lstm.weight_ih_l0", 4, None),  # torch's own names, and its order
    ],
)
def test_the_rule_for_the_gates_of_an_array(saved: Shapes, path: str, gates: int, rule: str | None) -> None:
    arrays = entries(saved)
    assert Recurrent(arrays).rule(arrays[path], path, into_torchs=gates) == rule


@pytest.mark.parametrize("shape", [(12,), (0, 12), ()])
def test_an_array_that_is_only_called_a_recurrent_kernel_tells_nothing(shape: tuple[int, ...]) -> None:
    arrays = entries({"g/recurrent_kernel": shape, "g/kernel": (5, 12)})
    recurrent = Recurrent(arrays)
    assert recurrent.known(arrays["g/kernel"]) == 0
    assert recurrent.rule(arrays["g/kernel"], "g/kernel") is None


def test_a_rule_for_the_gates_of_a_layer_whose_order_is_known_is_refused() -> None:
    arrays = entries({**KERAS_GRU, **KERAS_LSTM})
    recurrent, paths = Recurrent(arrays), list(arrays)

    def asked(layout: object, path: str) -> tuple[str | None, str | None]:
        return recurrent.asked(Rules(layout, paths), arrays[path], path)  # type: ignore[arg-type]

    assert asked({"g/*": "keras_gru"}, "g/kernel") == ("keras_gru", None)
    assert "its gates are in torch's order" in (asked({"l/*": "lstm"}, "l/kernel")[1] or "")
    assert "its gates are in torch's order" in (asked({"l/kernel": "lstm"}, "l/kernel")[1] or "")
    assert "in Keras', of a GRU order" in (asked({"g/*": "lstm"}, "g/kernel")[1] or "")
    assert asked({"g/kernel": "lstm"}, "g/kernel") == ("lstm", None)  # this very array: then it is known better
