"""The way of a request: filled in from the scope, through the custom getters, to the store."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .._names import paths
from .._names.events import Left, NameEntry
from .._variables import partition
from .._variables.initialize import is_constant, value_of
from .._variables.making import default_dtype
from .._variables.request import DeviceLike, Partitioner, Request, Shape, as_shape
from .._variables.reuse import Reuse
from .._variables.spec import Constraint, Initializer, Kind, Regularizer
from ..errors import InitializerError, VariableShapeError
from .arguments import Getter, checked
from .call import Call
from .settings import Settings
from .stack import innermost

if TYPE_CHECKING:
    from .scope import VariableScope


def ask(
    scope: VariableScope,
    call: Call,
    kind: Kind,
    name: str,
    shape: Shape | None,
    dtype: torch.dtype | None,
    initializer: Initializer,
    options: Mapping[str, Any],
    open_scope: VariableScope | None = None,
) -> Tensor:
    """Answer ``get_variable`` or ``get_buffer`` in ``scope``: by the custom getters, if any, else by the store.

    ``open_scope`` is the innermost open one, where that is not ``scope``.
    """
    settings = scope._settings
    path = scope._path_of(name)
    _refuse_string(path, settings.initializer if initializer is None else initializer)
    if dtype is not None and is_constant(initializer):
        value_of(path, initializer, checked("dtype", dtype))  # of another dtype: an error before any getter runs
    getter = _option(options, "custom_getter", settings)
    initializer = settings.initializer if initializer is None else initializer
    if getter is None:
        return _straight(settings, call, kind, path, shape, dtype, initializer, options)
    call.refuse_in_block("The name that a custom getter is given")
    arguments = _arguments(kind, scope, options)
    arguments.update(shape=shape, initializer=initializer)
    answer = _StoreGetter(call, kind, scope, dtype, options.get("trainable"))
    # A getter is shown the dtype that the variable is going to have, as in TensorFlow.
    arguments["dtype"] = answer.shown_dtype = dtype or settings.dtype or default_dtype(call.store)
    within = open_scope or scope
    at = within._call.at
    within._call.note(NameEntry(None, within._at))  # operations of a getter are named from the top, as in TensorFlow
    try:
        made: Tensor = checked("custom_getter", getter)(answer, path, **arguments)
        return made
    finally:
        within._call.note(Left(at))


def _straight(
    settings: Settings,
    call: Call,
    kind: Kind,
    path: str,
    shape: Shape | None,
    dtype: torch.dtype | None,
    initializer: Initializer,
    options: Mapping[str, object],
) -> Tensor:
    """Ask the store without any getter: most variables are made so, and what is not given need not be checked."""
    sizes = None if shape is None else _shape_beside(path, shape, initializer)
    request = Request(path, kind, settings.reuse, sizes, checked("dtype", dtype), settings.dtype, initializer)
    request.device = settings.device
    partitioner: Partitioner | None = None
    if kind == "buffer":
        request.trainable = False
    else:
        request.regularizer, request.constraint = settings.regularizer, settings.constraint
        partitioner = settings.partitioner
    for name, value in options.items():
        if value is None:
            continue
        if name == "partitioner":
            partitioner = checked(name, value)
        else:
            setattr(request, name, checked(name, value))
    return partition.answer(call, request, partitioner)


def _shape_beside(path: str, shape: Shape, initializer: Initializer) -> tuple[int, ...]:
    """A shape, which no constant may have beside its own."""
    if is_constant(initializer):
        raise VariableShapeError.of_constant(path, shape)
    return as_shape(path, shape)


def _arguments(kind: Kind, scope: VariableScope, options: Mapping[str, object]) -> dict[str, object]:
    """What a getter is called with beside the name, shape, dtype and initializer, filled in from the scope."""
    settings = scope._settings
    arguments: dict[str, object] = {
        "device": _option(options, "device", settings),
        "reuse": scope._settings.reuse,
        "collections": options.get("collections"),
    }
    if kind == "buffer":
        return {**arguments, "trainable": False, "persistent": options.get("persistent", True)}
    for name in ("regularizer", "constraint", "partitioner"):
        arguments[name] = _option(options, name, settings)
    if options.get("axes") is not None:
        arguments["axes"] = options["axes"]
    trainable = options.get("trainable")
    # A getter is shown whether it is trained, as in TensorFlow. Integers are not, which the store knows.
    return {**arguments, "trainable": True if trainable is None else trainable}


def _option(options: Mapping[str, Any], name: str, settings: Settings) -> Any:
    option = options.get(name)
    return getattr(settings, name) if option is None else option


class _StoreGetter:
    """The innermost getter: asks the store for exactly what it is told."""

    def __init__(
        self,
        call: Call,
        kind: Kind,
        scope: VariableScope,
        asked_dtype: torch.dtype | None,
        asked_trainable: bool | None,
    ) -> None:
        self.call, self.kind, self.scope = call, kind, scope
        self.asked_dtype = self.shown_dtype = asked_dtype
        self.asked_trainable = asked_trainable

    def __call__(
        self,
        name: str,
        shape: Shape | None = None,
        dtype: torch.dtype | None = None,
        initializer: Initializer = None,
        regularizer: Regularizer | None = None,
        reuse: Reuse = None,
        trainable: bool | None = None,
        collections: Iterable[str] | None = None,
        device: DeviceLike | None = None,
        partitioner: Partitioner | None = None,
        constraint: Constraint | None = None,
        persistent: bool = True,
        axes: Sequence[str | None] | None = None,
    ) -> Tensor:
        # A getter that passes on the dtype it was shown did not choose one: the user's own, perhaps None, is used.
        dtype = self.asked_dtype if dtype is self.shown_dtype else dtype
        trainable = self.asked_trainable if trainable is True else trainable
        _refuse_string(name, initializer)
        request = Request(
            path=paths.check_path(name),
            kind=self.kind,
            reuse=self.scope._settings.reuse if reuse is None else checked("reuse", reuse),
            shape=None if shape is None else _shape_beside(name, shape, initializer),
            dtype=checked("dtype", dtype),
            default_dtype=self.scope._settings.dtype,
            initializer=initializer,
            regularizer=checked("regularizer", regularizer),
            trainable=checked("trainable", trainable),
            collections=checked("collections", collections),
            device=checked("device", device),
            constraint=checked("constraint", constraint),
            persistent=checked("persistent", persistent) is not False,
            axes=checked("axes", axes),
        )
        return partition.answer(self.call, request, checked("partitioner", partitioner))


def buffer_beside(variable: Tensor, path: str, shape: Shape, initializer: Initializer, reuse: Reuse) -> Tensor:
    """The buffer that a custom getter keeps beside a variable: of its dtype and device, by its path, past all getters.

    ``reuse`` is what the getter was told.
    """
    scope = innermost("A custom getter")
    call = scope._call
    is_new = call.store.find(path) is None  # later it may have been converted, as the variable
    answer = _StoreGetter(call, "buffer", scope, None, None)
    dtype, device = (variable.dtype, variable.device) if is_new else (None, None)
    return answer(path, shape, dtype, initializer, reuse=reuse, device=device)


def _refuse_string(path: str, initializer: Initializer) -> None:
    if isinstance(initializer, str):
        mend = "Give the initializer itself, such as zeros_initializer()."
        raise InitializerError.of(path, f"{initializer!r} is a string, not an initializer", mend)


def compose(inner: Getter, outer: Getter) -> Getter:
    """The getter of a scope inside another one's: it is called first, and the other is what it may call."""

    def both(getter: Getter, name: str, *args: object, **kwargs: object) -> Tensor:
        return inner(functools.partial(outer, getter), name, *args, **kwargs)

    return both
