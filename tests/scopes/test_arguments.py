"""The options of the public functions, as ``help()`` and editors show them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from torchscope import get_buffer, get_variable, variable_scope

OF_A_VARIABLE = "regularizer trainable collections device partitioner custom_getter constraint axes"
OF_A_SCOPE = "initializer regularizer custom_getter reuse dtype device partitioner constraint auxiliary_name_scope"
KEYWORDS: dict[Callable[..., Any], str] = {
    get_variable: OF_A_VARIABLE,
    get_buffer: "persistent device",
    variable_scope: OF_A_SCOPE,
}
SHOWN = {"persistent": True, "auxiliary_name_scope": True}  # all others are None until they are given


@pytest.mark.parametrize("function", KEYWORDS, ids=lambda function: function.__name__)
def test_help_shows_each_keyword_with_its_default(function: Callable[..., Any]) -> None:
    parameters = inspect.signature(function).parameters.values()
    keywords = {each.name: each.default for each in parameters if each.kind is each.KEYWORD_ONLY}
    assert set(keywords) == set(KEYWORDS[function].split())
    assert keywords == {name: SHOWN.get(name) for name in keywords}
    assert not [each for each in parameters if each.kind is each.VAR_KEYWORD]
