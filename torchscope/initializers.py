"""Initializers: each fills a tensor in place.

The protocol is that of :mod:`torch.nn.init`: ``initializer(tensor)`` writes the values into ``tensor``, so every
function of that module, or a :func:`functools.partial` of one, is an initializer too. If the callable also takes a
``generator`` keyword, a seeded module hands it the variable's own random stream; otherwise torch's global generator is
set to that stream for the time of the call.

The classes here are TensorFlow 1's initializers under TensorFlow 1's names, with its parameters and distributions.
Two of their keywords need explaining:

* ``layout``: which axes are the fans. ``"torch"`` reads ``[out, in, *kernel]``, ``"tf"`` reads ``[*kernel, in, out]``;
  by default it is the module's (``ScopedModule(layout="tf")``), and torch's outside of one.
* ``dtype``: accepted where TensorFlow has it, and without effect: as in TensorFlow 1's ``get_variable``, it is the
  variable that has a dtype.

A ``seed`` makes the initializer write the same numbers each time it is called, on every device. Dtypes narrower than
32 bits are computed in ``torch.float32`` and rounded once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, fields, replace
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor

from .errors import ArgumentTypeError, ArgumentValueError

Layout = Literal["torch", "tf"]
Mode = Literal["fan_in", "fan_out", "fan_avg"]
Distribution = Literal["truncated_normal", "untruncated_normal", "normal", "uniform"]

# The standard deviation of a unit normal that is cut off at two standard deviations; TensorFlow divides by it so that
# what is left after the cut has the variance that was asked for.
_TRUNCATED_STDDEV = 0.87962566103423978
_WIDE = (torch.float32, torch.float64, torch.complex64, torch.complex128)


def fans(shape: Sequence[int], layout: Layout = "torch") -> tuple[int, int]:
    """Fan-in and fan-out of a weight of this shape, counted as TensorFlow 1 counts them.

    A scalar has fans (1, 1), a vector of n has (n, n), a matrix its two sides; kernels multiply both.

    >>> fans([32, 3, 5, 5]), fans([5, 5, 3, 32], layout="tf")
    ((75, 800), (75, 800))
    """
    if len(shape) < 2:
        size = math.prod(shape)
        return size, size
    if layout == "torch":
        fan_out, fan_in, kernel = shape[0], shape[1], shape[2:]
    else:
        fan_in, fan_out, kernel = shape[-2], shape[-1], shape[:-2]
    return fan_in * math.prod(kernel), fan_out * math.prod(kernel)


class OurInitializer:
    """What all share: the ``dtype`` of TensorFlow's signature, checked and otherwise without effect.

    A model makes them anew in each call, so making one is kept cheap: the dataclasses are not ``frozen``, which would
    double the cost, and those that biases and norms use have a hand-written ``__init__``. None is ever changed. What a
    dataclass would write for each class anew, while `torchscope` is imported, stands here once.
    """

    dtype: torch.dtype | None

    def _values(self) -> tuple[object, ...]:
        return tuple(getattr(self, field.name) for field in fields(self))  # type: ignore[arg-type]  # all are dataclasses

    def __repr__(self) -> str:
        names = (field.name for field in fields(self))  # type: ignore[arg-type]
        given = ", ".join(f"{name}={value!r}" for name, value in zip(names, self._values(), strict=True))
        return f"{type(self).__qualname__}({given})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def __post_init__(self) -> None:
        if self.dtype is not None and not isinstance(self.dtype, torch.dtype):
            raise ArgumentTypeError.of(
                "dtype", self.dtype, "Give a torch.dtype such as torch.float32, or leave it out."
            )

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self  # it is never changed

    def in_layout(self, layout: Layout) -> Self:
        """The same initializer for variables of this order of axes, if it was given none of its own."""
        if layout == "torch" or getattr(self, "layout", layout) is not None:
            return self
        return replace(self, layout=layout)  # type: ignore[type-var]  # all that have a layout are dataclasses

    def _require_matrix(self, tensor: Tensor) -> None:
        if tensor.dim() < 2:
            name = type(self).__name__
            raise ArgumentValueError.of(
                "shape", tuple(tensor.shape), f"{name} needs at least two dimensions; use another for vectors."
            )


class _RandomInitializer(OurInitializer):
    """Fills with random numbers: from its own seed, else from the generator it is handed, else from torch's."""

    def __post_init__(self) -> None:
        super().__post_init__()
        layout = getattr(self, "layout", None)
        if layout not in ("torch", "tf", None):
            raise ArgumentValueError.of("layout", layout, "Use 'torch' ([out, in, *kernel]) or 'tf'.")

    def __call__(self, tensor: Tensor, generator: torch.Generator | None = None) -> Tensor:
        self._check(tensor)
        seed = getattr(self, "seed", None)
        if seed is not None:
            generator = torch.Generator("cpu").manual_seed(seed)
        # A generator belongs to one device: draw there, then copy, so that a seed means the same on every device.
        device = tensor.device if generator is None or tensor.is_meta else generator.device
        dtype = tensor.dtype if tensor.dtype in _WIDE or not tensor.is_floating_point() else torch.float32
        with torch.no_grad():
            if (device, dtype) == (tensor.device, tensor.dtype):
                self._fill(tensor, None if tensor.is_meta else generator)
            else:
                drawn = torch.empty(tensor.shape, dtype=dtype, device=device)
                self._fill(drawn, generator)
                tensor.copy_(drawn)
        return tensor

    def _check(self, tensor: Tensor) -> None:
        if not (tensor.is_floating_point() or tensor.is_complex()):
            name = type(self).__name__
            raise ArgumentValueError.of("dtype", tensor.dtype, f"{name} fills floating dtypes only.")

    def _fill(self, tensor: Tensor, generator: torch.Generator | None) -> None:
        raise NotImplementedError


