"""Cells: one step of a recurrent network, with TensorFlow's gates, names and order of weights."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import ClassVar, cast

import torch
from torch import Tensor
from torch.nn.init import ones_, zeros_

from ..._scopes.scope import VariableScope, get_variable_scope
from ..._scopes.variable_scope import variable_scope
from ..._variables.reuse import Reuse
from ..._variables.spec import Initializer
from ...errors import ArgumentTypeError, ArgumentValueError
from .._axes import not_yet
from .._layer import Layer, dtype_of, positive
from ._state import LSTMStateTuple, Sizes, State, zeros_of

Activation = Callable[[Tensor], Tensor]


class RNNCell(Layer):
    """One step: inputs and a state to outputs and a new state (``tf.nn.rnn_cell.RNNCell``).

    A subclass says ``state_size`` and ``output_size`` and writes ``call(inputs, state)``, in which ``get_variable``
    makes its variables; after the first step it gets the same again.
    """

    state_size: Sizes
    output_size: int

    def zero_state(
        self, batch_size: int, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> State:
        """A state of zeros, [batch, size] for each size.

        >>> BasicLSTMCell(2).zero_state(1)
        LSTMStateTuple(c=tensor([[0., 0.]]), h=tensor([[0., 0.]]))
        """
        return zeros_of(self.state_size, batch_size, torch.empty(0, dtype=dtype, device=device))

    def call(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """What the cell computes, in its scope."""
        raise NotImplementedError(f"{type(self).__name__} has no call(): write one in the subclass.")

    def __call__(  # type: ignore[override]  # a cell takes its state in the second place
        self, inputs: Tensor, state: State, scope: str | VariableScope | None = None
    ) -> tuple[Tensor, State]:
        if scope is None:  # as TensorFlow does, which is why a second cell of the same default name is no new one
            with variable_scope(get_variable_scope()), self._entered(None):
                self._build_once(inputs)
                return self.call(inputs, state)
        with self._entered(scope):
            self._build_once(inputs)
            return self.call(inputs, state)


class _Cell(RNNCell):
    """A cell that keeps its variables from step to step of one call."""

    _weights: tuple[Tensor, ...]

    def __call__(  # type: ignore[override]  # a cell takes its state in the second place
        self, inputs: Tensor, state: State, scope: str | VariableScope | None = None
    ) -> tuple[Tensor, State]:
        call = get_variable_scope()._call
        if self._built_in is not call:
            if inputs.dim() != 2:
                raise ArgumentValueError.of("the shape of the inputs", tuple(inputs.shape), "Give [batch, features].")
            with self._entered(scope):
                self._weights = self.made(inputs)
            self._built_in = call
        return self.step(inputs, state, *self._weights)

    def made(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """The variables, in the scope of the cell, from the inputs themselves."""
        raise NotImplementedError

    def step(self, inputs: Tensor, state: State, *weights: Tensor) -> tuple[Tensor, State]:
        """One step."""
        raise NotImplementedError

    def _matrix(self, inputs: Tensor, units: int, initializer: Initializer = None, own: int | None = None) -> Tensor:
        size = inputs.shape[-1] + (self.output_size if own is None else own)
        return self.making.weight("kernel", [size, units], dtype_of(inputs), initializer)


def _affine(kernel: Tensor, bias: Tensor, *parts: Tensor) -> Tensor:
    return torch.nn.functional.linear(torch.cat(parts, 1), kernel.T, bias)


class BasicRNNCell(_Cell):
    """``tf.nn.rnn_cell.BasicRNNCell``: ``tanh([inputs, state] @ kernel + bias)``.

    ``torch.nn.RNNCell`` has two kernels and two biases.

    >>> from torchscope import ScopedModule
    >>> def forward(x):
    ...     cell = BasicRNNCell(3)
    ...     return cell(x, cell.zero_state(1))[0]
    >>> list(ScopedModule(forward, layout="tf").build(torch.ones(1, 2)).variables)
    ['basic_rnn_cell/kernel', 'basic_rnn_cell/bias']

    Args:
        num_units: the size of the state and of the outputs.
        activation: ``tanh`` by default.
    """

    def __init__(
        self,
        num_units: int,
        activation: Activation | None = None,
        reuse: Reuse | None = None,
        name: str | VariableScope | None = None,
    ) -> None:
        super().__init__(name=name, reuse=reuse)
        self.state_size = self.output_size = positive("num_units", num_units)
        self._activation = torch.tanh if activation is None else activation

    def made(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """``kernel`` and ``bias``."""
        kernel = self._matrix(inputs, self.output_size)
        return kernel, self.making.weight("bias", [self.output_size], dtype_of(inputs), zeros_)

    def step(self, inputs: Tensor, state: State, *weights: Tensor) -> tuple[Tensor, State]:
        """[batch, in] and [batch, units] to the same, twice."""
        output = self._activation(_affine(*weights, inputs, _one(state)))
        return output, output


class GRUCell(_Cell):
    """``tf.nn.rnn_cell.GRUCell``: its reset gate comes before the matrix product, which ``torch.nn.GRUCell`` cannot do.

    Its variables are ``gates/kernel``, reset first, ``gates/bias``, ``candidate/kernel`` and ``candidate/bias``.

    >>> from torchscope import ScopedModule
    >>> def forward(x):
    ...     cell = GRUCell(3)
    ...     return cell(x, cell.zero_state(1))[0]
    >>> ScopedModule(forward, layout="tf")(torch.ones(1, 2)).shape
    torch.Size([1, 3])

    Args:
        num_units: the size of the state and of the outputs.
        activation: ``tanh`` by default.
        kernel_initializer, bias_initializer: the bias of the gates begins with ones by default, the other with zeros.
    """

    def __init__(
        self,
        num_units: int,
        activation: Activation | None = None,
        reuse: Reuse | None = None,
        kernel_initializer: Initializer = None,
        bias_initializer: Initializer = None,
        name: str | VariableScope | None = None,
    ) -> None:
        super().__init__(name=name, reuse=reuse)
        self.state_size = self.output_size = positive("num_units", num_units)
        self._activation = torch.tanh if activation is None else activation
        self._kernel, self._bias = kernel_initializer, bias_initializer

    def made(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Kernel and bias of the gates, and of the candidate."""
        made: list[Tensor] = []
        for name, units, first in (("gates", 2 * self.output_size, ones_), ("candidate", self.output_size, zeros_)):
            size = inputs.shape[-1] + self.output_size
            made.append(self.making.weight(f"{name}/kernel", [size, units], dtype_of(inputs), self._kernel))
            bias = first if self._bias is None else self._bias
            made.append(self.making.weight(f"{name}/bias", [units], dtype_of(inputs), bias))
        return tuple(made)

    def step(self, inputs: Tensor, state: State, *weights: Tensor) -> tuple[Tensor, State]:
        """[batch, in] and [batch, units] to the same, twice."""
        before = _one(state)
        reset, update = torch.sigmoid(_affine(weights[0], weights[1], inputs, before)).chunk(2, 1)
        candidate = self._activation(_affine(weights[2], weights[3], inputs, reset * before))
        output = update * before + (1 - update) * candidate
        return output, output


