"""What a variable was declared as."""

from __future__ import annotations

import contextlib
import copy
import functools
import io
import pickle
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, NoReturn, Protocol

import torch
from torch import Tensor, nn

from ..errors import ScopeError, VariableDtypeError, VariableKindError, VariableShapeError

# Collections that always exist, under the names of tf.GraphKeys.
TRAINABLE_VARIABLES = "trainable_variables"
GLOBAL_VARIABLES = "variables"
LOCAL_VARIABLES = "local_variables"
REGULARIZATION_LOSSES = "regularization_losses"

Kind = Literal["parameter", "buffer"]
Initializer = object  # a callable that fills a tensor, one that returns its value, or a constant: a number, an array
Regularizer = Callable[[Tensor], Tensor | None]
Constraint = Callable[[Tensor], Tensor | None]


class Regularizers(tuple[Regularizer, ...]):
    """Several regularizers of one variable, each with a loss of its own."""

    __slots__ = ()

    def __call__(self, variable: Tensor) -> Tensor | None:
        """The sum of their losses."""
        losses = [loss for each in self if (loss := each(variable)) is not None]
        return sum(losses[1:], losses[0]) if losses else None


@dataclass(frozen=True, slots=True, eq=False)
class VariableSpec:
    """What a variable was declared as; ``module.specs[path]`` is one.

    The declaration stays as it was made, whatever becomes of the tensor: ``.half()``, sharding or pruning change the
    tensor, and a later ``get_variable`` is still held against this shape and dtype. What is known of a variable lives
    here, by path, because attributes put on a parameter are lost when it is copied or sharded.

    >>> from torchscope import ScopedModule, get_variable
    >>> model = ScopedModule(lambda: get_variable("w", [2, 3])).build()
    >>> model.specs["w"].shape, model.specs["w"].dtype, model.specs["w"].trainable
    ((2, 3), torch.float32, True)

    Attributes:
        path: the full name, ``"encoder/layer_0/weights"``.
        shape: the declared shape, a tuple of ints.
        dtype: the declared dtype.
        kind: ``"parameter"``, or ``"buffer"`` where ``get_buffer`` made it.
        trainable: whether it was declared to have a gradient.
        persistent: whether it is part of the ``state_dict``.
        initializer: what ``reset_parameters`` fills it with; ``None`` is the default of its dtype.
        from_value: whether the initializer is the value itself, or a callable that returns it, rather than a filler.
        regularizer, constraint: called with the variable by ``regularization_losses`` and ``apply_constraints``.
        collections: the names of the collections it was declared to be in.
        axes: the names of its axes, by which a table says how they are laid out over processes.
        made_at: ``"layers.py:5, called from model.py:12"``, the lines that first asked for it; ``None``
            if it came from a ``state_dict``.
    """

    path: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    kind: Kind = "parameter"
    trainable: bool = True
    persistent: bool = True
    initializer: Initializer = None
    from_value: bool = False
    regularizer: Regularizer | None = None
    constraint: Constraint | None = None
    collections: tuple[str, ...] = (GLOBAL_VARIABLES,)
    made_at: str | None = None
    axes: tuple[str | None, ...] | None = None
    listed: list[int] = field(init=False, repr=False)  # the shape as most ask for it, to compare without a copy

    def __post_init__(self) -> None:
        object.__setattr__(self, "listed", _listed(self.shape))

    def check(self, kind: Kind, shape: tuple[int, ...] | None, dtype: torch.dtype | None) -> None:
        """Hold a later request against this declaration; an argument left out (``None``) is not checked."""
        if kind != self.kind:
            raise VariableKindError.of(self.path, kind, self.kind, self.made_at)
        if shape is not None and shape != self.shape:
            raise VariableShapeError.of(self.path, shape, self.shape, self.made_at)
        if dtype is not None and dtype != self.dtype:
            raise VariableDtypeError.of(self.path, dtype, self.dtype, self.made_at)

    @property
    def lost_callables(self) -> bool:
        """Whether a callable of this spec did not survive pickling; the next ``get`` of the path brings it back."""
        return any(isinstance(part, Unpicklable) for part in (self.initializer, self.regularizer, self.constraint))

    def __deepcopy__(self, memo: dict[int, object]) -> VariableSpec:
        # A method of the model becomes the copy's own; what cannot be copied is shared.
        if _is_shared(self.initializer) and _is_shared(self.regularizer) and _is_shared(self.constraint):
            return self
        parts = {name: getattr(self, name) for name in ("initializer", "regularizer", "constraint")}
        for name, part in parts.items():
            with contextlib.suppress(Exception):
                parts[name] = copy.deepcopy(part, memo)
        if all(part is getattr(self, name) for name, part in parts.items()):
            return self
        return replace(self, **parts)

    def __reduce__(self) -> tuple[object, ...]:
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.init}
        for name in ("initializer", "regularizer", "constraint"):
            values[name] = _picklable(values[name], name, self.path)
        return _spec_from, (values,)


