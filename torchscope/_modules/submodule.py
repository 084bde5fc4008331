"""``get_module``: a whole ``nn.Module`` under a scope, created or shared by the rules of ``get_variable``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from .._scopes.scope import VariableScope
from .._scopes.stack import innermost, thread
from .._variables.initialize import plain_mode, stream_of
from .._variables.made_at import caller
from .._variables.module_tree import tensors_of
from .._variables.request import DeviceLike
from .._variables.spec import can_be_pickled
from .._variables.store import compare
from .._variables.tracing import tracer
from ..errors import ArgumentTypeError, VariableKindError

M = TypeVar("M", bound=nn.Module)
Args = tuple[object, ...]
Kwargs = dict[str, object]


def get_module(name: str, factory: Callable[..., M], *args: object, **kwargs: object) -> M:
    """The module of this name in the scopes that are open: returned, shared or created as they say.

    The rules are those of :func:`get_variable`: the first get of a path in a call returns the module, or creates it by
    ``factory(*args, **kwargs)`` while that is allowed; a second one needs a scope with ``reuse``. It is a child of
    ``model.variables``, so its parameters are ``variables.<path>.<name>``, and it is a unit of its own for what works
    module by module: hooks, FSDP2, ``torch.compile`` in place.

    >>> import torch
    >>> from torchscope import ScopedModule, get_module, variable_scope
    >>> def forward(x):
    ...     with variable_scope("encoder"):
    ...         return get_module("gru", torch.nn.GRU, x.shape[-1], 4)(x)[0]
    >>> model = ScopedModule(forward, seed=0).build(torch.ones(5, 2, 3))
    >>> [name for name, _ in model.named_parameters()][:2]
    ['variables.encoder/gru.weight_ih_l0', 'variables.encoder/gru.weight_hh_l0']
    >>> len(model.trainable_variables("encoder"))
    4

    Args:
        name: the name in the current scope, which may hold slashes.
        factory: what makes the module, such as its class; called only where it is created, with gradients switched off,
            on the scope's or the module's device and, with a ``seed``, from the path's own random stream; and again,
            for the numbers, by ``reset_parameters``.
        *args: given to the factory. A later get does not check them.
        **kwargs: likewise.

    Returns:
        The module. With a dtype of the scope or the module, its floating parameters have that.

    Raises:
        NoActiveModuleError: no module is running in this thread.
        InvalidNameError: the name cannot be part of a path.
        VariableExistsError: the path was got in this call before, and the scope does not reuse.
        VariableNotFoundError: the path does not exist, and the scope only reuses or the model is built.
        VariableKindError: a variable lives at this path.
        ArgumentTypeError: the factory is no function, or what it returns is no ``nn.Module``.
        TracingError: it would have to be created while something is tracing.
    """
    scope = innermost("get_module()")
    if isinstance(factory, nn.Module):
        kind = type(factory).__name__
        mend = f"It is a module already, and would be another in each call: get_module({name!r}, {kind}, ...) makes it."
        raise ArgumentTypeError.of("factory", factory, mend)
    call = scope._call
    path = scope._path_of(name)
    if call.building is None or tracer() is not None:
        return _answer(scope, path, factory, args, kwargs)
    with call.store.lock:
        return _answer(scope, path, factory, args, kwargs)


def _answer(scope: VariableScope, path: str, factory: Callable[..., M], args: Args, kwargs: Kwargs) -> M:
    """The module of a path, by the rule of reuse."""
    call = scope._call
    store, spec = call.store, call.store.specs.get(path)
    spec = spec or store.specs.get(f"{path}/part_0" if path in store.parts else "")
    if spec is not None:
        raise VariableKindError.of(path, "module", spec.kind, spec.made_at)
    module, made_at = store._modules.get(path), store.module_made_at.get(path)
    got = call.has_got(path)
    # Whether it is saved is known once it is made: a ReLU has nothing to save.
    if store.is_new(
        call, path, scope._settings.reuse, got=got, exists=module is not None, made_at=made_at, saved=False
    ):
        module = _create(scope, path, _maker(scope, factory, args, kwargs))
    else:
        compare(store, call, path, made_at)
    if path not in store.makers and tracer() is None:
        store.makers[path] = _maker(scope, factory, args, kwargs)
    if not got:
        call.note(path)
    return module  # type: ignore[return-value]  # it was made by this factory


def _maker(scope: VariableScope, factory: Callable[..., nn.Module], args: Args, kwargs: Kwargs) -> _Maker:
    return _Maker(factory, args, kwargs, scope._settings.dtype or scope._call.store.dtype)


def _create(scope: VariableScope, path: str, make: _Maker) -> nn.Module:
    call, store = scope._call, scope._call.store
    device = scope._settings.device if scope._settings.device is not None else store.device
    if store.sharding is not None:
        store.share_seed(store.sharding)
    module = make(path, store.seed, device)
    if not store.training:
        module.eval()
    with plain_mode():  # the look is no operation of the model
        is_saved = bool(module.state_dict())
    if is_saved:  # then it may have to be in the state_dict that the root is made from
        store.is_new(call, path, False, got=False, exists=False, made_at=None, saved=True)
    if store.sharding is not None:
        store.sharding.place_module(path, module)
    store.note_created(call, path, {f"{path}.{name}": tensor for name, tensor in tensors_of(module)})
    store.makers[path] = make
    store.put_module(path, module, caller())
    for watcher in thread.stack.watchers:
        watcher.begins(call.root)
    return module


class _Maker:
    """How a module was made, to make it again: that is where ``reset_parameters`` takes the numbers from."""

    __slots__ = ("args", "dtype", "factory", "kwargs")

    def __init__(
        self, factory: Callable[..., nn.Module], args: Args, kwargs: Kwargs, dtype: torch.dtype | None
    ) -> None:
        self.factory, self.args, self.kwargs, self.dtype = factory, args, kwargs, dtype

    def __call__(self, path: str, seed: int | None, device: DeviceLike | None) -> nn.Module:
        """Make it, on a device or torch's default one."""
        if not callable(self.factory):
            mend = "Give what makes the module, such as its class: torch.nn.GRU."
            raise ArgumentTypeError.of("factory", self.factory, mend)
        target = torch.get_default_device() if device is None else torch.device(device)
        # With a seed it is made on the CPU and moved, so that the numbers are the same on every device.
        seed = None if target.type == "meta" else seed
        with plain_mode(), torch.device(target), stream_of(path, seed):
            module = self.factory(*self.args, **self.kwargs)
        if not isinstance(module, nn.Module):
            raise ArgumentTypeError.of("the factory's result", module, f"It makes '{path}': return an nn.Module.")
        if self.dtype is not None:
            module.to(dtype=self.dtype)
        return module if seed is None else module.to(target)

    def __deepcopy__(self, memo: dict[int, object]) -> _Maker:
        return self  # it is never changed

    def __reduce__(self) -> tuple[object, ...]:
        parts = (self.factory, self.args, self.kwargs, self.dtype)
        return (_Maker, parts) if can_be_pickled(parts) else (_lost, ())


def _lost() -> None:
    """What is left of a maker that pickle could not store."""
