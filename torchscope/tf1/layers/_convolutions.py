"""Convolutions of ``tf.layers``: plain, separable and transposed ones."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from torch import Tensor
from torch.nn.init import zeros_

from ..._scopes.scope import VariableScope
from ..._variables.reuse import Reuse
from ..._variables.spec import Constraint, Initializer, Regularizer
from ...errors import ArgumentValueError
from .._layer import Activation, Layer, Making, activated, as_function, dtype_of, positive
from ..nn._activations import bias_add
from ..nn._convolutions import conv2d_transpose as transposed_2d
from ..nn._convolutions import conv3d_transpose as transposed_3d
from ..nn._convolutions import convolution
from ..nn._convolutions import separable_conv2d as separated
from ..nn._windows import FORMATS, Sizes, sizes

Settings = tuple[Initializer, Regularizer | None, Constraint | None]


class Window(NamedTuple):
    """How a layer goes over an image of this many axes."""

    rank: int
    size: tuple[int, ...]
    strides: tuple[int, ...]
    rates: tuple[int, ...]
    padding: str
    first: bool  # the channels come before the image

    @classmethod
    def of(
        cls, rank: int, size: Sizes, strides: Sizes, padding: str, data_format: str | None, rates: Sizes = 1
    ) -> Window:
        """Check what a layer was given.

        Raises:
            ArgumentValueError: sizes, paddings or orders of axes that TensorFlow refuses.
        """
        if data_format not in (None, "channels_last", "channels_first"):
            raise ArgumentValueError.of("data_format", data_format, "Use 'channels_last' or 'channels_first'.")
        if not isinstance(padding, str) or padding.upper() not in ("SAME", "VALID"):
            raise ArgumentValueError.of("padding", padding, "Use 'same' or 'valid'.")
        first = data_format == "channels_first"
        window, steps, each_rate = (
            sizes(name, given, rank, first=first, whole=False)
            for name, given in (("kernel_size", size), ("strides", strides), ("dilation_rate", rates))
        )
        found = cls(rank, window, steps, each_rate, padding.upper(), first)
        if max(found.strides) > 1 and max(found.rates) > 1:
            raise ArgumentValueError.of("dilation_rate", rates, f"With strides={strides!r} it has to be 1.")
        return found

    @property
    def data_format(self) -> str:
        """The order of axes as ``tf.nn`` calls it."""
        return FORMATS[self.rank][1 if self.first else 0]

    def channels(self, inputs: Tensor) -> int:
        """How many there are in a tensor.

        Raises:
            ArgumentValueError: it has another number of axes.
        """
        if inputs.dim() != self.rank + 2:
            mend = f"Give {self.rank + 2} axes, {self.data_format}."
            raise ArgumentValueError.of("the shape of the inputs", tuple(inputs.shape), mend)
        return inputs.shape[1 if self.first else -1]


def convolve(making: Making, inputs: Tensor, filters: int, window: Window, kernel: Settings) -> Tensor:
    """A convolution by a kernel of the scope that is open, without a bias."""
    channels = window.channels(inputs)
    shape = [*window.size, channels, positive("filters", filters)]
    weights = making.weight("kernel", shape, dtype_of(inputs), *kernel)
    return convolution(
        inputs,
        weights,
        window.padding,
        strides=window.strides,
        dilation_rate=window.rates,
        data_format=window.data_format,
    )


def transpose(making: Making, inputs: Tensor, filters: int, window: Window, kernel: Settings) -> Tensor:
    """A transposed convolution, of the size that ``tf.layers`` gives it, without a bias."""
    channels = window.channels(inputs)
    weights = making.weight("kernel", [*window.size, positive("filters", filters), channels], dtype_of(inputs), *kernel)
    image = inputs.shape[2:] if window.first else inputs.shape[1:-1]
    new = [
        n * stride + (max(k - stride, 0) if window.padding == "VALID" else 0)
        for n, k, stride in zip(image, window.size, window.strides, strict=True)
    ]
    shape = [inputs.shape[0], filters, *new] if window.first else [inputs.shape[0], *new, filters]
    function = transposed_2d if window.rank == 2 else transposed_3d
    return function(inputs, weights, shape, window.strides, window.padding, window.data_format)


def separate(
    making: Making,
    inputs: Tensor,
    filters: int,
    window: Window,
    multiplier: int,
    depthwise: Settings,
    pointwise: Settings,
) -> Tensor:
    """A depthwise and a pointwise convolution, without a bias."""
    channels, dtype, rank = window.channels(inputs), dtype_of(inputs), window.rank
    inner = positive("depth_multiplier", multiplier) * channels
    depth = making.weight("depthwise_kernel", [*window.size, channels, multiplier], dtype, *depthwise)
    point = making.weight("pointwise_kernel", [1] * rank + [inner, positive("filters", filters)], dtype, *pointwise)
    if rank == 2:
        return separated(
            inputs, depth, point, window.strides, window.padding, window.rates, data_format=window.data_format
        )
    flat = inputs.unsqueeze(2 if window.first else 1)  # an image of one row
    order = FORMATS[2][1 if window.first else 0]
    rates, strides = (1, *window.rates), window.strides * 2
    y = separated(flat, depth[None], point[None], strides, window.padding, rates, data_format=order)
    return y.squeeze(2 if window.first else 1)


def with_bias(making: Making, outputs: Tensor, window: Window, bias: Settings | None) -> Tensor:
    """The outputs of a convolution, with a bias of the scope that is open."""
    if bias is None:
        return outputs
    axis = 1 if window.first else -1
    biases = making.weight("bias", [outputs.shape[axis]], dtype_of(outputs), *bias)
    return bias_add(outputs, biases, "NCHW" if window.first else "NHWC")


class _Convolution(Layer):
    rank: ClassVar[int]

    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: str = "valid",
        data_format: str = "channels_last",
        dilation_rate: Sizes = 1,
        activation: Activation = None,
        use_bias: bool = True,
        kernel_initializer: Initializer = None,
        bias_initializer: Initializer = zeros_,
        kernel_regularizer: Regularizer | None = None,
        bias_regularizer: Regularizer | None = None,
        activity_regularizer: Regularizer | None = None,
        kernel_constraint: Constraint | None = None,
        bias_constraint: Constraint | None = None,
        trainable: bool = True,
        name: str | VariableScope | None = None,
        reuse: Reuse | None = None,
    ) -> None:
        super().__init__(trainable, name, reuse)
        self.filters = filters
        self.window = Window.of(self.rank, kernel_size, strides, padding, data_format, dilation_rate)
        self.activation = activation
        self._activity_regularizer = activity_regularizer
        self._kernel = (kernel_initializer, kernel_regularizer, kernel_constraint)
        self._bias = (bias_initializer, bias_regularizer, bias_constraint) if use_bias else None

    def call(self, inputs: Tensor) -> Tensor:
        """An image to an image of ``filters`` channels."""
        outputs = with_bias(self.making, self._convolved(inputs), self.window, self._bias)
        return activated(outputs, self.activation, self._activity_regularizer)

    def _convolved(self, inputs: Tensor) -> Tensor:
        return convolve(self.making, inputs, self.filters, self.window, self._kernel)


class Conv1D(_Convolution):
    """``tf.layers.Conv1D``: :func:`conv1d` as an object; see :class:`Layer`."""

    rank = 1


class Conv2D(_Convolution):
    """``tf.layers.Conv2D``: :func:`conv2d` as an object; see :class:`Layer`."""

    rank = 2


class Conv3D(_Convolution):
    """``tf.layers.Conv3D``: :func:`conv3d` as an object; see :class:`Layer`."""

    rank = 3


class _Transposed(_Convolution):
    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: str = "valid",
        data_format: str = "channels_last",
        activation: Activation = None,
        use_bias: bool = True,
        kernel_initializer: Initializer = None,
        bias_initializer: Initializer = zeros_,
        kernel_regularizer: Regularizer | None = None,
        bias_regularizer: Regularizer | None = None,
        activity_regularizer: Regularizer | None = None,
        kernel_constraint: Constraint | None = None,
        bias_constraint: Constraint | None = None,
        trainable: bool = True,
        name: str | VariableScope | None = None,
        reuse: Reuse | None = None,
    ) -> None:
        super().__init__(
            filters,
            kernel_size,
            strides,
            padding,
            data_format,
            1,
            activation,
            use_bias,
            kernel_initializer,
            bias_initializer,
            kernel_regularizer,
            bias_regularizer,
            activity_regularizer,
            kernel_constraint,
            bias_constraint,
            trainable,
            name,
            reuse,
        )

    def _convolved(self, inputs: Tensor) -> Tensor:
        return transpose(self.making, inputs, self.filters, self.window, self._kernel)


class Conv2DTranspose(_Transposed):
    """``tf.layers.Conv2DTranspose``: :func:`conv2d_transpose` as an object; see :class:`Layer`."""

    rank = 2


class Conv3DTranspose(_Transposed):
    """``tf.layers.Conv3DTranspose``: :func:`conv3d_transpose` as an object; see :class:`Layer`."""

    rank = 3


class _Separable(_Convolution):
    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: str = "valid",
        data_format: str = "channels_last",
        dilation_rate: Sizes = 1,
        depth_multiplier: int = 1,
        activation: Activation = None,
        use_bias: bool = True,
        depthwise_initializer: Initializer = None,
        pointwise_initializer: Initializer = None,
        bias_initializer: Initializer = zeros_,
        depthwise_regularizer: Regularizer | None = None,
        pointwise_regularizer: Regularizer | None = None,
        bias_regularizer: Regularizer | None = None,
        activity_regularizer: Regularizer | None = None,
        depthwise_constraint: Constraint | None = None,
        pointwise_constraint: Constraint | None = None,
        bias_constraint: Constraint | None = None,
        trainable: bool = True,
        name: str | VariableScope | None = None,
        reuse: Reuse | None = None,
    ) -> None:
        super().__init__(
            filters,
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            activation,
            use_bias,
            bias_initializer=bias_initializer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            bias_constraint=bias_constraint,
            trainable=trainable,
            name=name,
            reuse=reuse,
        )
        self.depth_multiplier = depth_multiplier
        self._depthwise = (depthwise_initializer, depthwise_regularizer, depthwise_constraint)
        self._pointwise = (pointwise_initializer, pointwise_regularizer, pointwise_constraint)

    def _convolved(self, inputs: Tensor) -> Tensor:
        return separate(
            self.making,
            inputs,
            self.filters,
            self.window,
            self.depth_multiplier,
            self._depthwise,
            self._pointwise,
        )


class SeparableConv1D(_Separable):
    """``tf.layers.SeparableConv1D``: :func:`separable_conv1d` as an object; see :class:`Layer`."""

    rank = 1


class SeparableConv2D(_Separable):
    """``tf.layers.SeparableConv2D``: :func:`separable_conv2d` as an object; see :class:`Layer`."""

    rank = 2


@as_function(Conv1D)
def conv1d() -> None:
    """``tf.layers.conv1d``: as :func:`conv2d`, of [batch, width, in].

    >>> import torch
    >>> from torchscope import ScopedModule
    >>> ScopedModule(lambda x: conv1d(x, 8, 3, padding="same"), layout="tf")(torch.ones(1, 5, 2)).shape
    torch.Size([1, 5, 8])
    """


@as_function(Conv2D)
def conv2d() -> None:
    """``tf.layers.conv2d``: a convolution with the variables ``conv2d/kernel`` and ``conv2d/bias``.

    ``torch.nn.Conv2d`` has its channels second, ``[out, in, height, width]`` for the kernel, no ``"same"`` at a stride,
    and starts from another distribution.

    >>> import torch
    >>> from torchscope import ScopedModule
    >>> model = ScopedModule(lambda x: conv2d(x, 8, 3, strides=2, padding="same"), layout="tf")
    >>> model(torch.ones(1, 5, 5, 2)).shape, tuple(model.variables["conv2d/kernel"].shape)
    (torch.Size([1, 3, 3, 8]), (3, 3, 2, 8))

    Args:
        inputs: [batch, height, width, in], or the order of ``data_format``; of a floating dtype.
        filters: how many outputs.
        kernel_size, strides, dilation_rate: one, or one for each axis of the image.
        padding: ``"valid"`` or ``"same"``.
        data_format: ``"channels_last"`` or ``"channels_first"``.
        activation: a function of the outputs.
        use_bias: whether there is one.
        kernel_initializer: by default the scope's, else Glorot uniform; the bias begins with zeros.
        kernel_regularizer, bias_regularizer: functions of the variable that return its loss.
        activity_regularizer: a function of the outputs whose value, divided by the size of the batch, is put into the
            collection ``"regularization_losses"``.
        kernel_constraint, bias_constraint: functions of the variable that return its projection.
        trainable: whether the variables have gradients.
        name: the scope; by default ``"conv2d"``, ``"conv2d_1"``, ...
        reuse: as of :func:`torchscope.variable_scope`.

    Raises:
        ArgumentValueError, ArgumentTypeError: shapes, sizes, names or dtypes that TensorFlow refuses.
    """


@as_function(Conv3D)
def conv3d() -> None:
    """``tf.layers.conv3d``: as :func:`conv2d`, of [batch, depth, height, width, in].

    >>> import torch
    >>> from torchscope import ScopedModule
    >>> ScopedModule(lambda x: conv3d(x, 8, 2), layout="tf")(torch.ones(1, 3, 3, 3, 2)).shape
    torch.Size([1, 2, 2, 2, 8])
    """


@as_function(Conv2DTranspose)
def conv2d_transpose() -> None:
    """``tf.layers.conv2d_transpose``: a transposed convolution, with a kernel [height, width, out, in].

    With ``"same"`` the image becomes ``strides`` times as large, where ``torch.nn.ConvTranspose2d`` takes its size from
    paddings; otherwise as :func:`conv2d`.

    >>> import torch
    >>> from torchscope import ScopedModule
    >>> ScopedModule(lambda x: conv2d_transpose(x, 8, 3, 2, "same"), layout="tf")(torch.ones(1, 3, 3, 2)).shape
    torch.Size([1, 6, 6, 8])
    """


@as_function(Conv3DTranspose)
def conv3d_transpose() -> None:
    """``tf.layers.conv3d_transpose``: as :func:`conv2d_transpose`, of [batch, depth, height, width, in].

    >>> import torch
    >>> from torchscope import ScopedModule
    >>> ScopedModule(lambda x: conv3d_transpose(x, 8, 2, 2), layout="tf")(torch.ones(1, 2, 2, 2, 3)).shape
    torch.Size([1, 4, 4, 4, 8])
    """


@as_function(SeparableConv1D)
def separable_conv1d() -> None:
    """``tf.layers.separable_conv1d``: as :func:`separable_conv2d`, of [batch, width, in].

    >>> import torch
    >>> from torchscope import ScopedModule
    >>> ScopedModule(lambda x: separable_conv1d(x, 8, 2), layout="tf")(torch.ones(1, 3, 3)).shape
    torch.Size([1, 2, 8])
    """


@as_function(SeparableConv2D)
def separable_conv2d() -> None:
    """``tf.layers.separable_conv2d``: each channel by windows of its own, then all of a pixel by one matrix.

    The variables are ``depthwise_kernel``, [height, width, in, depth_multiplier], ``pointwise_kernel``,
    [1, 1, in * depth_multiplier, out], and ``bias``; otherwise as :func:`conv2d`.

    >>> import torch
    >>> from torchscope import ScopedModule
    >>> model = ScopedModule(lambda x: separable_conv2d(x, 8, 3), layout="tf").build(torch.ones(1, 3, 3, 2))
    >>> list(model.variables)
    ['separable_conv2d/depthwise_kernel', 'separable_conv2d/pointwise_kernel', 'separable_conv2d/bias']
    """
