"""``model.plan``: what a module is going to be, found out on the meta device, where tensors have no memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn

from .._torch import tree_map
from .._variables.store import VariableStore
from ..errors import ArgumentTypeError, ArgumentValueError
from .outline import Node
from .summary import Training

T = TypeVar("T")
Optimizer = str | type[torch.optim.Optimizer]


@contextmanager
def on_meta(root: nn.Module) -> Iterator[None]:
    """Let a module tree have no variable and no memory in the block, and be what it was after it.

    Its stores are replaced by empty ones on the meta device, and the tensors of its other modules by copies there.
    """
    with ExitStack() as at_the_end:
        for module in list(root.modules()):
            if isinstance(module, VariableStore):
                continue
            # What is to be put back is noted before it is changed: an interrupt leaves nothing half done.
            at_the_end.callback(module._parameters.update, dict(module._parameters))
            at_the_end.callback(module._buffers.update, dict(module._buffers))
            at_the_end.callback(module._modules.update, dict(module._modules))
            module._parameters.update((n, _blank_parameter(p)) for n, p in module._parameters.items() if p is not None)
            module._buffers.update((n, _blank(b)) for n, b in module._buffers.items() if b is not None)
            for name, child in module._modules.items():
                if isinstance(child, VariableStore):
                    module._modules[name] = _empty(child)
        at_the_end.enter_context(torch.device("meta"))
        yield


def _blank(tensor: Tensor) -> Tensor:
    return torch.empty_like(tensor, device="meta", requires_grad=False)


def _blank_parameter(parameter: Tensor) -> nn.Parameter:
    return nn.Parameter(_blank(parameter), parameter.requires_grad)


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


def training_of(tree: Node, parameters: list[nn.Parameter], optimizer: Optimizer) -> Training:
    """What an optimizer holds for these parameters after its first step, found out by a step on the meta device."""
    kind = _class_of(optimizer)
    trained = [parameter for parameter in parameters if parameter.requires_grad]
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
    if not isinstance(optimizer, str):
        raise ArgumentTypeError.of("optimizer", optimizer, "Give a class of torch.optim or its name, such as 'AdamW'.")
    found = known.get(optimizer.lower())
    if found is None or not issubclass(found, torch.optim.Optimizer):
        names = ", ".join(sorted(kind.__name__ for kind in known.values() if issubclass(kind, torch.optim.Optimizer)))
        raise ArgumentValueError.of("optimizer", optimizer, f"Use one of torch.optim: {names}.")
    return found
