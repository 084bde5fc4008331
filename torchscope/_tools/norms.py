"""``weight_norm`` and ``spectral_norm``: weights of a norm that is learned, or that is one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import nullcontext
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from .._scopes.getter import buffer_beside
from .._scopes.scope import Selects
from .._scopes.stack import innermost
from .._variables.initialize import FromVariables
from .._variables.reuse import Reuse
from ..errors import ArgumentValueError
from .targets import is_for, targets


class weight_norm:
    """Weights as a direction and a length: ``g * v / |v|``, where ``v`` is the variable and ``g`` one beside it.

    As the ``custom_getter`` of a scope it is for every floating variable of two axes or more that is made below, and
    ``g`` is ``<path>/g``; with :meth:`apply` for those of a built module that a pattern selects, by
    ``torch.nn.utils.parametrizations.weight_norm``. It begins with the weights as they are.

    >>> import torch
    >>> from torchscope import ScopedModule, get_variable, variable_scope
    >>> from torchscope.tools import weight_norm
    >>> def forward(x):
    ...     with variable_scope("dense", custom_getter=weight_norm()):
    ...         return x @ get_variable("kernel", [4, 3]).T
    >>> model = ScopedModule(forward).build(torch.ones(1, 3))
    >>> {path: list(v.shape) for path, v in model.variables.items()}
    {'dense/kernel': [4, 3], 'dense/kernel/g': [4, 1]}

    Args:
        dim: the axis that has a length for each of its rows; the first by default, the outputs; ``None`` for one
            length.

    Raises:
        ArgumentValueError: ``dim`` is no axis, from 0 on.

    It is that of "Weight Normalization" (Salimans and Kingma, 2016).
    """

    def __init__(self, dim: int | None = 0) -> None:
        if dim is not None and (not isinstance(dim, int) or isinstance(dim, bool) or dim < 0):
            raise ArgumentValueError.of("dim", dim, "Give the number of an axis, from 0 on, or None.")
        self.dim = dim

    def __call__(self, getter: Callable[..., Tensor], name: str, *args: object, **kwargs: object) -> Tensor:
        """As a custom getter: the weight of its length."""
        v = getter(name, *args, **kwargs)
        if not is_for(v, kwargs, 2):
            return v
        shape = [n if axis == self.dim else 1 for axis, n in enumerate(v.shape)]
        _refuse_parts(name)
        if self.dim is not None and self.dim >= v.dim():
            raise ArgumentValueError.of("dim", self.dim, f"'{name}' has {v.dim()} axes, counted from 0.")
        first = FromVariables(functools.partial(_fill_norm, self.dim), name)
        g = getter(f"{name}/g", shape, initializer=first, **_as_its(kwargs))
        return v * (g / _norm(v, self.dim))

    def apply(self, model: nn.Module, pattern: Selects) -> None:
        """Do it to variables of a built module; before its optimizer is made.

        Raises:
            ArgumentValueError: the pattern selects no floating parameter of two axes or more.
            NotBuiltError: the module was never built.
        """
        for target in targets(model, pattern, least_axes=2):
            parametrizations.weight_norm(target.holder, target.name, self.dim)  # type: ignore[arg-type]  # or None


class spectral_norm:
    """Weights over their largest singular value, found by power iteration: a step in each call that trains.

    As the ``custom_getter`` of a scope it is for every floating variable of two axes or more that is made below, with
    the buffers ``<path>/u`` and ``<path>/v``; with :meth:`apply` for those of a built module that a pattern selects, by
    ``torch.nn.utils.parametrizations.spectral_norm``, which makes a step for each use. A kernel of more axes is a
    matrix of its first axis and the rest.

    >>> import torch
    >>> from torchscope import ScopedModule, get_variable, variable_scope
    >>> from torchscope.tools import spectral_norm
    >>> def forward(x):
    ...     with variable_scope("critic", custom_getter=spectral_norm()):
    ...         return x @ get_variable("kernel", [4, 3], initializer=torch.nn.init.ones_).T
    >>> ScopedModule(forward)(torch.ones(1, 3)).norm(), torch.ones(3).norm()  # no vector gets longer
    (tensor(1.7321, grad_fn=<LinalgVectorNormBackward0>), tensor(1.7321))

    Args:
        n_power_iterations: steps in each call while ``model.training``.
        eps: what vectors are divided by at least.

    It is that of "Spectral Normalization for Generative Adversarial Networks" (Miyato et al., 2018).
    """

    def __init__(self, n_power_iterations: int = 1, eps: float = 1e-12) -> None:
        if not isinstance(n_power_iterations, int) or n_power_iterations < 1:
            raise ArgumentValueError.of("n_power_iterations", n_power_iterations, "Give a positive int.")
        self.n_power_iterations = n_power_iterations
        self.eps = eps

    def __call__(self, getter: Callable[..., Tensor], name: str, *args: object, **kwargs: object) -> Tensor:
        """As a custom getter: the weight over its norm."""
        weight = getter(name, *args, **kwargs)
        if not is_for(weight, kwargs, 2):
            return weight
        matrix, call = weight.flatten(1), innermost("spectral_norm()")._call
        _refuse_parts(name)
        moves = call.root.training and not call.has_got(
            f"{name}/u"
        )  # a second use in a call has the weights of the first
        reuse = cast("Reuse", kwargs.get("reuse"))
        first_u = FromVariables(functools.partial(_fill_left, self.eps), name)
        first_v = FromVariables(functools.partial(_fill_right, self.eps), name, f"{name}/u")
        u = buffer_beside(weight, f"{name}/u", [matrix.shape[0]], first_u, reuse)
        v = buffer_beside(weight, f"{name}/v", [matrix.shape[1]], first_v, reuse)
        kind = weight.device.type
        with nullcontext() if kind == "meta" else torch.autocast(kind, enabled=False):  # vectors are not rounded
            return weight / self._norm_of(matrix, u, v, moves=moves)

    def _norm_of(self, matrix: Tensor, u: Tensor, v: Tensor, *, moves: bool) -> Tensor:
        """The largest singular value, by the vectors that are kept, moved on by so many steps."""
        left, right = u.clone(), v.clone()  # the gradient needs them as they are now
        if moves:
            with torch.no_grad():
                for _ in range(self.n_power_iterations):
                    left = F.normalize(matrix @ right, dim=0, eps=self.eps)
                    right = F.normalize(matrix.mH @ left, dim=0, eps=self.eps)
                u.copy_(left)
                v.copy_(right)
        return torch.vdot(left, matrix @ right)

    def apply(self, model: nn.Module, pattern: Selects) -> None:
        """Do it to variables of a built module; before its optimizer is made.

        Raises:
            ArgumentValueError: the pattern selects no floating parameter of two axes or more.
            NotBuiltError: the module was never built.
        """
        for target in targets(model, pattern, least_axes=2):
            parametrizations.spectral_norm(target.holder, target.name, self.n_power_iterations, self.eps)


def _as_its(kwargs: dict[str, object]) -> dict[str, object]:
    """What a variable beside another takes over from it."""
    return {name: kwargs.get(name) for name in ("dtype", "device", "reuse", "trainable")}


def _refuse_parts(name: str) -> None:
    """Refuse a variable that a partitioner has cut, which what lies beside it cannot be made from."""
    if innermost("A custom getter")._call.store.find(name) is None:
        mend = f"'{name}' is made in parts: give get_variable no partitioner, or its scope no norm."
        raise ArgumentValueError.of("partitioner", name, mend)


def _norm(v: Tensor, dim: int | None) -> Tensor:
    """The length of each row along an axis."""
    axes = [axis for axis in range(v.dim()) if axis != dim]
    length: Tensor = torch.linalg.vector_norm(v, dim=axes, keepdim=True)
    return length


def _fill_norm(dim: int | None, v: Tensor, g: Tensor) -> None:
    g.copy_(_norm(v, dim))


def _fill_left(eps: float, weight: Tensor, u: Tensor) -> None:
    """The left singular vector, nearly: 15 steps from a random one."""
    matrix = weight.flatten(1)
    u.normal_()
    for _ in range(15):
        u.copy_(F.normalize(matrix @ F.normalize(matrix.mH @ u, dim=0, eps=eps), dim=0, eps=eps))


def _fill_right(eps: float, weight: Tensor, u: Tensor, v: Tensor) -> None:
    v.copy_(F.normalize(weight.flatten(1).mH @ u, dim=0, eps=eps))