class _LSTM(_Cell):
    """What both LSTMs share: the form of their state."""

    state_is_tuple: bool
    _units: int

    @property
    def state_size(self) -> Sizes:  # type: ignore[override]
        """Of ``c`` and ``h``."""
        sizes = LSTMStateTuple(self._units, self.output_size)  # type: ignore[arg-type]  # sizes in place of tensors
        return cast(Sizes, sizes) if self.state_is_tuple else self._units + self.output_size

    def _split(self, state: State) -> tuple[Tensor, Tensor]:
        if self.state_is_tuple:
            if isinstance(state, Tensor) or len(state) != 2:
                raise ArgumentTypeError.of("state", type(state).__name__, "Give LSTMStateTuple(c, h), or a pair.")
            return _one(state[0]), _one(state[1])
        c, h = torch.split(_one(state), [self._units, self.output_size], 1)
        return c, h

    def _joined(self, c: Tensor, h: Tensor) -> State:
        return LSTMStateTuple(c, h) if self.state_is_tuple else torch.cat([c, h], 1)


class BasicLSTMCell(_LSTM):
    """``tf.nn.rnn_cell.BasicLSTMCell``: gates i, j, f, o in one kernel, and 1 added to the forget gate in each step.

    ``torch.nn.LSTMCell`` has gates i, f, g, o, two kernels ``[4 * units, in]`` and two biases, and adds nothing.

    >>> from torchscope import ScopedModule
    >>> def forward(x):
    ...     cell = BasicLSTMCell(3)
    ...     return cell(x, cell.zero_state(1))[1].c
    >>> ScopedModule(forward, layout="tf")(torch.ones(1, 2)).shape
    torch.Size([1, 3])

    Args:
        num_units: the size of ``c`` and ``h``.
        forget_bias: what is added to the forget gate.
        state_is_tuple: whether the state is ``LSTMStateTuple(c, h)``; else they are side by side, [batch, 2 * units].
        activation: ``tanh`` by default.
    """

    def __init__(
        self,
        num_units: int,
        forget_bias: float = 1.0,
        state_is_tuple: bool = True,
        activation: Activation | None = None,
        reuse: Reuse | None = None,
        name: str | VariableScope | None = None,
    ) -> None:
        super().__init__(name=name, reuse=reuse)
        self._units = self.output_size = positive("num_units", num_units)
        self._forget_bias, self.state_is_tuple = forget_bias, state_is_tuple
        self._activation = torch.tanh if activation is None else activation

    def made(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """``kernel`` and ``bias``."""
        kernel = self._matrix(inputs, 4 * self._units)
        return kernel, self.making.weight("bias", [4 * self._units], dtype_of(inputs), zeros_)

    def step(self, inputs: Tensor, state: State, *weights: Tensor) -> tuple[Tensor, State]:
        """[batch, in] and the state to [batch, units] and the new state."""
        c, h = self._split(state)
        i, j, f, o = _affine(*weights, inputs, h).chunk(4, 1)
        c = c * torch.sigmoid(f + self._forget_bias) + torch.sigmoid(i) * self._activation(j)
        h = self._activation(c) * torch.sigmoid(o)
        return h, self._joined(c, h)


class LSTMCell(_LSTM):
    """``tf.nn.rnn_cell.LSTMCell``: :class:`BasicLSTMCell` with peepholes, clipping and a projection of its outputs.

    >>> from torchscope import ScopedModule
    >>> def forward(x):
    ...     cell = LSTMCell(3, use_peepholes=True, num_proj=2)
    ...     return cell(x, cell.zero_state(1))[0]
    >>> list(ScopedModule(forward, layout="tf").build(torch.ones(1, 2)).variables)[2:4]
    ['lstm_cell/w_f_diag', 'lstm_cell/w_i_diag']

    Args:
        num_units: the size of ``c``.
        use_peepholes: whether the gates see ``c``.
        cell_clip, proj_clip: ``c`` and the projection stay within plus and minus this.
        initializer: of all kernels and peepholes.
        num_proj: the size of the outputs and of ``h``; by default that of ``c``.
        forget_bias, state_is_tuple, activation: as of :class:`BasicLSTMCell`.
    """

    def __init__(
        self,
        num_units: int,
        use_peepholes: bool = False,
        cell_clip: float | None = None,
        initializer: Initializer = None,
        num_proj: int | None = None,
        proj_clip: float | None = None,
        num_unit_shards: int | None = None,
        num_proj_shards: int | None = None,
        forget_bias: float = 1.0,
        state_is_tuple: bool = True,
        activation: Activation | None = None,
        reuse: Reuse | None = None,
        name: str | VariableScope | None = None,
    ) -> None:
        not_yet("LSTMCell", num_unit_shards=num_unit_shards, num_proj_shards=num_proj_shards)
        super().__init__(name=name, reuse=reuse)
        self._units = positive("num_units", num_units)
        self.output_size = self._units if num_proj is None else positive("num_proj", num_proj)
        self._peepholes, self._projects = use_peepholes, num_proj is not None
        self._cell_clip, self._proj_clip = cell_clip, proj_clip
        self._initializer = initializer
        self._forget_bias, self.state_is_tuple = forget_bias, state_is_tuple
        self._activation = torch.tanh if activation is None else activation

    def made(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """``kernel``, ``bias``, three peepholes, and the projection, as far as they are there."""
        dtype, units = dtype_of(inputs), self._units
        made = [self._matrix(inputs, 4 * units, self._initializer)]
        made.append(self.making.weight("bias", [4 * units], dtype, zeros_))
        if self._peepholes:
            names = ("w_f_diag", "w_i_diag", "w_o_diag")
            made += [self.making.weight(name, [units], dtype, self._initializer) for name in names]
        if self._projects:
            made.append(self.making.weight("projection/kernel", [units, self.output_size], dtype, self._initializer))
        return tuple(made)

    def step(self, inputs: Tensor, state: State, *weights: Tensor) -> tuple[Tensor, State]:
        """[batch, in] and the state to [batch, size] and the new state."""
        c, h = self._split(state)
        i, j, f, o = _affine(weights[0], weights[1], inputs, h).chunk(4, 1)
        forget, let_in = f + self._forget_bias, i
        if self._peepholes:
            forget, let_in = forget + weights[2] * c, let_in + weights[3] * c
        c = torch.sigmoid(forget) * c + torch.sigmoid(let_in) * self._activation(j)
        if self._cell_clip is not None:
            c = c.clamp(-self._cell_clip, self._cell_clip)
        h = torch.sigmoid(o + weights[4] * c if self._peepholes else o) * self._activation(c)
        if self._projects:
            h = h @ weights[-1]
            if self._proj_clip is not None:
                h = h.clamp(-self._proj_clip, self._proj_clip)
        return h, self._joined(c, h)


class MultiRNNCell(RNNCell):
    """``tf.nn.rnn_cell.MultiRNNCell``: cells one after the other, in the scopes ``cell_0``, ``cell_1``, ...

    >>> from torchscope import ScopedModule
    >>> def forward(x):
    ...     cell = MultiRNNCell([BasicRNNCell(3), BasicRNNCell(2)])
    ...     return cell(x, cell.zero_state(1))[0]
    >>> list(ScopedModule(forward, layout="tf").build(torch.ones(1, 2)).variables)[::2]
    ['multi_rnn_cell/cell_0/basic_rnn_cell/kernel', 'multi_rnn_cell/cell_1/basic_rnn_cell/kernel']

    Args:
        cells: one for each layer.

    Raises:
        ArgumentValueError: no cells.
        NotImplementedError: ``state_is_tuple=False``.
    """

    _base: ClassVar[str] = "cell_{}"

    def __init__(self, cells: Sequence[RNNCell], state_is_tuple: bool = True) -> None:
        if not state_is_tuple:
            raise NotImplementedError("MultiRNNCell(state_is_tuple=False) is not there yet.\nTake tuples of states.")
        super().__init__()
        if not cells:
            raise ArgumentValueError.of("cells", cells, "Give at least one.")
        if len({id(cell) for cell in cells}) < len(cells):
            warnings.warn("MultiRNNCell has one cell object in several layers: they share its variables.", stacklevel=2)
        self._cells = list(cells)

    @property
    def state_size(self) -> Sizes:  # type: ignore[override]
        """Of each cell."""
        return tuple(cell.state_size for cell in self._cells)

    @property
    def output_size(self) -> int:  # type: ignore[override]
        """Of the last cell."""
        return self._cells[-1].output_size

    def zero_state(
        self, batch_size: int, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> State:
        """A state of zeros for each cell."""
        return tuple(cell.zero_state(batch_size, dtype, device) for cell in self._cells)

    def call(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """The outputs of the last cell, and the states of all."""
        if isinstance(state, Tensor) or len(state) != len(self._cells):
            raise ArgumentTypeError.of(
                "state", type(state).__name__, f"Give {len(self._cells)} states, one for each cell."
            )
        new: list[State] = []
        for n, (cell, before) in enumerate(zip(self._cells, state, strict=True)):
            with variable_scope(self._base.format(n)):
                inputs, after = cell(inputs, before)
            new.append(after)
        return inputs, tuple(new)


def _one(state: State) -> Tensor:
    if not isinstance(state, Tensor):
        raise ArgumentTypeError.of("state", type(state).__name__, "Give one tensor, [batch, units].")
    return state
