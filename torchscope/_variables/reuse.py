"""The rule of reuse, in one place: variables, buffers, modules and variables in parts are all answered by it.

| reuse            | got earlier in this call | in the module, not yet got | nowhere                 |
|------------------|--------------------------|----------------------------|-------------------------|
| ``False, None``  | ``ALREADY_GOT``          | ``RETURN``                 | ``CREATE`` *            |
| ``True``         | ``RETURN``               | ``RETURN``                 | ``NOTHING_TO_SHARE``    |
| ``AUTO_REUSE``   | ``RETURN``               | ``RETURN``                 | ``CREATE`` *            |

\\* ``MAY_NOT_CREATE`` where nothing may be created: the module is built, or something is tracing.
"""

from __future__ import annotations

import enum
from typing import Literal


class ReuseMode(enum.Enum):
    """The value of ``reuse`` that is neither true nor false."""

    AUTO_REUSE = enum.auto()

    def __repr__(self) -> str:
        return "AUTO_REUSE"


AUTO_REUSE = ReuseMode.AUTO_REUSE
"""As ``reuse=``: return the variable if it exists, create it otherwise."""

Reuse = bool | Literal[ReuseMode.AUTO_REUSE] | None


class Verdict(enum.Enum):
    """What becomes of a request."""

    RETURN = enum.auto()
    CREATE = enum.auto()
    ALREADY_GOT = enum.auto()  # VariableExistsError
    NOTHING_TO_SHARE = enum.auto()  # VariableNotFoundError
    MAY_NOT_CREATE = enum.auto()  # VariableNotFoundError or TracingError


def verdict(*, got: bool, exists: bool, reuse: Reuse, may_create: bool) -> Verdict:
    """What becomes of a request for one path.

    >>> verdict(got=True, exists=True, reuse=False, may_create=True)
    <Verdict.ALREADY_GOT: 3>
    >>> verdict(got=True, exists=True, reuse=AUTO_REUSE, may_create=True)
    <Verdict.RETURN: 1>

    Args:
        got: whether the path was got earlier in this call.
        exists: whether the path is in the module.
        reuse: that of the scope.
        may_create: whether anything may be created now; it does not matter where the path exists.
    """
    if got and not reuse:
        return Verdict.ALREADY_GOT
    if exists:
        return Verdict.RETURN
    if reuse is True:
        return Verdict.NOTHING_TO_SHARE
    return Verdict.CREATE if may_create else Verdict.MAY_NOT_CREATE
