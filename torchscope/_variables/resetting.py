"""Filling every variable anew, in place, as it was declared."""

from __future__ import annotations

import functools

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from .._torch import end_gathering
from ..errors import InitializerError
from .identity import refuse_computed
from .initialize import FromVariables, copied, fill, plain_mode, stream_of, value_of
from .module_tree import tensors_of
from .sharding import fill_part, is_sharded
from .spec import VariableSpec
from .store import VariableStore


def reset(store: VariableStore) -> None:
    """Fill every variable anew, in place, as its declaration says; modules of ``get_module`` likewise.

    Raises:
        InitializerError: one has no known initializer, or cannot be filled.
    """
    unknown = [spec.path for spec in store.declared() if spec.path in store.provisional]
    unknown += [path for path in list(store.module_made_at) if path not in store.makers]
    if unknown:
        problem = f"{len(unknown)} variables of {store.owner} have no known initializer, this one first"
        mend = "They came from a state_dict, or pickle lost the function: call the module once before resetting."
        raise InitializerError.of(unknown[0], problem, mend)
    refuse_computed(store, "filled", list(store.specs))
    end_gathering(store)
    with plain_mode():
        tied = store.tied()
        for spec, variable in store.select():
            if spec.path in tied:  # it is filled as the first of its paths says
                continue
            fill_part(variable.detach(), functools.partial(_fill, store, spec))
        for path in list(store.module_made_at):
            module = store._modules.get(path)
            if module is not None:  # another thread may have taken it back meanwhile
                _reset_module(store, path, module)


def _fill(store: VariableStore, spec: VariableSpec, tensor: Tensor) -> None:
    """Fill a tensor as a variable was declared."""
    if spec.from_value:
        tensor.copy_(value_of(spec.path, spec.initializer, spec.dtype, store.seed))
        return
    first = spec.initializer
    first = first.in_a_module(store.find_whole) if isinstance(first, FromVariables) else first
    fill(tensor, spec.path, first, store.seed, store.layout)


def _reset_module(store: VariableStore, path: str, module: nn.Module) -> None:
    """Give the tensors of a layer the numbers of one that is made anew; a ScopedModule inside has its own reset."""
    held = _own_tensors(module)
    made = _made_anew(store, path, held)
    if made is None:  # by its own means, parts before the whole
        with stream_of(path, store.seed):
            for part in reversed(_own_parts(module)):
                getattr(part, "reset_parameters", lambda: None)()
        return
    if [(name, t.shape) for name, t in held.items()] != [(name, t.shape) for name, t in made.items()]:
        mend = "Remove what was added to it (a parametrization, say) first, or fill it yourself."
        raise InitializerError.of(path, "this layer has other tensors now than its factory makes", mend)
    for name, tensor in held.items():
        fill_part(tensor.detach(), functools.partial(copied, value=made[name]))


def _made_anew(store: VariableStore, path: str, held: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """The tensors of a layer made anew; ``None`` if they are of other types, or it has them from its first input."""
    if any(type(tensor) not in (Tensor, nn.Parameter) and not is_sharded(tensor) for tensor in held.values()):
        return None
    device = next((tensor.device for tensor in held.values()), None)
    made = _own_tensors(store.makers[path](path, store.seed, device))
    return None if any(map(is_lazy, made.values())) else made


def _own_tensors(module: nn.Module) -> dict[str, Tensor]:
    """The tensors of a module with their names, but for those of a ScopedModule in it."""
    others = tuple(f"{name}." for name, part in module.named_modules() if isinstance(part, VariableStore))
    return {name: tensor for name, tensor in tensors_of(module) if not name.startswith(others)}


def _own_parts(module: nn.Module) -> list[nn.Module]:
    """The modules of a tree, the whole first, but for the ScopedModules in it and what these hold."""
    parts = [module]
    for child in module.children():
        if not isinstance(getattr(child, "variables", None), VariableStore):
            parts += _own_parts(child)
    return parts
