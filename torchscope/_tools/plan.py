"""``model.plan``: what a module is going to be, found out on the meta device, where tensors have no memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from .._torch import tree_map
from .._variables.parameter_dict import UnbuiltParameters
from .._variables.store import VariableStore
from ..errors import ArgumentTypeError, ArgumentValueError
from .summary import Training

T = TypeVar("T")
Optimizer = str | type[torch.optim.Optimizer]


@contextmanager
def on_meta(root: nn.Module) -> Iterator[None]:
    """Let a module tree have no memory in the block, and be what it was after it.

    Its tensors are replaced by copies on the meta device, ties and all, and stores without variables by others there.
    """
    blank: dict[int, Tensor] = {}  # of each tensor by its identity, so that what is one stays one
    undo: list[tuple[dict[str, object], dict[str, object]]] = []  # what holds something, and what it held
    try:
        for module in list(root.modules()):
            if isinstance(module, VariableStore) and module.holds_nothing:
                continue
            # What is to be put back is noted before it is changed: an interrupt leaves nothing half done.
            for kept in (module._parameters, module._buffers, module._modules, *_attributes(module)):
                if not isinstance(kept, UnbuiltParameters):
                    entries = cast("dict[str, object]", kept)
                    undo.append((entries, dict(entries)))
            for tensors in (module._parameters, module._buffers):
                if not isinstance(tensors, UnbuiltParameters):
                    for name, tensor in tensors.items():
                        if tensor is not None and not is_lazy(tensor):
                            tensors[name] = blank.setdefault(id(tensor), _blank(tensor))  # type: ignore[assignment]
            for name, child in list(module._modules.items()):
                if isinstance(child, VariableStore) and child.holds_nothing:
                    module._modules[name] = _empty(child)
        with torch.device("meta"):
            yield
    finally:
        try:
            _restore(undo)
        except BaseException:  # an interrupt: a module must not be left without its numbers
            _restore(undo)
            raise


def _attributes(module: nn.Module) -> list[dict[str, object]]:
    """Where code keeps things in a module; a store has nothing of the kind."""
    return [] if isinstance(module, VariableStore) else [module.__dict__]


def _restore(undo: Iterable[tuple[dict[str, object], dict[str, object]]]) -> None:
    for held, before in undo:
        if held.keys() != before.keys() or any(held[name] is not before[name] for name in before):
            held.clear()
            held.update(before)


def _blank(tensor: Tensor) -> Tensor:
    made = torch.empty_like(tensor, device="meta", requires_grad=False)
    return nn.Parameter(made, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else made


def _empty(store: VariableStore) -> VariableStore:
    blank = VariableStore(store.owner, seed=None, device=torch.device("meta"), dtype=store.dtype)
    blank.layout = store.layout
    return blank.train(store.training)


def inputs_on_meta(inputs: T) -> T:
    """Inputs without memory; what is no tensor stays as it is."""
    result: T = tree_map(lambda each: each.to("meta") if isinstance(each, Tensor) else each, inputs)
    return result


@contextmanager
def explained(owner: str) -> Iterator[None]:
    """Tell of what fails on the meta device why it may."""
    try:
        yield
    except Exception as error:
        error.add_note(
            f"plan runs {owner} on the meta device, where tensors have shapes and no values: code that looks at values "
            "(item(), nonzero(), if tensor: ...) cannot be planned. Build the module and use summary() instead."
        )
        raise


def training_of(parameters: list[nn.Parameter], optimizer: Optimizer) -> Training:
    """What an optimizer holds for these parameters after its first step, found out by a step on the meta device."""
    kind = _class_of(optimizer)
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    if not trained:
        return Training(kind.__name__, 0, 0)
    for parameter in trained:
        parameter.grad = torch.empty_like(parameter)
    try:
        with torch.device("cpu"):  # where an optimizer counts its steps
            made = kind(trained)
            made.step()
    except Exception as error:
        mend = f"Its first step failed on the meta device: {error}. Name one that needs no values and no closure."
        raise ArgumentValueError.of("optimizer", optimizer, mend) from error
    finally:
        gradients = sum(parameter.numel() * parameter.itemsize for parameter in trained)
        for parameter in trained:
            parameter.grad = None
    tensors = [value for state in made.state.values() for value in state.values() if isinstance(value, Tensor)]
    return Training(kind.__name__, gradients, sum(tensor.numel() * tensor.itemsize for tensor in tensors))


def _class_of(optimizer: Optimizer) -> Callable[..., torch.optim.Optimizer]:
    if isinstance(optimizer, type) and issubclass(optimizer, torch.optim.Optimizer):
        return optimizer
    known = {name.lower(): kind for name, kind in vars(torch.optim).items() if isinstance(kind, type)}
    known.pop("optimizer", None)
    if not isinstance(optimizer, str):
        given = type(optimizer).__name__ if isinstance(optimizer, torch.optim.Optimizer) else optimizer
        raise ArgumentTypeError.of("optimizer", given, "Give a class of torch.optim or its name, such as 'AdamW'.")
    found = known.get(optimizer.lower())
    if found is None or not issubclass(found, torch.optim.Optimizer):
        names = ", ".join(sorted(kind.__name__ for kind in known.values() if issubclass(kind, torch.optim.Optimizer)))
        raise ArgumentValueError.of("optimizer", optimizer, f"Use one of torch.optim: {names}.")
    return found
