"""``ema``: moving averages of variables, to evaluate with."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from .._names import paths
from .._names.patterns import selecting
from .._scopes.getter import buffer_beside
from .._scopes.scope import Selects, as_patterns
from .._scopes.stack import innermost
from .._variables.initialize import FromVariables
from .._variables.reuse import Reuse
from .._variables.sharding import is_sharded
from .._variables.spec import VariableSpec
from .._variables.store import VariableStore
from .._variables.tensors import all_tensors
from ..errors import ArgumentTypeError, ArgumentValueError, ScopeNestingError
from .targets import is_for, targets


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
        self._applied_in: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()  # the thread that applies them

    def __call__(self, getter: Callable[..., Tensor], name: str, *args: object, **kwargs: object) -> Tensor:
        """As a custom getter: the variable, which has an average beside it from now on."""
        variable = getter(name, *args, **kwargs)
        if not is_for(variable, kwargs, 0) or kwargs.get("trainable") is False:
            return variable
        store = innermost("ema()")._call.store
        if store.find(name) is not variable:
            mend = f"'{name}' is computed from others. Open the scope of ema outside of the getter that computes it."
            raise ArgumentValueError.of("custom_getter", self, mend)
        path, first = f"{name}/{self.name}", FromVariables(_fill_with, name)
        buffer_beside(variable, path, list(variable.shape), first, cast("Reuse", kwargs.get("reuse")))
        return variable

    def __getstate__(self) -> dict[str, object]:
        return {"decay": self.decay, "name": self.name}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state, _applied_in=WeakKeyDictionary())

    def apply(self, model: nn.Module, pattern: Selects) -> None:
        """Keep averages of variables of a built module, from what they are now; those that have one keep that.

        Raises:
            ArgumentValueError: the pattern selects no floating parameter, or none without an average of this name.
            NotBuiltError: the module was never built.
        """
        store, new, taken = _store_of(model), False, set[str]()
        for target in targets(model, pattern, least_axes=0):
            path = f"{target.path.replace('.', '/')}/{self.name}"
            known = store.specs.get(path)
            if known is not None and known.kind == "parameter":
                raise ArgumentValueError.of("name", self.name, f"'{path}' is a parameter already. Use another name.")
            if known is not None and (known.initializer is None or path in taken):
                raise ArgumentValueError.of("pattern", pattern, f"Two variables would have the average '{path}'.")
            taken.add(path)
            if known is not None:
                continue
            new, average = True, target.parameter.detach().clone()
            own = target.holder is store and "." not in target.path
            first = FromVariables(_fill_with, target.path) if own else _keep
            spec = VariableSpec(path, tuple(average.shape), average.dtype, "buffer", trainable=False, initializer=first)
            with store.lock:
                store.put(spec, average)
        if not new:
            mend = f"All that it selects have an average '{self.name}' already. Another one has a name of its own."
            raise ArgumentValueError.of("pattern", pattern, mend)

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
        if num_updates is not None and num_updates < 0:
            raise ArgumentValueError.of("num_updates", num_updates, "Give how many updates there were, 0 or more.")
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
        selects = selecting(patterns, list(pairs), f"{type(model).__name__} that have an average", "pattern")
        chosen = [pair for path, pair in pairs.items() if selects(path)]
        before = [variable.detach().clone() for _, variable in chosen]
        here, outermost = threading.get_ident(), model not in self._applied_in
        if self._applied_in.setdefault(model, here) != here:
            raise ScopeNestingError.of_thread("ema.applied()")
        try:
            with torch.no_grad():
                for average, variable in chosen:
                    variable.copy_(average)
            yield
        finally:
            interrupted: BaseException | None = None
            for _ in range(2):  # an interrupt must not keep a variable from getting its value back
                try:
                    with torch.no_grad():
                        for pair, value in zip(chosen, before, strict=True):
                            pair[1].copy_(value)
                    break
                except BaseException as error:
                    interrupted = interrupted or error
            if outermost:
                self._applied_in.pop(model, None)
            if interrupted is not None:
                raise interrupted

    def _pairs(self, model: nn.Module) -> Iterator[tuple[str, tuple[Tensor, Tensor]]]:
        """The path of each variable that has an average, the average, and the variable, each once."""
        if not isinstance(model, nn.Module):
            raise ArgumentTypeError.of("model", model, "Give the module that has the averages.")
        named = {each.path.replace(".", "/"): each.tensor for each in all_tensors(model)}
        found: dict[int, tuple[str, tuple[Tensor, Tensor]]] = {}
        for path, average in named.items():
            whole = path.removesuffix(f"/{self.name}")
            if whole == path or isinstance(average, nn.Parameter):
                continue
            variable = named.get(whole)
            if variable is None:
                mend = f"'{whole}' has an average and is no variable any more: it is parametrized, or in parts."
                raise ArgumentValueError.of("model", type(model).__name__, mend)
            if is_sharded(variable) is not is_sharded(average):
                mend = f"'{whole}' is sharded and its average is not: apply ema after what shards it."
                raise ArgumentValueError.of("model", type(model).__name__, mend)
            found.setdefault(id(variable), (whole, (average, variable)))
        if not found:
            mend = f"No variable has an average '{self.name}': open a scope with custom_getter=ema(...), or apply one."
            raise ArgumentValueError.of("model", type(model).__name__, mend)
        yield from found.values()


def _fill_with(variable: Tensor, average: Tensor) -> None:
    average.copy_(variable)


def _keep(average: Tensor) -> None:
    """What is of another module is not filled anew."""


def _store_of(model: nn.Module) -> VariableStore:
    store = getattr(model, "variables", None)
    if not isinstance(store, VariableStore):
        raise ArgumentTypeError.of("model", type(model), "Give a ScopedModule: the averages are variables of it.")
    return store
