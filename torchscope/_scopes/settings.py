"""What a scope hands down to the scopes and variables inside it."""

from __future__ import annotations

import torch
from torch import Tensor

from .._variables.request import Partitioner
from .._variables.reuse import AUTO_REUSE, Reuse
from .._variables.sharding import Sharding
from .._variables.spec import Constraint, Initializer, Regularizer
from .arguments import Getter, checked


class Settings:
    """What a scope hands down to the scopes and variables inside it. Never changed in place: inner scopes share it."""

    __slots__ = (
        "constraint",
        "custom_getter",
        "device",
        "dtype",
        "initializer",
        "partitioner",
        "regularizer",
        "_sharing",
        "plain",
        "reuse",
    )

    initializer: Initializer
    regularizer: Regularizer | None
    dtype: torch.dtype | None
    device: torch.device | None
    partitioner: Partitioner | None
    custom_getter: Getter | None
    constraint: Constraint | None
    reuse: Reuse
    plain: bool  # neither getter nor partition: an existing variable is returned as it is
    _sharing: dict[Reuse, Settings]  # the same with other reuse, where that is kept

    def __init__(self) -> None:
        for name in SETTINGS:
            setattr(self, name, None)
        self.plain = True
        self.reuse = False
        self._sharing = {}

    def sharing(self, reuse: Reuse) -> Settings:
        """The same with another ``reuse``."""
        same = self._sharing.get(reuse)
        if same is None:
            same = self.replace()
            same.reuse = reuse
        return same

    def replace(self, **changes: object) -> Settings:
        """A copy with some settings changed, each checked."""
        new = Settings()
        for name in SETTINGS:
            setattr(new, name, getattr(self, name))
        for name, value in changes.items():
            setattr(new, name, checked(name, value))
        new.plain = new.custom_getter is None and (new.partitioner is None or isinstance(new.partitioner, Sharding))
        new.reuse = self.reuse
        return new


SETTINGS = Settings.__slots__[:7]

NO_SETTINGS = Settings()
"""Those at the bottom of a call."""
NO_SETTINGS._sharing = {
    False: NO_SETTINGS,
    True: NO_SETTINGS.sharing(True),
    AUTO_REUSE: NO_SETTINGS.sharing(AUTO_REUSE),
}


def no_regularizer(variable: Tensor) -> None:
    """The regularizer that regularizes nothing: given to a scope or a variable, it switches an inherited one off.

    >>> from torchscope import ScopedModule, get_variable, variable_scope
    >>> def forward():
    ...     with variable_scope("dense", regularizer=lambda w: w.square().sum()):
    ...         get_variable("kernel", [3])
    ...         get_variable("bias", [3], regularizer=no_regularizer)
    >>> len(ScopedModule(forward).build().regularization_losses())
    1
    """
