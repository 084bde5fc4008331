"""Which arrays of a checkpoint have gates, and in which order: names tell that, shapes do not."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ._entry import Entry
from ._gates import GATES
from ._layout import RULES, Rules
from ._roles import variable_name

# TensorFlow 1's cells, by what they call themselves and by what they called their weights over the years. The
# projection of an LSTM has no gates.
_LSTM = re.compile(
    r"lstm(?!.*projection).*/(kernel|recurrent_kernel|weights|W_0|Matrix|bias|biases|B|Bias)$", re.IGNORECASE
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

    def known(self, entry: Entry) -> bool:
        """Whether the order of the gates is known for sure: those of one of Keras' layers."""
        return variable_name(entry.path).rpartition("/")[0] in self._keras