@dataclass(init=False, eq=False, repr=False)
class zeros_initializer(OurInitializer):
    """Fills with zeros, whatever the dtype (``tf.zeros_initializer``).

    >>> zeros_initializer()(torch.empty(2))
    tensor([0., 0.])
    """

    dtype: torch.dtype | None

    def __init__(self, dtype: torch.dtype | None = None) -> None:
        self.dtype = dtype
        if dtype is not None:
            self.__post_init__()

    def __call__(self, tensor: Tensor) -> Tensor:
        with torch.no_grad():
            return tensor.zero_()


@dataclass(init=False, eq=False, repr=False)
class ones_initializer(OurInitializer):
    """Fills with ones, whatever the dtype (``tf.ones_initializer``).

    >>> ones_initializer()(torch.empty(2))
    tensor([1., 1.])
    """

    dtype: torch.dtype | None

    def __init__(self, dtype: torch.dtype | None = None) -> None:
        self.dtype = dtype
        if dtype is not None:
            self.__post_init__()

    def __call__(self, tensor: Tensor) -> Tensor:
        with torch.no_grad():
            return tensor.fill_(1)


@dataclass(init=False, eq=False, repr=False)
class constant_initializer(OurInitializer):
    """Fills with a number, or with the numbers of a list, array or tensor in row-major order.

    As in TensorFlow 1, too few numbers are continued with the last one, too many are an error, and
    ``verify_shape=True`` asks for exactly the variable's shape.

    >>> constant_initializer([1.0, 2.0, 3.0])(torch.empty(2, 2))
    tensor([[1., 2.],
            [3., 3.]])

    Raises:
        ArgumentValueError: more numbers than the tensor has elements, or none at all for a tensor that has some.
        ArgumentTypeError: floats for an integer variable; ``verify_shape=True`` and another shape.
    """

    value: Any
    dtype: torch.dtype | None
    verify_shape: bool

    __eq__ = object.__eq__  # its value may be a tensor
    __hash__ = object.__hash__

    def __init__(self, value: Any = 0, dtype: torch.dtype | None = None, verify_shape: bool = False) -> None:
        self.value = value
        self.dtype = dtype
        self.verify_shape = verify_shape
        if dtype is not None or verify_shape is not False:
            self.__post_init__()
            if not isinstance(verify_shape, bool):
                raise ArgumentTypeError.of("verify_shape", verify_shape, "Give True or False.")

    def __call__(self, tensor: Tensor) -> Tensor:
        with torch.no_grad():
            value = self.value if isinstance(self.value, Tensor) else torch.as_tensor(self.value, device="cpu")
            if not torch.can_cast(value.dtype, tensor.dtype):
                mend = f"Its dtype {value.dtype} does not fit into the variable's {tensor.dtype}: convert it yourself."
                raise ArgumentTypeError.of("value", self.value, mend)
            if value.dim() == 0 and not self.verify_shape:
                return tensor.copy_(value)
            if self.verify_shape and value.shape != tensor.shape:
                mend = f"With verify_shape=True the value must have the variable's shape {tuple(tensor.shape)}."
                raise ArgumentTypeError.of("value", self.value, mend)
            flat = value.reshape(-1).to(tensor.device)
            missing = tensor.numel() - flat.numel()
            if missing < 0 or (missing and not flat.numel()):
                mend = f"It has {flat.numel()} elements; shape {tuple(tensor.shape)} takes {tensor.numel()}."
                raise ArgumentValueError.of("value", self.value, mend)
            if missing:
                flat = torch.cat([flat, flat[-1:].expand(missing)])
            return tensor.copy_(flat.reshape(tensor.shape))


