"""``lora``: low-rank updates of weights that stay as they are."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.init import kaiming_uniform_, zeros_
from torch.nn.utils import parametrize

from .._names.paths import nearest
from .._scopes.scope import Selects
from .._variables.store import VariableStore
from .._variables.tensors import all_tensors
from ..errors import ArgumentTypeError, ArgumentValueError, VariableNotFoundError
from .targets import is_for, targets

_first_a = functools.partial(kaiming_uniform_, a=math.sqrt(5))  # as torch.nn.Linear begins
A, B = "lora_a", "lora_b"


class lora:
    """Add a low-rank update to weights, which stay as they are: ``w + alpha / rank * (b @ a)``.

    As the ``custom_getter`` of a scope it is for every floating variable of two axes or more that is made below; with
    :meth:`apply` for those of a built module that a pattern selects, layers of ``get_module`` included. The weights get
    no gradient; ``a``, ``[rank, in]``, begins as a ``torch.nn.Linear``, and ``b``, ``[out, rank]``, at zero, so that
    nothing changes at first. Of a kernel of more axes, ``in`` is all axes but the first. Other variables are left as
    they are: freeze them by :meth:`ScopedModule.select` if they are not to train.

    >>> import torch
    >>> from torchscope import ScopedModule, get_variable, variable_scope
    >>> from torchscope.tools import lora
    >>> adapter = lora(rank=2, alpha=4)
    >>> def forward(x):
    ...     with variable_scope("head", custom_getter=adapter):
    ...         return x @ get_variable("kernel", [8, 3]).T + get_variable("bias", [8])
    >>> model = ScopedModule(forward).build(torch.ones(1, 3))
    >>> {path: list(v.shape) for path, v in model.select("**", trainable=True).items()}
    {'head/kernel/lora_a': [2, 3], 'head/kernel/lora_b': [8, 2], 'head/bias': [8]}
    >>> list(adapter.state_dict(model))
    ['head/kernel/lora_a', 'head/kernel/lora_b']

    Args:
        rank: how many rows ``a`` has.
        alpha: how much the update counts, over the rank; the rank itself by default.

    Raises:
        ArgumentValueError: ``rank`` is no positive int, or ``alpha`` no positive number.

    It is the update of "LoRA: Low-Rank Adaptation of Large Language Models" (Hu et al., 2021).
    """

    def __init__(self, rank: int, alpha: float | None = None) -> None:
        if not isinstance(rank, int) or isinstance(rank, bool) or rank < 1:
            raise ArgumentValueError.of("rank", rank, "Give a positive int.")
        if alpha is not None and (
            isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or not 0 < alpha < math.inf
        ):
            raise ArgumentValueError.of("alpha", alpha, "Give a positive number, or None for the rank.")
        self.rank = rank
        self.alpha = float(rank if alpha is None else alpha)

    def __call__(self, getter: Callable[..., Tensor], name: str, *args: object, **kwargs: object) -> Tensor:
        """As a custom getter: the weight with its update."""
        shape = kwargs.get("shape", args[0] if args else None)
        if "persistent" not in kwargs and (shape is None or (isinstance(shape, Sequence) and len(shape) >= 2)):
            kwargs["trainable"] = False  # where it is made
        weight = getter(name, *args, **kwargs)
        if not is_for(weight, kwargs, 2):
            return weight
        low = {"dtype": kwargs.get("dtype"), "device": kwargs.get("device"), "reuse": kwargs.get("reuse")}
        a = getter(f"{name}/{A}", [self.rank, weight[0].numel()], initializer=_first_a, **low)
        b = getter(f"{name}/{B}", [weight.shape[0], self.rank], initializer=NoUpdate(self.alpha), **low)
        return weight + _update(a, b, self.alpha, weight)

    def apply(self, model: nn.Module, pattern: Selects) -> None:
        """Add updates to variables of a built module, by ``torch.nn.utils.parametrize``; before its optimizer is made.

        >>> import torch
        >>> from torchscope import ScopedModule, get_variable
        >>> from torchscope.tools import lora
        >>> model = ScopedModule(lambda x: x @ get_variable("kernel", [3, 3])).build(torch.ones(1, 3))
        >>> lora(2).apply(model, "kernel")
        >>> sum(p.numel() for p in model.parameters() if p.requires_grad)
        12

        Raises:
            ArgumentValueError: the pattern selects no floating parameter of two axes or more.
            NotBuiltError: the module was never built.
        """
        for target in targets(model, pattern, least_axes=2):
            target.parameter.requires_grad_(False)
            update = LowRank(target.parameter, self.rank, self.alpha)
            parametrize.register_parametrization(target.holder, target.name, update)

    def merge(self, model: nn.Module) -> None:
        """Add every update into its weight: the module computes the same, and the updates begin at zero again.

        A weight that :meth:`apply` gave its update is an ordinary variable after it, with a gradient; one that the
        custom getter gave its update keeps it.

        Raises:
            ArgumentValueError: there is no update in the module.
        """
        _refuse_none(model, found := list(_updates(model)))
        with torch.no_grad():
            for _, weight, a, b, alpha in found:
                weight.add_(_update(a, b, alpha, weight))
                b.zero_()
        for holder, name, _ in list(_parametrized(model)):
            parametrize.remove_parametrizations(holder, name, leave_parametrized=True)
            cast(nn.Parameter, getattr(holder, name)).requires_grad_(True)
            if isinstance(holder, VariableStore):
                holder.put_in_order(tuple(holder.specs))  # torch puts it at the end

    def state_dict(self, model: nn.Module) -> dict[str, Tensor]:
        """All updates in a module, copied, by the paths of their weights; the same whichever way they were added.

        ``b`` is multiplied by ``alpha / rank``, so that an update is the same whatever ``alpha`` it is loaded with.

        Raises:
            ArgumentValueError: there is no update in the module.
        """
        _refuse_none(model, found := list(_updates(model)))
        state: dict[str, Tensor] = {}
        for path, _, a, b, alpha in found:
            state |= {f"{path}/{A}": a.detach().clone(), f"{path}/{B}": b.detach() * (alpha / a.shape[0])}
        return state

    def load_state_dict(self, model: nn.Module, state: Mapping[str, Tensor]) -> None:
        """Load updates that :meth:`state_dict` gave, all of them, into a module that has updates already.

        Raises:
            VariableNotFoundError: the module lacks one, or the state does.
            ArgumentValueError: one has another shape.
        """
        own = self.state_dict(model)
        for path in (*state, *own):
            if path not in own or path not in state:
                where = type(model).__name__ if path in state else "the state"
                raise VariableNotFoundError.of_own(path, where, nearest(path, own if path in state else state))
            if state[path].shape != own[path].shape:
                mend = f"The module has {tuple(own[path].shape)} there: make lora of the same rank."
                raise ArgumentValueError.of(f"the shape of '{path}'", tuple(state[path].shape), mend)
        with torch.no_grad():
            for path, _, a, b, alpha in _updates(model):
                a.copy_(state[f"{path}/{A}"])
                b.copy_(state[f"{path}/{B}"] * (a.shape[0] / alpha))


def _update(a: Tensor, b: Tensor, alpha: float, weight: Tensor) -> Tensor:
    return (b @ a).view(weight.shape) * (alpha / a.shape[0])


class LowRank(nn.Module):
    """A weight with its update, as a parametrization."""

    def __init__(self, weight: Tensor, rank: int, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha
        self.lora_a = nn.Parameter(_first_a(weight.new_empty(rank, weight[0].numel())))
        self.lora_b = nn.Parameter(weight.new_zeros(weight.shape[0], rank))

    def forward(self, weight: Tensor) -> Tensor:
        """The weight, updated."""
        return weight + _update(self.lora_a, self.lora_b, self.alpha, weight)


def _parametrized(model: nn.Module) -> Iterator[tuple[nn.Module, str, LowRank]]:
    """What :meth:`lora.apply` gave an update: its module, its name there, the update."""
    for module in model.modules():
        if parametrize.is_parametrized(module):
            for name, each in cast(nn.ModuleDict, module.parametrizations).items():
                if isinstance(each, parametrize.ParametrizationList) and isinstance(each[0], LowRank):
                    yield module, name, each[0]


class NoUpdate:
    """The initializer of ``b``: zero. The declaration that keeps it knows how much the update counts."""

    def __init__(self, alpha: float) -> None:
        self.alpha = alpha

    def __call__(self, b: Tensor) -> Tensor:
        return zeros_(b)


def _updates(model: nn.Module) -> Iterator[tuple[str, Tensor, Tensor, Tensor, float]]:
    """The path of each weight that has an update, the weight, ``a`` and ``b``, and what ``alpha`` it was made with."""
    if not isinstance(model, nn.Module):
        raise ArgumentTypeError.of("model", model, "Give the module that has the updates.")
    named = {each.path: each for each in all_tensors(model)}
    for path, a in named.items():
        whole, _, part = path.rpartition(f"/{A}" if path.endswith(f"/{A}") else f".{A}")
        module = model.get_submodule(a.key.rpartition(".")[0]) if whole and not part else None
        if isinstance(module, LowRank):  # by a parametrization, as the only one of its weight
            whole = whole.removesuffix(".0")
            original = named[f"{whole}.original"].tensor
            yield whole, original, module.lora_a, module.lora_b, module.alpha
        elif isinstance(module, VariableStore) and f"{whole}/{B}" in named:  # by the getter
            b = named[f"{whole}/{B}"]
            first = module.specs[b.key.rpartition(".")[2]].initializer
            if isinstance(first, NoUpdate):
                yield whole, named[whole].tensor, a.tensor, b.tensor, first.alpha


def _refuse_none(model: nn.Module, found: list[tuple[str, Tensor, Tensor, Tensor, float]]) -> None:
    if not found:
        mend = "It has no low-rank update: open a scope with custom_getter=lora(...), or apply one to the model."
        raise ArgumentValueError.of("model", type(model).__name__, mend)
