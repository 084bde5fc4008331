"""What stands in ported code for what was left: it can be named, and says what to write when it is used."""

from __future__ import annotations

import copy
import types
from collections.abc import Callable

import pytest

from torchscope.tf1 import unported
from torchscope.tf1._graph_only import Unported, instead_of

USES: dict[str, Callable[[Unported], object]] = {
    "called": lambda x: x(),
    "entered": lambda x: x.__enter__(),
    "added": lambda x: x + 1,
    "added to": lambda x: 1 + x,
    "walked through": lambda x: list(x),
    "asked": lambda x: bool(x),
    "indexed": lambda x: x[0],
    "a number": lambda x: float(x),
    "a base": lambda x: types.new_class("C", (x,)),
}


@pytest.mark.parametrize("use", USES)
def test_what_is_used_is_refused_with_what_to_write(use: str) -> None:
    with pytest.raises(NotImplementedError, match=r"tf.train.AdamOptimizer was left .* Instead: `torch.optim`"):
        USES[use](unported.train.AdamOptimizer)


def test_what_is_only_named_is_no_error() -> None:
    session = unported.Session
    assert repr(session) == "<tf.Session, left by torchscope port>"
    assert session.__exit__(None, None, None) is None  # type: ignore[func-returns-value]
    assert not hasattr(session, "__wrapped__")
    assert repr(copy.copy(session)) == repr(session)


def test_what_nothing_is_known_of_says_so() -> None:
    assert instead_of("tf.svd") is None
    with pytest.raises(NotImplementedError, match=r"tf.svd was left .* torchscope has nothing for it yet"):
        unported.svd()
