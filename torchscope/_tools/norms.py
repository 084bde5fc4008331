"""``weight_norm`` and ``spectral_norm``: weights of a norm that is learned, or that is one."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from .._scopes.get_variable import get_buffer
from .._scopes.scope import Selects
from .._scopes.stack import innermost
from ..errors import ArgumentValueError
from .targets import is_for, relative, targets


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
        g = getter(f"{name}/g", shape, initializer=functools.partial(_fill_norm, v, self.dim), **_as_its(kwargs))
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
    """Weights over their largest singular value, found by power iteration: one step in each call that trains.

    As the ``custom_getter`` of a scope it is for every floating variable of two axes or more that is made below, with
    the buffers ``<path>/u`` and ``<path>/v``; with :meth:`apply` for those of a built module that a pattern selects, by
    ``torch.nn.utils.parametrizations.spectral_norm``. A kernel of more axes is a matrix of its first axis and the rest.

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
        matrix, own = weight.flatten(1), relative(name)
        u = get_buffer(f"{own}/u", [matrix.shape[0]], weight.dtype, functools.partial(_fill_left, weight, self.eps))
        v = get_buffer(f"{own}/v", [matrix.shape[1]], weight.dtype, functools.partial(_fill_right, weight, u, self.eps))
        if innermost("spectral_norm()")._call.root.training:
            with torch.no_grad():
                for _ in range(self.n_power_iterations):
                    u.copy_(F.normalize(matrix @ v, dim=0, eps=self.eps))
                    v.copy_(F.normalize(matrix.mT @ u, dim=0, eps=self.eps))
        # Copies, for the gradient: a second use in the same call moves the buffers on.
        return weight / torch.vdot(u.clone(), matrix @ v.clone())

    def apply(self, model: nn.Module, pattern: Selects) -> None:
        """Do it to variables of a built module; before its optimizer is made.

        Raises:
            ArgumentValueError: the pattern selects no floating parameter of two axes or more.
            NotBuiltError: the module was never built.
        """
        for target in targets(model, pattern, least_axes=2):
            parametrizations.spectral_norm(target.holder, target.name, self.n_power_iterations, self.eps, 0)


def _as_its(kwargs: dict[str, object]) -> dict[str, object]:
    """What a variable beside another takes over from it."""
    return {name: kwargs.get(name) for name in ("dtype", "device", "reuse", "trainable")}


def _norm(v: Tensor, dim: int | None) -> Tensor:
    """The length of each row along an axis."""
    axes = [axis for axis in range(v.dim()) if axis != dim]
    length: Tensor = torch.linalg.vector_norm(v, dim=axes, keepdim=True)
    return length


def _fill_norm(v: Tensor, dim: int | None, g: Tensor) -> None:
    g.copy_(_norm(v, dim))


def _fill_left(weight: Tensor, eps: float, u: Tensor) -> None:
    """The left singular vector, nearly: 15 steps from a random one."""
    matrix = weight.flatten(1)
    u.normal_()
    for _ in range(15):
        u.copy_(F.normalize(matrix @ F.normalize(matrix.mT @ u, dim=0, eps=eps), dim=0, eps=eps))


def _fill_right(weight: Tensor, u: Tensor, eps: float, v: Tensor) -> None:
    v.copy_(F.normalize(weight.flatten(1).mT @ u, dim=0, eps=eps))
