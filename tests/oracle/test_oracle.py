"""TensorFlow is the judge: random programs of scopes must show the same in a tf.Graph and in a call of ours.

Needs the extra ``oracle``. ``--oracle-programs N`` sets how many programs run per seed; the command of a long run is in
CONTRIBUTING. A failure shrinks to a short program, printed as TensorFlow's code and as ours.
"""

from __future__ import annotations

import os
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings

from tests.oracle.dialects import tensorflow_sees, torchscope_sees
from tests.oracle.programs import as_code, programs

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture(scope="module")
def tf() -> Any:
    tensorflow = pytest.importorskip("tensorflow", reason="needs the extra `oracle`: tensorflow-cpu")
    tensorflow.compat.v1.disable_resource_variables()
    return tensorflow


def judge(tf: Any, program: Any) -> None:
    """Compare what the two show, statement by statement."""
    theirs, ours = tensorflow_sees(tf, program), torchscope_sees(program)
    if theirs == ours:
        return
    first = next(
        (pair for pair in zip(theirs, ours, strict=False) if pair[0] != pair[1]),
        (theirs[len(ours) :], ours[len(theirs) :]),
    )
    pytest.fail(
        f"TensorFlow and torchscope differ.\n\n{as_code(program, 'tf.')}\n\n{as_code(program, '')}\n\n"
        f"TensorFlow saw {first[0]}\ntorchscope saw {first[1]}",
        pytrace=False,
    )


@pytest.mark.parametrize("fresh", [False, True], ids=["derandomized", "fresh seed"])
@pytest.mark.filterwarnings("ignore")  # TensorFlow's own
def test_random_programs_show_the_same_in_tensorflow(tf: Any, fresh: bool, request: pytest.FixtureRequest) -> None:
    number = request.config.getoption("--oracle-programs")
    start = random.SystemRandom().randrange(2**32) if fresh else 0
    print(f"{number} programs from seed {start}")

    @seed(start)
    @settings(max_examples=number, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(programs())
    def judged(program: Any) -> None:
        judge(tf, program)

    judged()
