"""What releases of torch cannot do themselves: a test that meets it is expected to fail there, and says why."""

from __future__ import annotations

import pytest
import torch

VERSION = tuple(int(number) for number in torch.__version__.partition("+")[0].split(".")[:2])


def beyond_torch_before(major: int, minor: int, what: str) -> pytest.MarkDecorator:
    """A mark for what torch itself does wrong, or cannot do, before a release; if it can after all, the test fails."""
    return pytest.mark.xfail((major, minor) > VERSION, reason=f"torch before {major}.{minor}: {what}", strict=True)
