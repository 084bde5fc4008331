"""Functions that FSDP2 runs as if they were modules: what ``torchscope.distributed.fully_shard_scopes`` needs of
scopes.

FSDP2 gathers the parameters of a module before its forward, and frees them after it and after its backward, which it
knows by what goes in and comes out. A scope has neither, a function has both: so where a function opens a scope, it may
be run by a module that stands for that scope.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from .call import NO_CALL
from .scope import VariableScope

P = ParamSpec("P")
R = TypeVar("R")


def as_unit(scope: VariableScope, function: Callable[P, R]) -> Callable[P, R]:
    """A function whose scope was just opened, or what runs it for FSDP2."""
    call = scope._call
    if call is NO_CALL:
        return function
    store = call.store
    if call.building is not None:
        store.function_scopes.add(scope.name)
    if not store.fsdp_units:
        return function
    unit = store.fsdp_units.get(scope.name)
    return function if unit is None else functools.partial(unit, function)