@dataclass(eq=False, repr=False)
class random_normal_initializer(_RandomInitializer):
    """Fills from a normal distribution (``tf.random_normal_initializer``).

    >>> random_normal_initializer(stddev=0.02, seed=1)(torch.empty(1000)).std() < 0.03
    tensor(True)
    """

    mean: float = 0.0
    stddev: float = 1.0
    seed: int | None = None
    dtype: torch.dtype | None = None

    def _fill(self, tensor: Tensor, generator: torch.Generator | None) -> None:
        tensor.normal_(self.mean, self.stddev, generator=generator)


@dataclass(eq=False, repr=False)
class truncated_normal_initializer(_RandomInitializer):
    """Fills from a normal distribution cut off two standard deviations from its mean.

    ``stddev`` is that of the normal before the cut, as in ``tf.truncated_normal_initializer``; what is left has
    0.8796 of it.

    >>> truncated_normal_initializer(seed=1)(torch.empty(10000)).abs().max() <= 2
    tensor(True)
    """

    mean: float = 0.0
    stddev: float = 1.0
    seed: int | None = None
    dtype: torch.dtype | None = None

    def _fill(self, tensor: Tensor, generator: torch.Generator | None) -> None:
        _truncated_normal(tensor, self.mean, self.stddev, generator)


@dataclass(eq=False, repr=False)
class random_uniform_initializer(_RandomInitializer):
    """Fills uniformly from ``[minval, maxval)``, integers too (``tf.random_uniform_initializer``).

    ``maxval`` is 1 for floating dtypes if left out, and must be given for integers.

    >>> random_uniform_initializer(0, 5, seed=1)(torch.empty(100, dtype=torch.int64)).max()
    tensor(4)
    """

    minval: float = 0
    maxval: float | None = None
    seed: int | None = None
    dtype: torch.dtype | None = None

    def _check(self, tensor: Tensor) -> None:
        if tensor.is_complex():
            mend = "random_uniform_initializer fills real dtypes only. Use random_normal_initializer."
            raise ArgumentValueError.of("dtype", tensor.dtype, mend)
        if self.maxval is None and not tensor.is_floating_point():
            raise ArgumentValueError.of("maxval", None, f"Give maxval for the integer dtype {tensor.dtype}.")

    def _fill(self, tensor: Tensor, generator: torch.Generator | None) -> None:
        maxval = 1.0 if self.maxval is None else self.maxval
        if tensor.is_floating_point():
            tensor.uniform_(self.minval, maxval, generator=generator)
        else:
            tensor.random_(int(self.minval), int(maxval), generator=generator)


@dataclass(eq=False, repr=False)
class uniform_unit_scaling_initializer(_RandomInitializer):
    """Fills uniformly so that the scale of the input is kept (``tf.uniform_unit_scaling_initializer``).

    The bound is ``factor * sqrt(3 / n)``, with n the number of inputs of one output: every axis but the output's.

    >>> uniform_unit_scaling_initializer(seed=1)(torch.empty(8, 3)).abs().max() <= 1
    tensor(True)
    """

    factor: float = 1.0
    seed: int | None = None
    dtype: torch.dtype | None = None
    _: KW_ONLY
    layout: Layout | None = None

    def _fill(self, tensor: Tensor, generator: torch.Generator | None) -> None:
        inputs = tensor.shape[1:] if self.layout != "tf" else tensor.shape[:-1]
        bound = self.factor * math.sqrt(3 / max(1, math.prod(inputs)))
        tensor.uniform_(-bound, bound, generator=generator)


