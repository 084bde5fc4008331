"""The table of traps in ``docs/porting.md``: its numbers are TensorFlow's and torch's, and what to write helps."""

from __future__ import annotations

import pytest

tensorflow = pytest.importorskip("tensorflow")

from tests.oracle.traps import PAGE, TRAPS, _evaluated, page, shown  # noqa: E402


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.what)
@pytest.mark.filterwarnings("ignore")  # TensorFlow's own
def test_a_trap_has_two_numbers_and_a_way_out(trap: object) -> None:
    theirs = shown(_evaluated(trap.tensorflow))  # type: ignore[attr-defined]
    assert shown(trap.here()) == theirs  # type: ignore[attr-defined]


@pytest.mark.filterwarnings("ignore")  # TensorFlow's own
def test_the_page_has_the_numbers() -> None:
    assert PAGE.read_text() == page(PAGE.read_text()), "print it anew: python -m tests.oracle.traps --write"
