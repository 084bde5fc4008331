"""What may become a variable: which dtypes convert, which numbers fit, and which tensors are real."""

from __future__ import annotations

import torch
from torch import Tensor

from .._torch import is_fake, is_functorch_wrapped_tensor
from .tracing import refuse


def converts(found: torch.dtype, wanted: torch.dtype) -> bool:
    """Whether numbers of a dtype may become those of another without a change of kind.

    >>> converts(torch.float64, torch.bfloat16), converts(torch.int64, torch.float32), converts(torch.int8, torch.int64)
    (True, False, True)
    """
    if found.is_floating_point and wanted.is_floating_point:
        return True
    if found == wanted or (found.is_complex and wanted.is_complex):
        return True
    whole = not (found.is_floating_point or found.is_complex or wanted.is_floating_point or wanted.is_complex)
    try:
        return whole and found != torch.bool and torch.promote_types(found, wanted) == wanted
    except RuntimeError:  # no promotion is defined for some unsigned dtypes
        return False


def too_large(value: Tensor, wanted: torch.dtype) -> float | None:
    """The largest finite number of a tensor if the dtype cannot hold it, in its real or imaginary part.

    >>> too_large(torch.tensor([1e6, float("inf")]), torch.float16), too_large(torch.tensor([1.0]), torch.float16)
    (1000000.0, None)
    """
    if not (value.is_floating_point() or value.is_complex()) or not value.numel() or value.is_meta:
        return None
    if not (wanted.is_floating_point or wanted.is_complex):
        return None
    most = torch.finfo(wanted).max
    if most >= torch.finfo(value.dtype).max:
        return None
    parts = torch.view_as_real(value.resolve_conj()) if value.is_complex() else value
    largest = float(parts.abs().masked_fill(parts.isinf() | parts.isnan(), 0).max())
    return largest if largest > most else None


def refuse_unreal(path: str, owner: str, tensor: Tensor) -> None:
    """Refuse to keep a tensor whose numbers are not real: a fake one, or one that a transform has wrapped.

    Raises:
        TracingError: it is such a tensor.
    """
    if is_fake(tensor):
        refuse(path, owner, "fake tensors")
    if is_functorch_wrapped_tensor(tensor):
        refuse(path, owner, "a torch.func transform (vmap, grad, jvp, ...)")