@dataclass(eq=False, repr=False)
class _VarianceScaling(_RandomInitializer):
    """Fills with a variance of ``scale / fan``; the named initializers below are this with fixed parameters."""

    scale: ClassVar[float]
    mode: ClassVar[Mode]
    distribution: ClassVar[Distribution]

    seed: int | None = None
    dtype: torch.dtype | None = None
    _: KW_ONLY
    layout: Layout | None = None

    def _fill(self, tensor: Tensor, generator: torch.Generator | None) -> None:
        _fill_scaled(tensor, self.scale, self.mode, self.distribution, self.layout, generator)


@dataclass(eq=False, repr=False)
class variance_scaling_initializer(_RandomInitializer):
    """Fills with zero mean and variance ``scale / n``, n being the fan that ``mode`` names.

    With ``distribution="truncated_normal"`` (also called ``"normal"``) the cut at two standard deviations is
    corrected for, so the variance is the one asked for; this is ``tf.variance_scaling_initializer``.

    >>> w = variance_scaling_initializer(scale=2.0, seed=1)(torch.empty(200, 50))
    >>> abs(w.var().item() - 2 / 50) < 0.002
    True

    Raises:
        ArgumentValueError: a scale that is not positive, an unknown mode or distribution.
    """

    scale: float = 1.0
    mode: Mode = "fan_in"
    distribution: Distribution = "truncated_normal"
    seed: int | None = None
    dtype: torch.dtype | None = None
    _: KW_ONLY
    layout: Layout | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.scale > 0:
            raise ArgumentValueError.of("scale", self.scale, "Give a positive number.")
        if self.mode not in ("fan_in", "fan_out", "fan_avg"):
            raise ArgumentValueError.of("mode", self.mode, "Use 'fan_in', 'fan_out' or 'fan_avg'.")
        if self.distribution not in ("truncated_normal", "untruncated_normal", "normal", "uniform"):
            mend = "Use 'truncated_normal' (or 'normal'), 'untruncated_normal' or 'uniform'."
            raise ArgumentValueError.of("distribution", self.distribution, mend)

    def _fill(self, tensor: Tensor, generator: torch.Generator | None) -> None:
        _fill_scaled(tensor, self.scale, self.mode, self.distribution, self.layout, generator)


class glorot_normal_initializer(_VarianceScaling):
    """Glorot and Bengio's normal: truncated, variance ``2 / (fan_in + fan_out)``; Xavier normal but for the cut.

    >>> glorot_normal_initializer(seed=1)(torch.empty(50, 50)).std().round(decimals=2)
    tensor(0.1400)
    """

    scale, mode, distribution = 1.0, "fan_avg", "truncated_normal"


class glorot_uniform_initializer(_VarianceScaling):
    """Glorot and Bengio's uniform: bound ``sqrt(6 / (fan_in + fan_out))``; what a floating variable gets by default.

    >>> glorot_uniform_initializer(seed=1)(torch.empty(3, 3)).abs().max() <= 1
    tensor(True)
    """

    scale, mode, distribution = 1.0, "fan_avg", "uniform"


class he_normal_initializer(_VarianceScaling):
    """He's normal for ReLU: truncated, variance ``2 / fan_in``.

    >>> he_normal_initializer(seed=1)(torch.empty(50, 50)).std().round(decimals=2)
    tensor(0.2000)
    """

    scale, mode, distribution = 2.0, "fan_in", "truncated_normal"


class he_uniform_initializer(_VarianceScaling):
    """He's uniform for ReLU: bound ``sqrt(6 / fan_in)``.

    >>> he_uniform_initializer(seed=1)(torch.empty(3, 6)).abs().max() <= 1
    tensor(True)
    """

    scale, mode, distribution = 2.0, "fan_in", "uniform"


class lecun_normal_initializer(_VarianceScaling):
    """LeCun's normal: truncated, variance ``1 / fan_in``.

    >>> lecun_normal_initializer(seed=1)(torch.empty(50, 50)).std().round(decimals=2)
    tensor(0.1400)
    """

    scale, mode, distribution = 1.0, "fan_in", "truncated_normal"


