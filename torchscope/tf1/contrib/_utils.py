"""Outputs of layers, collected by their names (``tf.contrib.slim.utils``)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

from torch import Tensor

from ..._modules.scoped_module import current_module
from ..._scopes.scope import get_variable_scope
from ...errors import ArgumentValueError, VariableNotFoundError
from .._collections import add_to_collections
from .._layer import names_of


class _Named(NamedTuple):
    alias: str
    tensor: Tensor


def collect_named_outputs(collections: str | Iterable[str] | None, alias: str, outputs: Tensor) -> Tensor:
    """``slim.utils.collect_named_outputs``: add a tensor to collections under a name, and give it back.

    >>> import torch
    >>> from torchscope import ScopedModule
    >>> def forward(x):
    ...     collect_named_outputs("ends", "twice", x * 2)
    ...     return dict(convert_collection_to_dict("ends"))
    >>> ScopedModule(forward)(torch.ones(1))
    {'twice': tensor([2.])}
    """
    if collections:
        names = names_of(collections)
        add_to_collections(names, outputs)
        add_to_collections([_aliases(name) for name in names], _Named(alias.rstrip("/"), outputs))
    return outputs


def convert_collection_to_dict(collection: str, clear_collection: bool = False) -> OrderedDict[str, Tensor]:
    """``slim.utils.convert_collection_to_dict``: the tensors of a collection by the names they were added with.

    Raises:
        ArgumentValueError: one was added without a name.
    """
    named = current_module().get_collection(_aliases(collection))
    found = OrderedDict(
        (alias, tensor)
        for tensor in current_module().get_collection(collection)
        for alias in [each.alias for each in named if each.tensor is tensor] or [_path(collection, tensor)]
    )
    if clear_collection:
        collected = get_variable_scope()._call.collected or {}
        for name in (collection, _aliases(collection)):
            collected.pop(name, None)
    return found


def _aliases(collection: str) -> str:
    """The collection that has the names of what is in another one."""
    return f"{collection}, by name"


def _path(collection: str, tensor: Tensor) -> str:
    try:
        return current_module().variable_name(tensor)
    except VariableNotFoundError:
        mend = "Something in it has no name: add it by collect_named_outputs."
        raise ArgumentValueError.of("collection", collection, mend) from None


def last_dimension(shape: Iterable[int], min_rank: int = 1) -> int:
    """``slim.utils.last_dimension``: the last size of a shape.

    Raises:
        ArgumentValueError: fewer axes than there must be.
    """
    sizes = list(shape)
    if len(sizes) < max(min_rank, 1):
        raise ArgumentValueError.of("shape", sizes, f"It has at least {max(min_rank, 1)} axes.")
    return sizes[-1]


def channel_dimension(shape: Iterable[int], data_format: str, min_rank: int = 1) -> int:
    """``slim.utils.channel_dimension``: how many channels a shape has, by the names that layers have for orders."""
    sizes = list(shape)
    last_dimension(sizes, min_rank)
    return sizes[1 if data_format == "channels_first" else -1]


def two_element_tuple(int_or_tuple: int | Iterable[int]) -> tuple[int, int]:
    """``slim.utils.two_element_tuple``: one number twice, or two of them.

    >>> two_element_tuple(3)
    (3, 3)

    Raises:
        ArgumentValueError: another number of them.
    """
    if isinstance(int_or_tuple, int):
        return int_or_tuple, int_or_tuple
    first, *rest = [int(n) for n in int_or_tuple]
    if len(rest) != 1:
        raise ArgumentValueError.of("int_or_tuple", int_or_tuple, "Give one number, or two.")
    return first, rest[0]
