"""What TensorFlow saw on programs that once showed a difference: here without TensorFlow, and with it where it is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.oracle.dialects import torchscope_sees
from tests.oracle.programs import as_code
from tests.oracle.regressions import ANSWERS, PROGRAMS, answers

SEEN = json.loads(ANSWERS.read_text())


@pytest.mark.parametrize("what", PROGRAMS)
def test_a_regression_shows_what_tensorflow_saw(what: str) -> None:
    ours = json.loads(json.dumps(torchscope_sees(PROGRAMS[what])))
    assert ours == SEEN[what], as_code(PROGRAMS[what], "")


@pytest.mark.filterwarnings("ignore")  # TensorFlow's own
def test_what_tensorflow_saw_is_what_it_sees() -> None:
    tensorflow: Any = pytest.importorskip("tensorflow", reason="needs the extra `oracle`: tensorflow-cpu")
    tensorflow.compat.v1.disable_resource_variables()
    assert answers(tensorflow) == SEEN
