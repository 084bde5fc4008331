"""Rows of tables: ``tf.nn.embedding_lookup``."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import ArgumentValueError


def embedding_lookup(
    params: Tensor | Sequence[Tensor],
    ids: Tensor,
    partition_strategy: str = "mod",
    name: str | None = None,
    validate_indices: bool = True,
    max_norm: float | None = None,
) -> Tensor:
    """``tf.nn.embedding_lookup``: the rows of a table, or of one in parts.

    ``torch.nn.functional.embedding`` takes one table of two axes, and with ``max_norm`` writes into it.

    >>> even, odd = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [3.0]])
    >>> embedding_lookup([even, odd], torch.tensor([0, 1, 2, 3])).flatten()
    tensor([0., 1., 2., 3.])

    Args:
        params: ``[rows, *row]``, or a list of parts of it. A variable in parts comes as one tensor, its parts one after
            the other: cut it, ``params.chunk(n)``, where TensorFlow's table was cut.
        ids: integers of any shape; one that is no row is an error of torch's.
        partition_strategy: how the rows of parts are counted: ``"mod"`` by turns, ``"div"`` one part after the other.
        validate_indices: without effect, as in TensorFlow.
        max_norm: rows that are longer are scaled down to it.

    Returns:
        ``[*ids, *row]``.

    Raises:
        ArgumentValueError: no parts at all, or no such way to count.
    """
    if not isinstance(params, Tensor):
        params, ids = _in_one(list(params), ids, partition_strategy)
    if params.dim() == 2:
        rows = F.embedding(ids, params)
    else:  # not params[ids], which counts negative ones from behind
        rows = params.index_select(0, ids.reshape(-1).long()).view(*ids.shape, *params.shape[1:])
    if max_norm is None:
        return rows
    over = list(range(ids.dim(), rows.dim()))
    norm = torch.linalg.vector_norm(rows, dim=over, keepdim=True) if over else rows.abs()
    return rows * (max_norm / norm.clamp(min=max_norm))


def _in_one(parts: list[Tensor], ids: Tensor, strategy: str) -> tuple[Tensor, Tensor]:
    """Parts one after the other, and where in them the rows are."""
    if not parts:
        raise ArgumentValueError.of("params", parts, "Give a table, or at least one part of it.")
    if strategy not in ("mod", "div"):
        raise ArgumentValueError.of("partition_strategy", strategy, "Use 'mod' or 'div'.")
    if strategy == "mod" and len(parts) > 1:
        counts = torch.tensor([part.shape[0] for part in parts], device=ids.device)
        part, row = (ids % len(parts)).long(), ids // len(parts)
        there = (row >= 0) & (row < counts[part])
        ids = torch.where(there, (counts.cumsum(0) - counts)[part] + row, counts.sum())
    return torch.cat(parts), ids
