"""The functions of ``torchscope.tf1`` take TensorFlow's arguments in TensorFlow's places, with its defaults."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from torch import Tensor

from tests.tf1.judge import tensorflow
from torchscope import tf1

MODULES = ["nn"]


def functions() -> Iterator[tuple[str, str]]:
    for module in MODULES:
        for name in getattr(tf1, module).__all__:
            if inspect.isfunction(getattr(getattr(tf1, module), name)):
                yield module, name


def theirs(tf: ModuleType, module: str, name: str) -> Any:
    return getattr(getattr(tf, module), name)


# What raises there unless it is None, and what came after TensorFlow 1.
NOT_IN_TENSORFLOW_1 = {"_sentinel", "index_type"}
# Arguments of TensorFlow's that say where there is a graph, a session or a device.
WITHOUT_MEANING = {"validate_indices", "use_cudnn_on_gpu", "cudnn_on_gpu"}
# Second names that TensorFlow 1.13 and later gave to arguments, for TensorFlow 2.
SECOND_NAMES = {"input", "filters", "dilations", "data", "value", "indices"}


@pytest.mark.parametrize(("module", "name"), list(functions()))
def test_arguments_are_where_tensorflow_has_them(module: str, name: str) -> None:
    tf = tensorflow()
    signature = inspect.signature(theirs(tf, module, name))
    expected = [each for each in signature.parameters.values() if each.name not in NOT_IN_TENSORFLOW_1]
    found = list(inspect.signature(getattr(getattr(tf1, module), name)).parameters.values())
    by_name = [each.name for each in found if each.kind is inspect.Parameter.KEYWORD_ONLY]
    in_place = [each.name for each in found if each.kind is not inspect.Parameter.KEYWORD_ONLY]
    assert in_place == [each.name for each in expected][: len(in_place)]
    missing = [each.name for each in expected if each.name not in in_place + by_name]
    assert set(missing) <= SECOND_NAMES | WITHOUT_MEANING
    defaults = {each.name: each.default for each in expected}
    for each in found:
        if each.default is not inspect.Parameter.empty and defaults[each.name] is not None:
            theirs_ = defaults[each.name]
            assert each.default in (theirs_, None) or isinstance(each.default, Tensor)
