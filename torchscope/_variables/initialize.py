"""Make the tensor of a variable and fill it, safely under any mode, from its own random stream if there is a seed."""

from __future__ import annotations

import copy
import functools
import hashlib
import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from types import FunctionType
from typing import cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.nn import init

from .._torch import count_modes, set_gradients
from ..errors import InitializerError, ScopeError, VariableDtypeError, VariableShapeError
from ..initializers import (
    Layout,
    OurInitializer,
    constant_initializer,
    glorot_uniform_initializer,
    identity_initializer,
    ones_initializer,
    zeros_initializer,
)
from .sharding import whole_of
from .spec import Initializer

_FILL = "Fill the tensor in place: lambda t: t.fill_(1.0), or functools.partial(torch.nn.init.normal_, std=0.1)."


_VALUE = "Give a number, a list, an array or a tensor."


class _Creating(threading.local):
    """How deep this thread is in making variables: the operations that fill a tensor are given no names."""

    def __init__(self) -> None:
        self.depth = 0


creating = _Creating()
_global_generator = threading.RLock()
_glorot_uniform = glorot_uniform_initializer()
_zeros = zeros_initializer()
_as_it_is = nullcontext()
_DRAW_NOTHING: set[object] = {init.zeros_, init.ones_, init.constant_, init.eye_, init.dirac_}
_DRAW_NOTHING |= {zeros_initializer, ones_initializer, constant_initializer, identity_initializer}


class FromVariables:
    """An initializer that fills a variable from others of the same module, which it knows by their paths.

    A declaration that kept the others themselves would have old ones, once they were copied, loaded or moved.
    """

    def __init__(self, function: Callable[..., object], *paths: str) -> None:
        self.function, self.paths = function, paths

    def __call__(self, tensor: Tensor) -> None:
        raise TypeError("It fills from variables of a module, which has to be at hand.")

    def in_a_module(self, find: Callable[[str], Tensor | None]) -> Callable[[Tensor], object]:
        """The function, with the variables as they are now."""
        return functools.partial(self.function, *map(find, self.paths))


class plain_mode:
    """Switch ``inference_mode``, autograd and autocast off in the block: what is made there can be trained later.

    ``name_ops`` gives no names to what runs in it. A class and no generator: one that is interrupted while it is left
    would put the modes back when it is collected, whatever they are by then. See :func:`back_to`.
    """

    def __enter__(self) -> None:
        self._depth, self._gradients = creating.depth, torch.is_grad_enabled()
        self._modes: ExitStack | None = None
        creating.depth += 1
        if torch.is_inference_mode_enabled() or any(map(torch.is_autocast_enabled, _autocast_devices())):
            self._modes = ExitStack()
            self._modes.enter_context(torch.inference_mode(False))
            for device in _autocast_devices():
                self._modes.enter_context(torch.autocast(device, enabled=False))
        set_gradients(False)

    def __exit__(self, *error: object) -> None:
        creating.depth = self._depth
        set_gradients(self._gradients)
        if self._modes is not None:
            self._modes.close()


@functools.cache
def _autocast_devices() -> tuple[str, ...]:
    """The CPU, and the kind of accelerator that this build of torch is for."""
    accelerator = torch.accelerator.current_accelerator()
    return ("cpu",) if accelerator is None else ("cpu", accelerator.type)


def modes() -> tuple[int, bool]:
    """What :class:`plain_mode` changes, for :func:`back_to`."""
    return creating.depth, torch.is_grad_enabled()


def back_to(before: tuple[int, bool]) -> None:
    """Put back what :class:`plain_mode` changed, after an interrupt that may have kept it from doing so itself."""
    creating.depth, gradients = before
    set_gradients(gradients)


def as_declared(path: str, initializer: Initializer) -> Initializer:
    """The initializer as a declaration keeps it: a class is instantiated, a constant is copied.

    Raises:
        InitializerError: it can be neither called nor copied, and is no array.
    """
    if isinstance(initializer, type):
        return initializer()
    if callable(initializer) or initializer is None:
        return initializer
    if isinstance(initializer, Tensor):
        return whole_of(initializer).detach().clone()
    try:
        return copy.deepcopy(initializer)
    except TypeError:
        return _as_tensor(path, initializer, None, _VALUE).clone()


def is_constant(initializer: Initializer) -> bool:
    """Whether the initializer is the value itself: a tensor, an array or a number."""
    return initializer is not None and not callable(initializer)


def gives_value(initializer: Initializer) -> bool:
    """Whether the initializer stands for a value of its own: a constant, or a callable without arguments."""
    return is_constant(initializer) or _accepts(initializer, 0)


