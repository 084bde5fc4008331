"""``get_variable`` and its kin: what a function calls where it uses a variable."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor

from .._variables.request import DeviceLike, Shape
from .._variables.spec import Initializer
from .arguments import BufferOptions, VariableOptions, refuse_unknown, show_options
from .call import Call
from .getter import ask
from .stack import innermost, thread, ways_to_the_stack

ways_to_the_stack.append(lambda: thread.stack)


@show_options(VariableOptions)
def get_variable(
    name: str,
    shape: Shape | None = None,
    dtype: torch.dtype | None = None,
    initializer: Initializer = None,
    **options: Unpack[VariableOptions],
) -> Tensor:
    """The parameter of this name in the scopes that are open: returned, shared or created as they say.

    The rules are those of TensorFlow 1's ``tf.get_variable``, with each call of the module as a fresh graph: the first
    get of a path in a call returns the parameter (or creates it, while the module is not built yet), a second one
    needs a scope with ``reuse``.

    >>> from torchscope import ScopedModule, get_variable, variable_scope
    >>> def dense(x, units):
    ...     kernel = get_variable("kernel", [units, x.shape[-1]])
    ...     return x @ kernel.T
    >>> def forward(x):
    ...     with variable_scope("layer") as scope:
    ...         x = dense(x, 3)
    ...         scope.reuse_variables()
    ...         return dense(x, 3)                     # the same kernel again
    >>> model = ScopedModule(forward, seed=0).build(torch.ones(2, 3))
    >>> {path: tuple(variable.shape) for path, variable in model.variables.items()}
    {'layer/kernel': (3, 3)}

    Args:
        name: the name in the current scope, which may hold slashes.
        shape: ints, or one int for a vector. Left out, an existing variable is not checked, and a new one takes the
            shape of its initializer's value.
        dtype: by default the scope's, else the module's, else torch's default. Left out, it is not checked.
        initializer: a callable that fills a tensor in place; or, without a shape, a constant (tensor, array or
            number) or a callable that returns one. By default the scope's, else Glorot uniform for floating dtypes and
            zeros for integers and bool.
        regularizer: a function of the variable that returns its loss; see ``ScopedModule.regularization_losses``.
        trainable: whether it has a gradient; by default if its dtype is floating or complex.
        collections: names of the collections it is in; ``["variables"]`` by default.
        device: by default the scope's, else the module's, else torch's default.
        partitioner: cuts the variable into parts along one axis, each a variable of its own (``name/part_0``, ...):
            called with ``shape=`` and ``dtype=``, it returns the number of parts along each axis. By default the
            scope's; scalars are never cut.
        custom_getter: used for this variable instead of the scope's.
        constraint: a function of the variable that returns its projection; see ``ScopedModule.apply_constraints``.
        axes: a name or ``None`` for each axis, ``("embed", "mlp")``, for :func:`torchscope.distributed.shard` to say by
            one table how all variables are laid out over processes.

    Returns:
        The ``nn.Parameter``; with a partitioner, the parts joined; with a custom getter, whatever that returns.

    Raises:
        NoActiveModuleError: no module is running in this thread.
        InvalidNameError: the name cannot be part of a path.
        VariableExistsError: the path was got in this call before, and the scope does not reuse.
        VariableNotFoundError: the path does not exist, and the scope only reuses or the module is built.
        VariableShapeError, VariableDtypeError, VariableKindError: it was declared otherwise.
        InitializerError: the initializer cannot fill the tensor.
        TracingError: it would have to be created while something is tracing.
    """
    # Of the rule of reuse (reuse.py) these are the cells that return: the path exists, and was not got yet or may be
    # shared. All other cells, and all that has to be checked further, take the slow path.
    try:
        call: Call = thread.stack.call  # type: ignore[assignment]  # without one, the slow path
        scope = call.scope
        node = scope._node
        spec = node.specs[node.names[name]]
        path = spec.path
        variable = call.parameters[path]
        if (
            variable is not None
            and (shape is None or shape == spec.listed or tuple(shape) == spec.shape)  # type: ignore[arg-type]  # an int
            and (dtype is None or dtype is spec.dtype)
            and (initializer is None or callable(initializer))
            and not options
        ):
            at = call.at
            if call.events[at] is path:  # as in the last call, which got it once
                call.at = at + 1
                return variable
            if call.note_first(path) or scope._settings.reuse:
                return variable
    except (LookupError, TypeError, AttributeError, ValueError):
        pass  # a path that is not there, a name that is no string, a shape that is an int or an array, no call at all
    return _get_slowly(name, shape, dtype, initializer, options)


def _get_slowly(
    name: str,
    shape: Shape | None,
    dtype: torch.dtype | None,
    initializer: Initializer,
    options: VariableOptions,
) -> Tensor:
    """All that is not an existing, undisputed variable: creation, getters, options and errors."""
    scope = innermost("get_variable()")
    if options:
        refuse_unknown("get_variable", options, VariableOptions)
    return ask(scope, scope._call, "parameter", name, shape, dtype, initializer, options)


@show_options(BufferOptions)
def get_buffer(
    name: str,
    shape: Shape | None = None,
    dtype: torch.dtype | None = None,
    initializer: Initializer = None,
    **options: Unpack[BufferOptions],
) -> Tensor:
    """The buffer of this name in the scopes that are open: state that no optimizer trains.

    Running means, counters and caches are buffers: same paths, same rules of reuse and same ``variables.<path>`` key
    in the ``state_dict`` as a parameter's. Change it in place.

    >>> from torchscope import ScopedModule, get_buffer, zeros_initializer
    >>> def forward(x):
    ...     mean = get_buffer("mean", [x.shape[-1]], initializer=zeros_initializer())
    ...     mean.lerp_(x.mean(0), 0.1)
    ...     return x - mean
    >>> model = ScopedModule(forward).build(torch.ones(2, 3))
    >>> _ = model(torch.ones(2, 3))
    >>> model.variables["mean"]
    tensor([0.1000, 0.1000, 0.1000])

    Args:
        name, shape, dtype, initializer, device: as in :func:`get_variable`.
        persistent: whether it is part of the ``state_dict``.

    Returns:
        The buffer, a plain ``Tensor``; with a custom getter, whatever that returns.

    Raises:
        VariableKindError: a parameter lives at this path.
        ScopeError: the other kinds, as :func:`get_variable`.
    """
    scope = innermost("get_buffer()")
    refuse_unknown("get_buffer", options, BufferOptions)
    return ask(scope, scope._call, "buffer", name, shape, dtype, initializer, options)


def get_local_variable(
    name: str,
    shape: Shape | None = None,
    dtype: torch.dtype | None = None,
    initializer: Initializer = None,
    *,
    device: DeviceLike | None = None,
) -> Tensor:
    """A buffer that is not saved: :func:`get_buffer` with ``persistent=False`` (``tf.get_local_variable``).

    >>> from torchscope import ScopedModule, get_local_variable
    >>> model = ScopedModule(lambda: get_local_variable("seen", [], torch.int64)).build()
    >>> list(model.variables), list(model.state_dict())
    (['seen'], [])
    """
    scope = innermost("get_local_variable()")
    options: BufferOptions = {"persistent": False, "device": device}
    return ask(scope, scope._call, "buffer", name, shape, dtype, initializer, options)