def _is_shared(part: object) -> bool:
    return part is None or isinstance(part, (types.FunctionType, types.BuiltinFunctionType))


class Specs(dict[str, VariableSpec]):
    """The declarations of a store. A copy shares those that can be shared, without a look at each path."""

    def __deepcopy__(self, memo: dict[int, object]) -> Specs:
        copied = memo[id(self)] = Specs()
        for path, spec in self.items():
            copied[path] = spec.__deepcopy__(memo)
        return copied

    def copy(self) -> Specs:
        """Another one with the same declarations."""
        return Specs(self)


class SpecsView(Mapping[str, VariableSpec]):
    """The declarations of a store, to look at: those that there are now, also while others come and go."""

    def __init__(self, store: HasSpecs) -> None:
        self._store = store

    def __getitem__(self, path: str) -> VariableSpec:
        return self._store.specs[path]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._store.specs))

    def __len__(self) -> int:
        return len(self._store.specs)

    def __repr__(self) -> str:
        return f"<{len(self)} declarations: {', '.join(self)}>"


class HasSpecs(Protocol):
    """A store, as far as its declarations go."""

    owner: str
    specs: dict[str, VariableSpec]


@functools.lru_cache
def shared(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The same tuple for equal shapes, as long as it is among those that were asked for last: most variables share."""
    return shape


@functools.lru_cache
def _listed(shape: tuple[int, ...]) -> list[int]:
    """Most variables share theirs; nobody changes it."""
    return list(shape)


def _spec_from(values: dict[str, Any]) -> VariableSpec:
    return VariableSpec(**values)


class Unpicklable:
    """Stands in a loaded spec for a callable that pickle could not store; calling it says so."""

    def __init__(self, role: str, path: str, was: str) -> None:
        self.role, self.path, self.was = role, path, was

    def __call__(self, *args: object, **kwargs: object) -> NoReturn:
        raise ScopeError(
            f"The {self.role} of '{self.path}' was {self.was}, which pickle could not store with the module.\n"
            f"Call the module once, so that its code declares the {self.role} again, or use an importable function."
        )

    def __repr__(self) -> str:
        return f"<lost {self.role}: {self.was}>"


def _picklable(value: object, role: str, path: str) -> object:
    return value if not callable(value) or can_be_pickled(value) else Unpicklable(role, path, repr(value))


def can_be_pickled(value: object) -> bool:
    """Whether pickle takes it; modules and tensors in it are not asked."""
    try:
        _Probe(io.BytesIO()).dump(value)
    except Exception:  # pickle raises whatever the object's own methods do
        return False
    return True


class _Probe(pickle.Pickler):
    """Pickles something as a test, without the modules and tensors in it: a method of the model holds the model."""

    def persistent_id(self, obj: object) -> str | None:
        return "tried elsewhere" if isinstance(obj, (nn.Module, Tensor)) else None