def value_of(path: str, initializer: Initializer, dtype: torch.dtype | None, seed: int | None = None) -> Tensor:
    """The value that an initializer without a shape stands for: the constant, or what the callable returns.

    Raises:
        VariableShapeError: there is no initializer, or one that needs a tensor to fill.
        VariableDtypeError: ``dtype`` is given and not the value's; a Python number, or a list of them, has none.
        InitializerError: what it gives is no tensor, array or number.
    """
    if not gives_value(initializer):
        raise VariableShapeError.of_missing(path)
    if not callable(initializer):
        value = initializer
    elif seed is None:
        value = initializer()
    else:
        with _global_stream(_stream(path, seed)):
            value = initializer()
    tensor = whole_of(_as_tensor(path, value, None, _VALUE))
    if dtype is not None and not hasattr(value, "dtype") and _may_be(tensor, dtype):
        tensor = _as_tensor(path, value, dtype, _VALUE)
    if dtype is not None and tensor.dtype != dtype:
        raise VariableDtypeError.of_constant(path, dtype, tensor.dtype)
    return tensor


def _as_tensor(path: str, value: object, dtype: torch.dtype | None, mend: str) -> Tensor:
    """What an initializer gave, as a tensor."""
    try:
        return torch.as_tensor(value, dtype=dtype).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        problem = f"the initializer gives {value!r}, which is no tensor, array or number ({error})"
        raise InitializerError.of(path, problem, mend) from None


def _may_be(number: Tensor, dtype: torch.dtype) -> bool:
    """Whether a Python number, as torch would take it, may become one of a dtype: but for digits, nothing is lost."""
    if number.dtype == torch.bool or dtype == torch.bool:
        return number.dtype == dtype
    if number.is_complex():
        return dtype.is_complex
    if number.is_floating_point():
        return (dtype.is_floating_point or dtype.is_complex) and not (number.to(dtype).isinf() & ~number.isinf()).any()
    return dtype.is_floating_point or dtype.is_complex or torch.equal(number.to(dtype).to(number.dtype), number)


def fill(tensor: Tensor, path: str, initializer: Initializer, seed: int | None, layout: Layout) -> None:
    """Fill ``tensor`` in place, from torch's generator or, with a seed, from the stream of ``(seed, path)``.

    ``layout`` is the order of its axes, for initializers that are given none.
    """
    if initializer is None:
        initializer = _default_initializer(path, tensor.dtype)
    if isinstance(initializer, OurInitializer):
        initializer = initializer.in_layout(layout)
    shape = tensor.shape
    try:
        if seed is None or tensor.is_meta or _draws_nothing(initializer):
            _call(initializer, tensor, path)
        else:
            _fill_from_stream(tensor, path, initializer, seed)
    except Exception as error:
        error.add_note(f"while initializing '{path}' with {initializer!r}")
        raise
    if tensor.shape != shape:
        problem = f"the initializer {initializer!r} made a tensor of {tuple(tensor.shape)} of one of {tuple(shape)}"
        raise InitializerError.of(path, problem, _FILL)


def copied(tensor: Tensor, value: Tensor) -> None:
    """Fill a tensor with a value: with the value bound by ``functools.partial``, an initializer that can be pickled."""
    tensor.copy_(value)


def _default_initializer(path: str, dtype: torch.dtype) -> Callable[..., object]:
    if dtype.is_floating_point:
        return _glorot_uniform
    if dtype.is_complex:
        mend = "Give an initializer, such as zeros_initializer() or torch.nn.init.normal_."
        raise InitializerError.of(path, f"there is no default initializer for dtype {dtype}", mend)
    return _zeros


def _fill_from_stream(tensor: Tensor, path: str, initializer: Initializer, seed: int) -> None:
    # Drawn on the CPU whatever the device, so that the numbers are the same everywhere.
    stream = _stream(path, seed)
    target = tensor if tensor.device.type == "cpu" else torch.empty_like(tensor, device="cpu")
    with _drawing_on_the_cpu():
        if _accepts(initializer, 1, "generator"):
            _call(initializer, target, path, generator=torch.Generator().manual_seed(stream))
        else:
            with _global_stream(stream):
                _call(initializer, target, path)
    if target is not tensor:
        tensor.copy_(target)


def _draws_nothing(initializer: Initializer) -> bool:
    """Whether it is known to fill without random numbers: it needs no stream."""
    if isinstance(initializer, functools.partial):
        initializer = initializer.func
    kind = type(initializer)
    return kind in _DRAW_NOTHING or (kind is FunctionType and initializer in _DRAW_NOTHING)


