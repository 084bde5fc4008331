"""How much each process receives in collective operations while something runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from torch import Tensor
from torch.distributed.tensor import DTensor

from .._torch import TorchDispatchMode, group_size


class Schema(Protocol):
    """What an operator is called."""

    name: str


class Operator(Protocol):
    """An operator, as modes that see each are given it."""

    _schema: Schema

    def __call__(self, *args: object, **kwargs: object) -> object: ...


class Traffic(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Count, in the block, the bytes that this process receives by collectives: ``received``, by kind.

    Collectives are counted as rings do them, which is the least: of n processes each receives ``(n - 1) / n`` of what
    is gathered or scattered, and twice that of what is reduced to all; of other kinds all that this process is given.
    What C++ starts by itself, as DDP does, is not seen.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.received: dict[str, int] = {}

    def __torch_dispatch__(
        self,
        function: Operator,
        types: Sequence[type],
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        if any(issubclass(kind, DTensor) for kind in types):
            return NotImplemented  # what it does with its parts comes by
        kind = _KINDS.get(function._schema.name.rpartition("::")[2])
        result = function(*args, **(kwargs or {}))
        if kind is not None and "c10d" in function._schema.name:
            self.received[kind] = self.received.get(kind, 0) + _received(kind, args, result)
        return result


_KINDS = {
    "all_reduce": "all-reduce",
    "all_reduce_": "all-reduce",
    "allreduce_": "all-reduce",
    "all_gather_into_tensor": "all-gather",
    "_allgather_base_": "all-gather",
    "reduce_scatter_tensor": "reduce-scatter",
    "_reduce_scatter_base_": "reduce-scatter",
    "all_to_all_single": "all-to-all",
    "allgather_": "all-gather",
    "reduce_scatter_": "reduce-scatter",
    "broadcast": "broadcast",
    "broadcast_": "broadcast",
    "reduce_": "reduce",
    "scatter_": "scatter",
    "gather_": "gather",
}


def _received(kind: str, args: tuple[object, ...], result: object) -> int:
    given = [tensor.numel() * tensor.itemsize for tensor in _tensors(args)]
    if kind == "all-reduce":
        count = group_size(args[2] if isinstance(args[1], str) else args[1])
        return 2 * sum(given) * (count - 1) // count
    if kind in ("broadcast", "reduce", "scatter", "gather"):
        return given[0] if given else 0
    if kind in ("all-gather", "reduce-scatter") and isinstance(args[1], list | tuple):  # lists of tensors
        here, there = (sum(each.numel() * each.itemsize for each in _tensors((args[n],))) for n in (0, 1))
        return abs(there - here)
    if len(given) == 1:
        given += [tensor.numel() * tensor.itemsize for tensor in _tensors((result,))]
    return max(given) if kind == "all-to-all" else max(given) - min(given)


def _tensors(values: Sequence[object]) -> Iterator[Tensor]:
    for each in values:
        if isinstance(each, Tensor):
            yield each
        elif isinstance(each, list | tuple):
            yield from _tensors(each)
