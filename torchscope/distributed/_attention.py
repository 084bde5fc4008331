"""Attention on a CPU: how torch's own operator for it is laid out, which torch has no rule for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import cast

import torch.nn.functional as F
from torch import Tensor
from torch.distributed.tensor import Replicate, Shard
from torch.distributed.tensor.experimental import register_sharding
from torch.distributed.tensor.placement_types import Placement
from torch.overrides import TorchFunctionMode

from .._torch import attention_of_gradients_on_a_cpu, attention_on_a_cpu

Ways = Sequence[tuple[list[Placement | None], list[Placement | None]]]


def teach_attention() -> None:
    """Let attention on a CPU run on parts of the batch (axis 0) and of the heads (axis 1), as on a GPU."""
    for packet, outputs, inputs in ((attention_on_a_cpu(), 2, 3), (attention_of_gradients_on_a_cpu(), 3, 6)):
        operator = getattr(packet, "default", None)
        if operator is not None:  # in a release that lacks it, attention is made of its parts
            register_sharding(operator)(_ways(outputs, inputs))


def _ways(outputs: int, inputs: int) -> Callable[..., Ways]:
    """All tensors of the operator along one axis, or whole."""

    def ways(*args: object, **kwargs: object) -> Ways:
        return [([each] * outputs, [each] * inputs) for each in (Replicate(), Shard(0), Shard(1))]

    return ways


def attention_on_meta(given: Sequence[object]) -> AbstractContextManager[object]:
    """Let attention on the meta device be one operator, as it is on a CPU or GPU, if a call was given tensors there.

    The parts of which it is made there otherwise are laid out in other ways, and by torch 2.10 not at all.
    """
    is_meta = any(isinstance(each, Tensor) and each.is_meta for each in given)
    return _AttentionAsOne() if is_meta else nullcontext()


class _AttentionAsOne(TorchFunctionMode):
    def __torch_function__(
        self,
        function: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        kwargs = kwargs or {}
        if function is F.scaled_dot_product_attention and len(args) <= 3 and kwargs.keys() <= _TAKEN:
            attention = cast("Callable[..., tuple[Tensor, Tensor]] | None", attention_on_a_cpu())
            if attention is not None:
                return attention(*args, **kwargs)[0]
        return function(*args, **kwargs)


_TAKEN = {"query", "key", "value", "dropout_p", "is_causal", "attn_mask", "scale"}
