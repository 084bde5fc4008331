"""``model.select``: variables of a module tree, chosen by pattern."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Literal, Self

from torch import Tensor, nn

from .._names.patterns import refuse_nothing, selector
from .._scopes.scope import Selects, as_patterns
from .._variables.identity import once
from .._variables.tensors import NamedTensor, all_tensors
from ..errors import ArgumentTypeError, ArgumentValueError, first_few

Kind = Literal["parameter", "buffer"]


class Selection(Mapping[str, Tensor]):
    """Variables by path, in the order of their creation; what :meth:`ScopedModule.select` returns.

    It holds the variables that there were when it was made. A variable that is at two paths is under both, and counts
    once.

    >>> import torch
    >>> from torchscope import ScopedModule, get_variable, variable_scope
    >>> def forward(x):
    ...     for layer in ("encoder", "head"):
    ...         with variable_scope(layer):
    ...             x = x @ get_variable("kernel", [3, 3]) + get_variable("bias", [3])
    ...     return x
    >>> model = ScopedModule(forward).build(torch.ones(1, 3))
    >>> model.select("encoder").freeze()
    <Selection of 2 variables, 12 elements: encoder/kernel, encoder/bias>
    >>> list(model.select("**/{kernel,bias}", trainable=True))
    ['head/kernel', 'head/bias']
    """

    def __init__(self, chosen: Mapping[str, NamedTensor]) -> None:
        self._chosen = dict(chosen)

    def __getitem__(self, path: str) -> Tensor:
        return self._chosen[path].tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._chosen)

    def __len__(self) -> int:
        return len(self._chosen)

    def __repr__(self) -> str:
        names = ", ".join(list(self)[:4]) + (", ..." if len(self) > 4 else "")
        return f"<Selection of {len(self)} variables, {self.numel():,} elements: {names or 'none'}>"

    def parameters(self) -> list[nn.Parameter]:
        """The parameters, each once; buffers are left out."""
        return [tensor for tensor in once(self.values()) if isinstance(tensor, nn.Parameter)]

    def numel(self) -> int:
        """The number of elements of all variables, buffers included; of a sharded variable, of the whole."""
        return sum(tensor.numel() for tensor in once(self.values()))

    def state_dict(self) -> dict[str, Tensor]:
        """The part of the module's ``state_dict`` that is selected, under the same keys.

        ``model.load_state_dict(part, strict=False)`` loads it. Buffers that are not saved are left out.
        """
        return {each.key: each.tensor.detach() for each in self._chosen.values() if each.saved}

    def freeze(self) -> Self:
        """Switch gradients off, and forget those that are there: no optimizer moves these parameters any more."""
        for parameter in self._trained():
            parameter.requires_grad_(False)
            parameter.grad = None
        return self

    def unfreeze(self) -> Self:
        """Switch gradients on, of all parameters whose dtype can have one."""
        for parameter in self._trained():
            if parameter.is_floating_point() or parameter.is_complex():
                parameter.requires_grad_(True)
        return self

    def _trained(self) -> list[nn.Parameter]:
        parameters = self.parameters()
        if self._chosen and not parameters:
            mend = "Buffers are no optimizer's to move. Select parameters."
            raise ArgumentValueError.of("the selection", list(self)[:3], f"It has buffers alone. {mend}")
        return parameters


def select(
    root: nn.Module,
    owner: str,
    pattern: Selects,
    *,
    exclude: Selects | None = None,
    kind: Kind | None = None,
    trainable: bool | None = None,
    where: Callable[[str, Tensor], bool] | None = None,
    allow_empty: bool = False,
) -> Selection:
    """What :meth:`ScopedModule.select` says."""
    _check(kind, trainable, where)
    everything = {each.path: each for each in all_tensors(root)}
    wanted, unwanted = as_patterns(pattern, "pattern"), () if exclude is None else as_patterns(exclude, "exclude")
    if not allow_empty:
        refuse_nothing(wanted, everything, owner, "pattern")
        if exclude is not None:
            refuse_nothing(unwanted, everything, owner, "exclude")
    selects, excludes = selector(wanted, everything), selector(unwanted, everything)
    by_pattern = {path: each for path, each in everything.items() if selects(path)}
    chosen = {
        path: each
        for path, each in by_pattern.items()
        if not excludes(path) and _fits(each.tensor, kind, trainable) and (where is None or where(path, each.tensor))
    }
    if not chosen and not allow_empty:
        filters = {"exclude": exclude, "kind": kind, "trainable": trainable, "where": where}
        said = ", ".join(f"{name}={value!r}" for name, value in filters.items() if value is not None)
        problem = f"It selects {first_few(list(by_pattern))} of {owner}, and {said or 'nothing'} leaves none of them."
        raise ArgumentValueError.of("pattern", pattern, f"{problem} Where that is fine, give allow_empty=True.")
    return Selection(chosen)


def _check(kind: object, trainable: object, where: object) -> None:
    if kind not in (None, "parameter", "buffer"):
        raise ArgumentValueError.of("kind", kind, "Use 'parameter', 'buffer', or None for both.")
    if trainable is not None and not isinstance(trainable, bool):
        raise ArgumentTypeError.of("trainable", trainable, "Give True, False, or None for both.")
    if where is not None and not callable(where):
        raise ArgumentTypeError.of("where", where, "Give a function of a path and its variable, or None.")


def _fits(tensor: Tensor, kind: Kind | None, trainable: bool | None) -> bool:
    if kind is not None and (kind == "parameter") is not isinstance(tensor, nn.Parameter):
        return False
    return trainable is None or tensor.requires_grad is trainable
