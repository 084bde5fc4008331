"""``model.tie``: two paths, one variable."""

from __future__ import annotations

from torch import Tensor, nn

from .._names import paths
from .._variables.identity import is_computed
from .._variables.store import VariableStore
from ..errors import ArgumentTypeError, ArgumentValueError, VariableNotFoundError


def tie(store: VariableStore, path: str, to: str) -> None:
    """What :meth:`ScopedModule.tie` says."""
    with store.lock:
        ours, theirs = _parameter(store, "path", path), _parameter(store, "to", to)
        if ours is theirs:
            return
        for what in ("shape", "dtype"):
            mine, other = getattr(store.specs[path], what), getattr(store.specs[to], what)
            if mine != other:
                problem = f"'{path}' has {what} {mine} and '{to}' {other}: one tensor cannot be both."
                mend = f"Declare both alike; a transposed use is written in the code: get_variable('{to}').mT"
                raise ArgumentValueError.of("to", to, f"{problem} {mend}")
        tied = [other for other, first in store.tied().items() if first == path]
        for each in (path, *tied):  # those that were tied to it before go with it
            store[each] = theirs


def _parameter(store: VariableStore, argument: str, path: object) -> Tensor:
    if not isinstance(path, str):
        raise ArgumentTypeError.of(argument, path, "Give the path of a variable.")
    if path not in store.specs:
        raise VariableNotFoundError.of_own(path, store.owner, paths.nearest(path, store.specs))
    tensor = store._parameters.get(path, store._buffers.get(path))
    if is_computed(store, path) or not isinstance(tensor, nn.Parameter):
        what = "computed from others (parametrized or pruned)" if is_computed(store, path) else "a buffer"
        raise ArgumentValueError.of(argument, path, f"It is {what}. Tie parameters.")
    return tensor