class lecun_uniform_initializer(_VarianceScaling):
    """LeCun's uniform: bound ``sqrt(3 / fan_in)``.

    >>> lecun_uniform_initializer(seed=1)(torch.empty(3, 3)).abs().max() <= 1
    tensor(True)
    """

    scale, mode, distribution = 1.0, "fan_in", "uniform"


@dataclass(eq=False, repr=False)
class orthogonal_initializer(_RandomInitializer):
    """Fills with a random (semi-)orthogonal matrix times ``gain`` (``tf.orthogonal_initializer``).

    More than two dimensions are flattened to a matrix with the output axis kept: the first in torch's layout, the last
    in TensorFlow's.

    >>> w = orthogonal_initializer(seed=1)(torch.empty(3, 5))
    >>> torch.allclose(w @ w.T, torch.eye(3), atol=1e-6)
    True

    Raises:
        ArgumentValueError: fewer than two dimensions.
    """

    gain: float = 1.0
    seed: int | None = None
    dtype: torch.dtype | None = None
    _: KW_ONLY
    layout: Layout | None = None

    def _check(self, tensor: Tensor) -> None:
        super()._check(tensor)
        self._require_matrix(tensor)

    def _fill(self, tensor: Tensor, generator: torch.Generator | None) -> None:
        if tensor.numel() == 0 or tensor.is_meta:
            return
        outputs = tensor.shape[0] if self.layout != "tf" else tensor.shape[-1]
        inputs = tensor.numel() // outputs
        drawn = tensor.new_empty(max(outputs, inputs), min(outputs, inputs)).normal_(generator=generator)
        q, r = torch.linalg.qr(drawn)
        # QR leaves the signs of the columns to the algorithm; fixed by r's diagonal, q is uniform (Haar) distributed.
        q = q * torch.sgn(torch.diagonal(r))
        rows = outputs if self.layout != "tf" else inputs
        tensor.copy_((q if q.shape[0] == rows else q.mT).reshape(tensor.shape)).mul_(self.gain)


@dataclass(eq=False, repr=False)
class identity_initializer(OurInitializer):
    """Fills a matrix with ``gain`` on its diagonal and zeros elsewhere (``tf.initializers.identity``).

    >>> identity_initializer(gain=2.0)(torch.empty(2, 3))
    tensor([[2., 0., 0.],
            [0., 2., 0.]])

    Raises:
        ArgumentValueError: other than two dimensions.
    """

    gain: float = 1.0
    dtype: torch.dtype | None = None

    def __call__(self, tensor: Tensor) -> Tensor:
        if tensor.dim() != 2:
            mend = "identity_initializer fills matrices only: two dimensions."
            raise ArgumentValueError.of("shape", tuple(tensor.shape), mend)
        with torch.no_grad():
            tensor.zero_().diagonal().fill_(self.gain)
        return tensor


def _fill_scaled(
    tensor: Tensor,
    scale: float,
    mode: Mode,
    distribution: Distribution,
    layout: Layout | None,
    generator: torch.Generator | None,
) -> None:
    fan_in, fan_out = fans(tensor.shape, layout or "torch")
    fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[mode]
    variance = scale / max(1.0, fan)
    if distribution == "uniform":
        bound = math.sqrt(3 * variance)
        tensor.uniform_(-bound, bound, generator=generator)
    elif distribution == "untruncated_normal":
        tensor.normal_(0.0, math.sqrt(variance), generator=generator)
    else:
        _truncated_normal(tensor, 0.0, math.sqrt(variance) / _TRUNCATED_STDDEV, generator)


def _truncated_normal(tensor: Tensor, mean: float, stddev: float, generator: torch.Generator | None) -> None:
    if tensor.is_complex():
        mend = "Complex numbers have no order to be cut by. Use random_normal_initializer."
        raise ArgumentValueError.of("dtype", tensor.dtype, mend)
    if stddev == 0:
        tensor.fill_(mean)
        return
    low, high = mean - 2 * stddev, mean + 2 * stddev
    torch.nn.init.trunc_normal_(tensor, mean, stddev, low, high, generator=generator)
