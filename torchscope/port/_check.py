"""The proof of a port: the model that it makes, with the checkpoint's weights, against what TensorFlow gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .._torch import compiling_without_prints
from ..checkpoint import LoadReport, load_checkpoint
from ..errors import ArgumentValueError, CheckpointError
from ._call import Arrays, Call, named, run, said

TOLERANCE = 1e-5


@dataclass
class Checked:
    """What a check found.

    Attributes:
        variables: how many the model has.
        report: what was loaded, and what has no partner on either side.
        errors: by output, the largest difference over the largest value.
        tolerance: up to where an error is none.
        compiled: ``None`` if it was compiled as one graph and gives the same, else why not.
        first: where it first differs from TensorFlow, in words; ``None`` if it does not.
    """

    variables: int
    report: LoadReport
    tolerance: float
    errors: dict[str, float] = field(default_factory=dict)
    compiled: str | None = None
    first: str | None = None

    @property
    def differs(self) -> list[str]:
        return [name for name, error in self.errors.items() if not error <= self.tolerance]

    @property
    def passed(self) -> bool:
        """Whether all is proven; arrays that the model does not use, of another head say, are told and no fault."""
        partners = not (self.report.missing or self.report.refused)
        return partners and not self.differs and self.compiled is None


def check(call: Call, checkpoint: Path, *, tolerance: float = TOLERANCE, backend: str = "inductor") -> Checked:
    """Build the model of a call, load its weights, run it, compare, and compile it whole.

    Raises:
        ArgumentValueError: the call fails, or gives what has other names or shapes than what was recorded.
        CheckpointError: there is no checkpoint, or none of its arrays fits.
    """
    model = call.model()
    run(call, model)
    try:
        report = load_checkpoint(model, checkpoint, strict=False)
    except CheckpointError as error:
        raise ArgumentValueError.of_what_it_gave("--check", checkpoint, str(error)) from None
    found = Checked(len(model.variables), report, tolerance)
    result = run(call, model)
    found.errors = compared(named(result, list(call.expected)), call.expected)
    found.compiled = _compiled(call, model, result, backend, tolerance)
    return found


def compared(found: Mapping[str, Tensor], expected: Arrays) -> dict[str, float]:
    """How far each output is from what was recorded, relative to the largest value there."""
    missing = [name for name in expected if name not in found]
    if missing:
        told = f"it was recorded, and the call gives {', '.join(found) or 'nothing'}. Return a dict with these names."
        raise ArgumentValueError.of_what_it_gave("IO.npz", missing[0], told)
    errors = {}
    for name, array in expected.items():
        ours = found[name].detach().cpu()
        if tuple(ours.shape) != array.shape:
            told = f"it was recorded with the shape {list(array.shape)}, and the call gives {list(ours.shape)}."
            raise ArgumentValueError.of_what_it_gave("IO.npz", name, told)
        errors[name] = difference(ours, torch.from_numpy(np.asarray(array)))
    return errors


def difference(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference over the largest value; where both are the same infinity, or no number, there is none."""
    if theirs.numel() == 0:
        return 0.0
    wide = torch.complex128 if ours.is_complex() or theirs.is_complex() else torch.float64
    ours, theirs = ours.to(wide), theirs.to(wide)
    same = (ours == theirs) | (ours.isnan() & theirs.isnan())
    largest = theirs[theirs.isfinite()].abs().max().item() if theirs.isfinite().any() else 1.0
    far = torch.where(same, torch.zeros_like(theirs.abs()), (ours - theirs).abs())
    return far.max().item() / (largest or 1.0)


def _compiled(call: Call, model: torch.nn.Module, eager: object, backend: str, tolerance: float) -> str | None:
    torch.compiler.reset()
    try:
        with torch.no_grad(), compiling_without_prints():
            result = torch.compile(model, fullgraph=True, backend=backend)(*call.inputs.values())
    except Exception as error:  # whatever a compiler raises
        return said(error)[:300]
    ours, theirs = tensors_of(result), tensors_of(eager)
    if len(ours) != len(theirs):
        return f"it gives {len(ours)} tensors, and the eager run {len(theirs)}"
    worst = max((difference(mine, its) for mine, its in zip(ours, theirs, strict=True)), default=0.0)
    return None if worst <= max(tolerance, 1e-5) else f"it differs from the eager run by {worst:.1e}"


def tensors_of(result: object) -> list[Tensor]:
    """The tensors of nested tuples, lists and dicts, in order."""
    if isinstance(result, Tensor):
        return [result.detach().cpu()]
    inner = result.values() if isinstance(result, Mapping) else result if isinstance(result, (tuple, list)) else ()
    return [tensor for each in inner for tensor in tensors_of(each)]