def _stream(path: str, seed: int) -> int:
    """The seed of a variable: a hash of seed and whole path, so that neither order nor neighbours matter."""
    name = hashlib.blake2b(f"{seed}\0{path}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(name, "little", signed=True)


def _drawing_on_the_cpu() -> AbstractContextManager[object]:
    """Let the CPU be the default device in the block; where it is, no device mode looks at every call of torch."""
    if count_modes() == 0 or torch.get_default_device().type == "cpu":
        return _as_it_is
    return torch.device("cpu")


def stream_of(path: str, seed: int | None) -> AbstractContextManager[None]:
    """Set torch's generator to the start of the stream of ``(seed, path)`` in the block; without a seed, do nothing."""
    return nullcontext() if seed is None else _global_stream(_stream(path, seed))


@contextmanager
def _global_stream(stream: int) -> Iterator[None]:
    """Set torch's own generator, that of the CPU, to the start of a stream in the block."""
    with _global_generator, _drawing_on_the_cpu():
        state = torch.default_generator.get_state()
        try:
            torch.default_generator.manual_seed(stream)
            yield
        finally:
            torch.default_generator.set_state(state)


def _call(initializer: Initializer, tensor: Tensor, path: str, **generator: torch.Generator) -> None:
    if _is_of_shape(initializer):
        _fill_of_shape(cast("Callable[..., object]", initializer), tensor, path)
        return
    try:
        result = initializer(tensor, **generator)  # type: ignore[operator]  # told below
    except ScopeError:
        raise
    except TypeError as error:  # a factory such as torch.zeros, or TensorFlow's (shape, dtype)
        if not callable(initializer) or not _accepts(initializer, 1, *generator):
            problem = f"the initializer {initializer!r} cannot be called with the tensor to fill as its only argument"
            raise InitializerError.of(path, problem, _FILL) from None
        problem = f"the initializer {initializer!r} failed on the tensor to fill: {error}"
        raise InitializerError.of(path, problem, _FILL) from error
    if result is not None and result is not tensor and not _same_memory(result, tensor):
        problem = f"the initializer {initializer!r} returned something else instead of filling its tensor"
        raise InitializerError.of(path, problem, _FILL)


def _is_of_shape(initializer: Initializer) -> bool:
    """Whether it is one of TensorFlow's protocol, a function of a shape: ``init(shape, dtype=None, ...)``."""
    if isinstance(initializer, OurInitializer) or not callable(initializer):
        return False
    if isinstance(initializer, functools.partial) and not initializer.args:  # which has the parameters of its function
        initializer = initializer.func
    key = initializer if isinstance(initializer, FunctionType) else None
    known = None if key is None else _of_shape.get(key)
    if known is not None:
        return known
    try:
        names = [*inspect.signature(initializer).parameters]
    except (TypeError, ValueError):
        names = []
    found = names[:2] == ["shape", "dtype"]
    if key is not None:
        _of_shape[key] = found
    return found


def _fill_of_shape(initializer: Callable[..., object], tensor: Tensor, path: str) -> None:
    """Fill a tensor with what a function of a shape gives, drawn where the tensor is."""
    with torch.device(tensor.device):
        value = initializer(list(tensor.shape), dtype=tensor.dtype)
    found = _as_tensor(path, value, None, "Return a tensor or an array of the shape.")
    if found.shape != tensor.shape or not torch.can_cast(found.dtype, tensor.dtype):
        problem = (
            f"the initializer {initializer!r} gives shape {tuple(found.shape)} and {found.dtype} for shape "
            f"{tuple(tensor.shape)} and {tensor.dtype}"
        )
        raise InitializerError.of(path, problem, "Return what it is asked for: initializer(shape, dtype=...).")
    tensor.copy_(found)


def _same_memory(result: object, tensor: Tensor) -> bool:
    if not isinstance(result, Tensor):
        return False
    if tensor.is_meta:  # all data pointers of the meta device are 0
        return result.is_meta
    return result.untyped_storage().data_ptr() == tensor.untyped_storage().data_ptr()


# Of functions, classes and our initializers (by their class): whether they take so many arguments and these keywords.
# Most variables are filled by a few of them, and reading a signature takes longer than all else in making a variable.
_known: WeakKeyDictionary[object, dict[tuple[object, ...], bool]] = WeakKeyDictionary()


# Of functions: whether they are functions of a shape.
_of_shape: WeakKeyDictionary[object, bool] = WeakKeyDictionary()


def _accepts(function: object, count: int, *names: str) -> bool:
    """Whether a function can be called with so many arguments and these keywords."""
    if type(function) is functools.partial:
        given = tuple(function.keywords)
        more = tuple(name for name in names if name not in given)
        if not any(type(arg).__name__ == "Placeholder" for arg in function.args):  # of functools, since Python 3.14
            return _accepts(function.func, count + len(function.args), *given, *more)
    is_ours = isinstance(function, OurInitializer)
    key = type(function) if is_ours else function
    if not isinstance(key, (FunctionType, type)):
        return _binds(function, count, names)
    known, asked = _known.setdefault(key, {}), (is_ours, count, names)
    if asked not in known:
        known[asked] = _binds(function, count, names)
    return known[asked]


def _binds(function: object, count: int, names: tuple[str, ...]) -> bool:
    if not callable(function):
        return False
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some builtins tell nothing: let the call decide
        return not names
    try:
        signature.bind(*(None,) * count, **dict.fromkeys(names))
    except TypeError:
        return False
    return True
