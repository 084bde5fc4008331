"""From a request to a declaration and its tensor: made anew, or completed where a file gave only the tensor."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..errors import ArgumentValueError, VariableDtypeError
from .conversion import converts, too_large
from .initialize import FromVariables, as_declared, fill, gives_value, plain_mode, value_of
from .made_at import caller
from .module_tree import ModuleTreeDict
from .request import Request
from .sharding import Sharding
from .spec import GLOBAL_VARIABLES, LOCAL_VARIABLES, Initializer, VariableSpec, shared
from .tracing import refuse


def default_dtype(store: ModuleTreeDict) -> torch.dtype:
    """The dtype of a variable that neither argument nor scope gives one: the module's, else torch's default."""
    return store.dtype or torch.get_default_dtype()


def make(store: ModuleTreeDict, request: Request) -> tuple[VariableSpec, Tensor]:
    """Declare a new variable and fill its tensor; the store does not have it yet.

    Raises:
        VariableShapeError, VariableDtypeError, InitializerError: it cannot be made as it is asked for.
        TracingError: tensors are not plain ones here.
    """
    path, initializer = request.path, as_declared(request.path, request.initializer)
    sharding = _sharding_of(store, request)
    with plain_mode():
        value = None
        if request.shape is None:
            value = value_of(path, initializer, request.dtype, store.seed)
            spec = _declare(request, initializer, tuple(value.shape), value.dtype)
        else:
            dtype = request.dtype or request.default_dtype or default_dtype(store)
            spec = _declare(request, initializer, request.shape, dtype)
        tensor = empty(store, request, spec.shape, spec.dtype)
        if type(tensor) is not Tensor:
            refuse(path, store.owner, f"tensors of type {type(tensor).__name__}")
        if value is None:
            first = initializer.in_a_module(store.find_whole) if isinstance(initializer, FromVariables) else initializer
            fill(tensor, path, first, store.seed, store.layout)
        else:
            tensor.copy_(value)
        if sharding is not None:
            tensor = sharding.place(spec, tensor)
        if spec.kind == "parameter":
            tensor = nn.Parameter(tensor, requires_grad=spec.trainable)
    return spec, tensor


def _sharding_of(store: ModuleTreeDict, request: Request) -> Sharding | None:
    """How a new variable is laid out over processes; all of them then draw it from the stream of one seed."""
    if request.sharding is not None:
        request.sharding.refuse_elsewhere(request.path, store.sharding)
    sharding = request.sharding or store.sharding
    if sharding is not None:
        store.share_seed(sharding)
    return sharding


def empty(store: ModuleTreeDict, request: Request, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A tensor for a new variable, where the request or else the store says."""
    return torch.empty(shape, dtype=dtype, device=store.device if request.device is None else request.device)


def _declare(request: Request, initializer: Initializer, shape: tuple[int, ...], dtype: torch.dtype) -> VariableSpec:
    differentiable = dtype.is_floating_point or dtype.is_complex
    if request.trainable and not differentiable:
        raise VariableDtypeError.of_trainable(request.path, dtype)
    collections = request.collections
    if collections is None:
        collections = (GLOBAL_VARIABLES if request.persistent else LOCAL_VARIABLES,)
    if request.axes is not None and len(request.axes) != len(shape):
        mend = f"'{request.path}' has the shape {shape}: give a name, or None, for each of its {len(shape)} axes."
        raise ArgumentValueError.of("axes", request.axes, mend)
    return VariableSpec(
        path=request.path,
        shape=shared(shape),
        dtype=dtype,
        kind=request.kind,
        trainable=differentiable if request.trainable is None else request.trainable,
        persistent=request.persistent,
        initializer=initializer,
        from_value=request.shape is None and gives_value(initializer),
        regularizer=request.regularizer,
        constraint=request.constraint,
        collections=collections,
        made_at=caller(),
        axes=request.axes,
    )


def complete(
    store: ModuleTreeDict, request: Request, spec: VariableSpec, tensor: Tensor
) -> tuple[VariableSpec, Tensor]:
    """Declare in full a variable that a file gave, that was put in by hand, or whose callables pickle lost.

    A tensor from a file becomes what the file would have made of a variable that was there before: it is converted to
    the declared dtype, unless the module was converted since. The conversion is in place: the caller takes a snapshot
    if it must go back.

    Raises:
        VariableShapeError, VariableDtypeError, VariableKindError: the file has something else than the code asks for.
    """
    undeclared = spec.made_at is None
    from_file = undeclared and store.provisional[request.path] == "file"
    spec.check(spec.kind if undeclared else request.kind, request.shape, None if from_file else request.dtype)
    dtype = _dtype_for(store, request) if from_file else None
    declared = _declare(request, as_declared(spec.path, request.initializer), spec.shape, dtype or spec.dtype)
    if from_file and tensor.dtype == spec.dtype != declared.dtype:
        tensor.data = _converted(spec, tensor.data, declared.dtype)
    if request.sharding is not None:
        request.sharding.refuse_elsewhere(request.path, store.sharding)
        placed = request.sharding.place(declared, tensor.detach())
        tensor = nn.Parameter(placed, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else placed
    if undeclared and request.kind == "buffer":
        return declared, tensor.detach()
    if undeclared and not isinstance(tensor, nn.Parameter):
        return declared, nn.Parameter(tensor, requires_grad=declared.trainable)
    if undeclared and request.trainable is False:
        tensor.requires_grad_(False)
    elif from_file and declared.trainable and not spec.trainable:  # an integer, or frozen where the file was written
        tensor.requires_grad_(True)
    return declared, tensor


def _dtype_for(store: ModuleTreeDict, request: Request) -> torch.dtype | None:
    """The dtype that the variable would have if it were new; ``None`` if nothing says."""
    if request.dtype is not None:
        return request.dtype
    if request.shape is not None:
        return request.default_dtype or default_dtype(store)
    if gives_value(request.initializer):
        return value_of(request.path, as_declared(request.path, request.initializer), None, store.seed).dtype
    return request.default_dtype


def _converted(spec: VariableSpec, data: Tensor, dtype: torch.dtype) -> Tensor:
    """The numbers that a file gave in the dtype that the code declares."""
    if not converts(spec.dtype, dtype):
        raise VariableDtypeError.of(spec.path, dtype, spec.dtype, spec.made_at)
    largest = too_large(data, dtype)
    if largest is not None:
        raise VariableDtypeError.of_overflow(spec.path, dtype, largest, spec.dtype)
    return data.to(dtype)
