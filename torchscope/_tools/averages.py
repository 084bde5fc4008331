"""``ema``: moving averages of variables, to evaluate with."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from .._names import paths
from .._names.patterns import refuse_nothing, selector
from .._scopes.get_variable import get_buffer
from .._scopes.scope import Selects, as_patterns
from .._variables.spec import VariableSpec
from .._variables.store import VariableStore
from .._variables.tensors import all_tensors
from ..errors import ArgumentTypeError, ArgumentValueError
from .targets import is_for, relative, targets


class ema:
    """Moving averages of variables: ``average = decay * average + (1 - decay) * variable`` after each step.

    As the ``custom_getter`` of a scope it is for every trained variable that is made below; with :meth:`apply` for
    those of a built module that a pattern selects. The averages are buffers of the module, ``<path>/ema``, which are
    saved with it, and begin as the variables are.

    >>> import torch
    >>> from torchscope import ScopedModule, get_variable
    >>> from torchscope.tools import ema
    >>> model = ScopedModule(lambda x: x * get_variable("w", [], initializer=torch.nn.init.zeros_)).build(1.0)
    >>> average = ema(decay=0.9)
    >>> average.apply(model, "w")
    >>> for step in range(2):
    ...     _ = model.variables["w"].data.fill_(1.0)  # an optimizer's step
    ...     average.update(model)
    >>> with average.applied(model):
    ...     print(model(1.0))
    tensor(0.1900, grad_fn=<MulBackward0>)
    >>> model(1.0)
    tensor(1., grad_fn=<MulBackward0>)

    Args:
        decay: how much of the average stays, below 1.
        name: what the averages are called below the path of their variable. ``"ExponentialMovingAverage"`` is
            TensorFlow's, so that its checkpoints have them.

    Raises:
        ArgumentValueError: ``decay`` is not from 0 up to 1.

    The averages are TensorFlow's ``tf.train.ExponentialMovingAverage``, and those of
    ``torch.optim.swa_utils.get_ema_multi_avg_fn``.
    """

    def __init__(self, decay: float, name: str = "ema") -> None:
        if isinstance(decay, bool) or not isinstance(decay, (int, float)) or not 0 <= decay < 1:
            raise ArgumentValueError.of("decay", decay, "Give a number from 0 up to 1, such as 0.999.")
        self.decay = float(decay)
        self.name = paths.check(name)

    def __call__(self, getter: Callable[..., Tensor], name: str, *args: object, **kwargs: object) -> Tensor:
        """As a custom getter: the variable, which has an average beside it from now on."""
        variable = getter(name, *args, **kwargs)
        if is_for(variable, kwargs, 0) and variable.requires_grad:
            first = functools.partial(_fill_with, variable)
            get_buffer(f"{relative(name)}/{self.name}", list(variable.shape), variable.dtype, first)
        return variable

    def apply(self, model: nn.Module, pattern: Selects) -> None:
        """Keep averages of variables of a built module, from what they are now.

        Raises:
            ArgumentValueError: the pattern selects no floating parameter.
            NotBuiltError: the module was never built.
        """
        store = _store_of(model)
        for target in targets(model, pattern, least_axes=0):
            path = f"{target.path.replace('.', '/')}/{self.name}"
            average = target.parameter.detach().clone()
            with store.lock:
                store.put(VariableSpec(path, tuple(average.shape), average.dtype, "buffer", trainable=False), average)

    def update(self, model: nn.Module, num_updates: int | None = None) -> None:
        """Move the averages; call it after an optimizer's step.

        Args:
            model: the module that has them.
            num_updates: how many updates there were: the decay is then at most ``(1 + n) / (10 + n)``, which is
                TensorFlow's.

        Raises:
            ArgumentValueError: the module has no averages of this name.
        """
        from torch.optim.swa_utils import get_ema_multi_avg_fn

        pairs = [pair for _, pair in self._pairs(model)]
        decay = self.decay if num_updates is None else min(self.decay, (1 + num_updates) / (10 + num_updates))
        averages, variables = [list(each) for each in zip(*pairs, strict=True)]
        move = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        move(averages, [variable.detach() for variable in variables], 0)

    @contextmanager
    def applied(self, model: nn.Module, pattern: Selects = "**") -> Iterator[None]:
        """Let the module compute with the averages in the block: variables have their values, and get their own back.

        Args:
            model: the module that has them.
            pattern: which variables; all that have an average by default.

        Raises:
            ArgumentValueError: the module has no averages of this name, or none of what the pattern selects.
        """
        pairs = dict(self._pairs(model))
        patterns = as_patterns(pattern, "pattern")
        refuse_nothing(patterns, list(pairs), f"{type(model).__name__} that have an average", "pattern")
        selects = selector(patterns, pairs)
        chosen = [pair for path, pair in pairs.items() if selects(path)]
        before = [variable.detach().clone() for _, variable in chosen]
        try:
            with torch.no_grad():
                for average, variable in chosen:
                    variable.copy_(average)
            yield
        finally:
            with torch.no_grad():
                for (_, variable), value in zip(chosen, before, strict=True):
                    variable.copy_(value)

    def _pairs(self, model: nn.Module) -> Iterator[tuple[str, tuple[Tensor, Tensor]]]:
        """The path of each variable that has an average, the average, and the variable."""
        named = {each.path.replace(".", "/"): each.tensor for each in all_tensors(model)}
        found = {path: (named[f"{path}/{self.name}"], t) for path, t in named.items() if f"{path}/{self.name}" in named}
        if not found:
            mend = f"No variable has an average '{self.name}': open a scope with custom_getter=ema(...), or apply one."
            raise ArgumentValueError.of("model", type(model).__name__, mend)
        yield from found.items()


def _fill_with(variable: Tensor, average: Tensor) -> None:
    average.copy_(variable)


def _store_of(model: nn.Module) -> VariableStore:
    store = getattr(model, "variables", None)
    if not isinstance(store, VariableStore):
        raise ArgumentTypeError.of("model", type(model), "Give a ScopedModule: the averages are variables of it.")
    return store
