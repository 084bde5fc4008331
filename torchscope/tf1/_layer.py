"""What layers have in common: the scope of one, its variables, and objects that keep a scope."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from .._modules.scoped_module import current_module
from .._scopes.call import Call
from .._scopes.get_variable import get_buffer, get_variable
from .._scopes.scope import VariableScope, get_variable_scope
from .._scopes.settings import no_regularizer
from .._scopes.variable_scope import ScopeManager, variable_scope
from .._variables.reuse import Reuse
from .._variables.spec import (
    GLOBAL_VARIABLES,
    REGULARIZATION_LOSSES,
    Constraint,
    Initializer,
    Regularizer,
    Regularizers,
)
from ..errors import ArgumentTypeError, ArgumentValueError
from ..initializers import OurInitializer, glorot_uniform_initializer

Activation = Callable[[Tensor], Tensor] | None
Collections = str | Iterable[str] | Mapping[str, str | Iterable[str]] | None

MODEL_VARIABLES = "model_variables"
_HALF = (torch.float16, torch.bfloat16)


def layer_scope(name: str | VariableScope | None, base_name: str, reuse: Reuse | None) -> ScopeManager:
    """The scope of a layer of ``tf.layers``: by its name, or by a default name that no other layer has.

    A layer without a name that reuses takes the first one's.
    """
    if name is None and not reuse:
        return variable_scope(None, base_name)
    return variable_scope(base_name if name is None else name, reuse=reuse or None)


def names_of(collections: str | Iterable[str] | None) -> list[str]:
    """A collection, or several, as a list."""
    return [] if collections is None else [collections] if isinstance(collections, str) else list(collections)


def get_variable_collections(variables_collections: Collections, name: str) -> list[str]:
    """``slim.utils.get_variable_collections``: those of one kind of variable, as a list."""
    own = variables_collections
    return names_of(own.get(name) if isinstance(own, Mapping) else own)


@dataclass(slots=True)
class Making:
    """How a layer makes its variables: ``tf.layers`` by these names, ``tf.contrib.layers`` by others.

    Axes are TensorFlow's whatever the module's ``layout`` says: so initializers that are given none read them.
    """

    trainable: bool = True
    names: Mapping[str, str] = field(default_factory=dict)  # of contrib: what it calls a kernel, for example
    model: bool = False  # whether they are in MODEL_VARIABLES
    collections: Collections = None  # further ones: for all, or by the names of variables

    def weight(
        self,
        kind: str,
        shape: list[int],
        dtype: torch.dtype | None,
        initializer: Initializer = None,
        regularizer: Regularizer | None = None,
        constraint: Constraint | None = None,
        *,
        alone: bool = False,
    ) -> Tensor:
        """The parameter of this kind in the scope that is open.

        Its regularizer stands beside that of the scope, each with a loss; if ``alone``, in place of it.
        """
        name = self.names.get(kind, kind)
        scope = get_variable_scope()
        if current_module().built and scope.custom_getter is None:
            return get_variable(name, shape)  # it is as it was declared, or of the dtype it was converted to
        inherited = scope.regularizer
        if regularizer is not None and inherited is not None and not alone and regularizer is not no_regularizer:
            regularizer = Regularizers((inherited, regularizer))
        return get_variable(
            name,
            shape,
            dtype,
            in_tensorflows_axes(initializer or scope.initializer, dtype),
            regularizer=regularizer,
            constraint=constraint,
            trainable=self.trainable,
            collections=self._of(name),
        )

    def average(self, name: str, size: int, dtype: torch.dtype | None, initializer: Initializer) -> Tensor:
        """The buffer of a moving average in the scope that is open."""
        if current_module().built:
            return get_buffer(name, [size])
        buffer = get_buffer(name, [size], dtype, initializer)
        for collection in self._of(name):
            if collection != GLOBAL_VARIABLES:
                current_module().add_to_collection(collection, buffer)
        return buffer

    def _of(self, name: str) -> list[str]:
        """The collections of a variable."""
        kind = {"depthwise_weights": "weights", "pointwise_weights": "weights"}.get(name, name)
        more = get_variable_collections(self.collections, kind)
        return list(dict.fromkeys([GLOBAL_VARIABLES, *([MODEL_VARIABLES] if self.model else []), *more]))


def in_tensorflows_axes(initializer: Initializer, dtype: torch.dtype | None) -> Initializer:
    """An initializer whose fans are those of TensorFlow's axes; without one, TensorFlow's default."""
    if initializer is None and (dtype is None or dtype.is_floating_point):
        return glorot_uniform_initializer(layout="tf")
    return initializer.in_layout("tf") if isinstance(initializer, OurInitializer) else initializer


def dtype_of(inputs: Tensor, *, at_least_single: bool = False) -> torch.dtype | None:
    """The dtype of a layer's variables: that of what goes in; under autocast, which changes it, the module's.

    Raises:
        ArgumentTypeError: it is no floating tensor.
    """
    if not isinstance(inputs, Tensor) or not (inputs.is_floating_point() or inputs.is_complex()):
        found = inputs.dtype if isinstance(inputs, Tensor) else inputs
        raise ArgumentTypeError.of("inputs", found, "Give a tensor of a floating dtype.")
    if torch.is_autocast_enabled(inputs.device.type):
        return None
    return torch.float32 if at_least_single and inputs.dtype in _HALF else inputs.dtype


def training_of(name: str, training: object) -> bool:
    """Whether a layer trains.

    Raises:
        ArgumentTypeError: it is no bool: torch decides when the function runs, and not in a graph.
    """
    if isinstance(training, bool) or (isinstance(training, int) and training in (0, 1)):
        return bool(training)
    raise ArgumentTypeError.of(name, training, "Give True or False, current_module().training for example.")


_ACTIVATIONS: dict[str | None, Callable[[Tensor], Tensor]] = {
    None: lambda x: x,
    "linear": lambda x: x,
    "relu": torch.relu,
    "relu6": torch.nn.functional.relu6,
    "elu": torch.nn.functional.elu,
    "selu": torch.selu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "softmax": lambda x: x.softmax(-1),
    "softplus": torch.nn.functional.softplus,
    "softsign": torch.nn.functional.softsign,
}


def activation_of(argument: str, given: object) -> Callable[[Tensor], Tensor]:
    """The function that an activation is: itself, or by the name that TensorFlow has for it.

    Raises:
        ArgumentTypeError: it is no function, and no such name.
    """
    found = _ACTIVATIONS.get(given) if given is None or isinstance(given, str) else given
    if not callable(found):
        names = ", ".join(repr(name) for name in _ACTIVATIONS if name)
        raise ArgumentTypeError.of(argument, given, f"Give a function of the outputs, None, or one of {names}.")
    return found


def activated(outputs: Tensor, activation: Activation, regularizer: Regularizer | None) -> Tensor:
    """The outputs of a layer, activated; their loss, divided by the size of the batch, is put into its collection."""
    outputs = activation_of("activation", activation)(outputs)
    if regularizer is not None:
        loss = regularizer(outputs)
        if loss is not None:
            current_module().add_to_collection(REGULARIZATION_LOSSES, loss / outputs.shape[0])
    return outputs


def positive(name: str, given: object) -> int:
    """A number of units or channels.

    Raises:
        ArgumentValueError: it is no positive int.
    """
    if isinstance(given, bool) or not hasattr(given, "__index__") or given.__index__() <= 0:
        raise ArgumentValueError.of(name, given, "Give a positive int.")
    return int(given.__index__())


class Layer:
    """A layer as an object (``tf.layers.Layer``): it takes a scope when it is first called, and reuses it after.

    Made in a function, it lives for one call. Kept from call to call, it starts anew in each, as the module does: its
    first call there takes the scope and its variables, the next ones share them.

    A subclass writes ``call``, which makes its variables by ``get_variable``; or ``build``, which makes them by
    ``add_variable`` and runs before the first ``call`` in each call of the module. After that the variables are
    attributes too, by their names: ``layer.kernel``.

    >>> from torchscope import ScopedModule, get_variable
    >>> class Scale(Layer):
    ...     def call(self, inputs):
    ...         return inputs * get_variable("scale", [inputs.shape[-1]])
    >>> def forward(x):
    ...     scale = Scale()
    ...     return scale(scale(x))
    >>> list(ScopedModule(forward).build(torch.ones(1, 2)).variables)
    ['scale/scale']

    Args:
        trainable: whether its variables have gradients.
        name: a default name for its scope: the second of the same name is ``name_1``.
        reuse: whether it shares the variables of one that was there before; ``_reuse`` is its older name.
    """

    _built_in: Call | None = None

    def __init__(
        self,
        trainable: bool = True,
        name: str | VariableScope | None = None,
        reuse: Reuse | None = None,
        *,
        _reuse: Reuse | None = None,
    ) -> None:
        self.making = Making(trainable)
        self.name = name
        self._reuse = reuse or _reuse or None
        self._scope: VariableScope | None = None

    @property
    def trainable(self) -> bool:
        """Whether its variables have gradients."""
        return self.making.trainable

    @property
    def scope_name(self) -> str:
        """The path of its scope.

        Raises:
            ArgumentValueError: it was not called yet.
        """
        if self._scope is None:
            mend = f"{type(self).__name__} takes a scope when it is first called."
            raise ArgumentValueError.of("scope_name", None, mend)
        return self._scope.name

    @property
    def variables(self) -> list[Tensor]:
        """Its saved variables, in the order of creation; ``weights`` is another name. Inside of a call."""
        return [] if self._scope is None else self._scope.global_variables()

    @property
    def trainable_variables(self) -> list[Tensor]:
        """Those of :attr:`variables` that have a gradient; ``trainable_weights`` is another name."""
        return [] if self._scope is None else self._scope.trainable_variables()

    weights, trainable_weights = variables, trainable_variables

    def __getattr__(self, name: str) -> Tensor:
        scope = self.__dict__.get("_scope")
        found = None if scope is None else scope._call.store.find(f"{scope._prefix}{name}")
        if found is None:
            raise AttributeError(
                f"{type(self).__name__} has no {name!r}: neither an attribute nor, since it was last called, a variable"
            )
        return found  # type: ignore[no-any-return]

    def build(self, input_shape: torch.Size) -> object:
        """What a subclass makes its variables in, by :meth:`add_variable`, from the shape of the inputs."""

    def add_variable(
        self,
        name: str,
        shape: list[int],
        dtype: torch.dtype | None = None,
        initializer: Initializer = None,
        regularizer: Regularizer | None = None,
        trainable: bool = True,
        constraint: Constraint | None = None,
    ) -> Tensor:
        """``get_variable`` of a layer: with TensorFlow's axes, its regularizer beside the scope's; also ``add_weight``.

        >>> from torchscope import ScopedModule
        >>> class Scale(Layer):
        ...     def build(self, input_shape):
        ...         self.scale = self.add_variable("scale", [input_shape[-1]])
        ...     def call(self, inputs):
        ...         return inputs * self.scale
        >>> list(ScopedModule(lambda x: Scale()(x)).build(torch.ones(1, 2)).variables)
        ['scale/scale']
        """
        making = replace(self.making, trainable=self.trainable and trainable)
        return making.weight(name, list(shape), dtype, initializer, regularizer, constraint)

    add_weight = add_variable

    def _build_once(self, inputs: Tensor) -> None:
        """Run ``build`` before the first ``call`` in a call of the module."""
        call = get_variable_scope()._call
        if self._built_in is not call:
            self._built_in = call
            self.build(inputs.shape)

    def call(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """What the layer computes, in its scope."""
        raise NotImplementedError(f"{type(self).__name__} has no call(): write one in the subclass.")

    def __call__(self, inputs: Any, *args: Any, scope: str | VariableScope | None = None, **kwargs: Any) -> Any:
        with self._entered(scope):
            self._build_once(inputs)
            return self.call(inputs, *args, **kwargs)

    apply = __call__

    def __getstate__(self) -> dict[str, object]:
        """Without what belongs to one call: a copy takes a scope of its own."""
        return {name: value for name, value in vars(self).items() if name not in ("_built_in", "_weights")} | {
            "_scope": None
        }

    def _entered(self, scope: str | VariableScope | None) -> ScopeManager:
        """Enter the layer's scope: a new one when it is first called in a call of the module."""
        own = self._scope
        if own is not None and own._call is get_variable_scope()._call:
            return variable_scope(own, reuse=True, auxiliary_name_scope=False)
        base = self.name if isinstance(self.name, str) else _snake_case(type(self).__name__)
        with layer_scope(scope or (None if isinstance(self.name, str) else self.name), base, self._reuse) as new:
            self._scope = new
        return variable_scope(new, reuse=self._reuse, auxiliary_name_scope=False)


