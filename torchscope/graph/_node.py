"""One node of a graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch


@dataclass(frozen=True, slots=True)
class Output:
    """One tensor that a node gives: its shape and dtype."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    def __str__(self) -> str:
        return f"{self.shape} {str(self.dtype).removeprefix('torch.')}"


@dataclass(frozen=True, slots=True)
class Node:
    """An operation, a variable or an input.

    Attributes:
        name: the name that ``op_name`` gives, ``"conv1/conv2d"``; of a variable its path; of an input ``"input"``,
            ``"input_1"``, ... What stands before the last slash are the scopes it is in.
        kind: ``"operation"``, ``"variable"`` (a parameter or a buffer) or ``"input"`` (any tensor that was made
            before, or out of sight).
        function: the torch function of an operation, ``"conv2d"``; otherwise ``""``.
        inputs: what it reads: pairs of the name of a node and which of its outputs.
        outputs: the shape and dtype of each tensor that it gives.
    """

    name: str
    kind: Literal["operation", "variable", "input"]
    function: str
    inputs: tuple[tuple[str, int], ...]
    outputs: tuple[Output, ...]
