"""The way of a request: filled in from the scope, through the custom getters, to the store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import torch
from torch import Tensor

from . import _names, _partition
from ._call import Call
from ._initialize import value_of
from ._op_names import NameEntry, NameExit
from ._request import DeviceLike, Partitioner, Request, Settings, as_shape, checked
from ._spec import Constraint, Initializer, Kind, Regularizer
from .errors import InitializerError, VariableShapeError


class Scope(Protocol):
    """What a request needs to know of a scope."""

    @property
    def name(self) -> str: ...

    _reuse: Any
    _settings: Settings


def ask(
    scope: Scope,
    call: Call,
    kind: Kind,
    name: str,
    shape: Any,
    dtype: Any,
    initializer: Any,
    options: Any,
    open_scope: Scope | None = None,
) -> Any:
    """Answer ``get_variable`` or ``get_buffer`` in ``scope``: by the custom getters, if any, else by the store.

    ``open_scope`` is the innermost open one, where that is not ``scope``.
    """
    settings = scope._settings
    path = _names.check(_names.join(scope.name, _names.check(name)))
    if dtype is not None and initializer is not None and not callable(initializer):
        value_of(path, initializer, checked("dtype", dtype))  # a constant of another dtype is told before any getter
    getter = _given(options, "custom_getter", settings)
    arguments: dict[str, Any] = {
        "shape": shape,
        "dtype": dtype,
        "initializer": settings.initializer if initializer is None else initializer,
        "device": _given(options, "device", settings),
        "reuse": scope._reuse,
        "collections": options.get("collections"),
    }
    if kind == "parameter":
        arguments["regularizer"] = _given(options, "regularizer", settings)
        arguments["constraint"] = _given(options, "constraint", settings)
        arguments["partitioner"] = _given(options, "partitioner", settings)
        arguments["trainable"] = options.get("trainable")
    else:
        arguments["trainable"] = False
        arguments["persistent"] = options.get("persistent", True)
    answer = _StoreGetter(call, kind, scope, dtype)
    if getter is None:
        return answer(path, **arguments)
    # A getter is shown the dtype that the variable is going to have, as in TensorFlow.
    arguments["dtype"] = answer.shown_dtype = dtype or settings.dtype or call.store.default_dtype()
    top = NameEntry(None, open_scope or scope)  # operations of a getter are named from the top, as in TensorFlow
    try:
        return checked("custom_getter", getter)(answer, path, **arguments)
    finally:
        NameExit(top)


def _given(options: Any, name: str, settings: Settings) -> Any:
    option = options.get(name)
    return getattr(settings, name) if option is None else option


class _StoreGetter:
    """The innermost getter: asks the store for exactly what it is told."""

    def __init__(self, call: Call, kind: Kind, scope: Scope, asked_dtype: torch.dtype | None) -> None:
        self.call, self.kind, self.scope = call, kind, scope
        self.asked_dtype = self.shown_dtype = asked_dtype

    def __call__(
        self,
        name: str,
        shape: Any = None,
        dtype: torch.dtype | None = None,
        initializer: Initializer = None,
        regularizer: Regularizer | None = None,
        reuse: Any = None,
        trainable: bool | None = None,
        collections: Iterable[str] | None = None,
        device: DeviceLike | None = None,
        partitioner: Partitioner | None = None,
        constraint: Constraint | None = None,
        persistent: bool = True,
    ) -> Tensor:
        # A dtype that the getter passed on as it was shown is what the user asked for, which may be nothing.
        dtype = self.asked_dtype if dtype is self.shown_dtype else checked("dtype", dtype)
        constant = initializer is not None and not callable(initializer)
        if isinstance(initializer, str):
            mend = "Give the initializer itself, such as zeros_initializer()."
            raise InitializerError.of(name, f"{initializer!r} is a string, not an initializer", mend)
        if constant and shape is not None:
            raise VariableShapeError.of_constant(name, shape)
        request = Request(
            path=_names.check(name),
            kind=self.kind,
            reuse=self.scope._reuse if reuse is None else reuse,
            shape=None if shape is None else as_shape(name, shape),
            dtype=checked("dtype", dtype),
            default_dtype=self.scope._settings.dtype,
            initializer=initializer,
            regularizer=checked("regularizer", regularizer),
            trainable=checked("trainable", trainable),
            collections=checked("collections", collections),
            device=checked("device", device),
            constraint=checked("constraint", constraint),
            persistent=persistent,
        )
        return _partition.answer(self.call, request, checked("partitioner", partitioner))