def as_function(layer: type[Layer]) -> Callable[[Callable[[], None]], Callable[..., Tensor]]:
    """Make a layer a function, with the name and docstring of what is decorated; its ``name`` is that of its scope."""

    def decorate(described: Callable[[], None]) -> Callable[..., Tensor]:
        base = _snake_case(layer.__name__)

        def function(inputs: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            made = layer(*args, **kwargs)
            with layer_scope(made.name, base, made._reuse):
                return made.call(inputs)  # type: ignore[no-any-return]

        own = inspect.signature(layer)
        first = inspect.Parameter("inputs", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation="Tensor")
        parameters = [first, *own.parameters.values()]
        show_as(function, described, own.replace(parameters=parameters, return_annotation="Tensor"))
        return function

    return decorate


def show_as(function: Callable[..., Tensor], described: Callable[[], None], signature: inspect.Signature) -> None:
    """Give a function that was made the name and docstring of another one, and a signature."""
    function.__signature__ = signature  # type: ignore[attr-defined]
    for attribute in ("__doc__", "__module__", "__name__", "__qualname__"):
        setattr(function, attribute, getattr(described, attribute))


def _snake_case(name: str) -> str:
    """``Conv2DTranspose`` to ``conv2d_transpose``, as TensorFlow calls its layers."""
    words = re.sub(r"(?<=.)(?=[A-Z][a-z])", "_", name)
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", words).lower()
