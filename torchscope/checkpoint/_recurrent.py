"""Which arrays of a checkpoint have gates, and in which order: names tell that, shapes do not."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ._entry import Entry
from ._gates import GATES
from ._layout import RULES, Rules
from ._roles import variable_name

# LSTMs, by what they call themselves and their weights in TensorFlow 1 and its libraries: below the scope of the cell,
# or one scope further. Those with other gates (coupled, phased) are no LSTM of torch's.
_LSTM = re.compile(
    r"(^|/)(?![^/]*(coupled|phased))[^/]*lstm[^/]*/((linear|gates|l|cell|layer)_?\d*/)?"
    r"(kernel|recurrent_kernel|weights|w|W_0|W_xh|W_hh|wx|wh|w_gates|Matrix|bias|biases|b|b_gates)$",
    re.IGNORECASE,
)
_TORCH = re.compile(r"(weight|bias)_[ih]h(_l\d+)?(_reverse)?$")
_RECURRENT = "recurrent_kernel"


class Recurrent:
    """The recurrent layers of a checkpoint, whose gates may have to change places.

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

    def asked(self, rules: Rules, entry: Entry, path: str) -> tuple[str | None, str | None]:
        """The rule that is asked for, and what is wrong with it: one for gates must be for an array that has some."""
        asked = rules.asked(path)
        if asked is None or asked not in GATES:
            return asked, None
        rule = self.rule(entry, path)
        if rule is not None and GATES[rule] == GATES[asked]:
            return rule, None
        if self.known(entry) and (rule is None or not rules.names(path)):
            order = "torch's" if rule is None else "Keras', of a GRU"
            return None, f"layout {asked!r}: its gates are in {order} order, as the 'recurrent_kernel' beside it tells"
        if rules.is_for_all(path) and RULES[asked].takes(entry.shape):
            say = f"say which have: layout={{'{path}': ...}}, or a pattern"
            return None, f"layout {asked!r} is given for everything, and nothing tells that this has gates: {say}"
        return asked, None

    def known(self, entry: Entry) -> int:
        """How many gates an array has whose order is known for sure, that of one of Keras' layers; 0 if it is not."""
        return self._keras.get(variable_name(entry.path).rpartition("/")[0], 0)
