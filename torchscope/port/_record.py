"""One recorded run: what kind of value each argument of TensorFlow's functions has."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from ._kinds import LIST, NONE, NUMBER, OTHER, SIZES, TENSOR, TEXT, Kind, Recorded


class Recorder:
    """What a run shows, by file."""

    def __init__(self) -> None:
        self.of: dict[str, Recorded] = {}

    def globals_of(self, path: str) -> Mapping[str, object]:
        """What the code that ``records`` needs among its globals."""
        tell = self._telling(self.of.setdefault(path, {}))

        def operand(at: tuple[int, int], value: object) -> object:
            """Of what stands beside a tensor, a list is made one: so the run goes on as TensorFlow does."""
            told = tell(at, value)
            return torch.as_tensor(told) if kind_of(told) == SIZES else told

        return {"__kind__": tell, "__operand__": operand}

    def _telling(self, recorded: Recorded) -> Callable[[tuple[int, int], object], object]:
        def tell(at: tuple[int, int], value: object) -> object:
            recorded.setdefault(at, set()).add(kind_of(value))
            return value

        return tell


def kind_of(value: object) -> Kind:
    if isinstance(value, torch.Tensor):
        return TENSOR
    if isinstance(value, (bool, int, float)):
        return NUMBER
    if isinstance(value, str):
        return TEXT
    if isinstance(value, (list, tuple)):
        kinds = {kind_of(each) for each in value}
        return LIST if TENSOR in kinds else SIZES if kinds <= {NUMBER, NONE, SIZES} else OTHER
    return NONE if value is None else OTHER
