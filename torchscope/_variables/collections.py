"""What is in a collection, and what is done with all variables at once: losses of regularizers, constraints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .._names import paths
from ..errors import ArgumentValueError, NotBuiltError
from .identity import holds, in_modules, leaves, path_of
from .making import GLOBAL_VARIABLES, REGULARIZATION_LOSSES, TRAINABLE_VARIABLES
from .resetting import refuse_computed
from .store import VariableStore

Loose = Mapping[str, list[tuple[str, object]]]  # collection -> the scope where a value was added, and the value


def collection(store: VariableStore, name: str, scope: str, loose: Loose) -> list[Any]:
    """What is in a collection below ``scope``: variables first, then the values in ``loose``."""
    tagged = store.tagged.get(name, ())
    variables: list[Any] = []
    trainable = name == TRAINABLE_VARIABLES
    for spec, variable in store.select(scope):
        trained = [leaf for leaf in leaves(store, spec.path) if leaf.requires_grad] if trainable else []
        if trained:
            variables += trained
        elif name in spec.collections or spec.path in tagged:
            variables.append(variable)
    if trainable:
        variables += [tensor for _, tensor in in_modules(store, scope) if tensor.requires_grad]
    if name == GLOBAL_VARIABLES:
        variables += [tensor for _, tensor in in_modules(store, scope)]
    losses = regularization_losses(store, scope) if name == REGULARIZATION_LOSSES else []
    selected = paths.selector(scope, store.specs)
    return variables + losses + [value for where, value in loose.get(name, ()) if selected(where)]


def tag(store: VariableStore, name: str, value: object) -> bool:
    """Put a variable into a collection for good; ``False`` if the value is no variable of the store."""
    if not (isinstance(value, Tensor) and holds(store, value)):
        return False
    path = path_of(store, value)
    if path not in store.tagged.setdefault(name, []):
        store.tagged[name].append(path)
    return True


def regularization_losses(store: VariableStore, scope: str) -> list[Tensor]:
    """One loss per regularized variable, computed from today's values."""
    _refuse_undeclared(store, "regularizers")
    losses = []
    for spec, variable in store.select(scope):
        loss = spec.regularizer(variable) if spec.regularizer is not None else None
        if loss is not None:
            if not isinstance(loss, Tensor) or loss.dim():
                mend = f"It is the loss of '{spec.path}': a regularizer returns a scalar tensor, or None."
                raise ArgumentValueError.of("the regularizer's result", loss, mend)
            losses.append(loss)
    return losses


def apply_constraints(store: VariableStore) -> None:
    """Project in place every variable that was declared with a constraint."""
    _refuse_undeclared(store, "constraints")
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
