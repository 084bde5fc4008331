"""Names of operations: ``name_scope`` opens a scope for them alone, ``name_ops`` gives each torch operation one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from .._names import paths
from .._names.events import Left, NameEntry, innermost_name_entry
from .._variables.identity import holds, path_of
from .._variables.initialize import creating
from ..errors import ArgumentTypeError, ArgumentValueError, ScopeNestingError
from .call import Call
from .naming import op_names, open_name_scope
from .stack import current_scope, innermost

# Operators that torch calls by a method of its own, __radd__ or __iadd__, under the name that TensorFlow has for them.
_ARITHMETIC = ("add", "sub", "mul", "div", "truediv", "floordiv", "mod", "pow", "matmul")
_OPERATORS = (*_ARITHMETIC, "and", "or", "xor", "lshift", "rshift")
_REFLECTED = {f"__r{name}__" for name in _OPERATORS}
_INPLACE = {f"__i{name}__" for name in _OPERATORS}
# Attributes that are computed: the others (shape, grad, data, ...) are no operations.
_COMPUTED = {"T", "mT", "H", "mH", "real", "imag"}

_names: WeakIdKeyDictionary = WeakIdKeyDictionary()


class _Given(threading.local):
    """How many operations of this thread were given a name."""

    count = 0


_names_given = _Given()


class name_scope:
    """Open a scope for names of operations alone; names of variables do not see it (``tf.name_scope``).

    It yields its full name with a trailing slash, made unique in the call. ``default_name`` is taken where ``name`` is
    ``None``; ``values`` is TensorFlow's, and not used. A name that ends in ``/`` is entered exactly
    so, from the top; ``None`` and ``""`` go to the top.

    >>> from torchscope import ScopedModule, get_variable, name_scope, variable_scope
    >>> def forward():
    ...     with variable_scope("foo"):
    ...         with name_scope("bar") as first:
    ...             get_variable("w", [3])
    ...         with name_scope("bar") as second, name_scope(first) as again:
    ...             return first, second, again
    >>> model = ScopedModule(forward)
    >>> model(), list(model.variables)
    (('foo/bar/', 'foo/bar_1/', 'foo/bar/'), ['foo/w'])

    Raises:
        NoActiveModuleError: no module is running in this thread.
        InvalidNameError: the name cannot be a path (but for one slash at its end).
        ArgumentTypeError, ArgumentValueError: ``default_name`` is no name; ``values`` without any name.
        ScopeNestingError: a variable scope that was opened inside is still open.
    """

    def __init__(self, name: str | None, default_name: str | None = None, values: object = None) -> None:
        if default_name is not None and not isinstance(default_name, str):
            raise ArgumentTypeError.of("default_name", default_name, "Give a name, or values= if these are tensors.")
        if name is None and default_name is None and values is not None:
            raise ArgumentValueError.of("name", None, "Give a name or a default_name with values.")
        name = default_name if name is None else name
        if name:
            paths.check(name.removesuffix("/") if isinstance(name, str) else name)
        self._name = name
        self._entered: list[tuple[Call, int]] = []  # where, if it is open

    def __enter__(self) -> str:
        scope = innermost("name_scope()")
        call = scope._call
        if not self._name or self._name.endswith("/"):
            call.refuse_in_block("A name scope that is entered from the top")
        self._entered.append((call, call.at))
        call.note(NameEntry(self._name, scope._at))
        return paths.prefix_of(open_name_scope(scope))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        scope = current_scope()
        mine = [entry for entry in self._entered if scope is not None and entry[0] is scope._call]
        call, at = entered = (mine or self._entered)[-1]  # other threads may be in it too
        self._entered.remove(entered)
        innermost = None if scope is None else innermost_name_entry(scope._call.events, scope._call.at, scope._at)
        if scope is not None and scope._call is call and innermost == at:
            call.note(Left(at))
        elif kind is None:
            found = None if scope is None else f"'{scope._prefix[:-1]}'"
            if scope is not None and innermost is not None:
                entry = scope._call.events[innermost]
                found = f"name scope {entry.asked!r}" if isinstance(entry, NameEntry) else found
            raise ScopeNestingError.of(f"name scope {self._name!r}", found)


def get_name_scope() -> str:
    """The name scope that is open, without a trailing slash; ``""`` at the top (``tf.get_name_scope``).

    >>> from torchscope import ScopedModule, get_name_scope, name_scope, variable_scope
    >>> def forward():
    ...     with variable_scope("foo"), name_scope("bar"):
    ...         return get_name_scope()
    >>> ScopedModule(forward)()
    'foo/bar'

    Raises:
        NoActiveModuleError: no module is running in this thread.
    """
    scope = innermost("get_name_scope()")
    scope._call.refuse_name("The name scope that is open")
    return open_name_scope(scope)


def unique_name(name: str, mark_as_used: bool = True) -> str:
    """The name that an operation called ``name`` would get here (``tf.Graph.unique_name``).

    With ``mark_as_used`` it is taken by that, so that the next one gets another.

    >>> from torchscope import ScopedModule, unique_name, variable_scope
    >>> def forward():
    ...     with variable_scope("foo"):
    ...         return unique_name("bar", mark_as_used=False), unique_name("bar"), unique_name("bar")
    >>> ScopedModule(forward)()
    ('foo/bar', 'foo/bar', 'foo/bar_1')

    Raises:
        NoActiveModuleError: no module is running in this thread.
        InvalidNameError: the name cannot be a path.
    """
    scope = innermost("unique_name()")
    scope._call.refuse_name("The name of an operation")
    path = paths.join(open_name_scope(scope), paths.check(name))
    return op_names(scope._call).unique(path, take=mark_as_used)


class name_ops(TorchFunctionMode):
    """Give every torch operation inside a unique name, as each had in a TensorFlow graph; :func:`op_name` tells it.

    Names are those of torch's functions (``add``, ``conv2d``, ``relu``) below the name scopes that are open. A function
    that torch computes by others counts once. What autograd runs in backward has no name. An operation in place gives
    its tensor a new one: the tensor that it is called on, other views of the same memory keep theirs. What runs inside
    ``torch.func`` transforms has names there, its result outside has none. An operation, a scope and a variable share
    one space per call, in which case does not count. Operations outside of any call, and inside of ``torch.compile``,
    are not named.

    >>> from torchscope import ScopedModule, get_variable, name_ops, op_name, variable_scope
    >>> def forward():
    ...     with variable_scope("foo"):
    ...         return 1.0 + get_variable("v", [1])
    >>> with name_ops():
    ...     op_name(ScopedModule(forward)())
    'foo/add'
    """

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        """Run the function and name what it returns."""
        kwargs = kwargs or {}
        before = _names_given.count
        result = func(*args, **kwargs)
        if creating.depth or torch.compiler.is_compiling():
            return result
        function = _base_name(func)
        made = list(tensors_in(args[0] if function == "setitem" else result)) if function else []
        if len(made) == 1 and not _writes(func, kwargs) and any(t is made[0] for t in tensors_in([args, kwargs])):
            return result  # nothing ran: contiguous() of what is contiguous, dropout in eval mode
        if function and made:
            self._ran(function, args, kwargs, made, named=_names_given.count > before)
        return result

    def _ran(
        self, function: str, args: object, kwargs: Mapping[str, object], made: list[Tensor], *, named: bool
    ) -> str | None:
        """Name an operation that ran and what it made; ``None`` outside of any call.

        ``named`` says that another block around this one did so already.
        """
        scope = current_scope()
        if scope is None:
            return None
        if named:
            return str(_names[made[0]])
        _names_given.count += 1
        call = scope._call
        name = op_names(call).operation(call.events, call.at, scope._at, function)
        for tensor in made:
            _names[tensor] = name
        return name


def op_name(tensor: Tensor) -> str:
    """The name of the operation that made a tensor inside :class:`name_ops`; of a variable in its call, its path.

    >>> from torchscope import ScopedModule, get_variable, op_name
    >>> ScopedModule(lambda: op_name(get_variable("v", [1])))()
    'v'

    Raises:
        ArgumentValueError: it was made by no operation that was named.
    """
    if not isinstance(tensor, Tensor):
        raise ArgumentTypeError.of("tensor", tensor, "Give a tensor that an operation made, or a variable.")
    scope = current_scope()
    if scope is not None:
        scope._call.refuse_name("The name of an operation")
    if scope is not None and holds(scope._call.store, tensor):
        return path_of(scope._call.store, tensor)
    name = _names.get(tensor)  # type: ignore[no-untyped-call]
    if name is not None:
        return str(name)
    mend = "Make it inside `with name_ops():` and a call of a ScopedModule; backward and compiled code have no names."
    raise ArgumentValueError.of("tensor", tensor, mend)


def _base_name(function: object) -> str | None:
    name = getattr(function, "__name__", "")
    if name == "__get__":
        name = getattr(getattr(function, "__self__", None), "__name__", "")
        return name if name in _COMPUTED else None
    if name in _REFLECTED or name in _INPLACE:
        name = name[3:]
    return name.partition(".")[0].strip("_") or None  # torch.ops.aten.add.Tensor has a dot in it


def _writes(function: object, kwargs: Mapping[str, object]) -> bool:
    """Whether a function that returns one of its arguments has changed it."""
    name = getattr(function, "__name__", "")
    if kwargs.get("out") is not None or kwargs.get("inplace"):
        return True
    in_place = name.endswith("_") and not name.endswith("__") and name != "requires_grad_"
    return in_place or name in _INPLACE or name == "__setitem__"


def tensors_in(value: object) -> Iterator[Tensor]:
    """The tensors in what a function took or returned, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for each in value:
            yield from tensors_in(each)
    elif isinstance(value, dict):
        yield from tensors_in(list(value.values()))
