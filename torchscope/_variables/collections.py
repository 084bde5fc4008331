"""What is in a collection, and what is done with all variables at once: losses of regularizers, constraints."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from .._names.patterns import Patterns, refuse_nothing, selector
from .._torch import end_gathering
from ..errors import ArgumentValueError, NotBuiltError, VariableNotFoundError
from .identity import in_modules, leaves, once, path_of, refuse_computed
from .spec import (
    GLOBAL_VARIABLES,
    LOCAL_VARIABLES,
    REGULARIZATION_LOSSES,
    TRAINABLE_VARIABLES,
    Regularizers,
    VariableSpec,
)
from .store import Collected, VariableStore


def collection(store: VariableStore, name: str, scope: Patterns, collected: Collected) -> list[Any]:
    """What is in a collection below ``scope``: variables first, then other values that were added."""
    variables: list[Tensor] = []
    tagged = store.tagged.get(name, ())
    trainable = name == TRAINABLE_VARIABLES
    for spec, variable in store.select(scope):
        trained = [leaf for leaf in leaves(store, spec.path) if leaf.requires_grad] if trainable else []
        if trained:
            variables += trained
        elif name in spec.collections or spec.path in tagged:
            variables.append(variable)
    variables += [
        tensor for path, tensor, saved in in_modules(store, scope) if path in tagged or _belongs(name, tensor, saved)
    ]
    losses = regularization_losses(store, scope) if name == REGULARIZATION_LOSSES else []
    selected = selector(scope, store.specs)
    return [*once(variables), *losses, *(value for where, value in collected.get(name, ()) if selected(where))]


def _belongs(name: str, tensor: Tensor, saved: bool) -> bool:
    """Whether a tensor of a layer is in a collection; ``saved``: it is a part of the ``state_dict``."""
    if name == TRAINABLE_VARIABLES:
        return tensor.requires_grad
    return name == (GLOBAL_VARIABLES if saved else LOCAL_VARIABLES)


def refuse_empty(store: VariableStore, scope: Patterns, collected: Collected) -> None:
    """Refuse a ``scope`` that selects neither a variable nor anything that was added to a collection."""
    if scope != "":
        added = {where for values in collected.values() for where, _ in values}
        layers = [path for path, _, _ in in_modules(store)]
        refuse_nothing(scope, list(dict.fromkeys((*store.existing(), *layers, *added))), store.owner)


def tag(store: VariableStore, name: str, value: object) -> Callable[[], None] | None:
    """Put a variable into a collection for good; returns how to undo that, or ``None`` if it is no variable."""
    if not isinstance(value, Tensor):
        return None
    try:
        path = path_of(store, value)
    except VariableNotFoundError:
        return None
    tagged = store.tagged.setdefault(name, [])
    if path in tagged:
        return lambda: None
    tagged.append(path)
    return lambda: tagged.remove(path) if path in tagged else None


def regularization_losses(store: VariableStore, scope: Patterns) -> list[Tensor]:
    """One loss per regularized variable, computed from today's values."""
    _refuse_undeclared(store, "regularizers")
    return losses_of(store.select(scope))


def losses_of(declared: Iterable[tuple[VariableSpec, Tensor]]) -> list[Tensor]:
    """One loss per regularized variable of these."""
    losses: list[Tensor] = []
    regularized: set[int] = set()
    for spec, variable in declared:
        if spec.regularizer is None or id(variable) in regularized:
            continue
        for regularizer in spec.regularizer if isinstance(spec.regularizer, Regularizers) else (spec.regularizer,):
            loss = regularizer(variable)
            if loss is not None:
                regularized.add(id(variable))
                losses.append(_scalar(spec.path, loss))
    return losses


def _scalar(path: str, loss: object) -> Tensor:
    """The loss of a regularizer.

    Raises:
        ArgumentValueError: it is no scalar tensor.
    """
    if not isinstance(loss, Tensor) or loss.dim():
        mend = f"It is the loss of '{path}': a regularizer returns a scalar tensor, or None."
        raise ArgumentValueError.of("the regularizer's result", loss, mend)
    return loss


def apply_constraints(store: VariableStore) -> None:
    """Project in place every variable that was declared with a constraint."""
    _refuse_undeclared(store, "constraints")
    end_gathering(store)
    with torch.no_grad():
        refuse_computed(store, "projected", (spec.path for spec in store.declared() if spec.constraint is not None))
        for spec, variable in store.select():
            projected = spec.constraint(variable) if spec.constraint is not None else None
            if projected is None or projected is variable:
                continue
            if not isinstance(projected, Tensor) or projected.shape != variable.shape:
                mend = f"It projects '{spec.path}': a constraint returns a tensor of the variable's shape, or None."
                raise ArgumentValueError.of("the constraint's result", projected, mend)
            variable.copy_(projected)


def _refuse_undeclared(store: VariableStore, what: str) -> None:
    undeclared = (spec.path in store.provisional and spec.made_at is None for spec in store.declared())
    if not store.built and any(undeclared):
        raise NotBuiltError.of_undeclared(store.owner, what)
