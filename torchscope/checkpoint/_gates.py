"""The gates of recurrent layers: in which order a layer has them, which no shape tells."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ._entry import Entry
from ._layout import RULES
from ._roles import variable_name

# TensorFlow 1's cells, by what they call themselves and by what they called their weights over the years. The
# projection of an LSTM has no gates.
_LSTM = re.compile(
    r"lstm(?!.*projection).*/(kernel|recurrent_kernel|weights|W_0|Matrix|bias|biases|B|Bias)$", re.IGNORECASE
)
_TORCH = re.compile(r"(weight|bias)_[ih]h(_l\d+)?(_reverse)?$")
_RECURRENT = "recurrent_kernel"


class Gates:
    """Which arrays of a checkpoint have gates that may have to change places.

    Keras' layers are known by their ``recurrent_kernel``: an LSTM has the gates in torch's order, a GRU has not.
    """

    def __init__(self, saved: Mapping[str, Entry]) -> None:
        self._keras: dict[str, int] = {}  # scope -> how many gates
        for array, entry in saved.items():
            scope, _, last = variable_name(array).rpartition("/")
            if last == _RECURRENT and len(entry.shape) > 1 and entry.shape[-2]:
                self._keras[scope] = entry.shape[-1] // entry.shape[-2]

    def rule(self, entry: Entry, path: str, *, into_torchs: int = 0) -> str | None:
        """The rule that puts the gates of an array into torch's order, if it may be needed.

        Args:
            entry: the array.
            path: the variable that it is for, whose name may tell what the array's does not.
            into_torchs: how many gates the variable has, if it is a weight of a recurrent layer of torch's.
        """
        name = variable_name(entry.path)
        scope, _, last = name.rpartition("/")
        keras = self._keras.get(scope)
        rule: str | None
        if keras is not None and last in ("kernel", _RECURRENT, "bias"):
            rule = "keras_gru" if keras == 3 else None
        elif _TORCH.search(name):
            rule = None
        elif into_torchs == 3:
            rule = "keras_gru"
        elif into_torchs == 4 or any(_LSTM.search(each) for each in (name, path)):
            rule = "lstm" if len(entry.shape) < 3 else "conv_lstm"
        else:
            rule = None
        return rule if rule is not None and RULES[rule].takes(entry.shape) else None

    def known(self, entry: Entry) -> bool:
        """Whether the order of the gates is known for sure: those of one of Keras' layers."""
        return variable_name(entry.path).rpartition("/")[0] in self._keras
